package engine

import (
	"pongofs/engine/epoch"
	"pongofs/engine/heap"
	"pongofs/engine/layout"
)

// edit builds the objects of one new version: the container.Editor of an
// Update. It belongs to one goroutine.
//
// An object is owned by the edit when its birth is the edit's sequence: what
// the base root reaches was born at or before the base's sequence, and what
// other writers build at the same time cannot be reached from it.
type edit struct {
	h      *heap.Heap
	cursor *heap.Cursor
	birth  uint64

	built   []layout.Ref    // objects allocated, some given up since
	retired []epoch.Retired // objects of the base that the new version drops
}

// begin prepares the edit to build the version of sequence birth.
func (ed *edit) begin(h *heap.Heap, birth uint64) {
	ed.h, ed.birth = h, birth
	ed.built, ed.retired = ed.built[:0], ed.retired[:0]
	if ed.cursor == nil {
		ed.cursor = h.Cursor()
	}
}

// Object implements container.Space.
func (ed *edit) Object(ref layout.Ref, kind layout.Kind) ([]byte, error) {
	return ed.h.Object(ref, kind)
}

// Limit implements container.Bounded.
func (ed *edit) Limit() uint64 { return ed.h.Limit() }

// Alloc implements container.Editor.
func (ed *edit) Alloc(kind layout.Kind, size int) (layout.Ref, []byte, error) {
	ref, obj, err := ed.cursor.Alloc(kind, size, ed.birth)
	if err != nil {
		return 0, nil, err
	}
	ed.built = append(ed.built, ref)
	return ref, obj, nil
}

// Owned implements container.Editor.
func (ed *edit) Owned(ref layout.Ref) bool {
	obj, err := ed.h.Object(ref, layout.KindFree)
	return err == nil && layout.ObjectBirth(obj) == ed.birth
}

// Free implements container.Editor.
func (ed *edit) Free(ref layout.Ref) { ed.FreeValue(ref, 0) }

// FreeValue implements container.Editor.
func (ed *edit) FreeValue(ref layout.Ref, id uint64) {
	if ref == layout.Nil {
		return
	}
	obj, err := ed.h.Object(ref, layout.KindFree)
	if err != nil {
		return // damaged: left to check and repair
	}
	if birth := layout.ObjectBirth(obj); birth != ed.birth {
		ed.retired = append(ed.retired, epoch.Retired{
			Ref: ref, Granules: layout.ObjectGranules(obj), Birth: birth, ID: id,
		})
		return
	}
	// Its start bit stays set until the edit ends: the slab may no longer be
	// leased to this edit, so the object's memory must stay its own as long as
	// it is on the list of built objects.
	layout.SetKind(obj, layout.KindFree)
}

// seal stores the checksums of all objects that the new version uses, and
// frees the others.
func (ed *edit) seal() {
	ed.cursor.Flush()
	for i, ref := range ed.built {
		if ref == layout.Nil {
			continue
		}
		obj, err := ed.h.Object(ref, layout.KindFree)
		if err != nil {
			panic(err) // we have allocated it ourselves
		}
		if layout.ObjectKind(obj) == layout.KindFree {
			ed.built[i] = layout.Nil // abandon must not free it again
			ed.h.Free(ref, layout.ObjectGranules(obj))
			continue
		}
		layout.Seal(obj)
	}
}

// abandon frees everything that was built.
func (ed *edit) abandon() {
	if ed.cursor != nil {
		ed.cursor.Flush()
	}
	for i, ref := range ed.built {
		if ref == layout.Nil {
			continue
		}
		ed.built[i] = layout.Nil
		if obj, err := ed.h.Object(ref, layout.KindFree); err == nil {
			ed.h.Free(ref, layout.ObjectGranules(obj))
		}
	}
	ed.built, ed.retired = ed.built[:0], ed.retired[:0]
}

// end gives the cursor back and forgets what was built: the next user of ed may
// give up before it has begun, and must not free what this one has published.
func (ed *edit) end() {
	ed.built, ed.retired = ed.built[:0], ed.retired[:0]
	if ed.cursor != nil {
		ed.h.Release(ed.cursor)
		ed.cursor = nil
	}
}
