package integration

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// readOnlyCase checks that every change of what readOnlyFiles made is EROFS,
// and that everything can be read.
var readOnlyCase = posixCase{"read-only", func(c *posix) {
	at := unix.AT_FDCWD
	flag := func(flags int) func() error {
		return func() error { return openErr("f", flags, 0o644) }
	}
	for name, call := range map[string]func() error{
		"open for writing":         flag(unix.O_WRONLY),
		"open for both":            flag(unix.O_RDWR),
		"open with O_TRUNC":        flag(unix.O_RDONLY | unix.O_TRUNC),
		"open with O_APPEND":       flag(unix.O_WRONLY | unix.O_APPEND),
		"open with O_CREAT":        flag(unix.O_CREAT | unix.O_WRONLY),
		"create":                   func() error { return openErr("new", unix.O_CREAT|unix.O_WRONLY, 0o644) },
		"O_TMPFILE":                func() error { return openErr("d", unix.O_TMPFILE|unix.O_RDWR, 0o644) },
		"mknod":                    func() error { return unix.Mknod("new", unix.S_IFREG|0o644, 0) },
		"mkfifo":                   func() error { return unix.Mkfifo("new", 0o644) },
		"mkdir":                    func() error { return unix.Mkdir("new", 0o755) },
		"rmdir":                    func() error { return unix.Rmdir("d") },
		"symlink":                  func() error { return unix.Symlink("to", "new") },
		"link":                     func() error { return unix.Link("f", "new") },
		"unlink":                   func() error { return unix.Unlink("f") },
		"unlink of a link":         func() error { return unix.Unlink("l") },
		"rename":                   func() error { return unix.Rename("f", "new") },
		"rename over":              func() error { return unix.Rename("f", "g") },
		"rename of a directory":    func() error { return unix.Rename("d", "new") },
		"exchange":                 func() error { return renameat2("f", "d", unix.RENAME_EXCHANGE) },
		"chmod":                    func() error { return unix.Chmod("f", 0o600) },
		"chmod of a directory":     func() error { return unix.Chmod("d", 0o700) },
		"chown":                    func() error { return unix.Chown("f", 1, 1) },
		"lchown":                   func() error { return unix.Lchown("l", 1, 1) },
		"truncate":                 func() error { return unix.Truncate("f", 0) },
		"utimensat":                func() error { return unix.UtimesNanoAt(at, "f", nil, 0) },
		"utimensat of a directory": func() error { return unix.UtimesNanoAt(at, "d", make([]unix.Timespec, 2), 0) },
		"utimensat of a link":      func() error { return unix.UtimesNanoAt(at, "l", nil, unix.AT_SYMLINK_NOFOLLOW) },
		"setxattr":                 func() error { return unix.Setxattr("f", "user.a", nil, 0) },
		"removexattr":              func() error { return unix.Removexattr("f", "user.x") },
		"fchmod":                   func() error { return unix.Fchmod(c.open("f", unix.O_RDONLY, 0), 0o600) },
		"fchown":                   func() error { return unix.Fchown(c.open("f", unix.O_RDONLY, 0), 1, 1) },
	} {
		c.times(name, ".: f: g: d: l:", func() { c.want(unix.EROFS, name, call()) })
	}
	// What is wrong all the same is said first, as everywhere.
	c.want(unix.EEXIST, "mkdir of what is there", unix.Mkdir("d", 0o755))
	c.want(unix.ENOENT, "open of what is not there", openErr("none", unix.O_WRONLY, 0))
	c.want(unix.ENOTDIR, "create below a file", openErr("f/x", unix.O_CREAT|unix.O_WRONLY, 0o644))
	c.content("f", "f")
	c.content("l", "f")
	c.try("access", unix.Access("f", unix.R_OK))
	names, err := os.ReadDir(".")
	c.try("list", err)
	equal(c, "names", len(names), 4)
	fd := c.open("f", unix.O_RDONLY, 0)
	b, err := unix.Mmap(fd, 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	c.try("mmap", err)
	if err == nil {
		equal(c, "what mmap shows", string(b), "f")
		c.try("munmap", unix.Munmap(b))
	}
	c.try("fsync", unix.Fsync(fd))
}}

// readOnlyAccess asks for permission to write.
var readOnlyAccess = posixCase{"read-only", func(c *posix) {
	c.want(unix.EROFS, "access W_OK", unix.Access("f", unix.W_OK))
	c.want(unix.EROFS, "access W_OK of a directory", unix.Access("d", unix.W_OK))
}}

// readOnlyFiles makes what readOnlyCase looks at.
var readOnlyFiles = posixCase{"read-only", func(c *posix) {
	c.file("f", 0o644)
	c.file("g", 0o644)
	c.dir("d", 0o755)
	c.link("f", "l")
	c.need("setxattr", unix.Setxattr("f", "user.x", []byte("y"), 0))
}}

// TestPosixReadOnly runs the case on a read-only bind mount of the host's file
// system, on a mount that is made read-only while it is used, on one that is
// read-only from the beginning, in a snapshot and in now.
func TestPosixReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting read-only again needs root")
	}
	thread := newPosixThread(t)
	check := func(what, dir string, cases ...posixCase) {
		t.Helper()
		for _, pc := range cases {
			for _, failure := range thread.run(filepath.Join(dir, "read-only"), pc) {
				t.Errorf("%s: %s", what, failure)
			}
		}
	}
	fill := func(dir string) {
		t.Helper()
		for _, failure := range thread.runNew(t, dir, readOnlyFiles) {
			t.Fatal(failure)
		}
	}
	remount := func(dir string, flags uintptr) {
		t.Helper()
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	dir := newDir(t)
	plain := filepath.Join(dir, "plain")
	if err := os.Mkdir(plain, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(plain, plain, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(plain, 0); err != nil {
			t.Error(err)
		}
	})
	fill(plain)
	remount(plain, unix.MS_BIND|unix.MS_RDONLY)
	check("plain directory", plain, readOnlyCase, readOnlyAccess)

	store, m := newMount(t, dir)
	fill(m.dir)
	control := filepath.Join(m.dir, ".pongo", "snapshots")
	if err := os.Mkdir(filepath.Join(control, "s"), 0o755); err != nil {
		t.Fatal(err)
	}
	check("snapshot", filepath.Join(control, "s"), readOnlyCase)
	check("now", filepath.Join(control, "now"), readOnlyCase)
	// The kernel asks nobody and believes that root may write where the mount
	// is writable.
	if len(thread.run(filepath.Join(control, "s", "read-only"), readOnlyAccess)) == 0 {
		t.Error("access W_OK in a snapshot is EROFS: that is no deviation any more")
	}
	const always = unix.MS_NOSUID | unix.MS_NODEV
	remount(m.dir, always|unix.MS_RDONLY)
	check("mount -o remount,ro", m.dir, readOnlyCase, readOnlyAccess)
	remount(m.dir, always)
	if err := os.WriteFile(filepath.Join(m.dir, "read-only", "f"), []byte("f"), 0o644); err != nil {
		t.Errorf("mount -o remount,rw: %v", err)
	}
	unmount(t, m)
	m = mount(t, store, m.dir, "-o", "ro")
	check("mount -o ro", m.dir, readOnlyCase, readOnlyAccess)
	unmount(t, m)
}
