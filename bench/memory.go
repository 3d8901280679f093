package main

import (
	"sync"

	"github.com/tidwall/btree"
)

// memory is a B-tree behind a lock: what an ordered map costs that persists
// nothing and that no other process can see. It is the limit, not a peer.
type memory struct {
	mu      sync.RWMutex
	entries *btree.Map[string, string]
	list    *btree.Map[uint64, string]
}

func openMemory(string, options) (peer, error) {
	return &memory{entries: btree.NewMap[string, string](0), list: btree.NewMap[uint64, string](0)}, nil
}

func (m *memory) put(key, text string) error { return m.batch([]string{key}, text) }

func (m *memory) batch(keys []string, text string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		m.entries.Set(key, text)
	}
	return nil
}

func (m *memory) get(key string) (string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if text, ok := m.entries.Get(key); ok {
		return text, nil
	}
	return "", errNotFound
}

func (m *memory) del(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.entries.Delete(key); !ok {
		return errNotFound
	}
	return nil
}

func (m *memory) push(text string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list.Set(uint64(m.list.Len()), text)
	return nil
}

func (m *memory) close() error { return nil }
