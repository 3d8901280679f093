package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

var errSeen = errors.New("seen enough")

// setKey publishes one version.
func setKey(t *testing.T, s *engine.Store, key string, v any) {
	t.Helper()
	mustUpdate(t, s, func(tx *engine.Tx) { require.NoError(t, tx.Root().Set(key, v)) })
}

// heldVersions counts the versions that are held by anybody.
func heldVersions(t *testing.T, s *engine.Store) int {
	t.Helper()
	all, err := s.Holders()
	require.NoError(t, err)
	n := 0
	for _, h := range all {
		if h.Kind == "version" {
			n++
		}
	}
	return n
}

// TestWatchFollowsWriters keeps a copy of a store up to date from its feed,
// beside writers, and compares it with the store in the end.
func TestWatchFollowsWriters(t *testing.T) {
	s := newMemory(t)
	setKey(t, s, "before", 0)
	const writers, each = 3, 200
	done := make(chan error, writers)
	ctx := t.Context()
	replica := map[string]value.Value{}
	last, steps := uint64(0), 0
	apply := func(d *engine.Differ) error {
		if steps == 0 {
			require.Equal(t, d.Old().Seq(), d.Now().Seq())
			for c := range d.Changes() {
				require.Fail(t, "a change from a version to itself", "%v", c)
			}
			require.NoError(t, d.Now().Scan(engine.RootID, value.Value{}, false, func(e engine.Entry) bool {
				replica[e.Key.AsString()] = e.Scalar
				return true
			}))
			for w := range writers {
				go func() {
					for i := range each {
						if err := s.Update(func(tx *engine.Tx) error {
							if i%3 == 2 {
								return tx.Remove(engine.RootID, value.String(fmt.Sprintf("w%d-%d", w, i-1)))
							}
							return tx.Root().Set(fmt.Sprintf("w%d-%d", w, i), i)
						}); err != nil {
							done <- err
							return
						}
					}
					done <- s.Update(func(tx *engine.Tx) error { return tx.Root().Set(fmt.Sprintf("end%d", w), true) })
				}()
			}
		} else {
			require.Equal(t, last, d.Old().Seq(), "no version between two steps")
			require.Greater(t, d.Now().Seq(), last)
			require.False(t, d.Now().Time().Before(d.Old().Time()))
		}
		steps++
		last = d.Now().Seq()
		for c, err := range d.Changes() {
			require.NoError(t, err)
			if c.Kind == engine.ChangeAttr {
				continue // the times of the root
			}
			key := c.Path[0].Key.AsString()
			switch c.Kind {
			case engine.ChangeAdd:
				require.NotContains(t, replica, key)
				replica[key] = c.Now.Scalar
			case engine.ChangeRemove:
				require.Contains(t, replica, key)
				delete(replica, key)
			case engine.ChangeValue:
				require.Equal(t, replica[key], c.Old.Scalar)
				replica[key] = c.Now.Scalar
			}
		}
		for w := range writers {
			if _, ended := replica[fmt.Sprintf("end%d", w)]; !ended {
				return nil
			}
		}
		return errSeen
	}
	require.ErrorIs(t, s.Watch(ctx, 0, apply), errSeen)
	for range writers {
		require.NoError(t, <-done)
	}
	require.Equal(t, s.Changed(), last)
	want := map[string]value.Value{}
	mustView(t, s, func(tx *engine.Tx) {
		require.NoError(t, tx.Scan(engine.RootID, value.Value{}, false, func(e engine.Entry) bool {
			want[e.Key.AsString()] = e.Scalar
			return true
		}))
	})
	require.Equal(t, want, replica)
	require.Zero(t, heldVersions(t, s), "an ended watch holds nothing")
}

// TestWatchResumes begins from a snapshot, and says when it cannot begin.
func TestWatchResumes(t *testing.T) {
	s := newMemory(t)
	setKey(t, s, "a", 1)
	snap, err := s.Snapshot(t.Context(), "here")
	require.NoError(t, err)
	setKey(t, s, "b", 2)
	gone := s.Changed()
	setKey(t, s, "c", 3)

	var got []string
	err = s.Watch(t.Context(), snap.Seq, func(d *engine.Differ) error {
		require.Equal(t, snap.Seq, d.Old().Seq())
		require.Equal(t, s.Changed(), d.Now().Seq())
		for c, err := range d.Changes() {
			require.NoError(t, err)
			if c.Kind != engine.ChangeAttr {
				got = append(got, c.Kind.String()+pathText(c.Path))
			}
		}
		return errSeen
	})
	require.ErrorIs(t, err, errSeen)
	require.Equal(t, []string{`add/keyed:"b"`, `add/keyed:"c"`}, got)

	fail := func(*engine.Differ) error { return errors.New("called") }
	require.ErrorIs(t, s.Watch(t.Context(), gone, fail), engine.ErrNotFound)
	require.ErrorIs(t, s.Watch(t.Context(), s.Changed()+1, fail), engine.ErrNotFound)
}

// TestWatchHoldsTwoVersions has a consumer that is slow while others write: what
// is held does not grow with what they write.
func TestWatchHoldsTwoVersions(t *testing.T) {
	s := newMemory(t)
	setKey(t, s, "a", 0)
	calls := 0
	err := s.Watch(t.Context(), 0, func(d *engine.Differ) error {
		require.LessOrEqual(t, heldVersions(t, s), 2)
		for i := range 300 {
			setKey(t, s, "a", 1000*calls+i)
		}
		require.LessOrEqual(t, heldVersions(t, s), 2)
		if calls++; calls == 10 {
			return errSeen
		}
		return nil
	})
	require.ErrorIs(t, err, errSeen)
	require.NoError(t, s.Sync(t.Context()))
	st, err := s.Stats()
	require.NoError(t, err)
	// A version of this store takes some kilobytes, the 3000 that were published
	// together much more.
	require.Less(t, st.LimboBytes, int64(256<<10))
}

// TestWatchEnds ends by its context, also between versions that come quickly,
// and with its store.
func TestWatchEnds(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		s := newMemory(t)
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Watch(ctx, 0, func(*engine.Differ) error { cancel(); return nil })
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("busy", func(t *testing.T) {
		s := newMemory(t)
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		err := s.Watch(ctx, 0, func(*engine.Differ) error {
			setKey(t, s, "a", calls) // the next version is there already
			if calls++; calls == 3 {
				cancel()
			}
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 3, calls)
	})
	t.Run("closed", func(t *testing.T) {
		s, err := engine.OpenMemory(32<<20, engine.Options{Commit: -1})
		require.NoError(t, err)
		began, ended := make(chan struct{}), make(chan error)
		go func() {
			ended <- s.Watch(t.Context(), 0, func(*engine.Differ) error { close(began); return nil })
		}()
		<-began
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-ended, engine.ErrClosed)
	})
	t.Run("read-only", func(t *testing.T) {
		path := newStorePath(t)
		s, err := engine.Open(path, engine.Options{ReadOnly: true})
		require.NoError(t, err)
		defer s.Close()
		err = s.Watch(t.Context(), 0, func(*engine.Differ) error { return errors.New("called") })
		require.ErrorIs(t, err, engine.ErrReadOnly)
	})
}

// TestOpenAt opens what is held, and nothing else.
func TestOpenAt(t *testing.T) {
	s := newMemory(t)
	setKey(t, s, "a", 1)
	before := s.Changed()
	snap, err := s.Snapshot(t.Context(), "monday")
	require.NoError(t, err)
	require.Equal(t, before+1, snap.Seq)
	setKey(t, s, "a", 2)
	lost := s.Changed()
	setKey(t, s, "a", 3)

	for seq, want := range map[uint64]int64{before: 1, snap.Seq: 1, s.Changed(): 3} {
		v, err := s.OpenAt(seq)
		require.NoError(t, err, seq)
		require.NoError(t, v.View(func(tx *engine.Tx) error {
			got, err := tx.Root().Get("a")
			require.Equal(t, want, got.AsInt(), seq)
			return err
		}))
		require.NoError(t, v.Close())
	}
	for _, seq := range []uint64{lost, before - 1, s.Changed() + 1} {
		_, err := s.OpenAt(seq)
		require.ErrorIs(t, err, engine.ErrNotFound)
		require.ErrorContains(t, err, fmt.Sprint(seq))
	}
	require.NoError(t, s.DropSnapshot(t.Context(), "monday"))
	_, err = s.OpenAt(snap.Seq)
	require.ErrorIs(t, err, engine.ErrNotFound)
	require.Zero(t, heldVersions(t, s), "nothing is held after all are closed")
}
