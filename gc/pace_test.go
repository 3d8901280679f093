package gc_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/gc"
)

// logText is a log that may be read while it is written.
type logText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// looks are how often two collectors of one store look: at the same time, and
// one long after the other has collected.
var looks = [][2]time.Duration{{time.Millisecond, time.Millisecond}, {time.Millisecond, 30 * time.Millisecond}}

// reasons are what a collection has to begin for. Each has the word that the log
// has for it.
var reasons = []struct {
	name, why string
	bring     func(t *testing.T, s *engine.Store)
}{
	{"nothing", "", func(*testing.T, *engine.Store) {}},
	{"death", "died", func(_ *testing.T, s *engine.Store) { s.Internals().Header().Deaths.Add(1) }},
	{"lost", "left", func(_ *testing.T, s *engine.Store) { s.Internals().Header().Lost.Add(8 << 20) }},
	{"a little lost", "", func(_ *testing.T, s *engine.Store) { s.Internals().Header().Lost.Add(8<<20 - 1) }},
	{"snapshot", "dropped", func(t *testing.T, s *engine.Store) {
		_, err := s.Snapshot(t.Context(), "s")
		require.NoError(t, err)
		require.NoError(t, s.DropSnapshot(t.Context(), "s"))
	}},
	{"growth", "grown", func(t *testing.T, s *engine.Store) {
		put(t, s, "k", 4<<20)
	}},
	{"little growth", "", func(t *testing.T, s *engine.Store) {
		hdr := s.Internals().Header()
		for i, slabs := 0, hdr.Slabs.Load(); hdr.Slabs.Load() == slabs; i++ {
			put(t, s, fmt.Sprint(i), 64<<10)
		}
	}},
}

// TestRunCollectsOnce: each reason starts one collection, however many
// collectors look, and whether it came up before or while they ran.
func TestRunCollectsOnce(t *testing.T) {
	for _, r := range reasons {
		for i, look := range looks {
			for _, before := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/looks=%d/before=%v", r.name, i, before), func(t *testing.T) {
					path := newStorePath(t)
					one, two := open(t, path, nil), open(t, path, nil)
					hdr := one.Internals().Header()
					put(t, one, "x", 1000)
					if before {
						// As an earlier session knew it: in a new shm no growth is known.
						hdr.GCSlabs.Store(hdr.Slabs.Load())
						r.bring(t, one)
					}
					text := &logText{}
					for k, s := range []*engine.Store{one, two} {
						run(t, s, gc.Pace{
							Look: look[k], Growth: 0.5, MinGrowth: 3 << 20,
							Log: slog.New(slog.NewTextHandler(text, nil)),
						})
					}
					if !before {
						require.Eventually(t, func() bool { return hdr.GCSlabs.Load() != 0 }, soon, time.Millisecond)
						time.Sleep(manyLooks)
						require.Zero(t, collections(one))
						r.bring(t, one)
					}
					if r.why == "" {
						requireCollections(t, one, 0)
						require.Empty(t, text.String())
						return
					}
					requireCollections(t, one, 1)
					require.Eventually(t, func() bool { return strings.Contains(text.String(), r.why) }, soon, time.Millisecond)
					require.Equal(t, 1, strings.Count(text.String(), "\n"), "%s", text)
				})
			}
		}
	}
}

// TestRunAsksUnderLease: a collector that has seen a reason does nothing when
// another one comes before it and settles that.
func TestRunAsksUnderLease(t *testing.T) {
	path := newStorePath(t)
	one := open(t, path, nil)
	due, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	two := open(t, path, func(point string) {
		if point == "gc.due" {
			once.Do(func() {
				close(due)
				<-goOn
			})
		}
	})
	one.Internals().Header().Deaths.Add(1)
	text := &logText{}
	run(t, two, gc.Pace{Look: time.Millisecond, Log: slog.New(slog.NewTextHandler(text, nil))})
	<-due
	_, err := gc.New(one).Full(t.Context())
	require.NoError(t, err)
	close(goOn)
	requireCollections(t, one, 1)
	require.Empty(t, text.String())
}

// TestRunAfterDeathDuringCollection: a death that is counted after a collection has
// begun is left to another one, whoever made the first.
func TestRunAfterDeathDuringCollection(t *testing.T) {
	for _, asked := range []bool{false, true} {
		t.Run(fmt.Sprintf("asked=%v", asked), func(t *testing.T) {
			path := newStorePath(t)
			var s *engine.Store
			var once sync.Once
			s = open(t, path, func(point string) {
				if point == "gc.marked" {
					once.Do(func() {
						s.Internals().Header().Deaths.Add(1)
						time.Sleep(manyLooks) // for another to look, and be refused
					})
				}
			})
			if asked {
				run(t, open(t, path, nil), gc.Pace{Look: time.Millisecond})
				_, err := gc.New(s).Full(t.Context())
				require.NoError(t, err)
			} else {
				s.Internals().Header().Deaths.Add(1)
				run(t, s, gc.Pace{Look: time.Millisecond})
			}
			requireCollections(t, s, 2)
		})
	}
}

// TestRunAfterFailure: a collection that fails is tried again, and settles
// nothing before.
func TestRunAfterFailure(t *testing.T) {
	path := newStorePath(t)
	var tries atomic.Int64
	s := open(t, path, func(point string) {
		if point == "gc.published" {
			tries.Add(1)
		}
	})
	put(t, s, "k", 1000)
	hdr := s.Internals().Header()
	end := read(t, s)
	hdr.Deaths.Add(1)
	text := &logText{}
	run(t, s, gc.Pace{
		Look: time.Millisecond, Patience: 5 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(text, nil)),
	})
	require.Eventually(t, func() bool { return tries.Load() >= 3 }, soon, time.Millisecond)
	require.Zero(t, collections(s))
	require.Zero(t, hdr.DeathsDone.Load())
	require.Contains(t, text.String(), "failed")
	end()
	requireCollections(t, s, 1)
	require.EqualValues(t, 1, hdr.DeathsDone.Load())
}

// TestRunAfterOthersFailure: a collection that somebody asked for and that did not
// come to its end has told limbos to leave blocks to it: they are not forgotten.
func TestRunAfterOthersFailure(t *testing.T) {
	var leave atomic.Pointer[func()]
	s := open(t, newStorePath(t), func(point string) {
		if fn := leave.Load(); fn != nil && point == "gc.published" {
			(*fn)()
		}
	})
	end := read(t, s)
	put(t, s, "k", 1000)
	ctx, cancel := context.WithCancel(t.Context())
	leave.Store((*func())(&cancel))
	_, err := gc.New(s).Full(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, collections(s))
	leave.Store(nil)
	end()
	run(t, s, gc.Pace{Look: time.Millisecond})
	requireCollections(t, s, 1)
}

// TestRunEnds: closing the store ends it.
func TestRunEnds(t *testing.T) {
	s, err := engine.Open(newStorePath(t), engine.Options{})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		gc.New(s).Run(t.Context(), gc.Pace{Look: time.Millisecond})
	}()
	require.NoError(t, s.Close())
	select {
	case <-done:
	case <-time.After(soon):
		t.Error("it goes on after the store was closed")
	}
}
