package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The POSIX suite has the subjects of pjdfstest. Each case runs twice: in a
// directory of the host's file system, so that what it expects is what a file
// system does, and in a mount. What a mount does otherwise on purpose is in
// the table deviations.

// posixCase is one case. It starts as root in an empty directory of its own.
type posixCase struct {
	name string
	run  func(c *posix)
}

// posixCases are all cases of the suite.
func posixCases() []posixCase {
	var all []posixCase
	for _, cases := range [][]posixCase{
		pathCases, permissionCases, stickyCases, setIDCases, ownerCases, timeCases, failedTimeCases,
		openCases, writeCases, renameCases, directoryCases, linkCases, attributeCases,
	} {
		all = append(all, cases...)
	}
	return all
}

// deviation is a case that fails on a mount on purpose.
type deviation struct {
	reason  string
	failure string // what one of its failures says, so that it is this one
}

// deviations are the cases of the suite that a mount fails, and must fail: one
// that passes does not belong here. docs/semantics.md has them for users.
var deviations = map[string]deviation{
	"link/hard":                               {"an entry has one place: its container and key", "operation not permitted"},
	"times/link":                              {"no hard links", "operation not permitted"},
	"link/mkfifo":                             {"a FIFO is no value", "operation not permitted"},
	"link/mknod of a device":                  {"a device is no value", "operation not permitted"},
	"link/socket":                             {"a socket is no value", "operation not permitted"},
	"link/fifo and socket without a peer":     {"neither is a value", "operation not permitted"},
	"rename/whiteout":                         {"a whiteout is a device", "invalid argument"},
	"times/truncate to the same size":         {"what changes nothing publishes nothing", `changes "" of d/f`},
	"times/ftruncate to the same size":        {"what changes nothing publishes nothing", `changes "" of d/f`},
	"times/write of what is there":            {"what changes nothing publishes nothing", `changes "" of d/f`},
	"times/utimensat keeps atime apart":       {"atime is mtime: a read must not write", "atime: {2 0}, want {1 0}"},
	"write/more than 1 GiB":                   {"a value has 1 GiB at most", "file too large"},
	"write/fallocate that moves what follows": {"a value is replaced, not shifted", "operation not supported"},
	"attribute/trusted":                       {"only user attributes are kept", "operation not supported"},
	"setid/chown without execution by a stranger to the group": {"the kernel does not say which groups a caller has", "mode of f: 2644, want 0644"},
}

// TestPosixSuite runs the suite on the host's file system and on a mount.
func TestPosixSuite(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("acting as other users needs root")
	}
	thread := newPosixThread(t)
	dir := newDir(t)
	_, m := newMount(t, dir, "-o", "allow_other")
	plain := filepath.Join(dir, "plain")
	if err := os.Mkdir(plain, 0o755); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, pc := range posixCases() {
		if names[pc.name] {
			t.Errorf("two cases are called %s", pc.name)
		}
		names[pc.name] = true
		t.Run("plain/"+pc.name, func(t *testing.T) {
			for _, failure := range thread.runNew(t, plain, pc) {
				t.Errorf("not even a plain directory does this: %s", failure)
			}
		})
		t.Run("mount/"+pc.name, func(t *testing.T) {
			failures := thread.runNew(t, m.dir, pc)
			known, ok := deviations[pc.name]
			if !ok {
				for _, failure := range failures {
					t.Error(failure)
				}
				return
			}
			if !strings.Contains(strings.Join(failures, "\n"), known.failure) || len(failures) == 0 {
				t.Errorf("fails in another way than the table of deviations says (%q), or not at all: %q", known.failure, failures)
			}
		})
	}
	for name := range deviations {
		if !names[name] {
			t.Errorf("deviations: there is no case %s", name)
		}
	}
}

// posixThread is a thread on which cases run: users, the umask and the working
// directory of Linux threads are their own if need be.
type posixThread struct{ work chan func() }

// newPosixThread starts a thread that lives until the test ends. Start it before
// any mount: servers are told when the thread ends that has started them, and
// this one does not outlive the test.
func newPosixThread(t *testing.T) *posixThread {
	thread := &posixThread{work: make(chan func())}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and never unlock: the thread is thrown away
		started <- unix.Unshare(unix.CLONE_FS)
		for fn := range thread.work {
			fn()
		}
	}()
	t.Cleanup(func() {
		close(thread.work)
		<-ended
	})
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return thread
}

// runNew runs a case in a new directory below dir and returns what failed.
func (thread *posixThread) runNew(t *testing.T, dir string, pc posixCase) []string {
	dir = filepath.Join(dir, strings.ReplaceAll(pc.name, "/", "_"))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return thread.run(dir, pc)
}

// run runs a case in a directory that is there.
func (thread *posixThread) run(dir string, pc posixCase) []string {
	c := &posix{}
	done := make(chan struct{})
	thread.work <- func() {
		defer close(done)
		if err := unix.Chdir(dir); err != nil {
			c.errorf("chdir %s: %v", dir, err)
			return
		}
		unix.Umask(0o022)
		defer c.cleanUp()
		defer func() {
			if p := recover(); p != nil && p != errStop {
				panic(p)
			}
		}()
		pc.run(c)
	}
	<-done
	return c.failures
}

// errStop is the panic that ends a case.
var errStop = errors.New("stop")

// posix is a running case.
type posix struct {
	failures []string
	fds      []int
}

// The user and groups of nobody in particular.
const (
	someUser  = 54321
	someGroup = 54322
	nextUser  = 54323
	nextGroup = 54324
)

func (c *posix) cleanUp() {
	_ = unix.Chdir("/")
	for _, fd := range c.fds {
		_ = unix.Close(fd)
	}
}

func (c *posix) errorf(format string, args ...any) {
	c.failures = append(c.failures, fmt.Sprintf(format, args...))
}

// want checks that a call ended with an errno.
func (c *posix) want(errno unix.Errno, what string, err error) {
	if !errors.Is(err, errno) {
		c.errorf("%s: %v, want %s", what, err, unix.ErrnoName(errno))
	}
}

// try checks that a call succeeded.
func (c *posix) try(what string, err error) {
	if err != nil {
		c.errorf("%s: %v", what, err)
	}
}

// need ends the case unless a call succeeded.
func (c *posix) need(what string, err error) {
	if err != nil {
		c.errorf("%s: %v", what, err)
		panic(errStop)
	}
}

// equal checks a result.
func equal[T comparable](c *posix, what string, got, want T) {
	if got != want {
		c.errorf("%s: %v, want %v", what, got, want)
	}
}

// mode checks the 07777 bits of a file.
func (c *posix) mode(path string, want uint32) {
	if got := c.lstat(path).Mode & 0o7777; got != want {
		c.errorf("mode of %s: %04o, want %04o", path, got, want)
	}
}

// owner checks whose a file is.
func (c *posix) owner(path string, uid, gid uint32) {
	st := c.lstat(path)
	if st.Uid != uid || st.Gid != gid {
		c.errorf("owner of %s: %d:%d, want %d:%d", path, st.Uid, st.Gid, uid, gid)
	}
}

// content checks what a file holds.
func (c *posix) content(path, want string) {
	got, err := os.ReadFile(path)
	c.try("read "+path, err)
	if string(got) != want {
		c.errorf("%s holds %q, want %q", path, got, want)
	}
}

func (c *posix) lstat(path string) unix.Stat_t {
	var st unix.Stat_t
	c.need("lstat "+path, unix.Lstat(path, &st))
	return st
}

// file makes a file that holds its name, whatever the umask is.
func (c *posix) file(path string, mode uint32) {
	c.need("make "+path, os.WriteFile(path, []byte(path), 0o600))
	c.need("chmod "+path, unix.Chmod(path, mode))
}

// fileOf makes a file of an owner. chown clears set-id bits, so chmod is last.
func (c *posix) fileOf(path string, mode uint32, uid, gid int) {
	c.file(path, mode)
	c.need("chown "+path, unix.Chown(path, uid, gid))
	c.need("chmod "+path, unix.Chmod(path, mode))
}

func (c *posix) dir(path string, mode uint32) {
	c.need("mkdir "+path, unix.Mkdir(path, 0o700))
	c.need("chmod "+path, unix.Chmod(path, mode))
}

func (c *posix) dirOf(path string, mode uint32, uid, gid int) {
	c.dir(path, mode)
	c.need("chown "+path, unix.Chown(path, uid, gid))
	c.need("chmod "+path, unix.Chmod(path, mode))
}

func (c *posix) link(to, path string) { c.need("symlink "+path, unix.Symlink(to, path)) }

// open opens a file until the case ends.
func (c *posix) open(path string, flags int, mode uint32) int {
	fd, err := unix.Open(path, flags, mode)
	c.need("open "+path, err)
	c.fds = append(c.fds, fd)
	return fd
}

// openErr opens a file for the errno alone.
func openErr(path string, flags int, mode uint32) error {
	fd, err := unix.Open(path, flags, mode)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// as calls fn as another user with one group and perhaps further ones. The
// calls go around package syscall, which would change all threads.
func (c *posix) as(uid, gid int, fn func(), groups ...uint32) {
	c.setIDs(groups, uid, gid)
	defer c.setIDs(nil, 0, 0)
	fn()
}

func (c *posix) setIDs(groups []uint32, uid, gid int) {
	const keep = 0 // the saved ids, so that root can come back
	set := func() error {
		return errors.Join(rawSetgroups(groups), raw(unix.SYS_SETRESGID, gid, gid, keep))
	}
	if uid == 0 {
		c.need("become root", errors.Join(raw(unix.SYS_SETRESUID, 0, 0, keep), set()))
		return
	}
	c.need("become somebody else", errors.Join(set(), raw(unix.SYS_SETRESUID, uid, uid, keep)))
}

// raw is a system call of this thread alone.
func raw(call uintptr, args ...int) error {
	var a [3]uintptr
	for i, arg := range args {
		a[i] = uintptr(arg)
	}
	if _, _, errno := unix.RawSyscall(call, a[0], a[1], a[2]); errno != 0 {
		return errno
	}
	return nil
}

// tick waits until the clock that file systems use for their times has moved.
func tick() {
	var from, now unix.Timespec
	read := func(ts *unix.Timespec) { _ = unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, ts) }
	read(&from)
	for now = from; now == from; read(&now) {
		time.Sleep(time.Millisecond)
	}
}

// times checks which times an operation changes. want names each file and "m",
// "c", "mc" or "" behind a colon: "d:mc f:c g:"; "a>b:c" is a file that the
// operation renames.
func (c *posix) times(what, want string, op func()) {
	type watched struct {
		from, to, flags string
		before          unix.Stat_t
	}
	var all []watched
	for field := range strings.FieldsSeq(want) {
		name, flags, _ := strings.Cut(field, ":")
		from, to, moved := strings.Cut(name, ">")
		if !moved {
			to = from
		}
		all = append(all, watched{from: from, to: to, flags: flags})
	}
	stat := func(path string) (st unix.Stat_t) {
		if strings.HasPrefix(path, "/proc/") {
			c.need("stat "+path, unix.Stat(path, &st))
			return st
		}
		return c.lstat(path)
	}
	for i := range all {
		all[i].before = stat(all[i].from)
	}
	tick()
	op()
	for _, w := range all {
		after, got := stat(w.to), ""
		if later(after.Mtim, w.before.Mtim) {
			got += "m"
		}
		if later(after.Ctim, w.before.Ctim) {
			got += "c"
		}
		if got == "" && (after.Mtim != w.before.Mtim || after.Ctim != w.before.Ctim) {
			got = "back"
		}
		if got != w.flags {
			c.errorf("%s changes %q of %s, want %q", what, got, w.to, w.flags)
		}
	}
}

func later(a, b unix.Timespec) bool {
	return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec
}
