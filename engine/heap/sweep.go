package heap

import (
	"math/bits"
	"runtime"

	"pongofs/engine/layout"
)

// LiveSet is a set of objects, by the granule at which they start. It is used
// by one goroutine at a time.
type LiveSet struct {
	slabs []*[layout.SlabWords]uint64
	// Objects and Bytes count what was added.
	Objects int64
	Bytes   int64
}

// NewLiveSet returns an empty set for a store of n slabs.
func NewLiveSet(n uint64) *LiveSet {
	return &LiveSet{slabs: make([]*[layout.SlabWords]uint64, n)}
}

// Slabs returns the number of slabs that the set covers.
func (l *LiveSet) Slabs() uint64 { return uint64(len(l.slabs)) }

// Add adds the object of n bytes at ref and reports whether it was absent. A
// ref outside of the covered slabs is never added.
func (l *LiveSet) Add(ref layout.Ref, n int) bool {
	slab, bit := place(ref)
	if slab >= uint64(len(l.slabs)) {
		return false
	}
	s := l.slabs[slab]
	if s == nil {
		s = new([layout.SlabWords]uint64)
		l.slabs[slab] = s
	}
	if s[bit/64]&(1<<(bit%64)) != 0 {
		return false
	}
	s[bit/64] |= 1 << (bit % 64)
	l.Objects++
	l.Bytes += int64(n)
	return true
}

// Has reports whether ref is in the set.
func (l *LiveSet) Has(ref layout.Ref) bool {
	slab, bit := place(ref)
	return slab < uint64(len(l.slabs)) && l.slabs[slab] != nil && l.slabs[slab][bit/64]&(1<<(bit%64)) != 0
}

// Swept is what a Sweep did.
type Swept struct {
	Objects int64
	Bytes   int64
}

// Sweep frees every allocated object that is not in live and was born at or
// before bornMax. Others may allocate and free meanwhile.
//
// Such an object is garbage that nobody but the sweep may free: see package gc.
// What has to be excluded is judging an object by a header that is not its own,
// since the object seen a moment ago was freed and its granules were used
// again. Under one lease of a slab no granule is allocated that was used when
// the lease began, so if the count of leases is the same after the header was
// read as before the start bit was, then the header is that of the object, and
// if that is garbage it stays so until this sweep frees it.
func (h *Heap) Sweep(live *LiveSet, bornMax uint64) Swept {
	var s Swept
	for slab := uint64(layout.ReservedSlabs); slab < h.hdr.Slabs.Load(); slab++ {
		var marked *[layout.SlabWords]uint64
		if slab < live.Slabs() {
			marked = live.slabs[slab]
		}
		for w := range layout.SlabWords {
			keep := uint64(0)
			if marked != nil {
				keep = marked[w]
			}
			h.sweepWord(slab, w, keep, bornMax, &s)
		}
		rest(slab)
	}
	return s
}

func (h *Heap) sweepWord(slab uint64, w int, keep, bornMax uint64, s *Swept) {
	d := h.view.Slab(slab)
	for {
		leases := d.Leases.Load()
		again := false
		for set := d.Starts[w].Load() &^ keep; set != 0; set &= set - 1 {
			g := w*64 + bits.TrailingZeros64(set)
			ref := layout.Ref(slab*layout.SlabSize + uint64(g)*layout.Granule)
			head := h.store.Bytes(int64(ref), layout.HeaderSize)
			birth, n := layout.ObjectBirth(head), layout.ObjectGranules(head)
			if birth > bornMax {
				continue
			}
			if d.Leases.Load() != leases {
				again = true
				break
			}
			h.at("sweep.before-free")
			if h.Free(ref, n) {
				s.Objects++
				s.Bytes += int64(n) * layout.Granule
			}
		}
		if !again {
			return
		}
	}
}

// RefreshHints recomputes Used and the hint of every slab that nobody leases.
func (h *Heap) RefreshHints() {
	var occ [layout.SlabWords]uint64
	for slab := uint64(layout.ReservedSlabs); slab < h.hdr.Slabs.Load(); slab++ {
		if h.view.Slab(slab).Owner.Load() == 0 && h.take(slab, &occ) {
			h.drop(slab, 0)
		}
		rest(slab)
	}
}

// rest lets readers and writers run now and then in a walk over all slabs; see
// restEvery in package trace.
func rest(slab uint64) {
	if slab%16 == 0 {
		runtime.Gosched()
	}
}

// Rebuild writes the descriptors of n slabs of a fresh shm file so that
// exactly the objects of live are allocated. Nobody else may use the store.
//
// It fails with a layout.CorruptError when two live objects overlap.
func (h *Heap) Rebuild(live *LiveSet, n uint64) error {
	for slab := uint64(0); slab < n; slab++ {
		d := h.view.Slab(slab)
		if slab < layout.ReservedSlabs {
			d.Owner.Store(layout.SlabReserved)
			continue
		}
		d.Owner.Store(0)
		var marked *[layout.SlabWords]uint64
		if slab < live.Slabs() {
			marked = live.slabs[slab]
		}
		used, end := 0, 0
		for w := range d.Starts {
			if marked == nil {
				d.Starts[w].Store(0)
				continue
			}
			d.Starts[w].Store(marked[w])
			for set := marked[w]; set != 0; set &= set - 1 {
				g := w*64 + bits.TrailingZeros64(set)
				ref := layout.Ref(slab*layout.SlabSize + uint64(g)*layout.Granule)
				if g < end {
					return layout.Corrupt("object", ref, "overlaps the object before it")
				}
				size := layout.ObjectGranules(h.store.Bytes(int64(ref), layout.HeaderSize))
				used += size
				end = g + size
				setEnd(&d.Ends, g, size)
			}
		}
		d.Used.Store(int64(used))
		if used <= usable {
			h.setHint(slab)
		}
	}
	return nil
}
