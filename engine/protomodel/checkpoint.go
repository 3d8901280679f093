package protomodel

import "math/bits"

// Checkpoints, and what a power cut leaves of them.
//
// State: root s is one block with content s, born at s and retired at s+1. The
// file has four such blocks and two process slots with a pair of checkpoint
// pages each; a page holds a sequence, or is torn. Of every page of the file
// the state has what the page cache holds and the set of contents that the
// disk may hold: a store adds to the set; a sync narrows it, when it ends, to
// what the cache held since it began. A freed block counts as overwritten at
// once.
//
// Steps: a writer publishes, and scans the pins, the announcements and the
// completed word, one at a time, to free what they do not protect. A
// checkpointer for each slot pins its root, chooses a word, announces the root
// in it, unpins, syncs, writes its page (torn, then whole), syncs, raises the
// completed word, and acknowledges. It may be killed between any two steps; its
// slot is cleaned and claimed by a new process, which first settles what was
// announced.
//
// Invariants, of every state, as if the power failed there: take from each page
// any content that the disk may hold; the newest valid checkpoint is no older
// than the last acknowledged sync, and the disk holds its block for certain.

const (
	ckBlocks  = 4
	ckPages   = 4 // two slots, a pair each
	ckTorn    = 7 // content of a torn page
	ckGarbage = 0 // content of a block that was freed, or a page never written
)

// checkpointer is the private state of a process that makes checkpoints.
type checkpointer struct {
	pc, left uint8
	pin      uint8 // in shm
	root     uint8
	page     uint8 // that it writes; before that, the announcement word that it has chosen
}

type ckState struct {
	cur       uint8 // sequence of the root
	completed uint8
	acked     uint8
	kills     uint8
	restarts  uint8
	ann       [2][2]uint8
	at        [8]uint8 // block of each root, 1 to ckBlocks
	freed     uint8    // set of roots whose block was freed
	k         [2]checkpointer
	scan      ckScan
	ckFile[uint8]
}

// ckFile is the pages of the file, each with the content that the page cache has
// and the set of those that the disk may have; listed.go has the same.
type ckFile[set uint8 | uint64] struct {
	cache [ckBlocks + ckPages]uint8
	disk  [ckBlocks + ckPages]set
	since [2][ckBlocks + ckPages]set // contents since the sync of k began, if it syncs
}

// ckScan is the writer's scan for what it may free.
type ckScan struct {
	pc        uint8
	bound     uint8
	pin       uint8 // oldest short pin seen
	completed uint8
	ann       uint8 // set of announced sequences seen
}

// ckConfig says how much may happen.
type ckConfig struct {
	roots    uint8 // sequences up to this one are published
	left     [2]uint8
	kills    uint8
	restarts uint8
	// keep is the engine's way with announcements: one is overwritten only when
	// a later checkpoint has completed, and never cleared. Otherwise a process
	// clears its announcements that the completed word covers.
	keep bool
	// oneScan makes the writer's scan a single step.
	oneScan bool
}

type ckModel struct {
	cfg ckConfig
	off Mend
}

func (m ckModel) on(x Mend) bool { return m.off != x }

func checkpointScenario(cfg ckConfig, off Mend, goals ...goal[ckState]) model[ckState] {
	m := ckModel{cfg, off}
	init := ckState{cur: 1, completed: 1, acked: 1, kills: cfg.kills, restarts: cfg.restarts}
	init.at[1] = 1
	for i := range init.disk {
		init.disk[i] = 1 << 0
	}
	init.cache[0], init.disk[0] = 1, 1<<1
	init.cache[ckBlocks], init.disk[ckBlocks] = 1, 1<<1
	init.k[0].left, init.k[1].left = cfg.left[0], cfg.left[1]
	if cfg.keep {
		init.ann[0][0] = 1
	}
	return model[ckState]{init: init, next: m.next, check: checkCk, show: showCk, goals: goals}
}

// store changes a page in the cache.
func (f *ckFile[set]) store(page int, v uint8) {
	f.cache[page] = v
	f.disk[page] |= 1 << v
	for k := range f.since {
		if f.syncing(k) {
			f.since[k][page] |= 1 << v
		}
	}
}

func (f *ckFile[set]) syncing(k int) bool { return f.since[k][0] != 0 }

func (f *ckFile[set]) syncBegin(k int) {
	for p, v := range f.cache {
		f.since[k][p] = 1 << v
	}
}

func (f *ckFile[set]) syncEnd(k int) {
	for p := range f.disk {
		f.disk[p] &= f.since[k][p]
		f.since[k][p] = 0
	}
	for p := range f.disk {
		f.since[1-k][p] &= f.disk[p]
	}
}

// syncLost ends the sync of a process that was killed.
func (f *ckFile[set]) syncLost(k int) { f.since[k] = [ckBlocks + ckPages]set{} }

func (m ckModel) next(s ckState, emit emitFunc[ckState]) {
	m.writer(s, emit)
	for k := range s.k {
		m.checkpoint(s, k, emit)
	}
}

// protected words that a scan reads, one a step.
const (
	ckScanIdle = iota
	ckScanPin0
	ckScanPin1
	ckScanAnn // four steps
	ckScanDone
	ckScanFree     = ckScanAnn + 5
	ckScanAnnLast  = ckScanAnn + 3
	ckScanComplete = ckScanAnn + 4
)

func (m ckModel) writer(s ckState, emit emitFunc[ckState]) {
	next := func(action string, do func(n *ckState)) {
		n := s
		do(&n)
		emit("writer", action, n)
	}
	if m.cfg.oneScan {
		m.publish(s, next)
		next("frees what nothing protects", func(n *ckState) {
			sc := ckScan{bound: n.cur, completed: n.completed}
			for k := range n.k {
				sc.seePin(n.k[k].pin)
				sc.ann |= 1<<n.ann[k][0] | 1<<n.ann[k][1]
			}
			m.free(n, sc)
		})
		return
	}
	sc := &s.scan
	// The scan reads the announcements before the completed word, the direction
	// in which protection moves.
	order := []uint8{ckScanPin0, ckScanPin1, ckScanAnn, ckScanAnn + 1, ckScanAnn + 2, ckScanAnnLast, ckScanComplete, ckScanFree}
	if m.off == AnnouncedBeforeCompleted || m.cfg.keep {
		order = []uint8{ckScanPin0, ckScanPin1, ckScanComplete, ckScanAnn, ckScanAnn + 1, ckScanAnn + 2, ckScanAnnLast, ckScanFree}
	}
	then := func(pc uint8) uint8 {
		for i, x := range order {
			if x == pc {
				return order[i+1]
			}
		}
		return order[0]
	}
	switch pc := sc.pc; pc {
	case ckScanIdle:
		m.publish(s, next)
		if bits.OnesCount8(s.freed) < int(s.cur)-1 {
			next("begins a scan", func(n *ckState) { n.scan = ckScan{pc: order[0], bound: n.cur} })
		}
	case ckScanPin0, ckScanPin1:
		k := int(pc - ckScanPin0)
		next("reads a short pin", func(n *ckState) {
			n.scan.seePin(n.k[k].pin)
			n.scan.pc = then(pc)
		})
	case ckScanComplete:
		next("reads the completed word", func(n *ckState) {
			n.scan.completed, n.scan.pc = n.completed, then(pc)
		})
	case ckScanFree:
		next("frees what nothing protects", func(n *ckState) {
			m.free(n, n.scan)
			n.scan = ckScan{}
		})
	default:
		i := pc - ckScanAnn
		next("reads an announcement", func(n *ckState) {
			if a := n.ann[i/2][i%2]; a != 0 {
				n.scan.ann |= 1 << a
			}
			n.scan.pc = then(pc)
		})
	}
}

// publish takes a free block for the next root.
func (m ckModel) publish(s ckState, next func(string, func(*ckState))) {
	if s.cur == m.cfg.roots {
		return
	}
	for b := uint8(1); b <= ckBlocks; b++ {
		if s.cache[b-1] == ckGarbage {
			next("publishes the next root", func(n *ckState) {
				n.cur++
				n.at[n.cur] = b
				n.store(int(b-1), n.cur)
			})
			return
		}
	}
}

func (sc *ckScan) seePin(p uint8) {
	if p != 0 && (sc.pin == 0 || p < sc.pin) {
		sc.pin = p
	}
}

// free frees, and overwrites, the blocks that sc does not protect.
func (m ckModel) free(n *ckState, sc ckScan) {
	for r := uint8(1); r < sc.bound; r++ {
		if n.freed&(1<<r) == 0 && !m.protected(sc, r) {
			n.freed |= 1 << r
			n.store(int(n.at[r]-1), ckGarbage)
		}
	}
}

// protected is the reuse rule for the block [r, r+1).
func (m ckModel) protected(sc ckScan, r uint8) bool {
	return sc.pin != 0 && r+1 > sc.pin || sc.completed == r ||
		sc.ann&(1<<r) != 0 && m.on(AnnouncedProtected)
}
