package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseMounts(t *testing.T) {
	const info = `22 1 254:0 / / rw,relatime - ext4 /dev/root rw
40 22 0:35 / /mnt/a\040b rw,nosuid,nodev shared:5 master:1 - fuse.pongofs /s\134x.pongo rw,user_id=0
41 22 0:36 / /mnt/ro ro,nosuid - fuse.pongofs /t.pongo rw,user_id=0
not a line
`
	mounts, err := parseMounts(strings.NewReader(info))
	if err != nil || len(mounts) != 3 {
		t.Fatalf("got %d mounts, %v, want 3", len(mounts), err)
	}
	m := mounts[1]
	if m.device != "0:35" || m.dir != "/mnt/a b" || m.fsType != fsType || m.source != `/s\x.pongo` || m.readOnly() {
		t.Errorf("got %+v", m)
	}
	if !mounts[2].readOnly() {
		t.Errorf("%+v is read-only", mounts[2])
	}
}

func TestRealPathFollowsLinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "target")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"one": "target", "two": "one", "absolute": target} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"target", "one", "two", "absolute", "target/.", "one/../two"} {
		if got, err := realPath(filepath.Join(dir, name)); got != target || err != nil {
			t.Errorf("realPath(%s) = %s, %v, want %s", name, got, err, target)
		}
	}
	if _, err := realPath(filepath.Join(dir, "missing")); !os.IsNotExist(err) {
		t.Errorf("realPath(missing) = %v", err)
	}
}

func TestMountOptions(t *testing.T) {
	c, err := parseMountOptions([]string{"ro,allow_other", "sync,,nosuid"})
	if err != nil || !c.fs.ReadOnly || !c.fs.AllowOther || !c.store.SyncEach {
		t.Errorf("got %+v, %v", c, err)
	}
	_, err = parseMountOptions([]string{"rw,bogus=1"})
	if err == nil || !strings.Contains(err.Error(), "bogus=1: unknown option") {
		t.Errorf("got %v", err)
	}
	for _, o := range mountOptions() {
		if _, err := parseMountOptions([]string{o.name}); err != nil {
			t.Errorf("%s: %v", o.name, err)
		}
	}
}

func TestGuardNumbers(t *testing.T) {
	guarded := guardNumbers([]string{"set", "-t", "int", "s", "k", "-5", "-.5", "-inf", "-x"})
	for i := range guarded {
		guarded[i] = strings.ReplaceAll(guarded[i], numberGuard, "#")
	}
	want := []string{"set", "-t", "int", "s", "k", "#-5", "#-.5", "#-inf", "-x"}
	if !slices.Equal(guarded, want) {
		t.Errorf("got %q, want %q", guarded, want)
	}
}
