package heap

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

func TestLiveSet(t *testing.T) {
	l := NewLiveSet(20)
	require.Equal(t, uint64(20), l.Slabs())
	a, b := layout.Ref(17*layout.SlabSize), layout.Ref(18*layout.SlabSize-layout.Granule)
	require.False(t, l.Has(a))
	require.True(t, l.Add(a, 64))
	require.False(t, l.Add(a, 64), "a second time")
	require.True(t, l.Add(b, 32))
	require.True(t, l.Has(a) && l.Has(b))
	require.False(t, l.Has(a+layout.Granule))
	require.False(t, l.Add(20*layout.SlabSize, 32), "behind the end")
	require.False(t, l.Has(20*layout.SlabSize))
	require.Equal(t, int64(2), l.Objects)
	require.Equal(t, int64(96), l.Bytes)
}

// A sweep frees what is unmarked and old, and nothing else.
func TestSweep(t *testing.T) {
	r := newRand(t)
	w := newWorld(t, 40, 200, nil)
	h := w.heap(1, nil)
	c := h.Cursor()
	var want, bytes int64
	for i := range 3000 {
		birth := 1 + r.Uint64N(20)
		require.NoError(t, w.alloc(c, randomSize(r), birth))
		if i%3 == 0 && birth <= 10 { // garbage
			o := w.live[len(w.live)-1]
			w.live = w.live[:len(w.live)-1]
			w.claim(&o, o.number, 0)
			want++
			bytes += int64(len(o.bytes))
		}
	}
	live := w.liveSet()
	got := h.Sweep(live, 10)
	require.Equal(t, Swept{want, bytes}, got)
	w.check(h, false)
	require.Equal(t, Swept{}, h.Sweep(live, 10), "a second time")

	// What is too young stays although nothing marks it.
	h.Sweep(NewLiveSet(0), 10)
	u := h.Usage()
	var young int64
	for _, o := range w.live {
		if layout.ObjectBirth(o.bytes) > 10 {
			young++
		}
	}
	require.Equal(t, young, u.Objects)
}

// churner is a writer whose objects are younger than what a sweep frees. It
// leases slabs anew all the time.
type churner struct {
	w *world // of its own objects
	h *Heap
	c *Cursor
	r *rand.Rand
}

func newChurner(w *world, owner uint64, r *rand.Rand) *churner {
	young := &world{t: w.t, granules: w.granules}
	young.number.Store(uint32(owner) << 28)
	h := w.heap(owner, nil)
	return &churner{w: young, h: h, c: h.Cursor(), r: rand.New(rand.NewPCG(r.Uint64(), 0))}
}

func (ch *churner) turn() {
	if ch.r.IntN(2) > 0 || len(ch.w.live) >= 300 || ch.w.alloc(ch.c, 16+ch.r.IntN(100), 2) != nil {
		ch.w.free(ch.h, ch.r)
	}
	if ch.r.IntN(20) == 0 {
		ch.c.close()
	}
}

func (ch *churner) end() {
	for len(ch.w.live) > 0 {
		ch.w.free(ch.h, ch.r)
	}
	ch.c.close()
}

// Writers allocate and free beside a sweep, in the very slabs that it looks at:
// first whenever it is about to free, so that what it has seen is out of date,
// then in parallel.
func TestSweepBesideWriters(t *testing.T) {
	r := newRand(t)
	const slabs = emergencyEnd + 6
	w := newWorld(t, slabs, slabs, nil)
	h := w.heap(1, nil)
	for range rounds(12) {
		// Half of the old objects are garbage, so there is no slab without gaps.
		c := h.Cursor()
		garbage := int64(0)
		for w.alloc(c, 16+r.IntN(200), 1) == nil {
			if r.IntN(2) == 0 {
				o := w.live[len(w.live)-1]
				w.live = w.live[:len(w.live)-1]
				w.claim(&o, o.number, 0)
				garbage++
			}
		}
		h.Release(c)
		h.Close()
		for range len(w.live) / 2 {
			w.free(h, r)
		}
		h.RefreshHints()
		marked := w.liveSet()

		writers := []*churner{newChurner(w, 2, r), newChurner(w, 3, r)}
		sweeper := w.heap(4, func(point string) {
			for i := 0; point == "sweep.before-free" && i < 100; i++ {
				writers[i%2].turn()
			}
		})
		require.Equal(t, garbage, sweeper.Sweep(marked, 1).Objects)

		sweeper.hook = nil
		var stop atomic.Bool
		var wg sync.WaitGroup
		for _, writer := range writers {
			wg.Go(func() {
				for !stop.Load() && !raceEnabled && !t.Failed() {
					writer.turn()
				}
				writer.end()
			})
		}
		for range 60 {
			require.Zero(t, sweeper.Sweep(marked, 1).Objects)
		}
		stop.Store(true)
		wg.Wait()
		w.check(h, false)
		for len(w.live) > 200 {
			w.free(h, r)
		}
		h.RefreshHints()
		require.False(t, t.Failed())
	}
	w.clear(h, r)
}

func TestRebuild(t *testing.T) {
	r := newRand(t)
	w := newWorld(t, 40, 40, nil)
	h := w.heap(1, nil)
	w.work(h, r, 1500, 300)
	live, slabs := w.liveSet(), w.view.Header().Slabs.Load()

	// Another shm, as after a crash.
	fresh := mapping.Memory(layout.ShmBytes(40))
	shm := &world{
		t: t, store: w.store, shm: fresh, view: layout.NewShm(fresh.Base(), fresh.Reserved()),
		chunk: w.chunk, granules: w.granules, live: w.live,
	}
	shm.number.Store(w.number.Load())
	shm.view.Header().Slabs.Store(slabs)
	again := shm.heap(1, nil)
	require.NoError(t, again.Rebuild(live, slabs))
	shm.check(again, false)
	for slab := range uint64(layout.ReservedSlabs) {
		require.Equal(t, layout.SlabReserved, shm.view.Slab(slab).Owner.Load())
	}
	shm.work(again, r, 1500, 300)
	shm.check(again, false)
	shm.clear(again, r)
}

func TestRebuildRefusesOverlap(t *testing.T) {
	w := newWorld(t, 40, 40, nil)
	h := w.heap(1, nil)
	require.NoError(t, w.alloc(h.Cursor(), 100, 1))
	live := w.liveSet()
	require.NoError(t, h.Rebuild(live, 40))
	live.Add(w.live[0].ref+2*layout.Granule, 32)
	require.ErrorIs(t, h.Rebuild(live, 40), layout.ErrCorrupt)
}
