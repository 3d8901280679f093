package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// inLanes lets a PutAll have four goroutines, whatever the machine.
func inLanes(t *testing.T) {
	was := runtime.GOMAXPROCS(4)
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
}

// newKeyed makes a container of 3 000 entries: strings, some of them long, and
// some dicts.
func newKeyed(t *testing.T, s *engine.Store, name string, kind value.Kind) engine.ID {
	t.Helper()
	var dir engine.ID
	mustUpdate(t, s, func(tx *engine.Tx) {
		e, err := tx.Make(engine.RootID, value.String(name), kind, engine.NewAttr{Mode: 0o755})
		require.NoError(t, err)
		dir = e.ID
		for i := range 3000 {
			key := value.String(fmt.Sprintf("key %06d", 10*i))
			if i%100 == 50 {
				_, err = tx.Make(dir, key, value.KindDict, engine.NewAttr{Mode: 0o755})
			} else {
				_, err = tx.Put(dir, key, value.String("a value"), engine.PutOptions{})
			}
			require.NoError(t, err)
		}
	})
	return dir
}

// someMembers returns members of which many exist, some twice, spread over all keys
// or close together. Those whose keys have dicts are left out.
func someMembers(rnd *rand.Rand, n int) []engine.Member {
	from, to := 0, 32000
	if rnd.IntN(3) == 0 {
		from = rnd.IntN(to - 2000)
		to = from + 2000
	}
	var members []engine.Member
	for len(members) < n {
		i := from + rnd.IntN(to-from)
		if i%1000 == 500 {
			continue
		}
		v := value.Int(rnd.Int64())
		switch rnd.IntN(8) {
		case 0:
			v = value.String("a value")
		case 1:
			v = value.String(strings.Repeat("x", rnd.IntN(6000)))
		}
		members = append(members, engine.Member{Key: value.String(fmt.Sprintf("key %06d", i)), Value: v})
	}
	return members
}

// TestLanesAgreeWithPuts stores the same members by goroutines and one by one.
func TestLanesAgreeWithPuts(t *testing.T) {
	inLanes(t)
	for seed, kind := range []value.Kind{value.KindDict, value.KindCollection} {
		rnd := rand.New(rand.NewPCG(uint64(seed), 7))
		s := newMemory(t)
		dirs := [2]engine.ID{newKeyed(t, s, "a", kind), newKeyed(t, s, "b", kind)}
		for range 12 {
			members := someMembers(rnd, 200+rnd.IntN(2500))
			mustUpdate(t, s, func(tx *engine.Tx) {
				if rnd.IntN(2) == 0 { // with objects that the edit owns
					for _, dir := range dirs {
						_, err := tx.Put(dir, members[0].Key, value.Bool(true), engine.PutOptions{})
						require.NoError(t, err)
					}
				}
				for _, m := range members {
					_, err := tx.Put(dirs[0], m.Key, m.Value, engine.PutOptions{})
					require.NoError(t, err)
				}
				require.NoError(t, tx.PutAll(dirs[1], members, engine.PutOptions{}))
				for _, dir := range dirs {
					require.NoError(t, tx.PutAll(dir, members[:1], engine.PutOptions{}))
				}
			})
			mustView(t, s, func(tx *engine.Tx) {
				one, err := tx.Stat(dirs[0])
				require.NoError(t, err)
				all, err := tx.Stat(dirs[1])
				require.NoError(t, err)
				want, err := tx.Document(&one)
				require.NoError(t, err)
				got, err := tx.Document(&all)
				require.NoError(t, err)
				at, same := value.Equal(want, got)
				require.True(t, same, at)
				require.Equal(t, one.Count, all.Count)
				require.Equal(t, one.Subdirs, all.Subdirs)
			})
			_, err := s.Internals().Verify()
			require.NoError(t, err)
		}
		stats := func() engine.Stats {
			st, err := s.Stats()
			require.NoError(t, err)
			return st
		}
		entries := stats().Entries
		mustView(t, s, func(tx *engine.Tx) {
			n := uint64(0)
			for _, dir := range dirs {
				e, err := tx.Stat(dir)
				require.NoError(t, err)
				n += 1 + e.Count
			}
			require.Equal(t, n, entries)
		})
		// Nothing is new: nothing is published.
		seq := stats().Seq
		mustUpdate(t, s, func(tx *engine.Tx) {
			var same []engine.Member
			require.NoError(t, tx.Scan(dirs[1], value.Value{}, false, func(e engine.Entry) bool {
				if !e.IsContainer() {
					v, err := tx.Value(&e)
					require.NoError(t, err)
					same = append(same, engine.Member{Key: e.Key, Value: v})
				}
				return true
			}))
			require.NoError(t, tx.PutAll(dirs[1], same, engine.PutOptions{}))
		})
		require.Equal(t, seq, stats().Seq)
	}
}

// spread returns n members, one behind the other over all keys of newKeyed.
func spread(n int, v value.Value) []engine.Member {
	members := make([]engine.Member, n)
	for i := range members {
		members[i] = engine.Member{Key: value.String(fmt.Sprintf("key %06d", i*30000/n/10*10+1)), Value: v}
	}
	return members
}

// TestLanesFail: an error in whichever part ends the PutAll and names the first key;
// if anything was stored before, nothing is published.
func TestLanesFail(t *testing.T) {
	inLanes(t)
	s := newMemory(t)
	dir := newKeyed(t, s, "a", value.KindCollection)
	exclusive := engine.PutOptions{Exclusive: true}
	for _, bad := range [][]int{{10}, {990}, {10, 990}, {400, 600, 990}} {
		members := spread(1000, value.Int(1))
		for _, i := range bad {
			members[i].Key = value.String(fmt.Sprintf("key %06d", i*30000/1000/10*10))
		}
		err := s.Update(func(tx *engine.Tx) error {
			err := tx.PutAll(dir, members, exclusive)
			require.ErrorIs(t, err, engine.ErrExist)
			if len(bad) == 1 || bad[1] > 900 {
				require.ErrorContains(t, err, members[bad[0]].Key.AsString())
			}
			return nil // published all the same, the function means
		})
		require.ErrorIs(t, err, engine.ErrExist)
		mustView(t, s, func(tx *engine.Tx) {
			e, err := tx.Stat(dir)
			require.NoError(t, err)
			require.Equal(t, uint64(3000), e.Count)
		})
	}
	// So it is, whichever half it was, when nothing was stored before; and what the
	// edit has built itself can be read.
	for _, i := range []int{0, 999} {
		members := spread(1000, value.Int(1))
		members[i].Key = value.String(fmt.Sprintf("key %06d", i*30000/1000/10*10))
		err := s.Update(func(tx *engine.Tx) error {
			for _, m := range spread(3000, value.Int(2)) {
				m.Key = value.String(m.Key.AsString() + " more")
				_, err := tx.Put(dir, m.Key, m.Value, engine.PutOptions{})
				require.NoError(t, err)
			}
			require.ErrorIs(t, tx.PutAll(dir, members, exclusive), engine.ErrExist)
			n := 0
			require.NoError(t, tx.Scan(dir, value.Value{}, false, func(engine.Entry) bool { n++; return true }))
			require.GreaterOrEqual(t, n, 6000)
			return nil
		})
		require.ErrorIs(t, err, engine.ErrExist)
	}
	_, err := s.Internals().Verify()
	require.NoError(t, err)
}

// TestLanesSetTheTimes: a name that is added sets the mtime to now, in whichever half
// it is, even if it had been set to a time to come.
func TestLanesSetTheTimes(t *testing.T) {
	inLanes(t)
	s := newMemory(t)
	dir := newKeyed(t, s, "a", value.KindCollection)
	for _, added := range []int{0, 999} {
		ahead := time.Now().Add(1000 * time.Hour).UnixNano()
		members := make([]engine.Member, 1000)
		for i := range members {
			members[i] = engine.Member{Key: value.String(fmt.Sprintf("key %06d", i*3*10)), Value: value.Int(ahead)}
			if i%100 == 50 { // there are dicts
				members[i].Key = value.String(fmt.Sprintf("key %06d", i*3*10+10))
			}
		}
		members[added].Key = value.String(fmt.Sprintf("key %06d new", added*3*10))
		mustUpdate(t, s, func(tx *engine.Tx) {
			_, err := tx.SetAttr(dir, value.Value{}, engine.AttrChange{Mtime: &ahead})
			require.NoError(t, err)
		})
		mustUpdate(t, s, func(tx *engine.Tx) {
			require.NoError(t, tx.PutAll(dir, members, engine.PutOptions{}))
			e, err := tx.Stat(dir)
			require.NoError(t, err)
			require.Less(t, e.Attr.Mtime, ahead)
			require.Equal(t, e.Attr.Ctime, e.Attr.Mtime)
		})
	}
}

// TestLanesPanic: a panic in another goroutine is one of the caller.
func TestLanesPanic(t *testing.T) {
	inLanes(t)
	var left atomic.Int64
	s, err := engine.OpenMemory(32<<20, engine.Options{Commit: -1, Hook: func(point string) {
		if point == "alloc.before-bit" && left.Add(-1) == 0 {
			panic("of the hook")
		}
	}})
	require.NoError(t, err)
	dir := newKeyed(t, s, "a", value.KindDict)
	died := 0
	for i := range 60 {
		func() {
			defer func() {
				left.Store(0)
				if r := recover(); r != nil {
					require.Equal(t, "of the hook", r)
					died++
				}
			}()
			left.Store(int64(1 + i))
			require.NoError(t, s.Update(func(tx *engine.Tx) error {
				return tx.PutAll(dir, spread(1000, value.Int(int64(i))), engine.PutOptions{})
			}))
		}()
	}
	require.Greater(t, died, 10)
	mustUpdate(t, s, func(tx *engine.Tx) {
		require.NoError(t, tx.PutAll(dir, spread(1000, value.Int(-1)), engine.PutOptions{}))
	})
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// TestLanesOnAFileCutShort: what cannot be read in another goroutine is an error, as
// it is in one.
func TestLanesOnAFileCutShort(t *testing.T) {
	inLanes(t)
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	dir := newKeyed(t, s, "a", value.KindCollection)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, s.Sync(ctx))
	st, err := s.Stats()
	require.NoError(t, err)
	for cut := st.FileBytes; err == nil; cut -= layout.SlabSize {
		require.Greater(t, cut, int64(layout.ReservedSlabs*layout.SlabSize))
		require.NoError(t, os.Truncate(path, cut))
		err = s.Update(func(tx *engine.Tx) error { return tx.PutAll(dir, spread(1000, value.Int(cut)), engine.PutOptions{}) })
	}
	require.ErrorIs(t, err, engine.ErrIO)
	_ = s.Close()
}

// TestLanesRun: what the tests here are about happens.
func TestLanesRun(t *testing.T) {
	inLanes(t)
	var lanes atomic.Int64
	s, err := engine.OpenMemory(32<<20, engine.Options{Commit: -1, Hook: func(point string) {
		if point == "lane.begin" {
			lanes.Add(1)
		}
	}})
	require.NoError(t, err)
	dir := newKeyed(t, s, "a", value.KindDict)
	for n, want := range map[int]int64{200: 0, 400: 1, 1000: 3} {
		lanes.Store(0)
		mustUpdate(t, s, func(tx *engine.Tx) {
			require.NoError(t, tx.PutAll(dir, spread(n, value.Int(int64(n))), engine.PutOptions{}))
		})
		require.Equal(t, want, lanes.Load(), "%d members", n)
	}
	require.NoError(t, s.Close())
}

// TestLanesInAFullStore: the last PutAll that does not fit leaves what was there, and
// comes no sooner than by one goroutine.
func TestLanesInAFullStore(t *testing.T) {
	was := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(was)
	one := fillByPutAll(t)
	runtime.GOMAXPROCS(16)
	require.GreaterOrEqual(t, fillByPutAll(t), one*95/100)
}

// fillByPutAll returns how many of ever longer PutAlls fit into a store.
func fillByPutAll(t *testing.T) int {
	s, err := engine.OpenMemory(4<<20, engine.Options{Commit: -1})
	require.NoError(t, err)
	dir := newKeyed(t, s, "a", value.KindCollection)
	last := 0
	for err = nil; err == nil; last++ {
		require.Less(t, last, 1000)
		err = s.Update(func(tx *engine.Tx) error {
			return tx.PutAll(dir, spread(1000, value.String(fmt.Sprintf("%0*d", 10*last+10, last))), engine.PutOptions{})
		})
	}
	require.ErrorIs(t, err, engine.ErrNoSpace)
	require.Greater(t, last, 3)
	mustView(t, s, func(tx *engine.Tx) {
		for _, m := range spread(1000, value.Null()) {
			e, err := tx.Lookup(dir, m.Key)
			require.NoError(t, err)
			v, err := tx.Value(&e)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%0*d", 10*(last-2)+10, last-2), v.AsString())
		}
	})
	// Less does fit, at once.
	mustUpdate(t, s, func(tx *engine.Tx) {
		require.NoError(t, tx.PutAll(dir, spread(1000, value.Int(1)), engine.PutOptions{}))
	})
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
	return last
}

// TestLanesAgainstWriters: many members beside single ones; whoever loses begins
// again, and each update is seen whole.
func TestLanesAgainstWriters(t *testing.T) {
	inLanes(t)
	s := newMemory(t)
	dir := newKeyed(t, s, "a", value.KindCollection)
	const laps = 60
	counter := value.String("key 015000 counter")
	mustUpdate(t, s, func(tx *engine.Tx) {
		_, err := tx.Put(dir, counter, value.Int(0), engine.PutOptions{})
		require.NoError(t, err)
		require.NoError(t, tx.PutAll(dir, spread(1000, value.Int(0)), engine.PutOptions{}))
	})
	add := func(tx *engine.Tx) (int64, error) {
		e, err := tx.Lookup(dir, counter)
		if err != nil {
			return 0, err
		}
		_, err = tx.Put(dir, counter, value.Int(e.Scalar.AsInt()+1), engine.PutOptions{})
		return e.Scalar.AsInt() + 1, err
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range laps {
				require.NoError(t, s.Update(func(tx *engine.Tx) error {
					n, err := add(tx)
					if err != nil {
						return err
					}
					return tx.PutAll(dir, spread(1000, value.Int(n)), engine.PutOptions{})
				}))
			}
		})
		wg.Go(func() {
			for range 20 * laps {
				require.NoError(t, s.Update(func(tx *engine.Tx) error {
					_, err := add(tx)
					return err
				}))
			}
		})
	}
	wg.Go(func() {
		members := spread(1000, value.Null())
		for range laps {
			require.NoError(t, s.View(func(tx *engine.Tx) error {
				first, err := tx.Lookup(dir, members[0].Key)
				if err != nil {
					return err
				}
				for _, m := range members {
					e, err := tx.Lookup(dir, m.Key)
					if err != nil {
						return err
					}
					require.Equal(t, first.Scalar, e.Scalar)
				}
				return nil
			}))
		}
	})
	wg.Wait()
	mustView(t, s, func(tx *engine.Tx) {
		e, err := tx.Lookup(dir, counter)
		require.NoError(t, err)
		require.Equal(t, value.Int(2*laps+40*laps), e.Scalar)
	})
}
