package heap

import (
	"fmt"
	"math/bits"

	"pongofs/engine/layout"
)

// bigGranules is the size from which objects get slabs of their own, so that
// the search for a large run does not run past the small ones.
const bigGranules = 96

// Cursor allocates for one edit at a time. It belongs to one goroutine.
type Cursor struct {
	h *Heap
	// Urgent lets the cursor use the slabs that are kept for edits that make
	// space. Its user resets it.
	Urgent bool

	small window
	big   window
}

// window is a leased slab in which a cursor allocates upwards.
type window struct {
	slab  uint64 // 0 for none
	desc  *layout.SlabDesc
	pos   int // granules from pos to end are free, those below are not looked at
	end   int // again under this lease
	added int
	occ   [layout.SlabWords]uint64 // as of the beginning of the lease

	word    int    // word of start bits with some that are not set yet
	pending uint64 // these bits
}

// Cursor returns an idle cursor or a new one.
func (h *Heap) Cursor() *Cursor {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.idle); n > 0 {
		c := h.idle[n-1]
		h.idle = h.idle[:n-1]
		return c
	}
	return &Cursor{h: h}
}

// Release gives a cursor back; it keeps its leases for the next user.
func (h *Heap) Release(c *Cursor) {
	c.Flush()
	if c.Urgent {
		// What is left of an emergency slab is not for the next user.
		c.Urgent = false
		c.close()
	}
	h.mu.Lock()
	h.idle = append(h.idle, c)
	h.mu.Unlock()
}

// close gives the leases of a cursor back. It may be used again.
func (c *Cursor) close() {
	c.drop(&c.small)
	c.drop(&c.big)
}

// Alloc returns a new object of at least size bytes, its header filled in and
// the rest zero. Flush must follow before anything refers to it.
func (c *Cursor) Alloc(kind layout.Kind, size int, birth uint64) (layout.Ref, []byte, error) {
	ref, obj, err := c.AllocUnset(kind, size, birth)
	if err == nil {
		clear(obj[layout.HeaderSize:])
	}
	return ref, obj, err
}

// AllocUnset is Alloc that leaves what is behind the header as it is: the caller
// stores every byte of it.
func (c *Cursor) AllocUnset(kind layout.Kind, size int, birth uint64) (layout.Ref, []byte, error) {
	if size < layout.HeaderSize || size > layout.MaxObject {
		return 0, nil, fmt.Errorf("heap: object of %d bytes", size)
	}
	n := (size + layout.Granule - 1) / layout.Granule
	w := &c.small
	if n >= bigGranules {
		w = &c.big
	}
	if w.slab == 0 || w.pos+n > w.end && !w.next(n) {
		if err := c.lease(w, n); err != nil {
			return 0, nil, err
		}
	}
	g := w.pos
	w.pos += n
	w.added += n
	ref := layout.Ref(w.slab*layout.SlabSize + uint64(g)*layout.Granule)
	obj := c.h.store.Bytes(int64(ref), int64(n)*layout.Granule)
	// The header comes first, the start bit after: a sweep judges an allocated
	// object by its header, which must not be that of an earlier life.
	layout.SetHeader(obj, kind, birth)
	setEnd(&w.desc.Ends, g, n)
	if g/64 != w.word {
		c.flush(w)
		w.word = g / 64
	}
	w.pending |= 1 << (g % 64)
	return ref, obj, nil
}

// lease gives w a slab with a free run of n granules instead of the one it has.
func (c *Cursor) lease(w *window, n int) error {
	c.drop(w)
	slab, err := c.h.lease(n, c.Urgent, &w.occ)
	if err != nil {
		return err
	}
	w.slab, w.desc = slab, c.h.view.Slab(slab)
	w.pos, w.end, w.added = 0, 0, 0
	if !w.next(n) {
		return fmt.Errorf("heap: leased slab %d has no run of %d granules", slab, n)
	}
	return nil
}

// drop ends the lease of w, if it has one.
func (c *Cursor) drop(w *window) {
	if w.slab != 0 {
		c.flush(w)
		c.h.drop(w.slab, w.added)
		w.slab = 0
	}
}

// Flush makes allocated what Alloc has returned. It must come before anything
// is freed or published that was allocated with the cursor.
func (c *Cursor) Flush() {
	c.flush(&c.small)
	c.flush(&c.big)
}

func (c *Cursor) flush(w *window) {
	if w.pending == 0 {
		return
	}
	c.h.at("alloc.before-bit")
	w.desc.Starts[w.word].Or(w.pending)
	w.pending = 0
	c.h.at("alloc.after-bit")
}

// next moves w to the next free run of at least n granules.
func (w *window) next(n int) bool {
	g, ok := findRun(&w.occ, w.end, n)
	if !ok {
		return false
	}
	w.pos, w.end = g, runEnd(&w.occ, g+n)
	return true
}

// findRun returns the first run of n free granules at or behind from.
func findRun(occ *[layout.SlabWords]uint64, from, n int) (int, bool) {
	g := from
	for g+n <= granulesPerSlab {
		// Skip used granules.
		w := ^occ[g/64] >> (g % 64)
		if w == 0 {
			g = (g/64 + 1) * 64
			continue
		}
		g += bits.TrailingZeros64(w)
		if g+n > granulesPerSlab {
			return 0, false
		}
		// Measure the free run that starts at g, as far as needed.
		end := g
		for end < g+n {
			used := occ[end/64] >> (end % 64)
			if used != 0 {
				end += bits.TrailingZeros64(used)
				break
			}
			end = (end/64 + 1) * 64
		}
		if end >= g+n {
			return g, true
		}
		g = end
	}
	return 0, false
}

// runEnd returns the end of the free run that reaches to g at least.
func runEnd(occ *[layout.SlabWords]uint64, g int) int {
	for g < granulesPerSlab {
		if used := occ[g/64] >> (g % 64); used != 0 {
			return g + bits.TrailingZeros64(used)
		}
		g = (g/64 + 1) * 64
	}
	return g
}
