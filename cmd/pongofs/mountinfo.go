package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// fsType is the type of our mounts as mountinfo shows it.
const fsType = "fuse.pongofs"

// mountEntry is one line of /proc/self/mountinfo, proc_pid_mountinfo(5).
type mountEntry struct {
	device  string // major:minor, unique among the mounts of the moment
	dir     string
	options []string
	fsType  string
	source  string
	super   []string // options of the file system itself
}

// readOnly reports whether the mount or its file system refuses writes.
func (m *mountEntry) readOnly() bool {
	return slices.Contains(m.options, "ro") || slices.Contains(m.super, "ro")
}

// readMounts returns all mounts, later ones last.
func readMounts() ([]mountEntry, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMounts(f)
}

func parseMounts(r io.Reader) ([]mountEntry, error) {
	var mounts []mountEntry
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		// 36 35 98:0 /root /dir rw,noatime master:1 - ext3 /dev/root rw
		first, second, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(first), strings.Fields(second)
		if !ok || len(left) < 6 || len(right) < 3 {
			continue
		}
		mounts = append(mounts, mountEntry{
			device:  left[2],
			dir:     unescapeMount(left[4]),
			options: strings.Split(left[5], ","),
			fsType:  right[0],
			source:  unescapeMount(right[1]),
			super:   strings.Split(right[2], ","),
		})
	}
	return mounts, lines.Err()
}

// unescapeMount decodes the octal escapes of blanks and backslashes.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mountAt returns the mount that is visible at dir, an absolute path without
// symbolic links. The last one covers the others.
func mountAt(dir string) (mountEntry, bool, error) {
	mounts, err := readMounts()
	if err != nil {
		return mountEntry{}, false, err
	}
	for _, m := range slices.Backward(mounts) {
		if m.dir == dir {
			return m, true, nil
		}
	}
	return mountEntry{}, false, nil
}

// mountsOf returns the mounts of a store.
func mountsOf(store string) ([]mountEntry, error) {
	path, err := realPath(store)
	if err != nil {
		return nil, err
	}
	mounts, err := readMounts()
	return slices.DeleteFunc(mounts, func(m mountEntry) bool {
		return m.fsType != fsType || m.source != path
	}), err
}

// realPath returns the absolute path of a file that exists, without symbolic
// links. The last name is only looked at with lstat(2), which fails on a
// mount whose server is dead; such a path counts as existing.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	const maxLinks = 40
	for range maxLinks {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, filepath.Base(path))
		info, err := os.Lstat(path)
		// A mount without a server, or one whose store cannot be read.
		if isDeadMount(err) || errors.Is(err, syscall.EIO) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&os.ModeSymlink == 0 {
			return path, nil
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return filepath.EvalSymlinks(path)
}
