package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

// checkpointer makes versions durable, one checkpoint at a time in a process.
// Callers that wait together share one.
type checkpointer struct {
	mu      sync.Mutex
	running chan struct{} // closed when the Sync under way ends; nil if none
	waiting []uint64      // what the callers in syncTo want that are not served yet
	expect  int           // how many waited when the last checkpoint ended
	alone   int           // so many checkpoints do not wait for company
	misses  int           // how often nobody came, one time after the other
	took    time.Duration // the last checkpoint

	coming atomic.Int64 // durable updates under way, which will wait soon

	// writing is held during a checkpoint: the process has one pair of pages and
	// one set of announcements.
	writing sync.Mutex
	fresh   freshList // of the checkpoint under way
	page    int       // + 1 of the last record of this process, 0 before the first
}

// Sync makes everything published before the call durable. Callers that wait
// together share one checkpoint. When ctx ends first its error is returned;
// what was published stays so.
func (s *Store) Sync(ctx context.Context) error {
	if s.readOnly {
		return nil
	}
	d, err := s.enter()
	if err != nil {
		return err
	}
	defer d.leave()
	return s.syncTo(ctx, s.newestSeq(), false)
}

// newestSeq returns the sequence of the newest root.
func (s *Store) newestSeq() uint64 {
	pin := s.epochs.Pin()
	defer s.epochs.Unpin(pin)
	seq := s.hdr.SeqHint.Load()
	_ = safely(func() error {
		root, _, err := s.readRoot()
		if err == nil {
			seq = root.Seq
		}
		return err
	})
	return seq
}

// readRoot reads the newest root record. The caller holds a pin.
func (s *Store) readRoot() (layout.Root, layout.Ref, error) {
	ref := layout.Ref(s.hdr.Root.Load())
	obj, err := s.heap.Object(ref, layout.KindRoot)
	if err != nil {
		return layout.Root{}, 0, err
	}
	root, err := layout.DecodeRoot(obj)
	return root, ref, err
}

// syncTo returns when a checkpoint of sequence seq or later has completed, by
// this process or any other. The caller says whether it has been counted in
// coming.
func (s *Store) syncTo(ctx context.Context, seq uint64, counted bool) error {
	c := &s.ckpt
	c.mu.Lock()
	if counted {
		c.coming.Add(-1)
	}
	if s.hdr.Poison.Load() == 0 && s.hdr.Completed.Load() >= seq {
		c.mu.Unlock()
		return nil
	}
	c.waiting = append(c.waiting, seq)
	c.mu.Unlock()
	for {
		if s.hdr.Poison.Load() != 0 {
			return ErrPoisoned
		}
		if s.hdr.Completed.Load() >= seq {
			return nil
		}
		c.mu.Lock()
		if c.running == nil {
			c.running = make(chan struct{})
			c.mu.Unlock()
			if err := s.lead(ctx); err != nil {
				return err
			}
			continue
		}
		wait := c.running
		c.mu.Unlock()
		select {
		case <-wait:
			// It may have begun before our publish; then the loop leads or joins
			// the next one.
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lead makes the checkpoint of a group. It goes on for the others if the caller
// gives up, on a goroutine of its own where the caller may.
//
// Preconditions: the caller has entered the store and set c.running.
func (s *Store) lead(ctx context.Context) error {
	checkpoint := func() error {
		c := &s.ckpt
		c.gather()
		start := time.Now()
		err := safely(func() error { return s.checkpoint(listed) })
		c.mu.Lock()
		defer c.mu.Unlock()
		c.served(s.hdr.Completed.Load(), time.Since(start))
		close(c.running)
		c.running = nil
		return err
	}
	if ctx.Done() == nil {
		return checkpoint()
	}
	d, err := s.enter()
	if err != nil { // the store is being closed
		return checkpoint()
	}
	result := make(chan error, 1)
	go func() {
		defer d.leave()
		result <- checkpoint()
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// served notes that a checkpoint has ended.
//
// Preconditions: c.mu is held.
func (c *checkpointer) served(completed uint64, took time.Duration) {
	// Those it served may come back at once; the others came too late for it.
	c.expect, c.took = len(c.waiting), took
	c.waiting = slices.DeleteFunc(c.waiting, func(seq uint64) bool { return seq <= completed })
}

// gather lets the leader of a group wait a moment for those who waited for the
// checkpoint before. Callers that write and sync in a loop would else fall into
// two groups that take turns, each too late for the checkpoint of the other. It
// waits at most half of what a checkpoint takes, and as long again while a
// durable update is under way: that one comes for certain, and all that holds it
// up is that the first write to a page after a sync may take the kernel as
// long as the sync. When nobody has come, the next checkpoints do not wait, more
// of them each time.
func (c *checkpointer) gather() {
	const (
		longest    = 250 * time.Microsecond
		mostMisses = 6
	)
	c.mu.Lock()
	expect, limit := c.expect, min(c.took/2, longest)
	first := len(c.waiting)
	if c.alone > 0 {
		c.alone--
		expect = first
	}
	c.mu.Unlock()
	have := first
	// Others are a few microseconds away, less than a timer can measure.
	for start := time.Now(); have < expect; {
		if passed := time.Since(start); passed >= 2*limit || passed >= limit && c.coming.Load() == 0 {
			break
		}
		runtime.Gosched()
		mapping.Yield()
		c.mu.Lock()
		have = len(c.waiting)
		c.mu.Unlock()
	}
	if first >= expect {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if have > first {
		c.misses = 0
		return
	}
	c.alone = 1 << c.misses
	c.misses = min(c.misses+1, mostMisses)
}

// recordKind says how a checkpoint writes its record.
type recordKind int

const (
	// plain needs two syncs, and nobody has to look later whether it holds.
	plain recordKind = iota
	// listed is for callers that wait: one sync, if the list is not too long.
	listed
	// confirming is plain, and only for a version that has a listed record and nothing
	// newer: as long as a list decides, damage to an object on it looks like a power
	// cut. It is done in the background; plain does it too.
	confirming
)

// checkpoint makes the newest version durable. No writer is held up.
//
// Its steps, and why in this order:
//
//  1. Take the last completed checkpoint, the base. What was born by then is on the
//     disk: its sync began when it had been published.
//  2. Announce the root in shm, under a pin. From here nobody reuses a block of
//     it, until a later checkpoint has completed: the record of step 5 may
//     reach the disk at any time after it, even if this process dies.
//  3. Take root, next id and file length together, before the first sync: the
//     record must not claim more than that sync makes durable.
//  4. Sync: the objects are on the disk. A record that lists those which were born
//     since the base, with their checksums, needs no sync before it (fresh.go).
//  5. Write the record to the older page of this process's own pair.
//  6. Sync: the record is on the disk. This is when the version is durable.
//  7. Raise Completed to it.
//
// With one sync, a power cut may leave the record without some of the objects.
// It does not hold then, and the opener goes back to the base or to a later
// checkpoint: the base is whole, since what it needs is reused only when a later
// one has completed.
//
// Every slot has its own pair of pages, so processes do not wait for each
// other. A failed sync poisons the store: the kernel then calls the pages
// clean, and a second sync would succeed without having written them.
func (s *Store) checkpoint(kind recordKind) error {
	s.ckpt.writing.Lock()
	defer s.ckpt.writing.Unlock()
	// A failed sync is never retried and believed.
	if s.hdr.Poison.Load() != 0 {
		return ErrPoisoned
	}
	base := s.hdr.Completed.Load()
	pin := s.epochs.Pin()
	var root layout.Root
	var ref layout.Ref
	err := safely(func() (err error) {
		root, ref, err = s.readRoot()
		return err
	})
	again := kind != listed && root.Seq == base && s.hdr.Listed.Load() == base
	if err != nil || root.Seq <= base && !again || kind == confirming && !again {
		s.epochs.Unpin(pin)
		return err
	}
	var fresh []layout.Fresh
	short := kind == listed && base != 0 && s.header.Incompatible&layout.FeatureListed != 0
	if short {
		// What cannot be read is not listed: to write is possible all the same.
		short = safely(func() error {
			var err error
			fresh, err = s.ckpt.fresh.find(s.heap, ref, root.Seq, base)
			return err
		}) == nil
	}
	ann, nonce := s.announcement(root.Seq)
	if ann == nil {
		s.epochs.Unpin(pin)
		return s.poison(errors.New("checkpoints were announced and never completed"))
	}
	rec := layout.Checkpoint{
		Seq: root.Seq, Root: ref, NextID: s.hdr.NextID.Load(), Slabs: s.hdr.Slabs.Load(),
		Time: time.Now().UnixNano(), Nonce: nonce,
	}
	if short {
		rec.Base, rec.Fresh = base, fresh
	}
	if ann.Seq.Load() != root.Seq {
		ann.Seq.Store(0)
		ann.Root.Store(uint64(ref))
		ann.Nonce.Store(rec.Nonce)
		ann.Seq.Store(root.Seq)
	}
	s.epochs.Unpin(pin)

	s.at("checkpoint.announced")
	if !short {
		if err := s.store.Sync(); err != nil {
			return s.poison(err)
		}
		s.at("checkpoint.data-synced")
		if s.hdr.Poison.Load() != 0 {
			return ErrPoisoned // another process's sync failed meanwhile
		}
	}
	if err := s.writeRecord(&rec, s.olderPage()); err != nil {
		return s.poison(err)
	}
	if again {
		s.at("checkpoint.confirming")
	}
	s.at("checkpoint.written")
	if err := s.store.Sync(); err != nil {
		return s.poison(err)
	}
	s.at("checkpoint.synced")
	if s.hdr.Poison.Load() != 0 {
		return ErrPoisoned
	}
	if short {
		raise(&s.hdr.Listed, rec.Seq)
	}
	s.complete(rec.Seq)
	if !short {
		s.hdr.Listed.CompareAndSwap(rec.Seq, 0)
	}
	s.epochs.Drain(false)
	return nil
}

// writeRecord writes a record to a page.
func (s *Store) writeRecord(rec *layout.Checkpoint, page int) error {
	var b [layout.PageSize]byte
	rec.Encode(b[:])
	s.ckpt.page = page + 1
	return s.store.WriteAt(b[:rec.Size()], layout.CheckpointPage(page))
}

// complete raises Completed to at least seq.
func (s *Store) complete(seq uint64) { raise(&s.hdr.Completed, seq) }

// raise makes a shared word at least v.
func raise(word *atomic.Uint64, v uint64) {
	for {
		old := word.Load()
		if old >= v || word.CompareAndSwap(old, v) {
			return
		}
	}
}

// announcement returns an announcement of this slot that may be overwritten: a
// free one, or one that a later completed checkpoint has made obsolete. The
// one that is the last completed checkpoint stays: the full collection marks
// from it. If seq is announced already, as when it gets another record, that one is
// returned. The nonce is for the record.
func (s *Store) announcement(seq uint64) (ann *layout.Announcement, nonce uint64) {
	completed := s.hdr.Completed.Load()
	proc := s.view.Slot(s.slot)
	for i := range proc.Announced {
		a := &proc.Announced[i]
		have := a.Seq.Load()
		if have == seq {
			return a, a.Nonce.Load()
		}
		if have == 0 || have < completed {
			ann = a
		}
	}
	return ann, rand.Uint64() | 1
}

// olderPage returns the checkpoint page of this slot's pair to overwrite: the one
// that is not valid, or else the older one, or of two of one version the one with
// a list. That is never the only record on the disk of the last completed
// checkpoint: what is newer in the pair, or plain, has been synced, by this process
// or when the slot was claimed (settleSlot).
func (s *Store) olderPage() int {
	first := s.slot * layout.CheckpointPages
	if s.ckpt.page != 0 {
		return first + (s.ckpt.page - 1 - first) ^ 1 // nobody else writes to the pair
	}
	a, aok := s.checkpointAt(first)
	b, bok := s.checkpointAt(first + 1)
	if !aok || bok && (a.Seq < b.Seq || a.Seq == b.Seq && a.Base != 0) {
		return first
	}
	return first + 1
}

// checkpointAt reads a checkpoint page. Whether the record holds is another
// question.
func (s *Store) checkpointAt(page int) (layout.Checkpoint, bool) {
	b := s.store.Bytes(layout.CheckpointPage(page), layout.PageSize)
	if leUint64(b) == 0 {
		return layout.Checkpoint{}, false // never written, as most
	}
	return layout.DecodeCheckpoint(bytes.Clone(b)) // its owner may be writing it
}

// poison ends all writing to the store until every process has closed it.
func (s *Store) poison(cause error) error {
	s.hdr.Poison.Store(1)
	return fmt.Errorf("%w: %w", ErrPoisoned, cause)
}

// work is the background of an open store: a checkpoint every commit interval
// while there is something new, and the cleaning of dead processes.
func (s *Store) work(ctx context.Context) {
	defer s.worker.Done()
	const beat = 250 * time.Millisecond
	const confirmEvery = time.Second
	interval, period := s.commit, beat
	tick := time.NewTicker(period)
	defer tick.Stop()
	last := time.Now()
	confirmed := last
	for n := 0; ; n++ {
		// The setting may change at any time; a failure to read it is not this
		// goroutine's to tell.
		_ = s.View(func(tx *Tx) error {
			tx.learn()
			return nil
		})
		if s.commit == 0 {
			interval = s.current().Commit
		}
		if next := max(min(beat, interval), time.Millisecond); interval > 0 && next != period {
			period = next
			tick.Reset(period)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.epochs.Drain(true)
		if n%4 == 0 {
			s.cleanDead()
		}
		if interval > 0 && time.Since(last) >= interval {
			last = time.Now()
			// An error poisons the store, and every writer is told.
			_ = safely(func() error { return s.checkpoint(plain) })
		}
		if time.Since(confirmed) >= confirmEvery {
			confirmed = time.Now()
			_ = safely(func() error { return s.checkpoint(confirming) })
		}
	}
}
