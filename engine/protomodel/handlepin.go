package protomodel

// Handle pins: an open file keeps one version of one value.
//
// State: a store of one value: a head block and a part that several heads may
// share. A block is allocated or not, born, retired, in limbo or not; freed
// blocks are not used again, since walking one is wrong already. A handle pin
// is the sequence p of the root that the handle saw, and the head block.
//
// Steps: a writer overwrites the value (new head, new part), patches it (new
// head), unlinks it, or changes something else. The handle takes a short pin
// with the root, stores its handle pin, unpins, reads, and may write, which is
// an edit like any other; then it pins what it has written. An open file that
// is unlinked becomes an orphan, which a container of the root holds, and the
// close of the handle removes it with an edit. A drain reads gcseq, the bound,
// the short pins and the handle pin, and frees. A collector pins M, stores
// gcseq, publishes an empty edit, waits, marks from M, reads the handle pin,
// marks from its head if p is older than M, and sweeps.
//
// PROTOCOLS.md instead lets the writer through an unlinked open file store its
// new root block in the handle pin before its edit ends. Such blocks are in no
// published root, and everything else relies on that: what was born at or
// before M and is retired after M must be in M. With OrphanInTree off the model
// does that, with care: the handle keeps its p, so that what it found stays
// protected; it retires only what it built itself, and after its pin holds the
// new head; the collector reads and marks under a short pin. It still fails.
//
// What a drain does between reading gcseq and its end counts as under a short
// pin, for which the collector waits.

const (
	hpBlocks = 10 // refs 1 to 9
	hpRoots  = 6
)

type hpBlock struct {
	alloc   bool
	limbo   bool
	birth   uint8
	retired uint8
	part    uint8 // of a head
}

type hpState struct {
	cur    uint8
	head   uint8 // of the value, 0 once removed
	orphan bool  // the value has no name, and the handle is open
	gcseq  uint8
	blk    [hpBlocks]hpBlock
	edits  uint8
	writes uint8 // that the handle may still make
	pin    struct{ seq, head uint8 }

	h struct{ pc, short, head, seq, old, oldPart uint8 }
	d struct {
		pc, bound, gc, short, left uint8
		pin                        struct{ seq, head uint8 }
	}
	c struct {
		pc, m, e, head, short uint8
		mark                  uint16
		found                 uint8 // head that the handle pin holds
	}
	bad Invariant
}

// hpConfig says which threads take part.
type hpConfig struct {
	edits, writes, drains uint8
	collector             bool
	onlyUnlink            bool // the first edit unlinks, later ones touch something else
}

type hpModel struct {
	cfg hpConfig
	off Mend
}

func (m hpModel) on(x Mend) bool { return m.off != x }

func handleScenario(cfg hpConfig, off Mend, goals ...goal[hpState]) model[hpState] {
	m := hpModel{cfg, off}
	init := hpState{cur: 1, head: 1, edits: cfg.edits, writes: cfg.writes}
	init.blk[1] = hpBlock{alloc: true, birth: 1, part: 2}
	init.blk[2] = hpBlock{alloc: true, birth: 1}
	init.d.left = cfg.drains
	return model[hpState]{
		init: init, next: m.next, check: checkHandle, show: showHandle, goals: goals,
	}
}

func (s *hpState) freed() bool {
	for _, b := range s.blk[1:] {
		if b.birth != 0 && !b.alloc {
			return true
		}
	}
	return false
}

// alloc makes a block of the next version, in the first place never used.
func (s *hpState) alloc(part uint8) uint8 {
	for r := uint8(1); r < hpBlocks; r++ {
		if s.blk[r].birth == 0 {
			s.blk[r] = hpBlock{alloc: true, birth: s.cur + 1, part: part}
			return r
		}
	}
	return 0
}

func (s *hpState) room() bool { return s.blk[hpBlocks-2].birth == 0 }

// retire puts a block into limbo; twice is a mistake that frees it twice.
func (s *hpState) retire(ref, seq uint8) {
	b := &s.blk[ref]
	if b.retired != 0 {
		s.bad = InvOwner
		return
	}
	b.retired, b.limbo = seq, true
}

func (m hpModel) next(s hpState, emit emitFunc[hpState]) {
	step := func(actor, action string, do func(n *hpState)) {
		n := s
		do(&n)
		emit(actor, action, n)
	}
	m.writer(s, step)
	m.handle(s, step)
	m.drain(s, step)
	if m.cfg.collector {
		m.collector(s, step)
	}
}

type hpStep func(actor, action string, do func(n *hpState))

func (m hpModel) writer(s hpState, step hpStep) {
	if s.edits == 0 || s.cur >= hpRoots {
		return
	}
	publish := func(action string, do func(n *hpState)) {
		step("writer", action, func(n *hpState) {
			n.edits--
			do(n)
			n.cur++
		})
	}
	if s.head == 0 || s.orphan {
		publish("publishes a change elsewhere", func(*hpState) {})
		return
	}
	publish("unlinks the value", func(n *hpState) {
		if open := n.h.pc != hpIdle && n.h.pc != hpGone; open && m.on(OrphanInTree) {
			n.orphan = true
			return
		}
		n.remove()
	})
	if m.cfg.onlyUnlink || !s.room() {
		return
	}
	publish("overwrites the value", func(n *hpState) { n.replace(true) })
	publish("patches the value, which keeps its part", func(n *hpState) { n.replace(false) })
}

// remove retires the value, in an edit that publishes the next root.
func (s *hpState) remove() {
	s.retire(s.head, s.cur+1)
	s.retire(s.blk[s.head].part, s.cur+1)
	s.head, s.orphan = 0, false
}

// replace gives the value a new head, and a new part or not, in an edit that
// publishes the next root.
func (s *hpState) replace(newPart bool) {
	old := s.head
	part := s.blk[old].part
	s.retire(old, s.cur+1)
	if newPart {
		s.retire(part, s.cur+1)
		part = s.alloc(0)
	}
	s.head = s.alloc(part)
}

// The steps of the handle.
const (
	hpIdle = iota
	hpStore
	hpUnpin
	hpOpen
	hpBuild
	hpKeep
	hpDone
	hpGone
)

func (m hpModel) handle(s hpState, step hpStep) {
	const actor = "handle"
	switch s.h.pc {
	case hpIdle:
		if s.head == 0 {
			return
		}
		step(actor, "pins, and finds the value", func(n *hpState) {
			n.h.short, n.h.seq, n.h.head, n.h.pc = n.cur, n.cur, n.head, hpStore
		})
	case hpStore:
		if m.off == HandleBeforeUnpin && s.h.short != 0 {
			step(actor, "drops its short pin, before it has stored the handle pin", func(n *hpState) { n.h.short = 0 })
			return
		}
		step(actor, "stores its handle pin", func(n *hpState) {
			n.pin.seq, n.pin.head = n.h.seq, n.h.head
			n.h.pc = hpUnpin
		})
	case hpUnpin:
		step(actor, "drops its short pin", func(n *hpState) { n.h.short, n.h.pc = 0, hpOpen })
	case hpOpen:
		if b := s.blk[s.h.head]; !b.alloc || !s.blk[b.part].alloc {
			step(actor, "reads its value", func(n *hpState) { n.bad = InvWalk })
		}
		if s.writes > 0 && s.room() && s.cur < hpRoots && (s.head != 0 || m.off == OrphanInTree) {
			step(actor, "begins a write, and pins", func(n *hpState) {
				n.writes--
				n.h.short, n.h.pc = n.cur, hpBuild
			})
		}
		step(actor, "closes", func(n *hpState) {
			if n.orphan {
				n.remove()
				n.cur++
			}
			m.retirePrivate(n, n.h.head, n.blk[n.h.head].part)
			n.pin.seq, n.pin.head = 0, 0
			n.h.head, n.h.seq, n.h.pc = 0, 0, hpGone
		})
	case hpBuild:
		if !s.room() {
			step(actor, "gives up, there is no block left", func(n *hpState) { n.h.pc = hpDone })
			return
		}
		if s.head != 0 {
			write := func(action string, newPart bool) {
				step(actor, action, func(n *hpState) {
					n.replace(newPart)
					n.cur++
					n.h.head, n.h.seq, n.h.pc = n.head, n.cur, hpKeep
				})
			}
			write("overwrites its value", true)
			write("patches its value", false)
			return
		}
		if m.on(OrphanInTree) {
			// Somebody without a handle on the file has removed it.
			step(actor, "finds its value removed", func(n *hpState) { n.h.pc = hpDone })
			return
		}
		step(actor, "builds a new head and part that no root refers to", func(n *hpState) {
			n.h.old, n.h.oldPart = n.h.head, n.blk[n.h.head].part
			n.h.head = n.alloc(n.alloc(0))
			n.h.pc = hpKeep
		})
	case hpKeep:
		step(actor, "stores the new head in its handle pin", func(n *hpState) {
			n.pin.seq, n.pin.head = n.h.seq, n.h.head
			n.h.pc = hpDone
		})
	case hpDone:
		step(actor, "drops its short pin", func(n *hpState) {
			m.retirePrivate(n, n.h.old, n.h.oldPart)
			n.h.old, n.h.oldPart = 0, 0
			n.h.short, n.h.pc = 0, hpOpen
		})
	}
}

// retirePrivate retires those of the blocks that only the handle has reached:
// what was born later than the root that it pins. What was in that root was
// retired by whoever unlinked it.
func (m hpModel) retirePrivate(n *hpState, refs ...uint8) {
	for _, r := range refs {
		if m.off == OrphanInTree && n.blk[r].birth > n.h.seq {
			n.retire(r, n.cur+1)
		}
	}
}
