package engine_test

import (
	"context"
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
	"pongofs/engine/enginetest"
	"pongofs/engine/mapping"
	"pongofs/engine/value"
	"pongofs/gc"
)

// snapDisk is what a power cut would leave: the image at the last completed sync,
// and any of the sectors changed since.
type snapDisk struct {
	path string
	mu   sync.Mutex
	base []byte // content at the last sync
	// snaps says of snapshots whether they must be there (true) or must not; of
	// one that is being taken or dropped it says nothing.
	snaps map[string]bool
}

// hooks records the image at each sync. What a sync makes durable is what was
// stored before it began.
func (d *snapDisk) hooks() *mapping.Hooks {
	return &mapping.Hooks{Sync: func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		b, err := os.ReadFile(d.path)
		d.base = b
		return err
	}}
}

// begun reports whether there has been a sync.
func (d *snapDisk) begun() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.base != nil
}

// cut builds an image as a power cut at this moment may leave it, with
// what is known of snapshots.
func (d *snapDisk) cut(r *rand.Rand) (image []byte, snaps map[string]bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, err := os.ReadFile(d.path)
	if err != nil {
		return nil, nil, err
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
	return image, maps.Clone(d.snaps), nil
}

// expectSnapshot notes what is known of a snapshot; nothing when known is false.
func (d *snapDisk) expectSnapshot(name string, known, there bool) {
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

// snapCounts demands a state that existed, and returns its total.
func snapCounts(tx *engine.Tx) (int64, error) {
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
			total, err := snapCounts(tx)
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

// checkSnapCut opens an image and demands a state that existed, with the
// snapshots that were acknowledged.
func checkSnapCut(dir string, image []byte, snaps map[string]bool) error {
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
		_, err := snapCounts(tx)
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

// snapCuts runs a workload and cuts the power n times while it runs. It
// returns the failures.
func snapCuts(t *testing.T, n int, work func(s *engine.Store, d *snapDisk, i int) error) (failures []error) {
	t.Helper()
	seed := enginetest.Seed(t)
	r := rand.New(rand.NewPCG(seed, 77))
	path := newStorePath(t)
	d := &snapDisk{path: path}
	var hookMu sync.Mutex
	cuts := 0
	const limit = 20
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
		image, snaps, err := d.cut(r)
		if err == nil {
			err = checkSnapCut(dir, image, snaps)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("cut %d (seed %d) at %s: %w", cuts, seed, point, err))
		}
	}
	s, err := engine.Open(path, engine.Options{Commit: -1, Hook: hook, MapHooks: d.hooks(), Collect: collect})
	require.NoError(t, err)
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
	require.NoError(t, s.Close())
	return failures
}

// takeAndDrop changes the store and takes or drops a snapshot now and then.
func takeAndDrop(s *engine.Store, d *snapDisk, i int) error {
	if err := step(s, "a", i); err != nil {
		return err
	}
	var err error
	switch i % 4 {
	case 1:
		name := fmt.Sprint("at-", i)
		d.expectSnapshot(name, false, false)
		if _, err = s.Snapshot(context.Background(), name); err == nil {
			d.expectSnapshot(name, true, true)
		}
	case 3:
		// The one before last, so that there are always one or two.
		name := fmt.Sprint("at-", i-6)
		if i < 7 {
			break
		}
		d.expectSnapshot(name, false, false)
		if err = s.DropSnapshot(context.Background(), name); err == nil {
			d.expectSnapshot(name, true, false)
		}
	}
	if err == nil && i%9 == 0 {
		_, err = gc.New(s).Full(context.Background())
	}
	return err
}

// TestPowerCutSnapshots cuts the power at random moments while snapshots are
// taken and dropped.
func TestPowerCutSnapshots(t *testing.T) {
	for _, err := range snapCuts(t, 10*enginetest.Crashes(t), takeAndDrop) {
		t.Error(err)
	}
}
