package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"pongofs/engine/layout"
	"pongofs/engine/mapping"
	"pongofs/engine/trace"
)

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// afterLoss is how far sequences jump when the newest published version may be
// lost, so that no block that the lost future left behind was born in the
// present one's past.
const afterLoss = 1 << 32

// start opens a store that no other process has open. The caller holds the
// gate.
//
// After a clean close the shm is as good as it was. After kill -9 it holds the
// newest published root, which is adopted once it has been traced and its
// checksums verified. Otherwise, or if that fails, the newest valid checkpoint
// is the state of the store. In the last two cases the allocator is rebuilt by
// tracing, in a new shm file that replaces the old one by rename.
func (s *Store) start() error {
	shm, why, err := s.oldShm()
	if err != nil {
		return err
	}
	if shm == nil {
		return s.recover(adoption{}, why)
	}
	// Whether the record holds does not matter here: the page cache has everything
	// that was written, so if it does not, it is damaged, and found may be whole.
	newest := s.highestRecord()
	hdr := layout.NewShm(shm.Base(), shm.Reserved()).Header()
	found := adoption{
		root: layout.Ref(hdr.Root.Load()), seq: max(hdr.SeqHint.Load(), hdr.Completed.Load()),
		nextID: hdr.NextID.Load(), slabs: hdr.Slabs.Load(), completed: hdr.Completed.Load(),
	}
	poisoned := hdr.Poison.Load() != 0
	known := newest.Seq > 0 && announced(layout.NewShm(shm.Base(), shm.Reserved()), newest.Nonce)
	clean := hdr.Clean.Load() == 1 && known && hdr.Completed.Load() == newest.Seq && found.root == newest.Root && !poisoned
	if size, err := s.store.Size(); err != nil {
		return errors.Join(err, shm.Close())
	} else if uint64(size)/layout.SlabSize < found.slabs {
		clean = false // recover says what is wrong
	}
	if clean {
		s.attach(shm)
		return s.fits(found.slabs)
	}
	if err := shm.Close(); err != nil {
		return err
	}
	switch {
	case poisoned:
		// The kernel may have called pages clean that never reached the disk. Only
		// what the disk holds counts.
		_ = s.store.Sync()
		_ = s.store.DropCache()
		return s.recover(adoption{}, "a sync had failed")
	case !known:
		return s.recover(adoption{}, "the shm file does not know the newest checkpoint")
	}
	return s.recover(found, "the store was not closed")
}

// oldShm maps the shm file beside the store if it belongs to it.
func (s *Store) oldShm() (*mapping.Mapping, string, error) {
	f, err := os.OpenFile(shmPath(s.path), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "there is no shm file", nil
	}
	if err != nil {
		return nil, "", err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	if info.Size() < layout.ShmSlabs {
		return nil, "the shm file is too short", f.Close()
	}
	shm, err := mapShm(f, s.store.Reserved())
	if err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	why, err := s.shmGood(layout.NewShm(shm.Base(), shm.Reserved()).Header(), info.Size())
	if err != nil || why != "" {
		return nil, why, errors.Join(err, shm.Close())
	}
	return shm, "", nil
}

// announced reports whether a checkpoint of that nonce was announced in shm.
func announced(view layout.Shm, nonce uint64) bool {
	for i := range layout.MaxProcesses {
		p := view.Slot(i)
		for a := range p.Announced {
			if p.Announced[a].Seq.Load() != 0 && p.Announced[a].Nonce.Load() == nonce {
				return true
			}
		}
	}
	return false
}

// newestCheckpoint returns the checkpoint record that is the state of the store,
// and its page; ErrCorrupt if there is none.
func (s *Store) newestCheckpoint() (layout.Checkpoint, int, error) {
	var records []layout.Checkpoint
	var pages []int
	for i := range layout.MaxProcesses * layout.CheckpointPages {
		if c, ok := s.checkpointAt(i); ok {
			records, pages = append(records, c), append(pages, i)
		}
	}
	size, err := s.store.Size()
	if err != nil {
		return layout.Checkpoint{}, -1, err
	}
	size = min(size, s.store.Reserved())
	i, refused := layout.NewestCheckpoint(records, func(c *layout.Checkpoint) (ok bool) {
		// What cannot be read is not there.
		_ = safely(func() error {
			ok = c.Holds(size, s.bytes)
			return nil
		})
		return ok
	})
	switch {
	case i >= 0:
		return records[i], pages[i], nil
	case len(refused) > 0:
		c := &records[refused[len(refused)-1]]
		err = layout.Corrupt("checkpoint", c.Root, "of version %d is not whole, and that of version %d, which it builds on, is damaged",
			c.Seq, c.Base)
	default:
		err = layout.Corrupt("file", 0, "has no valid checkpoint")
	}
	return layout.Checkpoint{}, -1, fmt.Errorf("%s: %w", s.path, err)
}

// highestRecord returns the valid record of the highest sequence, whether it holds
// or not, the zero record if there is none.
func (s *Store) highestRecord() (best layout.Checkpoint) {
	for i := range layout.MaxProcesses * layout.CheckpointPages {
		if c, ok := s.checkpointAt(i); ok && c.Seq > best.Seq {
			best = c
		}
	}
	return best
}

func (s *Store) bytes(off int64, n int) []byte { return s.store.Bytes(off, int64(n)) }

// adoption is a published version that may be newer than the durable one.
type adoption struct {
	root   layout.Ref
	seq    uint64 // the version is no older than this
	nextID uint64
	slabs  uint64

	completed uint64 // the version of the last completed checkpoint
}

// recover makes the store usable after anything but a clean close: it finds
// the version to go on from, makes it durable, and rebuilds the shm.
//
// adopt is what a good shm says of the newest published version, zero if there
// is none; why says why the shm could not simply be used.
func (s *Store) recover(adopt adoption, why string) error {
	s.at("recover: " + why)
	// After kill -9 the newest checkpoint may exist in the page cache only. It
	// must be on the disk before anything that an older one needs is reused.
	if err := s.syncFresh(); err != nil {
		return err
	}
	durable, page, err := s.newestCheckpoint()
	if err != nil {
		return err
	}
	size, err := s.store.Size()
	if err != nil {
		return err
	}
	if uint64(size)/layout.SlabSize < durable.Slabs {
		return fmt.Errorf("%s: %w", s.path, layout.Corrupt("file", 0,
			"is %d bytes long, its checkpoint needs %d slabs of %d bytes: it was cut", size, durable.Slabs, layout.SlabSize))
	}
	if durable.Slabs <= layout.ReservedSlabs {
		return fmt.Errorf("%s: %w", s.path, layout.Corrupt("checkpoint", durable.Root, "claims %d slabs", durable.Slabs))
	}
	slabs := max(min(adopt.slabs, uint64(size)/layout.SlabSize), durable.Slabs)
	nextID := max(adopt.nextID, durable.NextID)
	if err := s.fits(slabs); err != nil {
		return err
	}

	tmp, shm, err := s.newShm(slabs)
	if err != nil {
		return err
	}
	defer func() {
		if tmp != "" {
			_ = os.Remove(tmp)
		}
	}()
	s.attach(shm)
	s.hdr.Slabs.Store(slabs)
	s.hdr.NextID.Store(nextID)

	root, tr, err := s.traceBest(adopt, durable, slabs)
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	if err := s.heap.Rebuild(tr.Live(), slabs); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	// Extents beyond the checkpoint hold nothing that is needed; they are used
	// again from the start, with space that the disk has promised.
	if err := s.store.Allocate(0, int64(slabs)*layout.SlabSize); err != nil {
		return wrapSpace(err)
	}
	rec := durable
	if root != durable.Root {
		rec, err = s.persist(root, page)
	} else if adopt.root != root {
		rec, err = s.renew(durable, page)
	}
	if err != nil {
		return err
	}
	ann := &s.view.Slot(0).Announced[0]
	ann.Root.Store(uint64(rec.Root))
	ann.Nonce.Store(rec.Nonce)
	ann.Seq.Store(rec.Seq)
	s.hdr.SlotHigh.Store(1)
	if rec.Base != 0 {
		s.hdr.Listed.Store(rec.Seq)
	}
	s.hdr.Completed.Store(rec.Seq)
	s.hdr.SeqHint.Store(rec.Seq)
	s.hdr.Root.Store(uint64(rec.Root))

	// The new shm takes its name before the session page makes it the one that
	// counts; killed in between, the next opener recovers again, to the same
	// state, since that is durable.
	if err := os.Rename(tmp, shmPath(s.path)); err != nil {
		return err
	}
	tmp = ""
	var nonce [8]byte
	putUint64(nonce[:], s.hdr.Session)
	return s.store.WriteAt(nonce[:], layout.SessionOffset)
}

// traceBest traces the root to adopt, or the durable one if there is none or
// it is damaged.
//
// A root to adopt must be as new as the shm says: with a store file that was
// overwritten by a copy, its block may hold a root record of an earlier life.
func (s *Store) traceBest(adopt adoption, durable layout.Checkpoint, slabs uint64) (layout.Ref, *trace.Tracer, error) {
	if adopt.root != layout.Nil && adopt.root != durable.Root {
		tr := trace.New(s.heap, slabs)
		tr.Verify = true
		err := safely(func() error {
			obj, err := s.heap.Object(adopt.root, layout.KindRoot)
			if err != nil {
				return err
			}
			root, err := layout.DecodeRoot(obj)
			if err != nil {
				return err
			}
			if root.Seq < max(adopt.seq, durable.Seq) {
				return layout.Corrupt("root record", adopt.root, "is older than the newest version")
			}
			tr.Strict(root.Seq)
			return tr.Root(adopt.root)
		})
		if err == nil {
			return adopt.root, tr, nil
		}
	}
	if durable.Seq < adopt.completed {
		// No power cut has taken it back: the shm is good.
		return 0, nil, layout.Corrupt("checkpoint", durable.Root,
			"of version %d is the newest that is whole, but version %d was durable and is damaged", durable.Seq, adopt.completed)
	}
	tr := trace.New(s.heap, slabs)
	tr.Verify = true
	tr.Strict(durable.Seq)
	if err := safely(func() error { return tr.Root(durable.Root) }); err != nil {
		return 0, nil, err
	}
	return durable.Root, tr, nil
}

// persist makes an adopted root the newest checkpoint, in a page other than
// that of the present one.
func (s *Store) persist(ref layout.Ref, page int) (layout.Checkpoint, error) {
	obj, err := s.heap.Object(ref, layout.KindRoot)
	if err != nil {
		return layout.Checkpoint{}, err
	}
	root, err := layout.DecodeRoot(obj)
	if err != nil {
		return layout.Checkpoint{}, err
	}
	return s.record(root.Seq, ref, page)
}

// renew publishes the durable version again under a sequence far ahead.
func (s *Store) renew(durable layout.Checkpoint, page int) (layout.Checkpoint, error) {
	obj, err := s.heap.Object(durable.Root, layout.KindRoot)
	if err != nil {
		return layout.Checkpoint{}, err
	}
	root, err := layout.DecodeRoot(obj)
	if err != nil {
		return layout.Checkpoint{}, err
	}
	root.Seq = durable.Seq + afterLoss
	root.Time = time.Now().UnixNano()
	cur := s.heap.Cursor()
	cur.Urgent = true // a full store must open
	ref, obj, err := cur.Alloc(layout.KindRoot, layout.RootSize, root.Seq)
	s.heap.Release(cur)
	s.heap.Close()
	if err != nil {
		return layout.Checkpoint{}, wrap(err)
	}
	root.Encode(obj)
	layout.Seal(obj)
	rec, err := s.record(root.Seq, ref, page)
	if err == nil {
		// The record that the checkpoint of before refers to is of no more use.
		s.heap.Free(durable.Root, layout.RootSize/layout.Granule)
	}
	return rec, err
}

// record writes and syncs a checkpoint record, not over the one in page.
func (s *Store) record(seq uint64, ref layout.Ref, page int) (layout.Checkpoint, error) {
	rec := layout.Checkpoint{
		Seq: seq, Root: ref, NextID: s.hdr.NextID.Load(), Slabs: s.hdr.Slabs.Load(),
		Time: time.Now().UnixNano(), Nonce: rand.Uint64() | 1,
	}
	var b [layout.CheckpointRecord]byte
	rec.Encode(b[:])
	if err := s.syncFresh(); err != nil {
		return rec, err
	}
	if err := s.store.WriteAt(b[:], layout.CheckpointPage(page^1)); err != nil {
		return rec, err
	}
	return rec, s.syncFresh()
}

// syncFresh is a sync after whose failure the next opener does not see the
// pages that the kernel then calls clean although the disk does not have them.
func (s *Store) syncFresh() error {
	err := s.store.Sync()
	if err != nil {
		_ = s.store.DropCache()
		return fmt.Errorf("sync %s: %w", s.path, err)
	}
	return nil
}

// newShm makes a shm file under a temporary name and maps it.
func (s *Store) newShm(slabs uint64) (string, *mapping.Mapping, error) {
	info, err := s.store.File().Stat()
	if err != nil {
		return "", nil, err
	}
	tmp := fmt.Sprintf("%s.new-%08x", shmPath(s.path), rand.Uint32())
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return "", nil, err
	}
	fail := func(err error) (string, *mapping.Mapping, error) {
		return "", nil, errors.Join(err, f.Close(), os.Remove(tmp))
	}
	// Whoever may use the store may use its shm, as far as we may say so.
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(sys.Uid), int(sys.Gid)); err != nil {
			_ = f.Chown(-1, int(sys.Gid))
		}
	}
	if err := f.Chmod(info.Mode().Perm()); err != nil {
		return fail(err)
	}
	shm, err := mapShm(f, s.store.Reserved())
	if err != nil {
		return fail(err)
	}
	if err := shm.Allocate(0, layout.ShmBytes(slabs)); err != nil {
		_ = os.Remove(tmp)
		return "", nil, errors.Join(wrapSpace(err), shm.Close())
	}
	boot, err := mapping.BootID()
	if err != nil {
		return fail(err)
	}
	dev, ino, err := mapping.Identity(s.store.File())
	if err != nil {
		return fail(err)
	}
	hdr := layout.NewShm(shm.Base(), shm.Reserved()).Header()
	hdr.Magic, hdr.Version = layout.ShmMagic, layout.FormatVersion
	hdr.BootID, hdr.UUID, hdr.Dev, hdr.Ino = boot, s.header.UUID, dev, ino
	hdr.Session = rand.Uint64() | 1
	return tmp, shm, nil
}
