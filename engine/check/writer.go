package check

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

const (
	writerReserve = 1 << 40
	writerMin     = 1 << 28
	// firstSlab is where objects begin: the engine keeps the slabs before it for
	// edits that make space.
	firstSlab = layout.ReservedSlabs + 4
)

// Writer makes a store file of objects that lie one behind the other: a
// container.Editor that publishes once, at the end.
type Writer struct {
	m      *mapping.Mapping
	header layout.Header
	birth  uint64
	slabs  uint64 // allocated
	next   int64  // where the next object goes
	free   map[int][]layout.Ref
}

// NewWriter returns a Writer to an empty file, which it closes.
func NewWriter(f *os.File, header layout.Header) (*Writer, error) {
	m, err := mapping.OpenFile(f, writerReserve, writerMin, false)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Writer{
		m: m, header: header, next: firstSlab * layout.SlabSize, free: map[int][]layout.Ref{},
	}, nil
}

// SetBirth sets the sequence of the version that the objects to come are made
// for.
func (w *Writer) SetBirth(seq uint64) { w.birth = seq }

// Close closes the file. Without Finish it holds no store.
func (w *Writer) Close() error { return w.m.Close() }

// Object implements container.Space.
func (w *Writer) Object(ref layout.Ref, kind layout.Kind) ([]byte, error) {
	off := int64(ref)
	if off%layout.Granule != 0 || off < firstSlab*layout.SlabSize || off >= w.next {
		return nil, layout.Corrupt("reference", ref, "outside of what was written")
	}
	head := w.m.Bytes(off, layout.HeaderSize)
	if k := layout.ObjectKind(head); k != kind && kind != layout.KindFree {
		return nil, layout.Corrupt("object", ref, "is of kind %d, not %d", k, kind)
	}
	return w.m.Bytes(off, int64(layout.ObjectGranules(head))*layout.Granule), nil
}

// Alloc implements container.Editor.
func (w *Writer) Alloc(kind layout.Kind, size int) (layout.Ref, []byte, error) {
	n := (size + layout.Granule - 1) / layout.Granule * layout.Granule
	if n > layout.MaxObject {
		return 0, nil, fmt.Errorf("object of %d bytes: the longest has %d", n, layout.MaxObject)
	}
	ref := layout.Nil
	if list := w.free[n]; len(list) > 0 {
		ref = list[len(list)-1]
		w.free[n] = list[:len(list)-1]
	} else {
		if left := layout.SlabSize - w.next%layout.SlabSize; left < int64(n) {
			w.next += left
		}
		if err := w.grow(w.next + int64(n)); err != nil {
			return 0, nil, err
		}
		ref = layout.Ref(w.next)
		w.next += int64(n)
	}
	obj := w.m.Bytes(int64(ref), int64(n))
	layout.InitObject(obj, kind, w.birth)
	return ref, obj, nil
}

// AllocUnset implements container.Editor.
func (w *Writer) AllocUnset(kind layout.Kind, size int) (layout.Ref, []byte, error) {
	return w.Alloc(kind, size)
}

// Copy implements container.Editor.
func (w *Writer) Copy(ref layout.Ref, obj []byte, size int) (layout.Ref, []byte, error) {
	to, dst, err := w.Alloc(layout.ObjectKind(obj), size)
	if err != nil {
		return ref, obj, err
	}
	copy(dst[layout.HeaderSize:], obj[layout.HeaderSize:size])
	w.Free(ref)
	return to, dst, nil
}

// grow allocates disk space up to end, so that a full disk is an error here
// and not a fault later.
func (w *Writer) grow(end int64) error {
	need := (uint64(end) + layout.SlabSize - 1) / layout.SlabSize
	if need <= w.slabs {
		return nil
	}
	const step = 64 // slabs at once, while there is room
	for _, to := range []uint64{need + step, need} {
		if int64(to)*layout.SlabSize > w.m.Reserved() {
			continue
		}
		err := w.m.Allocate(int64(w.slabs)*layout.SlabSize, int64(to-w.slabs)*layout.SlabSize)
		if err == nil {
			w.slabs = to
			return nil
		}
		if to == need {
			return err
		}
	}
	return fmt.Errorf("the store does not fit into %d bytes of address space", w.m.Reserved())
}

// Owned implements container.Editor: what was made for this version is.
func (w *Writer) Owned(ref layout.Ref) bool {
	obj, err := w.Object(ref, layout.KindFree)
	return err == nil && layout.ObjectBirth(obj) == w.birth
}

// Free implements container.Editor. Objects of older versions stay: those need
// them.
func (w *Writer) Free(ref layout.Ref) {
	obj, err := w.Object(ref, layout.KindFree)
	if err != nil || layout.ObjectKind(obj) == layout.KindFree || layout.ObjectBirth(obj) != w.birth {
		return
	}
	layout.SetKind(obj, layout.KindFree)
	w.free[len(obj)] = append(w.free[len(obj)], ref)
}

// FreeValue implements container.Editor.
func (w *Writer) FreeValue(ref layout.Ref, _ uint64) { w.Free(ref) }

// Finish makes the file a store whose newest version has the given root
// record: first the objects become durable, then the record that refers to
// them.
func (w *Writer) Finish(root layout.Ref, seq, nextID uint64) error {
	for off := int64(firstSlab * layout.SlabSize); off < w.next; {
		head := w.m.Bytes(off, layout.HeaderSize)
		n := int64(layout.ObjectGranules(head)) * layout.Granule
		if n == 0 { // the rest of the slab was too short
			off = (off/layout.SlabSize + 1) * layout.SlabSize
			continue
		}
		if obj := w.m.Bytes(off, n); layout.ObjectKind(obj) != layout.KindFree {
			layout.Seal(obj)
		}
		off += n
	}
	slabs := (uint64(w.next) + layout.SlabSize - 1) / layout.SlabSize
	// One empty slab, so that the first opening need not make the file longer by
	// a whole chunk.
	slabs++
	if err := w.grow(int64(slabs) * layout.SlabSize); err != nil {
		return err
	}
	if err := w.m.File().Truncate(int64(slabs) * layout.SlabSize); err != nil {
		return err
	}
	var page [layout.PageSize]byte
	w.header.Version = layout.FormatVersion
	w.header.Incompatible |= layout.FeatureListed
	w.header.Encode(page[:])
	if err := w.m.WriteAt(page[:], layout.HeaderOffset); err != nil {
		return err
	}
	if err := w.m.Sync(); err != nil {
		return err
	}
	rec := layout.Checkpoint{
		Seq: seq, Root: root, NextID: nextID, Slabs: slabs, Time: time.Now().UnixNano(), Nonce: rand.Uint64() | 1,
	}
	clear(page[:])
	rec.Encode(page[:])
	if err := w.m.WriteAt(page[:], layout.CheckpointPage(0)); err != nil {
		return err
	}
	return w.m.Sync()
}
