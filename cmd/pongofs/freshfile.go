package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
)

// freshFile is a file that is written under a temporary name and appears under
// its own complete and durable, or not at all. Killed meanwhile, a process
// leaves the temporary file, never part of the other.
type freshFile struct {
	tmp, name string
}

// newFreshFile makes the temporary file, in the directory of name. Its mode
// and owner are those of like, as far as we may set them.
func newFreshFile(name string, like fs.FileInfo) (*freshFile, *os.File, error) {
	t := &freshFile{tmp: fmt.Sprintf("%s.new-%08x", name, rand.Uint32()), name: name}
	f, err := os.OpenFile(t.tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, nil, pathError(err)
	}
	if sys, ok := like.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(sys.Uid), int(sys.Gid)); err != nil {
			_ = f.Chown(-1, int(sys.Gid))
		}
	}
	if err := f.Chmod(like.Mode().Perm()); err != nil {
		t.drop()
		return nil, nil, errors.Join(err, f.Close())
	}
	return t, f, nil
}

// drop removes the temporary file, if it is still there.
func (t *freshFile) drop() { _ = os.Remove(t.tmp) }

// publish gives the file its name. An existing file of that name is replaced,
// or an error that is fs.ErrExist.
func (t *freshFile) publish(replace bool) error {
	var err error
	if replace {
		err = os.Rename(t.tmp, t.name)
	} else {
		err = linkOrRename(t.tmp, t.name)
		t.drop()
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(t.name))
}

// linkOrRename gives a file a second name that nobody has. Where the file
// system has no hard links it loses the first one.
func linkOrRename(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// diskBytes returns the space that a file takes on the disk.
func diskBytes(info fs.FileInfo) int64 {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return sys.Blocks * 512
	}
	return info.Size()
}
