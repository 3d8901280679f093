package fsnode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// soon is within what time a change must be seen in a test. What is measured is
// some milliseconds; a machine may be slow, and what is stale stays so for an
// hour.
const soon = 30 * time.Second

// sees waits until a condition holds, and returns how long that took.
func sees(t testing.TB, what string, cond func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !cond() {
		if time.Since(start) > soon {
			t.Fatalf("not seen in %v: %s", soon, what)
		}
		time.Sleep(100 * time.Microsecond)
	}
	return time.Since(start)
}

func sizeOf(path string) int64 {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return -1
	}
	return st.Size
}

func edit(t testing.TB, store *engine.Store, fn func(tx *engine.Tx) error) {
	t.Helper()
	require.NoError(t, store.Update(fn))
}

func putText(tx *engine.Tx, dir engine.ID, key string, size int) error {
	_, err := tx.PutImage(dir, value.String(key), value.KindString, bytes.Repeat([]byte("x"), size),
		engine.PutOptions{NoEOL: true, New: engine.NewAttr{Mode: 0o644}})
	return err
}

// dirID returns the id of a directory of a mount.
func dirID(t testing.TB, path string) engine.ID {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Lstat(path, &st))
	return engine.ID(st.Ino)
}

// report logs the median and the worst of some durations.
func report(t testing.TB, what string, all []time.Duration) {
	slices.Sort(all)
	t.Logf("%s: median %v, worst %v of %d", what, all[len(all)/2], all[len(all)-1], len(all))
}

// TestChangesAreSeen changes a file through a mount, and through a Go program,
// and measures how long another mount believes what it has cached.
func TestChangesAreSeen(t *testing.T) {
	path := newStore(t)
	a, b := mountStore(t, path, ""), mountStore(t, path, "")
	store := openStore(t, path)
	require.NoError(t, os.WriteFile(filepath.Join(a, "f"), nil, 0o644))
	sees(t, "the file", func() bool { return sizeOf(filepath.Join(b, "f")) == 0 })
	const n = 150
	var fromMount, fromProgram, names []time.Duration
	for i := 1; i <= n; i++ {
		require.NoError(t, os.WriteFile(filepath.Join(a, "f"), bytes.Repeat([]byte("x"), i), 0o644))
		fromMount = append(fromMount, sees(t, "a size", func() bool { return sizeOf(filepath.Join(b, "f")) == int64(i) }))
		edit(t, store, func(tx *engine.Tx) error { return putText(tx, engine.RootID, "f", n+i) })
		for _, dir := range []string{a, b} {
			fromProgram = append(fromProgram, sees(t, "a size", func() bool { return sizeOf(filepath.Join(dir, "f")) == int64(n+i) }))
		}
		name := filepath.Join(b, "new")
		require.Equal(t, int64(-1), sizeOf(name))
		require.NoError(t, os.Mkdir(filepath.Join(a, "new"), 0o755))
		names = append(names, sees(t, "a name", func() bool { return sizeOf(name) >= 0 }))
		require.NoError(t, os.Remove(filepath.Join(a, "new")))
		names = append(names, sees(t, "that a name is gone", func() bool { return sizeOf(name) < 0 }))
	}
	report(t, "a size changed through another mount", fromMount)
	report(t, "a size changed by a Go program", fromProgram)
	report(t, "a name made and removed through another mount", names)
}

// requireOvertaking demands a kernel with which a mount may keep nothing: Linux
// 6.19 to 7.1.
func requireOvertaking(t *testing.T) {
	t.Helper()
	var u unix.Utsname
	require.NoError(t, unix.Uname(&u))
	require.Regexp(t, `^(6\.(19|[2-9][0-9])|7\.[01])\b`, unix.ByteSliceToString(u.Release[:]))
}

// TestCachedStatCostsNoRequest: the kernel answers for what it has been told.
func TestCachedStatCostsNoRequest(t *testing.T) {
	path := newStore(t)
	store := openStore(t, path)
	for flags, cached := range map[string]bool{"": true, "strict": false} {
		t.Run("options "+flags, func(t *testing.T) {
			dir := mountStore(t, path, flags)
			if cached && mountStat(t, dir, "mount_caches") == 0 {
				requireOvertaking(t)
				cached = false
			}
			file := filepath.Join(dir, "d", "f")
			if err := os.Mkdir(filepath.Dir(file), 0o755); !errors.Is(err, fs.ErrExist) {
				require.NoError(t, err)
			}
			require.NoError(t, os.WriteFile(file, []byte("x"), 0o644))
			if cached {
				inStep(t, store, dir)
			}
			require.Equal(t, int64(1), sizeOf(file))
			requests := func() uint64 { return mountStat(t, dir, "mount_lookups") + mountStat(t, dir, "mount_getattrs") }
			before := requests()
			between := requests() - before // what it costs to ask
			before = requests()
			const n = 1000
			for range n {
				require.Equal(t, int64(1), sizeOf(file))
			}
			got := requests() - before - between
			if cached && got != 0 || !cached && got < n {
				t.Errorf("%d stats cost %d requests", n, got)
			}
		})
	}
}

// killEnv makes a process publish a change and die before it wakes anybody: it
// holds the path of the store and the size of the file to put.
const killEnv = "PONGOFS_TEST_PUBLISH_AND_DIE"

func publishAndDie(spec string) error {
	path, size, _ := strings.Cut(spec, "\n")
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	store, err := engine.Open(path, engine.Options{AnyFS: true, Hook: func(point string) {
		// The root word is swapped; neither the hint of the sequence nor the
		// word that waiters sleep on has changed.
		if point == "publish.after-swap" {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	if err != nil {
		return err
	}
	return store.Update(func(tx *engine.Tx) error { return putText(tx, engine.RootID, "f", n) })
}

// TestKilledWriterLosesNoEvent: a writer that is killed between its publish and
// the wake-up has published, and the mounts see it.
func TestKilledWriterLosesNoEvent(t *testing.T) {
	path := newStore(t)
	a, b := mountStore(t, path, ""), mountStore(t, path, "")
	require.NoError(t, os.WriteFile(filepath.Join(a, "f"), []byte("x"), 0o644))
	sees(t, "the file", func() bool { return sizeOf(filepath.Join(b, "f")) == 1 })
	exe, err := os.Executable()
	require.NoError(t, err)
	var took []time.Duration
	for i := 2; i < 12; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		cmd := exec.CommandContext(ctx, exe)
		cmd.Env = append(os.Environ(), killEnv+"="+path+"\n"+strconv.Itoa(i))
		out, err := cmd.CombinedOutput()
		cancel()
		var exit *exec.ExitError
		require.True(t, errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL, "%v: %s", err, out)
		for _, dir := range []string{a, b} {
			took = append(took, sees(t, fmt.Sprintf("size %d", i), func() bool { return sizeOf(filepath.Join(dir, "f")) == int64(i) }))
		}
	}
	report(t, "a change of a killed writer, from its end on", took)
}

// TestManyChangesAtOnce changes 10 000 files that a mount knows in one publish, and
// measures requests of others meanwhile.
func TestManyChangesAtOnce(t *testing.T) {
	const n = 10_000
	path := newStore(t)
	dir := mountStore(t, path, "")
	store := openStore(t, path)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other"), []byte("other"), 0o644))
	d := dirID(t, filepath.Join(dir, "d"))
	key := func(i int) string { return fmt.Sprintf("f%05d", i) }
	all := func(fn func(tx *engine.Tx, i int) error) {
		edit(t, store, func(tx *engine.Tx) error {
			for i := range n {
				if err := fn(tx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	check := func(size int64) {
		t.Helper()
		for i := range n {
			if got := sizeOf(filepath.Join(dir, "d", key(i))); got != size {
				t.Fatalf("%s: size %d, want %d", key(i), got, size)
			}
		}
	}
	all(func(tx *engine.Tx, i int) error { return putText(tx, d, key(i), 1) })
	inStep(t, store, dir)
	check(1)

	// Each request in the root, in the directory that changes, and of its files.
	stop := make(chan struct{})
	var readers sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	for w := range 2 {
		readers.Go(func() {
			var mine []time.Duration
			for i := w; ; i += 7 {
				select {
				case <-stop:
					mu.Lock()
					took = append(took, mine...)
					mu.Unlock()
					return
				default:
				}
				start := time.Now()
				if text, err := os.ReadFile(filepath.Join(dir, "other")); err != nil || string(text) != "other" {
					t.Errorf("other: %q, %v", text, err)
				}
				sizeOf(filepath.Join(dir, "d", key(i%n)))
				sizeOf(filepath.Join(dir, "d", "none"))
				mine = append(mine, time.Since(start))
			}
		})
	}
	for size := 2; size < 5; size++ {
		all(func(tx *engine.Tx, i int) error { return putText(tx, d, key(i), size) })
		start := time.Now()
		inStep(t, store, dir)
		t.Logf("%d changed files: in step after %v", n, time.Since(start))
	}
	all(func(tx *engine.Tx, i int) error { return tx.Remove(d, value.String(key(i))) })
	start := time.Now()
	inStep(t, store, dir)
	t.Logf("%d removed files: in step after %v", n, time.Since(start))
	close(stop)
	readers.Wait()
	check(-1)
	report(t, "a read and two stats meanwhile", took)
	if worst := took[len(took)-1]; worst > soon {
		t.Errorf("a read and two stats took %v", worst)
	}
}

// TestOpenFileFollowsMove: a file that others move to another directory stays the
// same for those who have it open, however soon they use it.
func TestOpenFileFollowsMove(t *testing.T) {
	path := newStore(t)
	a, b := mountStore(t, path, ""), mountStore(t, path, "")
	store := openStore(t, path)
	require.NoError(t, os.MkdirAll(filepath.Join(a, "from/deep"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(a, "to"), 0o755))
	for i := range 40 {
		from, to := fmt.Sprintf("from/deep/f%d", i), fmt.Sprintf("to/g%d", i)
		require.NoError(t, os.WriteFile(filepath.Join(a, from), []byte("one"), 0o644))
		f, err := os.OpenFile(filepath.Join(a, from), os.O_RDWR|os.O_APPEND, 0)
		require.NoError(t, err)
		if i%2 == 0 {
			require.NoError(t, os.Rename(filepath.Join(b, from), filepath.Join(b, to)))
		} else {
			fromID, toID := dirID(t, filepath.Join(b, "from/deep")), dirID(t, filepath.Join(b, "to"))
			edit(t, store, func(tx *engine.Tx) error {
				return tx.Rename(fromID, value.String(filepath.Base(from)), toID, value.String(filepath.Base(to)), engine.RenameOptions{})
			})
		}
		if i%4 < 2 {
			inStep(t, store, a)
		}
		_, err = f.WriteString(" two")
		require.NoError(t, err)
		text := make([]byte, 20)
		n, err := f.ReadAt(text, 0)
		require.Equal(t, "one two", string(text[:n]), "%v", err)
		var st unix.Stat_t
		require.NoError(t, unix.Fstat(int(f.Fd()), &st))
		require.Equal(t, [2]uint64{7, 1}, [2]uint64{uint64(st.Size), uint64(st.Nlink)})
		require.NoError(t, f.Close())
		for _, dir := range []string{a, b} {
			sees(t, "what was written", func() bool {
				text, _ := os.ReadFile(filepath.Join(dir, to))
				return string(text) == "one two"
			})
			sees(t, "the move", func() bool { return sizeOf(filepath.Join(dir, from)) < 0 })
		}
	}
}

// TestForeignDirectories: directories that others move, remove, convert or put
// in the place of files.
func TestForeignDirectories(t *testing.T) {
	path := newStore(t)
	a, b := mountStore(t, path, ""), mountStore(t, path, "")
	store := openStore(t, path)
	type edit struct{ do, look, want string }
	for _, e := range []edit{
		{`mkdir -p d/e; echo 1 > d/e/f; echo 2 > x`, `cat d/e/f x`, "1\n2"},
		{`mv d/e e`, `cat e/f d/e/f 2>&1`, "1\ncat: d/e/f: No such file or directory"},
		{`mv e d; mv d y`, `cat y/e/f; ls`, "1\nx\ny"},
		{`mkdir d; mv y/e/f d/f; rm -r y`, `cat d/f; ls; stat -c %h . d; ls y 2>&1`, "1\nd\nx\n3\n2\nls: cannot access 'y': No such file or directory"},
		{`rm x; mkdir x; echo 3 > x/f`, `cat x/f; stat -c %F x`, "3\ndirectory"},
		{`rm -r x; ln -s d x`, `cat x/f; readlink x`, "1\nd"},
		{`rm x; echo 5 > x`, `cat x; stat -c %F x`, "5\nregular file"},
		{`mkdir l; setfattr -n user.pongo.type -v list l; for i in a b c; do echo $i > l/+; done`, `cat l/*; ls l/+ 2>&1`, "a\nb\nc\nls: cannot access 'l/+': No such file or directory"},
		{`rm l/1; setfattr -n user.pongo.type -v dict l; echo z > l/z`, `cat l/*; getfattr --only-values -n user.pongo.type l`, "a\nc\nz\ndict"},
		{`setfattr -n user.a -v 1 d/f; chmod 600 d/f; chown 3:4 d/f; touch -d 2001-02-03Z d/f`, `stat -c '%a %u %g %Y' d/f; getfattr --only-values -n user.a d/f`, "600 3 4 981158400\n1"},
		{`mkdir .pongo/snapshots/s`, `cat .pongo/snapshots/s/x`, "5"},
		{`echo 6 > x; rmdir .pongo/snapshots/s; mkdir .pongo/snapshots/s`, `cat .pongo/snapshots/s/x; ls .pongo/snapshots`, "6\ns"},
		{`rmdir .pongo/snapshots/s`, `ls .pongo/snapshots; ls .pongo/snapshots/s 2>&1`, "ls: cannot access '.pongo/snapshots/s': No such file or directory"},
		{`echo x > .pongo/meta/id`, `cat .pongo/meta/id`, "x"},
	} {
		for _, p := range [][2]string{{a, b}, {b, a}}[:1] {
			sh(t, p[0], e.do)
			inStep(t, store, a, b)
			for _, dir := range p {
				if got := strings.TrimSpace(sh(t, dir, e.look)); got != e.want {
					t.Errorf("%s, seen from %s:\ngot:\n%s\nwant:\n%s", e.do, dir, got, e.want)
				}
			}
		}
	}
	// A process that works in a directory that others move comes along.
	steps(t, b, []step{{`mkdir -p w/o; cd w/o; echo 1 > f; mv "` + a + `/w" "` + a + `/v"; while [ -e "` + b + `/w" ]; do sleep 0.01; done; cat f; ls "` + b + `/v/o"; echo 2 > g; cat "` + a + `/v/o/g"`, "1\nf\n2"}})
}
