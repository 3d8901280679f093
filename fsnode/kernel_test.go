package fsnode

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// toldKernel notes what a mount tells its kernel. The tests below make requests
// as a kernel does, one step of the follower at a time, in orders that a real
// one meets only now and then.
type toldKernel struct {
	mu  sync.Mutex
	all []string
}

func (k *toldKernel) add(format string, args ...any) fuse.Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, fmt.Sprintf(format, args...))
	return fuse.OK
}

// take returns what was told since it was called last.
func (k *toldKernel) take() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.all
	k.all = nil
	return all
}

func (k *toldKernel) EntryNotify(parent uint64, name string) fuse.Status {
	return k.add("name %d %s", parent, name)
}

func (k *toldKernel) DeleteNotify(parent, child uint64, name string) fuse.Status {
	return k.add("gone %d %d %s", parent, child, name)
}

func (k *toldKernel) InodeNotify(node uint64, off, _ int64) fuse.Status {
	return k.add("inode %d %d", node, off)
}

// stepper is a mount without a kernel.
type stepper struct {
	*testing.T
	fs     *fileSystem
	store  *engine.Store
	kernel *toldKernel
	after  func() // called once when a View of a request has ended
	edited func() // called once when an Update has ended
	kept   func() // called once when a round has taken its version
	looks  func() // called once when that is the base and no node was checked
	hint   uint64 // what Changed returns, if it is not 0
}

// lateStore lets something happen between what a request reads and its reply.
type lateStore struct {
	Store
	s *stepper
}

func (l lateStore) View(fn func(Tx) error) error {
	err := l.Store.View(fn)
	if after := l.s.after; after != nil {
		l.s.after = nil
		after()
	}
	return err
}

func (l lateStore) Update(fn func(Tx) error) error {
	err := l.Store.Update(fn)
	if edited := l.s.edited; edited != nil {
		l.s.edited = nil
		edited()
	}
	return err
}

// KeepNewest calls kept when the version is taken and not yet returned.
func (l lateStore) KeepNewest() (Version, error) {
	v, err := l.Store.KeepNewest()
	if kept := l.s.kept; kept != nil {
		l.s.kept = nil
		kept()
	}
	if err != nil {
		return nil, err
	}
	return lateVersion{v, l.s}, nil
}

// Changed returns a hint, which may be behind.
func (l lateStore) Changed() uint64 {
	if l.s.hint != 0 {
		return l.s.hint
	}
	return l.Store.Changed()
}

// lateVersion lets something happen before a round looks at its version.
type lateVersion struct {
	Version
	s *stepper
}

func (l lateVersion) View(fn func(Tx) error) error {
	if looks := l.s.looks; looks != nil {
		l.s.looks = nil
		looks()
	}
	return l.Version.View(fn)
}

func newStepper(t *testing.T) *stepper { return newStepperWith(t, Options{}) }

func newStepperWith(t *testing.T, o Options) *stepper {
	store, err := engine.OpenMemory(64<<20, engine.Options{Commit: -1})
	require.NoError(t, err)
	s := &stepper{T: t, store: store, kernel: &toldKernel{}}
	s.fs = newFileSystem(lateStore{FromEngine(store), s}, o.withDefaults())
	s.fs.server = s.kernel
	s.fs.follow.start(s.kernel)
	t.Cleanup(func() {
		s.fs.follow.notes.close()
		s.fs.follow.setOld(nil)
		require.NoError(t, store.Close())
	})
	return s
}

// foreign makes a change that this mount does not know of.
func (s *stepper) foreign(fn func(tx *engine.Tx) error) {
	s.Helper()
	require.NoError(s, s.store.Update(fn))
}

// step makes one round and returns what the kernel was told since the last one.
func (s *stepper) step() []string {
	s.Helper()
	require.NoError(s, s.fs.follow.step())
	return s.told()
}

func (s *stepper) told() []string {
	s.Helper()
	for deadline := time.Now().Add(time.Minute); s.fs.follow.notes.pending() > 0; time.Sleep(time.Millisecond) {
		require.True(s, time.Now().Before(deadline), "the notifier does not end")
	}
	return s.kernel.take()
}

const rootNode = uint64(engine.RootID)

func (s *stepper) lookup(dir uint64, name string) fuse.EntryOut {
	s.Helper()
	var out fuse.EntryOut
	require.Equal(s, fuse.OK, s.fs.Lookup(nil, &fuse.InHeader{NodeId: dir}, name, &out))
	return out
}

func (s *stepper) getAttr(node uint64) fuse.AttrOut {
	s.Helper()
	var out fuse.AttrOut
	require.Equal(s, fuse.OK, s.fs.GetAttr(nil, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: node}}, &out))
	return out
}

func put(tx *engine.Tx, name, text string) error {
	_, err := tx.Put(engine.RootID, value.String(name), value.String(text), engine.PutOptions{New: engine.NewAttr{Mode: 0o644}})
	return err
}

func makeDir(tx *engine.Tx, name string) error {
	_, err := tx.Make(engine.RootID, value.String(name), value.KindDict, engine.NewAttr{Mode: 0o755})
	return err
}

func remove(tx *engine.Tx, name string) error { return tx.Remove(engine.RootID, value.String(name)) }

// putLink makes a symbolic link.
func putLink(tx *engine.Tx, name, to string) error {
	_, err := tx.PutImage(engine.RootID, value.String(name), value.KindString, []byte(to),
		engine.PutOptions{Link: true, NoEOL: true, New: engine.NewAttr{Mode: 0o644}})
	return err
}

// rename returns an edit that renames an entry of the root.
func rename(from, to string, o engine.RenameOptions) func(tx *engine.Tx) error {
	return func(tx *engine.Tx) error {
		return tx.Rename(engine.RootID, value.String(from), engine.RootID, value.String(to), o)
	}
}

// replace returns an edit that puts another file in the place of one.
func replace(name, text string) func(tx *engine.Tx) error {
	return func(tx *engine.Tx) error {
		if err := remove(tx, name); err != nil {
			return err
		}
		return put(tx, name, text)
	}
}

// TestLateReplyIsNotKept: what a request has read before the follower went on is
// not for the kernel to keep; what it has read of the base is.
func TestLateReplyIsNotKept(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	s.after = func() {
		s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "22") })
		s.step()
	}
	out := s.lookup(rootNode, "a")
	require.Equal(t, uint64(2), out.Attr.Size)
	require.Zero(t, out.EntryValid+out.AttrValid)
	s.after = func() {
		s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "333") })
		s.step()
	}
	require.Zero(t, s.getAttr(out.NodeId).AttrValid)
	out = s.lookup(rootNode, "a")
	require.Equal(t, uint64(3600), out.EntryValid)
	require.Equal(t, uint64(3600), out.AttrValid)
	require.Equal(t, uint64(3600), s.getAttr(out.NodeId).AttrValid)
}

// TestWhatComesAndGoes: a name that was made and removed between two rounds is in
// no difference, and goes all the same.
func TestWhatComesAndGoes(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	require.NotZero(t, s.lookup(rootNode, "a").EntryValid)
	s.foreign(func(tx *engine.Tx) error { return remove(tx, "a") })
	require.Contains(t, s.step(), fmt.Sprintf("name %d a", rootNode))
}

// TestAttributesFollowALock: before a file's attributes are taken back, the lock
// of its directory is taken, so that a reply that brings the file has come in.
func TestAttributesFollowALock(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	n := s.lookup(rootNode, "a").NodeId
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "22") })
	told := s.step()
	lock, inode := slices.Index(told, fmt.Sprintf("name %d %s", rootNode, noName)), slices.Index(told, fmt.Sprintf("inode %d -1", n))
	require.GreaterOrEqual(t, lock, 0, told)
	require.Greater(t, inode, lock, told)
	require.NotContains(t, told, fmt.Sprintf("name %d a", rootNode), "the name is still good")
	require.NotContains(t, s.step(), fmt.Sprintf("inode %d -1", n), "it is told once")
}

// TestSeveralAttributes: the kernel may have kept the older of two replies, so
// that the newer one agrees with the store says nothing.
func TestSeveralAttributes(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	n := s.lookup(rootNode, "a").NodeId
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "22") })
	require.Equal(t, uint64(3), s.getAttr(n).Size)
	require.Contains(t, s.step(), fmt.Sprintf("inode %d -1", n))
}

// TestOwnEditsNeedNoNotification: what the kernel has done itself, it knows; also
// when others do something at the same time.
func TestOwnEditsNeedNoNotification(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "other", "1") })
	other := s.lookup(rootNode, "other").NodeId
	s.step()
	in := fuse.InHeader{NodeId: rootNode}
	var out fuse.EntryOut
	require.Equal(t, fuse.OK, s.fs.Mkdir(nil, &fuse.MkdirIn{InHeader: in, Mode: 0o755}, "d", &out))
	require.NotZero(t, out.EntryValid)
	d := out.NodeId
	s.foreign(func(tx *engine.Tx) error { return remove(tx, "other") })
	require.Equal(t, fuse.OK, s.fs.Mkdir(nil, &fuse.MkdirIn{InHeader: in, Mode: 0o755}, "e", &out))
	require.Equal(t, fuse.OK, s.fs.Rename(nil, &fuse.RenameIn{InHeader: in, Newdir: rootNode}, "d", "f"))
	require.Equal(t, fuse.OK, s.fs.Rmdir(nil, &in, "e"))
	told := s.step()
	for _, name := range []string{"d", "e", "f"} {
		require.NotContains(t, told, fmt.Sprintf("name %d %s", rootNode, name))
	}
	require.Contains(t, told, fmt.Sprintf("name %d other", rootNode))
	require.Contains(t, told, fmt.Sprintf("inode %d -1", other))
	// What the rename has made is followed.
	s.foreign(func(tx *engine.Tx) error { return remove(tx, "f") })
	told = s.step()
	require.Contains(t, told, fmt.Sprintf("gone %d %d f", rootNode, d))
}

// TestNameOfAnother: a name under which others have put another file is taken
// back as soon as that is known, and the kernel may not move or remove what it
// takes for the old one; also where it asks for each name, since that may have been
// a moment ago.
func TestNameOfAnother(t *testing.T) {
	for _, strict := range []bool{false, true} {
		s := newStepperWith(t, Options{Strict: strict})
		s.foreign(func(tx *engine.Tx) error {
			if err := makeDir(tx, "a"); err != nil {
				return err
			}
			return makeDir(tx, "b")
		})
		s.step()
		first := s.lookup(rootNode, "a").NodeId
		s.foreign(func(tx *engine.Tx) error {
			return tx.Rename(engine.RootID, value.String("a"), engine.RootID, value.String("b"), engine.RenameOptions{Exchange: true})
		})
		in := fuse.InHeader{NodeId: rootNode}
		require.Equal(t, fuse.Status(syscall.ESTALE), s.fs.Rmdir(nil, &in, "a"))
		require.Equal(t, fuse.Status(syscall.ESTALE), s.fs.Rename(nil, &fuse.RenameIn{InHeader: in, Newdir: rootNode}, "a", "c"))
		require.NotEqual(t, first, s.lookup(rootNode, "a").NodeId)
		require.Contains(t, s.told(), fmt.Sprintf("name %d a", rootNode))
		require.Equal(t, fuse.OK, s.fs.Rmdir(nil, &in, "a"))
	}
}

// TestLongDifference: when more has changed than the kernel knows, what it knows
// is looked at.
func TestLongDifference(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	n := s.lookup(rootNode, "a").NodeId
	s.foreign(func(tx *engine.Tx) error {
		for i := range 4 * minDifference {
			if err := put(tx, fmt.Sprint(i), "x"); err != nil {
				return err
			}
		}
		return put(tx, "a", "22")
	})
	require.Contains(t, s.step(), fmt.Sprintf("inode %d -1", n))
	require.Equal(t, uint64(1), s.fs.follow.full.Load())
	s.foreign(func(tx *engine.Tx) error { return put(tx, "b", "1") })
	s.step()
	require.Equal(t, uint64(1), s.fs.follow.full.Load())
}

// TestNewDirectoryBehindRound: a directory that is made when a round has its
// version, and is not in it, must not be taken for a removed one: the kernel
// would take it for dead.
func TestNewDirectoryBehindRound(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	made := make(chan fuse.Status, 1)
	s.kept = func() {
		go func() {
			var out fuse.EntryOut
			made <- s.fs.Mkdir(nil, &fuse.MkdirIn{InHeader: fuse.InHeader{NodeId: rootNode}, Mode: 0o755}, "d", &out)
		}()
		// It ends now, or waits for the round: both are good.
		select {
		case status := <-made:
			made <- status
		case <-time.After(50 * time.Millisecond):
		}
	}
	told := s.step()
	require.Equal(t, fuse.OK, <-made)
	told = append(told, s.step()...)
	d := s.lookup(rootNode, "d").NodeId
	for _, line := range told {
		require.NotContains(t, line, fmt.Sprintf("gone %d %d", rootNode, d))
	}
}
