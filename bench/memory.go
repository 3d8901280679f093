package main

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/tidwall/btree"
)

// memory is a B-tree behind a lock: what an ordered map costs that persists
// nothing and that no other process can see. It is the limit, not a peer.
//
// Asked for durable transactions it writes two pages and syncs them once for each, as
// whoever can tell that one of them is missing may: then it is the limit of the
// disk.
type memory struct {
	pages   *os.File // nil unless durable
	synced  int64
	mu      sync.RWMutex
	entries *btree.Map[string, string]
	list    *btree.Map[uint64, string]
}

func openMemory(dir string, o options) (_ peer, err error) {
	m := &memory{entries: btree.NewMap[string, string](0), list: btree.NewMap[uint64, string](0)}
	if o.sync {
		if m.pages, err = os.Create(filepath.Join(dir, "pages")); err == nil {
			_, err = m.pages.Write(make([]byte, dataPages*pageSize)) // the file is as long as it will be
		}
		if err == nil {
			err = m.pages.Sync()
		}
	}
	return m, err
}

const (
	pageSize  = 4096
	dataPages = 8
)

// sync writes the next page and the first, and syncs both.
func (m *memory) sync() error {
	m.synced++
	for _, page := range []int64{1 + m.synced%(dataPages-1), 0} {
		if _, err := m.pages.WriteAt(make([]byte, pageSize), page*pageSize); err != nil {
			return err
		}
	}
	return syscall.Fdatasync(int(m.pages.Fd()))
}

func (m *memory) put(key, text string) error { return m.batch([]string{key}, text) }

func (m *memory) batch(keys []string, text string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		m.entries.Set(key, text)
	}
	if m.pages != nil {
		return m.sync()
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

func (m *memory) close() error {
	if m.pages != nil {
		return m.pages.Close()
	}
	return nil
}
