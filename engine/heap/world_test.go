package heap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests, 0 for another one each time")

// newRand returns a random source whose seed a failing test shows.
func newRand(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("run again with -seed=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}

// rounds returns n, or less of it under the race detector.
func rounds(n int) int {
	if raceEnabled {
		return max(1, n/4)
	}
	return n
}

const firstSlab = layout.ReservedSlabs

// world is a store on the Go heap, and a model of what is allocated in it: for
// each granule the object that it belongs to. Any number of heaps, each
// standing for a process, work on it.
type world struct {
	t     testing.TB
	store *mapping.Mapping
	shm   *mapping.Mapping
	view  layout.Shm
	chunk int64

	granules []atomic.Uint32 // number of the object that has the granule, 0 for none
	number   atomic.Uint32   // of the last object

	mu   sync.Mutex
	live []object
}

// object is what a test has allocated.
type object struct {
	ref    layout.Ref
	bytes  []byte
	number uint32
}

func newWorld(t testing.TB, slabs, maxSlabs uint64, hooks *mapping.Hooks) *world {
	w := &world{
		t: t, store: mapping.Memory(int64(maxSlabs) * layout.SlabSize),
		shm: mapping.Memory(layout.ShmBytes(maxSlabs)), chunk: 8 * layout.SlabSize,
		granules: make([]atomic.Uint32, maxSlabs*granulesPerSlab),
	}
	w.store.SetHooks(hooks)
	w.view = layout.NewShm(w.shm.Base(), w.shm.Reserved())
	w.view.Header().Slabs.Store(slabs)
	require.NoError(t, w.heap(1, nil).Rebuild(NewLiveSet(slabs), slabs))
	return w
}

// heap returns the heap of another process.
func (w *world) heap(owner uint64, hook func(string)) *Heap {
	return New(Config{
		Store: w.store, Shm: w.shm, View: w.view, Owner: owner, ChunkSize: w.chunk, Hook: hook,
	})
}

func randomSize(r *rand.Rand) int {
	switch r.IntN(10) {
	case 0:
		return layout.HeaderSize + r.IntN(layout.MaxObject-layout.HeaderSize+1)
	case 1:
		return 8192 - r.IntN(200)
	case 2, 3:
		return 1024 + r.IntN(3000)
	}
	return layout.HeaderSize + r.IntN(1009)
}

// alloc allocates through c, enters the object into the model and fills it.
func (w *world) alloc(c *Cursor, size int, birth uint64) error {
	ref, b, err := c.Alloc(layout.KindBlock, size, birth)
	if err != nil {
		return err
	}
	c.Flush()
	o := object{ref: ref, bytes: b, number: w.number.Add(1)}
	if len(b) < size || len(b) >= size+layout.Granule || uint64(ref)%layout.Granule != 0 {
		w.t.Errorf("object of %d bytes for %d at %d", len(b), size, ref)
	}
	if layout.ObjectKind(b) != layout.KindBlock || layout.ObjectBirth(b) != birth || layout.ObjectGranules(b)*layout.Granule != len(b) {
		w.t.Errorf("header of a new object at %d: % x", ref, b[:layout.HeaderSize])
	}
	w.claim(&o, 0, o.number)
	if !bytes.Equal(b[layout.HeaderSize:], zeros[:len(b)-layout.HeaderSize]) {
		w.t.Errorf("new object at %d is not zero", ref)
	}
	for i := layout.HeaderSize; i < len(b); i += layout.Granule {
		binary.LittleEndian.PutUint32(b[i:], o.number)
	}
	w.mu.Lock()
	w.live = append(w.live, o)
	w.mu.Unlock()
	return nil
}

// claim changes the granules of o from one owner in the model to another.
func (w *world) claim(o *object, from, to uint32) {
	g := uint64(o.ref) / layout.Granule
	for i := range uint64(len(o.bytes) / layout.Granule) {
		if !w.granules[g+i].CompareAndSwap(from, to) {
			w.t.Errorf("granule %d belongs to object %d; object %d at %d wants to make it %d",
				g+i, w.granules[g+i].Load(), o.number, o.ref, to)
		}
	}
}

// take takes a random object out of the model, for the caller to free. What it
// holds must be what was stored in it.
func (w *world) take(r *rand.Rand) (o object, ok bool) {
	w.mu.Lock()
	if n := len(w.live); n > 0 {
		i := r.IntN(n)
		o, ok = w.live[i], true
		w.live[i] = w.live[n-1]
		w.live = w.live[:n-1]
	}
	w.mu.Unlock()
	if ok {
		w.intact(&o)
		w.claim(&o, o.number, 0)
	}
	return o, ok
}

func (w *world) intact(o *object) {
	for i := layout.HeaderSize; i < len(o.bytes); i += layout.Granule {
		if binary.LittleEndian.Uint32(o.bytes[i:]) != o.number {
			w.t.Errorf("byte %d of object %d at %d has been overwritten", i, o.number, o.ref)
			return
		}
	}
}

func (w *world) free(h *Heap, r *rand.Rand) {
	if o, ok := w.take(r); ok && !h.Free(o.ref, len(o.bytes)/layout.Granule) {
		w.t.Errorf("object %d at %d was not allocated", o.number, o.ref)
	}
}

// work allocates and frees at random, n times, keeping about keep objects. In
// a full store it only frees.
func (w *world) work(h *Heap, r *rand.Rand, n, keep int) {
	cursors := []*Cursor{h.Cursor(), h.Cursor()}
	for range n {
		w.mu.Lock()
		have := len(w.live)
		w.mu.Unlock()
		if r.IntN(2*keep) < have {
			w.free(h, r)
			continue
		}
		i := r.IntN(len(cursors))
		if err := w.alloc(cursors[i], randomSize(r), 1); err != nil {
			require.ErrorIs(w.t, err, ErrFull)
			for range 10 {
				w.free(h, r)
			}
		}
		if r.IntN(50) == 0 {
			h.Release(cursors[i])
			cursors[i] = h.Cursor()
		}
	}
	for _, c := range cursors {
		h.Release(c)
	}
}

// liveSet returns the model as a live set.
func (w *world) liveSet() *LiveSet {
	l := NewLiveSet(w.view.Header().Slabs.Load())
	for _, o := range w.live {
		if !l.Add(o.ref, len(o.bytes)) {
			w.t.Errorf("object at %d is there twice", o.ref)
		}
	}
	return l
}

// check compares the descriptors with the model; garbage is whether there may
// be objects that the model does not know.
func (w *world) check(h *Heap, garbage bool) {
	w.t.Helper()
	size := int64(0)
	for _, o := range w.live {
		w.intact(&o)
		size += int64(len(o.bytes))
		if !h.Allocated(o.ref) {
			w.t.Errorf("object %d at %d is not allocated", o.number, o.ref)
		}
	}
	u := h.Usage()
	if e := w.heap(1, nil).Estimate(); e.Objects != u.Objects || e.Empty != u.Empty {
		w.t.Errorf("the estimate is %+v, the usage %+v", e, u)
	}
	if !garbage && (u.Objects != int64(len(w.live)) || u.UsedBytes != size) {
		w.t.Errorf("usage is %+v, want %d objects of %d bytes", u, len(w.live), size)
	}
}

// clear frees all that the model knows and expects an empty store.
func (w *world) clear(h *Heap, r *rand.Rand) {
	w.t.Helper()
	for len(w.live) > 0 {
		w.free(h, r)
	}
	u := h.Usage()
	if want := (Usage{Slabs: u.Slabs, Empty: u.Slabs - firstSlab}); u != want {
		w.t.Errorf("usage after everything was freed: %+v, want %+v", u, want)
	}
}

var zeros [layout.MaxObject]byte

var errInjected = errors.New("injected")
