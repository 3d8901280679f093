package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestFileSizeLimit limits how long the files of a mount's server may get
// (RLIMIT_FSIZE): writing ends in ENOSPC, the server lives, old values stay,
// and it goes on when the limit is gone.
func TestFileSizeLimit(t *testing.T) {
	needFuse(t)
	prlimit := prlimitTool(t)
	dir := newDir(t)
	store, m := newMount(t, dir)
	before := filepath.Join(m.dir, "before")
	writeText(t, before, "42")
	limit := func(bytes string) {
		t.Helper()
		pid := strconv.Itoa(m.server.Process.Pid)
		if out, err := exec.Command(prlimit, "--pid", pid, "--fsize="+bytes+":unlimited").CombinedOutput(); err != nil {
			t.Fatalf("prlimit: %v: %s", err, out)
		}
	}
	info, err := os.Stat(store)
	if err != nil {
		t.Fatal(err)
	}
	limit(strconv.FormatInt(info.Size()+1<<20, 10))
	large := filepath.Join(m.dir, "large")
	if err := writeUntilFull(large); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing beyond the limit: %v, want ENOSPC", err)
	}
	if got := readText(t, before); got != "42" {
		t.Errorf("before is %q", got)
	}
	if now, err := os.Stat(store); err != nil || now.Size() > info.Size()+1<<20 {
		t.Errorf("the store is %d bytes long: %v", now.Size(), err)
	}
	// Room that is made is used, below the limit and above it.
	if err := os.Remove(large); err != nil {
		t.Errorf("removing from a full store: %v", err)
	}
	writeText(t, filepath.Join(m.dir, "small"), strings.Repeat("x", 1<<18))
	limit("unlimited")
	writeText(t, filepath.Join(m.dir, "after"), strings.Repeat("y", 30<<20))
	unmount(t, m)
	if got := pongofs(t, "check", store); !strings.Contains(got, "clean") {
		t.Errorf("check says %q", got)
	}

	// A backup and a compaction that do not fit leave nothing behind.
	for _, args := range [][]string{{"backup", store, filepath.Join(dir, "out")}, {"compact", store}} {
		_, stderr, err := try(prlimit, append([]string{"--fsize=8000000", binary}, args...)...)
		if err == nil || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s beyond the limit says %q: %v", args[0], stderr, err)
		}
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.Contains(n.Name(), ".new-") || n.Name() == "out" {
			t.Errorf("%s is left behind", n.Name())
		}
	}
	if got := pongofs(t, "get", store, "before"); got != "42\n" {
		t.Errorf("before is %q", got)
	}
}
