package heap

import (
	"math/bits"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

// TestRandom allocates and frees through several cursors of several heaps, one
// call at a time, and compares with the model all along.
func TestRandom(t *testing.T) {
	r := newRand(t)
	w := newWorld(t, firstSlab+emergencySlabs+2, 120, nil)
	heaps := []*Heap{w.heap(1, nil), w.heap(2, nil), w.heap(3, nil)}
	for round := range rounds(60) {
		h := heaps[r.IntN(len(heaps))]
		w.work(h, r, 200, 1+r.IntN(800))
		switch r.IntN(5) {
		case 0:
			h.Close()
		case 1:
			h.RefreshHints()
		}
		w.check(h, false)
		require.False(t, t.Failed(), "in round %d", round)
	}
	w.clear(heaps[0], r)
}

// TestConcurrent does the same in parallel, each goroutine freeing what any of
// them has allocated.
func TestConcurrent(t *testing.T) {
	r := newRand(t)
	w := newWorld(t, firstSlab+emergencySlabs+1, 200, nil)
	heaps := []*Heap{w.heap(1, nil), w.heap(2, nil), w.heap(3, nil)}
	for range rounds(4) {
		var wg sync.WaitGroup
		for i := range 6 {
			own := rand.New(rand.NewPCG(r.Uint64(), 0))
			wg.Go(func() { w.work(heaps[i%3], own, 1500, 600) })
		}
		wg.Go(func() {
			for range 20 {
				heaps[0].RefreshHints()
			}
		})
		wg.Wait()
		w.check(heaps[0], false)
		require.False(t, t.Failed())
	}
	w.clear(heaps[2], r)
}

// TestLeaseRace takes and ends leases as fast as it can: all heaps want the
// first slabs.
func TestLeaseRace(t *testing.T) {
	w := newWorld(t, 60, 60, nil)
	heaps := []*Heap{w.heap(1, nil), w.heap(2, nil)}
	var wg sync.WaitGroup
	for i := range 4 {
		h := heaps[i%2]
		wg.Go(func() {
			c := &Cursor{h: h}
			own := &world{t: t, granules: w.granules}
			for n := range uint32(rounds(5000)) {
				own.number.Store(uint32(i+1)<<24 | n)
				if err := own.alloc(c, layout.MaxObject, 1); err != nil {
					t.Error(err)
					return
				}
				own.free(h, rand.New(rand.NewPCG(1, 1)))
				c.close()
			}
		})
	}
	wg.Wait()
	w.clear(heaps[0], newRand(t))
}

// TestGrowTogether lets many heaps find a store full at the same moment.
func TestGrowTogether(t *testing.T) {
	r := newRand(t)
	const start, step = firstSlab + emergencySlabs, 8
	for range rounds(20) {
		w := newWorld(t, start, 250, nil)
		var wg sync.WaitGroup
		gate := make(chan struct{})
		for i := range 8 {
			h := w.heap(uint64(i+1), nil)
			wg.Go(func() {
				<-gate
				c := h.Cursor()
				for range 6 {
					if err := w.alloc(c, layout.MaxObject, 1); err != nil {
						t.Error(err)
					}
				}
				h.Release(c)
			})
		}
		close(gate)
		wg.Wait()
		h := w.heap(9, nil)
		w.check(h, false)
		slabs := w.view.Header().Slabs.Load()
		require.Zero(t, (slabs-start)%step, "%d slabs", slabs)
		// Each heap leases two slabs; growing twice at the same length counts once.
		require.LessOrEqual(t, slabs, uint64(start+5*step))
		w.clear(h, r)
	}
}

// fill allocates objects of a size until the store is full.
func (w *world) fill(c *Cursor, size int) (n int) {
	for ; ; n++ {
		if err := w.alloc(c, size, 1); err != nil {
			require.ErrorIs(w.t, err, ErrFull)
			return n
		}
	}
}

func TestFullDisk(t *testing.T) {
	r := newRand(t)
	const start, limit = firstSlab + emergencySlabs + 4, firstSlab + emergencySlabs + 15
	full := true
	w := newWorld(t, start, 200, &mapping.Hooks{Allocate: func(off, n int64) error {
		if full && off+n > limit*layout.SlabSize {
			return syscall.ENOSPC
		}
		return nil
	}})
	w.chunk = 16 * layout.SlabSize
	h := w.heap(1, nil)
	c := h.Cursor()
	n := w.fill(c, layout.MaxObject)
	require.Equal(t, 15*4, n, "every byte but the emergency slabs is used, although the chunk is larger than what is left")
	err := w.alloc(c, layout.MaxObject, 1)
	require.ErrorIs(t, err, ErrFull)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorIs(t, w.alloc(c, 16, 1), ErrFull)
	w.check(h, false)

	// What is freed can be used again, by the others too.
	other := w.heap(2, nil)
	oc := other.Cursor()
	for range 20 {
		w.free(h, r)
		require.NoError(t, w.alloc(oc, layout.MaxObject, 1))
		require.ErrorIs(t, w.alloc(oc, 16, 1), ErrFull)
	}
	w.clear(h, r)
	other.Release(oc)
	other.Close()
	require.Equal(t, n, w.fill(c, layout.MaxObject))

	// The disk has space again.
	full = false
	require.NoError(t, w.alloc(c, layout.MaxObject, 1))
	w.check(h, false)
	w.clear(other, r)
}

func TestFullMapping(t *testing.T) {
	w := newWorld(t, firstSlab+emergencySlabs, firstSlab+emergencySlabs+10, nil)
	h := w.heap(1, nil)
	require.Equal(t, 40, w.fill(h.Cursor(), layout.MaxObject))
	require.Equal(t, uint64(firstSlab+emergencySlabs+10), w.view.Header().Slabs.Load())
	w.clear(h, newRand(t))
}

// A disk that fails is not a full one.
// TestIdleLeasesAreGivenBack: what idle cursors have leased is there for whoever finds
// no other space.
func TestIdleLeasesAreGivenBack(t *testing.T) {
	w := newWorld(t, firstSlab+emergencySlabs, firstSlab+emergencySlabs+3, nil)
	h := w.heap(1, nil)
	var all []*Cursor
	for range 3 {
		c := h.Cursor()
		require.NoError(t, w.alloc(c, 16, 1))
		all = append(all, c)
	}
	for _, c := range all {
		h.Release(c)
	}
	c := h.Cursor()
	n := w.fill(c, 16)
	require.Greater(t, n, 3*granulesPerSlab-10, "the slabs of all are used")
	h.Release(c)
}

func TestAllocateError(t *testing.T) {
	w := newWorld(t, firstSlab+emergencySlabs, 100, &mapping.Hooks{Allocate: func(off, n int64) error { return errInjected }})
	h := w.heap(1, nil)
	err := w.alloc(h.Cursor(), 100, 1)
	require.ErrorIs(t, err, errInjected)
	require.NotErrorIs(t, err, ErrFull)
	require.Equal(t, uint64(firstSlab+emergencySlabs), w.view.Header().Slabs.Load())
}

// Edits that make space find some when nobody else does.
func TestEmergencySlabs(t *testing.T) {
	r := newRand(t)
	w := newWorld(t, firstSlab+emergencySlabs+3, firstSlab+emergencySlabs+3, nil)
	h := w.heap(1, nil)
	c := h.Cursor()
	require.Equal(t, 12, w.fill(c, layout.MaxObject))
	c.Urgent = true
	require.Equal(t, 4*emergencySlabs, w.fill(c, layout.MaxObject))
	for _, o := range w.live[12:] {
		require.Less(t, uint64(o.ref), uint64(emergencyEnd*layout.SlabSize))
	}
	for range 20 {
		w.free(h, r)
	}
	h.Release(c)
	require.False(t, c.Urgent)
	require.Same(t, c, h.Cursor())
	for w.alloc(c, layout.MaxObject, 1) == nil {
		o := w.live[len(w.live)-1]
		require.GreaterOrEqual(t, uint64(o.ref), uint64(emergencyEnd*layout.SlabSize), "an ordinary edit got an emergency slab")
	}
	w.clear(h, r)
}

func TestAllocSize(t *testing.T) {
	w := newWorld(t, 40, 40, nil)
	c := w.heap(1, nil).Cursor()
	for _, size := range []int{-1, 0, layout.HeaderSize - 1, layout.MaxObject + 1, 1 << 40} {
		_, _, err := c.Alloc(layout.KindBlock, size, 1)
		require.Error(t, err, "%d bytes", size)
	}
	for _, size := range []int{layout.HeaderSize, 32, 33, layout.MaxObject - 31, layout.MaxObject} {
		require.NoError(t, w.alloc(c, size, 1))
	}
}

func TestFreeTwice(t *testing.T) {
	w := newWorld(t, 40, 40, nil)
	h := w.heap(1, nil)
	require.NoError(t, w.alloc(h.Cursor(), 100, 1))
	o := w.live[0]
	require.True(t, h.Allocated(o.ref))
	require.True(t, h.Free(o.ref, 4))
	require.False(t, h.Allocated(o.ref))
	require.False(t, h.Free(o.ref, 4))
	require.False(t, h.Free(o.ref+layout.Granule, 1), "inside of an object")
	require.Zero(t, h.Usage().Objects)
	for _, ref := range []layout.Ref{0, 1, o.ref + 1, layout.Ref(40 * layout.SlabSize), 1 << 63} {
		require.False(t, h.Allocated(ref), "%d", ref)
	}
}

// Object trusts nothing that a damaged file says.
func TestObjectChecks(t *testing.T) {
	w := newWorld(t, 40, 64, nil)
	h := w.heap(1, nil)
	require.NoError(t, w.alloc(h.Cursor(), 100, 1))
	o := w.live[0]
	end := layout.Ref(40 * layout.SlabSize)
	head := func(granules uint16) []byte {
		b := append([]byte(nil), o.bytes[:layout.HeaderSize]...)
		b[2], b[3] = byte(granules), byte(granules>>8)
		return b
	}
	tests := []struct {
		name string
		ref  layout.Ref
		head []byte
		kind layout.Kind
		ok   bool
	}{
		{"the object", o.ref, head(4), layout.KindBlock, true},
		{"any kind", o.ref, head(4), layout.KindFree, true},
		{"another kind", o.ref, head(4), layout.KindLeaf, false},
		{"nil", layout.Nil, nil, layout.KindBlock, false},
		{"not aligned", o.ref + 8, nil, layout.KindBlock, false},
		{"the header page", layout.PageSize, nil, layout.KindFree, false},
		{"the last reserved slab", firstSlab*layout.SlabSize - layout.Granule, nil, layout.KindFree, false},
		{"behind the end", end, nil, layout.KindFree, false},
		{"far away", ^layout.Ref(31), nil, layout.KindFree, false},
		{"no size", o.ref, head(0), layout.KindBlock, false},
		{"to the end of the slab", o.ref, head(uint16(granulesPerSlab - uint64(o.ref)%layout.SlabSize/layout.Granule)), layout.KindBlock, true},
		{"beyond the end of the slab", o.ref, head(uint16(granulesPerSlab - uint64(o.ref)%layout.SlabSize/layout.Granule + 1)), layout.KindBlock, false},
		{"the largest size", o.ref, head(0xffff), layout.KindBlock, false},
		{"free memory", end - layout.Granule, nil, layout.KindFree, false},
	}
	for _, test := range tests {
		if test.head != nil {
			copy(o.bytes, test.head)
		}
		obj, err := h.Object(test.ref, test.kind)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		if err == nil && len(obj) != layout.ObjectGranules(obj)*layout.Granule {
			t.Errorf("%s: %d bytes", test.name, len(obj))
		}
		if err != nil {
			require.ErrorIs(t, err, layout.ErrCorrupt, test.name)
		}
	}
}

// The hints are only hints: with all of them lost, or all of them set, the heap
// allocates as ever, and RefreshHints puts them right.
func TestLostHints(t *testing.T) {
	r := newRand(t)
	w := newWorld(t, 100, 400, nil)
	h := w.heap(1, nil)
	hints := func(v uint64) {
		for i := range uint64(7) {
			w.view.Hint(i).Store(v)
		}
	}
	hints(0)
	w.work(h, r, 500, 100)
	require.Equal(t, uint64(100), w.view.Header().Slabs.Load(), "without hints it looks at the slabs")
	hints(0)
	h.RefreshHints()
	set := 0
	for i := range uint64(7) {
		set += bits.OnesCount64(w.view.Hint(i).Load())
	}
	require.Positive(t, set)
	w.work(h, r, 500, 100)
	require.Equal(t, uint64(100), w.view.Header().Slabs.Load())
	hints(^uint64(0))
	w.work(h, r, 2000, 300)
	w.check(h, false)
	w.clear(h, r)
}

func TestFindRun(t *testing.T) {
	r := newRand(t)
	for range 300 {
		var occ [layout.SlabWords]uint64
		for range r.IntN(60) {
			g := r.IntN(granulesPerSlab)
			fill(&occ, g, 1+r.IntN(min(300, granulesPerSlab-g)))
		}
		used := func(g int) bool { return occ[g/64]>>(g%64)&1 != 0 }
		from, n := r.IntN(granulesPerSlab+1), 1+r.IntN(layout.MaxObject/layout.Granule)
		want, found := 0, false
		for g := from; g+n <= granulesPerSlab && !found; g++ {
			want, found = g, true
			for i := range n {
				found = found && !used(g+i)
			}
		}
		got, ok := findRun(&occ, from, n)
		require.Equal(t, found, ok, "run of %d from %d", n, from)
		if ok {
			require.Equal(t, want, got, "run of %d from %d", n, from)
		}
	}
	var occ [layout.SlabWords]uint64
	fill(&occ, 0, granulesPerSlab)
	for _, word := range occ {
		require.Equal(t, 64, bits.OnesCount64(word))
	}
	_, ok := findRun(&occ, 0, 1)
	require.False(t, ok)
}

// TestFlush: what was not flushed is not allocated, whatever becomes of the
// cursor; what was stays, and the ends of objects are found without headers.
func TestFlush(t *testing.T) {
	w := newWorld(t, 32, 64, nil)
	h := w.heap(1, nil)
	c := h.Cursor()
	type made struct {
		ref  layout.Ref
		size int
	}
	make := func(n int) (refs []made) {
		for i := range n {
			size := layout.HeaderSize + i*37%3000
			ref, _, err := c.Alloc(layout.KindBlock, size, 1)
			require.NoError(t, err)
			refs = append(refs, made{ref, (size + layout.Granule - 1) / layout.Granule})
		}
		return refs
	}
	kept := make(20)
	require.False(t, h.Allocated(kept[19].ref), "not flushed yet")
	c.Flush()
	lost := make(1) // the owner dies before it flushes
	h.ReleaseLeases(1)
	require.False(t, h.Allocated(lost[0].ref))
	used := map[uint64]int{}
	for _, m := range kept {
		require.True(t, h.Allocated(m.ref))
		used[uint64(m.ref)/layout.SlabSize] += m.size
	}
	var occ [layout.SlabWords]uint64
	for slab, n := range used {
		require.Equal(t, n, h.occupancy(slab, &occ))
	}
	// Nobody who leases the slab next takes a granule that is in use.
	other := w.heap(2, nil)
	oc := other.Cursor()
	for range 200 {
		ref, _, err := oc.Alloc(layout.KindBlock, 500, 1)
		require.NoError(t, err)
		for _, m := range kept {
			end := uint64(m.ref) + uint64(m.size)*layout.Granule
			require.False(t, uint64(ref) < end && uint64(ref)+512 > uint64(m.ref), "%d overlaps %d", ref, m.ref)
		}
	}
	other.Release(oc)
	// Large objects, and what is left when they are freed.
	c = w.heap(3, nil).Cursor()
	for _, size := range []int{layout.MaxObject, 64 * layout.Granule, 65 * layout.Granule, 128 * layout.Granule, layout.HeaderSize} {
		ref, _, err := c.Alloc(layout.KindBlock, size, 1)
		require.NoError(t, err)
		c.Flush()
		slab, g := place(ref)
		n := (size + layout.Granule - 1) / layout.Granule
		h.occupancy(slab, &occ)
		var want [layout.SlabWords]uint64
		fill(&want, int(g), n)
		for w := range want {
			require.Equal(t, want[w]&occ[w], want[w])
		}
	}
}

// Whatever was freed and allocated before, the occupancy is that of the objects
// whose start bits are set: old end bits mean nothing.
func TestOccupancy(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	w := newWorld(t, 64, 64, nil)
	h := w.heap(1, nil)
	const slab = layout.ReservedSlabs
	d := h.view.Slab(slab)
	for range 2000 {
		// Leave any end bits in what is free.
		for i := range d.Starts {
			d.Starts[i].Store(0)
			d.Ends[i] = r.Uint64()
		}
		largest := 1 + r.IntN(1+r.IntN(600))
		var want [layout.SlabWords]uint64
		used := 0
		for g := 0; g < granulesPerSlab; {
			n := min(1+r.IntN(largest), granulesPerSlab-g)
			setEnd(&d.Ends, g, n)
			if r.IntN(3) > 0 {
				d.Starts[g/64].Or(1 << (g % 64))
				fill(&want, g, n)
				used += n
			}
			if g += n; r.IntN(3) == 0 {
				g += r.IntN(100)
			}
		}
		var occ [layout.SlabWords]uint64
		require.Equal(t, used, h.occupancy(slab, &occ))
		require.Equal(t, want, occ)
	}
}

// fill marks n granules from g as used.
func fill(occ *[layout.SlabWords]uint64, g, n int) {
	for n > 0 {
		bit := g % 64
		k := min(n, 64-bit)
		occ[g/64] |= (^uint64(0) >> (64 - k)) << bit
		g += k
		n -= k
	}
}
