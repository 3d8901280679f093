package protomodel

// The steps of the drain of A's limbo.
const (
	dIdle = iota
	dPin
	dGCSeq
	dShort
	dNamed
	dNamedGen
	dBound
	dFree
	dEnd
)

// drain frees what A has retired and nobody can reach: it pins, reads gcseq, the
// bound (its own pin is one: at most the present sequence, and older than all
// it reads after), then the short pins, then the named ones, until the table
// of these held still; then it frees one block after the other.
func (h heapModel) drain(s heapState, emit emitFunc[heapState]) {
	const me = thDrain
	t := &s.th[me]
	next := func(action string, do func(n *heapState, t *thread)) {
		n := s
		do(&n, &n.th[me])
		emit(heapActors[me], action, n)
	}
	switch t.pc {
	case dIdle:
		if t.left > 0 && s.limbo[0].ref != 0 {
			next("loads the hint", func(n *heapState, t *thread) {
				t.left--
				t.hint, t.pc = n.hint, dPin
				if h.off == DrainPinBeforeGCSeq {
					t.pc = dGCSeq
				}
			})
		}
	case dPin:
		next("pins", func(_ *heapState, t *thread) {
			t.pin, t.pc = t.hint, dGCSeq
			if h.off == DrainPinBeforeGCSeq {
				t.pc = h.firstScan()
			}
		})
	case dGCSeq:
		next("reads gcseq", func(n *heapState, t *thread) {
			t.gc, t.pc = n.gcseq, h.firstScan()
			if h.off == DrainPinBeforeGCSeq {
				t.pc = dPin
			}
		})
	case dShort:
		next("reads the short pin of "+heapActors[h.shortAt(t.idx)], func(n *heapState, t *thread) {
			if p := n.th[h.shortAt(t.idx)].pin; p != 0 {
				t.short |= 1 << p
			}
			if t.idx++; int(t.idx) < h.shorts() {
				return
			}
			t.idx, t.pc = 0, dNamed
			if h.off == ShortBeforeNamed {
				t.pc = h.afterScan()
			} else if !h.cfg.names && h.cfg.collectors == 0 {
				t.pc = h.afterScan()
			}
		})
	case dNamed:
		next([namedPins]string{
			"reads the named pin 1", "reads the named pin 2", "reads the named pin 3", "reads the named pin 4",
		}[t.idx], func(n *heapState, t *thread) {
			if t.idx == 0 {
				t.gen, t.named = n.gen, 0
			}
			if p := n.named[t.idx].seq; p != 0 {
				t.named |= 1 << p
			}
			if t.idx++; int(t.idx) < namedGC+h.cfg.collectors {
				return
			}
			t.idx, t.pc = 0, dNamedGen
			if h.off == NamedScanStable {
				t.gen, t.pc = 0, h.afterNamed()
			}
		})
	case dNamedGen:
		if s.gen != t.gen {
			next("finds that named pins were made meanwhile, and reads them again", func(_ *heapState, t *thread) {
				t.gen, t.pc = 0, dNamed
			})
			return
		}
		next("finds that no named pin was made meanwhile", func(_ *heapState, t *thread) {
			t.gen, t.pc = 0, h.afterNamed()
		})
	case dBound:
		next("reads the bound", func(n *heapState, t *thread) {
			t.hint, t.pc = n.hint, dFree
		})
	case dFree:
		h.drainFree(s, next)
	case dEnd:
		next("drops its pin", func(_ *heapState, t *thread) {
			*t = thread{left: t.left}
		})
	}
}

// drainFree drops or frees one entry.
func (h heapModel) drainFree(s heapState, next nextFunc) {
	t := &s.th[thDrain]
	for i, e := range s.limbo {
		switch {
		case e.ref == 0:
		case e.retired <= t.gc && h.on(DropAtGCSeq):
			next("leaves an entry to the collector", func(n *heapState, _ *thread) { n.unlimbo(i) })
			return
		case h.reusable(e, t):
			next("frees a block in limbo", func(n *heapState, _ *thread) {
				n.unlimbo(i)
				if e.stale {
					n.bad = InvOwner // somebody has freed it before
					return
				}
				n.free(e.ref)
			})
			return
		}
	}
	next("finds nothing more to free", func(_ *heapState, t *thread) {
		*t = thread{left: t.left, pin: t.pin, pc: dEnd}
	})
}

// reusable is the reuse rule, applied to what the drain has read.
func (h heapModel) reusable(e limboEntry, t *thread) bool {
	if e.retired > t.hint {
		return false // beyond the bound
	}
	for p := uint8(1); p < 8; p++ {
		inside := e.birth <= p && p < e.retired
		switch {
		case t.named&(1<<p) != 0 && inside:
			return false
		case t.short&(1<<p) == 0:
		case h.on(ShortPinOpen) && p < e.retired: // [p, ∞) meets [birth, retired)
			return false
		case h.off == ShortPinOpen && inside:
			return false
		}
	}
	return true
}

// The drain reads the pins of the other threads that the scenario has.

func (h heapModel) shorts() int {
	n := 1
	if h.cfg.editsB > 0 {
		n++
	}
	if h.cfg.reads > 0 {
		n++
	}
	return n
}

func (h heapModel) shortAt(i uint8) int {
	switch {
	case i == 0:
		return thA
	case i == 1 && h.cfg.editsB > 0:
		return thB
	default:
		return thReader
	}
}

func (h heapModel) firstScan() uint8 {
	if h.off == ShortBeforeNamed {
		return dNamed
	}
	return dShort
}

func (h heapModel) afterNamed() uint8 {
	if h.off == ShortBeforeNamed {
		return dShort
	}
	return h.afterScan()
}

func (h heapModel) afterScan() uint8 {
	if h.off == BoundBeforeSlots {
		return dBound
	}
	return dFree
}
