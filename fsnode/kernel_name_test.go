package fsnode

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// TestOtherNameOfWhatMoves: a file is moved by a name that the kernel was told when
// a round was past it, while the round has not yet taken back the name before.
func TestOtherNameOfWhatMoves(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "y", "2") })
	s.step()
	s.lookup(rootNode, "y")
	s.foreign(rename("y", "x", engine.RenameOptions{}))
	s.looks = func() {
		s.foreign(func(tx *engine.Tx) error { return put(tx, "other", "2") })
		in := fuse.RenameIn{InHeader: fuse.InHeader{NodeId: rootNode}, Newdir: rootNode}
		require.Equal(t, fuse.OK, s.fs.Rename(nil, &in, "x", "z"))
	}
	require.Contains(t, append(s.step(), s.step()...), fmt.Sprintf("name %d y", rootNode))
}

// TestOtherNameOfWhatIsRemoved: what the kernel removes by one name it may know by
// another, which is gone as well.
func TestOtherNameOfWhatIsRemoved(t *testing.T) {
	in := fuse.InHeader{NodeId: rootNode}
	for what, do := range map[string]func(s *stepper) fuse.Status{
		"unlink": func(s *stepper) fuse.Status { return s.fs.Unlink(nil, &in, "x") },
		"rename": func(s *stepper) fuse.Status {
			return s.fs.Rename(nil, &fuse.RenameIn{InHeader: in, Newdir: rootNode}, "z", "x")
		},
		"exchange": func(s *stepper) fuse.Status {
			return s.fs.Rename(nil, &fuse.RenameIn{InHeader: in, Newdir: rootNode, Flags: renameExchange}, "z", "x")
		},
	} {
		s := newStepper(t)
		s.foreign(func(tx *engine.Tx) error {
			if err := put(tx, "z", "3"); err != nil {
				return err
			}
			return put(tx, "y", "2")
		})
		s.step()
		s.lookup(rootNode, "y")
		s.lookup(rootNode, "z")
		s.foreign(rename("y", "x", engine.RenameOptions{}))
		require.Equal(t, fuse.OK, do(s), what)
		require.Contains(t, s.step(), fmt.Sprintf("name %d y", rootNode), what)
	}
}

// gatedKernel takes in names only when the gate is open: a directory is locked.
type gatedKernel struct {
	*toldKernel
	gate chan struct{}
}

func (k gatedKernel) EntryNotify(parent uint64, name string) fuse.Status {
	<-k.gate
	return k.toldKernel.EntryNotify(parent, name)
}

func (k gatedKernel) DeleteNotify(parent, child uint64, name string) fuse.Status {
	<-k.gate
	return k.toldKernel.DeleteNotify(parent, child, name)
}

// TestNameBeingTakenBack: as long as the kernel has not been told, it takes what it
// removes for what it knows.
func TestNameBeingTakenBack(t *testing.T) {
	in := fuse.InHeader{NodeId: rootNode}
	for what, do := range map[string]func(s *stepper) fuse.Status{
		"rmdir": func(s *stepper) fuse.Status { return s.fs.Rmdir(nil, &in, "a") },
		"rename onto": func(s *stepper) fuse.Status {
			return s.fs.Rename(nil, &fuse.RenameIn{InHeader: in, Newdir: rootNode}, "c", "a")
		},
	} {
		s := newStepper(t)
		gate := make(chan struct{})
		open := sync.OnceFunc(func() { close(gate) })
		t.Cleanup(open)
		s.fs.follow.notes.to = gatedKernel{s.kernel, gate}
		s.foreign(func(tx *engine.Tx) error {
			for _, name := range []string{"a", "b", "c"} {
				if err := makeDir(tx, name); err != nil {
					return err
				}
			}
			return nil
		})
		require.NoError(t, s.fs.follow.step())
		s.lookup(rootNode, "a")
		s.lookup(rootNode, "c")
		s.foreign(rename("a", "b", engine.RenameOptions{Exchange: true}))
		require.NoError(t, s.fs.follow.step())
		require.Equal(t, fuse.Status(syscall.ESTALE), do(s), what)
		open()
		s.told()
		s.lookup(rootNode, "a")
		require.Equal(t, fuse.OK, do(s), what)
	}
}

// TestAttributesAfterExchange: the kernel keeps the attributes of what an exchange
// has moved, so they are followed.
func TestAttributesAfterExchange(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error {
		if err := put(tx, "b", "1"); err != nil {
			return err
		}
		return put(tx, "a", "1")
	})
	s.step()
	a, b := s.lookup(rootNode, "a").NodeId, s.lookup(rootNode, "b").NodeId
	in := fuse.InHeader{NodeId: rootNode}
	require.Equal(t, fuse.OK, s.fs.Rename(nil, &fuse.RenameIn{InHeader: in, Newdir: rootNode, Flags: renameExchange}, "a", "b"))
	told := s.step()
	for name, n := range map[string]uint64{"b": a, "a": b} {
		mode := uint32(0o600)
		s.foreign(func(tx *engine.Tx) error {
			_, err := tx.SetAttr(engine.RootID, value.String(name), engine.AttrChange{Mode: &mode})
			return err
		})
		require.Contains(t, append(told, s.step()...), fmt.Sprintf("inode %d -1", n), name)
	}
}

// TestNewDirectoryInFullRound: a directory that is made while a round looks at all
// nodes, and is not in the version of the round, is not taken for a removed one.
func TestNewDirectoryInFullRound(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	var out fuse.EntryOut
	s.looks = func() {
		in := fuse.MkdirIn{InHeader: fuse.InHeader{NodeId: rootNode}, Mode: 0o755}
		require.Equal(t, fuse.OK, s.fs.Mkdir(nil, &in, "d", &out))
	}
	s.fs.follow.setOld(nil) // so that there is nothing to compare with
	told := append(s.step(), s.step()...)
	require.NotZero(t, out.NodeId)
	require.NotContains(t, told, fmt.Sprintf("gone %d %d d", rootNode, out.NodeId))
	require.NotContains(t, told, fmt.Sprintf("name %d d", rootNode))
}

// TestSnapshotInLongDifference: names of snapshots are taken back in a full round,
// too.
func TestSnapshotInLongDifference(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "a", "1") })
	_, err := s.store.Snapshot(t.Context(), "s")
	require.NoError(t, err)
	s.step()
	out := s.lookup(s.lookup(s.lookup(rootNode, ".pongo").NodeId, "snapshots").NodeId, "s")
	require.NotZero(t, out.EntryValid)
	require.NoError(t, s.store.DropSnapshot(t.Context(), "s"))
	s.foreign(func(tx *engine.Tx) error {
		for i := range 4 * minDifference {
			if err := put(tx, fmt.Sprint(i), "x"); err != nil {
				return err
			}
		}
		return nil
	})
	_, err = s.store.Snapshot(t.Context(), "s")
	require.NoError(t, err)
	told := s.step()
	require.Equal(t, uint64(1), s.fs.follow.full.Load())
	require.Contains(t, told, fmt.Sprintf("name %d s", uint64(snapshotsID)))
}

// TestStatOfARemovedDirectory: a directory that others remove is what it was last,
// without links, for those who have it open or work in it; before a round has come
// to that and after it.
func TestStatOfARemovedDirectory(t *testing.T) {
	for _, open := range []bool{false, true} {
		for _, step := range []bool{false, true} {
			s := newStepper(t)
			s.foreign(func(tx *engine.Tx) error { return makeDir(tx, "d") })
			s.step()
			n := s.lookup(rootNode, "d").NodeId
			in := fuse.InHeader{NodeId: n}
			var dir fuse.OpenOut
			if open {
				require.Equal(t, fuse.OK, s.fs.OpenDir(nil, &fuse.OpenIn{InHeader: in}, &dir))
			}
			mode := uint32(0o711)
			s.foreign(func(tx *engine.Tx) error {
				_, err := tx.SetAttr(engine.ID(n), value.Value{}, engine.AttrChange{Mode: &mode})
				return err
			})
			s.step()
			s.foreign(func(tx *engine.Tx) error { return remove(tx, "d") })
			if step {
				s.step()
			}
			for range 2 {
				out := s.getAttr(n)
				require.Equal(t, [2]uint32{syscall.S_IFDIR | mode, 0}, [2]uint32{out.Mode, out.Nlink}, "open: %t, step: %t", open, step)
				require.Zero(t, out.AttrValid)
				s.step()
			}
			mode = 0o700
			set := fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{InHeader: in, Valid: fuse.FATTR_MODE, Mode: mode}}
			require.Equal(t, fuse.OK, s.fs.SetAttr(nil, &set, &fuse.AttrOut{}))
			require.Equal(t, syscall.S_IFDIR|mode, s.getAttr(n).Mode)
			if open {
				list := fuse.NewDirEntryList(make([]byte, 4096), 2)
				require.Equal(t, fuse.OK, s.fs.ReadDir(nil, &fuse.ReadIn{Fh: dir.Fh, Offset: 2, Size: 4096}, list))
				require.Equal(t, uint64(2), list.Offset, "it is empty")
				s.fs.ReleaseDir(&fuse.ReleaseIn{Fh: dir.Fh})
			}
			status := s.fs.Mkdir(nil, &fuse.MkdirIn{InHeader: in, Mode: 0o755}, "x", &fuse.EntryOut{})
			require.Equal(t, fuse.ENOENT, status)
		}
	}
}

// TestStatOfARemovedDirectoryStays: what a directory was told to be in a version that
// no round has seen it stays when it is removed; else the caller's own chmod would be
// undone.
func TestStatOfARemovedDirectoryStays(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return makeDir(tx, "d") })
	s.step()
	n := s.lookup(rootNode, "d").NodeId
	const mode = 0o711
	in := fuse.InHeader{NodeId: n}
	set := fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{InHeader: in, Valid: fuse.FATTR_MODE, Mode: mode}}
	require.Equal(t, fuse.OK, s.fs.SetAttr(nil, &set, &fuse.AttrOut{}))
	s.foreign(func(tx *engine.Tx) error { return remove(tx, "d") })
	for range 2 {
		require.Equal(t, uint32(syscall.S_IFDIR|mode), s.getAttr(n).Mode)
		s.step()
	}
	// Where nothing is removed, nothing is remembered beyond the next round.
	s.foreign(func(tx *engine.Tx) error { return makeDir(tx, "e") })
	e := s.fs.nodes.get(s.lookup(rootNode, "e").NodeId)
	require.NotNil(t, e.lastEntry())
	s.step()
	require.Nil(t, e.lastEntry())
}

// TestStatOfADirectoryRemovedDuringARound: one that this mount removes while a round
// looks at a version that has it.
func TestStatOfADirectoryRemovedDuringARound(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return makeDir(tx, "d") })
	n := s.lookup(rootNode, "d").NodeId
	s.looks = func() {
		require.Equal(t, fuse.OK, s.fs.Rmdir(nil, &fuse.InHeader{NodeId: rootNode}, "d"))
	}
	for range 2 {
		s.step()
		require.Zero(t, s.getAttr(n).Nlink)
	}
}

// TestStatOfADirectoryThatComesAndGoes: one that no round has seen.
func TestStatOfADirectoryThatComesAndGoes(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return makeDir(tx, "d") })
	n := s.lookup(rootNode, "d").NodeId
	in := fuse.OpenIn{InHeader: fuse.InHeader{NodeId: n}}
	require.Equal(t, fuse.OK, s.fs.OpenDir(nil, &in, &fuse.OpenOut{}))
	s.foreign(func(tx *engine.Tx) error { return remove(tx, "d") })
	s.step()
	require.Zero(t, s.getAttr(n).Nlink)
}

// TestRenameOntoWhatOthersRemoved: that a file is missing which the kernel believes
// to be there does not make a rename onto it fail.
func TestRenameOntoWhatOthersRemoved(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error {
		if err := put(tx, "a", "1"); err != nil {
			return err
		}
		return put(tx, "z", "2")
	})
	s.step()
	a := s.lookup(rootNode, "a").NodeId
	z := s.lookup(rootNode, "z").NodeId
	s.foreign(func(tx *engine.Tx) error { return remove(tx, "a") })
	in := fuse.RenameIn{InHeader: fuse.InHeader{NodeId: rootNode}, Newdir: rootNode}
	require.Equal(t, fuse.OK, s.fs.Rename(nil, &in, "z", "a"))
	told := s.step()
	require.Contains(t, told, fmt.Sprintf("inode %d -1", a), "the kernel has taken a link from it")
	require.Equal(t, z, s.lookup(rootNode, "a").NodeId)
}

// TestForgottenDuringRename: a node that the kernel forgets while another name of it
// is moved leaves nothing in the index.
func TestForgottenDuringRename(t *testing.T) {
	s := newStepper(t)
	s.foreign(func(tx *engine.Tx) error { return put(tx, "x", "1") })
	s.step()
	n := s.lookup(rootNode, "x").NodeId
	s.edited = func() { s.fs.Forget(n, 1) }
	in := fuse.RenameIn{InHeader: fuse.InHeader{NodeId: rootNode}, Newdir: rootNode}
	require.Equal(t, fuse.OK, s.fs.Rename(nil, &in, "x", "z"))
	require.Equal(t, 1, s.fs.nodes.len())
	require.Empty(t, s.fs.follow.names)
}

// unreadable is a store that fails to find one of its snapshots.
type unreadable struct {
	Store
	name string
}

func (u unreadable) FindSnapshot(name string) (engine.Snapshot, error) {
	if name == u.name {
		return engine.Snapshot{}, engine.ErrBusy
	}
	return u.Store.FindSnapshot(name)
}

// TestListingThatFails: what a listing has looked up it hands out, and fails behind
// it; else the kernel would never forget it.
func TestListingThatFails(t *testing.T) {
	s := newStepper(t)
	for _, name := range []string{"a", "b"} {
		_, err := s.store.Snapshot(t.Context(), name)
		require.NoError(t, err)
	}
	s.fs.store.Store = unreadable{s.fs.store.Store, "b"}
	dir := s.lookup(s.lookup(rootNode, ".pongo").NodeId, "snapshots").NodeId
	var open fuse.OpenOut
	require.Equal(t, fuse.OK, s.fs.OpenDir(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: dir}}, &open))
	nodes := s.fs.nodes.len()
	from := uint64(0)
	for _, want := range []fuse.Status{fuse.OK, fuse.EBUSY} {
		list := fuse.NewDirEntryList(make([]byte, 4096), from)
		in := fuse.ReadIn{InHeader: fuse.InHeader{NodeId: dir}, Fh: open.Fh, Offset: from, Size: 4096}
		require.Equal(t, want, s.fs.ReadDirPlus(nil, &in, list))
		from = list.Offset
		require.Equal(t, nodes+1, s.fs.nodes.len())
	}
}

// TestWhatAnotherThreadWasTold: as long as a name is being taken back, a thread goes
// by what it was told itself. One that walks a path asks without the lock of the
// directory, and what it is told is not what the thread with the lock goes by.
func TestWhatAnotherThreadWasTold(t *testing.T) {
	walker := fuse.InHeader{NodeId: rootNode, Caller: fuse.Caller{Pid: 2}}
	remover := fuse.InHeader{NodeId: rootNode, Caller: fuse.Caller{Pid: 3}}
	for what, do := range map[string]func(s *stepper) fuse.Status{
		"rmdir": func(s *stepper) fuse.Status { return s.fs.Rmdir(nil, &remover, "a") },
		"rename onto": func(s *stepper) fuse.Status {
			return s.fs.Rename(nil, &fuse.RenameIn{InHeader: remover, Newdir: rootNode}, "c", "a")
		},
		"rename of": func(s *stepper) fuse.Status {
			return s.fs.Rename(nil, &fuse.RenameIn{InHeader: remover, Newdir: rootNode}, "a", "d")
		},
	} {
		s := newStepper(t)
		gate := make(chan struct{})
		t.Cleanup(func() { close(gate) })
		s.fs.follow.notes.to = gatedKernel{s.kernel, gate}
		s.foreign(func(tx *engine.Tx) error {
			return errors.Join(makeDir(tx, "a"), makeDir(tx, "b"), makeDir(tx, "c"))
		})
		require.NoError(t, s.fs.follow.step())
		first := s.lookup(rootNode, "a").NodeId
		s.lookup(rootNode, "c")
		s.foreign(rename("a", "b", engine.RenameOptions{Exchange: true}))
		require.NoError(t, s.fs.follow.step())

		var out fuse.EntryOut
		require.Equal(t, fuse.OK, s.fs.Lookup(nil, &walker, "a", &out), what)
		require.NotEqual(t, first, out.NodeId, what)
		require.Equal(t, fuse.Status(syscall.ESTALE), do(s), what)
		require.Equal(t, fuse.OK, s.fs.Lookup(nil, &remover, "a", &out), what)
		require.Equal(t, fuse.OK, do(s), what)
	}
}

// TestAttributesOfALostName: who has seen that a name is gone, or stands for another
// file, asks for the attributes of the one that had it, however late the follower is.
func TestAttributesOfALostName(t *testing.T) {
	in := fuse.InHeader{NodeId: rootNode}
	for what, lose := range map[string]func(tx *engine.Tx) error{
		"removed":  func(tx *engine.Tx) error { return remove(tx, "a") },
		"replaced": rename("b", "a", engine.RenameOptions{}),
		"moved":    rename("a", "c", engine.RenameOptions{}),
	} {
		for _, late := range []string{"round", "notifier"} {
			s := newStepper(t)
			gate := make(chan struct{})
			t.Cleanup(func() { close(gate) })
			s.fs.follow.notes.to = gatedKernel{s.kernel, gate}
			s.foreign(func(tx *engine.Tx) error { return errors.Join(makeDir(tx, "a"), makeDir(tx, "b")) })
			require.NoError(t, s.fs.follow.step())
			n := s.lookup(rootNode, "a").NodeId
			require.Equal(t, n, s.lookup(rootNode, "a").NodeId)
			require.Empty(t, s.kernel.take(), "it has its name")

			s.foreign(lose)
			if late == "notifier" {
				require.NoError(t, s.fs.follow.step())
			}
			s.fs.Lookup(nil, &in, "a", &fuse.EntryOut{})
			require.Equal(t, []string{fmt.Sprintf("inode %d -1", n)}, s.kernel.take(), "%s before the %s", what, late)
		}
	}
}

// TestAbsentNameIsNoObstacle: the notification about a name may wait for the lock
// that the kernel holds while it renames onto it. Once the kernel has asked, and
// there is nothing, it does not matter.
func TestAbsentNameIsNoObstacle(t *testing.T) {
	s := newStepper(t)
	gate := make(chan struct{})
	t.Cleanup(func() { close(gate) })
	s.fs.follow.notes.to = gatedKernel{s.kernel, gate}
	s.foreign(func(tx *engine.Tx) error { return errors.Join(makeDir(tx, "a"), makeDir(tx, "old")) })
	require.NoError(t, s.fs.follow.step())
	s.lookup(rootNode, "a")
	s.lookup(rootNode, "old")
	s.foreign(func(tx *engine.Tx) error { return remove(tx, "old") })
	require.NoError(t, s.fs.follow.step())
	in := fuse.InHeader{NodeId: rootNode}
	move := func() fuse.Status {
		return s.fs.Rename(nil, &fuse.RenameIn{InHeader: in, Newdir: rootNode}, "a", "old")
	}
	require.Equal(t, fuse.Status(syscall.ESTALE), move())
	require.Equal(t, fuse.ENOENT, s.fs.Lookup(nil, &in, "old", &fuse.EntryOut{}))
	require.Equal(t, fuse.OK, move())
}
