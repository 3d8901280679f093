package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
)

// TestWaitChangeSeesUnannounced: a version counts from the swap of the root word
// on, also when its writer has stopped there, before it has raised the hint and
// woken anybody.
func TestWaitChangeSeesUnannounced(t *testing.T) {
	armed, at, goOn := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s, err := engine.OpenMemory(64<<20, engine.Options{Commit: -1, Hook: func(point string) {
		if point != "publish.after-swap" {
			return
		}
		select {
		case <-armed:
			at <- struct{}{}
			<-goOn
		default:
		}
	}})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Update(func(tx *engine.Tx) error { return tx.Root().Set("a", 1) }))
	before := s.Changed()
	close(armed)
	done := make(chan error, 1)
	go func() { done <- s.Update(func(tx *engine.Tx) error { return tx.Root().Set("a", 2) }) }()
	<-at
	require.Equal(t, before, s.Changed())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	now, err := s.WaitChange(ctx, before)
	require.NoError(t, err)
	require.Equal(t, before+1, now)
	close(goOn)
	require.NoError(t, <-done)
	require.Equal(t, before+1, s.Changed())
}
