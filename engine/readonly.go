package engine

import (
	"errors"
	"fmt"

	"pongofs/engine/heap"
	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

// openReadOnly opens a store without writing to it or beside it: no slot, no
// pin that others could see. So it excludes writers by a lock while it lasts,
// and shows the newest durable version.
func openReadOnly(path string, o Options) (s *Store, err error) {
	s, err = mapStore(path, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.unmap())
			s = nil
		}
	}()
	m := s.store
	if ok, err := m.TryShare(mapping.LockReaders, 1); err != nil {
		return s, err
	} else if !ok {
		return s, fmt.Errorf("%s: %w", path, ErrBusy)
	}
	if inUse, err := m.Locked(mapping.LockGate, 1); err != nil || inUse {
		return s, errors.Join(err, fmt.Errorf("%s: %w: a process is opening it for writing", path, ErrBusy))
	}
	if inUse, err := m.Locked(mapping.LockSlots, layout.MaxProcesses); err != nil || inUse {
		return s, errors.Join(err, fmt.Errorf("%s: %w: a process has it open for writing", path, ErrBusy))
	}
	durable, _, err := s.newestCheckpoint()
	if err != nil {
		return s, err
	}
	size, err := m.Size()
	if err != nil {
		return s, err
	}
	if uint64(size)/layout.SlabSize < durable.Slabs {
		return s, fmt.Errorf("%s: %w", path, layout.Corrupt("file", 0,
			"is %d bytes long, its checkpoint needs %d: it was cut", size, durable.Slabs*layout.SlabSize))
	}
	if err := s.fits(durable.Slabs); err != nil {
		return s, err
	}
	// A shm of its own, without slab descriptors: nothing is allocated.
	s.shm = mapping.Memory(layout.ShmSlabs)
	s.view = layout.NewShm(s.shm.Base(), s.shm.Reserved())
	s.hdr = s.view.Header()
	s.heap = heap.New(heap.Config{Store: m, Shm: s.shm, View: s.view, ChunkSize: s.header.ChunkSize, ReadOnly: true})
	s.hdr.Slabs.Store(durable.Slabs)
	s.hdr.NextID.Store(durable.NextID)
	s.hdr.Completed.Store(durable.Seq)
	s.hdr.SeqHint.Store(durable.Seq)
	s.hdr.Root.Store(uint64(durable.Root))
	s.view.Slot(0).Used.Store(1)
	s.run()
	return s, nil
}
