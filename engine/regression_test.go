package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
	"pongofs/gc"
)

// Each test of this file is named after a bug of PongoDB, the original in C,
// and fails on an engine that has it.

// Two writers on one collection abort the process.
func TestBugTwoWritersOnOneCollection(t *testing.T) {
	s, err := engine.OpenMemory(32<<20, engine.Options{Commit: -1, Hook: jostle})
	require.NoError(t, err)
	const n, writers = 600, 3
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range n {
				// Neighbours in key order belong to different writers.
				key := i*writers + w
				err := s.Update(func(tx *engine.Tx) error {
					if err := tx.Root().Set(key, w); err != nil || i%3 != 2 {
						return err
					}
					return tx.Root().Delete(key - writers)
				})
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	wg.Wait()
	mustView(t, s, func(tx *engine.Tx) {
		var want []any
		for key := range n * writers {
			if key/writers%3 != 1 {
				want = append(want, key)
			}
		}
		require.Equal(t, want, keysOf(t, tx.Root().All()))
	})
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// The collector frees an object that moves between containers while it walks.
func TestBugCollectorFreesWhatMoves(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector reports the sweep")
	}
	s, err := engine.OpenMemory(32<<20, engine.Options{Commit: time.Millisecond, Hook: jostle})
	require.NoError(t, err)
	big := filler(30_000)
	mustUpdate(t, s, func(tx *engine.Tx) {
		for i := range 40 {
			// Some walk for the collector, before and behind what moves.
			require.NoError(t, tx.Root().Set(i, map[string]any{"a": filler(100), "b": filler(300)}))
		}
		require.NoError(t, tx.Root().Set(10, map[string]any{"it": map[string]any{"deep": []any{big, 1, "x"}}}))
	})
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		at := 10
		for !stop.Load() {
			to := rand.IntN(40)
			err := s.Update(func(tx *engine.Tx) error {
				from, err := tx.Root().Dict(at)
				if err != nil {
					return err
				}
				dst, err := tx.Root().Dict(to)
				if err != nil {
					return err
				}
				return tx.Rename(from.ID(), value.String("it"), dst.ID(), value.String("it"), engine.RenameOptions{})
			})
			if err != nil {
				t.Errorf("move from %d to %d: %v", at, to, err)
				return
			}
			at = to
		}
	})
	for range 60 {
		_, err := gc.New(s).Full(t.Context())
		require.NoError(t, err)
		mustView(t, s, func(tx *engine.Tx) {
			found := 0
			for m, err := range tx.Search(engine.RootID, engine.ParsePattern("*/it/deep/0"), tx.Relation(engine.OpEqual, value.String(big))) {
				require.NoError(t, err, "%v", m.Path)
				found++
			}
			require.Equal(t, 1, found)
		})
	}
	stop.Store(true)
	wg.Wait()
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// kill -9 of the collector leaks whole slab lists.
func TestBugKilledCollectorLeaks(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	for i, point := range []string{"gc.seq-stored", "gc.marked", "sweep.before-free"} {
		c := startChild(t, path, fmt.Sprintf("hooked c%d %s 1 KILL", i, point))
		<-c.done
		_ = c.wait()
		require.False(t, c.cmd.ProcessState.Exited(), "%s: the collector was not killed", point)
		require.NoError(t, step(s, "self", i+1))
	}
	// Whoever comes next may collect, and nothing is lost.
	s.Internals().CleanDead()
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// Set-if-absent on an existing key aborts.
func TestBugSetIfAbsentOnExistingKey(t *testing.T) {
	s := newMemory(t)
	mustUpdate(t, s, func(tx *engine.Tx) {
		for _, old := range []any{1, filler(1000), []any{1}, map[string]any{"a": 1}} {
			require.NoError(t, tx.Root().Set("k", old))
			for _, v := range []any{2, filler(2000), []any{2}, map[string]any{"b": 2}} {
				added, err := tx.Root().SetDefault("k", v)
				require.NoError(t, err)
				require.False(t, added)
			}
			e, err := tx.Root().Entry("k")
			require.NoError(t, err)
			d, err := tx.Document(&e)
			require.NoError(t, err)
			want, err := engine.FromGo(old)
			require.NoError(t, err)
			path, same := value.Equal(want, d)
			require.True(t, same, path)
		}
		added, err := tx.Root().SetDefault("new", 1)
		require.NoError(t, err)
		require.True(t, added)
	})
}

// Replacing a value writes in place and can lose the update.
func TestBugReplaceWritesInPlace(t *testing.T) {
	s, err := engine.OpenMemory(32<<20, engine.Options{Commit: -1})
	require.NoError(t, err)
	values := []string{"short", filler(150), filler(1000), filler(100_000)}
	mustUpdate(t, s, func(tx *engine.Tx) {
		for i, v := range values {
			require.NoError(t, tx.Root().Set(i, v))
		}
	})
	mustView(t, s, func(old *engine.Tx) {
		var entries []engine.Entry
		for e, err := range old.Root().All() {
			require.NoError(t, err)
			entries = append(entries, e)
		}
		for round := range 20 {
			mustUpdate(t, s, func(tx *engine.Tx) {
				for i, v := range values {
					// Same size, larger, in part.
					require.NoError(t, tx.Root().Set(i, strings.Repeat("#", len(v)+round)))
					_, err := tx.WriteImage(engine.RootID, value.Int(int64(i)), 1, []byte("???"))
					require.NoError(t, err)
				}
			})
			require.NoError(t, gc.New(s).Quick())
			for i, v := range values {
				// What was found before, and what is found now in the old version.
				got, err := old.Value(&entries[i])
				require.NoError(t, err)
				require.Equal(t, value.String(v), got)
				got, err = old.Root().Get(i)
				require.NoError(t, err)
				require.Equal(t, value.String(v), got)
			}
		}
	})

	// No update of a value is lost, even where all replace the same one.
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 300 {
				if err := s.Update(func(tx *engine.Tx) error { return add(tx, "n") }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, 900, count(t, s, "n"))
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// reopened closes a store in a file and opens it again, through what is on
// disk: the shm file is gone.
func reopened(t *testing.T, s *engine.Store) *engine.Store {
	t.Helper()
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(s.Path()+"-shm"))
	s, err := engine.Open(s.Path(), engine.Options{Commit: -1})
	require.NoError(t, err)
	return s
}

// Ints hold 60 bits and wrap, floats lose 4 bits.
func TestBugIntsAndFloatsLoseBits(t *testing.T) {
	s, err := engine.Open(newStorePath(t), engine.Options{Commit: -1})
	require.NoError(t, err)
	var values []value.Value
	for i := range 64 {
		for _, d := range []int64{-1, 0, 1} {
			values = append(values, value.Int(1<<i+d), value.Int(-(1<<i)+d), value.DatetimeMicro(1<<i+d))
		}
		values = append(values, value.Float(math.Float64frombits(1<<i)), value.Float(math.Float64frombits(^(1 << i))))
	}
	for _, f := range []float64{
		0, math.Copysign(0, -1), 0.1, math.Pi, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1),
		math.NaN(), math.Float64frombits(0xfff8_0000_0000_0001), math.Float64frombits(0x7ff0_0000_0000_0001),
	} {
		values = append(values, value.Float(f))
	}
	mustUpdate(t, s, func(tx *engine.Tx) {
		l, err := tx.Root().NewList("values")
		require.NoError(t, err)
		keys, err := tx.Root().NewDict("keys")
		require.NoError(t, err)
		for i, v := range values {
			require.NoError(t, l.Append(v))
			require.NoError(t, keys.Set(v, i))
		}
	})
	s = reopened(t, s)
	mustView(t, s, func(tx *engine.Tx) {
		l, err := tx.Root().List("values")
		require.NoError(t, err)
		keys, err := tx.Root().Dict("keys")
		require.NoError(t, err)
		for i, v := range values {
			got, err := l.Get(i)
			require.NoError(t, err)
			require.True(t, got == v, "%#v came back as %#v", v, got)
			e, err := keys.Entry(v)
			require.NoError(t, err)
			require.True(t, e.Key == v)
		}
		last := value.Value{}
		for k, err := range keys.Keys() {
			require.NoError(t, err)
			require.Negative(t, value.Compare(last, k), "%v before %v", last, k)
			last = k
		}
	})
	require.NoError(t, s.Close())
}

// JSON load never restores uuid or datetime.
func TestBugJSONLosesTypes(t *testing.T) {
	s, err := engine.Open(newStorePath(t), engine.Options{Commit: -1})
	require.NoError(t, err)
	document, err := engine.FromGo(map[string]any{
		"uuid": uuid.MustParse("f47ac10b-58cc-4372-a567-0e02b2c3d479"), "time": time.UnixMicro(1700000000123456),
		"before": time.UnixMicro(-1), "bytes": []byte{0, 1, 255}, "int": int64(math.MaxInt64), "float": 1.0, "null": nil,
		"text": "f47ac10b-58cc-4372-a567-0e02b2c3d479", "list": []any{true, "a\x00b", map[string]any{}},
	})
	require.NoError(t, err)
	mustUpdate(t, s, func(tx *engine.Tx) { require.NoError(t, tx.Root().Set("first", document)) })
	s = reopened(t, s)
	var file bytes.Buffer
	mustView(t, s, func(tx *engine.Tx) {
		e, err := tx.Root().Entry("first")
		require.NoError(t, err)
		d, err := tx.Document(&e)
		require.NoError(t, err)
		_, err = encoding.Encode(encoding.FormatExtJSON, &file, d, encoding.EncodeOptions{})
		require.NoError(t, err)
	})
	var loaded value.Document
	require.NoError(t, encoding.Decode(encoding.FormatExtJSON, &file, &loaded))
	tree, err := loaded.Tree()
	require.NoError(t, err)
	mustUpdate(t, s, func(tx *engine.Tx) { require.NoError(t, tx.Root().Set("second", tree)) })
	s = reopened(t, s)
	mustView(t, s, func(tx *engine.Tx) {
		e, err := tx.Root().Entry("second")
		require.NoError(t, err)
		d, err := tx.Document(&e)
		require.NoError(t, err)
		path, same := value.Equal(document, d)
		require.True(t, same, "differs at %s", path)
	})
	require.NoError(t, s.Close())
}

// NUL truncates strings.
func TestBugNULTruncatesStrings(t *testing.T) {
	s, err := engine.Open(newStorePath(t), engine.Options{Commit: -1})
	require.NoError(t, err)
	texts := []string{"\x00", "a\x00", "\x00a", "a\x00b", "a\x00c", filler(200) + "\x00" + filler(200), filler(70_000) + "\x00end"}
	mustUpdate(t, s, func(tx *engine.Tx) {
		d, err := tx.Root().NewDict("d")
		require.NoError(t, err)
		for _, x := range texts {
			key := x[:min(len(x), 1000)]
			require.NoError(t, tx.Root().Set("c"+key, x))
			require.NoError(t, d.Set(key, []byte(x)))
		}
	})
	s = reopened(t, s)
	mustView(t, s, func(tx *engine.Tx) {
		d, err := tx.Root().Dict("d")
		require.NoError(t, err)
		n, err := d.Len()
		require.NoError(t, err)
		require.Equal(t, len(texts), n)
		for _, x := range texts {
			key := x[:min(len(x), 1000)]
			v, err := tx.Root().Get("c" + key)
			require.NoError(t, err)
			require.Equal(t, value.String(x), v)
			v, err = d.Get(key)
			require.NoError(t, err)
			require.Equal(t, value.Bytes([]byte(x)), v)
		}
	})
	require.NoError(t, s.Close())
}

// Locks vanish when any descriptor of the file is closed.
func TestBugLocksVanishWithAnyDescriptor(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	require.NoError(t, step(s, "self", 1))
	alone := func() {
		t.Helper()
		// A reader that needs to be alone finds the store in use.
		_, err := engine.Open(path, engine.Options{ReadOnly: true})
		require.ErrorIs(t, err, engine.ErrBusy)
	}
	alone()
	for range 3 {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		alone()
	}
	// Nor with another Store of the same process, nor when a child is forked.
	other, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	require.NoError(t, step(other, "other", 1))
	require.NoError(t, other.Close())
	alone()
	c := startChild(t, path, "writer child 5")
	require.NoError(t, c.wait())
	alone()
	// Everybody was on the same version.
	require.Equal(t, 7, count(t, s, "total"))
	require.NoError(t, s.Close())
	ro, err := engine.Open(path, engine.Options{ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, ro.Close())
}

type pinArgs struct{ Path, Ready string }

// holdPins holds a short pin and a named one until it is killed.
func holdPins(args pinArgs) error {
	s, err := engine.Open(args.Path, engine.Options{Commit: -1})
	if err != nil {
		return err
	}
	return s.View(func(tx *engine.Tx) error {
		e, err := tx.Root().Entry("big")
		if err != nil {
			return err
		}
		if _, err := tx.PinValue(&e); err != nil {
			return err
		}
		if err := os.WriteFile(args.Ready, nil, 0o600); err != nil {
			return err
		}
		select {}
	})
}

// Pins of dead processes stay for ever.
func TestBugPinsOfDeadProcessesStay(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: 10 * time.Millisecond})
	require.NoError(t, err)
	mustUpdate(t, s, func(tx *engine.Tx) { require.NoError(t, tx.Root().Set("big", filler(200_000))) })
	ready := path + ".ready"
	cmd := startHelper(t, "pins", pinArgs{path, ready})
	require.Eventually(t, func() bool {
		_, err := os.Stat(ready)
		return err == nil
	}, time.Minute, time.Millisecond)
	var st engine.Stats
	// The committer of this process holds a pin of its own now and then.
	require.Eventually(t, func() bool {
		st, err = s.Stats()
		return err == nil && st.Pins == 1 && st.NamedPins == 1 && st.Processes == 2
	}, time.Minute, time.Millisecond)

	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	// Whoever uses the store notices, without being told to.
	begin := time.Now()
	for n := 0; ; n++ {
		mustUpdate(t, s, func(tx *engine.Tx) { require.NoError(t, tx.Root().Set("n", n)) })
		if st, err = s.Stats(); st.Pins == 0 && st.NamedPins == 0 && st.Processes == 1 {
			break
		}
		require.NoError(t, err)
		require.Less(t, time.Since(begin), time.Minute, "%+v", st)
		time.Sleep(time.Millisecond)
	}
	t.Logf("gone after %v", time.Since(begin))
	mustUpdate(t, s, func(tx *engine.Tx) { require.NoError(t, tx.Root().Delete("big")) })
	requireNoLeak(t, s)
	st, err = s.Stats()
	require.NoError(t, err)
	require.Less(t, st.UsedBytes, int64(100_000), "the pinned value was given back")
	require.NoError(t, s.Close())
}

// The file grows sparse, so a full disk kills the process.
func TestBugSparseFileOnFullDisk(t *testing.T) {
	path := newStorePath(t)
	var full atomic.Bool
	s, err := engine.Open(path, engine.Options{Commit: -1, MapHooks: diskHooks(&full)})
	require.NoError(t, err)
	grow := func(i int) error {
		return s.Update(func(tx *engine.Tx) error { return tx.Root().Set(i, filler(500_000)) })
	}
	for i := range 12 {
		require.NoError(t, grow(i))
	}
	for _, name := range []string{path, path + "-shm"} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.GreaterOrEqual(t, info.Sys().(*syscall.Stat_t).Blocks*512, info.Size(), "%s has holes", name)
	}
	full.Store(true)
	n := 12
	for err = nil; err == nil && n < 100; n++ {
		err = grow(n)
	}
	require.ErrorIs(t, err, engine.ErrNoSpace)
	n--
	// The old values stay, small changes may still fit, and with room it goes on.
	mustView(t, s, func(tx *engine.Tx) {
		have, err := tx.Root().Len()
		require.NoError(t, err)
		require.Equal(t, n, have)
		v, err := tx.Root().Get(n - 1)
		require.NoError(t, err)
		require.Equal(t, value.String(filler(500_000)), v)
	})
	full.Store(false)
	require.NoError(t, grow(n))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, s.Sync(ctx))
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}
