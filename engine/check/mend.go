package check

import (
	"errors"
	"math/bits"

	"pongofs/engine/container"
	"pongofs/engine/layout"
)

// mendMax bounds the memory for objects that were put right.
const mendMax = 64 << 20

// mended is a Source in which objects with one wrong bit are put right, once
// they were met: that is what decays in memory and on the way to a disk, and a
// checksum says which bit it is.
type mended struct {
	Source
	objects map[layout.Ref][]byte
	bytes   int
}

func newMended(src Source) *mended {
	return &mended{Source: src, objects: map[layout.Ref][]byte{}}
}

// Object implements container.Space.
func (m *mended) Object(ref layout.Ref, kind layout.Kind) ([]byte, error) {
	if obj, ok := m.objects[ref]; ok && (kind == container.KindAny || kind == layout.ObjectKind(obj)) {
		return obj, nil
	}
	obj, err := m.Source.Object(ref, kind)
	if err == nil || kind == container.KindAny || !errors.Is(err, layout.ErrCorrupt) {
		return obj, err
	}
	// The wrong bit may be in the kind.
	other, otherErr := m.Source.Object(ref, container.KindAny)
	if otherErr == nil && len(other) >= layout.HeaderSize && bits.OnesCount8(uint8(layout.ObjectKind(other)^kind)) == 1 {
		if at, _, ok := layout.FindFlip(other); ok && at == 0 {
			return other, nil // the walk finds it and puts it right
		}
	}
	return obj, err
}

// mend returns the object at ref with its one wrong bit put right, or nil.
func (m *mended) mend(ref layout.Ref, obj []byte) []byte {
	at, mask, ok := layout.FindFlip(obj)
	if !ok || m.bytes+len(obj) > mendMax {
		return nil
	}
	fixed := append([]byte(nil), obj...)
	fixed[at] ^= mask
	if k := layout.ObjectKind(fixed); k == layout.KindFree || k > layout.KindBlock || !layout.VerifySeal(fixed) ||
		layout.ObjectGranules(fixed)*layout.Granule != len(fixed) {
		return nil
	}
	m.objects[ref] = fixed
	m.bytes += len(fixed)
	return fixed
}
