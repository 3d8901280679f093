package protomodel

// The full collection beside writers, readers and a drain; see reclaim.go for
// these.
//
// Steps of the collector: take the lease; publish an empty edit, so that what
// a killed writer has built is no younger than M; pin the root M by name;
// store gcseq; publish a second empty edit, E; wait for each short pin to be E or
// newer; mark from M; read the named pins and mark from those older than M;
// then look at one block after the other, in any order, and in a second step
// clear its bit if it was allocated, unmarked and born at or before M.
//
// An empty edit is one step here (the swap), the raise of the hint another:
// its pin, load and build are those of any writer. So is the pinning of M:
// moving from a short to a named pin is the reader's business in reclaim.go.
//
// Invariants: those of reclaim.go, and InvLeak: a collection that begins when
// every other process has finished or died leaves nothing allocated but what
// it marked and the present root.

// The steps of the collector.
const (
	cIdle = iota
	cPre
	cPreHint
	cPinM
	cGCSeq
	cEdit
	cHint
	cWait
	cMark
	cNamed
	cMarkNamed
	cSweep
	cBit
	cFree
)

func (h heapModel) collector(s heapState, me int, emit emitFunc[heapState]) {
	t := &s.th[me]
	next := func(action string, do func(n *heapState, t *thread)) {
		n := s
		do(&n, &n.th[me])
		emit(heapActors[me], action, n)
	}
	switch t.pc {
	case cIdle:
		if t.left == 0 || h.on(OneCollector) && s.lease != 0 {
			return
		}
		next("takes the lease", func(n *heapState, t *thread) {
			t.left--
			n.lease = uint8(me) + 1
			n.quiet = h.othersGone(n, me)
			t.pc = cPre
			if h.off == EmptyEditFirst {
				t.pc = cPinM
			}
		})
	case cPre:
		h.emptyEdit(s, me, "publishes an empty edit", cPreHint, next)
	case cPreHint:
		next("raises the hint", func(n *heapState, t *thread) {
			n.raiseHint(t.gc)
			t.gc, t.pc = 0, cPinM
		})
	case cPinM:
		next("pins the root M by name", func(n *heapState, t *thread) {
			n.load(t, n.root, false)
			t.seq, t.pc = n.blk[n.root].birth, cGCSeq
			if h.on(PinMByName) {
				n.named[namedGC+me-thGC] = namedPin{seq: t.seq, ref: t.rec}
			}
		})
	case cGCSeq:
		next("stores M as gcseq", func(n *heapState, t *thread) {
			n.gcseq, t.pc = max(n.gcseq, t.seq), cEdit
			if h.off == EmptyEdit {
				t.gc, t.pc = t.seq, h.afterEdit()
			}
		})
	case cEdit:
		h.emptyEdit(s, me, "publishes the empty edit E", cHint, next)
	case cHint:
		next("raises the hint", func(n *heapState, t *thread) {
			n.raiseHint(t.gc)
			t.pc = h.afterEdit()
		})
	case cWait:
		// The threads of the scenario, in order.
		waits := [...]int{thA, thB, thReader, thDrain}
		if p := s.th[waits[t.idx]].pin; p != 0 && p < t.gc {
			return
		}
		next("finds that "+heapActors[waits[t.idx]]+" holds no pin older than E", func(_ *heapState, t *thread) {
			t.idx++
			for int(t.idx) < len(waits) && !h.present(waits[t.idx]) {
				t.idx++
			}
			if int(t.idx) == len(waits) {
				t.idx, t.gc, t.pc = 0, 0, cMark
			}
		})
	case cMark:
		next("marks from M", func(n *heapState, t *thread) {
			if t.stale&(staleRec|staleLeaf) != 0 {
				n.bad = InvWalk
			}
			t.mark |= 1<<t.rec | 1<<t.leaf
			t.drop()
			switch {
			case !h.cfg.names && h.cfg.collectors == 1:
				t.pc = cSweep
			case h.off == NamedAfterWait:
				t.pc = cMarkNamed
			default:
				t.pc = cNamed
			}
		})
	case cNamed:
		next("reads the named pins", func(n *heapState, t *thread) {
			p := n.named[namedFirst]
			switch {
			case h.cfg.collectors == 2:
				p = n.named[namedGC+thGC2-me] // the other's M
			case p.seq == 0:
				p = n.named[namedMoved]
			}
			t.pc = cMarkNamed
			if h.off == NamedAfterWait {
				t.pc = cWait
			}
			if p.seq == 0 || p.seq == t.seq || p.seq > t.seq && h.on(MarkOlderOnly) {
				return
			}
			t.nrec, t.nleaf = p.ref, n.blk[p.ref].leaf
			if p.stale {
				t.stale |= staleNewRec | staleNewLeaf
			}
		})
	case cMarkNamed:
		if t.nrec == 0 {
			next("has no other root to mark from", func(_ *heapState, t *thread) { t.pc = cSweep })
			return
		}
		next("marks from the pinned root", func(n *heapState, t *thread) {
			if t.stale&(staleNewRec|staleNewLeaf) != 0 {
				n.bad = InvWalk
			}
			t.mark |= 1<<t.nrec | 1<<t.nleaf
			t.nrec, t.nleaf, t.stale = 0, 0, 0
			t.pc = cSweep
		})
	default:
		h.sweep(s, me, next)
	}
}

// afterEdit is the step that follows the publication of E.
func (h heapModel) afterEdit() uint8 {
	switch h.off {
	case WaitForPins:
		return cMark
	case NamedAfterWait:
		return cNamed
	default:
		return cWait
	}
}

// sweep has the steps that free blocks.
func (h heapModel) sweep(s heapState, me int, next nextFunc) {
	t := &s.th[me]
	switch t.pc {
	case cSweep:
		found := false
		for r := uint8(1); r < heapRefs; r++ {
			b := s.blk[r]
			if b.birth == 0 || b.birth > t.seq || t.mark&(1<<r) != 0 {
				continue
			}
			if h.off == BitBeforeHeader {
				next("reads a header, unmarked and born at or before M", func(_ *heapState, t *thread) {
					t.idx, t.pc = r, cBit
				})
				continue
			}
			if !b.alloc {
				continue
			}
			found = true
			next("finds a block allocated, unmarked and born at or before M", func(_ *heapState, t *thread) {
				t.idx, t.pc = r, cFree
			})
		}
		if found {
			return
		}
		next("finds nothing more to free, and ends", func(n *heapState, t *thread) {
			if n.quiet && h.on(BitBeforeHeader) && h.leaks(n, t.mark) {
				n.bad = InvLeak
			}
			n.named[namedGC+me-thGC], n.lease, n.quiet = namedPin{}, 0, false
			*t = thread{left: t.left}
		})
	case cBit:
		if !s.blk[t.idx].alloc {
			return // not allocated: the others choose again, this path ends
		}
		next("reads the bit of the block: allocated", func(_ *heapState, t *thread) { t.pc = cFree })
	case cFree:
		next("clears the bit of the block", func(n *heapState, t *thread) {
			r := t.idx
			t.idx, t.pc = 0, cSweep
			n.free(r)
		})
	}
}

// emptyEdit swaps the root word for a root that differs in its sequence only.
// Nobody but a sweep ever frees the record that it replaces.
func (h heapModel) emptyEdit(s heapState, me int, action string, then uint8, next nextFunc) {
	if s.freeIn(me) == 0 {
		return
	}
	next(action, func(n *heapState, t *thread) {
		old, ref := n.root, n.freeIn(me)
		t.gc, t.pc = n.blk[old].birth+1, then
		n.blk[ref] = heapBlock{alloc: true, birth: t.gc, leaf: n.blk[old].leaf}
		n.root = ref
	})
}

// present reports whether the scenario has thread i.
func (h heapModel) present(i int) bool {
	switch i {
	case thB:
		return h.cfg.editsB > 0
	case thReader:
		return h.cfg.reads > 0
	case thDrain:
		return h.cfg.drains > 0
	default:
		return true
	}
}

// othersGone reports whether no thread but me will take another step.
func (h heapModel) othersGone(s *heapState, me int) bool {
	for i := range s.th {
		t := &s.th[i]
		if i != me && t.pc != pcDead && (t.pc != 0 || t.left != 0) {
			return false
		}
	}
	return true
}

// leaks reports whether a block is allocated that was not marked and is not in
// the present root.
func (h heapModel) leaks(s *heapState, mark uint16) bool {
	mark |= 1<<s.root | 1<<s.blk[s.root].leaf
	for r := 1; r < heapRefs; r++ {
		if s.blk[r].alloc && mark&(1<<r) == 0 {
			return true
		}
	}
	return false
}
