package heap

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine/layout"
)

// points are all places between the atomic steps of a heap.
var points = []string{
	"alloc.before-bit", "alloc.after-bit",
	"free.before-clear", "free.after-clear",
	"lease.before-swap", "lease.after-swap",
	"lease.before-drop", "lease.after-drop",
	"grow.before-allocate", "grow.before-hints", "grow.before-swap", "grow.after-swap",
	"sweep.before-free",
}

// victimWork is what the process does that is killed or stopped: enough to
// come past every point.
func victimWork(w *world, h *Heap, r *rand.Rand) {
	w.work(h, r, 300, 150)
	w.large(h, 50)
	h.Sweep(w.liveSet(), 1)
	h.RefreshHints()
	h.Close()
}

// large allocates n objects of the largest size, of which a slab holds four.
func (w *world) large(h *Heap, n int) {
	c := h.Cursor()
	for range n {
		require.NoError(w.t, w.alloc(c, layout.MaxObject, 1))
	}
	h.Release(c)
}

// atNth returns a hook that calls do when a point is passed for the nth time.
func atNth(point string, nth int, do func()) func(string) {
	n := 0
	return func(at string) {
		if at == point {
			if n++; n == nth {
				do()
			}
		}
	}
}

// leak makes garbage, such as killed processes leave.
func leak(w *world, h *Heap, r *rand.Rand, n int) {
	c := h.Cursor()
	for range n {
		require.NoError(w.t, w.alloc(c, randomSize(r), 1))
		o := w.live[len(w.live)-1]
		w.live = w.live[:len(w.live)-1]
		w.claim(&o, o.number, 0)
	}
	h.Release(c)
}

// TestKilled kills a process at every point, some time or other. The others
// carry on; then they end its leases, carry on, and a sweep leaves exactly what
// they know of.
func TestKilled(t *testing.T) {
	r := newRand(t)
	for _, point := range points {
		for _, nth := range []int{1, 2, 7, 30}[:rounds(4)] {
			t.Run(fmt.Sprintf("%s-%d", point, nth), func(t *testing.T) {
				w := newWorld(t, firstSlab+emergencySlabs+2, 130, nil)
				other := w.heap(2, nil)
				leak(w, other, r, 40)
				killed := false
				victim := w.heap(1, atNth(point, nth, func() {
					killed = true
					runtime.Goexit()
				}))
				done := make(chan struct{})
				go func() {
					defer close(done)
					victimWork(w, victim, r)
				}()
				<-done
				if !killed && nth == 1 {
					t.Fatal("the victim has not come past the point")
				}

				w.check(other, true)
				w.work(other, r, 300, 150)
				other.ReleaseLeases(1)
				other.ReleaseLeases(1) // may be repeated
				for slab := uint64(firstSlab); slab < w.view.Header().Slabs.Load(); slab++ {
					require.NotEqual(t, uint64(1), w.view.Slab(slab).Owner.Load(), "slab %d is still leased", slab)
				}
				w.work(other, r, 300, 150)
				w.check(other, true)

				third := w.heap(3, nil)
				third.Sweep(w.liveSet(), 1)
				w.check(third, false)
				third.RefreshHints()
				slabs := w.view.Header().Slabs.Load()
				w.clear(third, r)
				other.Close()

				// No space is lost: as much as ever fits into what there is.
				c := third.Cursor()
				for range 4 * (slabs - emergencyEnd) {
					require.NoError(t, w.alloc(c, layout.MaxObject, 1))
				}
				require.Equal(t, slabs, w.view.Header().Slabs.Load())
			})
		}
	}
}

// TestStopped stops a process at every point for a while. Nobody waits for it,
// and when it goes on it does no harm.
func TestStopped(t *testing.T) {
	r := newRand(t)
	for _, point := range points {
		for _, nth := range []int{1, 3, 20}[:rounds(3)] {
			t.Run(fmt.Sprintf("%s-%d", point, nth), func(t *testing.T) {
				w := newWorld(t, firstSlab+emergencySlabs+2, 130, nil)
				other := w.heap(2, nil)
				leak(w, other, r, 40)
				stopped, goOn, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
				stop := atNth(point, nth, func() {
					close(stopped)
					<-goOn
				})
				var slabs uint64
				victim := w.heap(1, func(at string) {
					stop(at)
					if at == "grow.after-swap" && w.view.Header().Slabs.Load() < slabs {
						t.Errorf("the file has become shorter than %d slabs", slabs)
					}
				})
				own := rand.New(rand.NewPCG(r.Uint64(), 0))
				go func() {
					defer close(done)
					victimWork(w, victim, own)
				}()
				select {
				case <-stopped:
					// What the sweep of the victim has marked stays allocated meanwhile.
					if point == "sweep.before-free" {
						before := len(w.live)
						w.workYoung(other, r, 300)
						require.Len(t, w.live, before)
					} else {
						w.work(other, r, 300, 150)
						third := w.heap(3, nil)
						w.work(third, r, 300, 150)
						w.large(third, 100) // more than a chunk
					}
				case <-done:
				}
				slabs = w.view.Header().Slabs.Load()
				close(goOn)
				select {
				case <-done:
				case <-time.After(time.Minute):
					t.Fatal("the victim hangs")
				}
				w.check(other, true)
				w.work(other, r, 300, 150)
				other.Sweep(w.liveSet(), 1)
				w.check(other, false)
				w.clear(other, r)
			})
		}
	}
}

// workYoung allocates and frees objects that are younger than what a sweep
// under way frees, and leaves the others alone.
func (w *world) workYoung(h *Heap, r *rand.Rand, n int) {
	young := &world{t: w.t, store: w.store, shm: w.shm, view: w.view, granules: w.granules}
	young.number.Store(1 << 28)
	c := h.Cursor()
	for range n {
		if len(young.live) < 40 {
			require.NoError(w.t, young.alloc(c, randomSize(r), 2))
		} else {
			young.free(h, r)
		}
	}
	for len(young.live) > 0 {
		young.free(h, r)
	}
	h.Release(c)
}
