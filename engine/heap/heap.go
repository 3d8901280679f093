// Package heap is the allocator of a store: lock-free between processes, and
// indifferent to a process that stops or dies at any instruction.
//
// The file is cut into slabs of 64 KiB. A slab holds objects of any size, each
// a whole number of 32-byte granules (after Blackburn and McKinley's
// mark-region heaps, PLDI 2008, rather than size classes: what one edit
// allocates lies together, so that a checkpoint writes few pages, and rounding
// wastes little). All that is known about a slab is its descriptor in the shm
// file: who leases it, and one bit for each granule at which an object begins,
// another for each at which one ends.
//
// Allocating. A slab is leased by one process slot at a time, and by one
// Cursor of that process, so the holder allocates without any atomic
// read-modify-write: it writes the header and the end bit. Later, before
// anything may refer to the objects, it sets the start bits of all that it has
// allocated, those of one word at once. Killed before that, it has allocated
// nothing; killed after, it leaves objects that nothing refers to, which the
// next full collection frees.
//
// Freeing is clearing the start bit, which anyone who has the right to free
// the object may do with one atomic And, whoever leases the slab. The holder of
// the lease does not look for freed granules until it leases the slab anew.
//
// There are no lists of slabs, so none to lose. A hint bitmap says which slabs
// are worth leasing; it may be wrong either way at any time. A lost hint costs
// no space: before the file grows, slabs are looked at without one.
//
// The invariant that all of this keeps: a granule belongs to at most one
// object whose start bit is set. It holds because only the holder of a lease
// sets bits, it does so only for granules that it found free after it got the
// lease, and nobody else can make them used meanwhile.
package heap

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"syscall"

	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

const (
	granulesPerSlab = layout.SlabSize / layout.Granule
	// usable is how many granules may be in use in a slab that is worth leasing
	// again and gets a hint. In an emptier slab what an edit allocates lies
	// closer together, so that a checkpoint writes fewer pages, and leases are
	// fewer.
	usable = granulesPerSlab / 2
	// sparse is how many may be in use in a slab that small objects take first.
	sparse = granulesPerSlab / 8
	// crowded is how many may be in use in a slab that is leased before the file
	// grows.
	crowded = granulesPerSlab * 3 / 4
	// The first slabs behind the reserved ones are kept for edits that make
	// space, so that removing works in a full store. Such edits take them last,
	// all others never.
	emergencySlabs = 4
	emergencyEnd   = layout.ReservedSlabs + emergencySlabs
)

// ErrFull reports that the file cannot grow and no free run is large enough.
var ErrFull = errors.New("no space left in store")

// Heap allocates objects in a store file. It may be used by any number of
// goroutines; several processes have each a Heap on the same files.
type Heap struct {
	store *mapping.Mapping
	shm   *mapping.Mapping
	view  layout.Shm
	hdr   *layout.ShmHeader
	owner uint64
	hook  func(point string)

	chunkSlabs atomic.Uint64 // growth step
	maxSlabs   uint64
	readOnly   bool

	search atomic.Uint64 // where leaseCrowded looks next

	mu   sync.Mutex
	idle []*Cursor
}

// Config says what a Heap works on.
type Config struct {
	Store *mapping.Mapping
	Shm   *mapping.Mapping
	View  layout.Shm
	// Owner is the token of the process slot, unique among the living.
	Owner uint64
	// ChunkSize is the growth step in bytes.
	ChunkSize int64
	// ReadOnly says that the shm has no slab descriptors: the heap reads objects
	// and can do nothing else.
	ReadOnly bool
	// Hook, if set, is called between the atomic steps; tests stop or kill the
	// process there.
	Hook func(point string)
}

// New returns a heap.
func New(c Config) *Heap {
	h := &Heap{store: c.Store, shm: c.Shm, view: c.View, hdr: c.View.Header(), owner: c.Owner, hook: c.Hook}
	h.SetChunkSize(c.ChunkSize)
	h.readOnly = c.ReadOnly
	h.maxSlabs = uint64(c.Store.Reserved()) / layout.SlabSize
	if !c.ReadOnly {
		h.maxSlabs = min(h.maxSlabs, c.View.MaxSlabs())
	}
	return h
}

// SetOwner sets the token of the process slot, before the first allocation.
func (h *Heap) SetOwner(token uint64) { h.owner = token }

// SetChunkSize sets the growth step in bytes.
func (h *Heap) SetChunkSize(n int64) {
	h.chunkSlabs.Store(max(1, uint64(n)/layout.SlabSize))
}

func (h *Heap) at(point string) {
	if h.hook != nil {
		h.hook(point)
	}
}

// Object returns the object at ref, of the given kind or of any kind when it
// is KindFree. It checks what the header claims against the slab, so that
// whatever a damaged file holds, the result lies inside the mapped file.
//
// Preconditions: the caller's pin keeps the object from being reused.
func (h *Heap) Object(ref layout.Ref, kind layout.Kind) ([]byte, error) {
	off := uint64(ref)
	// maxSlabs may be less than others use: it is what this process has mapped.
	if off%layout.Granule != 0 || off < layout.ReservedSlabs*layout.SlabSize ||
		off >= h.Limit() {
		return nil, layout.Corrupt("reference", ref, "outside of the store")
	}
	head := h.store.Bytes(int64(off), layout.HeaderSize)
	n := uint64(layout.ObjectGranules(head)) * layout.Granule
	if k := layout.ObjectKind(head); k != kind && kind != layout.KindFree {
		return nil, layout.Corrupt("object", ref, "is of kind %d, not %d", k, kind)
	}
	if n == 0 || off%layout.SlabSize+n > layout.SlabSize {
		return nil, layout.Corrupt("object", ref, "claims %d bytes", n)
	}
	return h.store.Bytes(int64(off), int64(n)), nil
}

// Allocation returns the object of so many granules at ref.
//
// Preconditions: the caller has allocated it, and nobody has freed it since.
func (h *Heap) Allocation(ref layout.Ref, granules int) []byte {
	return h.store.Bytes(int64(ref), int64(granules)*layout.Granule)
}

// Limit returns the number of bytes in which all objects lie.
func (h *Heap) Limit() uint64 {
	return min(h.hdr.Slabs.Load(), h.maxSlabs) * layout.SlabSize
}

// Free frees the object at ref of the given number of granules. It reports
// false, changing nothing, when no object starts there: a double free.
//
// Preconditions: nothing can reach the object any more, and the caller alone
// has the right to free it.
func (h *Heap) Free(ref layout.Ref, granules int) bool {
	slab, bit := place(ref)
	d := h.view.Slab(slab)
	mask := uint64(1) << (bit % 64)
	h.at("free.before-clear")
	// The clear is the linearization point: from here the granules may be
	// allocated by whoever leases the slab next. No swap can be lost, since And
	// touches this bit only.
	if d.Starts[bit/64].And(^mask)&mask == 0 {
		return false
	}
	h.at("free.after-clear")
	used := d.Used.Add(-int64(granules))
	// Used is changed before Owner is read; a holder that gives up its lease
	// clears Owner before it reads Used. One of the two sees the other, so the
	// hint is set by at least one.
	if used <= usable && d.Owner.Load() == 0 {
		h.setHint(slab)
	}
	return true
}

// Allocated reports whether an object starts at ref.
func (h *Heap) Allocated(ref layout.Ref) bool {
	slab, bit := place(ref)
	if uint64(ref)%layout.Granule != 0 || slab < layout.ReservedSlabs || slab >= h.hdr.Slabs.Load() {
		return false
	}
	return h.view.Slab(slab).Starts[bit/64].Load()&(1<<(bit%64)) != 0
}

func place(ref layout.Ref) (slab uint64, bit uint64) {
	return uint64(ref) / layout.SlabSize, uint64(ref) % layout.SlabSize / layout.Granule
}

func (h *Heap) setHint(slab uint64) {
	if slab < emergencyEnd {
		return
	}
	w := h.view.Hint(slab / 64)
	if mask := uint64(1) << (slab % 64); w.Load()&mask == 0 {
		w.Or(mask)
	}
}

// lease finds a slab with a free run of n granules, leases it and returns its
// index with the occupancy of its granules. It grows the file when no hinted
// slab fits. Only an urgent caller gets an emergency slab.
func (h *Heap) lease(n int, urgent bool, occ *[layout.SlabWords]uint64) (uint64, error) {
	for {
		slabs := h.hdr.Slabs.Load()
		// Small objects come first into slabs with little in them, where those of one
		// edit lie together: eight updates in one checkpoint write a third less pages
		// than in the gaps of half full ones. Large ones seldom fit into gaps, so they
		// look for an empty slab before they try.
		most := int64(sparse)
		if n >= bigGranules {
			most = 0
		}
		if slab, ok := h.leaseHinted(n, slabs, most, occ); ok {
			return slab, nil
		}
		if slab, ok := h.leaseHinted(n, slabs, usable, occ); ok {
			return slab, nil
		}
		if slab, ok := h.leaseCrowded(n, slabs, occ); ok {
			return slab, nil
		}
		if err := h.grow(slabs); err != nil {
			if h.closeIdle() {
				continue
			}
			if slab, ok := h.leaseAny(n, emergencyEnd, h.hdr.Slabs.Load(), occ); ok {
				return slab, nil
			}
			if urgent {
				if slab, ok := h.leaseAny(n, layout.ReservedSlabs, emergencyEnd, occ); ok {
					return slab, nil
				}
			}
			return 0, err
		}
	}
}

// leaseHinted tries the slabs whose hint is set, lowest first, so that the
// file stays dense and its end can be given back. It tries those with at most so
// many granules in use, and gives up after some whose gaps were all too small.
func (h *Heap) leaseHinted(n int, slabs uint64, most int64, occ *[layout.SlabWords]uint64) (uint64, bool) {
	tried, fuller := 0, 0
	for w := uint64(0); w*64 < slabs; w++ {
		word := h.view.Hint(w)
		for set := word.Load(); set != 0; set &= set - 1 {
			bit := uint64(bits.TrailingZeros64(set))
			slab := w*64 + bit
			if slab >= slabs {
				break
			}
			d := h.view.Slab(slab)
			if used := d.Used.Load(); used > most || granulesPerSlab-used < int64(n) {
				if fuller++; most == sparse && fuller == 64 {
					return 0, false // a large store may have many that are fuller
				}
				continue
			}
			if !h.take(slab, occ) {
				// Leased by another, so the hint is stale. If the lease ends at this
				// very moment, put the hint back.
				word.And(^(uint64(1) << bit))
				if d.Owner.Load() == 0 && d.Used.Load() <= usable {
					word.Or(uint64(1) << bit)
				}
				continue
			}
			word.And(^(uint64(1) << bit))
			if _, ok := findRun(occ, 0, n); ok {
				return slab, true
			}
			h.drop(slab, 0)
			if tried++; tried == 16 {
				return 0, false
			}
		}
	}
	return 0, false
}

// leaseCrowded looks for a slab without a hint that is not nearly full. It goes on
// where the last search has ended, so that a slab is looked at once in a round.
func (h *Heap) leaseCrowded(n int, slabs uint64, occ *[layout.SlabWords]uint64) (uint64, bool) {
	if slabs <= emergencyEnd {
		return 0, false
	}
	tried := 0
	for range slabs - emergencyEnd {
		slab := emergencyEnd + h.search.Add(1)%(slabs-emergencyEnd)
		d := h.view.Slab(slab)
		// The lease of a slab without room for n granules would be for nothing.
		if used := d.Used.Load(); used > crowded || granulesPerSlab-used < int64(n) ||
			d.Owner.Load() != 0 || !h.take(slab, occ) {
			continue
		}
		if _, ok := findRun(occ, 0, n); ok {
			return slab, true
		}
		h.drop(slab, 0)
		if tried++; tried == 16 {
			break
		}
	}
	return 0, false
}

// leaseAny looks at every slab from one up to another: the last resort when
// the file cannot grow.
func (h *Heap) leaseAny(n int, from, to uint64, occ *[layout.SlabWords]uint64) (uint64, bool) {
	for slab := from; slab < to; slab++ {
		if h.view.Slab(slab).Owner.Load() != 0 || !h.take(slab, occ) {
			continue
		}
		if _, ok := findRun(occ, 0, n); ok {
			return slab, true
		}
		h.drop(slab, 0)
	}
	return 0, false
}

// take leases a slab that nobody holds and computes which granules are used.
//
// Linearization: the swap of Owner from 0. It is valid whatever happened since
// Owner was last seen, since all that matters is that nobody holds the lease. A
// loser leaves the slab to the winner.
func (h *Heap) take(slab uint64, occ *[layout.SlabWords]uint64) bool {
	d := h.view.Slab(slab)
	h.at("lease.before-swap")
	if !d.Owner.CompareAndSwap(0, h.owner) {
		return false
	}
	h.at("lease.after-swap")
	d.Leases.Add(1) // before anything is allocated under the lease: see Sweep
	d.Used.Store(int64(h.occupancy(slab, occ)))
	return true
}

// occupancy computes the used granules of a slab from its start and end bits:
// reading the headers instead would be a cache miss for each object. An object
// that is freed meanwhile may or may not count as used.
//
// Preconditions: the caller holds the lease.
func (h *Heap) occupancy(slab uint64, occ *[layout.SlabWords]uint64) int {
	d := h.view.Slab(slab)
	used := 0
	// The slab as one number of 2048 bits. An end bit counts when it is the first
	// at or behind a start bit. Adding the start bits to the complement of the end
	// bits finds these: where an object starts, the carry runs through the ones up
	// to the first end bit, whose zero it sets. Twice the end bits that count less
	// the start bits is the sum of 2^(end+1) - 2^start over all objects, and each
	// term has just the bits of its object.
	var carry, borrow, shifted uint64
	for w := range d.Starts {
		starts := d.Starts[w].Load()
		var reached uint64
		reached, carry = bits.Add64(^d.Ends[w], starts, carry)
		ends := reached & d.Ends[w]
		occ[w], borrow = bits.Sub64(ends<<1|shifted, starts, borrow)
		shifted = ends >> 63
		occ[w] |= starts // changes nothing, unless the shm file was damaged
		used += bits.OnesCount64(occ[w])
	}
	return used
}

// setEnd notes that an object has the n granules from g.
//
// Preconditions: the caller holds the lease.
func setEnd(ends *[layout.SlabWords]uint64, g, n int) {
	last := g + n - 1
	for w := g / 64; w < last/64; w++ {
		ends[w] &= 1<<(g%64) - 1 // what lies before the object stays
		g = 0
	}
	ends[last/64] = ends[last/64]&^(1<<(last%64)-1<<(g%64)) | 1<<(last%64)
}

// drop ends a lease; added is how many granules were allocated under it that
// Used does not count yet.
func (h *Heap) drop(slab uint64, added int) {
	d := h.view.Slab(slab)
	d.Used.Add(int64(added))
	h.at("lease.before-drop")
	d.Owner.Store(0)
	h.at("lease.after-drop")
	if added >= 0 && d.Used.Load() <= usable {
		h.setHint(slab)
	}
}

// grow makes the file longer than the given number of slabs.
//
// Linearization: the swap of Slabs. Space on the disk and in shm is allocated,
// and the hints of the new slabs are set, before it; doing so twice, or doing
// it and being killed, changes nothing. A loser finds the file grown by
// another.
func (h *Heap) grow(from uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hdr.Slabs.Load() != from {
		return nil
	}
	step := h.chunkSlabs.Load()
	for {
		to := min(from+step, h.maxSlabs)
		if to <= from {
			return fmt.Errorf("%w: it has reached its largest size", ErrFull)
		}
		err := h.growTo(from, to)
		if err == nil {
			return nil
		}
		if !isNoSpace(err) {
			return err
		}
		if step == 1 {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
		step = max(1, step/4)
	}
}

func (h *Heap) growTo(from, to uint64) error {
	h.at("grow.before-allocate")
	// The shm file grows by allocation only, so what lies below its size is
	// allocated.
	have, err := h.shm.Size()
	if err != nil {
		return err
	}
	if need := layout.ShmBytes(to); need > have {
		if err := h.shm.Allocate(have, need-have); err != nil {
			return err
		}
	}
	if err := h.store.Allocate(int64(from)*layout.SlabSize, int64(to-from)*layout.SlabSize); err != nil {
		return err
	}
	h.at("grow.before-hints")
	for slab := from; slab < to; slab++ {
		h.setHint(slab)
	}
	h.at("grow.before-swap")
	h.hdr.Slabs.CompareAndSwap(from, to)
	h.at("grow.after-swap")
	return nil
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// Close ends the leases of idle cursors.
func (h *Heap) Close() {
	h.closeIdle()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle = nil
}

// closeIdle ends the leases of idle cursors and reports whether there were any. There
// may be many: at another time more goroutines have made edits.
func (h *Heap) closeIdle() (any bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.idle {
		any = any || c.small.slab != 0 || c.big.slab != 0
		c.close()
	}
	return any
}

// ReleaseLeases ends all leases that the dead owner held. The caller holds the
// lock of the owner's process slot. It may be interrupted and repeated.
func (h *Heap) ReleaseLeases(owner uint64) {
	var occ [layout.SlabWords]uint64
	for slab := uint64(layout.ReservedSlabs); slab < h.hdr.Slabs.Load(); slab++ {
		d := h.view.Slab(slab)
		if d.Owner.Load() != owner {
			continue
		}
		used := h.occupancy(slab, &occ)
		d.Used.Store(int64(used))
		d.Owner.Store(0)
		if used <= usable {
			h.setHint(slab)
		}
	}
}

// Usage is what the descriptors say about the whole file.
type Usage struct {
	Slabs     uint64 // in the file, the reserved ones included
	UsedBytes int64  // in objects
	Objects   int64
	Empty     uint64 // slabs without objects
}

// Estimate is Usage by the descriptors alone, without a look at any object. It
// misses bytes that were allocated under leases that last, so at most a slab for
// each.
func (h *Heap) Estimate() Usage {
	u := Usage{Slabs: h.hdr.Slabs.Load()}
	for slab := uint64(layout.ReservedSlabs); slab < u.Slabs; slab++ {
		n := 0
		d := h.view.Slab(slab)
		for w := range d.Starts {
			n += bits.OnesCount64(d.Starts[w].Load())
		}
		if n == 0 {
			u.Empty++
			continue
		}
		u.Objects += int64(n)
		u.UsedBytes += max(0, d.Used.Load()) * layout.Granule
	}
	return u
}

// Usage counts allocated objects. Others may allocate and free meanwhile. In a
// read-only store nobody knows them, so they count as none.
func (h *Heap) Usage() Usage {
	u := Usage{Slabs: h.hdr.Slabs.Load()}
	if h.readOnly {
		return u
	}
	for slab := uint64(layout.ReservedSlabs); slab < u.Slabs; slab++ {
		n := int64(0)
		d := h.view.Slab(slab)
		for w := range d.Starts {
			for set := d.Starts[w].Load(); set != 0; set &= set - 1 {
				g := w*64 + bits.TrailingZeros64(set)
				head := h.store.Bytes(int64(slab)*layout.SlabSize+int64(g)*layout.Granule, layout.HeaderSize)
				u.UsedBytes += int64(layout.ObjectGranules(head)) * layout.Granule
				n++
			}
		}
		if n == 0 {
			u.Empty++
		}
		u.Objects += n
	}
	return u
}
