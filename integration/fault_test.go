package integration

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pongofs/engine/enginetest"
)

// TestFailedSyncMount lets the syncs of a mount's server fail: fsync(2) says
// EIO, so does every write after it, reading goes on, the log names the cause.
// When the store is mounted again, what had been synced is there and writes
// work.
func TestFailedSyncMount(t *testing.T) {
	dir := newDir(t)
	store, fail := filepath.Join(dir, "store.pongo"), filepath.Join(dir, "fail")
	pongofs(t, "create", store)
	m := startHooked(t, store, filepath.Join(dir, "mnt"), "fail", fail)
	file, err := os.OpenFile(filepath.Join(m.dir, "file"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	write := func(text string) error {
		_, err := file.WriteAt([]byte(text), 0)
		return err
	}
	if err := errors.Join(write("synced\n"), file.Sync(), write("seen  \n")); err != nil {
		t.Fatal(err)
	}
	writeText(t, fail, "")
	mustBeEIO := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v, want EIO", what, err)
		}
	}
	mustBeEIO("fsync", file.Sync())
	// A second sync would succeed, since the kernel reports a failure once; it
	// must not be believed.
	if err := os.Remove(fail); err != nil {
		t.Fatal(err)
	}
	mustBeEIO("the second fsync", file.Sync())
	mustBeEIO("write", write("later \n"))
	mustBeEIO("mkdir", os.Mkdir(filepath.Join(m.dir, "dir"), 0o755))
	mustBeEIO("rename", os.Rename(filepath.Join(m.dir, "file"), filepath.Join(m.dir, "file2")))
	mustBeEIO("unlink", os.Remove(filepath.Join(m.dir, "file")))
	mustBeEIO("create", os.WriteFile(filepath.Join(m.dir, "new"), nil, 0o644))
	if got := readText(t, filepath.Join(m.dir, "file")); got != "seen  " {
		t.Errorf("file is %q", got)
	}
	if !strings.Contains(m.messages(), "poisoned by a failed sync: sync: input/output error") {
		t.Errorf("the log says %q", m.messages())
	}
	_ = file.Close() // whatever it says, the store takes nothing more
	if said := m.end(t); !strings.Contains(said, "poisoned") {
		t.Errorf("at its end the server says %q", said)
	}

	again := mount(t, store, filepath.Join(dir, "mnt2"))
	// Either of the two: the second was visible, and never known to be durable.
	if got := readText(t, filepath.Join(again.dir, "file")); got != "synced" && got != "seen  " {
		t.Errorf("file is %q", got)
	}
	writeText(t, filepath.Join(again.dir, "file"), "after")
	unmount(t, again)
	if got := pongofs(t, "get", store, "file"); got != "after\n" {
		t.Errorf("file is %q", got)
	}
	if err := enginetest.Clean(store); err != nil {
		t.Error(err)
	}
}

// TestStoreCutUnderMount truncates the store file under a live mount: requests
// end with EIO, soon, the server lives, and the mount can be taken away.
func TestStoreCutUnderMount(t *testing.T) {
	dir := newDir(t)
	store, m := newMount(t, dir)
	name := filepath.Join(m.dir, "large")
	writeText(t, name, strings.Repeat("x", 4<<20))
	open, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := os.Truncate(store, 1<<20); err != nil {
		t.Fatal(err)
	}
	requests := map[string]func() error{
		"read": func() error {
			_, err := open.ReadAt(make([]byte, 100_000), 1<<20)
			return err
		},
		"write": func() error {
			_, err := open.WriteAt([]byte("y"), 1<<20)
			return err
		},
		"open":  func() error { return readAll(filepath.Join(m.dir, "other")) },
		"mkdir": func() error { return os.Mkdir(filepath.Join(m.dir, "dir"), 0o755) },
		"list": func() error {
			_, err := os.ReadDir(m.dir)
			return err
		},
	}
	for what, request := range requests {
		ended := make(chan error, 1)
		go func() { ended <- request() }()
		select {
		case err := <-ended:
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("%s in a store that was cut: %v, want EIO", what, err)
			}
		case <-time.After(mountDeadline):
			t.Fatalf("%s in a store that was cut does not end", what)
		}
	}
	select {
	case <-m.done:
		t.Fatalf("the server has died: %v\n%s", m.server.ProcessState, m.messages())
	default:
	}
	_ = open.Close()
	if _, stderr, err := try(binary, "umount", m.dir); err != nil {
		t.Errorf("umount: %v: %s", err, stderr)
	}
	select {
	case <-m.done:
	case <-time.After(mountDeadline):
		t.Fatal("the server does not end")
	}
	if strings.Contains(m.messages(), "panicked") || strings.Contains(m.messages(), "goroutine ") {
		t.Errorf("the log says %s", tail(m.messages()))
	}
	_, stderr, err := try(binary, "ls", store)
	if err == nil || !strings.Contains(stderr, "it was cut") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("opening it again: %v: %q", err, stderr)
	}
}

// TestLimitedAddressSpace runs the program with less address space than it
// reserves for a store (ulimit -v). It reserves less, and says in one line what
// to do when that would be too little. (With less than about 1.5 GB the Go runtime
// itself does not start, and says so in its own words.)
func TestLimitedAddressSpace(t *testing.T) {
	prlimit := prlimitTool(t)
	dir := newDir(t)
	store := filepath.Join(dir, "store.pongo")
	pongofs(t, "create", store)
	mnt := filepath.Join(dir, "mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"set", store, "k", "v"},
		{"ls", store},
		{"check", store},
		{"backup", store, filepath.Join(dir, "out")},
		{"mount", "-f", store, mnt},
	} {
		stdout, stderr, err := try(prlimit, append([]string{"--as=1800000000", binary}, args...)...)
		if err == nil || stdout != "" || strings.Count(stderr, "\n") != 1 ||
			!strings.Contains(stderr, "address space of this process is limited") || !strings.Contains(stderr, "ulimit -v") {
			t.Errorf("%s with little address space: %v: %q%q", args[0], err, stdout, tail(stderr))
		}
	}
	for _, limit := range []string{"4294967296", "8000000000"} {
		if _, stderr, err := try(prlimit, "--as="+limit, binary, "set", store, "k"+limit, strings.Repeat("v", 100_000)); err != nil {
			t.Errorf("set with %s bytes of address space: %v: %s", limit, err, tail(stderr))
		}
	}
	if got := pongofs(t, "ls", store); got != "k4294967296\nk8000000000\n" {
		t.Errorf("ls says %q", got)
	}
}

func readAll(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(io.Discard, file)
	return err
}
