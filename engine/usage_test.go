package engine_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// TestUsage: the parts of a store add up to its file, and a collection leaves
// no garbage.
func TestUsage(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	put := func(i int, v value.Value) {
		t.Helper()
		require.NoError(t, s.Update(func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String(fmt.Sprintf("key %d", i)), v, engine.PutOptions{})
			return err
		}))
	}
	for i := range 500 {
		put(i, value.Int(int64(i)))
	}
	put(500, value.Bytes(make([]byte, 100_000)))
	for i := range 300 { // garbage that only a collection or a checkpoint frees
		put(i, value.String("other"))
	}
	adds := func(s *engine.Store) engine.Usage {
		t.Helper()
		u, err := s.Usage()
		require.NoError(t, err)
		st, err := s.Stats()
		require.NoError(t, err)
		require.Equal(t, st.FileBytes, u.Live.Bytes+u.Garbage+u.Free+u.Reserved)
		var sum engine.KindUsage
		for kind, k := range u.ByKind {
			require.NotEmpty(t, kind)
			require.Positive(t, k.Objects, kind)
			require.GreaterOrEqual(t, k.Rounding, int64(0), kind)
			require.Less(t, k.Rounding, k.Bytes, kind)
			sum.Objects += k.Objects
			sum.Bytes += k.Bytes
			sum.Rounding += k.Rounding
		}
		require.Equal(t, u.Live, sum)
		return u
	}
	u := adds(s)
	require.Equal(t, int64(1), u.ByKind["root"].Objects)
	require.Equal(t, int64(13), u.ByKind["block"].Objects, "100 000 bytes in pieces of 8160")
	require.Equal(t, int64(1), u.ByKind["blob node"].Objects)
	require.Zero(t, u.LastGC.Count)
	require.NoError(t, s.Close())

	s, err = engine.Open(path, engine.Options{ReadOnly: true})
	require.NoError(t, err)
	again := adds(s)
	require.Equal(t, u.ByKind, again.ByKind)
	require.Zero(t, again.Garbage)
	require.NoError(t, s.Close())
}
