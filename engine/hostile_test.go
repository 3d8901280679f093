package engine_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/layout"
	"pongofs/engine/mapping"
	"pongofs/engine/value"
)

func putString(s *engine.Store, key, text string) error {
	return s.Update(func(tx *engine.Tx) error {
		_, err := tx.Put(engine.RootID, value.String(key), value.String(text), engine.PutOptions{})
		return err
	})
}

// rewrite changes the bytes of a closed store and forgets its shm.
func rewrite(t *testing.T, path string, change func(b []byte)) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	change(b)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	if err := os.Remove(path + "-shm"); err != nil {
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}

// TestBackgroundDoesNotRetryFailedSync: the kernel reports a failed write-back
// once. The checkpoint of the next beat would succeed without the data.
func TestBackgroundDoesNotRetryFailedSync(t *testing.T) {
	path := newStorePath(t)
	var fail atomic.Bool
	s, err := engine.Open(path, engine.Options{Commit: 10 * time.Millisecond, MapHooks: &mapping.Hooks{Sync: func() error {
		if fail.CompareAndSwap(true, false) {
			return errors.New("input/output error, told once")
		}
		return nil
	}}})
	require.NoError(t, err)
	fail.Store(true)
	require.NoError(t, putString(s, "a", "c"))
	var st engine.Stats
	for !st.Poisoned {
		st, err = s.Stats()
		require.NoError(t, err)
		time.Sleep(time.Millisecond)
	}
	durable := st.DurableSeq
	time.Sleep(60 * time.Millisecond) // several beats
	st, err = s.Stats()
	require.NoError(t, err)
	require.Equal(t, durable, st.DurableSeq)
	require.ErrorIs(t, putString(s, "x", "y"), engine.ErrPoisoned)
	require.ErrorIs(t, s.Close(), engine.ErrPoisoned)
}

// TestOneCleanerAtATime: two goroutines clean up after the same dead process,
// the slower one when the slot has a new owner already.
func TestOneCleanerAtATime(t *testing.T) {
	path := newStorePath(t)
	var cleaners atomic.Int32
	inside := make(chan struct{}, 2)
	goOn := make(chan struct{})
	s, err := engine.Open(path, engine.Options{Commit: -1, Hook: func(point string) {
		if point == "clean.begin" && cleaners.Add(1) <= 2 {
			inside <- struct{}{}
			<-goOn
		}
	}})
	require.NoError(t, err)
	c := startChild(t, path, "writer dead 0")
	for c.ack() < 3 {
		time.Sleep(time.Millisecond)
	}
	require.NoError(t, c.cmd.Process.Kill())
	_ = c.wait()
	var wg sync.WaitGroup
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s.Internals().CleanDead()
		}()
	}
	<-inside
	select {
	case <-inside:
		t.Error("two goroutines clean the same slot")
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	wg.Wait()
	require.NoError(t, s.Close())
}

// TestCloseBesideUpdates closes a store under running updates: they end with
// ErrClosed, and nothing touches the files after they are unmapped.
func TestCloseBesideUpdates(t *testing.T) {
	for range 20 {
		s, err := engine.Open(newStorePath(t), engine.Options{SyncEach: true, Commit: -1})
		require.NoError(t, err)
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := 0; ; i++ {
					if err := putString(s, fmt.Sprint(g), fmt.Sprint(i)); err != nil {
						if !errors.Is(err, engine.ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			}()
		}
		time.Sleep(2 * time.Millisecond)
		require.NoError(t, s.Close())
		wg.Wait()
	}
}

// TestPinBesideClose pins a value in a View that runs while Close waits for it.
func TestPinBesideClose(t *testing.T) {
	s, err := engine.Open(newStorePath(t), engine.Options{Commit: -1})
	require.NoError(t, err)
	require.NoError(t, putString(s, "big", strings.Repeat("z", 200_000)))
	inView, goOn := make(chan struct{}), make(chan struct{})
	var pin *engine.ValuePin
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		defer wg.Done()
		err := s.View(func(tx *engine.Tx) error {
			close(inView)
			<-goOn
			e, err := tx.Lookup(engine.RootID, value.String("big"))
			if err != nil {
				return err
			}
			pin, err = tx.PinValue(&e)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}()
	<-inView
	go func() {
		defer wg.Done()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	time.Sleep(20 * time.Millisecond)
	close(goOn)
	wg.Wait()
	_, err = pin.ReadAt(make([]byte, 10), 0)
	require.ErrorIs(t, err, engine.ErrClosed)
	require.NoError(t, pin.Close())
}

// TestStoreCutWhileOpen truncates the file under an open store: reads and
// writes fail, the background goes on, nothing crashes.
func TestStoreCutWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cut.pongo")
	require.NoError(t, engine.Create(path, engine.CreateOptions{ChunkSize: 4 << 20}))
	s, err := engine.Open(path, engine.Options{Commit: 10 * time.Millisecond})
	require.NoError(t, err)
	for i := range 60 {
		require.NoError(t, putString(s, fmt.Sprint(i), strings.Repeat("x", 100_000)))
	}
	err = s.Update(func(tx *engine.Tx) error {
		if _, err := tx.Put(engine.RootID, value.String("n"), value.String(strings.Repeat("y", 100_000)), engine.PutOptions{}); err != nil {
			return err
		}
		require.NoError(t, os.Truncate(path, 1<<20))
		_, err := tx.Put(engine.RootID, value.String("zz"), value.String("z"), engine.PutOptions{})
		return err
	})
	require.ErrorIs(t, err, engine.ErrIO)
	require.Error(t, putString(s, "a", "b"))
	require.Error(t, s.View(func(tx *engine.Tx) error {
		_, err := tx.Lookup(engine.RootID, value.String("1"))
		return err
	}))
	time.Sleep(50 * time.Millisecond) // some beats of the background
	require.Error(t, s.Close())
	_, err = engine.Open(path, engine.Options{})
	require.ErrorIs(t, err, engine.ErrCorrupt)
}

// TestForgedStores opens stores whose checksums are right and whose content
// is not: clear errors, no panic, no huge allocation.
func TestForgedStores(t *testing.T) {
	t.Run("checkpoint of 2^60 slabs", func(t *testing.T) {
		path := newStorePath(t)
		rewrite(t, path, func(b []byte) {
			page := b[layout.CheckpointPage(0):]
			rec, ok := layout.DecodeCheckpoint(page)
			require.True(t, ok)
			rec.Slabs = 1 << 60
			clear(page[:layout.CheckpointRecord])
			rec.Encode(page)
		})
		_, err := engine.Open(path, engine.Options{})
		require.ErrorIs(t, err, engine.ErrCorrupt)
		_, err = engine.Open(path, engine.Options{ReadOnly: true})
		require.ErrorIs(t, err, engine.ErrCorrupt)
	})
	t.Run("read-only feature", func(t *testing.T) {
		path := newStorePath(t)
		rewrite(t, path, func(b []byte) {
			h, err := layout.DecodeHeader(b)
			require.NoError(t, err)
			h.ReadOnly = 1 << 63
			clear(b[:512])
			h.Encode(b)
		})
		_, err := engine.Open(path, engine.Options{})
		require.ErrorIs(t, err, engine.ErrVersion)
		s, err := engine.Open(path, engine.Options{ReadOnly: true})
		require.NoError(t, err)
		require.NoError(t, s.Close())
	})
	t.Run("two referrers of one block", func(t *testing.T) {
		path := newStorePath(t)
		s, err := engine.Open(path, engine.Options{Commit: -1})
		require.NoError(t, err)
		var ids []engine.ID
		require.NoError(t, s.Update(func(tx *engine.Tx) error {
			ids = ids[:0]
			for _, k := range []string{"a", "b"} {
				e, err := tx.Make(engine.RootID, value.String(k), value.KindDict, engine.NewAttr{})
				if err != nil {
					return err
				}
				ids = append(ids, e.ID)
				if err := tx.SetXattr(e.ID, value.Value{}, "x", []byte("hello")); err != nil {
					return err
				}
			}
			return nil
		}))
		require.NoError(t, s.Close())
		forged := false
		rewrite(t, path, func(b []byte) {
			var first uint64
			for off := layout.ReservedSlabs * layout.SlabSize; off < len(b); off += layout.Granule {
				if layout.Kind(b[off]) != layout.KindContainer || layout.ObjectGranules(b[off:]) == 0 {
					continue
				}
				o := b[off:min(len(b), off+layout.ObjectGranules(b[off:])*layout.Granule)]
				if !layout.VerifySeal(o) {
					continue
				}
				switch engine.ID(binary.LittleEndian.Uint64(o[layout.RecordIDOff:])) {
				case ids[0]:
					first = binary.LittleEndian.Uint64(o[layout.RecordXattrOff:])
				case ids[1]:
					binary.LittleEndian.PutUint64(o[layout.RecordXattrOff:], first)
					layout.Seal(o)
					forged = true
				}
			}
		})
		require.True(t, forged)
		_, err = engine.Open(path, engine.Options{})
		require.ErrorIs(t, err, engine.ErrCorrupt)
	})
}
