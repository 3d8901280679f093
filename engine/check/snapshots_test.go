package check_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// withSnapshots makes a store with two snapshots: the first one of version 3,
// the second one of version 5. A large value and a list are shared by all three
// versions.
func withSnapshots(f *forger) {
	f.SetBirth(3)
	large := item("large", 20, value.KindBytes)
	large.Blob, large.Size = f.blob(100_000), 100_000
	list := f.dir(16, 1, value.KindList, item("", 30, value.KindNull), container.Item{Kind: container.KindGap, Size: 5}, item("", 31, value.KindNull))
	list.Elements = 2
	f.put(list)
	listRef, err := f.ids.Get(f.Writer, 16)
	require.NoError(f.t, err)

	var snapshots []container.Item
	version := func(seq uint64, listed []container.Item, items ...container.Item) layout.Ref {
		f.SetBirth(seq)
		f.ids = container.IDTable{}
		var err error
		f.ids, err = f.ids.Put(f.Writer, 16, listRef)
		require.NoError(f.t, err)
		f.rootWith(append(items, large, item("list", 16, value.KindList))...)
		f.put(f.dir(2, 0, value.KindDict))
		f.put(f.dir(3, 0, value.KindDict, listed...))
		f.put(f.dir(4, 0, value.KindDict))
		ref, obj, err := f.Alloc(layout.KindRoot, layout.RootSize)
		require.NoError(f.t, err)
		root := layout.Root{
			Seq: seq, IDTable: f.ids.Ref, IDHeight: f.ids.Height,
			Entries: uint64(len(items)) + 4, Containers: 5,
		}
		root.Encode(obj)
		return ref
	}
	snapshot := func(name string, id, seq uint64, root layout.Ref) {
		it := item(name, id, container.KindRootRef)
		it.Blob, it.Size, it.Num = root, 1, seq
		snapshots = append(snapshots, it)
	}
	snapshot("first", 100, 3, version(3, nil))
	snapshot("second", 101, 5, version(5, nil, item("a", 40, value.KindNull)))
	// The newest version is written by forge, under 7.
	version(7, snapshots, item("a", 40, value.KindNull), item("b", 41, value.KindNull))
	f.root = layout.Root{Seq: 7, Entries: 6, Containers: 5, Snapshot: 5}
}

// TestSnapshots: the versions that snapshots keep are checked as the newest
// one is, and a rewrite keeps them, and what they share is shared.
func TestSnapshots(t *testing.T) {
	path := forge(t, withSnapshots)
	rep := look(t, path)
	require.True(t, rep.Clean(), "%+v", rep.Findings)
	require.Equal(t, 3, rep.Versions)

	to := filepath.Join(t.TempDir(), "to.pongo")
	first, err := rewriteFile(t, path, to)
	require.NoError(t, err)
	require.True(t, first.Clean(), "%+v", first.Findings)
	again := look(t, to)
	require.True(t, again.Clean(), "%+v", again.Findings)
	require.Equal(t, 3, again.Versions)
	require.Equal(t, rep.Objects, again.Objects)
	was, err := os.Stat(path)
	require.NoError(t, err)
	is, err := os.Stat(to)
	require.NoError(t, err)
	require.LessOrEqual(t, is.Size(), was.Size()+layout.SlabSize, "what is shared was multiplied")
}

// TestDamagedSnapshot: damage that only a snapshot has is told with its path,
// and the newest version stays whole.
func TestDamagedSnapshot(t *testing.T) {
	path := forge(t, withSnapshots)
	off, err := engine.OpenOffline(path, false, true)
	require.NoError(t, err)
	b := make([]byte, off.Size())
	_, err = off.File().ReadAt(b, 0)
	require.NoError(t, err)
	require.NoError(t, off.Close())
	// The root container's leaf of version 5 is the one that has three entries.
	damaged := false
	for _, o := range objects(b, func(layout.Ref) bool { return true }, layout.KindLeaf) {
		if layout.ObjectBirth(o.b) == 5 && o.b[layout.LeafCountOff] == 3 {
			o.b[60] ^= 0xff
			damaged = true
		}
	}
	require.True(t, damaged)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	rep := look(t, path)
	require.Positive(t, rep.LostParts)
	for _, f := range rep.Findings {
		require.Contains(t, f.Place, ".pongo/snapshots/second", "%+v", f)
	}
	require.EqualValues(t, 6, rep.Entries)
	to := filepath.Join(t.TempDir(), "to.pongo")
	_, err = rewriteFile(t, path, to)
	require.NoError(t, err)
	after := look(t, to)
	require.True(t, after.Clean(), "%+v", after.Findings)
	require.Equal(t, 3, after.Versions)
}

// TestSnapshotsWithoutEnd: snapshots that list each other, or many times
// the same version, are looked at once each.
func TestSnapshotsWithoutEnd(t *testing.T) {
	path := forge(t, func(f *forger) {
		var items []container.Item
		for i := range 500 {
			ref, obj, err := f.Alloc(layout.KindRoot, layout.RootSize)
			require.NoError(t, err)
			root := layout.Root{Seq: 7}
			root.Encode(obj)
			it := item("", uint64(100+i), container.KindRootRef)
			it.Key = value.AppendKey(nil, value.Int(int64(i)))
			it.Blob = ref
			items = append(items, it)
		}
		f.put(f.dir(3, 0, value.KindDict, items...))
		f.rootWith()
		// All of them have the id table of the newest version, themselves included.
		f.put(f.dir(2, 0, value.KindDict))
		f.put(f.dir(4, 0, value.KindDict))
		for i := range items {
			obj, err := f.Object(items[i].Blob, layout.KindRoot)
			require.NoError(t, err)
			root := layout.Root{Seq: 7, IDTable: f.ids.Ref, IDHeight: f.ids.Height}
			root.Encode(obj)
		}
	})
	rep := look(t, path)
	require.False(t, rep.Clean()) // counts are wrong everywhere
	require.LessOrEqual(t, len(rep.Findings), 1000)
	_, err := rewriteFile(t, path, filepath.Join(t.TempDir(), "to.pongo"))
	if err != nil {
		require.ErrorIs(t, err, engine.ErrCorrupt)
	}
}
