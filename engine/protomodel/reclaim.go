package protomodel

// Publish, short pins, named pins and limbo: reclaim.go has the threads that
// every store has, gc.go adds the full collection.
//
// State: see heap.go. Writer A has a limbo and a drain thread in its process;
// B's limbo is not modelled (B never drains, which is allowed). The reader
// walks a root under a short pin, then moves to a named pin, then to another
// named pin of the same root, and walks again after each move.
//
// Linearization: an edit at the swap of the root word; a pin at the store of its
// word; a free at the clear of the allocated bit.
//
// Variations of the engine that the models include: the hint is raised in a
// step after the swap, and not at all if the writer dies in between; a pin
// stores a hint that was loaded any time before; the root word is a bare
// reference, so only the pin keeps the swap from succeeding on a reused block;
// a loser may give up, and frees what it built at once.
//
// That the pin lasts until the retired nodes are in limbo is kept here as
// PROTOCOLS.md has it, but no scenario breaks when it ends with the swap.

// heapConfig says which threads a scenario has and what they may do.
type heapConfig struct {
	editsA, editsB uint8
	onlyLeaf       bool // edits always replace the leaf
	reads          uint8
	names          bool // the reader moves to a named pin
	moves          bool // and to a second one
	drains         uint8
	collections    uint8
	collectors     int
	split          bool // writing the header and setting the bit are two steps
	kills          uint8
}

type heapModel struct {
	cfg heapConfig
	off Mend
}

func (h heapModel) on(m Mend) bool { return h.off != m }

// heapScenario builds a model from a configuration, with one mend off.
func heapScenario(cfg heapConfig, off Mend, goals ...goal[heapState]) model[heapState] {
	h := heapModel{cfg: cfg, off: off}
	init := heapState{root: 1, hint: 1, kills: cfg.kills}
	init.blk[1] = heapBlock{alloc: true, birth: 1, leaf: 2}
	init.blk[2] = heapBlock{alloc: true, birth: 1}
	init.th[thA].left = cfg.editsA
	init.th[thB].left = cfg.editsB
	init.th[thReader].left = cfg.reads
	init.th[thDrain].left = cfg.drains
	for i := range cfg.collectors {
		init.th[thGC+i].left = cfg.collections
	}
	if cfg.split {
		// Blocks that are free have headers of an earlier life.
		for r := 3; r < heapRefs; r++ {
			init.blk[r].birth = 1
		}
	}
	return model[heapState]{
		init: init, next: h.next, check: checkHeap, show: showHeap, goals: goals,
	}
}

func (h heapModel) next(s heapState, emit emitFunc[heapState]) {
	h.writer(s, thA, emit)
	h.writer(s, thB, emit)
	h.reader(s, emit)
	h.drain(s, emit)
	for i := range h.cfg.collectors {
		h.collector(s, thGC+i, emit)
	}
	h.kill(s, emit)
}

// pcDead is the pc of a thread whose process was killed.
const pcDead = 255

// kill ends a process between any two steps. The cleaning of its slot is part
// of the step: a process that is dead but not yet cleaned looks to the others
// like one that is merely stopped, and that is any state between two steps.
func (h heapModel) kill(s heapState, emit emitFunc[heapState]) {
	if s.kills == 0 {
		return
	}
	die := func(actor string, threads ...int) {
		n := s
		n.kills--
		gone := true
		for _, t := range threads {
			gone = gone && (n.th[t].pc == 0 && n.th[t].left == 0 || n.th[t].pc == pcDead)
			n.th[t] = thread{pc: pcDead}
		}
		if gone {
			return
		}
		if threads[0] == thA {
			n.limbo = [limboSize]limboEntry{}
		}
		if threads[0] == thReader {
			n.named[namedFirst], n.named[namedMoved] = namedPin{}, namedPin{}
		}
		if t := threads[0]; t >= thGC {
			n.named[namedGC+t-thGC] = namedPin{}
			if n.lease == uint8(t)+1 {
				n.lease = 0
			}
		}
		emit(actor, "is killed, and its slot is cleaned", n)
	}
	die("process A", thA, thDrain)
	if h.cfg.editsB > 0 {
		die("process B", thB)
	}
	if h.cfg.reads > 0 {
		die("reader", thReader)
	}
	for i := range h.cfg.collectors {
		die(heapActors[thGC+i], thGC+i)
	}
}

// The steps of a writer.
const (
	wIdle = iota
	wPin
	wLoad
	wLeafHeader
	wLeafBit
	wRecHeader
	wRecBit
	wBuild
	wSwap
	wHint
	wRetire
	wUnpin
	wRepin
)

func (h heapModel) writer(s heapState, me int, emit emitFunc[heapState]) {
	t := &s.th[me]
	actor := heapActors[me]
	next := func(action string, do func(n *heapState, t *thread)) {
		n := s
		do(&n, &n.th[me])
		emit(actor, action, n)
	}
	switch t.pc {
	case wIdle:
		if t.left == 0 {
			return
		}
		begin := func(big bool, action string) {
			next(action, func(n *heapState, t *thread) {
				t.left--
				t.hint, t.big, t.pc = n.hint, big, wPin
			})
		}
		begin(true, "begins an edit of the leaf and loads the hint")
		if !h.cfg.onlyLeaf {
			begin(false, "begins an edit that keeps the leaf and loads the hint")
		}
	case wPin:
		next("stores the hint as its pin", func(_ *heapState, t *thread) {
			t.pin, t.hint, t.pc = t.hint, 0, wLoad
		})
	case wLoad:
		next("loads the root word", func(n *heapState, t *thread) {
			n.load(t, n.root, false)
			t.pc = wBuild
			if h.cfg.split {
				t.pc = wLeafHeader
			}
		})
	case wBuild:
		h.build(s, me, next)
	case wLeafHeader, wLeafBit, wRecHeader, wRecBit:
		h.buildSplit(s, me, next)
	case wSwap:
		if h.off == PinThroughSwap && t.pin != 0 {
			next("drops its pin before the swap", func(_ *heapState, t *thread) { t.pin = 0 })
			return
		}
		if s.root != t.rec {
			h.lost(s, me, next)
			return
		}
		next("swaps the root word", func(n *heapState, t *thread) {
			switch {
			case t.stale&staleRec != 0:
				n.bad = InvPublish // the word holds another root at the same place
			case t.stale&(staleNewRec|staleNewLeaf) != 0:
				n.bad = InvOwner // what it publishes was freed
			}
			n.root = t.nrec
			t.nrec, t.nleaf = 0, 0
			t.pc = wHint
		})
	case wHint:
		next("raises the hint", func(n *heapState, t *thread) {
			n.raiseHint(t.seq + 1)
			t.pc = wRetire
		})
	case wRetire:
		next("puts what it replaced into limbo", func(n *heapState, t *thread) {
			if me == thA && h.cfg.drains > 0 {
				r := t.seq + 1
				n.retire(limboEntry{t.rec, n.blk[t.rec].birth, r, t.stale&staleRec != 0})
				if t.big {
					n.retire(limboEntry{t.leaf, n.blk[t.leaf].birth, r, t.stale&staleLeaf != 0})
				}
			}
			t.drop()
			t.pc = wUnpin
		})
	case wUnpin:
		next("drops its pin", func(_ *heapState, t *thread) {
			*t = thread{left: t.left}
		})
	case wRepin:
		next("pins again, at the hint", func(n *heapState, t *thread) {
			t.pin, t.pc = n.hint, wLoad
		})
	}
}

type nextFunc func(action string, do func(n *heapState, t *thread))

// build reads the base root and makes the new blocks, or brings those of an
// earlier attempt up to date: births become the sequence that the swap would
// publish.
func (h heapModel) build(s heapState, me int, next nextFunc) {
	t := &s.th[me]
	if t.nrec == 0 || t.big && t.nleaf == 0 {
		lo, hi := slabOf(me)
		room := 0
		for r := lo; r <= hi; r++ {
			if !s.blk[r].alloc {
				room++
			}
		}
		if room < 2 {
			return // waits for blocks; the engine would grow the file
		}
	}
	next("builds the new leaf and root record", func(n *heapState, t *thread) {
		if t.stale&staleRec != 0 || t.stale&staleLeaf != 0 {
			n.bad = InvWalk
			return
		}
		t.seq = n.blk[t.rec].birth
		leaf := t.leaf
		if t.big {
			if t.nleaf == 0 {
				t.nleaf = n.freeIn(me)
				n.blk[t.nleaf] = heapBlock{alloc: true, birth: t.seq + 1}
			} else if h.on(ExactBirth) {
				n.blk[t.nleaf].birth = t.seq + 1
			}
			leaf = t.nleaf
		}
		if t.nrec == 0 {
			t.nrec = n.freeIn(me)
		}
		n.blk[t.nrec] = heapBlock{alloc: true, birth: t.seq + 1, leaf: leaf}
		if t.stale&(staleNewLeaf|staleNewRec) != 0 {
			n.bad = InvOwner // it builds in a block that was freed
		}
		if h.off == HintAfterSwap {
			n.raiseHint(t.seq + 1)
		}
		t.pc = wSwap
	})
}

// buildSplit is build with the two steps of an allocation apart, for edits of
// the leaf.
func (h heapModel) buildSplit(s heapState, me int, next nextFunc) {
	t := &s.th[me]
	first, second := "writes the header of a new", "sets the allocated bit of the new"
	if h.off == HeaderBeforeBit {
		first, second = second, first
	}
	header := func(n *heapState, ref, birth uint8) { n.blk[ref].birth = birth }
	// half does the first or the second half of an allocation.
	half := func(n *heapState, ref uint8, isFirst bool) {
		if isFirst == h.on(HeaderBeforeBit) {
			header(n, ref, n.blk[n.th[me].rec].birth+1)
		} else {
			n.blk[ref].alloc = true
		}
	}
	switch t.pc {
	case wLeafHeader:
		if s.freeIn(me) == 0 {
			return
		}
		next(first+" leaf", func(n *heapState, t *thread) {
			if t.stale&staleRec != 0 {
				n.bad = InvWalk
				return
			}
			t.seq = n.blk[t.rec].birth
			if t.nleaf == 0 {
				t.nleaf = n.freeIn(me)
				half(n, t.nleaf, true)
				t.pc = wLeafBit
				return
			}
			header(n, t.nleaf, t.seq+1)
			t.pc = wRecHeader
		})
	case wLeafBit:
		next(second+" leaf", func(n *heapState, t *thread) {
			half(n, t.nleaf, false)
			t.pc = wRecHeader
		})
	case wRecHeader:
		if t.nrec == 0 && s.freeIn(me) == 0 {
			return
		}
		next(first+" root record", func(n *heapState, t *thread) {
			if t.nrec == 0 {
				t.nrec = n.freeIn(me)
				half(n, t.nrec, true)
			} else {
				header(n, t.nrec, t.seq+1)
			}
			n.blk[t.nrec].leaf = t.nleaf
			t.pc = wRecBit
		})
	case wRecBit:
		next(second+" root record", func(n *heapState, t *thread) {
			half(n, t.nrec, false)
			t.pc = wSwap
		})
	}
}

// lost is what a writer does when another was faster.
func (h heapModel) lost(s heapState, me int, next nextFunc) {
	next("loses the swap, keeps its leaf and tries again", func(_ *heapState, t *thread) {
		t.drop()
		t.pc = wLoad
		if h.off == KeepFirstPin {
			t.pc = wRepin
		}
	})
	next("loses the swap, gives up and frees what it built", func(n *heapState, t *thread) {
		nrec, nleaf := t.nrec, t.nleaf
		if t.stale&(staleNewRec|staleNewLeaf) != 0 {
			n.bad = InvOwner
			return
		}
		t.drop()
		t.nrec, t.nleaf = 0, 0
		t.pc = wUnpin
		n.free(nrec)
		if nleaf != 0 {
			n.free(nleaf)
		}
	})
}
