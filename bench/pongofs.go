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

func openCollection(dir string, o options) (peer, error) {
	return openPongo(dir, value.KindCollection, o)
}

func openDict(dir string, o options) (peer, error) { return openPongo(dir, value.KindDict, o) }

func openPongo(dir string, kind value.Kind, o options) (peer, error) {
	path := filepath.Join(dir, "bench.pongo")
	if o.create {
		if err := engine.Create(path, engine.CreateOptions{}); err != nil {
			return nil, err
		}
	}
	// Unless asked to sync no checkpoints, as the others do not sync either.
	s, err := engine.Open(path, engine.Options{Commit: -1, SyncEach: o.sync})
	if err != nil {
		return nil, err
	}
	p := &pongo{store: s}
	if !o.create {
		return p, s.View(func(tx *engine.Tx) error { return p.find(tx) })
	}
	return p, s.Update(func(tx *engine.Tx) error {
		if _, err := tx.Make(engine.RootID, value.String("entries"), kind, engine.NewAttr{Mode: 0o755}); err != nil {
			return err
		}
		if _, err := tx.Make(engine.RootID, value.String("list"), value.KindList, engine.NewAttr{Mode: 0o755}); err != nil {
			return err
		}
		return p.find(tx)
	})
}

// find looks the containers up.
func (p *pongo) find(tx *engine.Tx) error {
	e, err := tx.Lookup(engine.RootID, value.String("entries"))
	if err != nil {
		return err
	}
	l, err := tx.Lookup(engine.RootID, value.String("list"))
	p.dir, p.list = e.ID, l.ID
	return err
}

var declared = engine.PutOptions{Declared: true, New: engine.NewAttr{Mode: 0o644}}

func (p *pongo) put(key, text string) error {
	return p.store.Update(func(tx *engine.Tx) error {
		_, err := tx.Put(p.dir, value.String(key), value.String(text), declared)
		return err
	})
}

func (p *pongo) batch(keys []string, text string) error {
	members := make([]engine.Member, len(keys))
	for i, key := range keys {
		members[i] = engine.Member{Key: value.String(key), Value: value.String(text)}
	}
	return p.store.Update(func(tx *engine.Tx) error { return tx.PutAll(p.dir, members, declared) })
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
