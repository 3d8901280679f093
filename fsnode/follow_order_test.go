package fsnode_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"pongofs/engine"
	"pongofs/engine/value"
)

// Changes of others right before a system call, which then comes by what the
// kernel believes. kernel_open_test.go and kernel_name_test.go play what can go
// wrong step by step; here a kernel takes part.

func moveKey(tx *engine.Tx, from, to string, o engine.RenameOptions) error {
	return tx.Rename(engine.RootID, value.String(from), engine.RootID, value.String(to), o)
}

func removeKey(tx *engine.Tx, key string) error { return tx.Remove(engine.RootID, value.String(key)) }

// TestMovedFileKeepsItsContent: others move a file away, and put another one in its
// place that is opened at once. The first one is read by its new name.
func TestMovedFileKeepsItsContent(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	store := openStore(t, path)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for range 30 {
		require.NoError(t, os.WriteFile(a, []byte("old"), 0o644))
		inStep(t, store, dir)
		require.Equal(t, int64(3), sizeOf(a))
		edit(t, store, func(tx *engine.Tx) error {
			if err := moveKey(tx, "a", "b", engine.RenameOptions{}); err != nil {
				return err
			}
			return putText(tx, engine.RootID, "a", 7)
		})
		f, err := os.OpenFile(a, os.O_RDWR, 0)
		require.NoError(t, err)
		inStep(t, store, dir)
		text, err := os.ReadFile(b)
		require.NoError(t, err)
		require.Equal(t, "old", string(text))
		require.Equal(t, int64(3), sizeOf(b))
		require.NoError(t, f.Close())
		edit(t, store, func(tx *engine.Tx) error { return removeKey(tx, "b") })
	}
}

// TestUnlinkByTheNewName: what others have moved is removed by its new name, so it
// is not found by the old one either.
func TestUnlinkByTheNewName(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	store := openStore(t, path)
	x, y := filepath.Join(dir, "x"), filepath.Join(dir, "y")
	for range 30 {
		require.NoError(t, os.WriteFile(x, []byte("x"), 0o644))
		require.NoError(t, os.WriteFile(y, []byte("yy"), 0o644))
		inStep(t, store, dir)
		require.Equal(t, [2]int64{1, 2}, [2]int64{sizeOf(x), sizeOf(y)})
		edit(t, store, func(tx *engine.Tx) error { return moveKey(tx, "y", "x", engine.RenameOptions{}) })
		require.NoError(t, os.Remove(x))
		inStep(t, store, dir)
		require.Equal(t, [2]int64{-1, -1}, [2]int64{sizeOf(x), sizeOf(y)})
	}
}

// TestSidecarReplaced: what is moved onto a sidecar is not found there.
func TestSidecarReplaced(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	store := openStore(t, path)
	f, side, x := filepath.Join(dir, "f"), filepath.Join(dir, ".pongo-types"), filepath.Join(dir, "x")
	require.NoError(t, os.WriteFile(f, []byte("12\n"), 0o644))
	require.NoError(t, unix.Setxattr(f, "user.pongo.type", []byte("bytes"), 0))
	text, err := os.ReadFile(side)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(x, text, 0o644))
	inStep(t, store, dir)
	moved := dirID(t, x)
	require.NoError(t, os.Rename(x, side))
	inStep(t, store, dir)
	require.NotEqual(t, moved, dirID(t, side), "the inode of what was moved there")
}

// TestRmdirOfAnother: rmdir by a name that others have given to another directory
// leaves the first one alive.
func TestRmdirOfAnother(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	store := openStore(t, path)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for range 60 {
		require.NoError(t, os.Mkdir(a, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(a, "f"), nil, 0o644))
		require.NoError(t, os.Mkdir(b, 0o755))
		inStep(t, store, dir)
		open, err := os.Open(a)
		require.NoError(t, err)
		edit(t, store, func(tx *engine.Tx) error { return moveKey(tx, "a", "b", engine.RenameOptions{Exchange: true}) })
		// Mostly before the follower has come to it, or while it has.
		for start, wait := time.Now(), time.Duration(rand.IntN(400))*time.Microsecond; time.Since(start) < wait; {
		}
		require.NoError(t, os.Remove(a))
		inStep(t, store, dir)
		require.Zero(t, sizeOf(filepath.Join(b, "f")), "the directory that was a is b")
		require.NoError(t, open.Close())
		require.NoError(t, os.RemoveAll(b))
	}
}

// TestModeAfterExchange: the attributes of files that an exchange has moved are
// followed.
func TestModeAfterExchange(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	store := openStore(t, path)
	mode := func(p string) uint16 {
		var st unix.Statx_t
		require.NoError(t, unix.Statx(unix.AT_FDCWD, p, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MODE, &st))
		return st.Mode & 0o777
	}
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	require.NoError(t, os.WriteFile(a, nil, 0o644))
	require.NoError(t, os.WriteFile(b, nil, 0o644))
	inStep(t, store, dir)
	require.Equal(t, [2]uint16{0o644, 0o644}, [2]uint16{mode(a), mode(b)})
	require.NoError(t, unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE))
	inStep(t, store, dir)
	edit(t, store, func(tx *engine.Tx) error {
		m := uint32(0o600)
		if _, err := tx.SetAttr(engine.RootID, value.String("a"), engine.AttrChange{Mode: &m}); err != nil {
			return err
		}
		_, err := tx.SetAttr(engine.RootID, value.String("b"), engine.AttrChange{Mode: &m})
		return err
	})
	inStep(t, store, dir)
	require.Equal(t, [2]uint16{0o600, 0o600}, [2]uint16{mode(a), mode(b)})
}

// TestStatOfALateOpen: fstat and SEEK_END after open agree with what is read, also
// when the file was replaced right before it was opened.
func TestStatOfALateOpen(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	store := openStore(t, path)
	a := filepath.Join(dir, "a")
	for range 30 {
		require.NoError(t, os.WriteFile(a, []byte("old"), 0o644))
		inStep(t, store, dir)
		f, err := os.Open(a)
		require.NoError(t, err)
		edit(t, store, func(tx *engine.Tx) error {
			if err := removeKey(tx, "a"); err != nil {
				return err
			}
			return putText(tx, engine.RootID, "a", 7)
		})
		g, err := os.Open(a)
		require.NoError(t, err)
		inStep(t, store, dir)
		end, err := g.Seek(0, io.SeekEnd)
		require.NoError(t, err)
		info, err := g.Stat()
		require.NoError(t, err)
		text := make([]byte, 20)
		n, _ := g.ReadAt(text, 0)
		require.Equal(t, [3]int64{7, 7, 7}, [3]int64{int64(n), info.Size(), end}, "bytes read, fstat, SEEK_END")
		require.NoError(t, f.Close())
		require.NoError(t, g.Close())
	}
}

// TestDirectoryRemovedByOthers: who has it open or works in it finds it empty,
// with the attributes that it had and without links, as where this mount removes it.
func TestDirectoryRemovedByOthers(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	other := mountStore(t, path, "")
	store := openStore(t, path)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o711))
	d, err := os.Open(filepath.Join(dir, "d"))
	require.NoError(t, err)
	defer d.Close()
	inStep(t, store, dir, other)
	require.NoError(t, os.Remove(filepath.Join(other, "d")))
	inStep(t, store, dir)
	var st unix.Stat_t
	require.NoError(t, unix.Fstat(int(d.Fd()), &st))
	require.Equal(t, [2]uint32{unix.S_IFDIR | 0o711, 0}, [2]uint32{st.Mode, uint32(st.Nlink)})
	names, _ := d.Readdirnames(-1) // ENOENT, as of any directory that was removed
	require.Empty(t, names)
	require.Equal(t, int64(-1), sizeOf(filepath.Join(dir, "d")))
	steps(t, dir, []step{{
		`mkdir w; cd w; chmod 751 .; rmdir "` + other + `/w"; while [ -e "` + dir + `/w" ]; do sleep 0.01; done; stat -c '%a %h' .; ls -A; mkdir x; chmod 700 .; stat -c %a .`,
		"751 0\nmkdir: cannot create directory 'x': No such file or directory\n700",
	}})
}

// TestMapOfAFileThatGrows: who has mapped more than a file had reads on where others
// have lengthened it, after asking for its size.
func TestMapOfAFileThatGrows(t *testing.T) {
	const page = 4096
	path := newStore(t)
	dir := mountStore(t, path, "")
	store := openStore(t, path)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for _, size := range []int{1, page, page + 1, 2 * page, 3*page - 5} {
		edit(t, store, func(tx *engine.Tx) error { return putText(tx, engine.RootID, "f", size) })
		inStep(t, store, dir)
		func() {
			f, err := os.Open(filepath.Join(dir, "f"))
			require.NoError(t, err)
			defer f.Close()
			m, err := unix.Mmap(int(f.Fd()), 0, 8*page, unix.PROT_READ, unix.MAP_SHARED)
			require.NoError(t, err)
			defer func() { require.NoError(t, unix.Munmap(m)) }()
			at := func(i int) (b byte, fault any) {
				defer func() { fault = recover() }()
				return m[i], nil
			}
			b, fault := at(0)
			require.Equal(t, byte('x'), b, "%v", fault)
			for _, more := range []int{page + 1, 2*page + 1, 5 * page, 8*page - 1} {
				more = max(more, size)
				edit(t, store, func(tx *engine.Tx) error { return putText(tx, engine.RootID, "f", more) })
				inStep(t, store, dir)
				require.Equal(t, int64(more), sizeOf(filepath.Join(dir, "f")))
				for _, i := range []int{0, size - 1, more/2 - 1, more - 1} {
					b, fault := at(i)
					require.Nil(t, fault, "%d bytes, then %d: byte %d", size, more, i)
					require.Equal(t, byte('x'), b, "%d bytes, then %d: byte %d", size, more, i)
				}
				if more%page != 0 {
					b, _ := at(more)
					require.Zero(t, b, "behind the end")
				}
			}
			var st unix.Stat_t
			require.NoError(t, unix.Fstat(int(f.Fd()), &st))
			require.Equal(t, int64(8*page-1), st.Size)
		}()
	}
}

// TestMapOfAFileThatChanges: what is mapped is the newest content, to the last byte,
// whatever lengths follow each other.
func TestMapOfAFileThatChanges(t *testing.T) {
	const page, longest = 4096, 4 * 4096
	path := newStore(t)
	dir := mountStore(t, path, "")
	store := openStore(t, path)
	fill := func(b byte, size int) {
		edit(t, store, func(tx *engine.Tx) error {
			_, err := tx.PutImage(engine.RootID, value.String("f"), value.KindString, bytes.Repeat([]byte{b}, size),
				engine.PutOptions{NoEOL: true, New: engine.NewAttr{Mode: 0o644}})
			return err
		})
	}
	fill('a', longest)
	f, err := os.Open(filepath.Join(dir, "f"))
	require.NoError(t, err)
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, longest, unix.PROT_READ, unix.MAP_SHARED)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(m)) }()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	r := seed(t)
	for range 60 {
		var b byte
		var size int
		for range 1 + r.IntN(4) {
			b, size = 'a'+byte(r.IntN(26)), []int{1, 5, page, page + 1, longest - page, 1 + r.IntN(longest)}[r.IntN(6)]
			fill(b, size)
			for start, wait := time.Now(), time.Duration(r.IntN(3000))*time.Microsecond; time.Since(start) < wait; {
				_ = m[0] // so that there are pages to drop, of all versions
			}
		}
		inStep(t, store, dir)
		require.Equal(t, int64(size), sizeOf(filepath.Join(dir, "f")))
		require.Equal(t, strings.Repeat(string(b), size), string(m[:size]))
	}
}

// TestRenameOntoTheRemoved: a rename onto a name that others have removed a moment
// ago ends well.
func TestRenameOntoTheRemoved(t *testing.T) {
	path := newStore(t)
	dir := mountStore(t, path, "")
	store := openStore(t, path)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for range 30 {
		require.NoError(t, os.WriteFile(a, []byte("a"), 0o644))
		require.NoError(t, os.WriteFile(b, []byte("bb"), 0o644))
		inStep(t, store, dir)
		require.Equal(t, [2]int64{1, 2}, [2]int64{sizeOf(a), sizeOf(b)})
		edit(t, store, func(tx *engine.Tx) error { return removeKey(tx, "b") })
		require.NoError(t, os.Rename(a, b))
		inStep(t, store, dir)
		require.Equal(t, [2]int64{-1, 1}, [2]int64{sizeOf(a), sizeOf(b)})
	}
}
