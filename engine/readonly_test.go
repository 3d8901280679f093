package engine_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// TestReadOnlyReads: a store that may only be read shows everything that was
// durable, refuses every change, and leaves nothing beside it.
func TestReadOnlyReads(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{})
	require.NoError(t, err)
	const n = 3000
	require.NoError(t, s.Update(func(tx *engine.Tx) error {
		for i := range n {
			if err := tx.Root().Set(fmt.Sprint(i), i); err != nil {
				return err
			}
		}
		return tx.Root().Set("big", make([]byte, 1<<20))
	}))
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(path+"-shm"))

	ro, err := engine.Open(path, engine.Options{ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, ro.View(func(tx *engine.Tx) error {
		for i := range n {
			v, err := tx.Root().Get(fmt.Sprint(i))
			require.NoError(t, err)
			require.Equal(t, value.Int(int64(i)), v)
		}
		e, err := tx.Root().Entry("big")
		require.NoError(t, err)
		pin, err := tx.PinValue(&e)
		require.NoError(t, err)
		got, err := pin.ReadAt(make([]byte, 1<<20), 0)
		require.NoError(t, err)
		require.Equal(t, 1<<20, got)
		return pin.Close()
	}))
	st, err := ro.Stats()
	require.NoError(t, err)
	require.Equal(t, uint64(n+1), st.Entries)
	_, err = ro.Internals().Verify()
	require.NoError(t, err)
	require.ErrorIs(t, ro.Update(func(tx *engine.Tx) error { return tx.Root().Set("a", 1) }), engine.ErrReadOnly)
	require.NoFileExists(t, path+"-shm")
	// Others may read it too; who wants to write has to wait.
	second, err := engine.Open(path, engine.Options{ReadOnly: true})
	require.NoError(t, err)
	_, err = engine.Open(path, engine.Options{})
	require.ErrorIs(t, err, engine.ErrBusy)
	require.NoError(t, second.Close())
	require.NoError(t, ro.Close())
	s, err = engine.Open(path, engine.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
}
