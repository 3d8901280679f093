package gc_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
	"pongofs/gc"
)

// soon bounds what must happen, not what may take long.
const soon = time.Minute

func newStorePath(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.pongo")
	require.NoError(t, engine.Create(path, engine.CreateOptions{ChunkSize: engine.MinChunkSize}))
	return path
}

// open opens a store that is closed when the test ends. The same path may be
// opened several times, as several processes do.
func open(t *testing.T, path string, hook func(string)) *engine.Store {
	t.Helper()
	s, err := engine.Open(path, engine.Options{Commit: -1, Hook: hook})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func put(t *testing.T, s *engine.Store, key string, n int) {
	t.Helper()
	require.NoError(t, s.Update(func(tx *engine.Tx) error {
		_, err := tx.Put(engine.RootID, value.String(key), value.Bytes(make([]byte, n)), engine.PutOptions{})
		return err
	}))
}

// read holds the present version by a short pin until end is called.
func read(t *testing.T, s *engine.Store) (end func()) {
	t.Helper()
	begun, stop, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = s.View(func(*engine.Tx) error {
			close(begun)
			<-stop
			return nil
		})
	}()
	<-begun
	ended := false
	end = func() {
		if !ended {
			ended = true
			close(stop)
			<-done
		}
	}
	t.Cleanup(end)
	return end
}

// run runs a background collector until the test ends or end is called.
func run(t *testing.T, s *engine.Store, p gc.Pace) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		gc.New(s).Run(ctx, p)
	}()
	end = func() {
		cancel()
		<-done
	}
	t.Cleanup(end)
	return end
}

func collections(s *engine.Store) uint64 { return s.Internals().Header().GCCount.Load() }

// requireCollections demands that there are n collections soon, and no more
// after many further looks.
func requireCollections(t *testing.T, s *engine.Store, n uint64) {
	t.Helper()
	require.Eventually(t, func() bool { return collections(s) >= n }, soon, time.Millisecond)
	time.Sleep(manyLooks)
	require.Equal(t, n, collections(s))
}

// manyLooks is long enough for each of the collectors of looks to look again.
const manyLooks = 60 * time.Millisecond
