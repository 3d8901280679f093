package main

import (
	"encoding/binary"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// bolt is a bbolt file with two buckets.
type bolt struct{ db *bbolt.DB }

var (
	entriesBucket = []byte("entries")
	listBucket    = []byte("list")
)

func openBolt(dir string, o options) (peer, error) {
	db, err := bbolt.Open(filepath.Join(dir, "bench.bolt"), 0o600, &bbolt.Options{
		NoSync: !o.sync, NoGrowSync: !o.sync, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if err != nil || !o.create {
		return &bolt{db}, err
	}
	return &bolt{db}, db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket(entriesBucket); err != nil {
			return err
		}
		_, err := tx.CreateBucket(listBucket)
		return err
	})
}

func (b *bolt) put(key, text string) error {
	return b.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(entriesBucket).Put([]byte(key), []byte(text)) })
}

func (b *bolt) batch(keys []string, text string) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		for _, key := range keys {
			if err := tx.Bucket(entriesBucket).Put([]byte(key), []byte(text)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bolt) get(key string) (string, error) {
	var text string
	err := b.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(entriesBucket).Get([]byte(key))
		if v == nil {
			return errNotFound
		}
		text = string(v)
		return nil
	})
	return text, err
}

func (b *bolt) del(key string) error {
	return b.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(entriesBucket).Delete([]byte(key)) })
}

func (b *bolt) push(text string) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		list := tx.Bucket(listBucket)
		n, err := list.NextSequence()
		if err != nil {
			return err
		}
		return list.Put(binary.BigEndian.AppendUint64(nil, n), []byte(text))
	})
}

func (b *bolt) close() error { return b.db.Close() }
