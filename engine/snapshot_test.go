package engine_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
	"pongofs/gc"
)

var snapSeed = flag.Uint64("snapseed", 1, "seed of the random work on snapshots")

// readAll returns what is below a directory as text by path.
func readAll(tx *engine.Tx, dir engine.ID) (map[string]string, error) {
	all := map[string]string{}
	var walk func(dir engine.ID, path string) error
	walk = func(dir engine.ID, path string) error {
		var failed error
		err := tx.Scan(dir, value.Value{}, true, func(e engine.Entry) bool {
			at := path + "/" + e.Key.String()
			if e.IsContainer() {
				all[at] = e.Kind.String()
				failed = walk(e.ID, at)
				return failed == nil
			}
			v, err := tx.Value(&e)
			all[at], failed = v.String(), err
			return err == nil
		})
		return errors.Join(err, failed)
	}
	return all, walk(dir, "")
}

func snapshotNames(t *testing.T, s *engine.Store) []string {
	t.Helper()
	all, err := s.Snapshots()
	require.NoError(t, err)
	names := []string{}
	for _, snap := range all {
		names = append(names, snap.Name)
	}
	return names
}

func TestSnapshotKeepsItsVersion(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	for i := 1; i <= 100; i++ {
		require.NoError(t, step(s, "a", i))
	}
	want := map[string]string{}
	mustView(t, s, func(tx *engine.Tx) {
		want, err = readAll(tx, engine.RootID)
		require.NoError(t, err)
	})
	first, err := s.Snapshot(t.Context(), "first")
	require.NoError(t, err)
	require.Equal(t, uint64(1), first.Number)
	require.WithinDuration(t, time.Now(), first.Time, time.Minute)
	_, err = s.Snapshot(t.Context(), "first")
	require.ErrorIs(t, err, engine.ErrExist)
	for i := 101; i <= 300; i++ {
		require.NoError(t, step(s, "a", i))
	}
	check := func(s *engine.Store) {
		t.Helper()
		require.NoError(t, s.ViewSnapshot("first", func(tx *engine.Tx) error {
			got, err := readAll(tx, engine.RootID)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, first.Seq, tx.Seq())
			snaps, err := tx.Snapshots()
			require.Empty(t, snaps)
			return err
		}))
		requireNoLeak(t, s)
	}
	check(s)
	held, err := s.SnapshotBytes("first")
	require.NoError(t, err)
	require.Positive(t, held)
	before := s.Internals().Heap().Usage().UsedBytes
	require.NoError(t, s.Close())

	s, err = engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	check(s)
	require.Equal(t, []string{"first"}, snapshotNames(t, s))
	require.NoError(t, s.DropSnapshot(t.Context(), "first"))
	require.ErrorIs(t, s.DropSnapshot(t.Context(), "first"), engine.ErrNotFound)
	require.ErrorIs(t, s.ViewSnapshot("first", nil), engine.ErrNotFound)
	requireNoLeak(t, s)
	after := s.Internals().Heap().Usage().UsedBytes
	// The table's own leaf went, too.
	require.InDelta(t, before-held, after, 256, "what was said to be held by the snapshot alone is free")
	second, err := s.Snapshot(t.Context(), "second")
	require.NoError(t, err)
	require.Equal(t, uint64(2), second.Number, "numbers are not used again")
	require.NoError(t, s.Close())
}

func TestSnapshotNames(t *testing.T) {
	s := newMemory(t)
	for _, name := range []string{"", ".", "..", "now", "a/b", "a@b", "a\x00b", "a\nb", "\xff", strings.Repeat("x", 256)} {
		_, err := s.Snapshot(t.Context(), name)
		require.True(t, errors.Is(err, engine.ErrKey) || errors.Is(err, engine.ErrKeyTooLong), "%q: %v", name, err)
	}
	for _, name := range []string{"2024-01-02T03:04:05", "äöü", " x ", ".hidden", strings.Repeat("x", 255)} {
		_, err := s.Snapshot(t.Context(), name)
		require.NoError(t, err, "%q", name)
	}
	mustUpdate(t, s, func(tx *engine.Tx) {
		_, err := tx.Put(engine.SnapshotsID, value.String("x"), value.Int(1), engine.PutOptions{})
		require.ErrorIs(t, err, engine.ErrKind)
		require.ErrorIs(t, tx.Remove(engine.SnapshotsID, value.String("äöü")), engine.ErrKind)
	})
}

// TestVersionStaysReadable: an open version, and the values pinned in it, hold
// what they need through drop, writes and collections.
func TestVersionStaysReadable(t *testing.T) {
	s := newMemory(t)
	big := value.Bytes(make([]byte, 300_000))
	mustUpdate(t, s, func(tx *engine.Tx) {
		_, err := tx.Put(engine.RootID, value.String("big"), big, engine.PutOptions{})
		require.NoError(t, err)
	})
	for i := 1; i <= 60; i++ {
		require.NoError(t, step(s, "a", i))
	}
	_, err := s.Snapshot(t.Context(), "s")
	require.NoError(t, err)
	v, err := s.OpenSnapshot("s")
	require.NoError(t, err)
	now, err := s.OpenVersion()
	require.NoError(t, err)
	var want map[string]string
	var pin *engine.ValuePin
	require.NoError(t, v.View(func(tx *engine.Tx) error {
		want, err = readAll(tx, engine.RootID)
		require.NoError(t, err)
		e, err := tx.Lookup(engine.RootID, value.String("big"))
		require.NoError(t, err)
		pin, err = tx.PinValue(&e)
		return err
	}))
	require.NoError(t, s.DropSnapshot(t.Context(), "s"))
	mustUpdate(t, s, func(tx *engine.Tx) { require.NoError(t, tx.Remove(engine.RootID, value.String("big"))) })
	for i := 61; i <= 400; i++ {
		require.NoError(t, step(s, "a", i))
		if i%50 == 0 {
			require.NoError(t, collect(s))
		}
	}
	for _, v := range []*engine.Version{v, now} {
		require.NoError(t, v.View(func(tx *engine.Tx) error {
			got, err := readAll(tx, engine.RootID)
			require.Equal(t, want, got)
			return err
		}))
		require.NoError(t, v.Close())
		require.ErrorIs(t, v.View(func(*engine.Tx) error { return nil }), engine.ErrClosed)
	}
	require.NoError(t, collect(s))
	buf := make([]byte, 300_000)
	n, err := pin.ReadAt(buf, 0)
	require.NoError(t, err)
	require.Equal(t, len(buf), n, "the value is held by its own pin after the version is closed")
	require.NoError(t, pin.Close())
	st, err := s.Stats()
	require.NoError(t, err)
	require.Zero(t, st.NamedPins)
}

// TestSnapshotsAgainstModel attacks the rule that says which replaced objects
// may be reused: writers, snapshots that come and go in any order, versions
// that stay open across drops, checkpoints, collections and reopening, with
// every snapshot and version compared with a copy of what it must show. What is
// reused too early shows as other content or as damage, what is never freed as
// a leak.
func TestSnapshotsAgainstModel(t *testing.T) {
	for _, inFile := range []bool{false, true} {
		t.Run(fmt.Sprintf("file=%v", inFile), func(t *testing.T) { attackSnapshots(t, *snapSeed, inFile) })
	}
}

func attackSnapshots(t *testing.T, seed uint64, inFile bool) {
	r := rand.New(rand.NewPCG(seed, 5))
	t.Logf("seed %d", seed)
	path := ""
	var s *engine.Store
	var err error
	if inFile {
		path = newStorePath(t)
		s, err = engine.Open(path, engine.Options{Commit: -1})
	} else {
		s, err = engine.OpenMemory(64<<20, engine.Options{Commit: -1})
	}
	require.NoError(t, err)
	live := map[string]string{}
	snaps := map[string]map[string]string{}
	type open struct {
		v    *engine.Version
		want map[string]string
	}
	var versions []open
	compare := func(tx *engine.Tx, want map[string]string, what string) error {
		got, err := readAll(tx, engine.RootID)
		if err == nil && !maps.Equal(got, want) {
			err = fmt.Errorf("%s shows %d entries, should show %d, or others", what, len(got), len(want))
		}
		return err
	}
	checkAll := func() {
		t.Helper()
		require.NoError(t, s.View(func(tx *engine.Tx) error { return compare(tx, live, "the newest version") }))
		require.ElementsMatch(t, slices.Collect(maps.Keys(snaps)), snapshotNames(t, s))
		for name, want := range snaps {
			require.NoError(t, s.ViewSnapshot(name, func(tx *engine.Tx) error { return compare(tx, want, name) }))
		}
		for _, o := range versions {
			require.NoError(t, o.v.View(func(tx *engine.Tx) error { return compare(tx, o.want, "a version") }))
		}
	}
	rounds := 1500
	if testing.Short() {
		rounds = 300
	}
	for i := range rounds {
		switch k := r.IntN(100); {
		case k < 60:
			next := maps.Clone(live)
			require.NoError(t, s.Update(func(tx *engine.Tx) error {
				next = maps.Clone(live)
				for range 1 + r.IntN(5) {
					key := value.String(fmt.Sprintf("k%02d", r.IntN(60)))
					if r.IntN(4) == 0 {
						if err := tx.Remove(engine.RootID, key); err != nil && !errors.Is(err, engine.ErrNotFound) {
							return err
						}
						delete(next, "/"+key.String())
						continue
					}
					v := value.String(strings.Repeat(fmt.Sprintf("%d-", i), r.IntN(1+r.IntN(3000))))
					if _, err := tx.Put(engine.RootID, key, v, engine.PutOptions{Declared: true}); err != nil {
						return err
					}
					next["/"+key.String()] = v.String()
				}
				return nil
			}))
			live = next
		case k < 70 && len(snaps) < 12:
			name := fmt.Sprintf("s%d", i)
			_, err := s.Snapshot(t.Context(), name)
			require.NoError(t, err)
			snaps[name] = maps.Clone(live)
		case k < 80 && len(snaps) > 0:
			names := slices.Sorted(maps.Keys(snaps))
			name := names[r.IntN(len(names))]
			require.NoError(t, s.DropSnapshot(t.Context(), name))
			delete(snaps, name)
		case k < 84 && len(versions) < 6:
			names := slices.Sorted(maps.Keys(snaps))
			if r.IntN(2) == 0 || len(names) == 0 {
				v, err := s.OpenVersion()
				require.NoError(t, err)
				versions = append(versions, open{v, maps.Clone(live)})
				break
			}
			name := names[r.IntN(len(names))]
			v, err := s.OpenSnapshot(name)
			require.NoError(t, err)
			versions = append(versions, open{v, snaps[name]})
		case k < 88 && len(versions) > 0:
			n := r.IntN(len(versions))
			require.NoError(t, versions[n].v.Close())
			versions = slices.Delete(versions, n, n+1)
		case k < 91:
			require.NoError(t, s.Sync(context.Background()))
		case k < 94:
			_, err := gc.New(s).Full(context.Background())
			require.NoError(t, err)
		case k < 96 && inFile:
			for _, o := range versions {
				require.NoError(t, o.v.Close())
			}
			versions = nil
			require.NoError(t, s.Close())
			s, err = engine.Open(path, engine.Options{Commit: -1})
			require.NoError(t, err)
		case k < 98:
			checkAll()
			_, err := s.Internals().Verify()
			require.NoError(t, err)
		}
	}
	checkAll()
	for _, o := range versions {
		require.NoError(t, o.v.Close())
	}
	requireNoLeak(t, s)
	for name := range snaps {
		require.NoError(t, s.DropSnapshot(t.Context(), name))
	}
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// TestThousandSnapshots takes 1 000 snapshots with changes in between, drops
// them in random order, and finds the store whole and as small as one that
// never had any.
func TestThousandSnapshots(t *testing.T) {
	const n = 1000
	fill := func(s *engine.Store, snapshots bool) {
		for i := 1; i <= n; i++ {
			require.NoError(t, step(s, "a", i))
			if snapshots {
				_, err := s.Snapshot(t.Context(), fmt.Sprintf("s%04d", i))
				require.NoError(t, err)
			}
		}
	}
	open := func(name string) *engine.Store {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, engine.Create(path, engine.CreateOptions{ChunkSize: engine.MinChunkSize}))
		s, err := engine.Open(path, engine.Options{Commit: -1})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	}
	s, plain := open("snapshots.pongo"), open("plain.pongo")
	fill(s, true)
	fill(plain, false)
	require.Len(t, snapshotNames(t, s), n)
	_, err := s.Internals().Verify()
	require.NoError(t, err)
	for _, i := range []int{1, 500, 1000} {
		require.NoError(t, s.ViewSnapshot(fmt.Sprintf("s%04d", i), func(tx *engine.Tx) error {
			e, err := tx.Lookup(engine.RootID, value.String("total"))
			require.NoError(t, err)
			require.Equal(t, value.Int(int64(i)), e.Scalar)
			return nil
		}))
	}
	r := rand.New(rand.NewPCG(*snapSeed, 6))
	for k, i := range r.Perm(n) {
		require.NoError(t, s.DropSnapshot(t.Context(), fmt.Sprintf("s%04d", i+1)))
		if k == n/2 {
			requireNoLeak(t, s)
		}
	}
	requireNoLeak(t, s)
	requireNoLeak(t, plain)
	used, want := s.Internals().Heap().Usage(), plain.Internals().Heap().Usage()
	// Leaves differ a little, since snapshots have taken ids.
	require.InDelta(t, want.Objects, used.Objects, 8, "objects in a store that has had snapshots")
	require.InDelta(t, want.UsedBytes, used.UsedBytes, 8<<10)
	// The file has room again for as much as it has held.
	st, err := s.Stats()
	require.NoError(t, err)
	for i := n + 1; i <= 3*n; i++ {
		require.NoError(t, step(s, "a", i))
	}
	after, err := s.Stats()
	require.NoError(t, err)
	require.Equal(t, st.FileBytes, after.FileBytes, "the file grows although snapshots were dropped")
}

// TestSnapshotInReadOnlyStore: snapshots show in a store that cannot be written.
func TestSnapshotInReadOnlyStore(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{})
	require.NoError(t, err)
	require.NoError(t, step(s, "a", 1))
	_, err = s.Snapshot(t.Context(), "one")
	require.NoError(t, err)
	require.NoError(t, step(s, "a", 2))
	require.NoError(t, s.Close())
	s, err = engine.Open(path, engine.Options{ReadOnly: true})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Snapshot(t.Context(), "two")
	require.ErrorIs(t, err, engine.ErrReadOnly)
	require.ErrorIs(t, s.DropSnapshot(t.Context(), "one"), engine.ErrReadOnly)
	_, err = s.Stats()
	require.NoError(t, err)
	v, err := s.OpenSnapshot("one")
	require.NoError(t, err)
	require.NoError(t, v.View(func(tx *engine.Tx) error {
		e, err := tx.Lookup(engine.RootID, value.String("total"))
		require.Equal(t, value.Int(1), e.Scalar)
		return err
	}))
	require.NoError(t, v.Close())
}

// BenchmarkSnapshot takes and drops a snapshot in stores of different sizes:
// it must cost the same.
func BenchmarkSnapshot(b *testing.B) {
	for _, entries := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "bench.pongo")
			require.NoError(b, engine.Create(path, engine.CreateOptions{}))
			s, err := engine.Open(path, engine.Options{Commit: -1})
			require.NoError(b, err)
			defer s.Close()
			const batch = 1000
			for from := 0; from < entries; from += batch {
				require.NoError(b, s.Update(func(tx *engine.Tx) error {
					for i := from; i < from+batch; i++ {
						key := value.String(fmt.Sprintf("key-%08d", i))
						if _, err := tx.Put(engine.RootID, key, value.Int(int64(i)), engine.PutOptions{}); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			require.NoError(b, s.Sync(context.Background()))
			taken := 0
			b.Run("take", func(b *testing.B) {
				for b.Loop() {
					taken++
					if _, err := s.Snapshot(b.Context(), fmt.Sprintf("s%d", taken)); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("drop", func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					_, err := s.Snapshot(b.Context(), "dropped")
					require.NoError(b, err)
					b.StartTimer()
					if err := s.DropSnapshot(b.Context(), "dropped"); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// TestBackgroundFreesDroppedSnapshot: what only a dropped snapshot held is
// collected without being asked for, also when it was dropped before the
// collector was there.
func TestBackgroundFreesDroppedSnapshot(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{})
	require.NoError(t, err)
	put := func(n int) {
		mustUpdate(t, s, func(tx *engine.Tx) {
			_, err := tx.Put(engine.RootID, value.String("big"), value.Bytes(make([]byte, n)), engine.PutOptions{})
			require.NoError(t, err)
		})
	}
	put(500_000)
	_, err = s.Snapshot(t.Context(), "s")
	require.NoError(t, err)
	put(1)
	require.NoError(t, s.DropSnapshot(t.Context(), "s"))
	require.NoError(t, s.Close())

	s, err = engine.Open(path, engine.Options{})
	require.NoError(t, err)
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		gc.New(s).Run(ctx, gc.Pace{Look: 10 * time.Millisecond})
	}()
	small := func() bool {
		st, err := s.Stats()
		return err == nil && st.UsedBytes < 100_000
	}
	require.Eventually(t, small, time.Minute, 10*time.Millisecond)

	// The same when a version that was open held it longer.
	put(500_000)
	_, err = s.Snapshot(t.Context(), "s")
	require.NoError(t, err)
	v, err := s.OpenSnapshot("s")
	require.NoError(t, err)
	put(1)
	require.NoError(t, s.DropSnapshot(t.Context(), "s"))
	hdr := s.Internals().Header()
	require.Eventually(t, func() bool { return hdr.Dropped.Load() == hdr.DroppedDone.Load() }, time.Minute, 10*time.Millisecond)
	require.False(t, small())
	require.NoError(t, v.Close())
	require.Eventually(t, small, time.Minute, 10*time.Millisecond)
	cancel()
	<-ended
}

// TestDropSnapshotOfFullStore: removing values makes no room while a snapshot
// holds them, and may even use the last of it; dropping the snapshot goes on to
// work, and makes room.
func TestDropSnapshotOfFullStore(t *testing.T) {
	path := newStorePath(t)
	var full atomic.Bool
	s, err := engine.Open(path, engine.Options{
		Collect: collect, Commit: -1, MapHooks: diskHooks(&full),
	})
	require.NoError(t, err)
	full.Store(true)
	put := func(i int) error {
		return s.Update(func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String(fmt.Sprintf("%04d", i)), value.String(strings.Repeat("x", 150)), engine.PutOptions{})
			return err
		})
	}
	fill := func() int {
		for n := 0; ; n++ {
			if err := put(n); err != nil {
				require.ErrorIs(t, err, engine.ErrNoSpace)
				return n
			}
		}
	}
	n := fill()
	_, err = s.Snapshot(t.Context(), "s")
	if err != nil { // there may be no room for it: it makes none
		require.ErrorIs(t, err, engine.ErrNoSpace)
		for i := range 50 {
			require.NoError(t, s.Update(func(tx *engine.Tx) error {
				return tx.Remove(engine.RootID, value.String(fmt.Sprintf("%04d", i)))
			}))
		}
		_, err = s.Snapshot(t.Context(), "s")
		require.NoError(t, err)
	}
	removed := 0
	for i := n - 1; i >= 0; i-- {
		err := s.Update(func(tx *engine.Tx) error {
			return tx.Remove(engine.RootID, value.String(fmt.Sprintf("%04d", i)))
		})
		if err != nil {
			break
		}
		removed++
	}
	t.Logf("%d values fit, %d could be removed under a snapshot", n, removed)
	require.NoError(t, s.DropSnapshot(t.Context(), "s"))
	_, err = gc.New(s).Full(context.Background())
	require.NoError(t, err)
	for i := range n {
		err := s.Update(func(tx *engine.Tx) error {
			return tx.Remove(engine.RootID, value.String(fmt.Sprintf("%04d", i)))
		})
		require.True(t, err == nil || errors.Is(err, engine.ErrNotFound), "%v", err)
	}
	require.Greater(t, fill(), n*9/10)
	full.Store(false)
	require.NoError(t, s.Close())
}

// TestSnapshotCanceled ends the context of taking and dropping a snapshot at
// three moments: before anything, when another writer was faster, and when the
// version is published. Only the last is too late.
func TestSnapshotCanceled(t *testing.T) {
	var at func(point string)
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1, Hook: func(point string) {
		if at != nil {
			at(point)
		}
	}})
	require.NoError(t, err)
	defer s.Close()
	setKey(t, s, "a", 1)
	_, err = s.Snapshot(t.Context(), "old")
	require.NoError(t, err)

	ops := map[string]func(ctx context.Context) error{
		"take": func(ctx context.Context) error { _, err := s.Snapshot(ctx, "new"); return err },
		"drop": func(ctx context.Context) error { return s.DropSnapshot(ctx, "old") },
	}
	for _, name := range []string{"take", "drop"} {
		t.Run(name, func(t *testing.T) {
			before, names := s.Changed(), snapshotNames(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.ErrorIs(t, ops[name](ctx), context.Canceled)
			require.Equal(t, before, s.Changed())

			ctx, cancel = context.WithCancel(t.Context())
			defer cancel()
			at = func(point string) {
				if point == "publish.before-swap" {
					at = nil
					setKey(t, s, "faster", name)
					cancel()
				}
			}
			require.ErrorIs(t, ops[name](ctx), context.Canceled)
			require.Nil(t, at, "the edit was tried")
			require.Equal(t, before+1, s.Changed(), "only the other writer has published")
			require.Equal(t, names, snapshotNames(t, s))

			ctx, cancel = context.WithCancel(t.Context())
			defer cancel()
			at = func(point string) {
				if point == "snapshot.published" {
					at = nil
					cancel()
				}
			}
			require.NoError(t, ops[name](ctx))
			require.Error(t, ctx.Err())
			require.NotEqual(t, names, snapshotNames(t, s))
			st, err := s.Stats()
			require.NoError(t, err)
			require.Equal(t, st.Seq, st.DurableSeq, "it is durable")
		})
	}
}
