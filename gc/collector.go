// Package gc decides when and how hard to collect garbage in a store.
//
// Most garbage never needs it: what an edit replaces goes to the limbo of its
// process and is reused as soon as nobody can read it any more (package epoch).
// A full collection finds the rest: blocks that a killed process had allocated
// or retired, and blocks that only a dropped snapshot held. It marks what can
// be reached and frees everything else, beside readers and writers, who are
// never stopped; it may be killed at any instruction.
package gc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pongofs/engine"
)

// ErrRunning reports that another process or goroutine collects.
var ErrRunning = errors.New("a collection is running")

// Collector collects one store.
type Collector struct {
	s  *engine.Store
	in engine.Internals
}

// New returns a collector of s.
func New(s *engine.Store) *Collector { return &Collector{s: s, in: s.Internals()} }

// Stats is what a full collection found and did.
type Stats struct {
	Seq        uint64 // everything born later counted as live
	Live       int64  // objects marked
	LiveBytes  int64
	Freed      int64 // objects freed
	FreedBytes int64
	Wait       time.Duration // for older pins to end
	Mark       time.Duration
	Sweep      time.Duration
}

// Quick frees what is in the limbo of this process and may be reused.
func (c *Collector) Quick() error {
	leave, err := c.in.Enter()
	if err != nil {
		return err
	}
	defer leave()
	c.in.Epochs().Drain(true)
	return nil
}

// Full runs a full collection. It returns ErrRunning when one is under way,
// and ctx's error when it ends before all readers of older versions have.
//
// Its steps, M being the root it marks from and m the sequence of M:
//
//  0. Publish an empty version, so that what a killed process had built upon
//     the version before was born at or before m.
//  1. Pin M by name.
//  2. Store m in GCSeq: from now on blocks retired at or before m belong to the
//     collection, and limbo drops them.
//  3. Publish an empty version e.
//  4. Wait until all short pins are at e or later. Then nobody reads a root
//     before e, no edit is under way that began before e, and every drain of a
//     limbo has seen GCSeq.
//     Make a checkpoint, so that no older one has to be marked from: what only
//     an older one holds would stay until the next full collection.
//  5. Mark from M, from checkpoints, from named pins.
//  6. Free what is allocated, unmarked, and born at or before m.
//
// What a later root reaches was either born after m or is reachable from M,
// since a block that has once been retired never comes back. So what step 6
// frees, nobody can reach.
func (c *Collector) Full(ctx context.Context) (Stats, error) {
	return c.full(ctx, func() bool { return true })
}

// errNotDue reports that a collection which has ended meanwhile was enough.
var errNotDue = errors.New("no collection is due")

// full is Full if due, which is asked under the lease, says that it is needed.
func (c *Collector) full(ctx context.Context, due func() bool) (st Stats, err error) {
	leave, err := c.in.Enter()
	if err != nil {
		return st, err
	}
	defer leave()
	if err := c.lease(); err != nil {
		return st, err
	}
	hdr := c.in.Header()
	defer func() {
		hdr.GCLease.CompareAndSwap(c.in.Token(), 0)
	}()

	if !due() {
		return st, errNotDue
	}
	// Snapshots are counted after they are dropped, so these are not in M. Deaths
	// are counted after the dead were cleaned up after, so these hold nothing.
	dropped, deaths, slabs := hdr.Dropped.Load(), hdr.Deaths.Load(), hdr.Slabs.Load()
	if _, err := c.in.PublishEmpty(); err != nil {
		return st, fmt.Errorf("collect: %w", err)
	}
	named, root, ref, err := c.in.PinNewest()
	if err != nil {
		return st, fmt.Errorf("collect: %w", err)
	}
	defer named.Drop()
	st.Seq = root.Seq
	c.in.At("gc.pinned")
	lost := hdr.Lost.Load()
	hdr.GCOpen.Store(1)
	hdr.GCSeq.Store(root.Seq)
	c.in.At("gc.seq-stored")
	start := time.Now()
	empty, err := c.in.PublishEmpty()
	if err != nil {
		return st, fmt.Errorf("collect: %w", err)
	}
	c.in.At("gc.published")
	if err := c.in.WaitPins(ctx, empty); err != nil {
		return st, fmt.Errorf("collect: waiting for readers of older versions: %w", err)
	}
	if err := c.s.Sync(ctx); err != nil {
		return st, fmt.Errorf("collect: %w", err)
	}
	st.Wait = time.Since(start)

	start = time.Now()
	tr, err := c.in.Mark(ref, root.Seq)
	if err != nil {
		return st, fmt.Errorf("collect: %w", err)
	}
	st.Mark = time.Since(start)
	st.Live, st.LiveBytes = tr.Live().Objects, tr.Live().Bytes
	c.in.At("gc.marked")

	start = time.Now()
	swept, err := c.in.Sweep(tr.Live(), root.Seq)
	if err != nil {
		return st, fmt.Errorf("collect: %w", err)
	}
	st.Sweep = time.Since(start)
	st.Freed, st.FreedBytes = swept.Objects, swept.Bytes
	hdr.Lost.Add(-lost)
	hdr.DroppedDone.Store(dropped)
	hdr.DeathsDone.Store(deaths)
	hdr.GCSlabs.Store(slabs)
	hdr.GCOpen.Store(0)
	hdr.GCCount.Add(1)
	hdr.GCFreed.Store(uint64(swept.Bytes))
	hdr.GCNanos.Store(uint64(st.Wait + st.Mark + st.Sweep))
	hdr.GCTime.Store(uint64(time.Now().UnixNano()))
	return st, nil
}

// lease takes the right to collect. The lease of a dead process is taken over
// after its slot has been cleaned.
func (c *Collector) lease() error {
	hdr := c.in.Header()
	for range 3 {
		owner := hdr.GCLease.Load()
		if owner == 0 {
			if hdr.GCLease.CompareAndSwap(0, c.in.Token()) {
				return nil
			}
			continue
		}
		if owner == c.in.Token() || c.in.LeaseAlive(owner) {
			return ErrRunning
		}
		hdr.GCLease.CompareAndSwap(owner, 0)
	}
	return ErrRunning
}
