package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"pongofs/engine/layout"
	"pongofs/engine/trace"
)

// BackupStats says what a backup holds.
type BackupStats struct {
	Seq       uint64 // of the version
	Entries   uint64
	Objects   int64
	Bytes     int64 // in objects
	FileBytes int64 // length of the file; what lies between objects takes no space
}

// Backup writes the newest version, snapshots included, to f, which must be
// empty, as a store of its own, and syncs it. Readers and writers of all
// processes go on meanwhile. After an error f holds no store.
//
// The objects of the version are copied as they are, to the offsets that they
// have: nothing is decoded, so nothing can be changed, and what two snapshots
// share stays shared. What is no part of the version is left out, as a hole.
// Every checksum is verified on the way, and again in the copy that is
// written. docs/adr/0012 has the reasons.
func (s *Store) Backup(ctx context.Context, f *os.File) (st BackupStats, err error) {
	d, err := s.enter()
	if err != nil {
		return st, err
	}
	defer d.leave()
	named, root, ref, err := s.Internals().PinNewest()
	if err != nil {
		return st, err
	}
	defer named.Drop()
	// After the pin: larger than every id of the version.
	nextID := s.hdr.NextID.Load()
	err = safely(func() error {
		st, err = s.backup(ctx, f, root, ref, nextID)
		return err
	})
	return st, err
}

func (s *Store) backup(ctx context.Context, f *os.File, root layout.Root, ref layout.Ref, nextID uint64) (BackupStats, error) {
	st := BackupStats{Seq: root.Seq, Entries: root.Entries}
	tr := trace.New(s.heap, s.hdr.Slabs.Load())
	tr.Verify = true
	if err := tr.Root(ref); err != nil {
		return st, err
	}
	live := tr.Live()
	st.Objects, st.Bytes = live.Objects, live.Bytes
	// The reserved slabs are written at the end.
	slabs := uint64(layout.ReservedSlabs)
	var buf [layout.SlabSize]byte
	for slab := uint64(layout.ReservedSlabs); slab < live.Slabs(); slab++ {
		if err := ctx.Err(); err != nil {
			return st, err
		}
		used := 0
		var bad error
		live.Each(slab, func(ref layout.Ref) {
			if used == 0 {
				clear(buf[:])
			}
			obj, err := s.heap.Object(ref, layout.KindFree)
			if err == nil {
				at := uint64(ref) % layout.SlabSize
				used = int(at) + copy(buf[at:], obj)
				if !layout.VerifySeal(buf[at:used]) {
					err = layout.Corrupt("object", ref, "checksum does not match")
				}
			}
			bad = errors.Join(bad, err)
		})
		if bad != nil {
			return st, bad
		}
		if used == 0 {
			continue
		}
		used = (used + layout.PageSize - 1) / layout.PageSize * layout.PageSize
		if _, err := f.WriteAt(buf[:used], int64(slab*layout.SlabSize)); err != nil {
			return st, wrapSpace(err)
		}
		slabs = slab + 1
	}
	// A store that is never opened for writing needs its whole length, too.
	st.FileBytes = int64(slabs * layout.SlabSize)
	if err := f.Truncate(st.FileBytes); err != nil {
		return st, wrapSpace(err)
	}
	var page [layout.PageSize]byte
	s.header.Encode(page[:])
	if _, err := f.WriteAt(page[:], layout.HeaderOffset); err != nil {
		return st, wrapSpace(err)
	}
	if err := f.Sync(); err != nil {
		return st, fmt.Errorf("sync %s: %w", f.Name(), err)
	}
	rec := layout.Checkpoint{
		Seq: root.Seq, Root: ref, NextID: nextID, Slabs: slabs, Time: time.Now().UnixNano(), Nonce: rand.Uint64() | 1,
	}
	clear(page[:])
	rec.Encode(page[:])
	if _, err := f.WriteAt(page[:], layout.CheckpointPage(0)); err != nil {
		return st, wrapSpace(err)
	}
	if err := f.Sync(); err != nil {
		return st, fmt.Errorf("sync %s: %w", f.Name(), err)
	}
	return st, nil
}
