package integration

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func renameat2(from, to string, flags uint) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
}

// thing makes a file, link or directory for a table of kinds: "" makes nothing.
func (c *posix) thing(kind, path string) {
	switch kind {
	case "file":
		c.file(path, 0o644)
	case "link":
		c.link("nowhere", path)
	case "empty":
		c.dir(path, 0o755)
	case "full":
		c.dir(path, 0o755)
		c.file(path+"/x", 0o644)
	}
}

var renameCases = []posixCase{
	{"rename/what replaces what", func(c *posix) {
		dir := func(kind string) bool { return kind == "empty" || kind == "full" }
		for _, from := range []string{"file", "link", "empty", "full"} {
			for _, to := range []string{"", "file", "link", "empty", "full"} {
				for _, target := range []string{"b", "d/b"} {
					c.dir("d", 0o755)
					c.thing(from, "a")
					c.thing(to, target)
					ino := c.lstat("a").Ino
					what := fmt.Sprintf("rename of a %s to %s, which is %q", from, target, to)
					err := unix.Rename("a", target)
					switch {
					case to != "" && dir(from) && !dir(to):
						c.want(unix.ENOTDIR, what, err)
					case to != "" && !dir(from) && dir(to):
						c.want(unix.EISDIR, what, err)
					case to == "full":
						c.want(unix.ENOTEMPTY, what, err)
					default:
						c.try(what, err)
						equal(c, what+": the inode", c.lstat(target).Ino, ino)
						c.want(unix.ENOENT, what+": the old name", unix.Access("a", unix.F_OK))
						if from == "full" {
							c.content(target+"/x", "a/x")
						}
					}
					c.links(".", "d")
					for _, path := range []string{"a", "b", "d"} {
						c.need("remove", os.RemoveAll(path))
					}
				}
			}
		}
	}},
	{"rename/exchange", func(c *posix) {
		kinds := []string{"file", "link", "empty", "full"}
		for _, from := range kinds {
			for _, to := range kinds {
				c.dir("d", 0o755)
				c.thing(from, "a")
				c.thing(to, "d/b")
				a, b := c.lstat("a"), c.lstat("d/b")
				c.try("exchange of "+from+" and "+to, renameat2("a", "d/b", unix.RENAME_EXCHANGE))
				for path, want := range map[string]unix.Stat_t{"a": b, "d/b": a} {
					equal(c, "inode", c.lstat(path).Ino, want.Ino)
					equal(c, "mode", c.lstat(path).Mode, want.Mode)
				}
				c.links(".", "d")
				c.need("remove", os.RemoveAll("a"))
				c.need("remove", os.RemoveAll("d"))
			}
		}
	}},
	{"rename/flags", func(c *posix) {
		c.file("f", 0o644)
		c.file("g", 0o644)
		c.dir("d", 0o755)
		c.dir("d/e", 0o755)
		for _, path := range []string{"f", "g", "d"} {
			c.want(unix.EEXIST, "without replacing "+path, renameat2("f", path, unix.RENAME_NOREPLACE))
		}
		c.want(unix.ENOENT, "exchange with nothing", renameat2("f", "none", unix.RENAME_EXCHANGE))
		c.want(unix.ENOENT, "exchange of nothing", renameat2("none", "f", unix.RENAME_EXCHANGE))
		c.want(unix.EINVAL, "both flags", renameat2("f", "g", unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE))
		c.want(unix.EINVAL, "an unknown flag", renameat2("f", "g", 1<<10))
		c.want(unix.EINVAL, "exchange with what is inside", renameat2("d", "d/e", unix.RENAME_EXCHANGE))
		c.want(unix.EINVAL, "exchange with what is around", renameat2("d/e", "d", unix.RENAME_EXCHANGE))
		c.try("exchange with itself", renameat2("f", "f", unix.RENAME_EXCHANGE))
		c.try("without replacing, a free name", renameat2("f", "h", unix.RENAME_NOREPLACE))
		c.content("h", "f")
		c.content("g", "g")
	}},
	{"rename/whiteout", func(c *posix) {
		c.file("f", 0o644)
		c.try("whiteout", renameat2("f", "g", unix.RENAME_WHITEOUT))
	}},
	{"rename/EINVAL and EBUSY", func(c *posix) {
		c.dir("d", 0o755)
		c.dir("d/e", 0o755)
		c.want(unix.EINVAL, "into itself", unix.Rename("d", "d/x"))
		c.want(unix.EINVAL, "deep into itself", unix.Rename("d", "d/e/x"))
		c.want(unix.ENOTEMPTY, "onto its parent", unix.Rename("d/e", "d"))
		for _, path := range []string{".", "..", "d/.", "d/.."} {
			c.want(unix.EBUSY, "of "+path, unix.Rename(path, "x"))
			c.want(unix.EBUSY, "to "+path, unix.Rename("d/e", path))
		}
		c.try("what is left", unix.Access("d/e", unix.F_OK))
		c.want(unix.EXDEV, "to another file system", unix.Rename("d", "/dev/shm/pongofs-never"))
	}},
	{"rename/keeps everything", func(c *posix) {
		c.dir("d", 0o755)
		c.fileOf("f", 0o4751, someUser, someGroup)
		c.need("setxattr", unix.Setxattr("f", "user.x", []byte("y"), 0))
		c.need("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Sec: 5}, {Sec: 5}}, 0))
		c.try("rename", unix.Rename("f", "d/g"))
		c.mode("d/g", 0o4751)
		c.owner("d/g", someUser, someGroup)
		c.content("d/g", "f")
		equal(c, "mtime", c.lstat("d/g").Mtim, unix.Timespec{Sec: 5})
		n, err := unix.Getxattr("d/g", "user.x", make([]byte, 5))
		c.try("getxattr", err)
		equal(c, "length of the attribute", n, 1)
	}},
	{"rename/while it is open", func(c *posix) {
		c.file("f", 0o644)
		c.file("g", 0o644)
		c.dir("d", 0o755)
		fd := c.open("f", unix.O_RDWR|unix.O_APPEND, 0)
		dir := c.open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		c.try("rename", unix.Rename("f", "d/f"))
		c.try("rename of the directory", unix.Rename("d", "e"))
		_, err := unix.Write(fd, []byte("more"))
		c.try("write", err)
		c.content("e/f", "fmore")
		c.try("a name in the open directory", unix.Unlinkat(dir, "f", 0))
		var st unix.Stat_t
		c.try("fstat", unix.Fstat(fd, &st))
		equal(c, "links", uint64(st.Nlink), 0)
		equal(c, "size", st.Size, 5)
	}},
}

// links checks the link counts of directories: 2 and one for each directory in
// them. File systems that do not count say 1.
func (c *posix) links(dirs ...string) {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		c.try("list "+dir, err)
		want := uint64(2)
		for _, e := range entries {
			if e.IsDir() {
				want++
			}
		}
		if got := uint64(c.lstat(dir).Nlink); got != want && got != 1 {
			c.errorf("%s has %d links, want %d", dir, got, want)
		}
	}
}

var directoryCases = []posixCase{
	{"directory/links", func(c *posix) {
		c.links(".")
		for i := range 5 {
			c.dir(fmt.Sprintf("d%d", i), 0o755)
			c.file(fmt.Sprintf("f%d", i), 0o644)
			c.links(".", "d0")
		}
		c.need("mkdir", unix.Mkdir("d0/sub", 0o755))
		c.links(".", "d0")
		c.try("rename", unix.Rename("d0/sub", "d1/sub"))
		c.links(".", "d0", "d1")
		c.try("rename", unix.Rename("d1/sub", "d2"))
		c.links(".", "d1", "d2")
		c.try("rmdir", unix.Rmdir("d3"))
		c.links(".")
	}},
	{"directory/rmdir", func(c *posix) {
		c.dir("d", 0o755)
		c.file("f", 0o644)
		c.link("d", "l")
		for kind, want := range map[string]unix.Errno{"file": unix.ENOTEMPTY, "link": unix.ENOTEMPTY, "empty": unix.ENOTEMPTY, "": 0} {
			c.dir("x", 0o755)
			c.thing(kind, "x/y")
			if err := unix.Rmdir("x"); want == 0 {
				c.try("rmdir", err)
			} else {
				c.want(want, "rmdir of a directory with a "+kind, err)
				c.need("remove", os.RemoveAll("x"))
			}
		}
		c.want(unix.EINVAL, "rmdir of .", unix.Rmdir("."))
		c.want(unix.EINVAL, "rmdir of d/.", unix.Rmdir("d/."))
		c.want(unix.ENOTEMPTY, "rmdir of ..", unix.Rmdir(".."))
		c.want(unix.ENOTEMPTY, "rmdir of d/..", unix.Rmdir("d/.."))
		c.want(unix.ENOTDIR, "rmdir of a file", unix.Rmdir("f"))
		c.want(unix.ENOTDIR, "rmdir of a link", unix.Rmdir("l"))
		c.want(unix.EBUSY, "rmdir of the root", unix.Rmdir("/"))
		c.try("rmdir", unix.Rmdir("d/"))
	}},
	{"directory/unlink", func(c *posix) {
		c.dir("d", 0o755)
		c.link("d", "l")
		c.want(unix.EISDIR, "unlink of a directory", unix.Unlink("d"))
		c.want(unix.EISDIR, "unlink of .", unix.Unlink("."))
		c.want(unix.EISDIR, "unlink of ..", unix.Unlink(".."))
		c.want(unix.EINVAL, "unlinkat with a bad flag", unix.Unlinkat(unix.AT_FDCWD, "l", 1<<20))
		c.try("unlink of a link to a directory", unix.Unlink("l"))
		c.try("the directory", unix.Access("d", unix.F_OK))
	}},
	{"directory/what was removed while it was open", func(c *posix) {
		c.dir("d", 0o755)
		c.dir("e", 0o755)
		c.file("f", 0o644)
		c.file("g", 0o644)
		dir, replaced := c.open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0), c.open("e", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		f, g := c.open("f", unix.O_RDWR, 0), c.open("g", unix.O_RDWR, 0)
		c.try("rmdir", unix.Rmdir("d"))
		c.dir("d", 0o755)
		c.try("rename over", unix.Rename("d", "e"))
		c.try("unlink", unix.Unlink("f"))
		c.file("h", 0o644)
		c.try("rename over", unix.Rename("h", "g"))
		for name, fd := range map[string]int{"a removed directory": dir, "a replaced directory": replaced, "an unlinked file": f, "a replaced file": g} {
			var st unix.Stat_t
			c.try("fstat of "+name, unix.Fstat(fd, &st))
			equal(c, "links of "+name, uint64(st.Nlink), 0)
		}
		for _, fd := range []int{dir, replaced} {
			c.want(unix.ENOENT, "mkdir in a removed directory", unix.Mkdirat(fd, "x", 0o755))
			_, err := unix.Openat(fd, "x", unix.O_CREAT|unix.O_WRONLY, 0o644)
			c.want(unix.ENOENT, "create in a removed directory", err)
			c.want(unix.ENOENT, "symlink in a removed directory", unix.Symlinkat("to", fd, "x"))
			c.want(unix.ENOENT, "rename into a removed directory", unix.Renameat(unix.AT_FDCWD, "g", fd, "x"))
			n, err := unix.ReadDirent(fd, make([]byte, 4096))
			if err == nil && n != 0 || err != nil && err != unix.ENOENT {
				c.errorf("listing a removed directory: %d, %v", n, err)
			}
		}
		for _, fd := range []int{f, g} {
			c.try("fchmod of what is gone", unix.Fchmod(fd, 0o600))
			_, err := unix.Pwrite(fd, []byte("still"), 0)
			c.try("write to what is gone", err)
			buf := make([]byte, 10)
			n, err := unix.Pread(fd, buf, 0)
			c.try("read of what is gone", err)
			equal(c, "content of what is gone", string(buf[:max(n, 0)]), "still")
		}
		c.content("g", "h")
	}},
	{"directory/types and numbers", func(c *posix) {
		c.file("f", 0o644)
		c.dir("d", 0o755)
		c.link("f", "l")
		want := map[string]byte{"f": unix.DT_REG, "d": unix.DT_DIR, "l": unix.DT_LNK, ".": unix.DT_DIR, "..": unix.DT_DIR}
		for _, e := range c.dirents(c.open(".", unix.O_RDONLY, 0)) {
			equal(c, "type of "+e.name, e.kind, want[e.name])
			equal(c, "number of "+e.name, e.ino, c.lstat(e.name).Ino)
			delete(want, e.name)
		}
		equal(c, "names that are missing", len(want), 0)
	}},
	{"directory/positions", func(c *posix) {
		for i := range 100 {
			c.file(fmt.Sprintf("file-with-a-long-name-%d", i), 0o644)
		}
		fd := c.open(".", unix.O_RDONLY, 0)
		first := c.dirents(fd)
		equal(c, "names", len(first), 102)
		for _, at := range []int{0, 50, 99, 3} {
			_, err := unix.Seek(fd, first[at].next, 0)
			c.try("seekdir", err)
			rest := c.dirents(fd)
			equal(c, "names behind a position", len(rest), 101-at)
			if len(rest) > 0 {
				equal(c, "first behind a position", rest[0].name, first[at+1].name)
			}
		}
		// rewinddir shows what has changed.
		c.file("new", 0o644)
		c.need("unlink", unix.Unlink("file-with-a-long-name-7"))
		_, err := unix.Seek(fd, 0, 0)
		c.try("rewinddir", err)
		names := map[string]bool{}
		for _, e := range c.dirents(fd) {
			names[e.name] = true
		}
		equal(c, "a new name", names["new"], true)
		equal(c, "a removed name", names["file-with-a-long-name-7"], false)
		_, err = unix.ReadDirent(fd, make([]byte, 4))
		if _, seek := unix.Seek(fd, 0, 0); seek == nil {
			_, err = unix.ReadDirent(fd, make([]byte, 4))
		}
		c.want(unix.EINVAL, "getdents with too little space", err)
	}},
	{"directory/chdir", func(c *posix) {
		c.dir("d", 0o755)
		c.file("f", 0o755)
		c.want(unix.ENOTDIR, "chdir to a file", unix.Chdir("f"))
		c.want(unix.ENOTDIR, "fchdir to a file", unix.Fchdir(c.open("f", unix.O_RDONLY, 0)))
		c.try("chdir", unix.Chdir("d"))
		c.try("rename of the working directory", unix.Rename("../d", "../e"))
		c.file("x", 0o644)
		c.content("../e/x", "x")
	}},
}

// dirent is an entry of a directory as getdents64 returns it.
type dirent struct {
	name string
	ino  uint64
	next int64
	kind byte
}

// dirents reads the rest of a directory in small pieces.
func (c *posix) dirents(fd int) []dirent {
	var all []dirent
	buf := make([]byte, 700)
	for {
		n, err := unix.ReadDirent(fd, buf)
		c.need("getdents", err)
		if n == 0 {
			return all
		}
		for b := buf[:n]; len(b) > 0; {
			length := int(le(b[16:18]))
			name, _, _ := strings.Cut(string(b[19:length]), "\x00")
			all = append(all, dirent{name: name, ino: le(b[:8]), next: int64(le(b[8:16])), kind: b[18]})
			b = b[length:]
		}
	}
}

// le is a little-endian number, as all machines have that pongofs runs on.
func le(b []byte) (n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		n = n<<8 | uint64(b[i])
	}
	return n
}

var linkCases = []posixCase{
	{"link/symbolic", func(c *posix) {
		for _, length := range []int{1, 2, 59, 60, 255, 256, 1023, 4095} {
			to := strings.Repeat("t", length)
			c.link(to, "l")
			buf := make([]byte, 5000)
			n, err := unix.Readlink("l", buf)
			c.try("readlink", err)
			equal(c, "target", string(buf[:max(n, 0)]), to)
			equal(c, "size", c.lstat("l").Size, int64(length))
			equal(c, "mode", c.lstat("l").Mode, uint32(unix.S_IFLNK|0o777))
			equal(c, "links", uint64(c.lstat("l").Nlink), 1)
			n, err = unix.Readlink("l", buf[:1])
			c.try("readlink with too little space", err)
			equal(c, "its length", n, 1)
			c.need("unlink", unix.Unlink("l"))
		}
		c.want(unix.ENAMETOOLONG, "symlink of 4096 bytes", unix.Symlink(strings.Repeat("t", 4096), "l"))
		c.want(unix.ENOENT, "symlink to nothing", unix.Symlink("", "l"))
		for _, to := range []string{"/", ".", "..", "a//b", "spa ce", "new\nline", "bad\xff", "%2F", "42"} {
			c.link(to, "l")
			got, err := os.Readlink("l")
			c.try("readlink", err)
			equal(c, "target", got, to)
			c.need("unlink", unix.Unlink("l"))
		}
	}},
	{"link/what follows a symbolic link", func(c *posix) {
		c.file("f", 0o644)
		c.dir("d", 0o755)
		c.link("f", "l")
		c.link("d", "ld")
		c.file("ld/x", 0o644)
		c.content("d/x", "ld/x")
		c.try("chmod", unix.Chmod("l", 0o600))
		c.mode("f", 0o600)
		c.try("truncate", unix.Truncate("l", 0))
		c.content("f", "")
		c.want(unix.EOPNOTSUPP, "chmod of the link", unix.Fchmodat(unix.AT_FDCWD, "l", 0o600, unix.AT_SYMLINK_NOFOLLOW))
		_, err := unix.Readlink("f", make([]byte, 10))
		c.want(unix.EINVAL, "readlink of a file", err)
		_, err = unix.Readlink("d", make([]byte, 10))
		c.want(unix.EINVAL, "readlink of a directory", err)
		c.want(unix.EEXIST, "mkdir on a link", unix.Mkdir("l", 0o755))
		c.try("rename of the link", unix.Rename("l", "m"))
		c.try("unlink of the link", unix.Unlink("m"))
		c.try("the file behind it", unix.Access("f", unix.F_OK))
	}},
	{"link/hard", func(c *posix) {
		c.file("f", 0o644)
		c.try("link", unix.Link("f", "g"))
	}},
	{"link/hard, refused everywhere", func(c *posix) {
		c.file("f", 0o644)
		c.dir("d", 0o755)
		c.want(unix.EPERM, "link to a directory", unix.Link("d", "e"))
		c.want(unix.ENOENT, "link to nothing", unix.Link("none", "g"))
		c.want(unix.EEXIST, "link over a file", unix.Link("f", "d"))
		c.want(unix.EXDEV, "link to another file system", unix.Link("f", "/dev/shm/pongofs-never"))
	}},
	{"link/mkfifo", func(c *posix) { c.try("mkfifo", unix.Mkfifo("p", 0o644)) }},
	{"link/mknod of a device", func(c *posix) { c.try("mknod", unix.Mknod("n", unix.S_IFCHR|0o644, 0x103)) }},
	{"link/socket", func(c *posix) {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		c.need("socket", err)
		c.fds = append(c.fds, fd)
		c.try("bind", unix.Bind(fd, &unix.SockaddrUnix{Name: "s"}))
	}},
	{"link/fifo and socket without a peer", func(c *posix) {
		c.need("mkfifo", unix.Mkfifo("p", 0o644))
		c.want(unix.ENXIO, "open for writing without a reader", openErr("p", unix.O_WRONLY|unix.O_NONBLOCK, 0))
		c.need("mknod", unix.Mknod("s", unix.S_IFSOCK|0o644, 0))
		c.want(unix.ENXIO, "open of a socket", openErr("s", unix.O_RDONLY, 0))
	}},
	{"link/special files by a user", func(c *posix) {
		c.dir("d", 0o777)
		c.as(someUser, someGroup, func() {
			c.want(unix.EPERM, "mknod of a device", unix.Mknod("d/n", unix.S_IFCHR|0o644, 0x103))
			c.want(unix.EPERM, "mknod of a block device", unix.Mknod("d/n", unix.S_IFBLK|0o644, 0x103))
		})
	}},
}

var attributeCases = []posixCase{
	{"attribute/errors", func(c *posix) {
		c.file("f", 0o644)
		c.link("f", "l")
		c.want(unix.ENODATA, "remove of nothing", unix.Removexattr("f", "user.none"))
		_, err := unix.Getxattr("f", "user.none", nil)
		c.want(unix.ENODATA, "get of nothing", err)
		c.try("create", unix.Setxattr("f", "user.a", []byte("value"), unix.XATTR_CREATE))
		c.want(unix.EEXIST, "create once more", unix.Setxattr("f", "user.a", nil, unix.XATTR_CREATE))
		c.want(unix.ENODATA, "replace of nothing", unix.Setxattr("f", "user.b", nil, unix.XATTR_REPLACE))
		c.try("replace", unix.Setxattr("f", "user.a", []byte("other"), unix.XATTR_REPLACE))
		_, err = unix.Getxattr("f", "user.a", make([]byte, 2))
		c.want(unix.ERANGE, "get with too little space", err)
		n, err := unix.Getxattr("f", "user.a", nil)
		c.try("get of the size", err)
		equal(c, "size", n, 5)
		_, err = unix.Listxattr("f", make([]byte, 2))
		c.want(unix.ERANGE, "list with too little space", err)
		buf := make([]byte, 100)
		n, err = unix.Listxattr("f", buf)
		c.try("list", err)
		equal(c, "list", string(buf[:max(n, 0)]), "user.a\x00")
		c.want(unix.ERANGE, "a name of 256 bytes", unix.Setxattr("f", strings.Repeat("user.x", 50)[:256], nil, 0))
		c.want(unix.EPERM, "an attribute of a link", unix.Lsetxattr("l", "user.a", nil, 0))
		c.want(unix.EOPNOTSUPP, "an unknown class", unix.Setxattr("f", "nobody.a", nil, 0))
		c.try("an empty value", unix.Setxattr("f", "user.e", nil, 0))
		n, err = unix.Getxattr("f", "user.e", buf)
		c.try("get of an empty value", err)
		equal(c, "size of an empty value", n, 0)
		c.as(someUser, someGroup, func() {
			c.want(unix.EACCES, "set by another user", unix.Setxattr("f", "user.a", nil, 0))
			c.want(unix.EACCES, "remove by another user", unix.Removexattr("f", "user.a"))
			_, err := unix.Getxattr("f", "user.a", buf)
			c.try("get by another user", err)
		})
	}},
	{"attribute/trusted", func(c *posix) {
		c.file("f", 0o644)
		c.try("setxattr", unix.Setxattr("f", "trusted.a", []byte("b"), 0))
	}},
	{"attribute/statfs", func(c *posix) {
		var st unix.Statfs_t
		c.try("statfs", unix.Statfs(".", &st))
		equal(c, "longest name", st.Namelen, 255)
		equal(c, "blocks are there", st.Blocks > 0 && st.Bfree <= st.Blocks && st.Bavail <= st.Bfree, true)
		c.want(unix.EBADF, "fstatfs of no descriptor", unix.Fstatfs(-1, &st))
	}},
	{"attribute/stat", func(c *posix) {
		c.file("f", 0o640)
		a, b := c.lstat("f"), unix.Stat_t{}
		c.try("fstat", unix.Fstat(c.open("f", unix.O_RDONLY, 0), &b))
		equal(c, "fstat and lstat", a, b)
		equal(c, "links", uint64(a.Nlink), 1)
		equal(c, "size", a.Size, 1)
		equal(c, "mode", a.Mode, uint32(unix.S_IFREG|0o640))
		c.dir("d", 0o750)
		equal(c, "mode of a directory", c.lstat("d").Mode, uint32(unix.S_IFDIR|0o750))
		c.want(unix.EBADF, "fstat of no descriptor", unix.Fstat(-1, &b))
		equal(c, "device", a.Dev, c.lstat(".").Dev)
	}},
}
