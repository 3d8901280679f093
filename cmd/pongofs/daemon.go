package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// readyFlag names the flag that tells a server in the background which
// descriptor its parent reads: one byte says that the mount can be used.
const readyFlag = "ready-fd"

// startServer runs this program again as a server in a session of its own and
// returns when its mount answers. Until then the server's messages go to our
// standard error, so a mount that fails says why and has our exit status.
func startServer(ctx context.Context, f mountFlags, store, dir string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	args := []string{"mount", "--foreground", "--" + readyFlag, "3"}
	for _, o := range f.options {
		args = append(args, "-o", o)
	}
	if f.log != "" {
		args = append(args, "--log", f.log)
	}
	server := exec.Command(exe, append(args, "--", store, dir)...)
	server.Stderr = os.Stderr
	server.ExtraFiles = []*os.File{write}
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	closeOnExec()
	err = server.Start()
	write.Close()
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	// An interrupted start takes the server with it, which then unmounts.
	stop := context.AfterFunc(ctx, func() { _ = server.Process.Signal(syscall.SIGTERM) })
	defer stop()
	var ready [1]byte
	if _, err := io.ReadFull(read, ready[:]); err != nil {
		var exit *exec.ExitError
		if err := server.Wait(); errors.As(err, &exit) && exit.Exited() {
			return &exitError{exit.ExitCode(), nil} // it has said why
		} else if err != nil {
			return fmt.Errorf("%s: the server died: %w", dir, err)
		}
		return context.Cause(ctx)
	}
	if err := answers(dir); err != nil {
		_ = server.Process.Signal(syscall.SIGTERM)
		return fmt.Errorf("%s: the mount does not answer: %w", dir, err)
	}
	return server.Process.Release()
}

// closeOnExec keeps descriptors that we inherited out of the server, which
// would hold them open for its whole life: locks, pipes, job tokens.
func closeOnExec() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // without /proc the server only holds more than it needs
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// answers asks the mount for its root, for a limited time.
func answers(dir string) error {
	result := make(chan error, 1)
	go func() {
		_, err := os.Stat(dir)
		result <- err
	}()
	const patience = 10 * time.Second
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		return errors.New("no reply")
	}
}

// tellReady tells the parent of a server in the background that the mount can
// be used, and lets go of everything that came from it: the descriptors and
// the working directory. A server in the foreground (fd -1) keeps them.
func tellReady(fd int, log string) error {
	if fd < 0 {
		return nil
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	output := int(null.Fd())
	if log != "" {
		// A crash of the Go runtime goes where the messages go.
		file, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		output = int(file.Fd())
	}
	for std, from := range []int{int(null.Fd()), output, output} {
		if err := syscall.Dup3(from, std, 0); err != nil {
			return fmt.Errorf("detach from the terminal: %w", err)
		}
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	pipe := os.NewFile(uintptr(fd), "ready")
	defer pipe.Close()
	// A parent that is gone is no reason to end a mount that works.
	_, _ = pipe.Write([]byte{1})
	return nil
}
