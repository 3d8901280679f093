package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// Storing what is there already is no change, for any type.
func TestPutOfTheSameChangesNothing(t *testing.T) {
	s := newMemory(t)
	for _, v := range opValues {
		put := func() (seq uint64) {
			mustUpdate(t, s, func(tx *engine.Tx) {
				_, err := tx.Put(engine.RootID, value.String("k"), v, engine.PutOptions{Declared: true, KeepMtime: true})
				require.NoError(t, err)
			})
			mustView(t, s, func(tx *engine.Tx) { seq = tx.Seq() })
			return seq
		}
		require.Equal(t, put(), put(), "%.40v", v)
	}
}

// A write right after one that kept the mtime has another incarnation, or a
// reader takes the new value for a continuation of the old one.
func TestIncarnationAfterKeptMtime(t *testing.T) {
	s := newMemory(t)
	mustUpdate(t, s, func(tx *engine.Tx) {
		seen := map[uint64]bool{}
		for i := range 20 {
			e, err := tx.Put(engine.RootID, value.String("k"), value.Int(int64(i)), engine.PutOptions{KeepMtime: i%3 == 1})
			require.NoError(t, err)
			require.False(t, seen[e.Incarnation], "put number %d", i)
			seen[e.Incarnation] = true
		}
	})
}

// What does not fit into a list leaves nothing behind, and the Tx goes on.
func TestTooFarInListChangesNothing(t *testing.T) {
	s := newMemory(t)
	far := value.Int(engine.MaxListGap + 1)
	mustUpdate(t, s, func(tx *engine.Tx) {
		l, err := tx.Root().NewList("l")
		require.NoError(t, err)
		require.NoError(t, tx.Root().Set("x", "x"))
		_, err = tx.Put(l.ID(), far, value.String(filler(70_000)), engine.PutOptions{})
		require.ErrorIs(t, err, engine.ErrTooLarge)
		_, err = tx.Make(l.ID(), far, value.KindDict, engine.NewAttr{})
		require.ErrorIs(t, err, engine.ErrTooLarge)
		err = tx.Rename(engine.RootID, value.String("x"), l.ID(), far, engine.RenameOptions{})
		require.ErrorIs(t, err, engine.ErrTooLarge)
		require.NoError(t, l.Append("near"))
	})
	// Nothing is left to a full collection.
	w := world{s: s}
	require.NoError(t, w.noLeak())
	mustView(t, s, func(tx *engine.Tx) {
		require.Equal(t, map[string]any{"l": []any{"near"}, "x": "x"}, goOf(t, tx, engine.RootID))
	})
}

// The last element of a list may be replaced however long the gap before it is.
func TestReplaceBehindLongGap(t *testing.T) {
	s := newMemory(t)
	const last = 2 * engine.MaxListGap
	mustUpdate(t, s, func(tx *engine.Tx) {
		l, err := tx.Root().NewList("l")
		require.NoError(t, err)
		require.NoError(t, l.Set(engine.MaxListGap, "middle"))
		require.NoError(t, l.Set(last, "last"))
		require.NoError(t, tx.Remove(l.ID(), value.Int(engine.MaxListGap)))
		for _, v := range []any{[]any{}, map[string]any{"a": 1}, "scalar", []any{1}} {
			require.NoError(t, l.Set(-1, v))
			n, err := l.Len()
			require.NoError(t, err)
			require.Equal(t, last+1, n)
		}
		require.NoError(t, l.Set(-1, "scalar"))
		require.NoError(t, tx.Root().Set("x", "renamed"))
		err = tx.Rename(engine.RootID, value.String("x"), l.ID(), value.Int(last), engine.RenameOptions{})
		require.NoError(t, err)
		v, err := l.Get(last)
		require.NoError(t, err)
		require.Equal(t, value.String("renamed"), v)
	})
}
