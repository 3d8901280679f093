package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/mapping"
	"pongofs/engine/value"
)

// slowDisk lets each sync take so long that others come meanwhile.
func slowDisk() *mapping.Hooks {
	return &mapping.Hooks{Sync: func() error {
		time.Sleep(200 * time.Microsecond)
		return nil
	}}
}

// together opens a store whose updates are durable, and calls fn from several
// goroutines, with a number that is different each time. It returns the open store,
// and how many versions were published.
func together(t *testing.T, goroutines, each int, fn func(s *engine.Store, n int)) (*engine.Store, uint64) {
	t.Helper()
	s, err := engine.Open(newStorePath(t), engine.Options{Commit: -1, SyncEach: true, MapHooks: slowDisk()})
	require.NoError(t, err)
	first := s.Changed()
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				fn(s, g*each+i)
			}
		})
	}
	wg.Wait()
	return s, s.Changed() - first
}

// TestJointEdits: durable updates of many goroutines share versions. None is lost,
// each sees those before it, and each is durable when it returns.
func TestJointEdits(t *testing.T) {
	const goroutines, each = 8, 100
	s, versions := together(t, goroutines, each, func(s *engine.Store, n int) {
		var seen int64
		err := s.Update(func(tx *engine.Tx) error {
			if err := add(tx, "total"); err != nil {
				return err
			}
			e, err := tx.Lookup(engine.RootID, value.String("total"))
			if err != nil {
				return err
			}
			seen = e.Scalar.AsInt()
			_, err = tx.Put(engine.RootID, value.Int(seen), value.Int(int64(n)), engine.PutOptions{})
			return err
		})
		if err != nil {
			t.Errorf("update %d: %v", n, err)
		}
		if st, err := s.Stats(); err != nil || st.Seq-st.DurableSeq > goroutines {
			t.Errorf("version %d, durable %d, %v", st.Seq, st.DurableSeq, err)
		}
		err = s.View(func(tx *engine.Tx) error {
			e, err := tx.Lookup(engine.RootID, value.Int(seen))
			if err == nil && e.Scalar.AsInt() != int64(n) {
				err = fmt.Errorf("%d has the place of another", e.Scalar.AsInt())
			}
			return err
		})
		if err != nil {
			t.Errorf("update %d, as number %d: %v", n, seen, err)
		}
	})
	require.Equal(t, goroutines*each, count(t, s, "total"))
	require.Less(t, versions, uint64(goroutines*each), "no two have shared a version")
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

var errRefused = errors.New("refused")

// TestJointEditsFail: functions fail, panic and end their goroutine after they have
// changed something. Nothing of theirs is seen, and all of the others.
func TestJointEditsFail(t *testing.T) {
	const goroutines, each = 8, 60
	var good atomic.Int64
	s, _ := together(t, goroutines, each, func(s *engine.Store, n int) {
		bad := func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String(fmt.Sprintf("bad %d", n)), value.Int(1), engine.PutOptions{})
			if err == nil {
				err = add(tx, "bad")
			}
			return err
		}
		switch n % 20 {
		case 3:
			err := s.Update(func(tx *engine.Tx) error { return errors.Join(bad(tx), errRefused) })
			if !errors.Is(err, errRefused) {
				t.Errorf("update %d: %v", n, err)
			}
		case 7:
			func() {
				defer func() {
					if recover() != errRefused { //nolint:errorlint // what was thrown
						t.Errorf("update %d: its panic does not come out", n)
					}
				}()
				_ = s.Update(func(tx *engine.Tx) error {
					_ = bad(tx)
					panic(errRefused)
				})
			}()
		case 11:
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = s.Update(func(tx *engine.Tx) error {
					_ = bad(tx)
					runtime.Goexit()
					return nil
				})
			}()
			<-ended
		default:
			if err := s.Update(func(tx *engine.Tx) error { return add(tx, "total") }); err != nil {
				t.Errorf("update %d: %v", n, err)
			}
			good.Add(1)
		}
	})
	require.Equal(t, int(good.Load()), count(t, s, "total"))
	require.NoError(t, s.View(func(tx *engine.Tx) error {
		_, err := tx.Lookup(engine.RootID, value.String("bad"))
		require.ErrorIs(t, err, engine.ErrNotFound)
		all, err := readAll(tx, engine.RootID)
		require.Len(t, all, 1)
		return err
	}))
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// TestJointEditsBesideOthers: other updates of the process that are not made durable,
// so join nobody, take the version away under the joint ones.
func TestJointEditsBesideOthers(t *testing.T) {
	path := newStorePath(t)
	beside, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	s, err := engine.Open(path, engine.Options{Commit: -1, SyncEach: true, MapHooks: slowDisk()})
	require.NoError(t, err)
	const goroutines, each = 6, 50
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				if err := s.Update(func(tx *engine.Tx) error { return add(tx, "total") }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	stop := make(chan struct{})
	others := 0
	var other sync.WaitGroup
	other.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := beside.Update(func(tx *engine.Tx) error { return add(tx, "total") }); err != nil {
				t.Error(err)
			}
			others++
			time.Sleep(50 * time.Microsecond)
		}
	})
	wg.Wait()
	close(stop)
	other.Wait()
	require.NotZero(t, others)
	require.Equal(t, goroutines*each+others, count(t, s, "total"))
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
	require.NoError(t, beside.Close())
}

// TestJointEditWaitsForNobody: a function waits for a lock that the caller of another
// update holds, and one makes an update of its own. Both come to an end.
func TestJointEditWaitsForNobody(t *testing.T) {
	const goroutines, each = 8, 30
	var lock sync.Mutex
	var inner atomic.Int64
	s, _ := together(t, goroutines, each, func(s *engine.Store, n int) {
		total := func(tx *engine.Tx) error { return add(tx, "total") }
		var err error
		switch n % 4 {
		case 0: // holds the lock around its update
			lock.Lock()
			err = s.Update(total)
			lock.Unlock()
		case 1: // takes it inside of it
			err = s.Update(func(tx *engine.Tx) error {
				lock.Lock()
				defer lock.Unlock()
				return total(tx)
			})
		case 2: // makes another one inside, once: it would make itself out of date for ever
			once := false
			err = s.Update(func(tx *engine.Tx) error {
				if !once {
					once = true
					inner.Add(1)
					if err := s.Update(total); err != nil {
						return err
					}
				}
				return total(tx)
			})
		default:
			err = s.Update(total)
		}
		if err != nil {
			t.Errorf("update %d: %v", n, err)
		}
	})
	require.Equal(t, goroutines*each+int(inner.Load()), count(t, s, "total"))
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// TestJointEditsOfPoisonedStore: a sync fails under a joint edit: every member is told.
func TestJointEditsOfPoisonedStore(t *testing.T) {
	var fail atomic.Bool
	s, err := engine.Open(newStorePath(t), engine.Options{Commit: -1, SyncEach: true, MapHooks: &mapping.Hooks{Sync: func() error {
		time.Sleep(200 * time.Microsecond)
		if fail.Load() {
			return errors.New("input/output error")
		}
		return nil
	}}})
	require.NoError(t, err)
	var wg sync.WaitGroup
	var acked atomic.Int64
	for range 6 {
		wg.Go(func() {
			for {
				err := s.Update(func(tx *engine.Tx) error { return add(tx, "total") })
				if err != nil {
					if !errors.Is(err, engine.ErrPoisoned) {
						t.Error(err)
					}
					return
				}
				acked.Add(1)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	fail.Store(true)
	wg.Wait()
	require.GreaterOrEqual(t, count(t, s, "total"), int(acked.Load()))
	require.ErrorIs(t, s.Close(), engine.ErrPoisoned)
}

// joined runs two durable updates until they have shared a version: the second is
// called while the first is in its function. It returns how often they did.
func joined(t *testing.T, s *engine.Store, rounds int, first, second func(tx *engine.Tx, round int) error) (shared int) {
	t.Helper()
	for round := range rounds {
		// So that company is expected.
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for range 3 {
					if err := s.Update(func(tx *engine.Tx) error { return add(tx, fmt.Sprint("warm ", g)) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		began := make(chan struct{})
		var once sync.Once
		before := s.Changed()
		wg.Go(func() {
			err := s.Update(func(tx *engine.Tx) error {
				err := first(tx, round)
				once.Do(func() { close(began) })
				time.Sleep(100 * time.Microsecond)
				return err
			})
			if err != nil {
				t.Errorf("first of round %d: %v", round, err)
			}
		})
		<-began
		if err := s.Update(func(tx *engine.Tx) error { return second(tx, round) }); err != nil {
			t.Errorf("second of round %d: %v", round, err)
		}
		wg.Wait()
		if s.Changed() == before+1 {
			shared++
		}
	}
	return shared
}

// TestJointEditPinsValue: a value that another member has changed is pinned all the
// same, as the version that is published.
func TestJointEditPinsValue(t *testing.T) {
	s, err := engine.Open(newStorePath(t), engine.Options{Commit: -1, SyncEach: true, MapHooks: slowDisk()})
	require.NoError(t, err)
	image := func(k int) []byte { return bytes.Repeat([]byte{byte('a' + k%26)}, 300_000) }
	put := func(tx *engine.Tx, k int) error {
		_, err := tx.Put(engine.RootID, value.String("big"), value.Bytes(image(k)), engine.PutOptions{})
		return err
	}
	require.NoError(t, s.Update(func(tx *engine.Tx) error { return put(tx, 0) }))
	var pin *engine.ValuePin
	const rounds = 20
	joined(t, s, rounds, put, func(tx *engine.Tx, round int) error {
		if pin != nil { // of the run before
			require.NoError(t, pin.Close())
		}
		e, err := tx.Lookup(engine.RootID, value.String("big"))
		if err != nil {
			return err
		}
		pin, err = tx.PinValue(&e)
		if err == nil && round == rounds-1 {
			err = tx.Remove(engine.RootID, value.String("big"))
		}
		return err
	})
	for k := range 40 {
		require.NoError(t, s.Update(func(tx *engine.Tx) error { return put(tx, k) }))
	}
	got := make([]byte, 300_000)
	_, err = pin.ReadAt(got, 0)
	require.NoError(t, err)
	// Called again alone, the second may come before the first.
	require.True(t, bytes.Equal(got, image(rounds-1)) || bytes.Equal(got, image(rounds-2)), "it begins with %q", got[:8])
	require.NoError(t, pin.Close())
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// TestJointEditSeesAllChanges: what has changed since a version is all that the Tx
// shows, also what another member has changed.
func TestJointEditSeesAllChanges(t *testing.T) {
	s, err := engine.Open(newStorePath(t), engine.Options{Commit: -1, SyncEach: true, MapHooks: slowDisk()})
	require.NoError(t, err)
	name := func(round int) value.Value { return value.String(fmt.Sprint("new ", round)) }
	var old *engine.Version
	joined(t, s, 20, func(tx *engine.Tx, round int) error {
		_, err := tx.Put(engine.RootID, name(round), value.Int(1), engine.PutOptions{})
		if old == nil {
			old, err = s.OpenVersion()
		}
		return err
	}, func(tx *engine.Tx, round int) error {
		_, err := tx.Lookup(engine.RootID, name(round))
		if errors.Is(err, engine.ErrNotFound) {
			return nil
		}
		root := false
		if err := old.View(func(was *engine.Tx) error {
			return engine.ChangedContainers(was, tx, func(id engine.ID, _, _ bool) error {
				root = root || id == engine.RootID
				return nil
			})
		}); err != nil {
			return err
		}
		if !root {
			t.Errorf("round %d: the root has a new member, and has not changed", round)
		}
		require.NoError(t, old.Close())
		old = nil
		return nil
	})
	if old != nil {
		require.NoError(t, old.Close())
	}
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}
