package epoch

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

// env is a shm with two processes, of which the first has the limbo that is
// looked at.
type env struct {
	shm   layout.Shm
	hdr   *layout.ShmHeader
	e     *Epochs // process in slot 0
	other *Epochs // process in slot 2
	freed []layout.Ref
}

func newEnv(t testing.TB) *env {
	m := mapping.Memory(layout.ShmBytes(64))
	v := &env{shm: layout.NewShm(m.Base(), m.Reserved())}
	v.hdr = v.shm.Header()
	v.hdr.SeqHint.Store(100)
	v.hdr.SlotHigh.Store(3)
	v.e = v.process(0, func(ref layout.Ref, granules int) { v.freed = append(v.freed, ref) })
	v.other = v.process(2, func(layout.Ref, int) { t.Error("the other process has no limbo") })
	return v
}

// process claims a slot as an opener does.
func (v *env) process(slot int, free func(layout.Ref, int)) *Epochs {
	p := v.shm.Slot(slot)
	token := Token(slot, p.Incarnation.Add(1))
	p.Used.Store(1)
	return New(Config{Shm: v.shm, Slot: slot, Token: token, Free: free})
}

// at runs fn as if the newest version were seq.
func (v *env) at(seq uint64, fn func()) {
	old := v.hdr.SeqHint.Swap(seq)
	fn()
	v.hdr.SeqHint.Store(old)
}

func (v *env) announce(slot, i int, seq uint64) { v.shm.Slot(slot).Announced[i].Seq.Store(seq) }

// complete is what follows a checkpoint.
func (v *env) complete(seq uint64) { v.hdr.Completed.Store(seq) }

// TestReuse is the reuse rule as a table. A block born at 20 and retired at
// 30, of the value 7, goes to limbo while the newest version is 100.
//
// Outcomes: freed; held, until release has run; left to the full collection.
func TestReuse(t *testing.T) {
	const birth, retired, id = 20, 30, 7
	type outcome string
	const (
		freed outcome = "freed"
		held  outcome = "held"
		left  outcome = "left to the full collection"
	)
	nothing := func() {}
	short := func(v *env, e *Epochs, seq uint64) func() {
		var p Pin
		v.at(seq, func() { p = e.Pin() })
		return func() { e.Unpin(p) }
	}
	root := func(e *Epochs, seq uint64) func() {
		n, err := e.PinRoot(seq, 64)
		require.NoError(t, err)
		return n.Drop
	}
	value := func(e *Epochs, seq, id uint64) func() {
		n, err := e.PinValue(seq, id, 64)
		require.NoError(t, err)
		return n.Drop
	}
	all := func(fns ...func()) func() {
		return func() {
			for _, fn := range fns {
				fn()
			}
		}
	}
	tests := []struct {
		name string
		set  func(v *env) (release func())
		want outcome
	}{
		{"nobody reads", func(v *env) func() { return nothing }, freed},

		{"a short pin before the birth", func(v *env) func() { return short(v, v.e, 5) }, held},
		{"a short pin at the birth", func(v *env) func() { return short(v, v.e, 20) }, held},
		{"a short pin just before the retirement", func(v *env) func() { return short(v, v.e, 29) }, held},
		{"a short pin at the retirement", func(v *env) func() { return short(v, v.e, 30) }, freed},
		{"a short pin after the retirement", func(v *env) func() { return short(v, v.e, 99) }, freed},
		{"a short pin of another process", func(v *env) func() { return short(v, v.other, 25) }, held},
		{"a short pin of another process at the retirement", func(v *env) func() { return short(v, v.other, 30) }, freed},
		{"the older of two short pins counts", func(v *env) func() {
			return all(short(v, v.other, 50), short(v, v.other, 29), short(v, v.e, 60))
		}, held},
		{"short pins after each other", func(v *env) func() {
			short(v, v.e, 25)()
			return short(v, v.e, 40)
		}, freed},

		{"a root pinned before the birth", func(v *env) func() { return root(v.e, 19) }, freed},
		{"a root pinned at the birth", func(v *env) func() { return root(v.e, 20) }, held},
		{"a root pinned just before the retirement", func(v *env) func() { return root(v.other, 29) }, held},
		{"a root pinned at the retirement", func(v *env) func() { return root(v.e, 30) }, freed},
		{"roots pinned on both sides", func(v *env) func() { return all(root(v.e, 19), root(v.other, 30)) }, freed},

		{"a value pinned at the birth", func(v *env) func() { return value(v.e, 20, id) }, held},
		{"a value pinned just before the retirement", func(v *env) func() { return value(v.other, 29, id) }, held},
		{"a value pinned before the birth", func(v *env) func() { return value(v.e, 19, id) }, freed},
		{"a value pinned at the retirement", func(v *env) func() { return value(v.e, 30, id) }, freed},
		{"another value pinned", func(v *env) func() { return value(v.e, 25, id+1) }, freed},

		{"the last checkpoint before the birth", func(v *env) func() { v.complete(19); return nothing }, freed},
		{"the last checkpoint at the birth", func(v *env) func() {
			v.complete(20)
			return func() { v.complete(40) }
		}, held},
		{"the last checkpoint just before the retirement", func(v *env) func() {
			v.complete(29)
			return func() { v.complete(30) }
		}, held},
		{"the last checkpoint at the retirement", func(v *env) func() { v.complete(30); return nothing }, freed},

		{"an announced checkpoint", func(v *env) func() {
			v.complete(10)
			v.announce(0, 1, 25)
			return func() { v.complete(40) }
		}, held},
		{"an announced checkpoint that completes itself", func(v *env) func() {
			v.complete(10)
			v.announce(0, 1, 25)
			v.complete(25)
			return func() { v.complete(31) }
		}, held},
		{"an announced checkpoint of another process, dead or alive", func(v *env) func() {
			v.complete(10)
			v.announce(2, 3, 29)
			CleanSlot(v.shm, 2, v.other.token)
			return func() { v.complete(40) }
		}, held},
		{"an announced checkpoint after a later one has completed", func(v *env) func() {
			v.announce(2, 0, 25)
			v.complete(31)
			return nothing
		}, freed},
		{"an announced checkpoint before the birth", func(v *env) func() { v.announce(0, 0, 19); return nothing }, freed},
		{"an announced checkpoint at the retirement", func(v *env) func() { v.announce(0, 0, 30); return nothing }, freed},

		{"a collection that began before the retirement", func(v *env) func() { v.hdr.GCSeq.Store(29); return nothing }, freed},
		{"a collection that began at the retirement", func(v *env) func() { v.hdr.GCSeq.Store(30); return nothing }, left},
		{"a collection, and a pin", func(v *env) func() { v.hdr.GCSeq.Store(50); return root(v.e, 25) }, left},
		{"a collection of later on, and a short pin", func(v *env) func() {
			end := short(v, v.e, 10)
			return func() { v.hdr.GCSeq.Store(50); end() }
		}, held},

		{"everything before the birth or after the retirement", func(v *env) func() {
			v.complete(10)
			v.announce(0, 0, 15)
			v.announce(2, 1, 90)
			v.hdr.GCSeq.Store(12)
			return all(root(v.e, 12), root(v.other, 31), value(v.e, 40, id), short(v, v.other, 33))
		}, freed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := newEnv(t)
			release := test.set(v)
			v.e.Retire([]Retired{{Ref: 4096, Granules: 4, Birth: birth, ID: id}}, retired)
			v.e.Drain(true)
			got := left
			switch {
			case len(v.freed) > 0:
				got = freed
			case v.e.LimboBytes() > 0:
				got = held
			}
			require.Equal(t, test.want, got)
			if got != held {
				require.Zero(t, v.e.LimboBytes())
				return
			}
			v.e.Drain(true)
			require.Empty(t, v.freed, "nothing has changed")
			release()
			v.e.Drain(true)
			require.Zero(t, v.e.LimboBytes(), "still held after the release")
			if v.hdr.GCSeq.Load() < retired {
				require.Equal(t, []layout.Ref{4096}, v.freed)
			} else {
				require.Empty(t, v.freed, "it belongs to the collection")
			}
			v.e.Drain(true)
			require.LessOrEqual(t, len(v.freed), 1, "freed again")
		})
	}
}

// Structure has no value id, and no value pin holds it.
func TestValuePinsDoNotHoldStructure(t *testing.T) {
	v := newEnv(t)
	_, err := v.e.PinValue(25, 0, 64)
	require.NoError(t, err)
	v.e.Retire([]Retired{{Ref: 4096, Granules: 1, Birth: 20}}, 30)
	v.e.Drain(true)
	require.Equal(t, []layout.Ref{4096}, v.freed)
}

// The limbo is drained in the order of retirement as far as the oldest pin
// permits; blocks that are held do not hold up what follows them.
func TestDrainOrder(t *testing.T) {
	v := newEnv(t)
	v.complete(20)
	var refs []layout.Ref
	for seq := uint64(11); seq <= 90; seq++ {
		ref := layout.Ref(seq * 64)
		v.e.Retire([]Retired{{Ref: ref, Granules: 2, Birth: seq - 5}}, seq)
		refs = append(refs, ref)
	}
	require.Equal(t, int64(80*64), v.e.LimboBytes())
	var p Pin
	v.at(50, func() { p = v.other.Pin() })
	v.e.Drain(true)
	// Retired from 21 to 25, they were born before 20: the checkpoint holds them.
	want := append(append([]layout.Ref{}, refs[:10]...), refs[15:40]...)
	require.Equal(t, want, v.freed)
	require.Equal(t, int64((40+5)*64), v.e.LimboBytes())
	v.other.Unpin(p)
	v.e.Drain(true)
	require.Equal(t, append(want, refs[40:]...), v.freed)
	v.complete(60)
	v.e.Drain(true)
	require.Len(t, v.freed, 80)
	require.Zero(t, v.e.LimboBytes())
}

// Retire takes little time: it is Drain that looks, once enough has gathered.
func TestDrainWaitsForEnough(t *testing.T) {
	v := newEnv(t)
	for i := range drainAt - 1 {
		v.e.Retire([]Retired{{Ref: layout.Ref(32 * (i + 1)), Granules: 1, Birth: 1}}, 2)
		v.e.Drain(false)
	}
	require.Empty(t, v.freed)
	v.e.Retire([]Retired{{Ref: 32 * drainAt, Granules: 1, Birth: 1}}, 2)
	v.e.Drain(false)
	require.Len(t, v.freed, drainAt)
}

// A limbo that is never empty does not grow for ever.
func TestQueueIsCompacted(t *testing.T) {
	v := newEnv(t)
	for i := range uint64(50_000) {
		v.hdr.SeqHint.Store(200 + i)
		v.e.Retire([]Retired{{Ref: 32, Granules: 1, Birth: 100 + i}}, 200+i)
		v.at(200+i-min(i, 50), func() { v.e.Drain(false) })
	}
	v.e.limbo.mu.Lock()
	defer v.e.limbo.mu.Unlock()
	require.LessOrEqual(t, cap(v.e.limbo.queue), 16<<10)
}

// Only one goroutine drains; another one goes on with its work.
func TestDrainDoesNotWait(t *testing.T) {
	v := newEnv(t)
	inside, goOn := make(chan struct{}), make(chan struct{})
	e := v.process(1, func(layout.Ref, int) {
		close(inside)
		<-goOn
	})
	e.Retire([]Retired{{Ref: 32, Granules: 1, Birth: 1}}, 2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Drain(true)
	}()
	<-inside
	e.Drain(true)
	close(goOn)
	<-done
}

func TestPins(t *testing.T) {
	v := newEnv(t)
	_, _, ok := v.e.MinPin()
	require.False(t, ok)
	require.Zero(t, v.e.CountPins())

	a := v.e.Pin()
	var b Pin
	v.at(60, func() { b = v.other.Pin() })
	seq, slot, ok := v.e.MinPin()
	require.True(t, ok)
	require.Equal(t, uint64(60), seq)
	require.Equal(t, 2, slot)
	require.Equal(t, 2, v.e.CountPins())
	seq, slot, ok = v.other.MinPin(b)
	require.True(t, ok)
	require.Equal(t, uint64(100), seq)
	require.Equal(t, 0, slot)
	_, _, ok = v.e.MinPin(a)
	require.True(t, ok, "only pins of its own process are left out")

	// A slot that is not in use does not count, whatever its words hold.
	v.shm.Slot(2).Used.Store(0)
	seq, _, _ = v.e.MinPin()
	require.Equal(t, uint64(100), seq)
	v.shm.Slot(2).Used.Store(1)
	v.other.Unpin(b)
	v.e.Unpin(a)
	_, _, ok = v.e.MinPin()
	require.False(t, ok)
}

// More pins than words share the last word, which keeps the oldest of them
// until all are gone.
func TestOverflowingPins(t *testing.T) {
	v := newEnv(t)
	var pins []Pin
	words := map[int]int{}
	for i := range 3 * layout.PinWords {
		v.hdr.SeqHint.Store(1000 + uint64(i))
		p := v.e.Pin()
		pins = append(pins, p)
		words[p.word]++
	}
	require.Len(t, words, layout.PinWords)
	require.Equal(t, 2*layout.PinWords+1, words[overflowWord])
	require.Equal(t, layout.PinWords, v.e.CountPins())
	for _, p := range pins[:layout.PinWords-1] {
		v.e.Unpin(p)
	}
	seq, _, ok := v.e.MinPin()
	require.True(t, ok)
	require.Equal(t, uint64(1000+layout.PinWords-1), seq, "the first one that found no word of its own")
	// One's own pin in the shared word holds one up: others may be behind it.
	_, _, ok = v.e.MinPin(pins[len(pins)-1])
	require.True(t, ok)
	v.e.Retire([]Retired{{Ref: 32, Granules: 1, Birth: 1}}, seq+1)
	for _, p := range pins[layout.PinWords-1:] {
		v.e.Drain(true)
		require.Empty(t, v.freed)
		v.e.Unpin(p)
	}
	require.Zero(t, v.e.CountPins())
	v.e.Drain(true)
	require.Len(t, v.freed, 1)
}

func TestAdvanceOnlyGrows(t *testing.T) {
	v := newEnv(t)
	v.e.Advance(90)
	require.Equal(t, uint64(100), v.hdr.SeqHint.Load())
	var wg sync.WaitGroup
	for i := range uint64(4) {
		wg.Go(func() {
			for seq := 101 + i; seq < 5000; seq += 4 {
				v.e.Advance(seq)
				if v.hdr.SeqHint.Load() < seq {
					t.Errorf("hint below %d", seq)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, uint64(4999), v.hdr.SeqHint.Load())
}

func TestTokens(t *testing.T) {
	for _, slot := range []int{0, 1, layout.MaxProcesses - 1} {
		for _, inc := range []uint64{1, 2, 1 << 40} {
			token := Token(slot, inc)
			require.NotZero(t, token)
			require.NotEqual(t, layout.SlabReserved, token)
			require.Equal(t, slot, TokenSlot(token))
			require.NotEqual(t, token, Token(slot, inc+1))
		}
	}
	require.Equal(t, -1, TokenSlot(0))
}

func TestNamedPins(t *testing.T) {
	v := newEnv(t)
	before := time.Now().Add(-time.Minute)
	a, err := v.e.PinRoot(41, 4096)
	require.NoError(t, err)
	b, err := v.other.PinValue(42, 7, 8192)
	require.NoError(t, err)
	pins := v.e.NamedPins(nil)
	require.Len(t, pins, 2)
	for i := range pins {
		require.True(t, pins[i].Since.After(before))
		pins[i].Since = time.Time{}
	}
	require.Equal(t, []NamedPin{
		{Slot: 0, Seq: 41, Ref: 4096},
		{Slot: 2, Value: true, Seq: 42, Ref: 8192, ID: 7},
	}, pins)
	gen := v.hdr.PinGen.Load()
	a.Drop()
	require.Greater(t, v.hdr.PinGen.Load(), gen)
	require.Len(t, v.e.NamedPins(nil), 1)
	b.Drop()
	require.Empty(t, v.e.NamedPins(nil))
}

func TestNamedPinsRunOut(t *testing.T) {
	v := newEnv(t)
	const left = 20
	for i := range layout.NamedPins - left { // one by one would take quadratic time
		p := v.shm.NamedPin(i)
		p.Owner.Store(v.other.token)
		p.Seq.Store(uint64(i + 1))
		p.Kind.Store(layout.PinRoot)
	}
	var pins []*Named
	for range left {
		n, err := v.e.PinRoot(77, 64)
		require.NoError(t, err)
		pins = append(pins, n)
	}
	_, err := v.e.PinRoot(1, 64)
	require.ErrorIs(t, err, ErrPins)
	_, err = v.other.PinValue(1, 1, 64)
	require.ErrorIs(t, err, ErrPins)
	require.Len(t, v.e.NamedPins(nil), layout.NamedPins)
	pins[left/2].Drop()
	n, err := v.other.PinValue(99, 1, 64)
	require.NoError(t, err)
	require.Len(t, v.e.NamedPins(nil), layout.NamedPins)
	n.Drop()
	CleanSlot(v.shm, 2, v.other.token)
	require.Len(t, v.e.NamedPins(nil), left-1)
}

// What a dead process has pinned is released, a pin that it had only begun to
// make included; its announcements stay, and so does what others have pinned.
func TestCleanSlot(t *testing.T) {
	v := newEnv(t)
	v.at(25, func() { v.other.Pin(); v.other.Pin() })
	_, err := v.other.PinRoot(26, 64)
	require.NoError(t, err)
	_, err = v.other.PinValue(27, 7, 64)
	require.NoError(t, err)
	mine, err := v.e.PinRoot(99, 64)
	require.NoError(t, err)
	begun := v.shm.NamedPin(17)
	begun.Owner.Store(v.other.token)
	v.hdr.NamedHigh.Store(18)
	v.announce(2, 0, 28)

	v.e.Retire([]Retired{{Ref: 32, Granules: 1, Birth: 26}}, 27)
	v.e.Retire([]Retired{{Ref: 64, Granules: 1, Birth: 28}}, 29)
	v.e.Retire([]Retired{{Ref: 96, Granules: 1, Birth: 27, ID: 7}}, 28)
	v.e.Drain(true)
	require.Empty(t, v.freed)
	for range 3 { // it may be interrupted and repeated
		CleanSlot(v.shm, 2, v.other.token)
	}
	require.Zero(t, begun.Owner.Load())
	require.Equal(t, uint64(28), v.shm.Slot(2).Announced[0].Seq.Load())
	pins := v.e.NamedPins(nil)
	require.Len(t, pins, 1)
	require.Equal(t, uint64(99), pins[0].Seq)
	v.e.Drain(true)
	require.ElementsMatch(t, []layout.Ref{32, 96}, v.freed)
	v.complete(40)
	v.e.Drain(true)
	require.Len(t, v.freed, 3)
	mine.Drop()

	// The next owner of the slot has another token: cleaning up after the one
	// before does not touch its named pins.
	next := v.process(2, nil)
	_, err = next.PinRoot(50, 64)
	require.NoError(t, err)
	CleanSlot(v.shm, 2, v.other.token)
	require.Len(t, v.e.NamedPins(nil), 1)
}
