package engine

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine/layout"
)

// twoOnOne opens one store twice, as two processes would.
func twoOnOne(t *testing.T) (a, b *Store) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.pongo")
	require.NoError(t, Create(path, CreateOptions{ChunkSize: MinChunkSize}))
	var err error
	a, err = Open(path, Options{Commit: -1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	b, err = Open(path, Options{Commit: -1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	require.NotEqual(t, a.slot, b.slot)
	return a, b
}

func putNumber(t *testing.T, s *Store, n int) {
	t.Helper()
	require.NoError(t, s.Update(func(tx *Tx) error { return tx.Root().Set("n", n) }))
}

// TestTurnsOfOthersEnd: whatever the turn word holds, and whoever it is that has
// died with it, an Update comes to its end, without and with losses.
func TestTurnsOfOthersEnd(t *testing.T) {
	a, b := twoOnOne(t)
	random := rand.New(rand.NewPCG(1, 2))
	words := []turn{
		b.newTurn(true, sliceTime), b.newTurn(false, turnTime), b.newTurn(true, turnTime), b.newTurn(true, -time.Second),
		b.newTurn(false, -time.Second), b.newTurn(true, time.Hour), b.newTurn(false, time.Hour), 1, 1 << 8, 1<<64 - 1, 1<<63 - 1,
		a.newTurn(true, time.Hour), a.newTurn(false, turnTime), a.newTurn(false, time.Hour),
	}
	for range 200 {
		words = append(words, turn(random.Uint64()), turn(random.Uint64()>>random.IntN(64)))
	}
	for n, word := range words {
		a.hdr.Turn.Store(uint64(word))
		putNumber(t, a, n)
		c := contest{s: a}
		for range 2 * turnAfter {
			a.hdr.Turn.Store(uint64(word))
			c.lost()
			c.begin()
			c.giveWay(layout.Ref(a.hdr.Root.Load()))
		}
		c.end(n%2 == 0)
	}
}

// TestTurns walks through the life of the turn word.
func TestTurns(t *testing.T) {
	a, b := twoOnOne(t)
	require.Zero(t, a.turn())
	// claimed returns an edit that has lost until it has claimed the turn.
	claimed := func(s *Store) *contest {
		c := &contest{s: s}
		for range turnAfter {
			c.lost()
		}
		return c
	}
	// A claim, once in a while, ends with the edit, or with its time: so all is tried
	// until that was enough for the machine.
	for intime := false; !intime; {
		c := &contest{s: a}
		for range turnAfter - 1 {
			c.lost()
			require.Zero(t, a.turn())
		}
		c.lost()
		require.Equal(t, a.slot, c.claim.slot())
		require.False(t, c.claim.slice())
		other, sibling := claimed(b), claimed(a)
		now := a.turn()
		if intime = c.claim.left() > 0; intime {
			require.Equal(t, c.claim, now, "another claim does not end it")
		}
		other.end(true)
		sibling.end(true)
		now = a.turn()
		if intime = intime && c.claim.left() > 0; intime {
			require.Equal(t, c.claim, now, "nor does an edit that has claimed nothing")
		}
		c.end(true)
		if !intime {
			a.hdr.Turn.Store(0)
			time.Sleep(2 * busyTime) // so that the next claim is the first in a while
			continue
		}
		require.Zero(t, a.turn())
	}

	// One that is not published leaves nothing behind.
	claimed(a).end(false)
	require.Zero(t, a.turn())

	// The second in a moment becomes a slice. How long a moment takes here is the
	// machine's affair, so it is tried until it was short.
	for !a.turn().slice() {
		claimed(a).end(true)
	}
	require.Equal(t, a.slot, a.turn().slot())

	// The holder does not wait for it. Who does, while the holder publishes, and
	// waits often, has the next one.
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				_ = a.Update(func(tx *Tx) error { return tx.Root().Set("n", n) })
			}
		}
	}()
	for {
		a.swapTurn(a.turn(), a.newTurn(true, sliceTime))
		c := &contest{s: b}
		c.begin() // gives up when the machine leaves the holder no time
		// And b does nothing with its own, so that it may end at any time.
		if got := b.turn(); got.slot() == b.slot {
			require.True(t, got.slice())
			break
		}
	}
	close(stop)
	<-stopped

	// A large edit claims the turn from a slice.
	a.hdr.Turn.Store(uint64(b.newTurn(true, sliceTime)))
	require.Equal(t, claimed(a).claim, a.turn())
}

// TestClaimEndsWithItsEdit: an edit that has lost often and then fails, or changes
// nothing, must not make others wait for a publish that does not come.
func TestClaimEndsWithItsEdit(t *testing.T) {
	a, b := twoOnOne(t)
	for _, want := range []error{nil, ErrExist} {
		tries := 0
		err := a.Update(func(tx *Tx) error {
			if tries++; tries <= turnAfter {
				putNumber(t, b, int(tx.Seq()))
				return tx.Root().Set("a", tries)
			}
			require.Equal(t, a.slot, a.turn().slot(), "the turn was not claimed")
			return want
		})
		require.Equal(t, want, err)
		require.NotEqual(t, a.slot, a.turn().slot())
	}
}

// TestPanicWhileUnpinned: an Update waits without a pin for a collection, which
// panics. The pins of others stay.
func TestPanicWhileUnpinned(t *testing.T) {
	s, err := OpenMemory(4<<20, Options{Commit: -1})
	require.NoError(t, err)
	s.collect = func() error {
		for range layout.PinWords + 10 {
			s.epochs.Pin()
		}
		panic("the collection has failed")
	}
	require.PanicsWithValue(t, "the collection has failed", func() {
		for n := 0; ; n++ {
			require.NoError(t, s.Update(func(tx *Tx) error { return tx.Root().Set(n, make([]byte, 100_000)) }))
		}
	})
	slot := s.view.Slot(s.slot)
	for i := range slot.Pins {
		require.NotZero(t, slot.Pins[i].Load(), "pin %d was taken away", i)
	}
}
