package fsnode

import (
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/mapping"
	"pongofs/engine/value"
)

// TestSyncInterrupted: a signal ends an fsync whose disk does not answer, and no
// other.
func TestSyncInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.pongo")
	require.NoError(t, engine.Create(path, engine.CreateOptions{ChunkSize: engine.MinChunkSize}))
	var hangs atomic.Bool
	release := make(chan struct{})
	s, err := engine.Open(path, engine.Options{Commit: -1, MapHooks: &mapping.Hooks{Sync: func() error {
		if hangs.Load() {
			<-release
		}
		return nil
	}}})
	require.NoError(t, err)
	fs := newFileSystem(FromEngine(s), Options{})
	interrupted := make(chan struct{})
	close(interrupted)
	put := func(n int64) {
		require.NoError(t, s.Update(func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String("n"), value.Int(n), engine.PutOptions{})
			return err
		}))
	}
	durable := func() bool {
		st, err := s.Stats()
		require.NoError(t, err)
		return st.DurableSeq == st.Seq
	}
	for n := range int64(20) {
		put(n)
		require.NoError(t, fs.sync(interrupted))
		require.True(t, durable())
	}
	hangs.Store(true)
	put(100)
	require.Equal(t, syscall.EINTR, errno(fs.sync(interrupted)), "by whose checkpoint it hangs")
	require.Equal(t, syscall.EINTR, errno(fs.sync(interrupted)), "who joins it")
	require.False(t, durable())
	hangs.Store(false)
	close(release)
	require.NoError(t, fs.sync(nil))
	require.True(t, durable())
	require.NoError(t, s.Close())
}

// TestSnapshotInterrupted: mkdir and rmdir in .pongo/snapshots that were
// interrupted before anything was published are EINTR and have done nothing.
func TestSnapshotInterrupted(t *testing.T) {
	s, err := engine.OpenMemory(16<<20, engine.Options{Commit: -1})
	require.NoError(t, err)
	defer s.Close()
	fs := newFileSystem(FromEngine(s), Options{})
	interrupted := make(chan struct{})
	close(interrupted)
	dir := snapshotsDir{fs}
	var out fuse.EntryOut
	require.Equal(t, syscall.EINTR, errno(dir.mkdir(interrupted, "monday", &out)))
	require.Equal(t, syscall.ENOENT, errno(dir.rmdir(make(chan struct{}), "monday")))
	require.NoError(t, dir.mkdir(make(chan struct{}), "monday", &out))
	require.Equal(t, syscall.EINTR, errno(dir.rmdir(interrupted, "monday")))
	require.Equal(t, syscall.EEXIST, errno(dir.mkdir(make(chan struct{}), "monday", &out)))
	require.NoError(t, dir.rmdir(make(chan struct{}), "monday"))
}
