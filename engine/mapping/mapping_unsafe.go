// Package mapping holds a store file, or a stand-in on the Go heap, in memory
// at an address that never changes.
//
// A Mapping reserves one large address range when it is opened and maps the
// file at its start, so a byte is found at base + offset for as long as the
// Mapping is open, and the growth of the file by any process is visible
// without mapping anything again. Reading past the end of the file faults:
// callers check offsets against the length that the store publishes, and run
// under debug.SetPanicOnFault, since a file can be truncated by others.
//
// A Mapping may be used by any number of goroutines. It is the only package
// that maps memory, and with layout the only one that uses unsafe.
package mapping

import (
	"errors"
	"os"
	"unsafe"
)

// Mapping is a file, or memory that behaves like one, at a fixed address.
type Mapping struct {
	base     unsafe.Pointer
	reserved int64
	file     *os.File // nil for Memory
	heap     []byte   // keeps the memory of a Memory mapping alive
	readOnly bool

	// Fault injection for tests; nil otherwise.
	hooks *Hooks
}

// Hooks lets tests make the system calls below a mapping fail or be observed.
// Each may be nil. A hook that returns an error replaces the call.
type Hooks struct {
	Allocate func(off, n int64) error
	Sync     func() error
	WriteAt  func(p []byte, off int64) error
}

// SetHooks installs hooks; it must be called before the mapping is shared.
func (m *Mapping) SetHooks(h *Hooks) { m.hooks = h }

// Memory returns a mapping of size bytes on the Go heap. It keeps nothing, and
// the race detector sees all accesses to it.
func Memory(size int64) *Mapping {
	words := make([]uint64, size/8)
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*8)
	return &Mapping{base: unsafe.Pointer(unsafe.SliceData(b)), reserved: int64(len(b)), heap: b}
}

// Reserved returns the length in bytes of the address range: the largest size
// that the file can be used at.
func (m *Mapping) Reserved() int64 { return m.reserved }

// File returns the mapped file, nil for a mapping on the Go heap.
func (m *Mapping) File() *os.File { return m.file }

// Base returns the address of offset 0. It is valid until Close.
func (m *Mapping) Base() unsafe.Pointer { return m.base }

// errOutside is what a bug panics with: a constant, so that the check before it
// is inlined.
var errOutside = errors.New("mapping: a range outside of the reservation")

// Bytes returns n bytes from offset off. The range must lie within the
// reservation; whether the file reaches that far is the caller's to know.
func (m *Mapping) Bytes(off, n int64) []byte {
	if off|n < 0 || off > m.reserved-n {
		panic(errOutside)
	}
	return unsafe.Slice((*byte)(unsafe.Add(m.base, off)), n)
}

// At returns the address of offset off, where n bytes must lie within the
// reservation.
func (m *Mapping) At(off, n int64) unsafe.Pointer {
	if off|n < 0 || off > m.reserved-n {
		panic(errOutside)
	}
	return unsafe.Add(m.base, off)
}

// Name returns the path of the file, or a name for memory.
func (m *Mapping) Name() string {
	if m.file == nil {
		return "memory"
	}
	return m.file.Name()
}
