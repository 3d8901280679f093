package integration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFullDisk fills a small disk. Creating, importing and writing fail with
// one clear line or ENOSPC; what was there before stays and can be read, and
// room that is made can be used.
func TestFullDisk(t *testing.T) {
	needFuse(t)
	dir := newDir(t)
	disk := newDisk(t, dir, "40m")
	store := filepath.Join(disk, "store.pongo")
	pongofs(t, "create", store)
	pongofs(t, "set", store, "before", "42")
	filler := filepath.Join(disk, "filler")
	fill(t, filler)

	// No room for another store.
	second := filepath.Join(disk, "second.pongo")
	refusedBecauseFull(t, "create", second)
	if _, err := os.Stat(second); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failed create leaves %s: %v", second, err)
	}

	// No room for a large document; none of it arrives.
	document := filepath.Join(dir, "large.json")
	text := `{"large": "` + strings.Repeat("x", 30<<20) + `"}`
	if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	refusedBecauseFull(t, "import", store, document)
	if got := pongofs(t, "ls", store); got != "before\n" {
		t.Errorf("after a failed import the store holds %q", got)
	}

	// No room behind a mount.
	m := mount(t, store, filepath.Join(dir, "mnt"))
	large := filepath.Join(m.dir, "large")
	err := writeUntilFull(large)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing more than there is room for: %v, want ENOSPC", err)
	}
	if got := readText(t, filepath.Join(m.dir, "before")); got != "42" {
		t.Errorf("before is %q", got)
	}
	// The server lives, and goes on when there is room again.
	if err := os.Remove(large); err != nil {
		t.Errorf("removing from a full store: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	writeText(t, filepath.Join(m.dir, "after"), strings.Repeat("y", 1<<20))
	unmount(t, m)
	if got := pongofs(t, "get", store, "before"); got != "42\n" {
		t.Errorf("before is %q", got)
	}
}

// newDisk mounts a small disk below dir and returns where.
func newDisk(t *testing.T, dir, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a disk")
	}
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Errorf("%s: %v", disk, err)
		}
	})
	return disk
}

// fill makes a file that takes all the room there is.
func fill(t *testing.T, name string) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 1<<16)
	for {
		if _, err := file.Write(block); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// writeUntilFull writes 64 MiB, or as much as fits.
func writeUntilFull(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	block := []byte(strings.Repeat("x", 1<<16))
	for range 1024 {
		if _, err = file.Write(block); err != nil {
			break
		}
	}
	return errors.Join(err, file.Close())
}

// refusedBecauseFull runs the program, which must say in one line that there
// is no space.
func refusedBecauseFull(t *testing.T, args ...string) {
	t.Helper()
	_, stderr, err := try(binary, args...)
	if err == nil {
		t.Errorf("pongofs %s succeeds on a full disk", args[0])
	}
	if !strings.Contains(stderr, "no space left") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("pongofs %s on a full disk says %q", args[0], stderr)
	}
}
