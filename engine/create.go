package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"github.com/google/uuid"

	"pongofs/engine/container"
	"pongofs/engine/heap"
	"pongofs/engine/layout"
	"pongofs/engine/mapping"
	"pongofs/engine/value"
)

// DefaultChunkSize is the growth step in bytes of a store that sets none.
const DefaultChunkSize = 16 << 20

// CreateOptions modifies Create.
type CreateOptions struct {
	// ChunkSize is the growth step in bytes, a multiple of 64 KiB, 16 MiB by
	// default.
	ChunkSize int64
	// AnyFS permits file systems on which the store is not safe.
	AnyFS bool
}

// MinChunkSize and MaxChunkSize bound CreateOptions.ChunkSize: the first chunk
// also holds the header and checkpoint pages.
const (
	MinChunkSize = 2 << 20
	MaxChunkSize = 1 << 30
)

func leUint64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

func (o *CreateOptions) check() error {
	if o.ChunkSize == 0 {
		o.ChunkSize = DefaultChunkSize
	}
	if o.ChunkSize < MinChunkSize || o.ChunkSize > MaxChunkSize || o.ChunkSize%layout.SlabSize != 0 {
		return fmt.Errorf("chunk size %d: it must be a multiple of %d from %d to %d",
			o.ChunkSize, layout.SlabSize, MinChunkSize, MaxChunkSize)
	}
	return nil
}

// Create makes a new empty store at path, mode 0600. An existing file is
// fs.ErrExist and stays as it is. The store appears under its name complete
// and durable, or not at all.
func Create(path string, o CreateOptions) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	tmp := fmt.Sprintf("%s.new-%08x", path, rand.Uint32())
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp)) }()
	if !o.AnyFS {
		if err := mapping.CheckFS(f); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	m, err := mapping.OpenFile(f, o.ChunkSize, o.ChunkSize, false)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if err := format(m, o.ChunkSize); err != nil {
		return errors.Join(err, m.Close())
	}
	if err := m.Close(); err != nil {
		return err
	}
	// link, unlike rename, does not replace a store that somebody else has
	// created meanwhile.
	if err := os.Link(tmp, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		}
		return err
	}
	return syncDir(path)
}

// format writes an empty store into m and makes it durable.
func format(m *mapping.Mapping, chunk int64) error {
	if err := m.Allocate(0, chunk); err != nil {
		return wrapSpace(err)
	}
	header := newHeader(chunk)
	now := header.Created
	var page [layout.PageSize]byte
	header.Encode(page[:])
	if err := m.WriteAt(page[:], layout.HeaderOffset); err != nil {
		return err
	}
	// The objects are made by an ordinary edit, on a shm that lives in memory.
	s := newStore(m.Name(), header, m, Options{})
	ref, err := s.bootstrap(mapping.Memory(layout.ShmBytes(uint64(chunk)/layout.SlabSize)), now)
	if err != nil {
		return err
	}
	if err := m.Sync(); err != nil {
		return err
	}
	rec := layout.Checkpoint{
		Seq: 1, Root: ref, NextID: uint64(firstFreeID), Slabs: s.hdr.Slabs.Load(), Time: now,
		Nonce: rand.Uint64() | 1,
	}
	clear(page[:])
	rec.Encode(page[:])
	if err := m.WriteAt(page[:], layout.CheckpointPage(0)); err != nil {
		return err
	}
	return m.Sync()
}

// newHeader returns the header of a new store.
func newHeader(chunk int64) layout.Header {
	return layout.Header{
		Version: layout.FormatVersion, ReadOnly: layout.FeatureSnapshots, Incompatible: layout.FeatureListed,
		UUID: uuid.New(), ChunkSize: chunk, Created: time.Now().UnixNano(),
	}
}

// bootstrap builds the first version of a store in the first chunk, on an
// empty shm, and returns its root.
func (s *Store) bootstrap(shm *mapping.Mapping, now int64) (layout.Ref, error) {
	s.attach(shm)
	slabs := uint64(s.header.ChunkSize) / layout.SlabSize
	s.hdr.Slabs.Store(slabs)
	s.hdr.NextID.Store(uint64(firstFreeID))
	if err := s.heap.Rebuild(heap.NewLiveSet(slabs), slabs); err != nil {
		return 0, err
	}
	s.heap.SetOwner(1)
	defer s.heap.Close()
	tx := &Tx{s: s, writable: true, now: now}
	tx.ed.begin(s.heap, 1)
	defer tx.ed.end()
	for _, c := range []struct {
		id   ID
		kind value.Kind
	}{{RootID, value.KindCollection}, {MetaID, value.KindDict}, {SnapshotsID, value.KindDict}, {OrphansID, value.KindDict}} {
		oc := tx.slot()
		*oc = openContainer{id: c.id, dirty: true, rec: container.Record{
			ID: uint64(c.id), Kind: c.kind, Mode: 0o755, Mtime: now, Wtime: now, Ctime: now,
			UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
		}}
		tx.dConts++
	}
	ref, _, err := tx.build()
	return ref, err
}

// OpenMemory returns a new empty store of at most size bytes on the Go heap,
// for tests: the race detector sees what happens in it. Nothing is kept.
func OpenMemory(size int64, o Options) (*Store, error) {
	size = max(size, 2*MinChunkSize) / layout.SlabSize * layout.SlabSize
	m := mapping.Memory(size)
	m.SetHooks(o.MapHooks)
	header := newHeader(MinChunkSize)
	s := newStore("memory", header, m, o)
	ref, err := s.bootstrap(mapping.Memory(layout.ShmBytes(uint64(size)/layout.SlabSize)), time.Now().UnixNano())
	if err != nil {
		return nil, err
	}
	s.hdr.Root.Store(uint64(ref))
	s.hdr.SeqHint.Store(1)
	if err := s.claimSlot(); err != nil {
		return nil, err
	}
	s.run()
	return s, nil
}

func wrapSpace(err error) error {
	if isNoSpace(err) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
