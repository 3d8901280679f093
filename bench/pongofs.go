package main

import (
	"fmt"
	"path/filepath"

	"pongofs/engine"
	"pongofs/engine/value"
)

// pongo is a store of ours: one container and one list.
type pongo struct {
	store *engine.Store
	dir   engine.ID
	list  engine.ID
}

func openCollection(dir string) (peer, error) { return openPongo(dir, value.KindCollection) }

func openDict(dir string) (peer, error) { return openPongo(dir, value.KindDict) }

func openPongo(dir string, kind value.Kind) (peer, error) {
	path := filepath.Join(dir, "bench.pongo")
	if err := engine.Create(path, engine.CreateOptions{}); err != nil {
		return nil, err
	}
	// No checkpoints, as the others do not sync either.
	s, err := engine.Open(path, engine.Options{Commit: -1})
	if err != nil {
		return nil, err
	}
	p := &pongo{store: s}
	err = s.Update(func(tx *engine.Tx) error {
		e, err := tx.Make(engine.RootID, value.String("entries"), kind, engine.NewAttr{Mode: 0o755})
		if err != nil {
			return err
		}
		l, err := tx.Make(engine.RootID, value.String("list"), value.KindList, engine.NewAttr{Mode: 0o755})
		p.dir, p.list = e.ID, l.ID
		return err
	})
	return p, err
}

var declared = engine.PutOptions{Declared: true, New: engine.NewAttr{Mode: 0o644}}

func (p *pongo) put(key, text string) error {
	return p.store.Update(func(tx *engine.Tx) error {
		_, err := tx.Put(p.dir, value.String(key), value.String(text), declared)
		return err
	})
}

func (p *pongo) get(key string) (string, error) {
	var text string
	err := p.store.View(func(tx *engine.Tx) error {
		e, err := tx.Lookup(p.dir, value.String(key))
		if err != nil {
			return err
		}
		v, err := tx.Value(&e)
		text = v.AsString()
		return err
	})
	return text, err
}

func (p *pongo) del(key string) error {
	return p.store.Update(func(tx *engine.Tx) error { return tx.Remove(p.dir, value.String(key)) })
}

func (p *pongo) push(text string) error {
	return p.store.Update(func(tx *engine.Tx) error {
		list, err := tx.Stat(p.list)
		if err != nil {
			return err
		}
		_, err = tx.Put(p.list, value.Int(int64(list.Len)), value.String(text), declared)
		return err
	})
}

func (p *pongo) close() error {
	if err := p.store.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
