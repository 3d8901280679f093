package fsnode_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
)

func TestSnapshotDirectories(t *testing.T) {
	dir := newMount(t)
	steps(t, dir, []step{
		{`echo 1 > a; mkdir -p d/e; echo 2 > d/e/b; ln -s a l; mkdir list; setfattr -n user.pongo.type -v list list
		  echo x > list/+; setfattr -n user.note -v hi a; setfattr -n user.pongo.type -v string d/e/b
		  mkdir .pongo/snapshots/one; ls -a .pongo/snapshots`, ".\n..\none"},
		{`echo 99 > a; rm -rf d l; rm list/0; cd .pongo/snapshots/one; ls -R .`, ".:\na\nd\nl\nlist\n\n./d:\ne\n\n./d/e:\nb\n\n./list:\n0"},
		{`cd .pongo/snapshots/one; cat a d/e/b list/0; readlink l; stat -c '%F %s' a l d`, "1\n2\nx\na\nregular file 2\nsymbolic link 1\ndirectory 1"},
		{`cd .pongo/snapshots/one; cat d/e/.pongo-types list/.pongo-types; ls -A list`, "{\"name\":\"b\",\"type\":\"string\"}\n{\"name\":\".\",\"type\":\"list\"}\n.pongo-types\n0"},
		{`cd .pongo/snapshots/one; getfattr --only-values -n user.note a; echo; getfattr --only-values -n user.pongo.type list; echo`, "hi\nlist"},
		{`cat a; ls; ls -A`, "99\na\nlist\na\nlist"},
		{`cd .pongo/snapshots/one/d/e; cat ../../a; cd ../..; stat -c %i .. ; ls -id ../../snapshots | cut -d' ' -f1`, "1\n9007199254742016\n9007199254742016"},
		{`mkdir .pongo/snapshots/one; mkdir .pongo/snapshots/now; mkdir .pongo/snapshots/a@b; rmdir .pongo/snapshots/none; rmdir .pongo/snapshots/now
		  rm -r .pongo/snapshots/one 2>&1 | grep -c Read-only >/dev/null && echo read-only; mv .pongo/snapshots/one .pongo/snapshots/two; touch .pongo/snapshots/file`, `mkdir: cannot create directory '.pongo/snapshots/one': File exists
mkdir: cannot create directory '.pongo/snapshots/now': File exists
mkdir: cannot create directory '.pongo/snapshots/a@b': Invalid argument
rmdir: failed to remove '.pongo/snapshots/none': No such file or directory
rmdir: failed to remove '.pongo/snapshots/now': Operation not permitted
read-only
mv: cannot move '.pongo/snapshots/one' to '.pongo/snapshots/two': Operation not permitted
touch: cannot touch '.pongo/snapshots/file': Operation not permitted`},
		{`rmdir .pongo/snapshots/one; ls .pongo/snapshots; cat .pongo/snapshots/one/a`, "cat: .pongo/snapshots/one/a: No such file or directory"},
	})
}

// TestSnapshotIsReadOnly: every change in a snapshot, and in now, is EROFS.
func TestSnapshotIsReadOnly(t *testing.T) {
	dir := newMount(t)
	sh(t, dir, `echo 1 > a; mkdir -p d/e; echo 2 > d/b; mkdir list; setfattr -n user.pongo.type -v list list; echo x > list/+
		setfattr -n user.pongo.type -v string d/b; mkdir .pongo/snapshots/one`)
	for _, version := range []string{"one", "now"} {
		for _, change := range []string{
			`echo x > a`, `echo x >> a`, `: > a`, `truncate -s 0 a`, `truncate -s 9 a`, `touch a`, `touch new`, `chmod 600 a`, `chown 1 a`,
			`rm a`, `mkdir new`, `rmdir d/e`, `mv a c`, `mv a d/b`, `ln a c`, `ln -s a c`, `mknod new p`, `cp /etc/passwd a`,
			`setfattr -n user.x -v 1 a`, `setfattr -x user.pongo.type d/b`, `setfattr -n user.pongo.type -v dict list`,
			`echo x > list/+`, `rm list/0`, `rm d/.pongo-types`, `echo x > d/.pongo-types`, `touch d/.pongo-types`, `chmod 600 d/.pongo-types`,
			`mv a d/.pongo-types`, `chmod 700 .`, `dd if=/dev/zero of=a conv=notrunc count=1`, `mv ../../../a x`, `mv a ../../../x`,
		} {
			got := sh(t, filepath.Join(dir, ".pongo", "snapshots", version), change)
			if !strings.Contains(got, "Read-only file system") {
				t.Errorf("%s: %s: %q", version, change, got)
			}
		}
	}
	steps(t, dir, []step{{`cat a; ls; cat .pongo/snapshots/one/a; cat .pongo/snapshots/one/list/0`, "1\na\nd\nlist\n1\nx"}})
}

// TestSnapshotNumbersAreStable: numbers and times of a snapshot are the same
// after another mount, and no file of the newest version has them.
func TestSnapshotNumbersAreStable(t *testing.T) {
	path := newStore(t)
	const show = `find .pongo/snapshots/one -printf '%P %i %T@ %C@ %m %s\n' | sort`
	var first string
	t.Run("first mount", func(t *testing.T) {
		dir := mountStore(t, path, "")
		first = sh(t, dir, `mkdir d; echo 1 > d/a; echo 2 > b; chmod 600 b; mkdir .pongo/snapshots/one; sleep 0.05; rm b; echo 3 > d/a; `+show)
		require.Equal(t, 4, strings.Count(first, "\n"), first)
		live := strings.Fields(sh(t, dir, `find . -printf '%i\n'`))
		for _, ino := range live {
			require.NotContains(t, first, " "+ino+" ")
		}
	})
	t.Run("second mount", func(t *testing.T) {
		require.Equal(t, first, sh(t, mountStore(t, path, ""), `mkdir .pongo/snapshots/two; `+show))
	})
}

// TestDroppedSnapshotStaysOpen: an open file of a snapshot outlives it.
func TestDroppedSnapshotStaysOpen(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	sh(t, dir, `head -c 3000000 /dev/urandom > big; mkdir .pongo/snapshots/one`)
	want := sh(t, dir, `sha1sum < .pongo/snapshots/one/big`)
	got := sh(t, dir, `exec 3< .pongo/snapshots/one/big; rm big; rmdir .pongo/snapshots/one; mkdir .pongo/snapshots/one; sha1sum <&3`)
	require.Equal(t, want, got)
	require.NotContains(t, sh(t, dir, `cat .pongo/pins`), "in snapshot", "a dropped snapshot is let go with its last file")
}

// TestNowIsOnePerProcess: each process has a version of its own, the same
// however often it looks; children have the one of their working directory.
func TestNowIsOnePerProcess(t *testing.T) {
	dir := newMount(t)
	steps(t, dir, []step{
		// The shell's own redirections: one process.
		{`echo 1 > a; read x < .pongo/snapshots/now/a; echo 2 > a; read y < .pongo/snapshots/now/a; echo $x $y; cat .pongo/snapshots/now/a; true`, "1 1\n2"},
		// A program that is started in it shares it, also when it goes by the path.
		{
			`echo 1 > a; cd .pongo/snapshots/now; echo 2 > ../../../a; cat a
		  bash -c 'cat a; cat < a; pwd -P | sed s,.*/,,; cat "$PWD/a"; true'; (cat a); echo 3 > ../../../a; cat "$OLDPWD/a" a`,
			"1\n1\n1\nnow\n1\n1\n3\n1",
		},
		{`ls .pongo/snapshots; ls -a .pongo/snapshots/now`, ".\n..\na"},
	})
}

// TestNowEnds: a version is let go when its process has ended and ten seconds
// have passed, and not while a file in it is open.
func TestNowEnds(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	sh(t, dir, `echo 1 > a`)
	held := func() int { return strings.Count(sh(t, dir, `cat .pongo/pins`), "now of process") }
	// A process that lives, one whose file another has inherited, one that is gone.
	lives := exec.Command("bash", "-c", `read x < .pongo/snapshots/now/a; echo ready; exec sleep 600`)
	lives.Dir = dir
	out, err := lives.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, lives.Start())
	defer func() { _ = lives.Process.Kill(); _ = lives.Wait() }()
	_, err = out.Read(make([]byte, 6))
	require.NoError(t, err)
	inherits := exec.Command("bash", "-c", `exec 3< .pongo/snapshots/now/a; sleep 17 & exit`)
	inherits.Dir = dir
	require.NoError(t, inherits.Run())
	start := time.Now()
	sh(t, dir, `cat .pongo/snapshots/now/a; echo 2 > a`)
	require.Equal(t, 3, held())
	waitFor := func(n int, from, to time.Duration) {
		t.Helper()
		for held() > n {
			require.Less(t, time.Since(start), to, "%d versions are held, not %d", held(), n)
			time.Sleep(100 * time.Millisecond)
		}
		require.Greater(t, time.Since(start), from)
	}
	waitFor(2, 9*time.Second, time.Minute)
	waitFor(1, 16*time.Second, time.Minute)
}

// TestKilledMountLeaksNoPin: what a mount held for now ends with it.
func TestKilledMountLeaksNoPin(t *testing.T) {
	path := newStore(t)
	store := openStore(t, path)
	needFuse(t)
	dir := t.TempDir()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), serveEnv+"="+path+"\n"+dir+"\n")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { sh(t, "/", "umount -l "+dir) })
	_, err = stdout.Read(make([]byte, 8))
	require.NoError(t, err)
	sh(t, dir, `echo 1 > a; cat .pongo/snapshots/now/a`)
	st, err := store.Stats()
	require.NoError(t, err)
	require.Equal(t, 2, st.NamedPins, "now, and what the mount has followed to")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	store.Internals().CleanDead()
	st, err = store.Stats()
	require.NoError(t, err)
	require.Zero(t, st.NamedPins)
}

func TestMetaFiles(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	store := openStore(t, path)
	steps(t, dir, []step{
		{`cd .pongo/meta; for f in *; do echo $f $(cat $f); done`, "chunksize 16777216\ncommit 1s\nid _id\nnewkey uuid1\nsync false"},
		{
			`cd .pongo/meta; echo 3 > chunksize; getfattr --only-values -n user.pongo.error chunksize; echo; cat chunksize; cut -d' ' -f3- ../errors`,
			`bash: line 1: echo: write error: Invalid argument
setting chunksize: "3": it must be a multiple of 65536 from 2097152 to 1073741824
16777216
/.pongo/meta/chunksize setting chunksize: "3": it must be a multiple of 65536 from 2097152 to 1073741824`,
		},
		{
			`cd .pongo/meta; echo 33554432 > chunksize; printf uuid7 > newkey; echo key > id; echo 1 > sync; echo 5 > commit; cat *; getfattr --only-values -n user.pongo.error chunksize`,
			"33554432\n5s\nkey\nuuid7\ntrue\nchunksize: user.pongo.error: No such attribute",
		},
		{`cd .pongo/meta; rm id; touch x; mkdir x; mv id x; echo > id; cat id`, `rm: cannot remove 'id': Operation not permitted
touch: cannot touch 'x': Operation not permitted
mkdir: cannot create directory 'x': Operation not permitted
mv: cannot move 'id' to 'x': Operation not permitted
_id`},
	})
	st, err := store.Settings()
	require.NoError(t, err)
	require.Equal(t, engine.Settings{ChunkSize: 32 << 20, ID: "_id", NewKey: "uuid7", Sync: true, Commit: 5 * time.Second}, st)
	require.NoError(t, store.SetSetting("commit", "2s"))
	steps(t, dir, []step{{`cat .pongo/meta/commit`, "2s"}})
}

func TestPins(t *testing.T) {
	dir := newMount(t)
	sh(t, dir, `head -c 200000 /dev/zero > big; mkdir .pongo/snapshots/one`)
	got := sh(t, dir, `exec 3< big; cd .pongo/snapshots/now; cat ../../pins`)
	for _, want := range []string{"snapshot - ", " one\n", "value ", " inode=", "version ", " now of process "} {
		require.Contains(t, got, want)
	}
	var since time.Time
	for line := range strings.Lines(got) {
		f := strings.Fields(line)
		require.GreaterOrEqual(t, len(f), 5, line)
		if f[3] == "-" {
			continue
		}
		var err error
		since, err = time.Parse(time.RFC3339Nano, f[3])
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), since, time.Minute, fmt.Sprint(f))
	}
}
