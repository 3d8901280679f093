package fsnode

import (
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// TestSpaceOfARemovedFile: what was removed a moment ago makes room, though the
// follower still holds the version that has it.
func TestSpaceOfARemovedFile(t *testing.T) {
	s := newStepper(t)
	large := make([]byte, 40<<20)
	s.foreign(func(tx *engine.Tx) error {
		_, err := tx.PutImage(engine.RootID, value.String("large"), value.KindBytes, large, engine.PutOptions{})
		return err
	})
	s.step()
	n := s.lookup(rootNode, "large").NodeId
	write := func() error {
		return s.fs.store.Update(func(tx Tx) error {
			_, err := tx.PutImage(engine.RootID, value.String("new"), value.KindBytes, large, engine.PutOptions{})
			return err
		})
	}
	// Nothing has been given up: it says so at once.
	require.ErrorIs(t, write(), engine.ErrNoSpace)
	require.Zero(t, s.fs.store.freed.Load())

	require.Equal(t, fuse.OK, s.fs.Unlink(nil, &fuse.InHeader{NodeId: rootNode}, "large"))
	stepped := make(chan error)
	go func() {
		time.Sleep(20 * time.Millisecond)
		s.fs.Forget(n, 1)
		stepped <- s.fs.follow.step()
	}()
	require.NoError(t, write())
	require.NoError(t, <-stepped)
}
