package heap

import (
	"math/bits"

	"pongofs/engine/layout"
)

// Each calls fn for each object of the set that lies in a slab, in order.
func (l *LiveSet) Each(slab uint64, fn func(ref layout.Ref)) {
	if slab >= uint64(len(l.slabs)) || l.slabs[slab] == nil {
		return
	}
	for w, set := range l.slabs[slab] {
		for ; set != 0; set &= set - 1 {
			g := uint64(w*64 + bits.TrailingZeros64(set))
			fn(layout.Ref(slab*layout.SlabSize + g*layout.Granule))
		}
	}
}
