package engine_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/mapping"
)

// TestSyncCanceled: who waits for a disk that does not answer may give up, also the
// one whose checkpoint it is, which the others get all the same.
func TestSyncCanceled(t *testing.T) {
	var hangs atomic.Bool
	began, release := make(chan struct{}, 10), make(chan struct{})
	s, err := engine.Open(newStorePath(t), engine.Options{Commit: -1, MapHooks: &mapping.Hooks{Sync: func() error {
		if hangs.Load() {
			began <- struct{}{}
			<-release
		}
		return nil
	}}})
	require.NoError(t, err)
	require.NoError(t, step(s, "a", 1))
	hangs.Store(true)

	var results [3]chan error
	var cancels [3]context.CancelFunc
	for i := range results {
		ctx := context.Background() // of the last, who does not give up
		if i < 2 {
			ctx, cancels[i] = context.WithCancel(t.Context())
		}
		results[i] = make(chan error, 1)
		go func() { results[i] <- s.Sync(ctx) }()
		if i == 0 {
			<-began // it leads
		}
	}
	for i := range 2 {
		cancels[i]()
		require.ErrorIs(t, <-results[i], context.Canceled)
	}
	st, err := s.Stats()
	require.NoError(t, err)
	require.Less(t, st.DurableSeq, st.Seq)
	require.NoError(t, step(s, "a", 2), "writers are not held up")

	hangs.Store(false)
	close(release)
	require.NoError(t, <-results[2])
	require.NoError(t, s.Sync(context.Background()))
	st, err = s.Stats()
	require.NoError(t, err)
	require.Equal(t, st.Seq, st.DurableSeq)
	require.NoError(t, s.Close())
}
