package layout

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestShmPlaces checks that each typed view of a shm file is where
// docs/format.md says, and that an index outside of a table panics.
func TestShmPlaces(t *testing.T) {
	const slabs = 40
	size := ShmBytes(slabs)
	words := make([]uint64, size/8)
	base := unsafe.Pointer(unsafe.SliceData(words))
	shm := NewShm(base, size)
	place := func(p unsafe.Pointer) int { return int(uintptr(p) - uintptr(base)) }

	require.GreaterOrEqual(t, shm.MaxSlabs(), uint64(slabs))
	require.Equal(t, 0, place(unsafe.Pointer(shm.Header())))
	require.Equal(t, ShmSlots+5*ProcSlotSize, place(unsafe.Pointer(shm.Slot(5))))
	require.Equal(t, ShmNamedPins+8191*NamedPinSize, place(unsafe.Pointer(shm.NamedPin(8191))))
	require.Equal(t, ShmHints+3*8, place(unsafe.Pointer(shm.Hint(3))))
	require.Equal(t, ShmSlabs+39*SlabDescSize, place(unsafe.Pointer(shm.Slab(39))))

	require.Panics(t, func() { shm.Slot(-1) })
	require.Panics(t, func() { shm.Slot(MaxProcesses) })
	require.Panics(t, func() { shm.NamedPin(-1) })
	require.Panics(t, func() { shm.NamedPin(NamedPins) })
	require.Panics(t, func() { shm.Hint(MaxSlabs / 64) })
	require.Panics(t, func() { shm.Slab(shm.MaxSlabs()) })

	// A large reservation is bounded by the hint bitmap.
	require.Equal(t, uint64(MaxSlabs), NewShm(base, ShmBytes(MaxSlabs)+1<<30).MaxSlabs())
}

// Words that many processes change are on cache lines of their own.
func TestShmCacheLines(t *testing.T) {
	var h ShmHeader
	lines := map[uintptr]string{}
	for name, off := range map[string]uintptr{
		"identity": unsafe.Offsetof(h.Magic), "Root": unsafe.Offsetof(h.Root),
		"SeqHint": unsafe.Offsetof(h.SeqHint), "Gen": unsafe.Offsetof(h.Gen), "NextID": unsafe.Offsetof(h.NextID),
	} {
		require.Empty(t, lines[off/64], "%s shares a cache line with %s", name, lines[off/64])
		lines[off/64] = name
	}
	require.Zero(t, ShmSlots%64)
	require.Zero(t, ProcSlotSize%64)
	require.Zero(t, NamedPinSize%64)
	require.Zero(t, SlabDescSize%64)
	require.Zero(t, unsafe.Offsetof(ProcSlot{}.Pins)%64)
	require.Zero(t, unsafe.Offsetof(SlabDesc{}.Starts)%64)
}
