package protomodel

import "fmt"

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
				case b.retired <= n.d.gc:
					b.limbo = false // the collector's
				case m.reusable(n, r):
					if !b.alloc {
						n.bad = InvOwner
					}
					b.alloc, b.limbo = false, false
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
			n.c.head, n.c.pc = 0, hcRead
			switch m.off {
			case HandleAfterWait:
				n.c.pc = hcMarkHandle
			case OrphanInTree:
				n.c.pc = hcPin
			}
		})
	case hcPin:
		step(actor, "takes a short pin", func(n *hpState) {
			n.c.short, n.c.pc = n.cur, hcRead
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
