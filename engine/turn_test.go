package engine

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine/value"
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
		for losses := range 2 * turnAfter {
			a.hdr.Turn.Store(uint64(word))
			a.backOff(losses)
			a.waitTurn(losses + 1)
			a.giveWay(losses + 1)
			a.endTurn(losses + 1)
		}
	}
}

// TestTurns walks through the life of the turn word.
func TestTurns(t *testing.T) {
	a, b := twoOnOne(t)
	require.Zero(t, a.turn())
	for losses := range turnAfter - 1 {
		a.backOff(losses)
		require.Zero(t, a.turn())
	}

	// A claim, once in a while, ends with the publish.
	a.backOff(turnAfter - 1)
	claim := a.turn()
	require.Equal(t, a.slot, claim.slot())
	require.False(t, claim.slice())
	b.backOff(turnAfter)
	require.Equal(t, claim, a.turn(), "another claim does not end it")
	a.endTurn(turnAfter - 1)
	require.Equal(t, claim, a.turn(), "nor does an edit that has claimed nothing")
	a.endTurn(turnAfter)
	require.Zero(t, a.turn())

	// The second in a moment becomes a slice. How long a moment takes here is the
	// machine's affair, so it is tried until it was short.
	for !a.turn().slice() {
		a.backOff(turnAfter)
		a.endTurn(turnAfter)
	}
	slice := a.turn()
	require.Equal(t, a.slot, slice.slot())

	// The holder does not wait for it. Who does, while the holder publishes, has
	// the next one.
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				_ = a.Update(func(tx *Tx) error {
					_, err := tx.Put(RootID, value.String("n"), value.Int(int64(n)), PutOptions{})
					return err
				})
			}
		}
	}()
	for {
		a.swapTurn(a.turn(), a.newTurn(true, sliceTime))
		b.waitTurn(0) // gives up when the machine leaves the holder no time
		// And b does nothing with its own, so that it may end at any time.
		if got := b.turn(); got.slot() == b.slot {
			require.True(t, got.slice())
			break
		}
	}
	close(stop)
	<-stopped

	// A large edit claims the turn from a slice.
	a.backOff(turnAfter)
	require.Equal(t, a.slot, a.turn().slot())
	require.False(t, a.turn().slice())
}
