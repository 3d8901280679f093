package fsnode_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pongofs/engine"
	"pongofs/engine/value"
)

// pageAligned returns n bytes that begin at a page: the kernel hands a write of
// up to 1 MiB over in one piece only if it spans at most 256 pages.
func pageAligned(n int) []byte {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	return b
}

// TestReadersSeeWholeVersions lets writers alternate values in every way there
// is, while readers read whole files.
func TestReadersSeeWholeVersions(t *testing.T) {
	for _, size := range []int{5, 3 << 10, 200 << 10, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { wholeVersions(t, size) })
	}
}

func wholeVersions(t *testing.T, size int) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	other := mountStore(t, path, "")
	f := filepath.Join(dir, "f")
	value := func(k int) []byte {
		b := pageAligned(size)
		copy(b, bytes.Repeat([]byte{byte('a' + k)}, size-1-k*7%3))
		b[size-1] = '\n'
		return b
	}
	values := [][]byte{value(0), value(1), value(2)}
	if err := os.WriteFile(f, values[0], 0o644); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	time.AfterFunc(1500*time.Millisecond, func() { close(stop) })
	var wg sync.WaitGroup
	loop := func(fn func() error) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := fn(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	write := func(path string, flags int, b []byte) error {
		fd, err := syscall.Open(path, flags|syscall.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		defer syscall.Close(fd)
		n, err := syscall.Write(fd, b)
		if n != len(b) {
			return fmt.Errorf("write %s: %d, %w", path, n, err)
		}
		return nil
	}
	loop(func() error { return write(f, syscall.O_TRUNC, values[1]) })
	loop(func() error {
		tmp := filepath.Join(dir, "tmp")
		if err := write(tmp, syscall.O_CREAT|syscall.O_TRUNC, values[2]); err != nil {
			return err
		}
		return os.Rename(tmp, f)
	})
	check := func(got []byte, how string) error {
		for _, v := range values {
			if bytes.Equal(got, v) {
				return nil
			}
		}
		return fmt.Errorf("%s: read %d bytes, first %q, last %q", how, len(got), got[:min(3, len(got))], got[max(0, len(got)-3):])
	}
	loop(func() error {
		got, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		return check(got, "ReadFile")
	})
	loop(func() error { // small reads, so that many writes come between
		fd, err := os.Open(f)
		if err != nil {
			return err
		}
		defer fd.Close()
		var got bytes.Buffer
		if _, err := io.CopyBuffer(&got, struct{ io.Reader }{fd}, make([]byte, max(2, size/7))); err != nil {
			return err
		}
		return check(got.Bytes(), "small reads")
	})
	var reads, stale atomic.Int64
	for range 2 { // two, so that one has open what the other finds replaced
		loop(func() error {
			reads.Add(1)
			got, err := os.ReadFile(filepath.Join(other, "f"))
			if errors.Is(err, syscall.ESTALE) {
				// Replaced twice within one open(2): see docs/semantics.md.
				stale.Add(1)
				return nil
			}
			if err != nil {
				return fmt.Errorf("other mount: %w", err)
			}
			return check(got, "other mount")
		})
	}
	loop(func() error {
		err := write(filepath.Join(other, "f"), syscall.O_TRUNC, values[0])
		reads.Add(1)
		if errors.Is(err, syscall.ESTALE) {
			stale.Add(1)
			return nil
		}
		return err
	})
	wg.Wait()
	if stale.Load()*20 > reads.Load() {
		t.Errorf("%d of %d opens through the other mount were ESTALE", stale.Load(), reads.Load())
	}
}

// TestForeignChanges edits the store from this process, beside two mounts.
func TestForeignChanges(t *testing.T) {
	path := newStore(t)
	a, b := mountStore(t, path, ""), mountStore(t, path, "")
	store := openStore(t, path)
	update := func(fn func(*engine.Tx) error) {
		t.Helper()
		if err := store.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name string, v value.Value) {
		t.Helper()
		update(func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String(name), v, engine.PutOptions{New: engine.NewAttr{Mode: 0o644}})
			return err
		})
	}
	// within waits until a script says what it should, at most a second.
	within := func(dir, script, want string) {
		t.Helper()
		var got string
		for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if got = sh(t, dir, script); got == want {
				return
			}
		}
		t.Errorf("%s: after a second: %q, want %q", script, got, want)
	}
	sh(t, a, "ls; cat n")
	put("n", value.Int(1))
	within(a, "cat n; stat -c %s n", "1\n2\n")
	put("n", value.Int(12345))
	within(a, "cat n; stat -c %s n", "12345\n6\n")
	sh(t, b, "cat n; echo 7 > n")
	within(a, "cat n; stat -c %s n", "7\n2\n")
	// Who opens a file gets the size of what he reads, at once.
	for i := range 20 {
		name := filepath.Join(a, "n")
		if _, err := os.Stat(name); err != nil {
			t.Fatal(err)
		}
		put("n", value.String(strings.Repeat("x", i)))
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := f.Stat(); err != nil || st.Size() != int64(i)+1 {
			t.Errorf("size %d, %v after open, want %d", st.Size(), err, i+1)
		}
		f.Close()
	}
	sh(t, b, "mv n m")
	within(a, "ls; wc -c < m", "m\n20\n")
	sh(t, b, "rm m; mkdir m; echo x > m/y")
	within(a, "cat m/y", "x\n")

	// An open file that another mount removes stays readable and writable.
	f, err := os.OpenFile(filepath.Join(a, "m/y"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sh(t, b, "rm -r m")
	if got, err := io.ReadAll(f); string(got) != "x\n" || err != nil {
		t.Errorf("read of a removed file: %q, %v", got, err)
	}
	if _, err := f.WriteString("more"); err != nil {
		t.Error(err)
	}
	got := make([]byte, 10)
	if n, _ := f.ReadAt(got, 0); string(got[:n]) != "x\nmore" {
		t.Errorf("removed file after a write: %q", got[:n])
	}
	within(a, "ls", "")

	// A file that another mount renames keeps being written.
	sh(t, b, "echo 1 > log")
	within(a, "cat log", "1\n")
	log, err := os.OpenFile(filepath.Join(a, "log"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	sh(t, b, "mv log log.1")
	if _, err := log.WriteString("2\n"); err != nil {
		t.Error(err)
	}
	within(b, "cat log.1; ls", "1\n2\nlog.1\n")
}

// TestSeveralWriters lets shells, a Go program and two mounts edit one store.
func TestSeveralWriters(t *testing.T) {
	path := newStore(t)
	a, b := mountStore(t, path, ""), mountStore(t, path, "")
	store := openStore(t, path)
	const n = 300
	var wg sync.WaitGroup
	for k, dir := range []string{a, b} {
		wg.Go(func() {
			sh(t, dir, fmt.Sprintf("for i in $(seq %d); do echo $i > sh%d.$i; echo m%d.$i >> log; done", n, k, k))
		})
	}
	wg.Go(func() {
		for i := range n {
			err := store.Update(func(tx *engine.Tx) error {
				_, err := tx.Put(engine.RootID, value.String(fmt.Sprintf("go.%d", i)), value.Int(int64(i)), engine.PutOptions{New: engine.NewAttr{Mode: 0o644}})
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	time.Sleep(600 * time.Millisecond)
	for _, dir := range []string{a, b} {
		steps(t, dir, []step{
			{"ls | wc -l; cat go.299; cat sh0.300 sh1.1; sort -u log | wc -l", fmt.Sprintf("%d\n299\n300\n1\n%d", 3*n+1, 2*n)},
		})
	}
}
