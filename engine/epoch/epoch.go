// Package epoch says when memory that an edit has replaced may be used again.
//
// A block is born at the sequence of the root that publishes it and retired at
// the sequence of the root that no longer refers to it. It may be reused when
// no root that anyone may still read, or that may still be the durable state,
// has a sequence in [born, retired). Those roots are
//
//   - what short pins of any process protect: a pin at s stands for all
//     sequences from s on, since its holder stores a lower bound first and
//     loads the root after;
//   - named root pins: exactly their sequence;
//   - checkpoints: the last completed one and all announced ones;
//
// and blocks of a value are also held by named value pins with the value's id
// and a sequence in [born, retired).
//
// Package epoch keeps the pins in the shm file and the list of retired blocks
// (limbo) in process memory: a killed process loses its limbo, and the next
// full collection finds those blocks. It does not know the allocator; it is
// given a function that frees. Nor does it know snapshots: a block that one
// holds is not retired at all, but left to the full collection (engine's
// Tx.retire has the reason).
//
// Everything here may be called by any number of goroutines.
package epoch

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"pongofs/engine/layout"
)

// ErrPins reports that all named pins are taken.
var ErrPins = errors.New("too many named pins")

// Epochs is the view that one process has of the pins of all processes.
type Epochs struct {
	shm   layout.Shm
	hdr   *layout.ShmHeader
	slot  int
	proc  *layout.ProcSlot
	token uint64

	overflow struct {
		sync.Mutex
		users int
	}
	limbo limbo
}

// Config says what Epochs works on.
type Config struct {
	Shm  layout.Shm
	Slot int
	// Token is unique to this owner of the slot; see Token.
	Token uint64
	// Free frees a block; it is called with the limbo's lock held.
	Free func(ref layout.Ref, granules int)
}

// Token returns the owner word of a process slot in a given incarnation.
func Token(slot int, incarnation uint64) uint64 { return incarnation<<8 | uint64(slot+1) }

// TokenSlot returns the process slot of an owner word.
func TokenSlot(token uint64) int { return int(token&0xff) - 1 }

// New returns the Epochs of a process that holds slot c.Slot.
func New(c Config) *Epochs {
	e := &Epochs{shm: c.Shm, hdr: c.Shm.Header(), slot: c.Slot, proc: c.Shm.Slot(c.Slot), token: c.Token}
	e.limbo.free = c.Free
	return e
}

// overflowWord is shared by pins that find no word of their own.
const overflowWord = layout.PinWords - 1

// Pin is a short pin. It keeps every block alive that a root loaded after it
// refers to.
type Pin struct{ word int }

// Pin makes a short pin. The caller loads the root word after it, and calls
// Unpin soon: while it holds the pin, nothing that is retired can be reused.
//
// The pin is the store of the hint, which is at most the sequence of the root
// that the caller goes on to load. A reclaimer reads its bound before it reads
// the pins, so either it sees this pin, or the root loaded here is at least as
// new as its bound; see limbo.drain.
func (e *Epochs) Pin() Pin {
	start := int(rand.Uint32() % overflowWord)
	for i := range overflowWord {
		w := start + i
		if w >= overflowWord {
			w -= overflowWord
		}
		p := &e.proc.Pins[w]
		if p.Load() == 0 && p.CompareAndSwap(0, e.hdr.SeqHint.Load()) {
			return Pin{w}
		}
	}
	e.overflow.Lock()
	defer e.overflow.Unlock()
	if e.overflow.users++; e.overflow.users == 1 {
		e.proc.Pins[overflowWord].Store(e.hdr.SeqHint.Load())
	}
	return Pin{overflowWord}
}

// Unpin ends a short pin.
func (e *Epochs) Unpin(p Pin) {
	if p.word != overflowWord {
		e.proc.Pins[p.word].Store(0)
		return
	}
	e.overflow.Lock()
	defer e.overflow.Unlock()
	if e.overflow.users--; e.overflow.users == 0 {
		e.proc.Pins[overflowWord].Store(0)
	}
}

// Advance raises the sequence hint to at least seq. It is called after the
// root of that sequence has been published.
func (e *Epochs) Advance(seq uint64) {
	for {
		old := e.hdr.SeqHint.Load()
		if old >= seq || e.hdr.SeqHint.CompareAndSwap(old, seq) {
			return
		}
	}
}

// MinPin returns the lowest short pin of all processes apart from the given
// ones of this process, and the slot that holds it; ok is false if there is
// none.
func (e *Epochs) MinPin(except ...Pin) (seq uint64, slot int, ok bool) {
	seq = ^uint64(0)
	for s := range int(e.hdr.SlotHigh.Load()) {
		p := e.shm.Slot(s)
		if p.Used.Load() == 0 {
			continue
		}
	words:
		for w := range p.Pins {
			v := p.Pins[w].Load()
			if v == 0 || v >= seq {
				continue
			}
			if s == e.slot {
				for _, x := range except {
					if x.word == w && w != overflowWord {
						continue words
					}
				}
			}
			seq, slot, ok = v, s, true
		}
	}
	return seq, slot, ok
}

// Named is a named pin.
type Named struct {
	e *Epochs
	p *layout.NamedPin
}

// PinRoot makes a named pin of a root: it protects exactly the blocks of that
// root, however long it lasts. The caller holds a short pin that protects the
// root already; another named pin is not enough, since a reclaimer reads the
// named pins one after the other and could miss both.
func (e *Epochs) PinRoot(seq uint64, root layout.Ref) (*Named, error) {
	return e.named(layout.PinRoot, seq, root, 0)
}

// PinValue makes a named pin of one version of the value of entry id: the
// value as it is in the root of sequence seq, whose root block is ref.
func (e *Epochs) PinValue(seq uint64, id uint64, ref layout.Ref) (*Named, error) {
	return e.named(layout.PinValue, seq, ref, id)
}

func (e *Epochs) named(kind, seq uint64, ref layout.Ref, id uint64) (*Named, error) {
	for i := range layout.NamedPins {
		p := e.shm.NamedPin(i)
		// Owner is claimed first, so that the cleaner of a dead process finds the
		// pin whatever else was stored; Kind makes it count, so it comes last.
		if p.Owner.Load() != 0 || !p.Owner.CompareAndSwap(0, e.token) {
			continue
		}
		for {
			high := e.hdr.NamedHigh.Load()
			if high > uint64(i) || e.hdr.NamedHigh.CompareAndSwap(high, uint64(i)+1) {
				break
			}
		}
		p.Seq.Store(seq)
		p.Ref.Store(uint64(ref))
		p.ID.Store(id)
		p.Since.Store(time.Now().UnixNano())
		p.Kind.Store(kind)
		return &Named{e: e, p: p}, nil
	}
	return nil, ErrPins
}

// Drop ends the pin. It must be called once.
func (n *Named) Drop() { dropNamed(n.e.hdr, n.p) }

func dropNamed(hdr *layout.ShmHeader, p *layout.NamedPin) {
	p.Kind.Store(layout.PinFree)
	p.Owner.Store(0)
	hdr.PinGen.Add(1)
}

// NamedPin describes a named pin of any process.
type NamedPin struct {
	Slot  int
	Value bool // pins a value, else a root
	Seq   uint64
	Ref   layout.Ref
	ID    uint64
	Since time.Time
}

// NamedPins appends all named pins to dst. One that is made or dropped
// meanwhile may be missing: whoever needs those has other means (see drain).
func (e *Epochs) NamedPins(dst []NamedPin) []NamedPin {
	for i := range int(e.hdr.NamedHigh.Load()) {
		p := e.shm.NamedPin(i)
		for {
			owner, kind := p.Owner.Load(), p.Kind.Load()
			if kind == layout.PinFree {
				break
			}
			pin := NamedPin{
				Slot:  TokenSlot(owner),
				Value: kind == layout.PinValue,
				Seq:   p.Seq.Load(),
				Ref:   layout.Ref(p.Ref.Load()),
				ID:    p.ID.Load(),
				Since: time.Unix(0, p.Since.Load()),
			}
			// An entry dropped and taken anew while it was read would be a mixture
			// of two pins: read it again then.
			if p.Owner.Load() == owner && p.Kind.Load() == kind && p.Seq.Load() == pin.Seq {
				dst = append(dst, pin)
				break
			}
		}
	}
	return dst
}

// CountPins returns the number of short pins of all processes.
func (e *Epochs) CountPins() int {
	n := 0
	for s := range int(e.hdr.SlotHigh.Load()) {
		p := e.shm.Slot(s)
		if p.Used.Load() == 0 {
			continue
		}
		for w := range p.Pins {
			if p.Pins[w].Load() != 0 {
				n++
			}
		}
	}
	return n
}

// CleanSlot removes the pins that the dead owner of a slot has left. The
// caller holds the lock of the slot's byte; cleaning may be interrupted and
// repeated. Announced checkpoints stay: what was announced may still reach the
// disk.
func CleanSlot(shm layout.Shm, slot int, token uint64) {
	hdr := shm.Header()
	for i := range int(hdr.NamedHigh.Load()) {
		if p := shm.NamedPin(i); p.Owner.Load() == token {
			dropNamed(hdr, p)
		}
	}
	proc := shm.Slot(slot)
	for w := range proc.Pins {
		proc.Pins[w].Store(0)
	}
	hdr.PinGen.Add(1)
}
