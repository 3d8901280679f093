package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"pongofs/engine"
	"pongofs/engine/value"
)

// pairDirs is the number of directories whose files a and b are kept equal.
const pairDirs = 500

// copiers copy a directory to a new one as backups do.
var copiers = map[string]func(t *testing.T, from, to string){
	"rsync": func(t *testing.T, from, to string) { run(t, "rsync", "-a", from+"/", to+"/") },
	"cp":    func(t *testing.T, from, to string) { run(t, "cp", "-a", from+"/.", to) },
	"tar": func(t *testing.T, from, to string) {
		run(t, "tar", "-C", from, "-cf", to+".tar", ".")
		run(t, "tar", "-C", to, "-xf", to+".tar")
	},
}

// TestPairs has two writers keep the files a and b of each of 500 directories
// equal: a Go program by one Update, a shell by exchanging directories with a
// rename. Whatever is copied meanwhile from now or from a snapshot holds
// equal pairs only; a copy of the live tree does not.
func TestPairs(t *testing.T) {
	for name := range copiers {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("no %s", name)
		}
	}
	dir := newDir(t)
	path, m := newMount(t, dir)
	store, err := engine.Open(path, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	stop := startPairWriters(t, store, m.dir)

	// The control: the writers do make copies of the live tree unequal.
	seen := false
	for i := 0; i < 50 && !seen; i++ {
		to := newDir(t)
		_, _, _ = try("cp", "-a", filepath.Join(m.dir, "pairs")+"/.", to) // directories come and go
		_, unequal := pairsOf(t, to)
		seen = len(unequal) > 0
	}
	if !seen {
		t.Error("copies of the live tree have equal pairs, too: the test sees nothing")
	}

	for round := range 3 {
		var copies sync.WaitGroup
		// All at once, each with a version of its own.
		for name, copier := range copiers {
			copies.Go(func() {
				to := newDir(t)
				copier(t, filepath.Join(m.dir, ".pongo/snapshots/now/pairs"), to)
				checkPairs(t, name+" of now", to)
			})
		}
		copies.Go(func() { // a second rsync at the same time
			to := newDir(t)
			copiers["rsync"](t, filepath.Join(m.dir, ".pongo/snapshots/now/pairs"), to)
			checkPairs(t, "another rsync of now", to)
		})
		snapshot := filepath.Join(m.dir, ".pongo/snapshots", fmt.Sprintf("s%d", round))
		if err := os.Mkdir(snapshot, 0o755); err != nil {
			t.Fatal(err)
		}
		var first string
		for name, copier := range copiers {
			to := newDir(t)
			copier(t, filepath.Join(snapshot, "pairs"), to)
			checkPairs(t, name+" of a snapshot", to)
			if first != "" {
				run(t, "diff", "-r", first, to)
			}
			first = to
		}
		copies.Wait()
		if err := os.Remove(snapshot); err != nil {
			t.Error(err)
		}
	}
	stop()
	if t.Failed() {
		return
	}
	if _, err := store.Internals().Verify(); err != nil {
		t.Error(err)
	}
}

// startPairWriters fills a store and starts the writers. The function that it
// returns ends them.
func startPairWriters(t *testing.T, store *engine.Store, mnt string) (stop func()) {
	t.Helper()
	pairs := makeDict(t, store, "pairs")
	makeDict(t, store, "work")
	set := func(tx *engine.Tx, name string, n int) error {
		e, err := tx.Lookup(pairs, value.String(name))
		if errors.Is(err, engine.ErrNotFound) {
			return nil // the shell is exchanging it
		}
		if err != nil {
			return err
		}
		for _, file := range []string{"a", "b"} {
			if _, err := tx.Put(e.ID, value.String(file), value.Int(int64(n)), engine.PutOptions{}); err != nil {
				return err
			}
		}
		return nil
	}
	err := store.Update(func(tx *engine.Tx) error {
		for i := range pairDirs {
			name := fmt.Sprintf("p%03d", i)
			if _, err := tx.Make(pairs, value.String(name), value.KindDict, engine.NewAttr{Mode: 0o755}); err != nil {
				return err
			}
			if err := set(tx, name, i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	ended := make(chan struct{})
	var writers sync.WaitGroup
	writers.Go(func() {
		r := rand.New(rand.NewPCG(1, 2))
		for n := pairDirs; ; n++ {
			select {
			case <-ended:
				return
			default:
			}
			err := store.Update(func(tx *engine.Tx) error { return set(tx, fmt.Sprintf("p%03d", r.IntN(pairDirs)), n) })
			if err != nil {
				t.Errorf("update: %v", err)
				return
			}
		}
	})
	enough := filepath.Join(newDir(t), "enough")
	shell := shellLoop(t, `
		cd "$1"
		i=0
		until [ -e "$2" ]; do
			i=$((i + 1))
			d=$(printf p%03d $((i * 7 % $3)))
			mkdir work/new
			echo shell$i > work/new/a
			echo shell$i > work/new/b
			mv -T pairs/$d work/old
			mv -T work/new pairs/$d
			rm -rf work/old
		done`, mnt, enough, fmt.Sprint(pairDirs))
	writers.Go(func() {
		if output, err := shell.CombinedOutput(); err != nil {
			t.Errorf("shell: %v: %s", err, tail(string(output)))
		}
	})
	var once sync.Once
	stop = func() {
		once.Do(func() {
			close(ended)
			if err := os.WriteFile(enough, nil, 0o644); err != nil {
				t.Error(err)
			}
			writers.Wait()
		})
	}
	t.Cleanup(stop)
	return stop
}

// pairsOf reads a copy and returns how many directories it has, and which of
// them do not hold two equal files.
func pairsOf(t *testing.T, dir string) (n int, unequal []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		a, errA := os.ReadFile(filepath.Join(dir, e.Name(), "a"))
		b, errB := os.ReadFile(filepath.Join(dir, e.Name(), "b"))
		if err := errors.Join(errA, errB); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		n++
		if errA != nil || errB != nil || string(a) != string(b) {
			unequal = append(unequal, fmt.Sprintf("%s: %q %q", e.Name(), a, b))
		}
	}
	return n, unequal
}

// checkPairs demands a copy of one version: at most the directory that the shell
// is exchanging is missing.
func checkPairs(t *testing.T, what, dir string) {
	t.Helper()
	n, unequal := pairsOf(t, dir)
	if len(unequal) > 0 || n < pairDirs-1 {
		t.Errorf("%s: %d of %d directories, unequal: %.5q", what, n, pairDirs, unequal)
	}
}
