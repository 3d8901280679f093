package fsnode_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"pongofs/engine"
	"pongofs/engine/value"
)

var stepSeed = flag.Uint64("stepseed", 1, "seed of the random operations in mounts in step")

// stepLimit is how long a mount may need to take in what others have changed.
const stepLimit = 30 * time.Second

// mountStat returns a figure from .pongo/stats.
func mountStat(t testing.TB, dir, name string) uint64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, ".pongo/stats"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
			require.NoError(t, err)
			return n
		}
	}
	t.Fatalf("no %s in .pongo/stats", name)
	return 0
}

// inStep waits until mounts have told their kernels of all that was published.
func inStep(t testing.TB, store *engine.Store, dirs ...string) {
	t.Helper()
	seq := store.Changed()
	for _, dir := range dirs {
		for deadline := time.Now().Add(stepLimit); ; time.Sleep(time.Millisecond) {
			if mountStat(t, dir, "mount_followed_sequence") >= seq && mountStat(t, dir, "mount_notifications_pending") == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s has not followed to %d in %v", dir, seq, stepLimit)
			}
		}
	}
}

// openStore opens a store beside its mounts, as a Go program does.
func openStore(t testing.TB, path string) *engine.Store {
	t.Helper()
	store, err := engine.Open(path, engine.Options{AnyFS: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// look describes all that stat, readlink and read tell of a path.
func look(path string, content bool) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err.Error()
	}
	s := fmt.Sprintf("ino %d mode %o nlink %d uid %d size %d mtime %d.%09d ctime %d.%09d",
		st.Ino, st.Mode, st.Nlink, st.Uid, st.Size, st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec, st.Ctim.Nsec)
	if !content {
		return s
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		to, err := os.Readlink(path)
		s += fmt.Sprintf(" -> %q %v", to, err)
	case unix.S_IFREG:
		b, err := os.ReadFile(path)
		s += fmt.Sprintf(" %d bytes %.40q %v", len(b), b, err)
	case unix.S_IFDIR:
		all, err := os.ReadDir(path)
		var names []string
		for _, e := range all {
			names = append(names, e.Name()+":"+e.Type().String())
		}
		s += fmt.Sprintf(" %q %v", names, err)
	}
	return s
}

// stepNames are the names in each directory of the random tree; some are those
// of list elements.
var stepNames = []string{"0", "1", "a", "b", "c", "d"}

// stepPaths are all paths that random operations use.
func stepPaths() (all []string) {
	dirs := []string{"."}
	for range 3 {
		var next []string
		for _, d := range dirs {
			for _, n := range stepNames {
				next = append(next, filepath.Join(d, n))
			}
		}
		all, dirs = append(all, next...), next
	}
	return all
}

// pageBytes is the length of the files that are mapped in the test.
const pageBytes = 3 << 12

func pageText(r *rand.Rand) []byte {
	return bytes.Repeat([]byte{byte('a' + r.IntN(26))}, pageBytes)
}

// stepThroughMount does one random operation on a mount, many of which fail.
func stepThroughMount(r *rand.Rand, dir string, paths []string) {
	path := func() string { return filepath.Join(dir, paths[r.IntN(len(paths))]) }
	text := func() []byte { return bytes.Repeat([]byte("x"), r.IntN(100)) }
	switch r.IntN(22) {
	case 0, 1, 2:
		_ = os.WriteFile(path(), text(), 0o644)
	case 3, 4:
		_ = os.Mkdir(path(), 0o755)
	case 5:
		_ = os.Remove(path())
	case 6, 7:
		_ = os.Rename(path(), path())
	case 8:
		_ = unix.Renameat2(unix.AT_FDCWD, path(), unix.AT_FDCWD, path(), unix.RENAME_EXCHANGE)
	case 9:
		_ = os.Chmod(path(), fs.FileMode(0o600+r.IntN(64)))
	case 10:
		_ = os.Chtimes(path(), time.Time{}, time.Unix(r.Int64N(1e9), 0))
	case 11:
		_ = os.Truncate(path(), r.Int64N(200))
	case 12:
		_ = os.Symlink("to"+strconv.Itoa(r.IntN(9)), path())
	case 13:
		kind := []string{"list", "dict", "collection"}[r.IntN(3)]
		_ = unix.Setxattr(path(), "user.pongo.type", []byte(kind), 0)
	case 14:
		if f, err := os.OpenFile(path(), os.O_WRONLY|os.O_APPEND, 0); err == nil {
			_, _ = f.Write(text())
			f.Close()
		}
	case 15:
		if f, err := os.OpenFile(filepath.Join(dir, "maps", strconv.Itoa(r.IntN(3))), os.O_WRONLY, 0); err == nil {
			_, _ = f.WriteAt(pageText(r), 0)
			f.Close()
		}
	case 16:
		_, _ = os.ReadDir(path())
	default:
		look(path(), r.IntN(3) == 0)
	}
}

// stepThroughStore does a few random changes in one update.
func stepThroughStore(t *testing.T, r *rand.Rand, store *engine.Store) {
	err := store.Update(func(tx *engine.Tx) error {
		dirs := []engine.ID{engine.RootID}
		for i := 0; i < len(dirs); i++ {
			err := tx.Scan(dirs[i], value.Value{}, false, func(e engine.Entry) bool {
				if e.IsContainer() && e.Key != value.String("maps") {
					dirs = append(dirs, e.ID)
				}
				return true
			})
			if err != nil {
				return err
			}
		}
		dir := func() engine.ID { return dirs[r.IntN(len(dirs))] }
		key := func() value.Value { return value.String(stepNames[2+r.IntN(4)]) }
		attr := engine.NewAttr{Mode: 0o644}
		for range 1 + r.IntN(4) {
			switch r.IntN(9) {
			case 0, 1:
				_, _ = tx.Put(dir(), key(), value.String(strings.Repeat("y", r.IntN(100))), engine.PutOptions{New: attr})
			case 2:
				_, _ = tx.Make(dir(), key(), value.KindDict, engine.NewAttr{Mode: 0o755})
			case 3:
				_ = tx.RemoveAll(dir(), key())
			case 4, 5:
				_ = tx.Rename(dir(), key(), dir(), key(), engine.RenameOptions{})
			case 6:
				_ = tx.Rename(dir(), key(), dir(), key(), engine.RenameOptions{Exchange: true})
			case 7:
				mode := uint32(0o600 + r.IntN(64))
				_, _ = tx.SetAttr(dir(), key(), engine.AttrChange{Mode: &mode})
			case 8:
				m, err := tx.Lookup(engine.RootID, value.String("maps"))
				if err != nil {
					return err
				}
				k := value.String(strconv.Itoa(r.IntN(3)))
				if _, err := tx.PutImage(m.ID, k, value.KindString, pageText(r), engine.PutOptions{NoEOL: true}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// mapFile maps a file of a mount for reading.
func mapFile(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, pageBytes, unix.PROT_READ, unix.MAP_SHARED)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(b)) })
	return b
}

// TestMountsInStep changes one tree at random through two mounts and a Go
// program at once, stops, and compares what the caches of both mounts show with
// a mount that caches nothing: every name that there could be, its attributes and
// content, and mapped files.
//
// One of the mounts answers late, so that many of its replies are from versions
// that it has followed past: for them, see follower.
func TestMountsInStep(t *testing.T) {
	rounds := 12
	if n, err := strconv.Atoi(os.Getenv("PONGOFS_STEP_ROUNDS")); err == nil {
		rounds = n
	}
	path := newStore(t)
	a, b := mountStore(t, path, ""), mountStore(t, path, "slow")
	bare := mountStore(t, path, "strict")
	store := openStore(t, path)
	t.Logf("seed %d, %d rounds", *stepSeed, rounds)
	require.NoError(t, os.Mkdir(filepath.Join(a, "maps"), 0o755))
	seed := rand.New(rand.NewPCG(*stepSeed, 0))
	for i := range 3 {
		require.NoError(t, os.WriteFile(filepath.Join(a, "maps", strconv.Itoa(i)), pageText(seed), 0o644))
	}
	inStep(t, store, a, b)
	maps := map[string][]byte{}
	for _, dir := range []string{a, b} {
		for i := range 3 {
			p := filepath.Join(dir, "maps", strconv.Itoa(i))
			maps[p] = mapFile(t, p)
		}
	}
	paths := stepPaths()
	start := time.Now()
	for round := range rounds {
		var work sync.WaitGroup
		until := time.Now().Add(150 * time.Millisecond)
		for i, dir := range []string{a, a, b, b} {
			r := rand.New(rand.NewPCG(*stepSeed, uint64(round*8+i+1)))
			work.Go(func() {
				for time.Now().Before(until) {
					stepThroughMount(r, dir, paths)
				}
			})
		}
		r := rand.New(rand.NewPCG(*stepSeed, uint64(round*8+7)))
		work.Go(func() {
			for time.Now().Before(until) {
				stepThroughStore(t, r, store)
				time.Sleep(time.Duration(r.IntN(2000)) * time.Microsecond)
			}
		})
		work.Go(func() { // touches the pages, so that there are some to go stale
			for time.Now().Before(until) {
				for _, m := range maps {
					_ = m[0] + m[pageBytes-1]
				}
				time.Sleep(100 * time.Microsecond)
			}
		})
		work.Wait()
		inStep(t, store, a, b)
		stale := 0
		compare := func(path string, content bool) {
			want := look(filepath.Join(bare, path), content)
			for _, dir := range []string{a, b} {
				if got := look(filepath.Join(dir, path), content); got != want && stale < 10 {
					stale++
					t.Errorf("round %d: %s:\ngot  %s\nwant %s", round, filepath.Join(dir, path), got, want)
				}
			}
		}
		// Attributes first: to list a directory tells the kernel those of its files.
		for _, p := range paths {
			compare(p, false)
		}
		for _, p := range append([]string{"."}, paths...) {
			compare(p, true)
		}
		for p, m := range maps {
			want, err := os.ReadFile(filepath.Join(bare, "maps", filepath.Base(p)))
			require.NoError(t, err)
			if !bytes.Equal(m, want) {
				t.Errorf("round %d: %s: mapped %.3q..%.3q, want %.3q", round, p, m, m[pageBytes-3:], want)
			}
		}
		compareWithStore(t, store, bare)
		if t.Failed() {
			return
		}
		if round%20 == 19 {
			t.Logf("round %d after %v", round, time.Since(start))
		}
	}
	for _, dir := range []string{a, b} {
		for _, name := range []string{"mount_lookups", "mount_getattrs", "mount_follow_rounds", "mount_follow_rounds_full", "mount_notified_names", "mount_notified_attributes", "mount_notified_pages"} {
			t.Logf("%s %s %d", filepath.Base(dir), name, mountStat(t, dir, name))
		}
	}
}

// compareWithStore compares the names and ids of a mount with those in the store.
func compareWithStore(t *testing.T, store *engine.Store, dir string) {
	t.Helper()
	want, got := map[string]uint64{}, map[string]uint64{}
	require.NoError(t, store.View(func(tx *engine.Tx) error {
		var walk func(id engine.ID, path string) error
		walk = func(id engine.ID, path string) error {
			var failed error
			err := tx.Scan(id, value.Value{}, false, func(e engine.Entry) bool {
				name := e.Key.AsString()
				if e.Key.Kind() == value.KindInt {
					name = strconv.FormatInt(e.Key.AsInt(), 10)
				}
				p := path + "/" + name
				want[p] = uint64(e.ID)
				if e.IsContainer() {
					failed = walk(e.ID, p)
				}
				return failed == nil
			})
			return errors.Join(err, failed)
		}
		return walk(engine.RootID, "")
	}))
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir || e.Name() == ".pongo-types" {
			return err
		}
		info, err := e.Info()
		if err == nil {
			got[strings.TrimPrefix(path, dir)] = info.Sys().(*syscall.Stat_t).Ino
		}
		return err
	}))
	require.Equal(t, want, got)
}
