package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"pongofs/engine"
	"pongofs/engine/enginetest"
	"pongofs/engine/mapping"
	"pongofs/fsnode"
	"pongofs/gc"
)

// A test process that finds this variable set serves a mount with hooks below
// the store: it holds the store, the directory, a file for the log, and what
// the hooks do.
const hookedServer = "PONGOFS_TEST_SERVER"

// startHooked mounts a store in a child process that is this test binary. What
// is "cut SOCKET" to ask the power-cut tester at each sync, or "fail FILE" to
// fail syncs with EIO while FILE exists.
func startHooked(t *testing.T, store, dir, what, argument string) *mounted {
	t.Helper()
	needFuse(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.CreateTemp(scratch, "hooked-*.log")
	if err != nil {
		t.Fatal(err)
	}
	log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	m := &mounted{dir: dir, done: make(chan struct{}), log: log.Name()}
	m.server = exec.Command(os.Args[0], store, dir, m.log, what, argument)
	m.server.Env = append(os.Environ(), hookedServer+"=1")
	m.server.ExtraFiles = []*os.File{write}
	m.server.Stderr = os.Stderr
	m.server.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	err = m.server.Start()
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = m.server.Wait()
		close(m.done)
	}()
	t.Cleanup(m.cleanUp)
	if err := read.SetReadDeadline(time.Now().Add(mountDeadline)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(read, make([]byte, 1)); err != nil {
		t.Fatalf("the server is not ready: %v\n%s", err, m.messages())
	}
	return m
}

// end unmounts a hooked server's mount and returns what the server says about
// closing the store, "" when that went well.
func (m *mounted) end(t *testing.T) string {
	t.Helper()
	if err := syscall.Unmount(m.dir, 0); err != nil {
		// Not root: the helper may.
		run(t, "fusermount3", "-u", m.dir)
	}
	select {
	case <-m.done:
	case <-time.After(mountDeadline):
		t.Fatal("the server does not end")
	}
	if m.server.ProcessState.Success() {
		return ""
	}
	return m.messages()
}

// serveHooked is the child process.
func serveHooked(args []string) error {
	store, dir, log, what, argument := args[0], args[1], args[2], args[3], args[4]
	file, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(file, nil))
	o := engine.Options{Collect: func(s *engine.Store) error {
		_, err := gc.New(s).Full(context.Background())
		return err
	}}
	switch what {
	case "cut":
		o.Commit = 20 * time.Millisecond
		o.Hook, o.MapHooks = enginetest.RemoteHooks(argument, "mount")
	case "fail":
		o.Commit = -1
		o.MapHooks = &mapping.Hooks{Sync: func() error {
			if _, err := os.Stat(argument); err == nil {
				return fmt.Errorf("sync: %w", syscall.EIO)
			}
			return nil
		}}
	default:
		return fmt.Errorf("what is %q?", what)
	}
	s, err := engine.Open(store, o)
	if err != nil {
		return err
	}
	server, err := fsnode.Mount(dir, fsnode.FromEngine(s), fsnode.Options{Logger: logger})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	if _, err := os.NewFile(3, "ready").Write([]byte{1}); err != nil {
		return errors.Join(err, server.Unmount(), s.Close())
	}
	server.Wait()
	if err := s.Close(); err != nil {
		logger.Error("close", slog.Any("err", err))
		os.Exit(1)
	}
	return nil
}
