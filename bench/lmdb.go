package main

import (
	"encoding/binary"

	"github.com/PowerDNS/lmdb-go/lmdb"
)

// lightning is an LMDB environment with two databases. LMDB's C code comes
// with the Go module.
type lightning struct {
	env     *lmdb.Env
	entries lmdb.DBI
	list    lmdb.DBI
}

func openLMDB(dir string) (peer, error) {
	env, err := lmdb.NewEnv()
	if err != nil {
		return nil, err
	}
	if err := env.SetMapSize(4 << 30); err != nil {
		return nil, err
	}
	if err := env.SetMaxDBs(2); err != nil {
		return nil, err
	}
	if err := env.Open(dir, lmdb.NoSync|lmdb.NoMetaSync, 0o600); err != nil {
		return nil, err
	}
	l := &lightning{env: env}
	return l, env.Update(func(tx *lmdb.Txn) error {
		var err error
		if l.entries, err = tx.CreateDBI("entries"); err != nil {
			return err
		}
		l.list, err = tx.CreateDBI("list")
		return err
	})
}

func (l *lightning) put(key, text string) error {
	return l.env.Update(func(tx *lmdb.Txn) error { return tx.Put(l.entries, []byte(key), []byte(text), 0) })
}

func (l *lightning) get(key string) (string, error) {
	var text string
	err := l.env.View(func(tx *lmdb.Txn) error {
		v, err := tx.Get(l.entries, []byte(key))
		text = string(v)
		return err
	})
	return text, err
}

func (l *lightning) del(key string) error {
	return l.env.Update(func(tx *lmdb.Txn) error { return tx.Del(l.entries, []byte(key), nil) })
}

func (l *lightning) push(text string) error {
	return l.env.Update(func(tx *lmdb.Txn) error {
		cursor, err := tx.OpenCursor(l.list)
		if err != nil {
			return err
		}
		defer cursor.Close()
		next := uint64(0)
		last, _, err := cursor.Get(nil, nil, lmdb.Last)
		if err == nil {
			next = binary.BigEndian.Uint64(last) + 1
		} else if !lmdb.IsNotFound(err) {
			return err
		}
		return cursor.Put(binary.BigEndian.AppendUint64(nil, next), []byte(text), lmdb.Append)
	})
}

func (l *lightning) close() error { return l.env.Close() }
