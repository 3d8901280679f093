package fsnode

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
)

// frozen is a version of the store that the mount shows beside the newest one:
// a snapshot, or what `now` is for a process. Its nodes are those of the version,
// under numbers of their own, and never change.
type frozen struct {
	fs     *fileSystem
	prefix uint64 // of the numbers of its nodes
	name   string // of the snapshot, "" for a now
	seq    uint64

	mu    sync.Mutex
	held  Version   // of a now always, of a snapshot while files are open and a while longer
	opens int       // files and directories that are open
	used  time.Time // when the last one was closed, or the version was taken
	gone  bool      // a snapshot that was dropped: nothing is kept after the last use
	ended bool      // a now that was given up
}

// The numbers of frozen nodes: the highest bits say which version, the lower
// ones hold the id of the entry. They are the same after the next mount for
// snapshots, whose numbers the store keeps; beyond a million they repeat.
const (
	frozenIDs     = 1 << 62
	frozenNow     = 1 << 61
	frozenShift   = 41
	frozenNumbers = 1 << (61 - frozenShift)
	frozenSidecar = 1 << 40 // the sidecar of the directory with that id
	frozenEntries = 1 << 40
)

// frozenPrefix returns the prefix of a snapshot's or now's nodes.
func frozenPrefix(now bool, number uint64) uint64 {
	p := uint64(frozenIDs) | number%frozenNumbers<<frozenShift
	if now {
		p |= frozenNow
	}
	return p
}

// ino returns the number of the node of an entry.
func (f *frozen) ino(id engine.ID) uint64 { return f.prefix | uint64(id) }

// frozenTimeout is how long the kernel may believe what is in a frozen version.
const frozenTimeout = time.Hour

// linger is how long a version is kept after its last use.
const linger = 10 * time.Second

// view calls fn with the version; errStale when it is gone.
func (f *frozen) view(fn func(Tx) error) error {
	f.mu.Lock()
	held, ended := f.held, f.ended
	f.mu.Unlock()
	if ended {
		return errStale
	}
	if held != nil {
		err := held.View(fn)
		if !errors.Is(err, engine.ErrClosed) {
			return err
		}
		if f.name == "" {
			return errStale
		}
	}
	entered := false
	err := f.fs.store.ViewSnapshot(f.name, func(tx Tx) error {
		entered = true
		if tx.Seq() != f.seq {
			return errStale // dropped, and another one has its name
		}
		return fn(tx)
	})
	if !entered && errors.Is(err, engine.ErrNotFound) {
		err = errStale
	}
	return err
}

// open counts an open file and makes sure that the version stays as long.
func (f *frozen) open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return errStale
	}
	if f.held == nil {
		v, err := f.fs.store.KeepSnapshot(f.name)
		if errors.Is(err, engine.ErrNotFound) {
			return errStale
		}
		if err != nil {
			return err
		}
		if v.Seq() != f.seq {
			return errors.Join(errStale, v.Close())
		}
		f.held = v
	}
	f.opens++
	return nil
}

func (f *frozen) isHeld() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held != nil
}

// close takes an open file back.
func (f *frozen) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opens--
	f.used = time.Now()
	f.letGo(f.gone)
}

// rest lets the version go when nothing has needed it for a while, or at once
// if now is set. It reports whether the version is at rest.
func (f *frozen) rest(now bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.letGo(now)
}

// dropped says that there is no such snapshot any more.
func (f *frozen) dropped() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	f.letGo(true)
}

// letGo is rest.
//
// Preconditions: f.mu is held.
func (f *frozen) letGo(now bool) bool {
	if f.opens > 0 || !now && f.held != nil && time.Since(f.used) < linger {
		return false
	}
	if f.held != nil {
		_ = f.held.Close() // it only counts
		f.held = nil
	}
	f.ended = f.name == ""
	return true
}

// root returns the entry of the version's root.
func (f *frozen) root() (e engine.Entry, err error) {
	err = f.view(func(tx Tx) error {
		e, err = tx.Stat(engine.RootID)
		return err
	})
	return e, err
}

// remember returns the node of an entry and counts a lookup.
func (f *frozen) remember(e *engine.Entry) (*node, error) {
	if e.ID >= frozenEntries {
		return nil, syscall.EOVERFLOW
	}
	return f.fs.nodes.rememberFrozen(f, e), nil
}

// fill fills in the reply for a name that stands for e.
func (f *frozen) fill(out *fuse.EntryOut, e *engine.Entry) error {
	n, err := f.remember(e)
	if err != nil {
		return err
	}
	out.NodeId = n.id
	out.SetEntryTimeout(frozenTimeout)
	out.SetAttrTimeout(frozenTimeout)
	fillAttr(&out.Attr, n.id, e)
	return nil
}

// lookupFrozen is Lookup in a frozen directory.
func (fs *fileSystem) lookupFrozen(dir *node, name string, out *fuse.EntryOut) error {
	if name == encoding.SidecarName {
		v, id := fs.frozenSide(dir)
		return fs.lookupVirtual(v, id, out)
	}
	var e engine.Entry
	err := fs.view(dir, func(tx Tx, d *engine.Entry) error {
		var err error
		e, err = lookup(tx, d.ID, name)
		return err
	})
	if isAbsent(err) || errors.Is(err, encoding.ErrBadName) {
		err = engine.ErrNotFound
	}
	if err != nil {
		return err
	}
	return dir.frozen.fill(out, &e)
}

// openFrozen is Open of a frozen file. Its content never changes, so the kernel
// keeps it.
func (fs *fileSystem) openFrozen(n *node, flags uint32, out *fuse.OpenOut) error {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0 {
		return syscall.EROFS
	}
	if err := n.frozen.open(); err != nil {
		return err
	}
	f := &frozenFile{n: n}
	err := fs.view(n, func(_ Tx, e *engine.Entry) error {
		switch {
		case e.IsContainer():
			return syscall.EISDIR
		case e.Link:
			return syscall.ELOOP
		}
		return nil
	})
	if err != nil {
		n.frozen.close()
		return err
	}
	fs.addVirtualHandle(n, f, flags, out)
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
	return nil
}

// frozenFile is an open file of a frozen version.
type frozenFile struct{ n *node }

// readAt reads from the image; fewer bytes only at its end.
func (f *frozenFile) readAt(p []byte, off int64) (int, error) {
	n := 0
	err := f.n.frozen.fs.view(f.n, func(tx Tx, e *engine.Entry) error {
		var err error
		if !e.HasImage() {
			image, err := readImage(tx, e)
			if err == nil && off < int64(len(image)) {
				n = copy(p, image[off:])
			}
			return err
		}
		n, err = readImageAt(tx, e, p, off)
		return err
	})
	return n, err
}

func (f *frozenFile) read(off int64, n int) []byte {
	p := make([]byte, n)
	n, _ = f.readAt(p, off)
	return p[:n]
}

func (*frozenFile) write(int64, []byte) error { return syscall.EROFS }
func (*frozenFile) truncate(int64) error      { return syscall.EROFS }
func (*frozenFile) flush() error              { return nil }

func (f *frozenFile) close() error {
	f.n.frozen.close()
	return nil
}

// frozenSide is the sidecar of a frozen directory.
type frozenSide struct {
	fs  *fileSystem
	dir *node
}

// frozenSide returns the sidecar of a frozen directory and its number.
func (fs *fileSystem) frozenSide(dir *node) (virtual, uint64) {
	return frozenSide{fs, dir}, dir.id | frozenSidecar
}

func (s frozenSide) parent() uint64 { return s.dir.id }

func (s frozenSide) path() string { return sidecarPath(s.fs.path(s.dir)) }

func (s frozenSide) content() (c sideContent, err error) {
	err = s.fs.view(s.dir, func(tx Tx, dir *engine.Entry) error {
		c, err = makeSidecar(tx, dir)
		return err
	})
	return c, err
}

// attr describes the sidecar, if the directory needs one.
func (s frozenSide) attr(a *fuse.Attr) error {
	c, err := s.content()
	if err != nil {
		return err
	}
	if len(c.text) == 0 {
		return engine.ErrNotFound
	}
	c.fill(a, int64(len(c.text)))
	return nil
}

func (s frozenSide) open(flags uint32) (openFile, error) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0 {
		return nil, syscall.EROFS
	}
	c, err := s.content()
	return fixedFile(c.text), err
}
