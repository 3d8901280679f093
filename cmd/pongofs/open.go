package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"pongofs/engine"
)

// withStore opens a store, calls fn and closes the store, which makes durable
// what fn has published. Errors name the store.
func withStore(path string, o engine.Options, fn func(*engine.Store) error) error {
	s, err := openStore(path, o)
	if err != nil {
		return err
	}
	return useStore(path, s, fn)
}

// withReadableStore is withStore for commands that only read. A store that
// may not be written is opened read-only.
func withReadableStore(path string, fn func(*engine.Store) error) error {
	s, err := openStore(path, engine.Options{})
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		s, err = openStore(path, engine.Options{ReadOnly: true})
	}
	if err != nil {
		return err
	}
	return useStore(path, s, fn)
}

// useStore calls fn and closes the store, whatever fn says.
func useStore(path string, s *engine.Store, fn func(*engine.Store) error) error {
	err := fn(s)
	if closeErr := s.Close(); err == nil {
		err = closeErr
	}
	return storeError(path, err)
}

func openStore(path string, o engine.Options) (*engine.Store, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s: is a directory, not a store file", path)
	}
	// The engine may look at the path again after a change of directory.
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	o.Collect = collectFull
	s, err := engine.Open(abs, o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &describedError{fmt.Sprintf("%s: no such store; make it with: pongofs create %s", path, path), err}
	}
	if err != nil {
		return nil, storeError(path, err)
	}
	return s, nil
}

// view runs fn on one version of a store that is only read: the newest, or that
// of STORE@SNAPSHOT.
func view(path string, fn func(*engine.Tx) error) error {
	from := parseStore(path)
	return withReadableStore(from.store, func(s *engine.Store) error { return viewSide(s, &from, fn) })
}

// update runs fn as one edit of a store. fn may run more than once.
func update(path string, fn func(*engine.Tx) error) error {
	return withStore(path, engine.Options{}, func(s *engine.Store) error { return s.Update(fn) })
}

// buffered gives fn a buffer before w and flushes it, so that a full disk
// behind stdout is an error and not silence.
func buffered(w io.Writer, fn func(w *bufio.Writer) error) error {
	b := bufio.NewWriterSize(w, 64<<10)
	err := fn(b)
	if flushErr := b.Flush(); err == nil {
		err = flushErr
	}
	return err
}

// newFileAttr and newDirAttr are what a value gets that a command creates: the
// caller's ids, and the mode that open(2) and mkdir(2) would give.
func newFileAttr() engine.NewAttr { return newAttr(0o666) }

func newDirAttr() engine.NewAttr { return newAttr(0o777) }

func newAttr(mode uint32) engine.NewAttr {
	return engine.NewAttr{Mode: mode &^ umask(), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
}

// umask reads the mask of the process, which Linux tells only by setting it.
func umask() uint32 {
	mask := syscall.Umask(0o022)
	syscall.Umask(mask)
	return uint32(mask)
}
