package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pongofs/engine"
	"pongofs/engine/value"
)

// memoryLimit is RLIMIT_DATA of the processes below: what they may allocate,
// mapped files apart. Some 80 MB of it the runtime of Go reserves for every
// process.
const memoryLimit = 192 << 20

// largeValues is how many values of 8 MiB the store has that is larger than
// memoryLimit.
const largeValues = 40

// largeValue returns the content of large value i, which is not compressible and
// begins with its number.
func largeValue(i int) []byte {
	b := make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(b)
	copy(b, fmt.Sprintf("value %d\x00", i))
	return b
}

// newLargeStore makes a store with n large values and many small ones.
func newLargeStore(t *testing.T, path string, n int) {
	t.Helper()
	pongofs(t, "create", path)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := s.Update(func(tx *engine.Tx) error { return tx.Root().Set(fmt.Sprintf("large%d", i), largeValue(i)) }); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Update(func(tx *engine.Tx) error {
		small, err := tx.Root().NewDict("small")
		for i := 0; i < 50_000 && err == nil; i++ {
			err = small.Set(fmt.Sprint("key", i), i)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() < int64(n)<<23 {
		t.Fatalf("the store is too small: %v, %v", info, err)
	}
}

// prlimitTool returns the program that runs another one with limits.
func prlimitTool(t *testing.T) string {
	t.Helper()
	prlimit, err := exec.LookPath("prlimit")
	if err != nil {
		t.Fatal("prlimit is missing, which every Debian has (util-linux)")
	}
	return prlimit
}

// memoryLimiter runs programs with little memory.
type memoryLimiter struct {
	// command returns what runs a program under the limit.
	command func(args ...string) []string
	// adopt puts a process that runs already under the limit.
	adopt func(pid int) error
}

// TestLimitedMemory works on a store that is larger than what processes may
// allocate, by commands and through a mount.
func TestLimitedMemory(t *testing.T) {
	prlimit := prlimitTool(t)
	data := "--data=" + strconv.Itoa(memoryLimit)
	t.Setenv("GOMEMLIMIT", strconv.Itoa(memoryLimit/4))
	workInLittleMemory(t, largeValues, memoryLimiter{
		command: func(args ...string) []string { return append([]string{prlimit, data}, args...) },
		adopt: func(pid int) error {
			out, err := exec.Command(prlimit, "--pid", strconv.Itoa(pid), data).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("prlimit: %w: %s", err, out)
			}
			return err
		},
	})
}

// cgroupLimit is what the group of TestMemoryCgroup may use, half of the store.
const cgroupLimit = 64 << 20

// TestMemoryCgroup does the same in a control group, as services and containers
// are limited: the pages of the mapped store count, dirty ones included.
func TestMemoryCgroup(t *testing.T) {
	group, events := memoryCgroup(t, cgroupLimit)
	procs := filepath.Join(group, "cgroup.procs")
	t.Setenv("GOMEMLIMIT", strconv.Itoa(cgroupLimit/4))
	workInLittleMemory(t, 2*cgroupLimit>>23, memoryLimiter{
		command: func(args ...string) []string {
			return append([]string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, procs}, args...)
		},
		adopt: func(pid int) error { return os.WriteFile(procs, []byte(strconv.Itoa(pid)), 0) },
	})
	if got, err := os.ReadFile(events); err != nil || !bytes.Contains(got, []byte("oom_kill 0\n")) {
		t.Errorf("%s: %q, %v", events, got, err)
	}
}

// memoryCgroup makes a control group of limited memory, and returns its directory
// and the file that counts the processes that were killed for it.
func memoryCgroup(t *testing.T, limit int) (group, events string) {
	t.Helper()
	const root = "/sys/fs/cgroup"
	name := "pongofs-test-" + strconv.Itoa(os.Getpid())
	var setting string
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		// Version 2. Where the controller is not handed on yet, root may do so.
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory"), 0)
		group, setting, events = filepath.Join(root, name), "memory.max", "memory.events"
	} else {
		group, setting, events = filepath.Join(root, "memory", name), "memory.limit_in_bytes", "memory.oom_control"
	}
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Skipf("no control group can be made here: %v", err)
	}
	t.Cleanup(func() {
		// A process that has just ended may still be there.
		var err error
		for range 100 {
			if err = os.Remove(group); err == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Error(err)
	})
	if err := os.WriteFile(filepath.Join(group, setting), []byte(strconv.Itoa(limit)), 0); err != nil {
		t.Skipf("the control group has no memory controller: %v", err)
	}
	return group, filepath.Join(group, events)
}

// workInLittleMemory works on a store of n large values.
func workInLittleMemory(t *testing.T, n int, l memoryLimiter) {
	dir := newDir(t)
	store, backup := filepath.Join(dir, "store.pongo"), filepath.Join(dir, "backup.pongo")
	newLargeStore(t, store, n)

	tryLimited := func(args ...string) (stdout, stderr string, err error) {
		cmd := l.command(append([]string{binary}, args...)...)
		return try(cmd[0], cmd[1:]...)
	}
	limited := func(args ...string) string {
		t.Helper()
		stdout, stderr, err := tryLimited(args...)
		if err != nil {
			t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, tail(stdout), tail(stderr))
		}
		return stdout
	}
	clean := func(store string) {
		t.Helper()
		if got := limited("check", store); !strings.Contains(got, ": clean; ") {
			t.Errorf("check %s says %q", store, tail(got))
		}
	}
	clean(store)
	limited("info", store)
	limited("backup", store, backup)
	clean(backup)
	if got := limited("diff", "--all", store, backup); got != "" {
		t.Errorf("the backup differs: %s", tail(got))
	}
	limited("compact", backup)
	if got := limited("diff", store, backup); got != "" {
		t.Errorf("the compacted store differs: %s", tail(got))
	}
	limited("set", store, "small/key7", "77")
	limited("rm", store, fmt.Sprint("large", n-1))
	limited("gc", store)
	got, _, err := tryLimited("diff", backup, store)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Count(got, "\n") != 2 ||
		!strings.Contains(got, fmt.Sprintf("- large%d: ", n-1)) || !strings.Contains(got, "~ small/key7: ") {
		t.Errorf("diff: %v: %q", err, tail(got))
	}

	m := mount(t, store, filepath.Join(dir, "mnt"))
	if err := l.adopt(m.server.Process.Pid); err != nil {
		t.Fatal(err)
	}
	for i := range n - 1 {
		got, err := os.ReadFile(filepath.Join(m.dir, fmt.Sprintf("large%d", i)))
		if err != nil || !bytes.Equal(got, largeValue(i)) {
			t.Fatalf("large%d through the mount: %d bytes, %v", i, len(got), err)
		}
	}
	for i := range 10 {
		if err := os.WriteFile(filepath.Join(m.dir, fmt.Sprintf("large%d", i)), largeValue(100+i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := os.ReadDir(filepath.Join(m.dir, "small")); err != nil || len(names) != 50_000 {
		t.Errorf("small has %d entries: %v", len(names), err)
	}
	unmount(t, m)
	clean(store)
	requireLarge(t, store, n-1, func(i int) []byte {
		if i < 10 {
			return largeValue(100 + i)
		}
		return largeValue(i)
	})
}

// requireLarge demands the content of the first n large values.
func requireLarge(t *testing.T, store string, n int, want func(i int) []byte) {
	t.Helper()
	s, err := engine.Open(store, engine.Options{Commit: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.View(func(tx *engine.Tx) error {
		for i := range n {
			e, err := tx.Lookup(engine.RootID, value.String(fmt.Sprintf("large%d", i)))
			if err != nil {
				return err
			}
			got := make([]byte, e.Size)
			if _, err := tx.ReadImage(&e, got, 0); err != nil && err != io.EOF {
				return err
			}
			if !bytes.Equal(got, want(i)) {
				t.Errorf("large%d is not what was written", i)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestTooLittleMemory gives processes less memory than they need. The runtimes
// end those that cannot go on, in their own words; the store has lost nothing
// and opens.
func TestTooLittleMemory(t *testing.T) {
	prlimit := prlimitTool(t)
	dir := newDir(t)
	store := filepath.Join(dir, "store.pongo")
	newLargeStore(t, store, largeValues)
	ended := 0
	for limit := 24 << 20; limit <= memoryLimit; limit += 12 << 20 {
		_, _, err := try(prlimit, "--data="+strconv.Itoa(limit), binary, "set", store, "last", strconv.Itoa(limit))
		if err != nil {
			ended++
			continue
		}
		if got := strings.TrimSpace(pongofs(t, "get", store, "last")); got != strconv.Itoa(limit) {
			t.Errorf("with %d bytes set succeeds, and the value is %q", limit, got)
		}
	}
	if ended == 0 {
		t.Error("no limit was too small")
	}
	if got := pongofs(t, "check", store); !strings.Contains(got, ": clean; ") {
		t.Errorf("check says %q", tail(got))
	}
	requireLarge(t, store, largeValues, largeValue)
}

// TestStoreLargerThanAddressSpace opens a store that does not fit into the
// addresses of the process. Nobody takes the rest for missing.
func TestStoreLargerThanAddressSpace(t *testing.T) {
	prlimit := prlimitTool(t)
	dir := newDir(t)
	store := filepath.Join(dir, "store.pongo")
	pongofs(t, "create", "--chunk-size", "1GiB", store)
	pongofs(t, "set", store, "k", "v")
	want, err := os.Stat(store)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"get", store, "k"},
		{"set", store, "k", "w"},
		{"check", store},
		{"check", "--repair", store},
		{"check", "--salvage", filepath.Join(dir, "salvaged"), store},
		{"compact", store},
		{"backup", store, filepath.Join(dir, "out")},
	} {
		stdout, stderr, err := try(prlimit, append([]string{"--as=2200000000", binary}, args...)...)
		if err == nil || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "ulimit -v") {
			t.Errorf("%s: %v: %q%q", args[0], err, tail(stdout), tail(stderr))
		}
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 2 {
		t.Errorf("files are left: %q, %v", names, err)
	}
	if got, err := os.Stat(store); err != nil || !os.SameFile(got, want) {
		t.Errorf("the store was replaced: %v", err)
	}
	if got := pongofs(t, "get", store, "k"); got != "v\n" {
		t.Errorf("k is %q", got)
	}
}
