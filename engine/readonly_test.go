package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// TestReadOnlyReads: a store that is opened read-only can be read.
func TestReadOnlyReads(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	require.NoError(t, putString(s, "key", "value"))
	require.NoError(t, s.Close())
	s, err = engine.Open(path, engine.Options{ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, s.View(func(tx *engine.Tx) error {
		e, err := tx.Lookup(engine.RootID, value.String("key"))
		if err != nil {
			return err
		}
		v, err := tx.Value(&e)
		require.Equal(t, "value", v.AsString())
		return err
	}))
	_, err = s.Internals().Verify()
	require.NoError(t, err)
	require.NoError(t, s.Close())
}
