package engine

import (
	"context"
	"time"

	"pongofs/engine/epoch"
	"pongofs/engine/heap"
	"pongofs/engine/layout"
	"pongofs/engine/trace"
)

// Internals is the one door through which package gc and the checker reach
// the parts of a store. Nobody else should use it.
type Internals struct{ s *Store }

// Internals returns the door to the parts of s.
func (s *Store) Internals() Internals { return Internals{s} }

// Heap returns the allocator.
func (in Internals) Heap() *heap.Heap { return in.s.heap }

// Epochs returns the pins.
func (in Internals) Epochs() *epoch.Epochs { return in.s.epochs }

// Header returns the header of the shm.
func (in Internals) Header() *layout.ShmHeader { return in.s.hdr }

// Token returns the owner word of this process's slot.
func (in Internals) Token() uint64 { return in.s.token }

// Enter keeps the store open until leave is called; ErrClosed when it is
// closed.
func (in Internals) Enter() (leave func(), err error) {
	d, err := in.s.enter()
	if err != nil {
		return nil, err
	}
	return d.leave, nil
}

// At calls the hook of the store.
func (in Internals) At(point string) { in.s.at(point) }

// PinNewest makes a named pin of the newest root.
func (in Internals) PinNewest() (named *epoch.Named, root layout.Root, ref layout.Ref, err error) {
	err = safely(func() error {
		named, root, ref, err = in.s.rootPin()
		return err
	})
	return named, root, ref, err
}

// PublishEmpty publishes a version that differs from the one before in its
// sequence only, and returns that.
func (in Internals) PublishEmpty() (uint64, error) {
	return in.s.update(func(tx *Tx) error {
		tx.forced = true
		tx.makesSpace()
		return nil
	})
}

// WaitPins waits until every short pin of every process is at seq or later,
// so that nobody reads a root before seq except through a named pin. It cleans
// up after dead processes meanwhile. A stopped process makes it wait until ctx
// ends.
func (in Internals) WaitPins(ctx context.Context, seq uint64) error {
	for n := 0; ; n++ {
		low, _, ok := in.s.epochs.MinPin()
		if !ok || low >= seq {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if n%64 == 63 {
			in.s.cleanDead()
		}
		time.Sleep(min(time.Duration(n+1)*10*time.Microsecond, time.Millisecond))
	}
}

// Mark marks what is reachable from the given root M of sequence m, from the
// completed and announced checkpoints, and from every named pin.
//
// Of those only the ones older than M are marked from. What a newer one reaches
// was born after m, or is reached from M as well; and nothing keeps a newer one
// from being given up, and its blocks reused, while the walk is under way.
func (in Internals) Mark(root layout.Ref, m uint64) (*trace.Tracer, error) {
	s := in.s
	tr := trace.New(s.heap, s.hdr.Slabs.Load())
	err := safely(func() error {
		if err := tr.Root(root); err != nil {
			return err
		}
		completed := s.hdr.Completed.Load()
		for i := range int(s.hdr.SlotHigh.Load()) {
			proc := s.view.Slot(i)
			for a := range proc.Announced {
				ann := &proc.Announced[a]
				// The root is read between two looks at the sequence, so that it
				// belongs to it: an announcement being replaced is one that a later
				// completed checkpoint has made obsolete.
				seq := ann.Seq.Load()
				ref := layout.Ref(ann.Root.Load())
				if seq < completed || seq == 0 || seq >= m || ann.Seq.Load() != seq {
					continue
				}
				if err := tr.Root(ref); err != nil {
					return err
				}
			}
		}
		for _, p := range s.epochs.NamedPins(nil) {
			if p.Seq >= m {
				continue
			}
			mark := tr.Root
			if p.Value {
				mark = tr.Value
			}
			if err := mark(p.Ref); err != nil {
				return err
			}
		}
		return nil
	})
	return tr, err
}

// Sweep frees what is allocated, not in live and born at or before bornMax,
// and recomputes the hints of the allocator.
func (in Internals) Sweep(live *heap.LiveSet, bornMax uint64) (swept heap.Swept, err error) {
	err = safely(func() error {
		swept = in.s.heap.Sweep(live, bornMax)
		in.s.heap.RefreshHints()
		return nil
	})
	return swept, err
}

// CleanDead cleans up after processes that have died.
func (in Internals) CleanDead() { in.s.cleanDead() }

// LeaseAlive reports whether the process that holds a lease with the given
// owner word is alive; it cleans up after it if not.
func (in Internals) LeaseAlive(owner uint64) bool {
	in.s.cleanDead()
	slot := epoch.TokenSlot(owner)
	if slot < 0 || slot >= layout.MaxProcesses {
		return false
	}
	p := in.s.view.Slot(slot)
	return p.Used.Load() != 0 && epoch.Token(slot, p.Incarnation.Load()) == owner
}

// SlabBytes is the size in bytes of a slab, the unit in which the file grows.
const SlabBytes = layout.SlabSize
