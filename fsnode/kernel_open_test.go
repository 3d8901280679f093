package fsnode

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// tryOpen is one OPEN.
func (s *stepper) tryOpen(node uint64, flags uint32) (fh uint64, status fuse.Status) {
	in := fuse.InHeader{NodeId: node, Caller: fuse.Caller{Pid: uint32(os.Getpid())}}
	var out fuse.OpenOut
	status = s.fs.Open(nil, &fuse.OpenIn{InHeader: in, Flags: flags}, &out)
	return out.Fh, status
}

// tryOpenFor opens a file as open(2) of a path that leads to an inode whatever its
// names are, such as /proc/self/fd/7: what is stale is tried once more.
func (s *stepper) tryOpenFor(node uint64, flags uint32) (fh uint64, status fuse.Status) {
	fh, status = s.tryOpen(node, flags)
	if status == fuse.Status(syscall.ESTALE) {
		fh, status = s.tryOpen(node, flags)
	}
	return fh, status
}

func (s *stepper) openFor(node uint64, flags uint32) (fh uint64) {
	s.Helper()
	fh, status := s.tryOpenFor(node, flags)
	require.Equal(s, fuse.OK, status)
	return fh
}

// openMapped opens a file, and fills a page through it as mmap does.
func (s *stepper) openMapped(node uint64) (fh uint64) {
	s.Helper()
	fh = s.openFor(node, 0)
	s.fillPage(node, fh)
	return fh
}

func (s *stepper) fillPage(node, fh uint64) string {
	s.Helper()
	return s.readAs(&fuse.ReadIn{InHeader: fuse.InHeader{NodeId: node}, Fh: fh, Size: 4096})
}

// read is read(2) at the beginning of a file.
func (s *stepper) read(fh uint64) string {
	s.Helper()
	return s.readAs(&fuse.ReadIn{Fh: fh, Size: 4096, ReadFlags: fuse.READ_LOCKOWNER})
}

func (s *stepper) readAs(in *fuse.ReadIn) string {
	s.Helper()
	page := make([]byte, in.Size)
	read, status := s.fs.Read(nil, in, page)
	require.Equal(s, fuse.OK, status)
	text, status := read.Bytes(page)
	require.Equal(s, fuse.OK, status)
	return string(text)
}

func (s *stepper) write(fh uint64, text string) {
	s.Helper()
	_, status := s.fs.Write(nil, &fuse.WriteIn{Fh: fh, Size: uint32(len(text))}, []byte(text))
	require.Equal(s, fuse.OK, status)
}

func (s *stepper) release(fh uint64) { s.fs.Release(nil, &fuse.ReleaseIn{Fh: fh}) }

// text returns what a file of the store holds.
func (s *stepper) text(dir engine.ID, name string) (text string) {
	s.Helper()
	require.NoError(s, s.store.View(func(tx *engine.Tx) error {
		e, err := tx.Lookup(dir, value.String(name))
		if err != nil {
			return err
		}
		b, err := readImage(tx, &e)
		text = string(b)
		return err
	}))
	return text
}

// TestLateOpenLooksAgain: an open by a stale name is told so, and finds the new
// file by the lookup that follows.
func TestLateOpenLooksAgain(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	first := s.lookup(rootNode, "a").NodeId
	s.openFor(first, 0)
	s.foreign(replace("a", "22"))
	_, status := s.tryOpen(first, 0)
	require.Equal(t, fuse.Status(syscall.ESTALE), status)
	second := s.lookup(rootNode, "a").NodeId
	require.NotEqual(t, first, second)
	fh, status := s.tryOpen(second, 0)
	require.Equal(t, fuse.OK, status)
	require.Equal(t, "22\n", s.read(fh))
	require.Equal(t, uint64(3), s.getAttr(second).Size)
	// That open has ended well: the next one is told to look again as well.
	s.foreign(replace("a", "333"))
	_, status = s.tryOpen(second, 0)
	require.Equal(t, fuse.Status(syscall.ESTALE), status)
}

// TestPagesOfALateOpen: an open that comes after others have replaced the file, and
// finds the same inode when it looks again, is on what has the name now. Its pages
// are followed, though the kernel takes them for pages of the first file.
func TestPagesOfALateOpen(t *testing.T) {
	for _, opened := range []bool{false, true} {
		s := newStepper(t)
		s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
		s.step()
		first := s.lookup(rootNode, "a").NodeId
		if opened { // else the node becomes what has its name
			s.openFor(first, 0)
		}
		s.foreign(replace("a", "22"))
		s.step()
		fh := s.openMapped(first)
		gone := fmt.Sprintf("inode %d 0", first)
		s.step()
		s.fillPage(first, fh)
		for _, text := range []string{"333", "4444", "55555"} {
			s.foreign(func(tx *engine.Tx) error { return put(tx, "a", text) })
			require.Contains(t, s.step(), gone, "opened before: %t, %s", opened, text)
			require.Equal(t, text+"\n", s.fillPage(first, fh))
		}
		s.foreign(func(tx *engine.Tx) error { return put(tx, "b", "1") })
		require.NotContains(t, s.step(), gone)
		s.release(fh)
		s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
		require.NotContains(t, s.step(), gone, "nobody maps it any more")
	}
}

// TestPagesOfTwoFiles: while the kernel has pages of a file that others have
// replaced, it must open the new one as another inode.
func TestPagesOfTwoFiles(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	first := s.lookup(rootNode, "a").NodeId
	s.openMapped(first)
	s.foreign(replace("a", "22"))
	_, status := s.tryOpenFor(first, 0)
	require.Equal(t, fuse.Status(syscall.ESTALE), status)
	second := s.lookup(rootNode, "a").NodeId
	require.NotEqual(t, first, second)
	s.openMapped(second)
}

// TestPagesOfThreeFiles: an inode that has pages of the file that it was opened as
// late must not be opened as a third one.
func TestPagesOfThreeFiles(t *testing.T) {
	for _, opened := range []bool{false, true} {
		s := newStepper(t)
		s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
		s.step()
		first := s.lookup(rootNode, "a").NodeId
		if opened {
			s.openFor(first, 0)
		}
		s.foreign(replace("a", "22"))
		s.openMapped(first)
		s.foreign(replace("a", "333"))
		_, status := s.tryOpenFor(first, 0)
		require.Equal(t, fuse.Status(syscall.ESTALE), status, "opened before: %t", opened)
	}
}

// TestSeekInALateOpen: SEEK_END asks for the size of what the handle reads.
func TestSeekInALateOpen(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	first := s.lookup(rootNode, "a").NodeId
	s.openFor(first, 0)
	s.foreign(replace("a", "22"))
	fh := s.openFor(first, 0)
	var out fuse.AttrOut
	in := fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: first}, Flags_: fuse.FUSE_GETATTR_FH, Fh_: fh}
	require.Equal(t, fuse.OK, s.fs.GetAttr(nil, &in, &out))
	require.Equal(t, "22\n", s.read(fh))
	require.Equal(t, uint64(3), out.Size)
}

// TestManyLateOpens: opening again and again keeps nothing for ever.
func TestManyLateOpens(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	first := s.lookup(rootNode, "a").NodeId
	s.openFor(first, 0)
	s.foreign(replace("a", "22"))
	s.step()
	nodes := s.fs.nodes.len()
	for range 1000 {
		s.release(s.openFor(first, 0))
	}
	require.Less(t, len(s.fs.follow.recent), 10)
	require.Equal(t, nodes, s.fs.nodes.len())
	require.Zero(t, s.fs.late.some.Load())
}

// TestOldFileLivesElsewhere: others move a file away and put a new one in its
// place. Who opens it by the stale name is on the new one; the old one is what it
// was.
func TestOldFileLivesElsewhere(t *testing.T) {
	for _, step := range []bool{false, true} {
		s := newStepper(t)
		s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "old") })
		s.step()
		first := s.lookup(rootNode, "a").NodeId
		s.foreign(func(tx *engine.Tx) error {
			if err := rename("a", "b", engine.RenameOptions{})(tx); err != nil {
				return err
			}
			return put(tx, "a", "new!")
		})
		late := s.openFor(first, syscall.O_RDWR)
		require.Equal(t, "new!\n", s.read(late))
		if step {
			s.step()
		}
		old := s.lookup(rootNode, "b")
		require.Equal(t, first, old.NodeId)
		require.Equal(t, uint64(4), old.Size)
		fh := s.openFor(first, syscall.O_RDWR)
		require.Equal(t, "old\n", s.read(fh), "step: %t", step)
		require.Equal(t, uint64(4), s.getAttr(first).Size, "step: %t", step)
		s.write(fh, "OLD")
		require.Equal(t, "OLD\n", s.text(engine.RootID, "b"), "step: %t", step)
		require.Equal(t, "new!\n", s.text(engine.RootID, "a"), "step: %t", step)
	}
}

// TestWriteAfterOldFileMoved: what is written through a handle that was opened by a
// stale name is not lost when the old file is known to be elsewhere.
func TestWriteAfterOldFileMoved(t *testing.T) {
	s := newStepper(t)
	var d engine.ID
	s.foreign(func(tx *engine.Tx) error {
		if err := put(tx, "a", "old"); err != nil {
			return err
		}
		e, err := tx.Make(engine.RootID, value.String("d"), value.KindDict, engine.NewAttr{Mode: 0o755})
		d = e.ID
		return err
	})
	s.step()
	s.lookup(rootNode, "d")
	first := s.lookup(rootNode, "a").NodeId
	s.foreign(func(tx *engine.Tx) error {
		if err := tx.Rename(engine.RootID, value.String("a"), d, value.String("a"), engine.RenameOptions{}); err != nil {
			return err
		}
		return put(tx, "a", "new!")
	})
	fh := s.openFor(first, syscall.O_RDWR)
	require.Equal(t, "new!\n", s.read(fh))
	s.step()
	s.lookup(uint64(d), "a")
	s.write(fh, "NEW")
	require.Equal(t, "NEW!\n", s.text(engine.RootID, "a"))
	require.Equal(t, "old\n", s.text(d, "a"))
}

// TestLinkInPlaceOfFile: a file that others have made a symbolic link of is looked
// up again, and by a CREATE that finds one as well.
func TestLinkInPlaceOfFile(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	n := s.lookup(rootNode, "a").NodeId
	s.foreign(func(tx *engine.Tx) error { return putLink(tx, "a", "b") })
	_, status := s.tryOpen(n, 0)
	require.Equal(t, fuse.Status(syscall.ESTALE), status)
	s.foreign(func(tx *engine.Tx) error { return putLink(tx, "c", "b") })
	in := fuse.CreateIn{InHeader: fuse.InHeader{NodeId: rootNode}, Mode: 0o644, Flags: syscall.O_CREAT | syscall.O_RDWR}
	nodes := s.fs.nodes.len()
	require.Equal(t, fuse.Status(syscall.ESTALE), s.fs.Create(nil, &in, "c", &fuse.CreateOut{}))
	require.Equal(t, nodes, s.fs.nodes.len(), "the kernel was told of no node")
}

// TestPagesOfADraft: pages that were filled from text that is not published yet go
// when something else is.
func TestPagesOfADraft(t *testing.T) {
	declared := func(i int64) func(tx *engine.Tx) error {
		return func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String("a"), value.Int(i), engine.PutOptions{Declared: true, New: engine.NewAttr{Mode: 0o644}})
			return err
		}
	}
	s := newStepper(t)
	s.foreign(declared(345))
	s.step()
	n := s.lookup(rootNode, "a").NodeId
	fh := s.openFor(n, syscall.O_RDWR|syscall.O_TRUNC)
	s.write(fh, "7")
	require.Equal(t, "7", s.fillPage(n, fh))
	s.release(fh)
	told := s.step()
	s.foreign(declared(999))
	require.Contains(t, append(told, s.step()...), fmt.Sprintf("inode %d 0", n))
}

// TestPageBehindTheHint: a page is of the newest version, though the hint of its
// sequence may be behind what the follower has come to.
func TestPageBehindTheHint(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	n := s.lookup(rootNode, "a").NodeId
	fh := s.openMapped(n)
	s.hint = s.store.Changed()
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "22") })
	require.Contains(t, s.step(), fmt.Sprintf("inode %d 0", n))
	require.Equal(t, "22\n", s.fillPage(n, fh))
}

// TestPageOfSameSize: values of the same length are others.
func TestPageOfSameSize(t *testing.T) {
	text := func(i int) func(tx *engine.Tx) error {
		return func(tx *engine.Tx) error { return put(tx, "a", fmt.Sprint(i)) }
	}
	number := func(i int) func(tx *engine.Tx) error {
		return func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String("a"), value.Int(int64(i)), engine.PutOptions{New: engine.NewAttr{Mode: 0o644}})
			return err
		}
	}
	for _, put := range []func(i int) func(tx *engine.Tx) error{text, number} {
		s := newStepper(t)
		s.foreign(put(1))
		s.step()
		n := s.lookup(rootNode, "a").NodeId
		s.openMapped(n)
		s.foreign(put(2))
		require.Contains(t, s.step(), fmt.Sprintf("inode %d 0", n))
	}
}

// TestLinkOfAdoptedLeavesNothing: a file that others have removed, that was written
// and then linked, leaves no node behind.
func TestLinkOfAdoptedLeavesNothing(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	n := s.lookup(rootNode, "a").NodeId
	fh := s.openFor(n, syscall.O_RDWR)
	s.foreign(func(tx *engine.Tx) error { return remove(tx, "a") })
	s.step()
	s.write(fh, "2")
	in := fuse.LinkIn{InHeader: fuse.InHeader{NodeId: rootNode}, Oldnodeid: n}
	require.Equal(t, fuse.OK, s.fs.Link(nil, &in, "g", &fuse.EntryOut{}))
	require.Equal(t, "2\n", s.text(engine.RootID, "g"))
	s.release(fh)
	s.fs.Forget(n, 2)
	require.Equal(t, 1, s.fs.nodes.len(), "only the root is known")
}

// TestMissingFileIsLookedUpAgain: the kernel takes ENOENT for the end also when it
// is about to make the file, and asks for the attributes of what had the name.
func TestMissingFileIsLookedUpAgain(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	s.step()
	a := s.lookup(rootNode, "a").NodeId
	s.foreign(func(tx *engine.Tx) error { return remove(tx, "a") })
	in := fuse.InHeader{NodeId: a, Caller: fuse.Caller{Pid: 7}}
	var out fuse.AttrOut
	stat := func() fuse.Status { return s.fs.GetAttr(nil, &fuse.GetAttrIn{InHeader: in}, &out) }
	require.Equal(t, fuse.Status(syscall.ESTALE), stat())
	require.Equal(t, fuse.ENOENT, stat(), "it has looked again")
	require.Equal(t, fuse.Status(syscall.ESTALE), stat(), "another time")
	root := fuse.InHeader{NodeId: rootNode, Caller: in.Caller}
	require.Equal(t, fuse.ENOENT, s.fs.Lookup(nil, &root, "a", &fuse.EntryOut{}))
	require.Equal(t, fuse.Status(syscall.ESTALE), stat(), "and another")
	require.Equal(t, fuse.Status(syscall.ESTALE), s.fs.Open(nil, &fuse.OpenIn{InHeader: in}, &fuse.OpenOut{}))
	require.Equal(t, fuse.ENOENT, s.fs.Open(nil, &fuse.OpenIn{InHeader: in}, &fuse.OpenOut{}))
}
