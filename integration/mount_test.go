package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// mountDeadline is how long a mount may take to appear or to end.
const mountDeadline = time.Minute

// mounted is a mount served by a child process of the test.
type mounted struct {
	dir    string
	server *exec.Cmd
	done   chan struct{} // closed when the server has exited
	log    string        // file with the messages of the server
	once   sync.Once
}

// startMount mounts a store and returns when the mount answers.
func startMount(store, dir string, args ...string) (*mounted, error) {
	log, err := os.CreateTemp(scratch, "mount-*.log")
	if err != nil {
		return nil, err
	}
	log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	m := &mounted{dir: dir, done: make(chan struct{}), log: log.Name()}
	// The same way as a mount in the background, but as our child.
	argv := append([]string{"mount", "-f", "--ready-fd", "3", "--log", m.log}, args...)
	m.server = exec.Command(binary, append(argv, "--", store, dir)...)
	m.server.ExtraFiles = []*os.File{write}
	var messages bytes.Buffer
	m.server.Stderr = &messages
	// A test that is killed takes its servers along, which then unmount. (The
	// kernel sends the signal when the thread that started the server ends; the
	// Go runtime keeps its threads, but for those that a goroutine has locked.)
	m.server.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	err = m.server.Start()
	write.Close()
	if err != nil {
		return nil, err
	}
	go func() {
		_ = m.server.Wait()
		close(m.done)
	}()
	ready := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(read, make([]byte, 1))
		ready <- err
	}()
	select {
	case err = <-ready:
		if err != nil {
			<-m.done
			return nil, fmt.Errorf("mount %s %s: %s", store, dir, strings.TrimSpace(messages.String()))
		}
	case <-time.After(mountDeadline):
		m.kill()
		return nil, fmt.Errorf("mount %s %s: not ready after %v", store, dir, mountDeadline)
	}
	return m, nil
}

// unmount unmounts through the program and waits for the server to exit.
func (m *mounted) unmount() error {
	ctx, cancel := context.WithTimeout(context.Background(), mountDeadline)
	defer cancel()
	output, err := exec.CommandContext(ctx, binary, "umount", m.dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("pongofs umount: %w: %s", err, bytes.TrimSpace(output))
	}
	// umount promises that the server is gone; the few moments are for our own
	// goroutine that collects it.
	select {
	case <-m.done:
	case <-time.After(20 * time.Second):
		return errors.New("pongofs umount returned before the server exited")
	}
	if code := m.server.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the server exited with %d: %s", code, m.messages())
	}
	return nil
}

// kill ends the server as kill -9 does and leaves a dead mount behind.
func (m *mounted) kill() {
	_ = m.server.Process.Kill()
	<-m.done
}

// cleanUp removes whatever is left, however the test went.
func (m *mounted) cleanUp() {
	m.once.Do(func() {
		select {
		case <-m.done:
		default:
			if m.unmount() == nil {
				return
			}
		}
		// Open files or a dead server: take the mount away, then the server.
		_ = exec.Command(binary, "umount", "--lazy", m.dir).Run()
		select {
		case <-m.done:
		case <-time.After(mountDeadline):
			m.kill()
		}
	})
}

// messages returns what the server has logged.
func (m *mounted) messages() string {
	text, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// newDir returns a new directory in scratch that is removed with it. Mounts
// are never below t.TempDir, which would be removed through the mount.
func newDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "test-*")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// newMount makes a store in dir and mounts it on dir/mnt.
func newMount(t testing.TB, dir string, args ...string) (store string, m *mounted) {
	t.Helper()
	needFuse(t)
	store = filepath.Join(dir, "store.pongo")
	pongofs(t, "create", store)
	return store, mount(t, store, filepath.Join(dir, "mnt"), args...)
}

// mount mounts a store on a directory, which it makes if need be.
func mount(t testing.TB, store, dir string, args ...string) *mounted {
	t.Helper()
	needFuse(t)
	if err := os.MkdirAll(dir, 0o755); err != nil && !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	m, err := startMount(store, dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.cleanUp()
		if text := m.messages(); text != "" && t.Failed() {
			t.Logf("server of %s:\n%s", m.dir, text)
		}
	})
	return m
}

// unmount unmounts and fails the test if that goes wrong.
func unmount(t testing.TB, m *mounted) {
	t.Helper()
	if err := m.unmount(); err != nil {
		t.Fatal(err)
	}
}

// pongofs runs the program, which must succeed, and returns its output.
func pongofs(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, binary, args...)
}

// run runs a program, which must succeed, and returns what it prints on stdout.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	stdout, stderr, err := try(name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, tail(stdout), tail(stderr))
	}
	return stdout
}

// try runs a program for a limited time, which is ample on a busy machine.
func try(name string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	// A grandchild that keeps the pipes must not keep us.
	cmd.WaitDelay = 10 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// tail returns the end of a long output.
func tail(s string) string {
	const most = 2000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// readText returns the content of a file without its final newline.
func readText(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}

// writeText writes a file as echo TEXT > FILE does.
func writeText(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}
