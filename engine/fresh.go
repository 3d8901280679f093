package engine

import (
	"errors"
	"sync"

	"pongofs/engine/container"
	"pongofs/engine/heap"
	"pongofs/engine/layout"
)

// freshList finds what a checkpoint adds to the one before.
type freshList struct {
	list  []layout.Fresh
	stack []freshItem

	// The objects of the last edit that was to be made durable, and its sequence.
	mu    sync.Mutex
	seq   uint64
	built []allocation
}

// note keeps what an edit has built and published as version seq, so that a
// checkpoint that adds just this version need not look for it.
func (f *freshList) note(seq uint64, built []allocation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq, f.built = seq, f.built[:0]
	if len(built) <= 4*layout.MaxFresh { // else it has more than a record can list
		f.built = append(f.built, built...)
	}
}

// noted lists what is known of version seq, if it is.
//
// Preconditions: as of find.
func (f *freshList) noted(h *heap.Heap, seq uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seq != seq || len(f.built) == 0 {
		return false
	}
	for _, a := range f.built {
		if a == 0 {
			continue // given up before the edit was published
		}
		if len(f.list) == layout.MaxFresh {
			return false
		}
		f.list = append(f.list, layout.Fresh{Ref: a.ref(), CRC: layout.ObjectSum(h.Allocation(a.ref(), a.granules()))})
	}
	return true
}

type freshItem struct {
	ref  layout.Ref
	kind layout.Kind
}

var errManyFresh = errors.New("more objects are new than a record can list")

// find lists the objects of the version at root that were born after base, with
// the checksums that they must have on the disk. It fails when there are more
// than a record can list, and faults as any read does.
//
// An object refers to none that is younger, so what an old one reaches need not be
// looked at, and what is looked at is little more than the paths that were copied.
// The birth is exactly the sequence of the version that first reached it (edit.go).
// So what was born by base had been written before base was published.
//
// Preconditions: a pin keeps the version, which is seq and has its record at root.
// The list is valid until the next call.
func (f *freshList) find(h *heap.Heap, root layout.Ref, seq, base uint64) ([]layout.Fresh, error) {
	f.list = f.list[:0]
	if base == seq-1 && f.noted(h, seq) {
		return f.list, nil
	}
	f.list = f.list[:0]
	f.stack = append(f.stack[:0], freshItem{root, layout.KindRoot})
	for len(f.stack) > 0 {
		it := f.stack[len(f.stack)-1]
		f.stack = f.stack[:len(f.stack)-1]
		if err := f.visit(h, it, base); err != nil {
			return nil, err
		}
	}
	return f.list, nil
}

func (f *freshList) visit(h *heap.Heap, it freshItem, base uint64) error {
	obj, err := h.Object(it.ref, it.kind)
	if err != nil || layout.ObjectBirth(obj) <= base {
		return err
	}
	if len(f.list) == layout.MaxFresh {
		return errManyFresh
	}
	f.list = append(f.list, layout.Fresh{Ref: it.ref, CRC: layout.ObjectSum(obj)})
	if layout.ObjectKind(obj) == layout.KindRoot {
		root, err := layout.DecodeRoot(obj)
		if err == nil && root.IDTable != layout.Nil {
			f.stack = append(f.stack, freshItem{root.IDTable, layout.KindIDNode})
		}
		return err
	}
	return container.Children(obj, layout.ObjectKind(obj), func(ref layout.Ref, kind layout.Kind) error {
		if ref != layout.Nil {
			f.stack = append(f.stack, freshItem{ref, kind})
		}
		return nil
	})
}
