package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// TestBackupIsOneVersion makes backups while writers keep two values equal and
// replace a large one: in each backup they are equal, and it verifies.
func TestBackupIsOneVersion(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: 10 * time.Millisecond})
	require.NoError(t, err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			err := s.Update(func(tx *engine.Tx) error {
				for _, k := range []string{"a", "z"} {
					text := fmt.Sprint(i, strings.Repeat("x", i*997%50_000))
					if _, err := tx.Put(engine.RootID, value.String(k), value.String(text), engine.PutOptions{}); err != nil {
						return err
					}
				}
				_, err := tx.Make(engine.RootID, value.String(fmt.Sprint("dir", i)), value.KindDict, engine.NewAttr{})
				return err
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for n := range 20 {
		out := filepath.Join(t.TempDir(), "out.pongo")
		f, err := os.Create(out)
		require.NoError(t, err)
		st, err := s.Backup(t.Context(), f)
		require.NoError(t, err)
		require.NoError(t, f.Close())

		b, err := engine.Open(out, engine.Options{ReadOnly: true})
		require.NoError(t, err)
		_, err = b.Internals().Verify()
		require.NoError(t, err)
		require.NoError(t, b.View(func(tx *engine.Tx) error {
			if n == 0 && st.Entries == 0 {
				return nil // before the first write
			}
			var got [2]value.Value
			for i, k := range []string{"a", "z"} {
				e, err := tx.Lookup(engine.RootID, value.String(k))
				if err != nil {
					return err
				}
				if got[i], err = tx.Value(&e); err != nil {
					return err
				}
			}
			require.Equal(t, got[0], got[1])
			require.Equal(t, st.Seq, tx.Seq())
			return nil
		}))
		require.NoError(t, b.Close())
		// It can be written to.
		b, err = engine.Open(out, engine.Options{Commit: -1})
		require.NoError(t, err)
		require.NoError(t, putString(b, "new", "value"))
		require.NoError(t, b.Close())
	}
	close(stop)
	wg.Wait()
	require.NoError(t, s.Close())
}

// TestBackupOfDamage: a backup does not pass on what is damaged.
func TestBackupOfDamage(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	require.NoError(t, putString(s, "large", strings.Repeat("needle", 1000)))
	require.NoError(t, s.Sync(t.Context()))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	at := strings.Index(string(b), "needleneedle")
	require.Positive(t, at)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("N"), int64(at))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	out, err := os.Create(filepath.Join(t.TempDir(), "out.pongo"))
	require.NoError(t, err)
	_, err = s.Backup(t.Context(), out)
	require.ErrorIs(t, err, engine.ErrCorrupt)
	require.NoError(t, out.Close())
	_ = s.Close()
}

// TestBackupCanBeStopped: a canceled backup ends with the context's error.
func TestBackupCanBeStopped(t *testing.T) {
	s, err := engine.Open(newStorePath(t), engine.Options{Commit: -1})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, err := os.Create(filepath.Join(t.TempDir(), "out.pongo"))
	require.NoError(t, err)
	_, err = s.Backup(ctx, out)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	require.NoError(t, out.Close())
	require.NoError(t, s.Close())
}
