package mapping

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openFile maps a file of t's directory, which it creates when it must. Each
// call gives an open file description of its own, as each process has.
func openFile(t *testing.T, path string, reserve int64) *Mapping {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	m, err := OpenFile(f, reserve, reserve, false)
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestBytesStayInsideTheReservation(t *testing.T) {
	file := openFile(t, filepath.Join(t.TempDir(), "f"), 1<<20)
	for _, m := range []*Mapping{file, Memory(1 << 20)} {
		n := m.Reserved()
		require.Equal(t, int64(1<<20), n)
		require.Len(t, m.Bytes(0, n), int(n))
		require.Empty(t, m.Bytes(n-1, 0))
		require.NotNil(t, m.At(n-8, 8))
		for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, n + 1}, {n, 1}, {n - 7, 8}, {1, 1<<63 - 1}, {1<<63 - 1, 1}} {
			require.Panics(t, func() { m.Bytes(r[0], r[1]) }, "%d+%d", r[0], r[1])
			require.Panics(t, func() { m.At(r[0], r[1]) }, "%d+%d", r[0], r[1])
		}
	}
}

// What one process allocates and stores, another sees at once, although it has
// mapped the file before it was that long.
func TestGrowthIsVisibleWithoutMappingAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	a, b := openFile(t, path, 1<<30), openFile(t, path, 1<<30)
	size, err := b.Size()
	require.NoError(t, err)
	require.Zero(t, size)
	for _, end := range []int64{1 << 16, 1 << 20, 5 << 20} {
		require.NoError(t, a.Allocate(0, end))
		size, err := b.Size()
		require.NoError(t, err)
		require.Equal(t, end, size)
		p := a.Bytes(end-8, 8)
		require.Zero(t, b.Bytes(end-8, 8)[7])
		p[7] = byte(end >> 16)
		require.Equal(t, p, b.Bytes(end-8, 8))
	}
	require.Equal(t, byte(1), b.Bytes(1<<16-8, 8)[7], "allocating again does not clear")
	used, err := b.Allocated()
	require.NoError(t, err)
	require.GreaterOrEqual(t, used, int64(5<<20))
}

func TestWriteAtIsVisibleInTheMapping(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	a, b := openFile(t, path, 1<<20), openFile(t, path, 1<<20)
	require.NoError(t, a.Allocate(0, 1<<16))
	require.NoError(t, a.WriteAt([]byte("checkpoint"), 4096))
	require.Equal(t, "checkpoint", string(b.Bytes(4096, 10)))
	copy(b.Bytes(4096, 5), "CHECK")
	require.NoError(t, a.Sync())
	got := make([]byte, 10)
	_, err := a.File().ReadAt(got, 4096)
	require.NoError(t, err)
	require.Equal(t, "CHECKpoint", string(got))
	require.NoError(t, b.DropCache())
	require.Equal(t, "CHECKpoint", string(b.Bytes(4096, 10)))
}

func TestAllocateOutsideOfTheReservationIsNoSpace(t *testing.T) {
	m := openFile(t, filepath.Join(t.TempDir(), "f"), 1<<20)
	for _, r := range [][2]int64{{0, 1<<20 + 1}, {1 << 20, 1}, {-1, 1}, {0, -1}, {1 << 62, 1 << 62}} {
		require.ErrorIs(t, m.Allocate(r[0], r[1]), unix.ENOSPC, "%d+%d", r[0], r[1])
	}
	require.NoError(t, m.Allocate(0, 1<<20))
}

func TestPunchLeavesZeros(t *testing.T) {
	file := openFile(t, filepath.Join(t.TempDir(), "f"), 1<<20)
	for _, m := range []*Mapping{file, Memory(1 << 20)} {
		require.NoError(t, m.Allocate(0, 1<<18))
		b := m.Bytes(0, 1<<18)
		for i := range b {
			b[i] = 1
		}
		err := m.Punch(1<<16, 1<<16)
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Skip("this file system cannot punch holes")
		}
		require.NoError(t, err)
		require.Equal(t, byte(1), b[1<<16-1])
		require.Equal(t, byte(0), b[1<<16])
		require.Equal(t, byte(0), b[1<<17-1])
		require.Equal(t, byte(1), b[1<<17])
		size, err := m.Size()
		require.NoError(t, err)
		require.GreaterOrEqual(t, size, int64(1<<18))
	}
}

func TestHooksReplaceTheCalls(t *testing.T) {
	fail := errors.New("injected")
	file := openFile(t, filepath.Join(t.TempDir(), "f"), 1<<20)
	for _, m := range []*Mapping{file, Memory(1 << 20)} {
		require.NoError(t, m.Allocate(0, 1<<16))
		var calls []string
		m.SetHooks(&Hooks{
			Allocate: func(off, n int64) error { calls = append(calls, "allocate"); return fail },
			Sync:     func() error { calls = append(calls, "sync"); return fail },
			WriteAt:  func(p []byte, off int64) error { calls = append(calls, "write"); return fail },
		})
		require.ErrorIs(t, m.Allocate(0, 1<<17), fail)
		require.ErrorIs(t, m.Sync(), fail)
		require.ErrorIs(t, m.WriteAt([]byte{1}, 0), fail)
		require.Equal(t, []string{"allocate", "sync", "write"}, calls)
		require.Zero(t, m.Bytes(0, 1)[0])
	}
	size, err := file.Size()
	require.NoError(t, err)
	require.Equal(t, int64(1<<16), size)
}

func TestMemoryKeepsNothing(t *testing.T) {
	m := Memory(1 << 16)
	require.Nil(t, m.File())
	require.Equal(t, "memory", m.Name())
	require.NoError(t, m.WriteAt([]byte("x"), 10))
	require.Equal(t, "x", string(m.Bytes(10, 1)))
	require.NoError(t, m.Sync())
	require.NoError(t, m.DropCache())
	ok, err := m.TryLock(LockGate, 1)
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, m.Unlock(LockGate, 1))
	require.NoError(t, m.Close())
}

func TestIdentityIsOfTheFileNotOfTheName(t *testing.T) {
	dir := t.TempDir()
	a := openFile(t, filepath.Join(dir, "a"), 1<<20)
	require.NoError(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "link")))
	link := openFile(t, filepath.Join(dir, "link"), 1<<20)
	other := openFile(t, filepath.Join(dir, "other"), 1<<20)
	dev, ino, err := Identity(a.File())
	require.NoError(t, err)
	ldev, lino, err := Identity(link.File())
	require.NoError(t, err)
	require.Equal(t, []uint64{dev, ino}, []uint64{ldev, lino})
	_, oino, err := Identity(other.File())
	require.NoError(t, err)
	require.NotEqual(t, ino, oino)
	require.NoError(t, CheckFS(a.File()))

	one, err := BootID()
	require.NoError(t, err)
	two, err := BootID()
	require.NoError(t, err)
	require.Equal(t, one, two)
	require.NotEqual(t, [16]byte{}, one)
}

func TestMonotonicMicroGrows(t *testing.T) {
	last := MonotonicMicro()
	require.Positive(t, last)
	for range 1000 {
		next := MonotonicMicro()
		require.GreaterOrEqual(t, next, last)
		last = next
	}
}
