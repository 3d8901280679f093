package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/check"
	"pongofs/engine/enginetest"
	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

// recordsOf returns the checkpoint records in the image of a store, by page.
func recordsOf(b []byte) map[int]layout.Checkpoint {
	got := map[int]layout.Checkpoint{}
	for i := range layout.MaxProcesses * layout.CheckpointPages {
		if c, ok := layout.DecodeCheckpoint(b[layout.CheckpointPage(i):][:layout.PageSize]); ok {
			got[i] = c
		}
	}
	return got
}

// newestListed returns the listed record of the newest version in an image, and its
// page; false if there is none, or a plain one beside it.
func newestListed(b []byte) (rec layout.Checkpoint, page int, ok bool) {
	for i, c := range recordsOf(b) {
		if c.Seq > rec.Seq || c.Seq == rec.Seq && c.Base == 0 {
			rec, page = c, i
		}
	}
	return rec, page, rec.Base != 0
}

func image(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// countSyncs opens a store and counts its syncs.
func countSyncs(t *testing.T, path string, commit time.Duration) (*engine.Store, *atomic.Int64) {
	t.Helper()
	var syncs atomic.Int64
	s, err := engine.Open(path, engine.Options{Commit: commit, MapHooks: &mapping.Hooks{Sync: func() error {
		syncs.Add(1)
		return nil
	}}})
	require.NoError(t, err)
	syncs.Store(0)
	return s, &syncs
}

// TestListedCheckpoint: who waits for a small change waits for one sync. Whatever the
// list decides is decided for good when the store is closed, or after the commit
// interval.
func TestListedCheckpoint(t *testing.T) {
	path := newStorePath(t)
	s, syncs := countSyncs(t, path, -1)
	for i := 1; i <= 5; i++ {
		require.NoError(t, step(s, "a", i))
		require.NoError(t, s.Sync(context.Background()))
		require.Equal(t, int64(i), syncs.Load())
		rec, _, ok := newestListed(image(t, path))
		require.True(t, ok)
		st, err := s.Stats()
		require.NoError(t, err)
		require.Equal(t, st.Seq, rec.Seq)
		require.Equal(t, st.Seq-1, rec.Base)
		require.Equal(t, rec.Seq, st.DurableSeq)
		require.NotEmpty(t, rec.Fresh)
	}
	// Several versions are listed together, without what is no longer needed.
	for i := 6; i <= 9; i++ {
		require.NoError(t, step(s, "a", i))
	}
	require.NoError(t, s.Sync(context.Background()))
	rec, _, ok := newestListed(image(t, path))
	require.True(t, ok)
	require.Equal(t, rec.Seq-4, rec.Base)
	require.NoError(t, s.Sync(context.Background()), "nothing is new")
	require.Equal(t, int64(6), syncs.Load())

	// More than a record can list.
	require.NoError(t, putMany(s, "a", 10_000, 1))
	require.NoError(t, s.Sync(context.Background()))
	require.Equal(t, int64(8), syncs.Load())
	_, _, ok = newestListed(image(t, path))
	require.False(t, ok)

	require.NoError(t, step(s, "a", 10))
	require.NoError(t, s.Sync(context.Background()))
	require.Equal(t, int64(9), syncs.Load())
	_, _, ok = newestListed(image(t, path))
	require.True(t, ok)
	require.NoError(t, s.Close())
	_, _, ok = newestListed(image(t, path))
	require.False(t, ok, "a closed store needs no list")
	require.NoError(t, enginetest.Clean(path))

	s, syncs = countSyncs(t, path, time.Millisecond)
	require.NoError(t, step(s, "a", 11))
	require.NoError(t, s.Sync(context.Background()))
	require.Eventually(t, func() bool {
		_, _, listed := newestListed(image(t, path))
		return !listed
	}, 10*time.Second, time.Millisecond)
	time.Sleep(20 * time.Millisecond)
	before := syncs.Load()
	time.Sleep(20 * time.Millisecond)
	require.Equal(t, before, syncs.Load(), "what is plain is left alone")
	require.NoError(t, s.Close())
}

// TestUnlistedStore: a store of before there were lists is used as it was.
func TestUnlistedStore(t *testing.T) {
	path := newStorePath(t)
	require.NoError(t, enginetest.Unlisted(path))
	s, syncs := countSyncs(t, path, -1)
	require.NoError(t, step(s, "a", 1))
	require.NoError(t, s.Sync(context.Background()))
	require.Equal(t, int64(2), syncs.Load())
	require.NoError(t, s.Close())
	for _, rec := range recordsOf(image(t, path)) {
		require.Zero(t, rec.Base)
	}
	require.NoError(t, enginetest.Clean(path))
}

// crashed returns the path of a store as a power cut leaves it after two durable
// steps, with a listed record of each.
func crashed(t *testing.T) string {
	t.Helper()
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	for i := 1; i <= 2; i++ {
		require.NoError(t, step(s, "a", i))
		require.NoError(t, s.Sync(context.Background()))
	}
	b := image(t, path)
	require.NoError(t, s.Close())
	cut := filepath.Join(t.TempDir(), "cut.pongo")
	require.NoError(t, os.WriteFile(cut, b, 0o600))
	return cut
}

func flip(b []byte, ref layout.Ref) { b[uint64(ref)+layout.HeaderSize] ^= 1 }

// TestRecordThatDoesNotHold: without any one of the listed objects the store is what
// it was before; if the version before is not there either, it says so.
func TestRecordThatDoesNotHold(t *testing.T) {
	steps := func(path string) (int, error) {
		s, err := engine.Open(path, engine.Options{Commit: -1})
		if err != nil {
			return 0, err
		}
		n := count(t, s, "count-a")
		requireNoLeak(t, s)
		return n, s.Close()
	}
	t.Run("whole", func(t *testing.T) {
		n, err := steps(crashed(t))
		require.NoError(t, err)
		require.Equal(t, 2, n)
	})
	whole := crashed(t)
	rec, page, ok := newestListed(image(t, whole))
	require.True(t, ok)
	for _, f := range rec.Fresh {
		path := filepath.Join(t.TempDir(), "cut.pongo")
		require.NoError(t, os.WriteFile(path, image(t, whole), 0o600))
		rewrite(t, path, func(b []byte) { flip(b, f.Ref) })

		off, err := engine.OpenOffline(path, false, true)
		require.NoError(t, err)
		var rep check.Report
		check.Pages(off.File(), off.Size(), false, &rep)
		require.True(t, rep.Clean(), "%+v", rep.Findings)
		require.Len(t, rep.Findings, 1)
		require.Contains(t, rep.Findings[0].Cause, "as a power cut leaves it")
		require.Equal(t, rec.Base, rep.DurableSeq)
		require.Equal(t, rec.Base, off.Versions()[0].Seq)
		require.NoError(t, off.Close())

		s, err := engine.Open(path, engine.Options{ReadOnly: true})
		require.NoError(t, err)
		require.Equal(t, 1, count(t, s, "count-a"))
		require.NoError(t, s.Close())
		for range 2 {
			n, err := steps(path)
			require.NoError(t, err)
			require.Equal(t, 1, n)
		}
		require.NoError(t, enginetest.Clean(path))
	}
	t.Run("nor does the one before", func(t *testing.T) {
		path := crashed(t)
		rewrite(t, path, func(b []byte) {
			for _, c := range recordsOf(b) {
				if c.Base != 0 {
					flip(b, c.Root)
				}
			}
		})
		_, err := steps(path)
		require.ErrorIs(t, err, engine.ErrCorrupt)
		require.ErrorContains(t, err, "which it builds on")
		_, err = engine.Open(path, engine.Options{ReadOnly: true})
		require.ErrorIs(t, err, engine.ErrCorrupt)
		off, err := engine.OpenOffline(path, false, true)
		require.NoError(t, err)
		var rep check.Report
		check.Pages(off.File(), off.Size(), false, &rep)
		require.False(t, rep.Clean())
		require.NotEmpty(t, off.Versions(), "for a repair")
		require.NoError(t, off.Close())
	})
	t.Run("and the page of the one before is damaged", func(t *testing.T) {
		path := crashed(t)
		rewrite(t, path, func(b []byte) {
			flip(b, rec.Fresh[0].Ref)
			b[layout.CheckpointPage(page^1)+100] ^= 1
		})
		_, err := steps(path)
		require.ErrorIs(t, err, engine.ErrCorrupt)
	})
	t.Run("a file that is too short", func(t *testing.T) {
		path := crashed(t)
		rewrite(t, path, func(b []byte) {
			c := rec
			c.Slabs = uint64(len(b))/layout.SlabSize + 1
			page := b[layout.CheckpointPage(page):][:layout.PageSize]
			clear(page)
			c.Encode(page)
		})
		n, err := steps(path)
		require.NoError(t, err)
		require.Equal(t, 1, n)
	})
}

// TestFailedSyncOfListedRecord: the only sync of a listed checkpoint fails; nothing
// counts that was not durable before, in this process and after it.
func TestFailedSyncOfListedRecord(t *testing.T) {
	path := newStorePath(t)
	var fail atomic.Bool
	s, err := engine.Open(path, engine.Options{Commit: -1, MapHooks: &mapping.Hooks{Sync: func() error {
		if fail.Load() {
			return errors.New("input/output error")
		}
		return nil
	}}})
	require.NoError(t, err)
	require.NoError(t, step(s, "a", 1))
	require.NoError(t, s.Sync(context.Background()))
	require.NoError(t, step(s, "a", 2))
	fail.Store(true)
	require.ErrorIs(t, s.Sync(context.Background()), engine.ErrPoisoned)
	require.ErrorIs(t, step(s, "a", 3), engine.ErrPoisoned)
	require.ErrorIs(t, s.Close(), engine.ErrPoisoned)
	s, err = engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	// The pages had not reached the disk for all that is known; that of this test has them.
	require.Contains(t, []int{1, 2}, count(t, s, "count-a"))
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// TestKilledWhileConfirming: a process is killed when it has written the plain
// record of a version and not synced it. Whoever takes its slot syncs before it
// overwrites the listed one.
func TestKilledWhileConfirming(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	c := startChild(t, path, "hooked x checkpoint.confirming 1 KILL")
	<-c.done
	_ = c.wait()
	twins := false
	records := recordsOf(image(t, path))
	for page, a := range records {
		b, ok := records[page^1]
		twins = twins || ok && a.Seq == b.Seq && a.Base == 0 && b.Base != 0
	}
	require.True(t, twins)
	var syncs atomic.Int64
	next, err := engine.Open(path, engine.Options{Commit: -1, MapHooks: &mapping.Hooks{Sync: func() error {
		syncs.Add(1)
		return nil
	}}})
	require.NoError(t, err)
	require.NotZero(t, syncs.Load())
	require.NoError(t, next.Close())
	require.NoError(t, s.Close())
	require.NoError(t, enginetest.Clean(path))
}

// TestDamageAfterKill: a process was killed, so the page cache has all that was
// written. If something durable is not there, it is damaged: either the newest version
// does without it, or the store says so. It is not what it was before.
func TestDamageAfterKill(t *testing.T) {
	refused, adopted := 0, 0
	for k := 0; ; k += 4 {
		path := newStorePath(t)
		c := startChild(t, path, "hooked x checkpoint.announced 4 KILL")
		<-c.done
		_ = c.wait()
		b := image(t, path)
		rec, _, ok := newestListed(b)
		require.True(t, ok)
		if k >= len(rec.Fresh) {
			break
		}
		ref := rec.Fresh[k].Ref
		flip(b, ref)
		f, err := os.OpenFile(path, os.O_RDWR, 0) // not another file: the shm must know it
		require.NoError(t, err)
		_, err = f.WriteAt(b[ref:ref+layout.MaxObject], int64(ref))
		require.NoError(t, err)
		require.NoError(t, f.Close())

		s, err := engine.Open(path, engine.Options{Commit: -1})
		if err != nil {
			require.ErrorIs(t, err, engine.ErrCorrupt)
			refused++
			continue
		}
		// The version that was only published does not have the object.
		require.GreaterOrEqual(t, count(t, s, "count-x"), c.ack())
		requireNoLeak(t, s)
		require.NoError(t, s.Close())
		adopted++
	}
	require.NotZero(t, refused)
	require.NotZero(t, adopted)
}
