package main

import "errors"

// peer is a store under measurement. Each of put, get, del, push and batch is a
// transaction.
type peer interface {
	put(key, value string) error
	get(key string) (string, error)
	del(key string) error
	push(value string) error
	// batch puts all keys in one transaction.
	batch(keys []string, value string) error
	close() error
}

// options say how a peer is opened.
type options struct {
	sync   bool // each transaction is durable before it returns
	create bool
}

// opener opens a store in a directory.
type opener struct {
	name string
	// processes says that several processes may use the store at once, disk that
	// it has a file at all.
	processes, disk bool
	open            func(dir string, o options) (peer, error)
}

func openers() []opener {
	return []opener{
		{"pongofs collection", true, true, openCollection},
		{"pongofs dict", true, true, openDict},
		{"bbolt", false, true, openBolt},
		{"lmdb", true, true, openLMDB},
		{"limit", false, false, openMemory},
	}
}

// errNotFound is what get returns for a key that is not there.
var errNotFound = errors.New("not found")
