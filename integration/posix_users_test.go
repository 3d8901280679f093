package integration

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// classes are users for whom the owner's, the group's and the others' bits of
// a file of someUser and someGroup count, with the shift of these bits.
var classes = []struct {
	name     string
	uid, gid int
	groups   []uint32
	shift    uint
}{
	{"owner", someUser, nextGroup, nil, 6},
	{"group", nextUser, someGroup, nil, 3},
	{"further group", nextUser, nextGroup, []uint32{someGroup}, 3},
	{"other", nextUser, nextGroup, nil, 0},
}

// allowed checks that a call succeeds if and only if it may.
func (c *posix) allowed(may bool, what string, err error) {
	if may {
		c.try(what, err)
		return
	}
	c.want(unix.EACCES, what, err)
}

var permissionCases = []posixCase{
	{"permission/files", func(c *posix) {
		for _, class := range classes {
			for bits := range uint32(8) {
				// The other classes have the opposite bits.
				mode := 0o777&^(7<<class.shift)&^(bits*0o111) | bits<<class.shift
				c.fileOf("f", mode, someUser, someGroup)
				what := func(call string) string { return fmt.Sprintf("%s of %04o as %s", call, mode, class.name) }
				c.as(class.uid, class.gid, func() {
					r, w, x := bits&4 != 0, bits&2 != 0, bits&1 != 0
					c.allowed(r, what("open for reading"), openErr("f", unix.O_RDONLY, 0))
					c.allowed(w, what("open for writing"), openErr("f", unix.O_WRONLY, 0))
					c.allowed(r && w, what("open for both"), openErr("f", unix.O_RDWR, 0))
					c.allowed(w, what("truncate"), unix.Truncate("f", 1))
					c.allowed(r && w, what("open with O_TRUNC"), openErr("f", unix.O_RDONLY|unix.O_TRUNC, 0))
					c.allowed(r, what("access R_OK"), unix.Access("f", unix.R_OK))
					c.allowed(w, what("access W_OK"), unix.Access("f", unix.W_OK))
					c.allowed(x, what("access X_OK"), unix.Access("f", unix.X_OK))
					c.allowed(r && w && x, what("access of all"), unix.Access("f", unix.R_OK|unix.W_OK|unix.X_OK))
					c.allowed(w || class.shift == 6, what("touch"), unix.UtimesNanoAt(unix.AT_FDCWD, "f", nil, 0))
					c.try(what("stat"), unix.Stat("f", new(unix.Stat_t)))
				}, class.groups...)
				c.need("unlink", unix.Unlink("f"))
			}
		}
	}},
	{"permission/directories", func(c *posix) {
		for _, class := range classes {
			for bits := range uint32(8) {
				mode := 0o777&^(7<<class.shift)&^(bits*0o111) | bits<<class.shift
				c.dir("d", 0o755)
				c.file("d/f", 0o666)
				c.need("chown", unix.Chown("d", someUser, someGroup))
				c.need("chmod", unix.Chmod("d", mode))
				what := func(call string) string { return fmt.Sprintf("%s in %04o as %s", call, mode, class.name) }
				c.as(class.uid, class.gid, func() {
					r, w, x := bits&4 != 0, bits&2 != 0, bits&1 != 0
					_, err := os.ReadDir("d")
					c.allowed(r, what("list"), err)
					c.allowed(x, what("stat"), unix.Stat("d/f", new(unix.Stat_t)))
					c.allowed(x, what("open"), openErr("d/f", unix.O_RDONLY, 0))
					c.allowed(w && x, what("create"), openErr("d/g", unix.O_CREAT|unix.O_WRONLY, 0o644))
					c.allowed(w && x, what("mkdir"), unix.Mkdir("d/h", 0o755))
					c.allowed(w && x, what("symlink"), unix.Symlink("x", "d/l"))
					c.allowed(w && x, what("rename"), unix.Rename("d/f", "d/k"))
					if w && x {
						c.try(what("unlink"), unix.Unlink("d/g"))
						c.try(what("rmdir"), unix.Rmdir("d/h"))
					}
				}, class.groups...)
				c.need("remove", os.RemoveAll("d"))
			}
		}
	}},
	{"permission/root", func(c *posix) {
		c.fileOf("f", 0, someUser, someGroup)
		c.dirOf("d", 0, someUser, someGroup)
		c.try("open", openErr("f", unix.O_RDWR, 0))
		c.try("create", openErr("d/f", unix.O_CREAT|unix.O_WRONLY, 0o644))
		c.want(unix.EACCES, "access X_OK of a file that nobody may run", unix.Access("f", unix.X_OK))
		c.try("access X_OK of a directory", unix.Access("d", unix.X_OK))
		c.need("chmod", unix.Chmod("f", 0o001))
		c.try("access X_OK of a file that others may run", unix.Access("f", unix.X_OK))
	}},
	{"permission/access", func(c *posix) {
		c.fileOf("f", 0o600, someUser, someGroup)
		c.want(unix.EINVAL, "access with a bad mode", unix.Access("f", 0o10))
		c.want(unix.EINVAL, "faccessat with a bad flag", unix.Faccessat(unix.AT_FDCWD, "f", unix.R_OK, 0x40000000))
		// The real user counts, or the effective one with AT_EACCESS.
		c.need("setresuid", raw(unix.SYS_SETRESUID, someUser, 0, 0))
		defer func() { c.need("setresuid", raw(unix.SYS_SETRESUID, 0, 0, 0)) }()
		c.try("access as the real user", unix.Access("f", unix.R_OK|unix.W_OK))
		c.want(unix.EACCES, "access X_OK as the real user", unix.Access("f", unix.X_OK))
		c.need("chown", unix.Chown("f", nextUser, nextGroup))
		c.want(unix.EACCES, "access of another's file", unix.Access("f", unix.R_OK))
		c.try("faccessat with AT_EACCESS", unix.Faccessat(unix.AT_FDCWD, "f", unix.R_OK, unix.AT_EACCESS))
	}},
	{"permission/EPERM", func(c *posix) {
		c.fileOf("f", 0o666, someUser, someGroup)
		c.dirOf("d", 0o777, someUser, someGroup)
		for _, path := range []string{"f", "d"} {
			c.times("changes by another user", path+": .:", func() {
				c.as(nextUser, someGroup, func() {
					c.want(unix.EPERM, "chmod of another's "+path, unix.Chmod(path, 0o600))
					c.want(unix.EPERM, "chown of another's "+path, unix.Chown(path, nextUser, -1))
					c.want(unix.EPERM, "chgrp of another's "+path, unix.Chown(path, -1, someGroup))
					c.want(unix.EPERM, "utimensat of another's "+path, unix.UtimesNanoAt(unix.AT_FDCWD, path, make([]unix.Timespec, 2), 0))
				})
				c.as(someUser, someGroup, func() {
					c.want(unix.EPERM, "giving away "+path, unix.Chown(path, nextUser, -1))
					c.want(unix.EPERM, "chgrp to a foreign group of "+path, unix.Chown(path, -1, nextGroup))
				})
			})
			c.as(someUser, someGroup, func() {
				c.try("chown to oneself of "+path, unix.Chown(path, someUser, someGroup))
				c.try("chgrp to a further group of "+path, unix.Chown(path, -1, nextGroup))
			}, nextGroup)
			c.owner(path, someUser, nextGroup)
			c.as(nextUser, nextGroup, func() {
				c.try("touch of a writable "+path, touchNow(path, path == "f"))
			})
		}
	}},
	{"permission/moving a directory", func(c *posix) {
		// Moving a directory changes its "..", so it must be writable itself.
		c.dir("a", 0o777)
		c.dir("b", 0o777)
		c.dir("a/d", 0o755)
		c.dirOf("a/e", 0o555, someUser, someGroup)
		c.as(someUser, someGroup, func() {
			c.want(unix.EACCES, "move of a directory without write permission", unix.Rename("a/d", "b/d"))
			c.want(unix.EACCES, "move of one's own without write permission", unix.Rename("a/e", "b/e"))
			c.try("rename in the same directory", unix.Rename("a/d", "a/f"))
		})
	}},
}

// touchNow sets the times of a path to now, which whoever may write may do.
// For a directory that is others' to write in, it does so by a new file.
func touchNow(path string, file bool) error {
	if file {
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, nil, 0)
	}
	return openErr(path+"/new", unix.O_CREAT|unix.O_WRONLY, 0o644)
}

var stickyCases = []posixCase{
	{"sticky/removing", func(c *posix) {
		c.dirOf("s", 0o1777, nextUser, nextGroup)
		c.fileOf("s/f", 0o666, someUser, someGroup)
		c.dirOf("s/d", 0o777, someUser, someGroup)
		c.times("refused calls", "s: s/f: s/d:", func() {
			c.as(nextUser+1, someGroup, func() {
				c.want(unix.EPERM, "unlink of another's file", unix.Unlink("s/f"))
				c.want(unix.EPERM, "rmdir of another's directory", unix.Rmdir("s/d"))
				c.want(unix.EPERM, "rename of another's file", unix.Rename("s/f", "s/g"))
				c.want(unix.EPERM, "rename of another's directory", unix.Rename("s/d", "s/e"))
			})
		})
		c.as(nextUser+1, someGroup, func() {
			c.file("s/mine", 0o644)
			c.want(unix.EPERM, "rename over another's file", unix.Rename("s/mine", "s/f"))
			c.want(unix.EPERM, "exchange with another's file", unix.Renameat2(unix.AT_FDCWD, "s/mine", unix.AT_FDCWD, "s/f", unix.RENAME_EXCHANGE))
			c.try("rename of one's own", unix.Rename("s/mine", "s/own"))
			c.try("unlink of one's own", unix.Unlink("s/own"))
		})
		c.as(someUser, someGroup, func() {
			c.try("rename by the owner of the file", unix.Rename("s/f", "s/g"))
			c.try("rmdir by the owner of the directory", unix.Rmdir("s/d"))
		})
		c.as(nextUser, nextGroup, func() {
			c.try("unlink by the owner of the sticky directory", unix.Unlink("s/g"))
		})
	}},
	{"sticky/bits", func(c *posix) {
		c.fileOf("f", 0o644, someUser, someGroup)
		c.as(someUser, someGroup, func() {
			c.try("sticky bit of a file by its owner", unix.Chmod("f", 0o1644))
		})
		c.mode("f", 0o1644)
	}},
}

// set-id bits go when somebody who is not root changes a file.
var setIDCases = []posixCase{
	{"setid/write", func(c *posix) {
		c.fileOf("f", 0o6777, someUser, someGroup)
		write := func(path string) {
			fd := c.open(path, unix.O_WRONLY, 0)
			_, err := unix.Write(fd, []byte("new"))
			c.try("write", err)
		}
		write("f")
		c.mode("f", 0o6777)
		c.as(nextUser, nextGroup, func() { write("f") })
		c.mode("f", 0o777)
		// Without group execution, set-gid is no set-gid.
		c.fileOf("g", 0o6766, someUser, someGroup)
		c.as(nextUser, someGroup, func() { write("g") })
		c.mode("g", 0o2766)
	}},
	{"setid/truncate", func(c *posix) {
		for name, call := range map[string]func() error{
			"truncate":  func() error { return unix.Truncate("f", 1) },
			"ftruncate": func() error { return unix.Ftruncate(c.open("f", unix.O_WRONLY, 0), 1) },
			"O_TRUNC":   func() error { return unix.Close(c.open("f", unix.O_WRONLY|unix.O_TRUNC, 0)) },
		} {
			c.fileOf("f", 0o6777, someUser, someGroup)
			c.as(nextUser, nextGroup, func() { c.try(name, call()) })
			if got := c.fmode("f"); got != 0o777 {
				c.errorf("%s leaves mode %04o", name, got)
			}
			c.need("unlink", unix.Unlink("f"))
		}
		c.fileOf("f", 0o6777, someUser, someGroup)
		c.try("truncate by root", unix.Truncate("f", 1))
		c.mode("f", 0o6777)
	}},
	{"setid/fallocate", func(c *posix) {
		c.fileOf("f", 0o6777, someUser, someGroup)
		c.as(nextUser, nextGroup, func() {
			c.try("fallocate", unix.Fallocate(c.open("f", unix.O_WRONLY, 0), 0, 0, 100))
		})
		c.mode("f", 0o777)
	}},
	{"setid/chown", func(c *posix) {
		for _, test := range []struct{ mode, want uint32 }{
			{0o6777, 0o777},
			{0o4755, 0o755},
			{0o2755, 0o755},
			{0o6644, 0o2644}, // set-gid without execution
			{0o1777, 0o1777},
		} {
			c.fileOf("f", test.mode, someUser, someGroup)
			c.as(someUser, someGroup, func() {
				c.try("chown", unix.Chown("f", -1, nextGroup))
			}, nextGroup, someGroup)
			c.mode("f", test.want)
			c.need("unlink", unix.Unlink("f"))
			// Linux clears them for root as well.
			c.fileOf("f", test.mode, someUser, someGroup)
			c.try("chown by root", unix.Chown("f", nextUser, nextGroup))
			c.mode("f", test.want)
			c.need("unlink", unix.Unlink("f"))
		}
		c.dirOf("d", 0o6755, someUser, someGroup)
		c.try("chown of a directory", unix.Chown("d", nextUser, nextGroup))
		c.mode("d", 0o6755)
	}},
	{"setid/chown without execution by a stranger to the group", func(c *posix) {
		c.fileOf("f", 0o6644, someUser, someGroup)
		c.as(someUser, nextGroup, func() {
			c.try("chown", unix.Chown("f", -1, nextGroup))
		})
		c.mode("f", 0o644)
	}},
	{"setid/chown to nobody else", func(c *posix) {
		c.fileOf("f", 0o6777, someUser, someGroup)
		c.as(someUser, someGroup, func() {
			c.try("chown", unix.Chown("f", someUser, someGroup))
		})
		c.mode("f", 0o777)
	}},
	{"setid/chown that names nobody", func(c *posix) {
		c.fileOf("f", 0o6777, someUser, someGroup)
		c.as(someUser, someGroup, func() {
			c.try("chown", unix.Chown("f", -1, -1))
		})
		c.mode("f", 0o777)
	}},
	{"setid/chmod", func(c *posix) {
		c.fileOf("f", 0o755, someUser, someGroup)
		c.as(someUser, nextGroup, func() {
			c.try("set-gid of a foreign group", unix.Chmod("f", 0o2755))
		})
		c.mode("f", 0o755)
		c.as(someUser, someGroup, func() {
			c.try("set-ids of one's own", unix.Chmod("f", 0o6755))
		})
		c.mode("f", 0o6755)
		c.dirOf("d", 0o755, someUser, someGroup)
		c.as(someUser, nextGroup, func() {
			c.try("set-gid of a directory with a foreign group", unix.Chmod("d", 0o2755))
		})
		c.mode("d", 0o755)
	}},
	{"setid/created in a directory of another group", func(c *posix) {
		c.dirOf("d", 0o2777, someUser, someGroup)
		c.as(nextUser, nextGroup, func() {
			unix.Umask(0)
			c.open("d/f", unix.O_CREAT|unix.O_WRONLY, 0o6775)
			c.try("mkdir", unix.Mkdir("d/d", 0o775))
		})
		c.mode("d/f", 0o4775)
		c.owner("d/f", nextUser, someGroup)
		c.mode("d/d", 0o2775)
		c.owner("d/d", nextUser, someGroup)
	}},
}

func (c *posix) fmode(path string) uint32 { return c.lstat(path).Mode & 0o7777 }

var ownerCases = []posixCase{
	{"owner/of what is new", func(c *posix) {
		c.dir("d", 0o777)
		c.as(someUser, someGroup, func() {
			c.makeEach("d/")
		})
		for _, path := range []string{"d/file", "d/node", "d/dir", "d/link"} {
			c.owner(path, someUser, someGroup)
		}
	}},
	{"owner/in a set-group-id directory", func(c *posix) {
		c.dirOf("d", 0o2777, nextUser, nextGroup)
		c.as(someUser, someGroup, func() {
			c.makeEach("d/")
			c.try("mkdir", unix.Mkdir("d/dir/dir", 0o755))
		})
		for _, path := range []string{"d/file", "d/node", "d/dir", "d/link", "d/dir/dir"} {
			c.owner(path, someUser, nextGroup)
		}
		c.mode("d/file", 0o644)
		c.mode("d/dir", 0o2755)
		c.mode("d/dir/dir", 0o2755)
	}},
	{"owner/umask", func(c *posix) {
		for _, mask := range []int{0, 0o022, 0o077, 0o137, 0o777} {
			unix.Umask(mask)
			c.open("f", unix.O_CREAT|unix.O_WRONLY, 0o7777)
			c.mode("f", 0o7777&^uint32(mask))
			c.try("mkdir", unix.Mkdir("d", 0o7777))
			c.mode("d", 0o1777&^uint32(mask)) // mkdir knows no set-id bits
			c.try("mknod", unix.Mknod("n", unix.S_IFREG|0o666, 0))
			c.mode("n", 0o666&^uint32(mask))
			c.try("symlink", unix.Symlink("to", "l"))
			c.mode("l", 0o777)
			for _, path := range []string{"f", "n", "l"} {
				c.need("unlink", unix.Unlink(path))
			}
			c.need("rmdir", unix.Rmdir("d"))
		}
	}},
	{"owner/mode bits", func(c *posix) {
		c.file("f", 0o644)
		c.dir("d", 0o755)
		for mode := uint32(0); mode <= 0o7777; mode += 0o37 {
			for _, path := range []string{"f", "d"} {
				c.try("chmod", unix.Chmod(path, mode))
				c.mode(path, mode)
			}
			c.try("fchmod", unix.Fchmod(c.open("d", unix.O_RDONLY, 0), 0o7777&^mode))
			c.mode("d", 0o7777&^mode)
		}
	}},
	{"owner/large ids", func(c *posix) {
		const largest = 1<<32 - 2
		c.file("f", 0o644)
		c.try("chown", unix.Chown("f", largest, largest))
		c.owner("f", largest, largest)
	}},
	{"owner/chown follows and lchown does not", func(c *posix) {
		c.file("f", 0o644)
		c.link("f", "l")
		c.try("chown", unix.Chown("l", someUser, someGroup))
		c.owner("f", someUser, someGroup)
		c.owner("l", 0, 0)
		c.try("lchown", unix.Lchown("l", nextUser, nextGroup))
		c.owner("f", someUser, someGroup)
		c.owner("l", nextUser, nextGroup)
		c.try("fchown", unix.Fchown(c.open("f", unix.O_RDONLY, 0), 7, 8))
		c.owner("f", 7, 8)
		c.try("chown of the user alone", unix.Chown("f", 9, -1))
		c.owner("f", 9, 8)
		c.try("chown of the group alone", unix.Chown("f", -1, 10))
		c.owner("f", 9, 10)
	}},
}

// makeEach makes one file of each kind with a prefix.
func (c *posix) makeEach(prefix string) {
	c.open(prefix+"file", unix.O_CREAT|unix.O_WRONLY, 0o644)
	c.try("mknod", unix.Mknod(prefix+"node", unix.S_IFREG|0o644, 0))
	c.try("mkdir", unix.Mkdir(prefix+"dir", 0o755))
	c.try("symlink", unix.Symlink("to", prefix+"link"))
}
