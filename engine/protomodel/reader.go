package protomodel

// The steps of the reader.
const (
	rIdle = iota
	rPin
	rLoad
	rWalk
	rName
	rUnpin
	rWalkNamed
	rMove
	rDropFirst
	rWalkMoved
	rDrop
)

func (h heapModel) reader(s heapState, emit emitFunc[heapState]) {
	const me = thReader
	t := &s.th[me]
	next := func(action string, do func(n *heapState, t *thread)) {
		n := s
		do(&n, &n.th[me])
		emit(heapActors[me], action, n)
	}
	walk := func(action string, then uint8) {
		next(action, func(n *heapState, t *thread) {
			if t.stale&(staleRec|staleLeaf) != 0 {
				n.bad = InvWalk
			}
			t.pc = then
		})
	}
	order := [...]uint8{rIdle: rPin, rPin: rLoad, rLoad: rWalk}
	if h.off == PinThenLoad {
		order = [...]uint8{rIdle: rLoad, rLoad: rPin, rPin: rWalk}
	}
	switch t.pc {
	case rIdle:
		if t.left > 0 {
			next("loads the hint", func(n *heapState, t *thread) {
				t.left--
				t.hint, t.pc = n.hint, order[rIdle]
			})
		}
	case rPin:
		next("stores the hint as its pin", func(_ *heapState, t *thread) {
			t.pin, t.hint, t.pc = t.hint, 0, order[rPin]
		})
	case rLoad:
		next("loads the root word", func(n *heapState, t *thread) {
			n.load(t, n.root, false)
			t.pc = order[rLoad]
		})
	case rWalk:
		walk("walks the root", rUnpin)
		if h.cfg.names {
			walk("walks the root and means to keep it", rName)
		}
	case rName:
		if h.off == NamedBeforeUnpin && t.pin != 0 {
			next("drops its short pin, before it has stored the named one", func(_ *heapState, t *thread) { t.pin = 0 })
			return
		}
		next("stores a named pin", func(n *heapState, t *thread) {
			seq := n.blk[t.rec].birth
			if h.off == NamedPinExact {
				seq = t.pin
			}
			n.named[namedFirst] = namedPin{seq, t.rec, t.stale&(staleRec|staleLeaf) != 0}
			n.gen++
			t.pc = rUnpin
		})
	case rUnpin:
		next("drops its short pin", func(n *heapState, t *thread) {
			t.pin = 0
			if n.named[namedFirst].seq != 0 {
				t.pc = rWalkNamed
				return
			}
			*t = thread{left: t.left}
		})
	case rWalkNamed:
		then := uint8(rDropFirst)
		if h.cfg.moves {
			then = rMove
		}
		walk("walks the root under its named pin", then)
	case rMove:
		next("stores a second named pin of the same root", func(n *heapState, t *thread) {
			n.named[namedMoved] = n.named[namedFirst]
			n.gen++
			t.pc = rDropFirst
		})
	case rDropFirst:
		next("drops the first named pin", func(n *heapState, t *thread) {
			n.named[namedFirst] = namedPin{}
			if t.pc = rWalkMoved; n.named[namedMoved].seq == 0 {
				*t = thread{left: t.left}
			}
		})
	case rWalkMoved:
		walk("walks the root under its second named pin", rDrop)
	case rDrop:
		next("drops the second named pin", func(n *heapState, t *thread) {
			n.named[namedMoved] = namedPin{}
			*t = thread{left: t.left}
		})
	}
}
