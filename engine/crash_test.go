package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
	"pongofs/gc"
)

// crashPoints are the places between the atomic steps of the engine at which
// Options.Hook is called.
var crashPoints = []string{
	"alloc.before-bit", "alloc.after-bit",
	"free.before-clear", "free.after-clear",
	"lease.before-swap", "lease.after-swap", "lease.before-drop", "lease.after-drop",
	"grow.before-allocate", "grow.before-hints", "grow.before-swap", "grow.after-swap",
	"publish.before-swap", "publish.after-swap", "publish.before-retire",
	"snapshot.published", "lane.begin",
	"checkpoint.announced", "checkpoint.data-synced", "checkpoint.written", "checkpoint.synced",
	"checkpoint.confirming",
	"clean.begin", "clean.end",
	"gc.pinned", "gc.seq-stored", "gc.published", "gc.marked",
	"sweep.before-free",
}

// runHooked is a child that works on the store until it comes to a named point
// for the n-th time, where it sends itself a signal: KILL or STOP. It prints
// the number of each publish that has returned, and "at" when it is there.
func runHooked(args []string, path string) error {
	name, point, sig := args[0], args[1], args[3]
	nth, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	var hits atomic.Int64
	var armed atomic.Bool
	hook := func(at string) {
		if at != point || !armed.Load() || hits.Add(1) != int64(nth) {
			return
		}
		fmt.Println("at", at)
		os.Stdout.Sync()
		if sig == "STOP" {
			syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			time.Sleep(time.Hour)
		}
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	armed.Store(true)
	commit := time.Duration(-1)
	confirms := strings.HasPrefix(point, "checkpoint.confirm") // which is done in the background
	if confirms {
		commit = 2 * time.Millisecond
	}
	s, err := engine.Open(path, engine.Options{Commit: commit, Hook: hook})
	if err != nil {
		return err
	}
	if strings.HasPrefix(point, "clean.") {
		return fmt.Errorf("%s: opening found nobody dead", point)
	}
	c := gc.New(s)
	for i := 1; i < 5000; i++ {
		if err := step(s, name, i); err != nil {
			return err
		}
		fmt.Println(i)
		if err := childSnapshots(s, name, i); err != nil {
			return err
		}
		if point == "checkpoint.data-synced" && i%16 == 0 {
			// More than a record can list, else there is one sync only. In parts: a
			// long edit would lose against the small ones of others.
			for part := range 12 {
				if err := putMany(s, fmt.Sprint(name, part), 500, i); err != nil {
					return err
				}
			}
		}
		if i%16 == 0 {
			if err := s.Sync(context.Background()); err != nil {
				return err
			}
		}
		if confirms && i%16 == 0 {
			time.Sleep(20 * time.Millisecond)
		}
		if i%64 == 0 {
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			_, _ = c.Full(ctx)
			cancel()
		}
		if point == "lane.begin" && i%8 == 0 {
			if err := putMany(s, name, 1000, i); err != nil {
				return err
			}
		}
		if strings.HasPrefix(point, "grow.") && i%8 == 0 {
			// Make the file grow.
			err := s.Update(func(tx *engine.Tx) error {
				_, err := tx.Put(engine.RootID, value.String(fmt.Sprintf("%s-grow-%d", name, i)),
					value.Bytes(make([]byte, 400_000)), engine.PutOptions{})
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("never came to %s for the %dth time", point, nth)
}

// putMany stores n members of a dict of the child at once.
func putMany(s *engine.Store, name string, n, i int) error {
	runtime.GOMAXPROCS(4)
	members := make([]engine.Member, n)
	for k := range members {
		members[k] = engine.Member{Key: value.String(fmt.Sprintf("key %06d", k)), Value: value.Int(int64(i))}
	}
	return s.Update(func(tx *engine.Tx) error {
		d, err := tx.Root().Dict(name + "-many")
		if errors.Is(err, engine.ErrNotFound) {
			d, err = tx.Root().NewDict(name + "-many")
		}
		if err != nil {
			return err
		}
		return tx.PutAll(d.ID(), members, engine.PutOptions{})
	})
}

// childSnapshots takes and drops snapshots now and then. Each is named after the
// child and its count.
func childSnapshots(s *engine.Store, name string, i int) error {
	switch {
	case i%20 == 10:
		_, err := s.Snapshot(context.Background(), fmt.Sprintf("%s-%d", name, i))
		return err
	case i%20 == 0 && i > 20:
		return s.DropSnapshot(context.Background(), fmt.Sprintf("%s-%d", name, i-30))
	}
	return nil
}

// requireSnapshotsOf demands that the snapshots that a child has taken show what
// they did.
func requireSnapshotsOf(t *testing.T, s *engine.Store, name string) {
	t.Helper()
	all, err := s.Snapshots()
	require.NoError(t, err)
	for _, snap := range all {
		n, ok := strings.CutPrefix(snap.Name, name+"-")
		if !ok {
			continue
		}
		require.NoError(t, s.ViewSnapshot(snap.Name, func(tx *engine.Tx) error {
			e, err := tx.Lookup(engine.RootID, value.String("count-"+name))
			require.NoError(t, err)
			require.Equal(t, n, fmt.Sprint(e.Scalar.AsInt()), "snapshot %s", snap.Name)
			_, err = readAll(tx, engine.RootID)
			return err
		}))
	}
}

// TestKillAtEachPoint lets a process die at each of the crash points while
// another goes on. Afterwards the store is whole, no update that had returned
// is missing, and one full collection leaves exactly what is reachable.
func TestKillAtEachPoint(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	n, total := 0, 0
	// kill runs a child up to its death at the point, and reports whether it
	// came there.
	kill := func(point string, nth int) bool {
		n++
		name := fmt.Sprintf("k%d", n)
		c := startChild(t, path, fmt.Sprintf("hooked %s %s %d KILL", name, point, nth))
		for running := true; running; {
			select {
			case <-c.done:
				running = false
			default:
				total++
				require.NoError(t, step(s, "self", total))
				if strings.HasPrefix(point, "checkpoint.confirm") {
					// What is not the newest version any more is not confirmed.
					time.Sleep(10 * time.Millisecond)
				}
			}
		}
		_ = c.wait()
		got := count(t, s, "count-"+name)
		require.GreaterOrEqual(t, got, c.ack(), "%s: an acknowledged update is missing", point)
		require.LessOrEqual(t, got, c.ack()+1, point)
		status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
		return ok && status.Signaled()
	}
	for _, point := range crashPoints {
		if !strings.HasPrefix(point, "clean.") {
			for _, nth := range []int{1, 3} {
				require.True(t, kill(point, nth), "%s: the child did not die at the point", point)
			}
			continue
		}
		// These need a dead process to clean up after, which the survivor cleans
		// up after too, once a second: now and then it comes first.
		died := false
		for try := 0; try < 20 && !died; try++ {
			require.True(t, kill("publish.before-swap", 1))
			died = kill(point, 1)
		}
		require.True(t, died, "%s: no child died at the point", point)
	}
	s.Internals().CleanDead()
	requireNoLeak(t, s)
	for i := range n {
		requireSnapshotsOf(t, s, fmt.Sprintf("k%d", i+1))
	}
	names := snapshotNames(t, s)
	require.NotEmpty(t, names)
	for _, name := range names {
		require.NoError(t, s.DropSnapshot(context.Background(), name))
	}
	requireNoLeak(t, s)
	require.Equal(t, total, count(t, s, "count-self"))
	require.NoError(t, s.Close())

	s, err = engine.Open(path, engine.Options{})
	require.NoError(t, err)
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// TestStopAtEachPoint stops a process at each of the crash points: nobody else
// waits for it to go on.
func TestStopAtEachPoint(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	defer s.Close()
	total := 0
	for n, point := range crashPoints {
		if strings.HasPrefix(point, "clean.") {
			continue // the gate may be held then: opening waits, with a limit
		}
		c := startChild(t, path, fmt.Sprintf("hooked s%d %s 2 STOP", n, point))
		stopped := func() bool {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
			return err == nil && strings.Contains(string(b), ") T ")
		}
		deadline := time.Now().Add(time.Minute)
		for !stopped() {
			require.True(t, time.Now().Before(deadline), "%s: the child did not get there", point)
			time.Sleep(time.Millisecond)
		}
		// All kinds of work go on: publishes, reads, growth, checkpoints.
		for range 200 {
			total++
			require.NoError(t, step(s, "self", total))
		}
		require.NoError(t, s.Update(func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String("large"), value.Bytes(make([]byte, 1<<20+n)), engine.PutOptions{})
			return err
		}))
		require.NoError(t, s.Sync(context.Background()), point)
		require.Equal(t, total, count(t, s, "count-self"))
		require.NoError(t, c.cmd.Process.Kill())
		_ = c.wait()
		s.Internals().CleanDead()
	}
	requireNoLeak(t, s)
}
