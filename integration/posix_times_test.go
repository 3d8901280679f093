package integration

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timesCase is a case of one operation on files that setUp has made.
func timesCase(name, want string, op func(c *posix)) posixCase {
	return posixCase{"times/" + name, func(c *posix) {
		c.timesFiles()
		c.times(name, want, func() { op(c) })
	}}
}

// timesFiles makes what the cases of times work on.
func (c *posix) timesFiles() {
	c.dir("d", 0o755)
	c.dir("e", 0o755)
	c.dir("d/sub", 0o755)
	c.file("d/f", 0o644)
	c.file("d/g", 0o644)
	c.file("e/h", 0o644)
	c.file("d/empty", 0o644)
	c.need("truncate", os.Truncate("d/empty", 0))
	c.link("f", "d/l")
	c.need("setxattr", unix.Setxattr("d/f", "user.x", []byte("y"), 0))
}

var timeCases = []posixCase{
	timesCase("create", ".: d:mc", func(c *posix) {
		c.try("create", openErr("d/new", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644))
	}),
	timesCase("mknod", ".: d:mc", func(c *posix) { c.try("mknod", unix.Mknod("d/new", unix.S_IFREG|0o644, 0)) }),
	timesCase("mkdir", ".: d:mc d/sub:", func(c *posix) { c.try("mkdir", unix.Mkdir("d/new", 0o755)) }),
	timesCase("rmdir", ".: d:mc", func(c *posix) { c.try("rmdir", unix.Rmdir("d/sub")) }),
	timesCase("symlink", ".: d:mc d/f:", func(c *posix) { c.try("symlink", unix.Symlink("f", "d/new")) }),
	timesCase("unlink", ".: d:mc d/g:", func(c *posix) { c.try("unlink", unix.Unlink("d/f")) }),
	timesCase("unlink of a link", "d:mc d/f:", func(c *posix) { c.try("unlink", unix.Unlink("d/l")) }),
	timesCase("mkdir in a directory below", "d: d/sub:mc", func(c *posix) { c.try("mkdir", unix.Mkdir("d/sub/new", 0o755)) }),
	timesCase("open with O_CREAT of an existing file", "d: d/f:", func(c *posix) {
		c.try("open", openErr("d/f", unix.O_CREAT|unix.O_WRONLY, 0o644))
	}),
	{"times/unlink of an open file", func(c *posix) {
		c.timesFiles()
		fd := c.open("d/f", unix.O_RDWR, 0)
		c.times("unlink", fmt.Sprintf("d:mc /proc/self/fd/%d:c", fd), func() { c.try("unlink", unix.Unlink("d/f")) })
		c.times("write", fmt.Sprintf("d: /proc/self/fd/%d:mc", fd), func() {
			_, err := unix.Write(fd, []byte("more"))
			c.try("write", err)
		})
	}},
	{"times/rename over an open file", func(c *posix) {
		c.timesFiles()
		fd := c.open("d/f", unix.O_RDWR, 0)
		c.times("rename", fmt.Sprintf("d:mc /proc/self/fd/%d:c", fd), func() { c.try("rename", unix.Rename("d/g", "d/f")) })
	}},

	timesCase("rename", ".: d:mc d/f>d/new:c d/g:", func(c *posix) { c.try("rename", unix.Rename("d/f", "d/new")) }),
	timesCase("rename to another directory", ".: d:mc e:mc d/f>e/f:c", func(c *posix) { c.try("rename", unix.Rename("d/f", "e/f")) }),
	timesCase("rename over a file", "d:mc e:mc d/f>e/h:c", func(c *posix) { c.try("rename", unix.Rename("d/f", "e/h")) }),
	timesCase("rename of a directory", "d:mc d/sub>d/new:c", func(c *posix) { c.try("rename", unix.Rename("d/sub", "d/new")) }),
	timesCase("rename of a directory to another one", "d:mc e:mc d/sub>e/sub:c", func(c *posix) { c.try("rename", unix.Rename("d/sub", "e/sub")) }),
	timesCase("rename of a link", "d:mc d/l>d/new:c d/f:", func(c *posix) { c.try("rename", unix.Rename("d/l", "d/new")) }),
	timesCase("rename to itself", "d: d/f:", func(c *posix) { c.try("rename", unix.Rename("d/f", "d/f")) }),
	timesCase("exchange", "d:mc e:mc d/f>e/h:c e/h>d/f:c", func(c *posix) {
		c.try("renameat2", unix.Renameat2(unix.AT_FDCWD, "d/f", unix.AT_FDCWD, "e/h", unix.RENAME_EXCHANGE))
	}),

	timesCase("chmod", "d: d/f:c", func(c *posix) { c.try("chmod", unix.Chmod("d/f", 0o600)) }),
	timesCase("chmod to the same mode", "d/f:c", func(c *posix) { c.try("chmod", unix.Chmod("d/f", 0o644)) }),
	timesCase("chmod of a directory", ".: d:c", func(c *posix) { c.try("chmod", unix.Chmod("d", 0o700)) }),
	timesCase("chmod through a link", "d/l: d/f:c", func(c *posix) { c.try("chmod", unix.Chmod("d/l", 0o600)) }),
	timesCase("fchmod", "d: d/f:c", func(c *posix) { c.try("fchmod", unix.Fchmod(c.open("d/f", unix.O_RDONLY, 0), 0o600)) }),
	timesCase("chown", "d: d/f:c", func(c *posix) { c.try("chown", unix.Chown("d/f", someUser, someGroup)) }),
	timesCase("chown to the same owner", "d/f:c", func(c *posix) { c.try("chown", unix.Chown("d/f", 0, 0)) }),
	timesCase("chown that names nobody", "d/f:c", func(c *posix) { c.try("chown", unix.Chown("d/f", -1, -1)) }),
	timesCase("chown of a directory", ".: d:c", func(c *posix) { c.try("chown", unix.Chown("d", someUser, someGroup)) }),
	timesCase("lchown", "d: d/l:c d/f:", func(c *posix) { c.try("lchown", unix.Lchown("d/l", someUser, someGroup)) }),
	timesCase("setxattr", "d: d/f:c", func(c *posix) { c.try("setxattr", unix.Setxattr("d/f", "user.a", []byte("b"), 0)) }),
	timesCase("removexattr", "d: d/f:c", func(c *posix) { c.try("removexattr", unix.Removexattr("d/f", "user.x")) }),
	timesCase("setxattr of a directory", ".: d:c", func(c *posix) { c.try("setxattr", unix.Setxattr("d", "user.a", []byte("b"), 0)) }),

	timesCase("truncate shorter", "d: d/f:mc", func(c *posix) { c.try("truncate", unix.Truncate("d/f", 1)) }),
	timesCase("truncate longer", "d: d/f:mc", func(c *posix) { c.try("truncate", unix.Truncate("d/f", 100)) }),
	timesCase("truncate to the same size", "d: d/f:mc", func(c *posix) { c.try("truncate", unix.Truncate("d/f", 3)) }),
	timesCase("ftruncate shorter", "d: d/f:mc", func(c *posix) { c.try("ftruncate", unix.Ftruncate(c.open("d/f", unix.O_RDWR, 0), 1)) }),
	timesCase("ftruncate longer", "d: d/f:mc", func(c *posix) { c.try("ftruncate", unix.Ftruncate(c.open("d/f", unix.O_RDWR, 0), 100)) }),
	timesCase("ftruncate to the same size", "d: d/f:mc", func(c *posix) { c.try("ftruncate", unix.Ftruncate(c.open("d/f", unix.O_RDWR, 0), 3)) }),
	timesCase("O_TRUNC", "d: d/f:mc", func(c *posix) { c.try("open", openErr("d/f", unix.O_WRONLY|unix.O_TRUNC, 0)) }),
	timesCase("O_TRUNC of an empty file", "d: d/empty:mc", func(c *posix) { c.try("open", openErr("d/empty", unix.O_WRONLY|unix.O_TRUNC, 0)) }),
	timesCase("write", "d: d/f:mc", func(c *posix) { c.write("d/f", unix.O_WRONLY, "new") }),
	timesCase("write of what is there", "d: d/f:mc", func(c *posix) { c.write("d/f", unix.O_WRONLY, "d/f") }),
	timesCase("append", "d: d/f:mc", func(c *posix) { c.write("d/f", unix.O_WRONLY|unix.O_APPEND, "x") }),
	timesCase("write of nothing", "d: d/f:", func(c *posix) { c.write("d/f", unix.O_WRONLY, "") }),
	timesCase("fallocate", "d: d/f:mc", func(c *posix) {
		c.try("fallocate", unix.Fallocate(c.open("d/f", unix.O_RDWR, 0), 0, 0, 100))
	}),
	{"times/write through mmap", func(c *posix) {
		c.timesFiles()
		c.times("a store and msync", "d: d/f:mc", func() {
			fd := c.open("d/f", unix.O_RDWR, 0)
			b, err := unix.Mmap(fd, 0, 3, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			c.need("mmap", err)
			b[0] = 'X'
			c.try("msync", unix.Msync(b, unix.MS_SYNC))
			c.try("munmap", unix.Munmap(b))
		})
		c.content("d/f", "X/f")
	}},

	timesCase("reading", "d: d/f: d/l: d/sub:", func(c *posix) {
		c.content("d/f", "d/f")
		c.content("d/l", "d/f")
		_, err := os.ReadDir("d")
		c.try("readdir", err)
		_, err = os.Readlink("d/l")
		c.try("readlink", err)
		c.try("access", unix.Access("d/f", unix.R_OK))
		c.try("opendir", openErr("d/sub", unix.O_DIRECTORY, 0))
		_, err = unix.Listxattr("d/f", make([]byte, 100))
		c.try("listxattr", err)
		c.try("fsync", unix.Fsync(c.open("d/f", unix.O_RDWR, 0)))
	}),

	timesCase("utimensat", "d: d/f:mc", func(c *posix) { c.try("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, "d/f", nil, 0)) }),
	timesCase("utimensat of a link", "d: d/l:mc d/f:", func(c *posix) {
		c.try("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, "d/l", nil, unix.AT_SYMLINK_NOFOLLOW))
	}),
	timesCase("utimensat with UTIME_OMIT", "d: d/f:", func(c *posix) {
		omit := unix.Timespec{Nsec: unix.UTIME_OMIT}
		c.try("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, "d/f", []unix.Timespec{omit, omit}, 0))
	}),
	timesCase("utimensat of mtime alone", "d: d/f:mc", func(c *posix) {
		c.try("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, "d/f", []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_NOW}}, 0))
	}),
	timesCase("utimensat of atime alone", "d: d/f:c", func(c *posix) {
		c.try("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, "d/f", []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_OMIT}}, 0))
	}),
	timesCase("link", "d:mc d/f:c", func(c *posix) { c.try("link", unix.Link("d/f", "d/new")) }),

	{"times/utimensat sets what it is told", func(c *posix) {
		c.file("f", 0o644)
		c.dir("d", 0o755)
		c.link("f", "l")
		for _, path := range []string{"f", "d", "l"} {
			for _, want := range []unix.Timespec{{Sec: 1}, {}, {Sec: -1, Nsec: 999999999}, {Sec: 981173106, Nsec: 123456789}, {Sec: 1 << 31}, {Sec: 1<<32 + 5, Nsec: 1}} {
				c.try("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{want, want}, unix.AT_SYMLINK_NOFOLLOW))
				equal(c, "mtime of "+path, c.lstat(path).Mtim, want)
			}
		}
	}},
	{"times/utimensat keeps atime apart", func(c *posix) {
		c.file("f", 0o644)
		a, m := unix.Timespec{Sec: 1}, unix.Timespec{Sec: 2}
		c.try("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{a, m}, 0))
		equal(c, "atime", c.lstat("f").Atim, a)
		equal(c, "mtime", c.lstat("f").Mtim, m)
	}},
	{"times/of what is new", func(c *posix) {
		var before unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &before)
		c.makeEach("new-")
		after := time.Now()
		for _, path := range []string{"new-file", "new-node", "new-dir", "new-link"} {
			st := c.lstat(path)
			for _, ts := range []unix.Timespec{st.Mtim, st.Ctim, st.Atim} {
				if later(before, ts) || time.Unix(ts.Unix()).After(after) {
					c.errorf("%s has a time of %v, made between %v and %v", path, ts, before, after)
				}
			}
			equal(c, "mtime and ctime of "+path, st.Mtim, st.Ctim)
		}
	}},
}

// failedTimeCases are calls that fail: no time changes.
var failedTimeCases = []posixCase{
	{"times/failed calls", func(c *posix) {
		c.timesFiles()
		c.dirOf("mine", 0o777, someUser, someGroup)
		const all = ".: d: e: d/sub: d/f: d/g: d/l: e/h: mine:"
		at := unix.AT_FDCWD
		bad := []unix.Timespec{{Nsec: 1_000_000_000}, {Nsec: 1_000_000_000}}
		c.need("fill", unix.Mkdir("d/sub/full", 0o755))
		for _, call := range []struct {
			name  string
			errno unix.Errno
			call  func() error
		}{
			{"open O_EXCL", unix.EEXIST, func() error { return openErr("d/f", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644) }},
			{"open O_TRUNC of a directory", unix.EISDIR, func() error { return openErr("d/sub", unix.O_WRONLY|unix.O_TRUNC, 0) }},
			{"open O_TRUNC of a link", unix.ELOOP, func() error { return openErr("d/l", unix.O_WRONLY|unix.O_TRUNC|unix.O_NOFOLLOW, 0) }},
			{"mkdir", unix.EEXIST, func() error { return unix.Mkdir("d/sub", 0o755) }},
			{"rmdir", unix.ENOTEMPTY, func() error { return unix.Rmdir("d/sub") }},
			{"rmdir of a file", unix.ENOTDIR, func() error { return unix.Rmdir("d/f") }},
			{"unlink of a directory", unix.EISDIR, func() error { return unix.Unlink("d/sub") }},
			{"unlink of nothing", unix.ENOENT, func() error { return unix.Unlink("d/none") }},
			{"symlink", unix.EEXIST, func() error { return unix.Symlink("x", "d/f") }},
			{"rename onto a directory", unix.EISDIR, func() error { return unix.Rename("d/f", "d/sub") }},
			{"rename onto a file", unix.ENOTDIR, func() error { return unix.Rename("d/sub", "d/f") }},
			{"rename onto a full directory", unix.ENOTEMPTY, func() error { return unix.Rename("e", "d/sub") }},
			{"rename into itself", unix.EINVAL, func() error { return unix.Rename("d", "d/sub/d") }},
			{"rename without replacing", unix.EEXIST, func() error { return unix.Renameat2(at, "d/f", at, "d/g", unix.RENAME_NOREPLACE) }},
			{"exchange with nothing", unix.ENOENT, func() error { return unix.Renameat2(at, "d/f", at, "d/none", unix.RENAME_EXCHANGE) }},
			{"truncate to a negative size", unix.EINVAL, func() error { return unix.Truncate("d/f", -1) }},
			{"truncate of a directory", unix.EISDIR, func() error { return unix.Truncate("d", 0) }},
			{"utimensat with bad times", unix.EINVAL, func() error { return unix.UtimesNanoAt(at, "d/f", bad, 0) }},
			{"setxattr of what is there", unix.EEXIST, func() error { return unix.Setxattr("d/f", "user.x", nil, unix.XATTR_CREATE) }},
			{"setxattr of what is not there", unix.ENODATA, func() error { return unix.Setxattr("d/f", "user.z", nil, unix.XATTR_REPLACE) }},
			{"removexattr", unix.ENODATA, func() error { return unix.Removexattr("d/f", "user.z") }},
			{"link", unix.EEXIST, func() error { return unix.Link("d/f", "d/g") }},
			{"mkfifo", unix.EEXIST, func() error { return unix.Mkfifo("d/f", 0o644) }},
			{"write", unix.EBADF, func() error { _, err := unix.Write(c.open("d/f", unix.O_RDONLY, 0), []byte("x")); return err }},
			{"ftruncate", unix.EINVAL, func() error { return unix.Ftruncate(c.open("d/f", unix.O_RDONLY, 0), 0) }},
		} {
			c.times("failed "+call.name, all, func() { c.want(call.errno, call.name, call.call()) })
		}
		for _, call := range []struct {
			name  string
			errno unix.Errno
			call  func() error
		}{
			{"chmod", unix.EPERM, func() error { return unix.Chmod("d/f", 0o777) }},
			{"chown", unix.EPERM, func() error { return unix.Chown("d/f", someUser, -1) }},
			{"utimensat", unix.EPERM, func() error { return unix.UtimesNanoAt(at, "d/f", make([]unix.Timespec, 2), 0) }},
			{"utimensat to now", unix.EACCES, func() error { return unix.UtimesNanoAt(at, "d/f", nil, 0) }},
			{"truncate", unix.EACCES, func() error { return unix.Truncate("d/f", 0) }},
			{"open O_TRUNC", unix.EACCES, func() error { return openErr("d/f", unix.O_RDONLY|unix.O_TRUNC, 0) }},
			{"create", unix.EACCES, func() error { return openErr("d/new", unix.O_CREAT|unix.O_WRONLY, 0o644) }},
			{"mkdir", unix.EACCES, func() error { return unix.Mkdir("d/new", 0o755) }},
			{"rmdir", unix.EACCES, func() error { return unix.Rmdir("d/sub") }},
			{"unlink", unix.EACCES, func() error { return unix.Unlink("d/f") }},
			{"symlink", unix.EACCES, func() error { return unix.Symlink("x", "d/new") }},
			{"rename from", unix.EACCES, func() error { return unix.Rename("d/f", "mine/f") }},
			{"rename to", unix.EACCES, func() error { return unix.Rename("mine", "d/mine") }},
			{"setxattr", unix.EACCES, func() error { return unix.Setxattr("d/f", "user.x", nil, 0) }},
		} {
			c.times("forbidden "+call.name, all, func() {
				c.as(someUser, someGroup, func() { c.want(call.errno, "forbidden "+call.name, call.call()) })
			})
		}
		c.content("d/f", "d/f")
	}},
	{"times/utimensat EINVAL", func(c *posix) {
		c.file("f", 0o644)
		for _, nsec := range []int64{-1, 1_000_000_000, 1 << 30} {
			for i := range 2 {
				ts := make([]unix.Timespec, 2)
				ts[i].Nsec = nsec
				c.want(unix.EINVAL, fmt.Sprintf("utimensat with %d ns", nsec), unix.UtimesNanoAt(unix.AT_FDCWD, "f", ts, 0))
			}
		}
		c.want(unix.EINVAL, "utimensat with a bad flag", unix.UtimesNanoAt(unix.AT_FDCWD, "f", nil, 0x40000000))
		c.want(syscall.EBADF, "utimensat of no descriptor", unix.UtimesNanoAt(-5, "f", nil, 0))
	}},
}

// write opens a file, writes once and closes it.
func (c *posix) write(path string, flags int, text string) {
	fd, err := unix.Open(path, flags, 0)
	c.need("open", err)
	n, err := unix.Write(fd, []byte(text))
	c.try("write", err)
	equal(c, "bytes written", n, len(text))
	c.try("close", unix.Close(fd))
}
