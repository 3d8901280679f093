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

	built   []allocation    // objects allocated, some given up since
	retired []epoch.Retired // objects of the base that the new version drops
}

// allocation is an object that an edit has made: its granules above bit 48, its
// ref below. The zero allocation is one that was given back.
type allocation uint64

func (a allocation) ref() layout.Ref { return layout.Ref(a & (1<<48 - 1)) }
func (a allocation) granules() int   { return int(a >> 48) }

// note puts a new object on the list.
func (ed *edit) note(ref layout.Ref, obj []byte) {
	ed.built = append(ed.built, allocation(len(obj)/layout.Granule)<<48|allocation(ref))
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
	ed.note(ref, obj)
	return ref, obj, nil
}

// AllocUnset implements container.Editor.
func (ed *edit) AllocUnset(kind layout.Kind, size int) (layout.Ref, []byte, error) {
	ref, obj, err := ed.cursor.AllocUnset(kind, size, ed.birth)
	if err != nil {
		return 0, nil, err
	}
	ed.note(ref, obj)
	return ref, obj, nil
}

// smallObject is the size of most objects that are copied: inner nodes with a
// short separator.
const smallObject = 2 * layout.Granule

// Copy implements container.Editor.
func (ed *edit) Copy(ref layout.Ref, obj []byte, size int) (layout.Ref, []byte, error) {
	to, dst, err := ed.cursor.AllocUnset(layout.ObjectKind(obj), size, ed.birth)
	if err != nil {
		return ref, obj, err
	}
	ed.note(to, dst)
	if len(dst) == smallObject && len(obj) == smallObject {
		// Of fixed length: without a call. What is behind size is zero in obj.
		*(*[smallObject - layout.HeaderSize]byte)(dst[layout.HeaderSize:]) = [smallObject - layout.HeaderSize]byte(obj[layout.HeaderSize:])
	} else {
		n := copy(dst[layout.HeaderSize:], obj[layout.HeaderSize:size])
		clear(dst[layout.HeaderSize+n:])
	}
	ed.retired = append(ed.retired, epoch.Retired{
		Ref: ref, Granules: len(obj) / layout.Granule, Birth: layout.ObjectBirth(obj),
	})
	return to, dst, nil
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
	for i, a := range ed.built {
		if a == 0 {
			continue
		}
		obj := ed.h.Allocation(a.ref(), a.granules())
		if layout.ObjectKind(obj) == layout.KindFree {
			ed.built[i] = 0 // abandon must not free it again
			ed.h.Free(a.ref(), a.granules())
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
	for i, a := range ed.built {
		if a != 0 {
			ed.built[i] = 0
			ed.h.Free(a.ref(), a.granules())
		}
	}
	ed.built, ed.retired = ed.built[:0], ed.retired[:0]
}

// adopt takes over what another edit of the same version has built and retired, and
// ends it.
func (ed *edit) adopt(from *edit) {
	ed.built = append(ed.built, from.built...)
	ed.retired = append(ed.retired, from.retired...)
	from.end()
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
