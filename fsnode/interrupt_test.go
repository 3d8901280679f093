package fsnode

import (
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/require"

	"pongofs/engine"
)

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
