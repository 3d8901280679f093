package epoch

import (
	"flag"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine/layout"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests, 0 for another one each time")

// versions is a store reduced to what epoch is about: each version is one block
// of structure and one of a value, which the next version replaces both.
type versions struct {
	root  atomic.Uint64   // sequence of the newest version
	state []atomic.Uint32 // of the blocks of each version, 1 when they were freed
}

func structure(seq uint64) layout.Ref { return layout.Ref(seq * 2 * layout.Granule) }
func valueOf(seq uint64) layout.Ref   { return structure(seq) + layout.Granule }

const valueID = 7

// TestNothingIsFreedUnderItsReader lets two processes publish, drain, read,
// pin, and complete checkpoints at random. Whatever is freed must be out of
// reach of all of them.
func TestNothingIsFreedUnderItsReader(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("run again with -seed=%d", seed)
		}
	})
	const most = 400_000
	deadline := time.Now().Add(400 * time.Millisecond)
	v := newEnv(t)
	s := &versions{state: make([]atomic.Uint32, 2*(most+100))}
	word := func(ref layout.Ref) *atomic.Uint32 { return &s.state[ref/layout.Granule] }
	var freed atomic.Int64
	free := func(ref layout.Ref, _ int) {
		if word(ref).Swap(1) != 0 {
			t.Errorf("block %d was freed twice", ref/layout.Granule)
		}
		freed.Add(1)
	}
	alive := func(what string, ref layout.Ref) {
		if word(ref).Load() != 0 {
			t.Errorf("%s: block %d was freed", what, ref/layout.Granule)
		}
	}
	s.root.Store(100)
	processes := []*Epochs{v.process(3, free), v.process(4, free)}
	v.hdr.SlotHigh.Store(5)

	writer := func(e *Epochs, r *rand.Rand) {
		for !t.Failed() {
			pin := e.Pin()
			old := s.root.Load()
			if old >= most || old%64 == 0 && time.Now().After(deadline) {
				e.Unpin(pin)
				return
			}
			alive("writer", structure(old))
			if r.IntN(4) == 0 {
				runtime.Gosched()
			}
			if s.root.CompareAndSwap(old, old+1) {
				if r.IntN(8) > 0 { // or the writer dies between the two: others raise the hint
					e.Advance(old + 1)
				}
				e.Retire([]Retired{
					{Ref: structure(old), Granules: 1, Birth: old},
					{Ref: valueOf(old), Granules: 1, Birth: old, ID: valueID},
				}, old+1)
			}
			e.Unpin(pin)
			e.Drain(r.IntN(3) == 0)
		}
	}
	var done atomic.Bool
	reader := func(e *Epochs, r *rand.Rand) {
		for !done.Load() && !t.Failed() {
			pin := e.Pin()
			seq := s.root.Load()
			look := func(what string, value bool) {
				if value {
					alive(what, valueOf(seq))
				} else {
					alive(what, structure(seq))
					alive(what, valueOf(seq))
				}
			}
			look("short pin", false)
			if r.IntN(3) > 0 {
				e.Unpin(pin)
				continue
			}
			value := r.IntN(2) == 0
			var n *Named
			var err error
			if value {
				n, err = e.PinValue(seq, valueID, valueOf(seq))
			} else {
				n, err = e.PinRoot(seq, structure(seq))
			}
			if err != nil {
				t.Error(err)
			}
			e.Unpin(pin)
			for until := s.root.Load() + r.Uint64N(40); s.root.Load() < until && !done.Load(); {
				look("named pin", value)
				runtime.Gosched()
			}
			look("named pin", value)
			n.Drop()
		}
	}
	// The durable state is what a power cut leaves: the last completed
	// checkpoint, or any announced after it.
	checkpointer := func(e *Epochs, slot int, r *rand.Rand) {
		announced := &v.shm.Slot(slot).Announced
		for !done.Load() && !t.Failed() {
			pin := e.Pin()
			seq := s.root.Load()
			entry := &announced[0]
			for i := range announced {
				if announced[i].Seq.Load() < v.hdr.Completed.Load() {
					entry = &announced[i]
				}
			}
			entry.Seq.Store(seq)
			e.Unpin(pin)
			for until := s.root.Load() + r.Uint64N(20); s.root.Load() < until && !done.Load(); {
				alive("announced checkpoint", structure(seq))
				runtime.Gosched()
			}
			alive("announced checkpoint", valueOf(seq))
			for old := v.hdr.Completed.Load(); old < seq && !v.hdr.Completed.CompareAndSwap(old, seq); {
				old = v.hdr.Completed.Load()
			}
			if c := v.hdr.Completed.Load(); v.hdr.Completed.Load() == c && c > 0 {
				state := word(structure(c)).Load()
				if v.hdr.Completed.Load() == c && state != 0 {
					t.Errorf("the last checkpoint, %d, was freed", c)
				}
			}
		}
	}

	rnd := func(i uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, i)) }
	var writers, others sync.WaitGroup
	for i, e := range processes {
		writers.Go(func() { writer(e, rnd(uint64(10+i))) })
		others.Go(func() { reader(e, rnd(uint64(20+i))) })
	}
	others.Go(func() { reader(processes[0], rnd(30)) })
	others.Go(func() { checkpointer(processes[1], 4, rnd(40)) })
	writers.Wait()
	done.Store(true)
	others.Wait()
	require.False(t, t.Failed())

	// When everybody has gone, all but the last version and what the last
	// checkpoint holds is free.
	last := s.root.Load()
	processes[0].Advance(last)
	v.hdr.Completed.Store(last)
	for _, e := range processes {
		e.Drain(true)
		require.Zero(t, e.LimboBytes())
	}
	require.Equal(t, int64(2*(last-100)), freed.Load())
	t.Logf("%d versions", last)
}
