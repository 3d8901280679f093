package fsnode_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pongofs/engine"
	"pongofs/fsnode"
)

// A process that touches its own FUSE mount can deadlock, so the mounts of
// these tests are served by a child: this test binary with serveEnv set.
const serveEnv = "PONGOFS_TEST_SERVE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(killEnv); spec != "" {
		fmt.Fprintln(os.Stderr, publishAndDie(spec))
		os.Exit(1)
	}
	if spec := os.Getenv(serveEnv); spec != "" {
		if err := serve(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve mounts the store at the directory that spec names, says so on stdout,
// and unmounts when stdin ends.
func serve(spec string) error {
	fields := strings.Split(spec, "\n")
	path, dir, flags := fields[0], fields[1], fields[2]
	level := slog.LevelInfo
	if strings.Contains(flags, "debug") {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	store, err := engine.Open(path, engine.Options{AnyFS: true})
	if err != nil {
		return err
	}
	s := fsnode.FromEngine(store)
	if strings.Contains(flags, "slow") {
		s = slowStore{s}
	}
	server, err := fsnode.Mount(dir, s, fsnode.Options{
		AllowOther: true,
		Debug:      strings.Contains(flags, "debug"),
		ReadOnly:   strings.Contains(flags, "ro"),
		Strict:     strings.Contains(flags, "strict"),
		Logger:     log,
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	fmt.Println("mounted")
	_, _ = io.Copy(io.Discard, os.Stdin)
	for range 200 {
		if err = server.Unmount(); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.Join(err, store.Close())
}

// slowStore is a store whose answers are often late: what a request has read is
// old by the time that the kernel is told of it.
type slowStore struct{ fsnode.Store }

func (s slowStore) View(fn func(fsnode.Tx) error) error {
	err := s.Store.View(fn)
	dawdle()
	return err
}

func (s slowStore) Update(fn func(fsnode.Tx) error) error {
	err := s.Store.Update(fn)
	dawdle()
	return err
}

func dawdle() {
	if rand.IntN(4) == 0 {
		time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond)
	}
}

// needFuse skips a test where nothing can be mounted.
func needFuse(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse")
	}
}

// newStore makes an empty store and returns its path.
func newStore(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.pongo")
	if err := engine.Create(path, engine.CreateOptions{AnyFS: true}); err != nil {
		t.Fatal(err)
	}
	return path
}

// mountStore mounts a store in a child process until the test ends.
func mountStore(t testing.TB, path, flags string) string {
	t.Helper()
	needFuse(t)
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), serveEnv+"="+path+"\n"+dir+"\n"+flags)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("server: %v", err)
			}
		case <-time.After(time.Minute):
			t.Errorf("server does not end, its goroutines are on stderr; detaching %s", dir)
			_ = cmd.Process.Signal(syscall.SIGQUIT)
			select {
			case <-done:
			case <-time.After(5 * time.Second):
				_ = cmd.Process.Kill()
				<-done
			}
		}
		// Nothing stays mounted, whatever happened.
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
	})
	ready := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		ready <- line
	}()
	select {
	case line := <-ready:
		if line != "mounted\n" {
			t.Fatalf("server did not mount: %q", line)
		}
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		t.Fatal("server does not answer")
	}
	return dir
}

// newMount mounts an empty store.
func newMount(t testing.TB) string {
	t.Helper()
	return mountStore(t, newStore(t), "")
}
