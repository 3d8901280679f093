package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/mapping"
	"pongofs/engine/value"
	"pongofs/gc"
)

func collect(s *engine.Store) error {
	_, err := gc.New(s).Full(context.Background())
	return err
}

// diskHooks are those of a disk that has no room while full is set.
func diskHooks(full *atomic.Bool) *mapping.Hooks {
	return &mapping.Hooks{Allocate: func(_, _ int64) error {
		if full.Load() {
			return fmt.Errorf("allocate: %w", syscall.ENOSPC)
		}
		return nil
	}}
}

// TestFullDisk fills a store whose disk is full: writes end in ErrNoSpace, the
// old values stay, reads and removals go on, and what was removed makes room
// again.
func TestFullDisk(t *testing.T) {
	path := newStorePath(t)
	var full atomic.Bool
	s, err := engine.Open(path, engine.Options{
		Collect: collect, MapHooks: diskHooks(&full),
	})
	require.NoError(t, err)
	full.Store(true)
	put := func(i int, text string) error {
		return s.Update(func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String(fmt.Sprint(i)), value.String(text), engine.PutOptions{})
			return err
		})
	}
	text := strings.Repeat("x", 3000)
	for round := range 3 {
		n := 0
		for ; ; n++ {
			if err := put(n, text); err != nil {
				require.ErrorIs(t, err, engine.ErrNoSpace)
				break
			}
			require.Less(t, n, 10000)
		}
		t.Logf("round %d: %d values fit", round, n)
		require.Greater(t, n, 100, "space was lost")
		// Many more failing writes change nothing.
		for range 5 {
			require.ErrorIs(t, put(0, strings.Repeat("y", 100_000)), engine.ErrNoSpace)
		}
		require.NoError(t, s.View(func(tx *engine.Tx) error {
			for i := range n {
				e, err := tx.Lookup(engine.RootID, value.String(fmt.Sprint(i)))
				require.NoError(t, err)
				v, err := tx.Value(&e)
				require.NoError(t, err)
				require.Equal(t, text, v.AsString())
			}
			return nil
		}))
		for i := range n {
			require.NoError(t, s.Update(func(tx *engine.Tx) error {
				return tx.Remove(engine.RootID, value.String(fmt.Sprint(i)))
			}))
		}
	}
	_, err = s.Internals().Verify()
	require.NoError(t, err)
	full.Store(false)
	for i := range 2000 {
		require.NoError(t, put(i, text))
	}
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// TestUpdatesKeepTheFileSmall updates a fixed set of keys many times, while a
// handle is held on a value that has been replaced: the file keeps its size.
func TestUpdatesKeepTheFileSmall(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{})
	require.NoError(t, err)
	set := func(key string, v any) {
		require.NoError(t, s.Update(func(tx *engine.Tx) error { return tx.Root().Set(key, v) }))
	}
	old := bytes.Repeat([]byte("old "), 25_000)
	set("held", old)
	var handle *engine.ValuePin
	require.NoError(t, s.View(func(tx *engine.Tx) error {
		e, err := tx.Root().Entry("held")
		require.NoError(t, err)
		handle, err = tx.PinValue(&e)
		return err
	}))
	set("held", "new")
	n := budget(t, "PONGOFS_UPDATES", 100_000)
	size := int64(0)
	for i := range n {
		set(strconv.Itoa(i%1000), i)
		if i == n/10 {
			st, err := s.Stats()
			require.NoError(t, err)
			size = st.FileBytes
			require.LessOrEqual(t, size, int64(2*engine.MinChunkSize))
		}
	}
	st, err := s.Stats()
	require.NoError(t, err)
	require.Equal(t, size, st.FileBytes, "the file has grown")
	got := make([]byte, len(old))
	_, err = handle.ReadAt(got, 0)
	require.NoError(t, err)
	require.Equal(t, old, got)
	require.NoError(t, handle.Close())
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// TestFailedSyncPoisons: after a failed sync nothing is believed any more
// until the store has been closed and opened again.
func TestFailedSyncPoisons(t *testing.T) {
	path := newStorePath(t)
	var fail atomic.Bool
	s, err := engine.Open(path, engine.Options{Commit: -1, MapHooks: &mapping.Hooks{Sync: func() error {
		if fail.Load() {
			return syscall.EIO
		}
		return nil
	}}})
	require.NoError(t, err)
	put := func(s *engine.Store, v int64) error {
		return s.Update(func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String("k"), value.Int(v), engine.PutOptions{})
			return err
		})
	}
	require.NoError(t, put(s, 1))
	require.NoError(t, s.Sync(context.Background()))
	require.NoError(t, put(s, 2))
	fail.Store(true)
	require.ErrorIs(t, s.Sync(context.Background()), engine.ErrPoisoned)
	fail.Store(false)
	require.ErrorIs(t, s.Sync(context.Background()), engine.ErrPoisoned)
	require.ErrorIs(t, put(s, 3), engine.ErrPoisoned)
	require.NoError(t, s.View(func(tx *engine.Tx) error {
		e, err := tx.Lookup(engine.RootID, value.String("k"))
		require.NoError(t, err)
		require.Equal(t, int64(2), e.Scalar.AsInt())
		return nil
	}))
	_, err = engine.Open(path, engine.Options{})
	require.ErrorIs(t, err, engine.ErrPoisoned)
	require.True(t, errors.Is(s.Close(), engine.ErrPoisoned))

	s, err = engine.Open(path, engine.Options{})
	require.NoError(t, err)
	require.NoError(t, put(s, 4))
	require.NoError(t, s.Sync(context.Background()))
	require.NoError(t, s.Close())
}

// TestRefusedUpdateFreesNothing: an update that is refused before it has begun
// leaves alone what the one before it has published.
func TestRefusedUpdateFreesNothing(t *testing.T) {
	var fail atomic.Bool
	s, err := engine.Open(newStorePath(t), engine.Options{Commit: -1, MapHooks: &mapping.Hooks{Sync: func() error {
		if fail.Load() {
			return syscall.EIO
		}
		return nil
	}}})
	require.NoError(t, err)
	require.NoError(t, putString(s, "a", strings.Repeat("x", 10_000)))
	fail.Store(true)
	require.ErrorIs(t, s.Sync(context.Background()), engine.ErrPoisoned)
	before := s.Internals().Heap().Usage()
	for range 10 {
		require.ErrorIs(t, putString(s, "b", "y"), engine.ErrPoisoned)
	}
	after := s.Internals().Heap().Usage()
	require.Equal(t, before.Objects, after.Objects)
	require.Equal(t, before.UsedBytes, after.UsedBytes)
	require.ErrorIs(t, s.Close(), engine.ErrPoisoned)
}

// TestLargeValueRewrite writes blocks of one large value again and again, among
// small entries whose garbage leaves gaps too small for blocks.
func TestLargeValueRewrite(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{})
	require.NoError(t, err)
	const size = 8 << 20
	key := value.String("big")
	require.NoError(t, s.Update(func(tx *engine.Tx) error {
		_, err := tx.PutImage(engine.RootID, key, value.KindInvalid, make([]byte, size), engine.PutOptions{})
		return err
	}))
	block := []byte(strings.Repeat("0123456789abcdef", 256))
	for i := range 10_000 {
		require.NoError(t, s.Update(func(tx *engine.Tx) error {
			block[0] = byte(i)
			block[1] = byte(i >> 8)
			if _, err := tx.WriteImage(engine.RootID, key, int64(i*7919%(size/4096))*4096, block); err != nil {
				return err
			}
			_, err := tx.Put(engine.RootID, value.String(fmt.Sprint(i%997)), value.String(strings.Repeat("s", i%190)), engine.PutOptions{})
			return err
		}))
	}
	st, err := s.Stats()
	require.NoError(t, err)
	t.Logf("file %d MiB, used %d MiB", st.FileBytes>>20, st.UsedBytes>>20)
	require.LessOrEqual(t, st.FileBytes, int64(4*size))
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// TestOpenAndCloseLoseNoSpace: what an edit replaced is free again after its
// process has closed the store.
func TestOpenAndCloseLoseNoSpace(t *testing.T) {
	path := newStorePath(t)
	used := map[int]int64{}
	for i := range 60 {
		s, err := engine.Open(path, engine.Options{})
		require.NoError(t, err)
		require.NoError(t, s.Update(func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String("k"), value.Bytes(make([]byte, 5000+i%2)), engine.PutOptions{})
			return err
		}))
		require.NoError(t, s.Close())
		s, err = engine.Open(path, engine.Options{})
		require.NoError(t, err)
		st, err := s.Stats()
		require.NoError(t, err)
		used[i] = st.UsedBytes
		require.NoError(t, s.Close())
	}
	require.Equal(t, used[1], used[59])
}
