package engine

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine/value"
)

func TestPutGetReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.pongo")
	require.NoError(t, Create(path, CreateOptions{}))
	s, err := Open(path, Options{})
	require.NoError(t, err)
	for i := range 1000 {
		require.NoError(t, s.Update(func(tx *Tx) error {
			_, err := tx.Put(RootID, value.String(fmt.Sprintf("k%d", i)), value.Int(int64(i)), PutOptions{Declared: true})
			return err
		}))
	}
	check := func(s *Store) {
		for i := range 1000 {
			require.NoError(t, s.View(func(tx *Tx) error {
				e, err := tx.Lookup(RootID, value.String(fmt.Sprintf("k%d", i)))
				require.NoError(t, err)
				require.Equal(t, value.Int(int64(i)), e.Scalar)
				return nil
			}))
		}
	}
	check(s)
	require.NoError(t, s.Close())
	s, err = Open(path, Options{})
	require.NoError(t, err)
	check(s)
	st, err := s.Stats()
	require.NoError(t, err)
	t.Logf("%+v", st)
	require.NoError(t, s.Close())
}
