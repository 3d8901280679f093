package gc_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/gc"
)

// TestFullBesideReader: a collection waits for who reads an older version, and
// another one that is asked for meanwhile is refused. When its context ends it
// gives up, and leaves the way free.
func TestFullBesideReader(t *testing.T) {
	path := newStorePath(t)
	published := make(chan struct{}, 8)
	s := open(t, path, func(point string) {
		if point == "gc.published" {
			published <- struct{}{}
		}
	})
	other := open(t, path, nil)
	hdr := s.Internals().Header()
	put(t, s, "k", 100_000)
	end := read(t, s)

	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := gc.New(s).Full(ctx)
		first <- err
	}()
	<-published
	_, err := gc.New(s).Full(t.Context())
	require.ErrorIs(t, err, gc.ErrRunning)
	_, err = gc.New(other).Full(t.Context())
	require.ErrorIs(t, err, gc.ErrRunning)
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	require.Zero(t, hdr.GCLease.Load())
	require.Zero(t, collections(s))

	end()
	_, err = gc.New(other).Full(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, collections(s))
}

// TestFullSettlesReasons: a collection that succeeds settles what was so when it
// began, one that fails settles nothing.
func TestFullSettlesReasons(t *testing.T) {
	var during atomic.Pointer[func()]
	s := open(t, newStorePath(t), func(point string) {
		if fn := during.Load(); fn != nil && point == "gc.marked" {
			(*fn)()
		}
	})
	hdr := s.Internals().Header()
	put(t, s, "k", 100)
	_, err := s.Snapshot(t.Context(), "s")
	require.NoError(t, err)
	require.NoError(t, s.DropSnapshot(t.Context(), "s"))
	hdr.Deaths.Add(2)
	hdr.Lost.Add(1000)
	slabs := hdr.Slabs.Load()

	end := read(t, s)
	put(t, s, "k", 200)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = gc.New(s).Full(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, hdr.DeathsDone.Load())
	require.Zero(t, hdr.DroppedDone.Load())
	require.Zero(t, hdr.GCSlabs.Load())
	require.EqualValues(t, 1000, hdr.Lost.Load())
	end()

	more := func() {
		during.Store(nil)
		hdr.Deaths.Add(1)
		hdr.Lost.Add(10)
		for i := 0; hdr.Slabs.Load() == slabs; i++ {
			put(t, s, string(rune('a'+i)), 1<<20)
		}
	}
	during.Store(&more)
	_, err = gc.New(s).Full(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, hdr.DeathsDone.Load())
	require.EqualValues(t, 1, hdr.DroppedDone.Load())
	require.Equal(t, slabs, hdr.GCSlabs.Load())
	require.EqualValues(t, 10, hdr.Lost.Load())
}
