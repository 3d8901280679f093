package engine_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// differences collects what a Differ says, down to the scalars.
func differences(t *testing.T, old, now *engine.Tx) map[string]string {
	t.Helper()
	d, err := engine.NewDiffer(old, now)
	require.NoError(t, err)
	got := map[string]string{}
	text := func(tx *engine.Tx, e *engine.Entry) string {
		if e == nil {
			return "none"
		}
		if e.IsContainer() {
			return e.Kind.String()
		}
		v, err := tx.Value(e)
		require.NoError(t, err)
		return v.String()
	}
	var walk func(dir engine.ID, path string)
	walk = func(dir engine.ID, path string) {
		last := ""
		require.NoError(t, d.Members(dir, func(x, y *engine.Entry) error {
			e := x
			if e == nil {
				e = y
			}
			order := string(value.AppendKey(nil, e.Key))
			require.Greater(t, order, last, "members come in order")
			last = order
			at := path + "/" + e.Key.String()
			if x != nil && y != nil && x.IsContainer() && y.IsContainer() && x.ID == y.ID && x.Kind == y.Kind {
				walk(x.ID, at)
				return nil
			}
			if a, b := text(old, x), text(now, y); a != b || x.ID != y.ID {
				got[at] = a + " -> " + b
			}
			return nil
		}))
	}
	if d.Touched(engine.RootID) {
		walk(engine.RootID, "")
	}
	return got
}

// containersOf returns the ids of all containers.
func containersOf(t *testing.T, tx *engine.Tx) []engine.ID {
	t.Helper()
	all := []engine.ID{engine.RootID}
	for i := 0; i < len(all); i++ {
		require.NoError(t, tx.Scan(all[i], value.Value{}, false, func(e engine.Entry) bool {
			if e.IsContainer() {
				all = append(all, e.ID)
			}
			return true
		}))
	}
	return all
}

// changeAtRandom adds, removes, moves, converts or writes something.
func changeAtRandom(t *testing.T, r *rand.Rand, tx *engine.Tx) {
	t.Helper()
	kinds := []value.Kind{value.KindDict, value.KindCollection, value.KindList}
	all := containersOf(t, tx)
	dir := all[r.IntN(len(all))]
	e, err := tx.Stat(dir)
	require.NoError(t, err)
	key := value.String(fmt.Sprintf("k%02d", r.IntN(40)))
	if e.Kind == value.KindList && r.IntN(4) > 0 {
		key = value.Int(int64(r.IntN(20)))
	}
	// What does not fit the container, or is not there, is no change.
	switch r.IntN(11) {
	case 0, 1:
		_, _ = tx.Make(dir, key, kinds[r.IntN(3)], engine.NewAttr{Mode: 0o755})
	case 2:
		_ = tx.RemoveAll(dir, key)
	case 3, 4:
		to := all[r.IntN(len(all))]
		_ = tx.Rename(dir, key, to, value.String(fmt.Sprintf("m%02d", r.IntN(20))), engine.RenameOptions{})
	case 5:
		if dir != engine.RootID {
			_ = tx.Convert(dir, kinds[r.IntN(3)])
		}
	default:
		_, _ = tx.Put(dir, key, value.String(strings.Repeat("x", r.IntN(300))), engine.PutOptions{})
	}
}

// between calls fn in views of a version and of the newest one.
func between(t testing.TB, s *engine.Store, v *engine.Version, fn func(old, now *engine.Tx)) {
	t.Helper()
	require.NoError(t, v.View(func(old *engine.Tx) error {
		return s.View(func(now *engine.Tx) error {
			fn(old, now)
			return nil
		})
	}))
}

// changeRounds changes a tree at random, by up to so many updates in each round,
// and calls fn with the versions before and after a round.
func changeRounds(t *testing.T, seed uint64, rounds, updates int, fn func(round int, old, now *engine.Tx)) {
	t.Helper()
	r := rand.New(rand.NewPCG(*snapSeed, seed))
	s := newMemory(t)
	for round := range rounds {
		v, err := s.OpenVersion()
		require.NoError(t, err)
		for range 1 + r.IntN(updates) {
			mustUpdate(t, s, func(tx *engine.Tx) {
				for range 1 + r.IntN(5) {
					changeAtRandom(t, r, tx)
				}
			})
		}
		between(t, s, v, func(old, now *engine.Tx) { fn(round, old, now) })
		require.NoError(t, v.Close())
	}
}

// TestDifferAgainstModel compares what the Differ finds between two versions with
// what reading both whole finds.
func TestDifferAgainstModel(t *testing.T) {
	changeRounds(t, 9, 60, 20, func(round int, old, now *engine.Tx) {
		a, err := readAll(old, engine.RootID)
		require.NoError(t, err)
		b, err := readAll(now, engine.RootID)
		require.NoError(t, err)
		got := differences(t, old, now)
		// What is below an added, removed or replaced container goes with it.
		covered := func(path string) bool {
			for p := path; p != ""; p = p[:strings.LastIndexByte(p, '/')] {
				if _, ok := got[p]; ok {
					return true
				}
			}
			return false
		}
		for path := range maps.Keys(a) {
			if a[path] != b[path] {
				require.True(t, covered(path), "round %d: %s: %s -> %s is missing", round, path, a[path], b[path])
			}
		}
		for path := range maps.Keys(b) {
			if a[path] != b[path] {
				require.True(t, covered(path), "round %d: %s was added and is missing", round, path)
			}
		}
		for path, change := range got {
			x, inA := a[path]
			y, inB := b[path]
			require.True(t, inA || inB, "round %d: %s: %s", round, path, change)
			require.True(t, x != y || x == "list" || x == "dict" || x == "collection" || change == x+" -> "+y,
				"round %d: %s: %s", round, path, change)
		}
	})
}

// BenchmarkDiffer compares versions that differ in a few entries, in stores of
// different sizes.
func BenchmarkDiffer(b *testing.B) {
	for _, entries := range []int{1_000, 300_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			s, err := engine.OpenMemory(512<<20, engine.Options{Commit: -1})
			require.NoError(b, err)
			defer s.Close()
			for from := 0; from < entries; from += 1000 {
				require.NoError(b, s.Update(func(tx *engine.Tx) error {
					for i := from; i < from+1000; i++ {
						if _, err := tx.Put(engine.RootID, value.String(fmt.Sprintf("k%08d", i)), value.Int(1), engine.PutOptions{}); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			v, err := s.OpenVersion()
			require.NoError(b, err)
			defer v.Close()
			for i := range 10 {
				require.NoError(b, step(s, "a", i+1))
			}
			for b.Loop() {
				between(b, s, v, func(old, now *engine.Tx) {
					d, err := engine.NewDiffer(old, now)
					require.NoError(b, err)
					n := 0
					require.NoError(b, d.Members(engine.RootID, func(_, _ *engine.Entry) error { n++; return nil }))
					require.Equal(b, 12, n)
				})
			}
		})
	}
}
