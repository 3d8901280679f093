package integration

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// pathOp is a system call on a path.
type pathOp struct {
	name string
	// kind is what the path must be: f, d or l; 0 when the call makes it.
	kind byte
	// follows says that a symbolic link at the end is followed.
	follows bool
	call    func(path string) error
}

// pathOps are the calls that take a path. Those that make something or take it
// away can be called once.
var pathOps = []pathOp{
	{"open", 'f', true, func(p string) error { return openErr(p, unix.O_RDONLY, 0) }},
	{"open for writing", 'f', true, func(p string) error { return openErr(p, unix.O_WRONLY, 0) }},
	{"opendir", 'd', true, func(p string) error { return openErr(p, unix.O_RDONLY|unix.O_DIRECTORY, 0) }},
	{"stat", 'f', true, func(p string) error { return unix.Stat(p, new(unix.Stat_t)) }},
	{"lstat", 'f', false, func(p string) error { return unix.Lstat(p, new(unix.Stat_t)) }},
	{"access", 'f', true, func(p string) error { return unix.Access(p, unix.F_OK) }},
	{"chmod", 'f', true, func(p string) error { return unix.Chmod(p, 0o640) }},
	{"chown", 'f', true, func(p string) error { return unix.Chown(p, -1, someGroup) }},
	{"lchown", 'f', false, func(p string) error { return unix.Lchown(p, -1, someGroup) }},
	{"truncate", 'f', true, func(p string) error { return unix.Truncate(p, 2) }},
	{"utimensat", 'f', true, func(p string) error { return unix.UtimesNanoAt(unix.AT_FDCWD, p, make([]unix.Timespec, 2), 0) }},
	{"readlink", 'l', false, func(p string) error { _, err := unix.Readlink(p, make([]byte, 10)); return err }},
	{"statfs", 'f', true, func(p string) error { return unix.Statfs(p, new(unix.Statfs_t)) }},
	{"chdir", 'd', true, func(p string) error {
		back, err := unix.Open(".", unix.O_PATH, 0)
		if err != nil {
			return err
		}
		defer unix.Close(back)
		if err := unix.Chdir(p); err != nil {
			return err
		}
		return unix.Fchdir(back)
	}},
	{"setxattr", 'f', true, func(p string) error { return unix.Setxattr(p, "user.x", []byte("y"), 0) }},
	{"listxattr", 'f', true, func(p string) error { _, err := unix.Listxattr(p, nil); return err }},
	{"unlink", 'f', false, func(p string) error { return unix.Unlink(p) }},
	{"rmdir", 'd', false, func(p string) error { return unix.Rmdir(p) }},
	{"rename from", 'f', false, func(p string) error { return unix.Rename(p, "renamed") }},
	{"rename of a directory", 'd', false, func(p string) error { return unix.Rename(p, "renamed-dir") }},
	{"rename to", 0, false, func(p string) error { return unix.Rename("source", p) }},
	{"create", 0, true, func(p string) error { return openErr(p, unix.O_CREAT|unix.O_WRONLY, 0o644) }},
	{"mkdir", 0, false, func(p string) error { return unix.Mkdir(p, 0o755) }},
	{"symlink", 0, false, func(p string) error { return unix.Symlink("to", p) }},
	{"mknod of a file", 0, false, func(p string) error { return unix.Mknod(p, unix.S_IFREG|0o644, 0) }},
}

// unmakeable are calls that make what a store cannot hold: their own errnos
// come first all the same.
var unmakeable = []pathOp{
	{"mkfifo", 0, false, func(p string) error { return unix.Mkfifo(p, 0o644) }},
	{"mknod of a device", 0, false, func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o644, 0x103) }},
	{"link to", 0, false, func(p string) error { return unix.Link("source", p) }},
}

// eachOp calls fn for each call on a path.
func (c *posix) eachOp(fn func(op pathOp)) {
	c.file("source", 0o666)
	for _, op := range append(append([]pathOp{}, pathOps...), unmakeable...) {
		fn(op)
	}
}

// make makes what op needs at path.
func (c *posix) make(op pathOp, path string) {
	switch op.kind {
	case 'f':
		c.file(path, 0o666)
	case 'd':
		c.dir(path, 0o777)
	case 'l':
		c.link("to", path)
	}
}

// deepPath makes directories of 255 bytes each and returns a path to nothing
// of n bytes, the last name having 255 or less.
func (c *posix) deepPath(n int) string {
	const dirs = 15
	dir := strings.Repeat(strings.Repeat("d", 255)+"/", dirs)
	for i := range dirs {
		if err := unix.Mkdir(dir[:(i+1)*256-1], 0o777); err != unix.EEXIST {
			c.need("mkdir", err)
		}
	}
	return dir + strings.Repeat("n", n-len(dir))
}

var pathCases = []posixCase{
	{"path/ENOTDIR", func(c *posix) {
		c.file("f", 0o666)
		c.eachOp(func(op pathOp) {
			c.want(unix.ENOTDIR, op.name+" f/x", op.call("f/x"))
			c.want(unix.ENOTDIR, op.name+" f/x/y", op.call("f/x/y"))
		})
		c.content("f", "f")
	}},
	{"path/ENOENT", func(c *posix) {
		c.eachOp(func(op pathOp) {
			c.want(unix.ENOENT, op.name+" none/x", op.call("none/x"))
			c.want(unix.ENOENT, op.name+" of the empty path", op.call(""))
			if op.kind != 0 {
				c.want(unix.ENOENT, op.name+" none", op.call("none"))
			}
		})
		c.link("nowhere", "l")
		c.eachOp(func(op pathOp) {
			if op.kind != 0 && op.follows {
				c.want(unix.ENOENT, op.name+" of a dangling link", op.call("l"))
			}
			c.want(unix.ENOENT, op.name+" through a dangling link", op.call("l/x"))
		})
	}},
	{"path/EEXIST", func(c *posix) {
		c.file("f", 0o666)
		c.dir("d", 0o777)
		c.link("nowhere", "l")
		c.eachOp(func(op pathOp) {
			if op.kind != 0 || op.name == "rename to" || op.name == "create" {
				return
			}
			for _, path := range []string{"f", "d", "l", ".", "..", "d/."} {
				c.want(unix.EEXIST, op.name+" "+path, op.call(path))
			}
		})
		c.content("f", "f")
	}},
	{"path/ELOOP", func(c *posix) {
		c.link("b", "a")
		c.link("a", "b")
		c.link("self", "self")
		c.eachOp(func(op pathOp) {
			c.want(unix.ELOOP, op.name+" a/x", op.call("a/x"))
			c.want(unix.ELOOP, op.name+" self/x", op.call("self/x"))
			if op.follows {
				c.want(unix.ELOOP, op.name+" a", op.call("a"))
			}
		})
		// Forty links in a row are too many, eight are not.
		c.file("l0", 0o666)
		for i := range 41 {
			c.link(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i+1))
		}
		c.content("l8", "l0")
		c.want(unix.ELOOP, "open of a long chain", openErr("l41", unix.O_RDONLY, 0))
	}},
	{"path/name of 256 bytes", func(c *posix) {
		long := strings.Repeat("n", 256)
		c.dir("d", 0o777)
		c.eachOp(func(op pathOp) {
			for _, path := range []string{long, long + "/x", "d/" + long, "d/" + long + "/x"} {
				c.want(unix.ENAMETOOLONG, fmt.Sprintf("%s with %d bytes", op.name, len(path)), op.call(path))
			}
		})
	}},
	{"path/name of 255 bytes", func(c *posix) {
		long := strings.Repeat("n", 255)
		for _, op := range pathOps {
			c.file("source", 0o666)
			c.make(op, long)
			c.try(op.name, op.call(long))
			c.need("remove", os.RemoveAll(long))
			c.need("remove", os.RemoveAll("renamed"))
		}
	}},
	{"path/path of 4096 bytes", func(c *posix) {
		path := c.deepPath(4095) + "/"
		c.eachOp(func(op pathOp) {
			c.want(unix.ENAMETOOLONG, op.name, op.call(path))
			c.want(unix.ENAMETOOLONG, op.name+" of dots", op.call(strings.Repeat("./", 2047)+"ab"))
		})
	}},
	{"path/path of 4095 bytes", func(c *posix) {
		path := c.deepPath(4095)
		for _, op := range pathOps {
			c.file("source", 0o666)
			c.make(op, path)
			c.try(op.name, op.call(path))
			c.need("remove", os.RemoveAll(path))
			c.need("remove", os.RemoveAll("renamed"))
		}
		c.link("source", "short")
		c.file("source", 0o666)
		dots := strings.Repeat("./", 2045) + "short"
		equal(c, "length of the path with dots", len(dots), 4095)
		c.try("open with dots", openErr(dots, unix.O_RDONLY, 0))
	}},
	{"path/EACCES search", func(c *posix) {
		c.dir("closed", 0o700)
		c.file("closed/x", 0o777)
		c.dir("open", 0o777)
		c.file("source", 0o666)
		c.as(someUser, someGroup, func() {
			for _, op := range append(append([]pathOp{}, pathOps...), unmakeable...) {
				c.want(unix.EACCES, op.name+" closed/x", op.call("closed/x"))
				c.want(unix.EACCES, op.name+" closed/y", op.call("closed/y"))
			}
		})
		c.content("closed/x", "closed/x")
	}},
	{"path/EACCES write", func(c *posix) {
		c.dir("fixed", 0o755)
		c.fileOf("fixed/f", 0o666, someUser, someGroup)
		c.dirOf("fixed/d", 0o777, someUser, someGroup)
		c.dirOf("mine", 0o755, someUser, someGroup)
		c.need("chdir", unix.Chdir("mine"))
		c.as(someUser, someGroup, func() {
			c.file("source", 0o666)
			for _, op := range append(append([]pathOp{}, pathOps...), unmakeable...) {
				if op.kind == 0 {
					c.want(unix.EACCES, op.name, op.call("../fixed/new"))
				}
			}
			c.want(unix.EACCES, "unlink", unix.Unlink("../fixed/f"))
			c.want(unix.EACCES, "rmdir", unix.Rmdir("../fixed/d"))
			c.want(unix.EACCES, "rename from", unix.Rename("../fixed/f", "f"))
			c.want(unix.EACCES, "rename over", unix.Rename("source", "../fixed/f"))
			c.try("a call that needs no write permission there", unix.Chmod("../fixed/f", 0o600))
		})
	}},
	{"path/EFAULT", func(c *posix) {
		c.file("f", 0o666)
		const bad = 1 // no page is there
		for name, call := range map[string]uintptr{
			"open": unix.SYS_OPENAT, "mkdir": unix.SYS_MKDIRAT, "unlink": unix.SYS_UNLINKAT,
			"chmod": unix.SYS_FCHMODAT, "chown": unix.SYS_FCHOWNAT, "stat": unix.SYS_NEWFSTATAT,
			"access": unix.SYS_FACCESSAT, "mknod": unix.SYS_MKNODAT,
		} {
			_, _, errno := unix.Syscall6(call, cwd(), bad, 0, 0, 0, 0)
			equal(c, name, errno, unix.EFAULT)
		}
		_, _, errno := unix.Syscall6(unix.SYS_READLINKAT, cwd(), bad, bad, 1, 0, 0)
		equal(c, "readlink", errno, unix.EFAULT)
		_, _, errno = unix.Syscall(unix.SYS_TRUNCATE, bad, 0, 0)
		equal(c, "truncate", errno, unix.EFAULT)
		_, _, errno = unix.Syscall6(unix.SYS_RENAMEAT2, cwd(), bad, cwd(), bad, 0, 0)
		equal(c, "rename", errno, unix.EFAULT)
		_, _, errno = unix.Syscall(unix.SYS_SYMLINKAT, bad, cwd(), bad)
		equal(c, "symlink", errno, unix.EFAULT)
		fd := c.open("f", unix.O_RDWR, 0)
		_, _, errno = unix.Syscall(unix.SYS_READ, uintptr(fd), bad, 1)
		equal(c, "read", errno, unix.EFAULT)
		_, _, errno = unix.Syscall(unix.SYS_WRITE, uintptr(fd), bad, 1)
		equal(c, "write", errno, unix.EFAULT)
		_, _, errno = unix.Syscall(unix.SYS_GETDENTS64, uintptr(c.open(".", unix.O_RDONLY, 0)), bad, 4096)
		equal(c, "getdents", errno, unix.EFAULT)
		c.content("f", "f")
	}},
	{"path/trailing slash", func(c *posix) {
		c.file("f", 0o666)
		c.dir("d", 0o755)
		c.link("d", "l")
		for _, op := range pathOps {
			if op.kind != 'f' {
				continue
			}
			c.want(unix.ENOTDIR, op.name+" f/", op.call("f/"))
		}
		c.try("mkdir new/", unix.Mkdir("new/", 0o755))
		c.try("rmdir new/", unix.Rmdir("new/"))
		c.want(unix.EISDIR, "create new/", openErr("new/", unix.O_CREAT|unix.O_WRONLY, 0o644))
		c.want(unix.ENOTDIR, "unlink of l/", unix.Unlink("l/"))
		c.want(unix.ENOTDIR, "rmdir of a link", unix.Rmdir("l"))
		c.want(unix.ENOTDIR, "rmdir of l/", unix.Rmdir("l/"))
		c.want(unix.ENOTDIR, "rename of a file to g/", unix.Rename("f", "g/"))
		c.try("rename of a directory to e/", unix.Rename("d", "e/"))
	}},
}

func cwd() uintptr {
	at := unix.AT_FDCWD
	return uintptr(at)
}
