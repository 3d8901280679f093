package integration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestReadOnlyMedium: a store on a medium that cannot be written is read by
// the commands and through a mount; what would change it fails with a reason.
func TestReadOnlyMedium(t *testing.T) {
	needFuse(t)
	dir := newDir(t)
	disk := newDisk(t, dir, "64m")
	store := filepath.Join(disk, "store.pongo")
	pongofs(t, "create", store)
	pongofs(t, "import", store, filepath.Join(repo, "data", "gh_emoji.json"), "emoji")
	pongofs(t, "set", "-t", "int", store, "age", "42")
	want := pongofs(t, "export", store)
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}

	if got := pongofs(t, "export", store); got != want {
		t.Errorf("export of a store on a read-only medium differs")
	}
	if got := pongofs(t, "get", store, "age"); got != "42\n" {
		t.Errorf("age is %q", got)
	}
	pongofs(t, "info", store)
	for _, args := range [][]string{{"set", store, "age", "43"}, {"mkdict", store, "d"}, {"gc", store}} {
		_, stderr, err := try(binary, args...)
		if err == nil || !strings.Contains(stderr, "read-only") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("pongofs %s: %v, %q", strings.Join(args, " "), err, stderr)
		}
	}
	m := mount(t, store, filepath.Join(dir, "mnt"), "-o", "ro")
	if got := readText(t, filepath.Join(m.dir, "age")); got != "42" {
		t.Errorf("age is %q through the mount", got)
	}
	if err := os.WriteFile(filepath.Join(m.dir, "age"), []byte("43\n"), 0o644); !errors.Is(err, syscall.EROFS) {
		t.Errorf("writing to a read-only mount: %v", err)
	}
	// Another reader beside the mount.
	if got := pongofs(t, "get", store, "age"); got != "42\n" {
		t.Errorf("age is %q beside the mount", got)
	}
	unmount(t, m)
}
