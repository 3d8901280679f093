package engine_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/mapping"
	"pongofs/engine/value"
	"pongofs/gc"
)

var (
	cutImages = flag.Int("cuts", 60, "power-cut images to build for each workload")
	cutSeed   = flag.Uint64("cutseed", 1, "seed of the power-cut images")
)

// disk is what a power cut would leave: the image at the last completed sync,
// and any of the sectors changed since.
type disk struct {
	path string
	mu   sync.Mutex
	base []byte // content at the last sync
	// acked is the value of the shared counter that the last Sync to return
	// made durable.
	acked int64
	// snaps says of snapshots whether they must be there (true) or must not; of
	// one that is being taken or dropped it says nothing.
	snaps map[string]bool
	// broken says which of the two syncs of a checkpoint does nothing: 0 none.
	broken int
	syncs  int
}

// hooks records the image at each sync. What a sync makes durable is what was
// stored before it began.
func (d *disk) hooks() *mapping.Hooks {
	return &mapping.Hooks{Sync: func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.syncs++
		if d.broken != 0 && d.syncs%2 == d.broken%2 {
			return nil
		}
		b, err := os.ReadFile(d.path)
		d.base = b
		return err
	}}
}

// begun reports whether there has been a sync.
func (d *disk) begun() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.base != nil
}

func (d *disk) ack(total int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acked = max(d.acked, total)
}

// cut builds an image as a power cut at this moment may leave it, with the
// number that must not be lost.
func (d *disk) cut(r *rand.Rand) (image []byte, acked int64, snaps map[string]bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, err := os.ReadFile(d.path)
	if err != nil {
		return nil, 0, nil, err
	}
	image = append([]byte(nil), d.base...)
	if len(image) < len(now) && r.IntN(2) == 0 {
		image = append(image, make([]byte, len(now)-len(image))...)
	}
	sector := []int{512, 4096}[r.IntN(2)]
	p := []float64{0.02, 0.3, 0.5, 0.9, 1}[r.IntN(5)]
	for off := 0; off+sector <= len(image) && off+sector <= len(now); off += sector {
		if string(now[off:off+sector]) != string(image[off:off+sector]) && r.Float64() < p {
			copy(image[off:], now[off:off+sector])
		}
	}
	return image, d.acked, maps.Clone(d.snaps), nil
}

// expectSnapshot notes what is known of a snapshot; nothing when known is false.
func (d *disk) expectSnapshot(name string, known, there bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.snaps == nil {
		d.snaps = map[string]bool{}
	}
	delete(d.snaps, name)
	if known {
		d.snaps[name] = there
	}
}

// checkCounts demands a state that existed, and returns its total.
func checkCounts(tx *engine.Tx) (int64, error) {
	total, sum := int64(0), int64(0)
	err := tx.Scan(engine.RootID, value.Value{}, false, func(e engine.Entry) bool {
		switch k := e.Key.AsString(); {
		case k == "total":
			total = e.Scalar.AsInt()
		case strings.HasPrefix(k, "count-"):
			sum += e.Scalar.AsInt()
		}
		return true
	})
	if err == nil && total != sum {
		err = fmt.Errorf("a state that never existed: counters sum to %d, total is %d", sum, total)
	}
	return total, err
}

// checkSnapshots demands that every snapshot is whole and shows the total that
// its name says, that those which were acknowledged are there, and that those
// whose drop was acknowledged are not.
func checkSnapshots(s *engine.Store, want map[string]bool) error {
	all, err := s.Snapshots()
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, snap := range all {
		there[snap.Name] = true
		err := s.ViewSnapshot(snap.Name, func(tx *engine.Tx) error {
			total, err := checkCounts(tx)
			if err == nil && fmt.Sprint("at-", total) != snap.Name {
				err = fmt.Errorf("shows total %d", total)
			}
			if err == nil {
				_, err = readAll(tx, engine.RootID)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("snapshot %s: %w", snap.Name, err)
		}
	}
	for name, must := range want {
		if there[name] != must {
			return fmt.Errorf("snapshot %s: is there %v, must be %v", name, there[name], must)
		}
	}
	return nil
}

// checkCut opens an image and demands a state that existed and is no older
// than what was acknowledged.
func checkCut(dir string, image []byte, acked int64, snaps map[string]bool) error {
	path := filepath.Join(dir, "cut.pongo")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		return err
	}
	defer os.Remove(path)
	defer os.Remove(path + "-shm")
	s, err := engine.Open(path, engine.Options{Commit: -1})
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Internals().Verify(); err != nil {
		return err
	}
	err = s.View(func(tx *engine.Tx) error {
		total, err := checkCounts(tx)
		if err == nil && total < acked {
			err = fmt.Errorf("lost: %d was acknowledged as durable, the store has %d", acked, total)
		}
		return err
	})
	if err == nil {
		err = checkSnapshots(s, snaps)
	}
	if err != nil {
		return err
	}
	// The allocator is sound: work goes on, and nothing overlaps.
	for i := 1; i < 40; i++ {
		if err := step(s, "after", i); err != nil {
			return err
		}
	}
	if err := collect(s); err != nil {
		return err
	}
	if err := checkSnapshots(s, snaps); err != nil {
		return fmt.Errorf("after work went on: %w", err)
	}
	_, err = s.Internals().Verify()
	return err
}

// powerCuts runs a workload and cuts the power n times while it runs. It
// returns the failures.
func powerCuts(t *testing.T, n, broken int, work func(s *engine.Store, d *disk, i int) error) (failures []error) {
	t.Helper()
	seed := *cutSeed
	r := rand.New(rand.NewPCG(seed, 77))
	path := newStorePath(t)
	d := &disk{path: path, broken: broken}
	var hookMu sync.Mutex
	cuts := 0
	limit := 20
	if broken != 0 {
		limit = 1 // one is enough to show that the tester sees it
	}
	dir := t.TempDir()
	// Cuts happen at the points between the steps, checkpoints' above all.
	hook := func(point string) {
		chance := 400
		if strings.HasPrefix(point, "checkpoint.") {
			chance = 3
		}
		hookMu.Lock()
		defer hookMu.Unlock()
		if !d.begun() || cuts >= n || r.IntN(chance) != 0 {
			return
		}
		cuts++
		image, acked, snaps, err := d.cut(r)
		if err == nil {
			err = checkCut(dir, image, acked, snaps)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("cut %d (seed %d) at %s: %w", cuts, seed, point, err))
		}
	}
	s, err := engine.Open(path, engine.Options{Commit: -1, Hook: hook, MapHooks: d.hooks(), Collect: collect})
	require.NoError(t, err)
	d.mu.Lock()
	d.syncs = 0
	d.mu.Unlock()
	more := func() bool {
		hookMu.Lock()
		defer hookMu.Unlock()
		return cuts < n && len(failures) < limit
	}
	for i := 1; more(); i++ {
		if err := work(s, d, i); err != nil {
			hookMu.Lock()
			failures = append(failures, err)
			hookMu.Unlock()
			break
		}
	}
	d.mu.Lock()
	d.broken = 0
	d.mu.Unlock()
	require.NoError(t, s.Close())
	return failures
}

// syncNow makes everything durable and records that it was acknowledged.
func syncNow(s *engine.Store, d *disk) error {
	var total int64
	err := s.View(func(tx *engine.Tx) error {
		e, err := tx.Lookup(engine.RootID, value.String("total"))
		if errors.Is(err, engine.ErrNotFound) {
			return nil
		}
		total = e.Scalar.AsInt()
		return err
	})
	if err != nil {
		return err
	}
	if err := s.Sync(context.Background()); err != nil {
		return err
	}
	d.ack(total)
	return nil
}

// The workloads under which the power is cut.
var cutWorkloads = map[string]func(s *engine.Store, d *disk, i int) error{
	"writes": func(s *engine.Store, d *disk, i int) error {
		if err := step(s, "a", i); err != nil || i%7 != 0 {
			return err
		}
		return syncNow(s, d)
	},
	"goroutines": func(s *engine.Store, d *disk, i int) error {
		var wg sync.WaitGroup
		errs := make([]error, 3)
		for g := range errs {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for k := range 5 {
					if errs[g] = step(s, fmt.Sprintf("g%d", g), 5*(i-1)+k+1); errs[g] != nil {
						return
					}
				}
				errs[g] = syncNow(s, d)
			}()
		}
		wg.Wait()
		return errors.Join(errs...)
	},
	"snapshots": func(s *engine.Store, d *disk, i int) error {
		if err := step(s, "a", i); err != nil {
			return err
		}
		var err error
		switch i % 4 {
		case 1:
			name := fmt.Sprint("at-", i)
			d.expectSnapshot(name, false, false)
			if _, err = s.Snapshot(name); err == nil {
				d.expectSnapshot(name, true, true)
			}
		case 3:
			// The one before last, so that there are always one or two.
			name := fmt.Sprint("at-", i-6)
			if i < 7 {
				break
			}
			d.expectSnapshot(name, false, false)
			if err = s.DropSnapshot(name); err == nil {
				d.expectSnapshot(name, true, false)
			}
		}
		if err == nil && i%9 == 0 {
			_, err = gc.New(s).Full(context.Background())
		}
		return err
	},
	"growth and collection": func(s *engine.Store, d *disk, i int) error {
		err := s.Update(func(tx *engine.Tx) error {
			if _, err := tx.Put(engine.RootID, value.String(fmt.Sprintf("big-%d", i%9)),
				value.Bytes(make([]byte, 100_000+i%5*60_000)), engine.PutOptions{}); err != nil {
				return err
			}
			return add(tx, "none")
		})
		if err == nil {
			err = step(s, "b", i)
		}
		if err == nil && i%3 == 0 {
			err = syncNow(s, d)
		}
		if err == nil && i%10 == 0 {
			_, err = gc.New(s).Full(context.Background())
		}
		return err
	},
}

// TestPowerCut cuts the power at random moments of several workloads.
func TestPowerCut(t *testing.T) {
	for name, work := range cutWorkloads {
		t.Run(name, func(t *testing.T) {
			for _, err := range powerCuts(t, *cutImages, 0, work) {
				t.Error(err)
			}
		})
	}
}

// TestPowerCutControls leaves out one or the other sync of the checkpoints:
// the tester must notice.
func TestPowerCutControls(t *testing.T) {
	for broken := 1; broken <= 2; broken++ {
		failures := powerCuts(t, 10**cutImages, broken, cutWorkloads["writes"])
		require.NotEmpty(t, failures, "sync %d of a checkpoint is not needed, or the tester does not see it", broken)
		t.Logf("without sync %d: %v", broken, failures[0])
	}
}
