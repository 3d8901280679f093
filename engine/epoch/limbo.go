package epoch

import (
	"sync"

	"pongofs/engine/layout"
)

// Retired is a block that a published edit no longer refers to.
type Retired struct {
	Ref      layout.Ref
	Granules int
	Birth    uint64
	ID       uint64 // of the value whose block it is, 0 for structure
}

// entry is a Retired with the sequence of the root that dropped it, packed to
// four words: limbo is the hottest memory of a writer.
type entry struct {
	place   uint64 // granules above bit 48, ref below
	birth   uint64
	retired uint64
	id      uint64
}

func (x *entry) ref() layout.Ref { return layout.Ref(x.place & (1<<48 - 1)) }
func (x *entry) granules() int   { return int(x.place >> 48) }

// limbo holds retired blocks until they may be reused.
type limbo struct {
	free func(ref layout.Ref, granules int)

	mu    sync.Mutex
	queue []entry // by about ascending retired, from head
	head  int
	bytes int64

	// held are blocks that a checkpoint or a named pin protects. They are
	// looked at again when one of those has gone, which seen tells.
	held []entry
	seen struct{ completed, pinGen uint64 }

	// Scratch space of drain.
	points []uint64
	values []NamedPin
}

// drainAt is how many blocks gather before a publish looks for reusable ones.
const drainAt = 64

// Retire puts blocks that the root of sequence seq no longer refers to into
// limbo, and frees what has become reusable from time to time. The caller
// still holds the pin it began its edit with.
func (e *Epochs) Retire(blocks []Retired, seq uint64) {
	l := &e.limbo
	l.mu.Lock()
	for _, b := range blocks {
		l.queue = append(l.queue, entry{
			place: uint64(b.Granules)<<48 | uint64(b.Ref), birth: b.Birth, retired: seq, id: b.ID,
		})
		l.bytes += int64(b.Granules) * layout.Granule
	}
	l.mu.Unlock()
}

// Drain frees the blocks in limbo that may be reused, if enough have gathered
// or all is set. It returns at once when another goroutine is at it. The
// caller holds no pin, which would hold up what it retired itself.
func (e *Epochs) Drain(all bool) {
	l := &e.limbo
	if !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	if !all && len(l.queue)-l.head < drainAt {
		return
	}
	e.drain()
}

// drain frees what may be reused. The caller holds l.mu.
//
// The order of its reads is what makes it safe:
//
//  1. It takes a pin, then reads GCSeq. A full collection stores GCSeq and
//     then waits for older pins, so either it waits for this drain, or the
//     drain sees GCSeq and leaves what was retired by then to it.
//  2. It reads the bound, then the short pins. A pin that is not seen was
//     stored after, so its holder loads a root at least as new as the bound and
//     reaches nothing that was retired by then.
//  3. It reads the short pins before the named ones and the announcements.
//     Whoever moves from a short pin to one of those stores the second before
//     it clears the first, so at least one is seen.
func (e *Epochs) drain() {
	l := &e.limbo
	own := e.Pin()
	defer e.Unpin(own)
	gcSeq := e.hdr.GCSeq.Load()
	completed, pinGen := e.hdr.Completed.Load(), e.hdr.PinGen.Load()
	limit := e.hdr.SeqHint.Load()
	if s, _, ok := e.MinPin(own); ok {
		limit = min(limit, s)
	}
	if l.head == len(l.queue) || l.queue[l.head].retired > limit {
		if l.seen.completed == completed && l.seen.pinGen == pinGen {
			return
		}
	}
	l.gather(e)

	if l.seen.completed != completed || l.seen.pinGen != pinGen {
		l.seen.completed, l.seen.pinGen = completed, pinGen
		kept := l.held[:0]
		for _, x := range l.held {
			kept = l.settle(x, gcSeq, kept)
		}
		l.held = kept
	}
	for l.head < len(l.queue) && l.queue[l.head].retired <= limit {
		x := l.queue[l.head]
		l.head++
		l.held = l.settle(x, gcSeq, l.held)
	}
	if l.head > 1024 && l.head > len(l.queue)/2 {
		n := copy(l.queue, l.queue[l.head:])
		l.queue, l.head = l.queue[:n], 0
	}
}

// gather reads the sequences and values that are protected besides short pins.
func (l *limbo) gather(e *Epochs) {
	l.points = l.points[:0]
	l.values = l.values[:0]
	for _, p := range e.NamedPins(nil) {
		if p.Value {
			l.values = append(l.values, p)
		} else {
			l.points = append(l.points, p.Seq)
		}
	}
	completed := e.hdr.Completed.Load()
	l.points = append(l.points, completed)
	for s := range int(e.hdr.SlotHigh.Load()) {
		proc := e.shm.Slot(s)
		for i := range proc.Announced {
			if seq := proc.Announced[i].Seq.Load(); seq > completed {
				l.points = append(l.points, seq)
			}
		}
	}
}

// settle frees x, or appends it to held, or leaves it to the full collection.
func (l *limbo) settle(x entry, gcSeq uint64, held []entry) []entry {
	size := int64(x.granules()) * layout.Granule
	if x.retired <= gcSeq {
		// A full collection that marked after this retirement frees the block.
		l.bytes -= size
		return held
	}
	for _, p := range l.points {
		if x.birth <= p && p < x.retired {
			return append(held, x)
		}
	}
	if x.id != 0 {
		for i := range l.values {
			if v := &l.values[i]; v.ID == x.id && x.birth <= v.Seq && v.Seq < x.retired {
				return append(held, x)
			}
		}
	}
	l.bytes -= size
	l.free(x.ref(), x.granules())
	return held
}

// LimboBytes returns the size of the blocks in this process's limbo.
func (e *Epochs) LimboBytes() int64 {
	e.limbo.mu.Lock()
	defer e.limbo.mu.Unlock()
	return e.limbo.bytes
}
