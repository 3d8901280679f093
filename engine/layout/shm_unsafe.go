package layout

import (
	"structs"
	"sync/atomic"
	"unsafe"
)

// The shm file holds everything volatile: it is shared by the processes that
// have the store open, is never synced, and can be rebuilt from the store.
//
//	offset   what
//	     0   ShmHeader, identity, and lines that change
//	  8192   MaxProcesses ProcSlots of 1024 bytes
//	 256 KiB NamedPins pins of 64 bytes
//	 768 KiB hint bitmap: one bit a slab, SlabHints
//	   4 MiB SlabDescs, one for each slab of the store file
const (
	ShmSlots     = 8192
	ShmNamedPins = 256 << 10
	ShmHints     = 768 << 10
	ShmSlabs     = 4 << 20

	// MaxSlabs bounds the store at 1.5 TiB: the hint bitmap has a bit for each.
	MaxSlabs = (ShmSlabs - ShmHints) * 8
	// NamedPins is the number of named pins.
	NamedPins = (ShmHints - ShmNamedPins) / NamedPinSize
	// PinWords is the number of short pins of a process slot.
	PinWords = 64
	// AnnounceWords is the number of checkpoints that a slot may have announced
	// and not completed.
	AnnounceWords = 4
)

// ShmMagic opens a shm file of this layout.
const ShmMagic = 0x326d68736f676e70 // "pngoshm2"

// Sizes of the records in shm, in bytes.
const (
	ShmHeaderSize = 512
	ProcSlotSize  = 1024
	NamedPinSize  = 64
	SlabDescSize  = 576
	// SlabWords is the number of words of start bits: one bit a granule.
	SlabWords = SlabSize / Granule / 64
)

// ShmHeader opens the shm file.
//
// The identity fields are written before the file gets its name and never
// again. Words that change are on cache lines of their own.
type ShmHeader struct {
	_ structs.HostLayout

	Magic   uint64
	Version uint32
	_       uint32
	BootID  [16]byte
	UUID    [16]byte // of the store
	Dev     uint64   // of the store file
	Ino     uint64
	Session uint64 // repeats the nonce in the session page of the store
	_       [56]byte

	// Root is the reference of the newest root record. Swapping it publishes.
	Root atomic.Uint64
	_    [56]byte

	// SeqHint is at most the sequence of the newest root; it only grows.
	SeqHint atomic.Uint64
	_       [56]byte

	// Gen is a futex word that changes with each publish while somebody waits.
	Gen     atomic.Uint32
	Waiters atomic.Uint32
	// Turn names the process whose edits come next, and until when, 0 for none:
	// see turn in package engine. It is about speed and fairness alone.
	Turn atomic.Uint64
	_    [48]byte

	// NextID is the next id that nobody has.
	NextID atomic.Uint64
	// Slabs is the number of slabs of the store that may be used.
	Slabs atomic.Uint64
	// Completed is the sequence of the last completed checkpoint.
	Completed atomic.Uint64
	// Listed is the sequence of the last completed checkpoint whose record lists
	// what it needs; once a plain record says the same, it may be 0.
	Listed atomic.Uint64
	// Poison is set for good when a sync has failed.
	Poison atomic.Uint32
	// Clean is 1 after a clean close, while nobody has the store open.
	Clean atomic.Uint32
	// GCSeq is the sequence at which the last full collection began to mark.
	GCSeq atomic.Uint64
	// GCLease is the process slot + 1 of the collector, with its incarnation
	// above, 0 for none.
	GCLease atomic.Uint64
	// PinGen changes when a named pin or a checkpoint goes away, so that what
	// they held is looked at again.
	PinGen atomic.Uint64

	// SlotHigh is one more than the highest process slot ever used, NamedHigh
	// the same for named pins: what lies above need not be looked at.
	SlotHigh  atomic.Uint64
	NamedHigh atomic.Uint64

	// Deaths counts the dead processes that were cleaned up after.
	Deaths atomic.Uint64

	// Lost counts the bytes that closing processes had to leave in limbo, where
	// only a full collection finds them. It starts anew with each collection.
	Lost atomic.Int64

	// Counters of the last full collection, for information.
	GCCount atomic.Uint64
	GCFreed atomic.Uint64
	GCNanos atomic.Uint64
	GCTime  atomic.Uint64

	// Dropped counts the snapshots that were dropped: what only they held waits
	// for a full collection. DroppedDone is the count as of the last one.
	Dropped     atomic.Uint64
	DroppedDone atomic.Uint64

	// DeathsDone is Deaths, and GCSlabs Slabs, as of the beginning of the last full
	// collection. GCSlabs is 0 in a new shm, until a background collector looks.
	DeathsDone atomic.Uint64
	GCSlabs    atomic.Uint64

	// GCOpen is 1 from when a full collection has told the limbos what to leave to
	// it until it has freed that. If nobody collects, it was broken off.
	GCOpen atomic.Uint64
	_      [24]byte
}

// Announcement says that the root of a checkpoint may be on the disk.
type Announcement struct {
	_     structs.HostLayout
	Seq   atomic.Uint64 // 0 for a free entry; written after the others
	Root  atomic.Uint64
	Nonce atomic.Uint64 // of the checkpoint record
	_     [8]byte
}

// ProcSlot belongs to one process, which holds the lock of its byte.
type ProcSlot struct {
	_ structs.HostLayout

	// Incarnation counts the owners of the slot.
	Incarnation atomic.Uint64
	PID         atomic.Uint64
	// Used is 1 from the claim of the slot until it has been cleaned.
	Used atomic.Uint32
	// Unsettled is 1 from the claim of the slot until its owner has given it up with
	// all its checkpoint records synced.
	Unsettled atomic.Uint32
	Opened    atomic.Int64 // ns since the epoch
	_         [32]byte
	Announced [AnnounceWords]Announcement
	// Pins are short pins: 0, or a sequence at most that of the root that the
	// holder went on to load.
	Pins [PinWords]atomic.Uint64
	_    [320]byte
}

// The kinds of named pins.
const (
	PinFree  = 0
	PinRoot  = 1 // protects the blocks of one root
	PinValue = 2 // protects the blocks of one version of one value
)

// NamedPin protects a root or a value for as long as its owner likes.
//
// Owner is claimed first by compare-and-swap; Kind is stored last when the pin
// is made, and cleared first when it is dropped.
type NamedPin struct {
	_     structs.HostLayout
	Owner atomic.Uint64 // process slot + 1 and the incarnation above it, 0 if free
	Kind  atomic.Uint64
	Seq   atomic.Uint64 // the exact sequence of the root
	Ref   atomic.Uint64 // root record, or root block of the value
	ID    atomic.Uint64 // of the value
	Since atomic.Int64
	_     [16]byte
}

// SlabDesc describes one slab of the store.
type SlabDesc struct {
	_ structs.HostLayout

	// Owner is the lease: process slot + 1 and the incarnation above it, 0 for
	// none, SlabReserved for slabs without objects.
	Owner atomic.Uint64
	// Used is about the number of granules in use, a hint.
	Used atomic.Int64
	// Leases counts how often the slab was leased. Under one lease no granule is
	// allocated that was used when the lease began.
	Leases atomic.Uint64
	_      [40]byte
	// Starts has a bit for each granule at which an object starts. Only the
	// owner sets bits; whoever has the right to free an object clears its bit.
	Starts [SlabWords]atomic.Uint64
	// Ends has a bit for each granule at which an object ends, and bits without
	// meaning in granules that are not in use: an object ends at the first bit
	// at or behind its start. Only the owner reads and writes it.
	Ends [SlabWords]uint64
}

// SlabReserved is the Owner of a slab that never holds objects.
const SlabReserved = ^uint64(0)

// The compiler refuses records that differ from the sizes above.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(ShmHeader{})-ShmHeaderSize]
	_ = [1]struct{}{}[unsafe.Offsetof(ShmHeader{}.Root)-128]
	_ = [1]struct{}{}[unsafe.Offsetof(ShmHeader{}.NextID)-320]
	_ = [1]struct{}{}[unsafe.Sizeof(ProcSlot{})-ProcSlotSize]
	_ = [1]struct{}{}[unsafe.Offsetof(ProcSlot{}.Pins)-192]
	_ = [1]struct{}{}[unsafe.Sizeof(NamedPin{})-NamedPinSize]
	_ = [1]struct{}{}[unsafe.Sizeof(SlabDesc{})-SlabDescSize]
)

// Shm gives typed access to a mapped shm file. Its methods check their index
// against the tables; whether the file reaches that far is the caller's to
// know (SlabDesc: only slabs below ShmHeader.Slabs).
type Shm struct {
	base  unsafe.Pointer
	slabs uint64 // how many descriptors the reservation has room for
}

// NewShm returns the view of a shm file of which size bytes are mapped or
// reserved at base.
func NewShm(base unsafe.Pointer, size int64) Shm {
	return Shm{base: base, slabs: min(MaxSlabs, uint64(size-ShmSlabs)/SlabDescSize)}
}

// MaxSlabs returns how many slabs the shm can describe.
func (s Shm) MaxSlabs() uint64 { return s.slabs }

// Header returns the header.
func (s Shm) Header() *ShmHeader { return (*ShmHeader)(s.base) }

// Slot returns process slot i.
func (s Shm) Slot(i int) *ProcSlot {
	if uint(i) >= MaxProcesses {
		panic("layout: process slot out of range")
	}
	return (*ProcSlot)(unsafe.Add(s.base, ShmSlots+i*ProcSlotSize))
}

// NamedPin returns named pin i.
func (s Shm) NamedPin(i int) *NamedPin {
	if uint(i) >= NamedPins {
		panic("layout: named pin out of range")
	}
	return (*NamedPin)(unsafe.Add(s.base, ShmNamedPins+i*NamedPinSize))
}

// Hint returns word i of the hint bitmap.
func (s Shm) Hint(i uint64) *atomic.Uint64 {
	if i >= MaxSlabs/64 {
		panic("layout: hint out of range")
	}
	return (*atomic.Uint64)(unsafe.Add(s.base, ShmHints+i*8))
}

// Slab returns the descriptor of slab i.
func (s Shm) Slab(i uint64) *SlabDesc {
	if i >= s.slabs {
		panic("layout: slab out of range")
	}
	return (*SlabDesc)(unsafe.Add(s.base, ShmSlabs+i*SlabDescSize))
}

// ShmBytes returns the length in bytes that a shm file needs to describe n
// slabs.
func ShmBytes(n uint64) int64 {
	size := int64(ShmSlabs) + int64(n)*SlabDescSize
	return (size + PageSize - 1) / PageSize * PageSize
}
