package heap

import (
	"math/rand/v2"
	"runtime"
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

// Writers allocate and free beside a sweep, in the very slabs that it looks
// at. The sweep pauses in the middle of its work, so that what it has looked at
// is out of date when it goes on; then it sweeps again and again.
func TestSweepBesideWriters(t *testing.T) {
	r := newRand(t)
	const slabs = emergencyEnd + 14
	w := newWorld(t, slabs, slabs, nil)
	h := w.heap(1, nil)
	var turns atomic.Int64 // of the writers
	pause := func(point string) {
		if point == "sweep.before-free" {
			for until := turns.Load() + 100; turns.Load() < until && !t.Failed(); {
				runtime.Gosched()
			}
		}
	}
	for range 4 {
		// Half of the old objects are garbage, so there is no slab without gaps.
		c := h.Cursor()
		garbage := int64(0)
		for w.alloc(c, 16+r.IntN(500), 1) == nil {
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

		var wg sync.WaitGroup
		var stop atomic.Bool
		for i := range 2 {
			own := rand.New(rand.NewPCG(r.Uint64(), 0))
			writer := w.heap(uint64(i+2), nil)
			young := &world{t: t, granules: w.granules}
			young.number.Store(uint32(i+1) << 28)
			wg.Go(func() {
				c := writer.Cursor()
				for !stop.Load() && !t.Failed() {
					turns.Add(1)
					if own.IntN(2) == 0 && len(young.live) < 300 {
						if young.alloc(c, 16+own.IntN(300), 2) != nil {
							c.close()
						}
					} else {
						young.free(writer, own)
					}
					if own.IntN(20) == 0 {
						c.close() // so that slabs are leased anew all the time
					}
				}
				for len(young.live) > 0 {
					young.free(writer, own)
				}
				c.close()
			})
		}
		sweeper := w.heap(4, pause)
		swept := sweeper.Sweep(marked, 1)
		sweeper.hook = nil
		for range 200 {
			again := sweeper.Sweep(marked, 1)
			require.Zero(t, again.Objects)
		}
		stop.Store(true)
		wg.Wait()
		require.Equal(t, garbage, swept.Objects)
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
