package engine_test

import (
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

// newPowerCut cuts the power under the store at path.
func newPowerCut(t *testing.T, path string, fault enginetest.Fault, images, failures int) *enginetest.PowerCut {
	t.Helper()
	checks := enginetest.Checks{Path: filepath.Join(t.TempDir(), "cut.pongo"), Collect: collect}
	return enginetest.NewPowerCut(enginetest.NewDisk(path, fault, enginetest.Seed(t)), images, failures,
		func(image enginetest.Image) error {
			c := checks
			c.State = func(s *engine.Store) error { return checkSteps(s, image.Acked) }
			c.Work = func(s *engine.Store) error {
				for i := 1; i < 20; i++ {
					if err := step(s, "grow-after", i); err != nil {
						return err
					}
				}
				return nil
			}
			return c.CheckImage(image)
		})
}

// syncNow makes everything durable and notes what was acknowledged of a writer.
func syncNow(s *engine.Store, c *enginetest.PowerCut, writer string, n int) error {
	if err := s.Sync(context.Background()); err != nil {
		return err
	}
	c.Ack(writer, int64(n))
	return nil
}

// inProcess runs a workload of this process.
func inProcess(t *testing.T, path string, c *enginetest.PowerCut, work func(s *engine.Store, i int) error) {
	t.Helper()
	hook, hooks := c.Hooks("self")
	s, err := engine.Open(path, engine.Options{Commit: -1, Hook: hook, MapHooks: hooks, Collect: collect})
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
// acknowledged, exactly what is reachable is allocated, and work goes on.
func TestPowerCut(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(cutWorkloads)) {
		t.Run(name, func(t *testing.T) {
			path := newStorePath(t)
			c := newPowerCut(t, path, enginetest.NoFault, enginetest.ImagesPerKill*enginetest.Crashes(t), 20)
			cutWorkloads[name](t, path, c)
			images, half, failures := c.Result()
			enginetest.Report(t, "power cut", name, images, half, failures, false)
			require.NotZero(t, half, "no image is of a checkpoint that was half done")
		})
	}
}

// TestPowerCutControls breaks the disk, or recovery, in one way each: the tester
// must notice.
func TestPowerCutControls(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(enginetest.Faults)) {
		t.Run(name, func(t *testing.T) {
			path := newStorePath(t)
			images := max(100, enginetest.ImagesPerKill*enginetest.Crashes(t)/4)
			c := newPowerCut(t, path, enginetest.Faults[name], images, images)
			cutWorkloads["gc and growth"](t, path, c)
			images, half, failures := c.Result()
			if enginetest.Faults[name] == enginetest.NoObjectChecksum {
				// What the store itself notices by other means is no proof.
				failures = slices.DeleteFunc(failures, func(err error) bool { return !errors.Is(err, errState) })
			} else {
				for _, err := range failures {
					require.NotErrorIs(t, err, errState, "a version that is not whole was not refused")
				}
			}
			enginetest.Report(t, "control", name, images, half, failures, true)
		})
	}
}
