package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/enginetest"
	"pongofs/gc"
)

// checkCut returns the check of an image of a power cut under one of the workloads.
func checkCut(t *testing.T) func(enginetest.Image) error {
	t.Helper()
	checks := enginetest.Checks{
		Path: filepath.Join(t.TempDir(), "cut.pongo"),
		Work: func(s *engine.Store) error {
			for i := 1; i < 20; i++ {
				if err := step(s, "grow-after", i); err != nil {
					return err
				}
			}
			return nil
		},
		Collect: collect,
	}
	return func(image enginetest.Image) error {
		c := checks
		c.State = func(s *engine.Store) error {
			return errors.Join(checkSteps(s, image.Acked), checkSnapshots(s, image.Snapshots))
		}
		return c.CheckImage(image)
	}
}

// syncNow makes everything durable and notes what was acknowledged of a writer.
func syncNow(s *engine.Store, c *enginetest.PowerCut, writer string, n int) error {
	if err := s.Sync(context.Background()); err != nil {
		return err
	}
	c.Ack(writer, int64(n))
	return nil
}

// What may be wrong with the snapshots of an image.
var (
	errSnapshotLost    = errors.New("an acknowledged snapshot is missing")
	errSnapshotBack    = errors.New("a snapshot came back whose drop was acknowledged")
	errSnapshotContent = errors.New("a snapshot is not what it was")
)

// snapshotWriter is the writer that takes the snapshots. Each is named after the
// number of its steps.
const snapshotWriter = "grow"

func snapshotName(step int) string { return fmt.Sprint("at-", step) }

// checkSnapshots demands that every snapshot shows the state that its name says,
// that those which were acknowledged are there, and those whose drop was
// acknowledged are not.
func checkSnapshots(s *engine.Store, acked map[string]bool) error {
	all, err := s.Snapshots()
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, snap := range all {
		there[snap.Name] = true
		err := s.ViewSnapshot(snap.Name, func(tx *engine.Tx) error {
			counts, err := countSteps(tx)
			if err == nil && snapshotName(counts[snapshotWriter]) != snap.Name {
				err = fmt.Errorf("%w: counters %v", errState, counts)
			}
			return err
		})
		if errors.Is(err, errState) {
			err = fmt.Errorf("%w: %w", errSnapshotContent, err)
		}
		if err != nil {
			return fmt.Errorf("snapshot %s: %w", snap.Name, err)
		}
	}
	var wrong []error
	for name, must := range acked {
		switch {
		case must && !there[name]:
			wrong = append(wrong, fmt.Errorf("%w: %s", errSnapshotLost, name))
		case !must && there[name]:
			wrong = append(wrong, fmt.Errorf("%w: %s", errSnapshotBack, name))
		}
	}
	return errors.Join(wrong...)
}

// changeSnapshots takes or drops a snapshot, or does neither, after the i-th step
// of the writer. Of two, now the older one and now the newer one goes first, and
// then there is none.
func changeSnapshots(s *engine.Store, c *enginetest.PowerCut, i int) error {
	switch i % 16 {
	case 1, 3, 9, 11:
		return takeSnapshot(s, c, i)
	case 5, 7:
		return dropSnapshot(s, c, i-4)
	case 13:
		return dropSnapshot(s, c, i-2)
	case 15:
		return dropSnapshot(s, c, i-6)
	}
	return nil
}

func takeSnapshot(s *engine.Store, c *enginetest.PowerCut, i int) error {
	name := snapshotName(i)
	c.DoubtSnapshot(name)
	if _, err := s.Snapshot(context.Background(), name); err != nil {
		return err
	}
	c.AckSnapshot(name, true)
	c.Ack(snapshotWriter, int64(i)) // what is in it is durable, too
	return nil
}

func dropSnapshot(s *engine.Store, c *enginetest.PowerCut, i int) error {
	name := snapshotName(i)
	c.DoubtSnapshot(name)
	if err := s.DropSnapshot(context.Background(), name); err != nil {
		return err
	}
	c.AckSnapshot(name, false)
	return nil
}

// inProcess runs a workload of this process.
func inProcess(t *testing.T, path string, c *enginetest.PowerCut, work func(s *engine.Store, i int) error) {
	t.Helper()
	inProcessAt(t, path, c, -1, work)
}

// inProcessAt is inProcess with a commit interval.
func inProcessAt(t *testing.T, path string, c *enginetest.PowerCut, commit time.Duration, work func(s *engine.Store, i int) error) {
	t.Helper()
	hook, hooks := c.Hooks("self")
	s, err := engine.Open(path, engine.Options{Commit: commit, Hook: hook, MapHooks: hooks, Collect: collect})
	require.NoError(t, err)
	for i := 1; c.More(); i++ {
		if err := work(s, i); err != nil {
			c.Fail(err)
			break
		}
	}
	require.NoError(t, s.Close())
}

// cutWorkloads are those under which the power is cut; package integration has
// the one through a mount.
var cutWorkloads = map[string]func(t *testing.T, path string, c *enginetest.PowerCut){
	"API writes": func(t *testing.T, path string, c *enginetest.PowerCut) {
		inProcess(t, path, c, func(s *engine.Store, i int) error {
			if err := step(s, "a", i); err != nil || i%7 != 0 {
				return err
			}
			return syncNow(s, c, "a", i)
		})
	},
	// In the background a plain record is written of what has a listed one.
	"pauses": func(t *testing.T, path string, c *enginetest.PowerCut) {
		inProcessAt(t, path, c, time.Millisecond, func(s *engine.Store, i int) error {
			err := step(s, "a", i)
			if err == nil && i%2 == 0 {
				err = syncNow(s, c, "a", i)
			}
			if i%4 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			return err
		})
	},
	// Some checkpoints have more than a record can list.
	"few and many": func(t *testing.T, path string, c *enginetest.PowerCut) {
		inProcess(t, path, c, func(s *engine.Store, i int) error {
			err := step(s, "grow-few", i)
			if err != nil || i%40 > 3 && i%40 < 39 {
				return err
			}
			return syncNow(s, c, "grow-few", i)
		})
	},
	"goroutines": func(t *testing.T, path string, c *enginetest.PowerCut) {
		inProcess(t, path, c, func(s *engine.Store, i int) error {
			var wg sync.WaitGroup
			errs := make([]error, 3)
			for g := range errs {
				wg.Go(func() {
					name := fmt.Sprintf("g%d", g)
					for k := range 5 {
						if errs[g] = step(s, name, 5*(i-1)+k+1); errs[g] != nil {
							return
						}
					}
					errs[g] = syncNow(s, c, name, 5*i)
				})
			}
			wg.Wait()
			return errors.Join(errs...)
		})
	},
	"several processes": func(t *testing.T, path string, c *enginetest.PowerCut) {
		// Not below t.TempDir, which may be too long for the name of a socket.
		dir, err := os.MkdirTemp("", "cut")
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		socket := filepath.Join(dir, "s")
		l, err := net.Listen("unix", socket)
		require.NoError(t, err)
		var serving sync.WaitGroup
		serving.Go(func() { c.Serve(l) })
		var all []*child
		for i := range 3 {
			name := fmt.Sprintf("p%d", i)
			all = append(all, startChild(t, path, "cut "+name+" "+socket, func(n int) { c.Ack(name, int64(n)) }))
		}
		for c.More() {
			for _, child := range all {
				select {
				case <-child.done:
					c.Fail(errors.New("a process ended by itself"))
				case <-time.After(10 * time.Millisecond):
				}
			}
		}
		for _, child := range all {
			require.NoError(t, child.cmd.Process.Kill())
			_ = child.wait()
		}
		require.NoError(t, l.Close())
		serving.Wait()
	},
	"gc and growth": func(t *testing.T, path string, c *enginetest.PowerCut) {
		inProcess(t, path, c, func(s *engine.Store, i int) error {
			err := step(s, "grow", i)
			if err == nil && i%3 == 0 {
				err = syncNow(s, c, "grow", i)
			}
			if err == nil && i%10 == 0 {
				_, err = gc.New(s).Full(context.Background())
			}
			return err
		})
	},
	"snapshots": func(t *testing.T, path string, c *enginetest.PowerCut) {
		inProcess(t, path, c, func(s *engine.Store, i int) error {
			// Another one publishes between the publish of a change to the snapshots
			// and its checkpoint.
			var beside sync.WaitGroup
			var besideErr error
			beside.Go(func() {
				for k := 3*i - 2; k <= 3*i && besideErr == nil; k++ {
					besideErr = step(s, "beside", k)
				}
			})
			err := step(s, snapshotWriter, i)
			if err == nil {
				err = changeSnapshots(s, c, i)
			}
			if err == nil && i%9 == 0 {
				// What only a dropped one held is used again.
				_, err = gc.New(s).Full(context.Background())
			}
			beside.Wait()
			return errors.Join(err, besideErr)
		})
	},
}

// runCut is a writer that asks its parent at each sync and at the points of the
// engine. It prints the number of the last step that a sync has acknowledged.
func runCut(args []string, path string) error {
	hook, hooks := enginetest.RemoteHooks(args[1], args[0])
	s, err := engine.Open(path, engine.Options{Commit: -1, Hook: hook, MapHooks: hooks, Collect: collect})
	if err != nil {
		return err
	}
	for i := 1; ; i++ {
		if err := step(s, args[0], i); err != nil {
			return err
		}
		if i%5 == 0 {
			if err := s.Sync(context.Background()); err != nil {
				return err
			}
			fmt.Println(i)
		}
	}
}

// TestPowerCut cuts the power at random moments of several workloads: each
// image opens with a state that existed and is no older than what was
// acknowledged, with the snapshots that were acknowledged as they were; exactly
// what is reachable is allocated, and work goes on.
func TestPowerCut(t *testing.T) {
	refused := 0 // images with a record whose list is not true
	run := func(t *testing.T, name, workload string, unlisted bool) {
		path := newStorePath(t)
		if unlisted {
			require.NoError(t, enginetest.Unlisted(path))
		}
		c := enginetest.NewPowerCut(enginetest.NewDisk(path, enginetest.NoFault, enginetest.Seed(t)),
			enginetest.ImagesPerKill*enginetest.Crashes(t), 20, checkCut(t))
		cutWorkloads[workload](t, path, c)
		images, half, failures := c.Result()
		enginetest.Report(t, "power cut", name, images, half, failures, false)
		require.NotZero(t, half, "no image is of a checkpoint that was half done")
		refused += c.Refused()
		if unlisted {
			require.Zero(t, c.Refused())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cutWorkloads)) {
		t.Run(name, func(t *testing.T) { run(t, name, name, false) })
	}
	for _, workload := range []string{"gc and growth", "several processes"} {
		name := workload + ", two syncs"
		t.Run(name, func(t *testing.T) { run(t, name, workload, true) })
	}
	t.Logf("%d images have a record whose list is not true", refused)
	require.NotZero(t, refused)
}

// control runs a workload on a disk, or with a recovery, that is broken in one
// way, until there is a failure of each kind. Others do not count then; without
// kinds each does, and all images are checked.
func control(t *testing.T, name, path, workload string, fault enginetest.Fault, kinds ...error) {
	t.Helper()
	images := max(100, enginetest.ImagesPerKill*enginetest.Crashes(t)/4)
	if len(kinds) > 0 {
		images *= 10 // at most: it ends when all kinds have been seen
	}
	check, unseen := checkCut(t), slices.Clone(kinds)
	c := enginetest.NewPowerCut(enginetest.NewDisk(path, fault, enginetest.Seed(t)), images, cmp.Or(len(kinds), images),
		func(image enginetest.Image) error {
			err := check(image)
			n := len(unseen)
			unseen = slices.DeleteFunc(unseen, func(kind error) bool { return errors.Is(err, kind) })
			if len(kinds) > 0 && len(unseen) == n {
				return nil
			}
			return err
		})
	cutWorkloads[workload](t, path, c)
	images, half, failures := c.Result()
	require.Empty(t, unseen, "not noticed in %d images", images)
	enginetest.Report(t, "control", name, images, half, failures, true)
}

// TestPowerCutControls breaks the disk, or recovery, in one way each: the tester
// must notice.
func TestPowerCutControls(t *testing.T) {
	unlisted := func(t *testing.T) string {
		path := newStorePath(t)
		require.NoError(t, enginetest.Unlisted(path))
		return path
	}
	for _, name := range slices.Sorted(maps.Keys(enginetest.PlainFaults)) {
		t.Run(name, func(t *testing.T) {
			var kinds []error
			if enginetest.PlainFaults[name] == enginetest.NoObjectChecksum {
				kinds = append(kinds, errState) // not what the store itself notices
			}
			control(t, name, unlisted(t), "gc and growth", enginetest.PlainFaults[name], kinds...)
		})
	}
	for _, name := range slices.Sorted(maps.Keys(enginetest.ListedFaults)) {
		t.Run(name, func(t *testing.T) {
			control(t, name, newStorePath(t), "gc and growth", enginetest.ListedFaults[name])
		})
	}
	// What is demanded of snapshots is noticed for itself.
	t.Run("snapshots, second sync left out", func(t *testing.T) {
		control(t, "snapshots, second sync left out", unlisted(t), "snapshots", enginetest.NoSecondSync, errSnapshotLost, errSnapshotBack)
	})
	t.Run("snapshots, object checksums ignored", func(t *testing.T) {
		control(t, "snapshots, object checksums ignored", unlisted(t), "snapshots", enginetest.NoObjectChecksum, errSnapshotContent)
	})
}
