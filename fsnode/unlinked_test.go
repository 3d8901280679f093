package fsnode_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pongofs/engine"
	"pongofs/engine/value"
)

func TestUnlinkedOpenFile(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	name := filepath.Join(dir, "f")
	for _, how := range []string{"rm f", "echo new > g; mv g f; rm f"} {
		if err := os.WriteFile(name, []byte("old\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		sh(t, dir, how)
		var st syscall.Stat_t
		if err := syscall.Fstat(int(f.Fd()), &st); err != nil || st.Nlink != 0 || st.Size != 4 {
			t.Errorf("%s: fstat: %d links, %d bytes, %v", how, st.Nlink, st.Size, err)
		}
		if _, err := f.WriteAt([]byte("longer text\n"), 2); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(f); string(got) != "ollonger text\n" || err != nil {
			t.Errorf("%s: read %q, %v", how, got, err)
		}
		if err := f.Truncate(3); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("%s: the name is there: %v", how, err)
		}
		f.Close()
		wait(t, func() bool { return orphans(t, path) == 0 })
	}
}

// orphans counts the entries without a name.
func orphans(t *testing.T, path string) int {
	t.Helper()
	store, err := engine.Open(path, engine.Options{AnyFS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	n := 0
	err = store.View(func(tx *engine.Tx) error {
		return tx.Scan(engine.OrphansID, value.Value{}, false, func(engine.Entry) bool { n++; return true })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wait waits until a condition holds.
func wait(t *testing.T, ok func() bool) {
	t.Helper()
	for range 200 {
		if ok() {
			return
		}
		syscall.Nanosleep(&syscall.Timespec{Nsec: 1e7}, nil)
	}
	t.Error("condition does not come true")
}

func TestTmpfile(t *testing.T) {
	dir := newMount(t)
	const oTmpfile = 0o20200000
	fd, err := syscall.Open(dir, oTmpfile|syscall.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if _, err := syscall.Write(fd, []byte("text\n")); err != nil {
		t.Error(err)
	}
	steps(t, dir, []step{
		{"ls", ""},
		{fmt.Sprintf("ln -L /proc/%d/fd/%d f; cat f; stat -c %%h f", os.Getpid(), fd), "text\n1"},
		{"ln f g 2>/dev/null || echo no", "no"},
	})
	if _, err := syscall.Write(fd, []byte("more\n")); err != nil {
		t.Error(err)
	}
	steps(t, dir, []step{{"cat f", "text\nmore"}})
}

func TestOrphansOfAKilledMountGo(t *testing.T) {
	path := newStore(t)
	store := openStore(t, path)
	err := store.Update(func(tx *engine.Tx) error {
		for i := range 3 {
			if _, err := tx.Put(engine.OrphansID, value.Int(int64(1000+i)), value.Int(1), engine.PutOptions{}); err != nil {
				return err
			}
		}
		_, err := tx.Put(engine.OrphansID, value.String(".pongo-types/99999"), value.String("x"), engine.PutOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	mountStore(t, path, "")
	if n := orphans(t, path); n != 0 {
		t.Errorf("%d orphans are left", n)
	}
}

func TestRemovedDirectory(t *testing.T) {
	steps(t, newMount(t), []step{
		{
			`mkdir d; cd d; rmdir ../d; ls -la | wc -l; stat -c %h .; echo x > f; mkdir g; cd ..; ls -A`,
			"1\n0\nbash: line 1: f: No such file or directory\nmkdir: cannot create directory 'g': No such file or directory",
		},
		{`mkdir d; cd d; mv ../d ../e; echo x > f; cat ../e/f; cd ../e; rm -r ../e; ls`, "x"},
	})
}
