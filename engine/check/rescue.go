package check

import (
	"pongofs/engine/container"
	"pongofs/engine/layout"
)

// rescue finds the records of containers that a damaged id table does not
// tell: the file is searched for them, once. Of several records with an id the
// youngest counts, since a version reaches the last one that was made before
// it. A removed container has records, too, so a record is only used when an
// entry asks for it and the record names the container of that entry.
func (w *walk) rescue(id, parent uint64) layout.Ref {
	if w.idsWhole {
		return layout.Nil
	}
	if w.rescued == nil {
		w.rescued = w.search()
	}
	ref, ok := w.rescued[id]
	if !ok || w.cover.has(ref) || w.parentOf(ref) != parent {
		return layout.Nil
	}
	return ref
}

// search reads the whole file. It steps over every sound object, so that it
// takes no piece of a value for a record.
func (w *walk) search() map[uint64]layout.Ref {
	found := map[uint64]layout.Ref{}
	births := map[uint64]uint64{}
	for off := uint64(layout.ReservedSlabs * layout.SlabSize); off < w.src.Limit(); {
		ref := layout.Ref(off)
		off += layout.Granule
		if w.o.Stop != nil && off%layout.SlabSize == 0 {
			if err := w.o.Stop(); err != nil {
				panic(stopped{err})
			}
		}
		obj, err := w.src.Object(ref, container.KindAny)
		if err != nil || len(obj) < layout.HeaderSize || layout.ObjectKind(obj) > layout.KindBlock || !layout.VerifySeal(obj) {
			continue
		}
		off = uint64(ref) + uint64(len(obj))
		birth := layout.ObjectBirth(obj)
		if layout.ObjectKind(obj) != layout.KindContainer || birth > w.root.Seq {
			continue
		}
		rec, err := container.DecodeRecord(obj)
		if err != nil {
			continue
		}
		if _, again := found[rec.ID]; !again || birth > births[rec.ID] {
			found[rec.ID], births[rec.ID] = ref, birth
		}
	}
	return found
}
