package protomodel

import "fmt"

// Handle pins: an open file keeps one version of one value.
//
// State: a store of one value: a head block and a part that several heads may
// share. A block is allocated or not, born, retired, in limbo or not; freed
// blocks are not used again, since walking one is wrong already. A handle pin
// is the sequence p of the root that the handle saw, and the head block.
//
// Steps: a writer overwrites the value (new head, new part), patches it (new
// head), or unlinks it. The handle takes a short pin with the root, stores its
// handle pin, unpins, and reads. Once the file is unlinked the handle may still
// write: under a short pin it builds a head, with the old part or a new one,
// stores it in its handle pin, which keeps its p, retires what it had built
// itself, and unpins. Closing retires the rest of that. A drain reads gcseq,
// the bound, the short pins and the handle pins, and frees. A collector pins M,
// stores gcseq, publishes an empty edit, waits, marks from M; then, under a
// short pin, it reads the handle pin and, if p is older than M, marks from its
// head; it sweeps.
//
// What the handle builds and replaces itself is never in a published root. For
// other blocks, one that was born at or before M and is retired after it is in
// M, and marked. For these it is not so, and limbo leaves them to the collector
// by their birth.
//
// What a drain does between reading gcseq and its end counts as under a short
// pin, for which the collector waits.

const (
	hpBlocks = 8 // refs 1 to 7
	hpRoots  = 6
)

type hpBlock struct {
	alloc   bool
	limbo   bool
	private bool // in limbo, and never in a published root
	birth   uint8
	retired uint8
	part    uint8 // of a head
}

type hpState struct {
	cur    uint8
	head   uint8 // of the value, 0 once unlinked
	gcseq  uint8
	blk    [hpBlocks]hpBlock
	edits  uint8
	writes uint8 // that the handle may still make
	pin    struct{ seq, head uint8 }

	h struct{ pc, short, head, seq uint8 }
	d struct {
		pc, bound, gc, short, left uint8
		pin                        struct{ seq, head uint8 }
	}
	c struct {
		pc, m, e, head, short uint8
		mark                  uint8
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

func handleScenario(cfg hpConfig, off Mend) model[hpState] {
	m := hpModel{cfg, off}
	init := hpState{cur: 1, head: 1, edits: cfg.edits, writes: cfg.writes}
	init.blk[1] = hpBlock{alloc: true, birth: 1, part: 2}
	init.blk[2] = hpBlock{alloc: true, birth: 1}
	init.d.left = cfg.drains
	return model[hpState]{
		init: init, next: m.next, check: checkHandle, show: showHandle,
		goals: []goal[hpState]{
			{"a block is freed beside a handle that keeps another", func(s hpState) bool {
				return s.pin.seq != 0 && s.blk[s.pin.head].limbo && s.freed()
			}},
		},
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

// retireOwn retires a block that only the handle has ever reached.
func (s *hpState) retireOwn(ref uint8) {
	s.retire(ref, s.cur+1)
	s.blk[ref].private = true
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
	if s.head == 0 {
		publish("publishes a change elsewhere", func(*hpState) {})
		return
	}
	publish("unlinks the value", func(n *hpState) {
		n.retire(n.head, n.cur+1)
		n.retire(n.blk[n.head].part, n.cur+1)
		n.head = 0
	})
	if m.cfg.onlyUnlink || !s.room() {
		return
	}
	publish("overwrites the value", func(n *hpState) {
		old := n.head
		n.head = n.alloc(n.alloc(0))
		n.retire(old, n.cur+1)
		n.retire(n.blk[old].part, n.cur+1)
	})
	publish("patches the value, which keeps its part", func(n *hpState) {
		old := n.head
		n.head = n.alloc(n.blk[old].part)
		n.retire(old, n.cur+1)
	})
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
		if s.head == 0 && s.writes > 0 && s.room() {
			step(actor, "begins a write to the unlinked file, and pins", func(n *hpState) {
				n.writes--
				n.h.short, n.h.pc = n.cur, hpBuild
			})
		}
		step(actor, "closes, and retires what only it has reached", func(n *hpState) {
			b := n.blk[n.h.head]
			if b.birth > n.h.seq {
				n.retireOwn(n.h.head)
			}
			if p := n.blk[b.part]; p.birth > n.h.seq {
				n.retireOwn(b.part)
			}
			n.pin.seq, n.pin.head = 0, 0
			n.h.head, n.h.seq, n.h.pc = 0, 0, hpGone
		})
	case hpBuild:
		build := func(action string, newPart bool) {
			step(actor, action, func(n *hpState) {
				old := n.h.head
				part := n.blk[old].part
				if newPart {
					part = n.alloc(0)
				}
				n.h.head, n.h.pc = n.alloc(part), hpKeep
				m.retireOld(n, old, newPart)
			})
		}
		build("builds a new head with the old part", false)
		build("builds a new head and a new part", true)
	case hpKeep:
		step(actor, "stores the new head in its handle pin", func(n *hpState) {
			if m.on(UnlinkedStores) {
				n.pin.head = n.h.head
			}
			if m.off == UnlinkedKeepsSeq {
				n.pin.seq = n.cur
			}
			n.h.pc = hpDone
		})
	case hpDone:
		step(actor, "drops its short pin", func(n *hpState) { n.h.short, n.h.pc = 0, hpOpen })
	}
}

// retireOld retires what a write to an unlinked file replaces. What the handle
// found when it opened was retired by whoever unlinked it. The order does not
// matter under the short pin, so this is one step with the build.
func (m hpModel) retireOld(n *hpState, old uint8, newPart bool) {
	own := func(ref uint8) bool { return n.blk[ref].birth > n.h.seq || m.off == UnlinkedRetiresOwn }
	if own(old) {
		n.retireOwn(old)
	}
	if part := n.blk[old].part; newPart && own(part) {
		n.retireOwn(part)
	}
}

func (m hpModel) drain(s hpState, step hpStep) {
	const actor = "drain"
	readShort := func(n *hpState) {
		n.d.short = n.h.short
		if n.c.short != 0 && (n.d.short == 0 || n.c.short < n.d.short) {
			n.d.short = n.c.short
		}
	}
	switch s.d.pc {
	case 0:
		if s.d.left > 0 {
			step(actor, "pins, and reads gcseq and the bound", func(n *hpState) {
				n.d.left--
				n.d.bound, n.d.gc, n.d.pc = n.cur, n.gcseq, 1
			})
		}
	case 1:
		if m.off == ShortBeforeHandles {
			step(actor, "reads the handle pin", func(n *hpState) { n.d.pin, n.d.pc = n.pin, 2 })
			return
		}
		step(actor, "reads the short pins", func(n *hpState) {
			readShort(n)
			n.d.pc = 2
		})
	case 2:
		if m.off == ShortBeforeHandles {
			step(actor, "reads the short pins", func(n *hpState) {
				readShort(n)
				n.d.pc = 3
			})
			return
		}
		step(actor, "reads the handle pin", func(n *hpState) { n.d.pin, n.d.pc = n.pin, 3 })
	default:
		step(actor, "frees what nothing protects", func(n *hpState) {
			for r := uint8(1); r < hpBlocks; r++ {
				b := &n.blk[r]
				switch {
				case !b.limbo:
				case b.retired <= n.d.gc, b.private && b.birth <= n.d.gc && m.on(PrivateByBirth):
					b.limbo, b.private = false, false // the collector's
				case m.reusable(n, r):
					if !b.alloc {
						n.bad = InvOwner
					}
					b.alloc, b.limbo, b.private = false, false, false
				}
			}
			n.d.pc, n.d.bound, n.d.gc, n.d.short = 0, 0, 0, 0
			n.d.pin.seq, n.d.pin.head = 0, 0
		})
	}
}

// reusable is the reuse rule for a block of the value.
func (m hpModel) reusable(s *hpState, ref uint8) bool {
	b := s.blk[ref]
	in := func(p uint8) bool { return p != 0 && b.birth <= p && p < b.retired }
	if b.retired > s.d.bound || s.d.short != 0 && s.d.short < b.retired || in(s.c.m) {
		return false
	}
	if m.off == ValueID {
		return s.d.pin.seq == 0 || ref != s.d.pin.head // only the pinned block is known
	}
	return !in(s.d.pin.seq)
}

// The steps of the collector.
const (
	hcIdle = iota
	hcGCSeq
	hcEdit
	hcEarly
	hcWait
	hcMark
	hcPin
	hcRead
	hcMarkHandle
	hcSweep
	hcGone
)

func (m hpModel) collector(s hpState, step hpStep) {
	const actor = "collector"
	mark := func(n *hpState, head uint8) {
		if head == 0 {
			return
		}
		if b := n.blk[head]; !b.alloc || !n.blk[b.part].alloc {
			n.bad = InvWalk
		}
		n.c.mark |= 1<<head | 1<<n.blk[head].part
	}
	read := func(n *hpState) {
		// A version that M or a later root has is marked from M, as far as it is old
		// enough for the sweep; what is younger may be freed while it is walked.
		if p := n.pin.seq; p != 0 && (p < n.c.m || m.off == HandleOlderOnly) {
			n.c.found = n.pin.head
		}
	}
	switch s.c.pc {
	case hcIdle:
		step(actor, "pins the root M by name", func(n *hpState) {
			n.c.m, n.c.head, n.c.pc = n.cur, n.head, hcGCSeq
		})
	case hcGCSeq:
		step(actor, "stores M as gcseq", func(n *hpState) { n.gcseq, n.c.pc = n.c.m, hcEdit })
	case hcEdit:
		step(actor, "publishes the empty edit E", func(n *hpState) {
			n.cur++
			n.c.e, n.c.pc = n.cur, hcWait
			if m.off == HandleAfterWait {
				n.c.pc = hcEarly
			}
		})
	case hcEarly:
		step(actor, "reads the handle pin, before the wait", func(n *hpState) {
			read(n)
			n.c.pc = hcWait
		})
	case hcWait:
		drains := s.d.pc != 0 && s.d.bound < s.c.e
		if s.h.short != 0 && s.h.short < s.c.e || drains {
			return
		}
		step(actor, "finds no pin older than E", func(n *hpState) { n.c.e, n.c.pc = 0, hcMark })
	case hcMark:
		step(actor, "marks from M", func(n *hpState) {
			mark(n, n.c.head)
			n.c.head, n.c.pc = 0, hcPin
			if m.off == HandleAfterWait {
				n.c.pc = hcMarkHandle
			}
		})
	case hcPin:
		step(actor, "takes a short pin", func(n *hpState) {
			if m.on(MarkUnderPin) {
				n.c.short = n.cur
			}
			n.c.pc = hcRead
		})
	case hcRead:
		step(actor, "reads the handle pin", func(n *hpState) {
			read(n)
			n.c.pc = hcMarkHandle
		})
	case hcMarkHandle:
		step(actor, "marks what the handle pin holds", func(n *hpState) {
			mark(n, n.c.found)
			n.c.found, n.c.short, n.c.pc = 0, 0, hcSweep
		})
	case hcSweep:
		step(actor, "sweeps", func(n *hpState) {
			for r := uint8(1); r < hpBlocks; r++ {
				b := &n.blk[r]
				if b.alloc && n.c.mark&(1<<r) == 0 && b.birth <= n.c.m {
					b.alloc = false
				}
			}
			n.c.m, n.c.mark, n.c.pc = 0, 0, hcGone
		})
	}
}

func checkHandle(s hpState) Invariant {
	if s.bad != Holds {
		return s.bad
	}
	if b := s.blk[s.head]; s.head != 0 && (!b.alloc || !s.blk[b.part].alloc) {
		return InvWalk
	}
	return Holds
}

func showHandle(s hpState) string {
	out := fmt.Sprintf("root %d head %d gcseq %d; handle pin (p %d, head %d) short %d;", s.cur, s.head, s.gcseq, s.pin.seq, s.pin.head, s.h.short)
	for r, b := range s.blk {
		if b.birth == 0 {
			continue
		}
		out += fmt.Sprintf(" %d", r)
		if !b.alloc {
			out += " free"
		}
		out += fmt.Sprintf("[%d,%d)", b.birth, b.retired)
		if b.part != 0 {
			out += fmt.Sprintf("->%d", b.part)
		}
	}
	return out
}
