package fsnode_test

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"pongofs/engine/enginetest"
	"pongofs/gc"
)

var (
	twinOps = flag.Int("twin.ops", 6000, "operations of TestTwins and TestStorm")
	twinLog = flag.String("twin.log", "", "file for all calls of TestTwins, if it fails")
)

// TestTwins makes the same random system calls in a mount and in a directory of
// the machine's own file system, one by one. Each must say the same, and
// the trees must be the same after each round. What a mount does not have (hard
// links, special files) is not asked for.
func TestTwins(t *testing.T) {
	plain := t.TempDir()
	var fsType unix.Statfs_t
	require.NoError(t, unix.Statfs(plain, &fsType))
	if fsType.Type != unix.EXT4_SUPER_MAGIC {
		t.Logf("the directory to compare with is on a file system of type %#x, not ext4", fsType.Type)
	}
	mounted := newMount(t)
	r := seed(t)
	defer syscall.Umask(syscall.Umask(0o022))
	var sides [2]*caller
	for i, root := range []string{plain, filepath.Join(mounted, "w")} {
		if i == 1 {
			require.NoError(t, os.Mkdir(root, 0o755))
		}
		sides[i] = newCaller(root)
		defer sides[i].close()
	}
	const round = 500
	for n := range *twinOps {
		op := newOperation(r)
		want, got := sides[0].do(op), sides[1].do(op)
		if want != got {
			if *twinLog != "" {
				_ = os.WriteFile(*twinLog, []byte(strings.Join(sides[0].log, "\n")), 0o600)
			}
			for _, line := range sides[0].log[max(0, len(sides[0].log)-40):] {
				t.Log(line)
			}
			t.Fatalf("call %d: %s: the plain directory says\n%s\nthe mount says\n%s", n, op.name, want, got)
		}
		if n%round == round-1 {
			want, got := tree(t, sides[0].root), tree(t, sides[1].root)
			for path, w := range want {
				if got[path] != w {
					t.Errorf("call %d: %q is\n%s in the plain directory,\n%s in the mount", n, path, w, got[path])
				}
			}
			for path, g := range got {
				if _, ok := want[path]; !ok {
					t.Errorf("call %d: %q is only in the mount: %s", n, path, g)
				}
			}
			if t.Failed() {
				return
			}
		}
	}
}

// tree describes everything below a directory.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		text := lookAt(path)
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(b))
		}
		all[rel] = text + " " + xattrs(path)
		return nil
	})
	require.NoError(t, err)
	return all
}

// lookAt describes what stat tells of a path that is the same everywhere: no
// inode number, no size and no links of directories, no blocks, no times.
func lookAt(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return errName(err)
	}
	return describe(&st)
}

func describe(st *unix.Stat_t) string {
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		st.Size, st.Nlink = 0, 0
	}
	return fmt.Sprintf("mode %o, owner %d:%d, size %d, links %d", st.Mode, st.Uid, st.Gid, st.Size, st.Nlink)
}

func xattrs(path string) string {
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		return errName(err)
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	// The virtual ones of a mount, which no other file system has.
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" || strings.HasPrefix(name, "user.pongo.") })
	slices.Sort(names)
	for i, name := range names {
		n, err := unix.Lgetxattr(path, name, buf)
		names[i] = fmt.Sprintf("%s=%q %s", name, buf[:max(n, 0)], errName(err))
	}
	return strings.Join(names, ", ")
}

func errName(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return fmt.Sprint(err)
}

// caller makes system calls below a directory.
type caller struct {
	root string
	fds  [6]int
	log  []string
}

func newCaller(root string) *caller {
	c := &caller{root: root}
	for i := range c.fds {
		c.fds[i] = -1
	}
	return c
}

func (c *caller) close() {
	for _, fd := range c.fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// at returns the path of a name. A slash at its end stays.
func (c *caller) at(name string) string { return c.root + "/" + name }

// keep puts an open file in a slot.
func (c *caller) keep(slot, fd int, err error) string {
	if err != nil {
		return errName(err)
	}
	if c.fds[slot] >= 0 {
		_ = unix.Close(c.fds[slot])
	}
	c.fds[slot] = fd
	return "opened"
}

// open opens a file. After O_TRUNC it writes or closes it at once: the truncation
// is seen by others from then on; truncate_order.txtar tries what comes between.
func (c *caller) open(slot int, name string, flags int, mode uint32) string {
	fd, err := unix.Open(c.at(name), flags, mode)
	if err == nil && flags&unix.O_TRUNC != 0 {
		if flags&unix.O_ACCMODE == unix.O_RDONLY {
			return "opened " + errName(unix.Close(fd))
		}
		_, err = unix.Write(fd, []byte("1"))
	}
	return c.keep(slot, fd, err)
}

// leaveSequence makes the next read one that is not in sequence: those stay on the
// version that they began with, which only a mount does.
func (c *caller) leaveSequence(slot int) { _, _ = unix.Pread(c.fds[slot], make([]byte, 1), 1<<40) }

func (c *caller) do(op operation) string {
	said := op.call(c)
	c.log = append(c.log, op.name+": "+said)
	return said
}

// operation is a system call that can be made on several callers.
type operation struct {
	name string
	call func(c *caller) string
}

var twinNames = []string{"a", "b", "c", "d", "0", "1", "x y", "%41", ".h", "\xff\n"}

// newOperation returns a random system call.
func newOperation(r *rand.Rand) operation {
	name := func() string {
		parts := make([]string, 1+r.IntN(3))
		for i := range parts {
			parts[i] = twinNames[r.IntN(len(twinNames))]
		}
		if r.IntN(30) == 0 {
			parts = append(parts, []string{"", ".", ".."}[r.IntN(3)])
		}
		return strings.Join(parts, "/")
	}
	some := func(all ...int) (sum int) {
		for _, flag := range all {
			if r.IntN(3) == 0 {
				sum |= flag
			}
		}
		return sum
	}
	one := func(all ...int) int { return all[r.IntN(len(all))] }
	size := func() int64 {
		switch r.IntN(4) {
		case 0:
			return int64(r.IntN(8))
		case 1:
			return int64(r.IntN(5000))
		default:
			return int64(r.IntN(150_000))
		}
	}
	data := func() []byte {
		n := r.IntN(30)
		if r.IntN(4) == 0 {
			n = r.IntN(20_000)
		}
		p := make([]byte, n)
		alphabet := []string{"0123456789", "0123456789.-\n", "abc\n", "true\n"}[r.IntN(4)]
		for i := range p {
			p[i] = alphabet[r.IntN(len(alphabet))]
		}
		return p
	}
	op := func(format string, args ...any) func(func(c *caller) string) operation {
		return func(call func(c *caller) string) operation { return operation{fmt.Sprintf(format, args...), call} }
	}
	n1, n2, slot, slot2 := name(), name(), r.IntN(6), r.IntN(6)
	attr := []string{"user.a", "user.b", "user.long name"}[r.IntN(3)]
	switch r.IntN(44) {
	case 0, 1, 2, 3:
		flags := unix.O_CREAT | one(unix.O_RDWR, unix.O_WRONLY, unix.O_RDONLY) | some(unix.O_EXCL, unix.O_TRUNC, unix.O_APPEND)
		mode := uint32(one(0o644, 0o600, 0o755, 0o444, 0o4755))
		return op("%d = open %q %#x %o", slot, n1, flags, mode)(func(c *caller) string {
			return c.open(slot, n1, flags, mode)
		})
	case 4, 5:
		flags := one(unix.O_RDWR, unix.O_WRONLY, unix.O_RDONLY) | some(unix.O_TRUNC, unix.O_APPEND, unix.O_NOFOLLOW)
		return op("%d = open %q %#x", slot, n1, flags)(func(c *caller) string {
			return c.open(slot, n1, flags, 0)
		})
	case 6:
		return op("%d = open %q O_DIRECTORY", slot, n1)(func(c *caller) string {
			fd, err := unix.Open(c.at(n1), unix.O_RDONLY|unix.O_DIRECTORY, 0)
			return c.keep(slot, fd, err)
		})
	case 7:
		return op("%d = open %q O_TMPFILE", slot, n1)(func(c *caller) string {
			fd, err := unix.Open(c.at(n1), unix.O_RDWR|unix.O_TMPFILE, 0o600)
			return c.keep(slot, fd, err)
		})
	case 8, 9:
		off, n := size(), r.IntN(9000)
		return op("pread %d %d %d", slot, off, n)(func(c *caller) string {
			p := make([]byte, n)
			c.leaveSequence(slot)
			n, err := unix.Pread(c.fds[slot], p, off)
			return fmt.Sprintf("%d %x %s", n, sha256.Sum256(p[:max(n, 0)]), errName(err))
		})
	case 10:
		n := r.IntN(9000)
		return op("read %d %d", slot, n)(func(c *caller) string {
			p := make([]byte, n)
			c.leaveSequence(slot)
			n, err := unix.Read(c.fds[slot], p)
			return fmt.Sprintf("%d %x %s", n, sha256.Sum256(p[:max(n, 0)]), errName(err))
		})
	case 11, 12, 13:
		off, p := size(), data()
		return op("pwrite %d %d at %d", slot, len(p), off)(func(c *caller) string {
			n, err := unix.Pwrite(c.fds[slot], p, off)
			return fmt.Sprint(n, errName(err))
		})
	case 14, 15:
		p := data()
		return op("write %d %d", slot, len(p))(func(c *caller) string {
			n, err := unix.Write(c.fds[slot], p)
			return fmt.Sprint(n, errName(err))
		})
	case 16:
		off, whence := size(), one(unix.SEEK_SET, unix.SEEK_CUR, unix.SEEK_END)
		return op("lseek %d %d %d", slot, off, whence)(func(c *caller) string {
			var st unix.Stat_t
			if unix.Fstat(c.fds[slot], &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
				return "positions in directories have no meaning of their own"
			}
			at, err := unix.Seek(c.fds[slot], off, whence)
			return fmt.Sprint(at, errName(err))
		})
	case 17:
		n := size()
		return op("ftruncate %d %d", slot, n)(func(c *caller) string { return errName(unix.Ftruncate(c.fds[slot], n)) })
	case 18:
		n := size()
		return op("truncate %q %d", n1, n)(func(c *caller) string { return errName(unix.Truncate(c.at(n1), n)) })
	case 19:
		mode := one(0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE)
		off, n := size(), size()
		return op("fallocate %d %#x %d %d", slot, mode, off, n)(func(c *caller) string {
			return errName(unix.Fallocate(c.fds[slot], uint32(mode), off, n))
		})
	case 20:
		from, to, n := size(), size(), r.IntN(40_000)
		return op("copy_file_range %d %d to %d %d, %d", slot, from, slot2, to, n)(func(c *caller) string {
			in, out := from, to
			n, err := unix.CopyFileRange(c.fds[slot], &in, c.fds[slot2], &out, n, 0)
			return fmt.Sprint(n, errName(err))
		})
	case 21, 22:
		return op("fstat %d", slot)(func(c *caller) string {
			var st unix.Stat_t
			if err := unix.Fstat(c.fds[slot], &st); err != nil {
				return errName(err)
			}
			return describe(&st)
		})
	case 23, 24:
		return op("stat %q", n1)(func(c *caller) string {
			var st unix.Stat_t
			if err := unix.Stat(c.at(n1), &st); err != nil {
				return lookAt(c.at(n1)) + " " + errName(err)
			}
			return lookAt(c.at(n1)) + " " + describe(&st)
		})
	case 25:
		return op("unlink %q", n1)(func(c *caller) string { return errName(unix.Unlink(c.at(n1))) })
	case 26:
		return op("rmdir %q", n1)(func(c *caller) string { return errName(unix.Rmdir(c.at(n1))) })
	case 27, 28, 29:
		mode := uint32(one(0o755, 0o700, 0o1777, 0o2755))
		return op("mkdir %q %o", n1, mode)(func(c *caller) string { return errName(unix.Mkdir(c.at(n1), mode)) })
	case 30, 31, 32:
		flags := uint(one(0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE))
		return op("rename %q %q %d", n1, n2, flags)(func(c *caller) string {
			return errName(unix.Renameat2(unix.AT_FDCWD, c.at(n1), unix.AT_FDCWD, c.at(n2), flags))
		})
	case 33:
		target := name()
		if r.IntN(3) == 0 {
			target = "../" + target
		}
		return op("symlink %q to %q", n1, target)(func(c *caller) string { return errName(unix.Symlink(target, c.at(n1))) })
	case 34:
		return op("readlink %q", n1)(func(c *caller) string {
			p := make([]byte, 200)
			n, err := unix.Readlink(c.at(n1), p)
			return fmt.Sprintf("%q %s", p[:max(n, 0)], errName(err))
		})
	case 35:
		mode := uint32(one(0o644, 0o600, 0o777, 0o6755, 0o1644, 0))
		return op("chmod %q, %d %o", n1, slot, mode)(func(c *caller) string {
			return errName(unix.Chmod(c.at(n1), mode)) + " " + errName(unix.Fchmod(c.fds[slot], mode))
		})
	case 36:
		uid, gid := one(-1, 0, 7), one(-1, 0, 8)
		return op("lchown %q, %d %d %d", n1, slot, uid, gid)(func(c *caller) string {
			return errName(unix.Lchown(c.at(n1), uid, gid)) + " " + errName(unix.Fchown(c.fds[slot], uid, gid))
		})
	case 37:
		times := []unix.Timespec{{Sec: int64(r.IntN(1 << 31)), Nsec: int64(r.IntN(1e9))}, {Sec: int64(r.IntN(1 << 31)), Nsec: int64(r.IntN(1e9))}}
		return op("utimensat %q %v", n1, times[1])(func(c *caller) string {
			if err := unix.UtimesNanoAt(unix.AT_FDCWD, c.at(n1), times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return errName(err)
			}
			var st unix.Stat_t
			err := unix.Lstat(c.at(n1), &st)
			return fmt.Sprint(st.Mtim, errName(err))
		})
	case 38, 39:
		p, flags := data(), one(0, 0, unix.XATTR_CREATE, unix.XATTR_REPLACE)
		p = p[:min(len(p), 300)]
		return op("setxattr %q %s %d", n1, attr, flags)(func(c *caller) string {
			return errName(unix.Lsetxattr(c.at(n1), attr, p, flags)) + " " + xattrs(c.at(n1))
		})
	case 40:
		return op("removexattr %q, %d %s", n1, slot, attr)(func(c *caller) string {
			return errName(unix.Lremovexattr(c.at(n1), attr)) + " " + errName(unix.Fremovexattr(c.fds[slot], attr))
		})
	case 41:
		return op("list %q", n1)(func(c *caller) string {
			list, err := os.ReadDir(c.at(n1))
			var all []string
			for _, e := range list {
				all = append(all, fmt.Sprintf("%q %v", e.Name(), e.Type()))
			}
			slices.Sort(all)
			return strings.Join(all, ", ") + errName(err)
		})
	case 42:
		off, p := size(), data()
		return op("mmap %d, write %d at %d", slot, len(p), off)(func(c *caller) string { return throughMap(c.fds[slot], p, off) })
	default:
		return op("fsync and close %d", slot)(func(c *caller) string {
			said := errName(unix.Fsync(c.fds[slot])) + " " + errName(unix.Close(c.fds[slot]))
			c.fds[slot] = -1
			return said
		})
	}
}

// throughMap writes into a mapped file, as far as it goes, and returns a sum of
// what is mapped.
func throughMap(fd int, p []byte, off int64) string {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return errName(err)
	}
	if st.Size == 0 || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "nothing to map"
	}
	m, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return errName(err)
	}
	said := ""
	func() {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if recover() != nil {
				said = "cut off by others"
			}
		}()
		if off < st.Size {
			copy(m[off:], p)
		}
		said = fmt.Sprintf("%x", sha256.Sum256(m))
	}()
	return said + " " + errName(unix.Msync(m, unix.MS_SYNC)) + " " + errName(unix.Munmap(m))
}

// TestStorm makes random system calls from several threads in one mount, and in
// two of one store. They say what they like, but nothing that no file system says;
// in the end both mounts show the same, and the store is whole.
func TestStorm(t *testing.T) {
	for _, mounts := range []int{1, 2} {
		t.Run(fmt.Sprintf("mounts=%d", mounts), func(t *testing.T) { storm(t, mounts) })
	}
}

var (
	wrongInStorm = regexp.MustCompile(`EIO|ENOSYS|ENOTCONN|EREMOTEIO|ENXIO|ENOTSUP|EDEADLK|EAGAIN|EINTR|ENODEV`)
	// The kernel looks a path up again on ESTALE, but once only: who works on the
	// same names as another mount all the time may see it.
	onDescriptor = regexp.MustCompile(`^(fstat|pread|pwrite|read|write|lseek|ftruncate|fallocate|copy_file_range|mmap|fsync) `)
)

func storm(t *testing.T, mounts int) {
	path := newStore(t)
	t.Cleanup(func() { // when nothing is mounted any more
		if err := enginetest.Clean(path); err != nil {
			t.Error(err)
		}
	})
	var dirs []string
	for range mounts {
		dirs = append(dirs, mountStore(t, path, ""))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dirs[0], "w"), 0o755))
	r := seed(t)
	var wg sync.WaitGroup
	for i := range 4 {
		r := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
		wg.Go(func() {
			c := newCaller(filepath.Join(dirs[i%mounts], "w"))
			defer c.close()
			for range *twinOps / 2 {
				op := newOperation(r)
				said := c.do(op)
				if wrongInStorm.MatchString(said) || strings.Contains(said, "ESTALE") && (mounts == 1 || onDescriptor.MatchString(op.name)) {
					t.Errorf("%s: %s", op.name, said)
					return
				}
			}
		})
	}
	wg.Wait()
	store := openStore(t, path)
	inStep(t, store, dirs...)
	want := tree(t, filepath.Join(dirs[0], "w"))
	for _, dir := range dirs[1:] {
		require.Equal(t, want, tree(t, filepath.Join(dir, "w")))
	}
	require.NotEmpty(t, want)
	require.NoError(t, os.RemoveAll(filepath.Join(dirs[0], "w")))
	inStep(t, store, dirs...)
	for _, dir := range dirs {
		require.NoFileExists(t, filepath.Join(dir, "w"))
	}
	_, err := gc.New(store).Full(t.Context())
	require.NoError(t, err)
}
