// Package trace finds the objects that can be reached from a set of roots: the
// live set. The full collection, recovery and check need it.
//
// It reads through a heap and changes nothing. A Tracer belongs to one
// goroutine; others may write to the store meanwhile as long as the roots are
// pinned.
package trace

import (
	"fmt"
	"runtime"

	"pongofs/engine/container"
	"pongofs/engine/heap"
	"pongofs/engine/layout"
)

// Tracer collects what is reachable.
type Tracer struct {
	h    *heap.Heap
	live *heap.LiveSet
	// Verify makes the tracer check the checksum of every object.
	Verify bool
	// ByKind counts the objects of each kind.
	ByKind [16]KindUsage

	// Above makes the tracer pass over objects that were born at or before it,
	// with all that they reach: what they reach was born no later.
	Above uint64
	// Flat makes the tracer pass over the snapshots that a root lists.
	Flat bool

	strict bool
	maxSeq uint64
	stack  []item
	snaps  []layout.Ref // root records of snapshots, put off by a strict trace
}

// KindUsage is what the objects of one kind take.
type KindUsage struct {
	Objects int64
	Bytes   int64 // with what is lost by rounding
	Used    int64 // without
}

// Strict makes the tracer demand, of one root of sequence seq, what must hold
// after a crash: that no object has two referrers within the version, and none
// was born after it. Its snapshots are walked when it has been: they share what
// they have not lost, so there second referrers are usual.
func (t *Tracer) Strict(seq uint64) { t.strict, t.maxSeq = true, seq }

type item struct {
	ref  layout.Ref
	kind layout.Kind
}

// restEvery is after how many objects a tracer lets other goroutines run, which
// is a fraction of a millisecond. Where all processors are in use, a reader or
// writer would else wait until the scheduler takes this one away, after ten.
const restEvery = 4096

// New returns a Tracer for a store of n slabs.
func New(h *heap.Heap, n uint64) *Tracer {
	return &Tracer{h: h, live: heap.NewLiveSet(n)}
}

// Live returns what has been marked so far.
func (t *Tracer) Live() *heap.LiveSet { return t.live }

// Root marks everything that a root record reaches, the record included, and
// the roots that its snapshot table lists. The root of a snapshot lists none:
// its table is empty, whatever there was when it was taken. So the walk needs
// not to know by which way it came.
func (t *Tracer) Root(ref layout.Ref) error {
	if err := t.mark(ref, layout.KindRoot); err != nil {
		return err
	}
	strict := t.strict
	defer func() { t.strict = strict }()
	t.strict = false
	for len(t.snaps) > 0 {
		snap := t.snaps[len(t.snaps)-1]
		t.snaps = t.snaps[:len(t.snaps)-1]
		if err := t.mark(snap, layout.KindRoot); err != nil {
			return err
		}
	}
	return nil
}

// Value marks the blocks of a value.
func (t *Tracer) Value(ref layout.Ref) error { return t.mark(ref, container.KindAny) }

// mark walks depth first with a stack of its own. Each object is visited once,
// so damage that makes a cycle ends, and work is bounded by the file.
func (t *Tracer) mark(ref layout.Ref, kind layout.Kind) error {
	t.stack = append(t.stack[:0], item{ref, kind})
	for n := 1; len(t.stack) > 0; n++ {
		if n%restEvery == 0 {
			runtime.Gosched()
		}
		it := t.stack[len(t.stack)-1]
		t.stack = t.stack[:len(t.stack)-1]
		if it.ref == layout.Nil {
			continue
		}
		obj, err := t.h.Object(it.ref, it.kind)
		if err != nil {
			return err
		}
		if layout.ObjectBirth(obj) <= t.Above {
			continue
		}
		if !t.live.Add(it.ref, len(obj)) {
			if !t.live.Has(it.ref) {
				return layout.Corrupt("reference", it.ref, "behind the end of the store")
			}
			if t.strict {
				return layout.Corrupt("object", it.ref, "has two referrers")
			}
			continue
		}
		k := layout.ObjectKind(obj)
		if int(k) < len(t.ByKind) {
			u := &t.ByKind[k]
			u.Objects++
			u.Bytes += int64(len(obj))
			u.Used += int64(container.Used(obj, k))
		}
		if t.Verify && !layout.VerifySeal(obj) {
			return layout.Corrupt("object", it.ref, "checksum does not match")
		}
		if t.maxSeq != 0 && layout.ObjectBirth(obj) > t.maxSeq {
			return layout.Corrupt("object", it.ref, "was born at %d, after its root of %d", layout.ObjectBirth(obj), t.maxSeq)
		}
		if k == layout.KindRoot {
			root, err := layout.DecodeRoot(obj)
			if err != nil {
				return err
			}
			if t.strict && (root.Seq != t.maxSeq || root.Seq == 0 || layout.ObjectBirth(obj) != root.Seq) {
				return layout.Corrupt("root record", it.ref, "has sequence %d, not %d", root.Seq, t.maxSeq)
			}
			if root.IDTable != layout.Nil {
				t.stack = append(t.stack, item{root.IDTable, layout.KindIDNode})
			}
			continue
		}
		err = container.Children(obj, k, func(ref layout.Ref, kind layout.Kind) error {
			switch {
			case kind != layout.KindRoot:
			case t.Flat:
				return nil
			case t.strict:
				t.snaps = append(t.snaps, ref)
				return nil
			}
			t.stack = append(t.stack, item{ref, kind})
			return nil
		})
		if err != nil {
			return fmt.Errorf("object at offset %d: %w", uint64(it.ref), err)
		}
	}
	return nil
}
