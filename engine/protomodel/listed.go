package protomodel

import (
	"cmp"
	"math/bits"
	"slices"
)

// Checkpoints with one sync, whose records list what is new (ADR 18), beside
// plain ones with two.
//
// State: as in checkpoint.go, with its file, its power cut and the engine's rule
// for announcements, but version s reaches two blocks, so that there is something
// to list and something that need not be: its own, born at s and retired at s+2,
// and that of version s-1. A record has the sequence and the base, 0 for a plain
// one. They determine the list: the blocks of the version that were born after
// the base. No sequence comes twice, so they tell the places of these blocks as well.
//
// Steps: a writer publishes and frees. A checkpointer for each slot makes plain
// checkpoints, or listed ones: it reads the completed word, which is the base,
// pins and takes the root, announces and unpins, writes its record (torn, then
// whole) over the older page of its pair, syncs, raises the completed word,
// and acknowledges. Or it confirms: when the last completed checkpoint has a
// listed record only, no matter whose, it writes a plain one to the older page of
// its own pair, between two syncs as always. Kills, and who claims the slot then, are as before.
//
// Invariants, of every state, as if the power failed there: see open.
//
// Not needed, here at least: that the base is read before the root is taken, since
// a checkpoint that completes in between may be a base as well, or leaves nothing to
// do; that a record which does not hold is passed over for none older than its base,
// and that of two records of one version the listed one is overwritten. The last two
// are for objects that were damaged on the disk, which the model does not have.

// listedProc is the private state of a process that makes checkpoints.
type listedProc struct {
	pc, left uint8
	pin      uint8 // in shm
	root     uint8
	base     uint8 // 0 if the record is plain
	page     uint8 // that it writes
	confirm  bool  // the record is one of a completed checkpoint
}

type listedState struct {
	cur       uint8 // sequence of the root
	completed uint8
	acked     uint8
	kills     uint8
	restarts  uint8
	freed     uint8 // set of versions whose own block was freed
	ann       [2][2]uint8
	at        [8]uint8 // place of the own block of each version, 1 to ckBlocks
	k         [2]listedProc
	ckFile[uint64]
}

// listedConfig says how much may happen.
type listedConfig struct {
	roots    uint8 // sequences up to this one are published, at most 6
	left     [2]uint8
	kills    uint8
	restarts uint8
}

type listedModel struct {
	cfg listedConfig
	off Mend
}

func (m listedModel) on(x Mend) bool { return m.off != x }

func listedScenario(cfg listedConfig, off Mend, goals ...goal[listedState]) model[listedState] {
	m := listedModel{cfg, off}
	init := listedState{cur: 1, completed: 1, acked: 1, kills: cfg.kills, restarts: cfg.restarts}
	init.at[1] = 1
	init.ann[0][0] = 1
	for i := range init.disk {
		init.disk[i] = 1 << ckGarbage
	}
	for _, page := range []int{0, ckBlocks} {
		init.cache[page], init.disk[page] = 1, 1<<1
	}
	init.k[0].left, init.k[1].left = cfg.left[0], cfg.left[1]
	return model[listedState]{init: init, next: m.next, check: m.check, show: showListed, goals: goals}
}

// A record is the content of a checkpoint page: the sequence, and the base above
// it. ckGarbage and ckTorn are none.
func record(seq, base uint8) uint8 { return base<<3 | seq }

func recordOf(page uint8) (seq, base uint8, ok bool) {
	return page & 7, page >> 3, page != ckGarbage && page != ckTorn
}

func (m listedModel) next(s listedState, emit emitFunc[listedState]) {
	m.writer(s, emit)
	for k := range s.k {
		m.checkpoint(s, k, emit)
	}
}

func (m listedModel) writer(s listedState, emit emitFunc[listedState]) {
	if b := slices.Index(s.cache[:ckBlocks], ckGarbage); b >= 0 && s.cur < m.cfg.roots {
		n := s
		n.cur++
		n.at[n.cur] = uint8(b + 1)
		n.store(b, n.cur)
		emit("writer", "publishes the next version", n)
	}
	n := s
	for v := uint8(1); v+2 <= s.cur; v++ {
		if n.freed&(1<<v) == 0 && !m.protected(&s, v) {
			n.freed |= 1 << v
			n.store(int(n.at[v]-1), ckGarbage)
		}
	}
	emit("writer", "frees what nothing protects", n)
}

// protected is the reuse rule for the block [v, v+2).
func (m listedModel) protected(s *listedState, v uint8) bool {
	needed := func(seq uint8) bool { return v <= seq && seq < v+2 }
	newer := false
	for k := range s.k {
		c := &s.k[k]
		if c.pin != 0 && v+2 > c.pin {
			return true
		}
		newer = newer || c.base != 0 && c.pc > lAnnounce
		for _, a := range s.ann[k] {
			if a > s.completed && needed(a) {
				return true
			}
		}
	}
	return needed(s.completed) && (m.on(BaseProtected) || !newer)
}

// check cuts the power in s. Each page has any content that the disk may hold.
func (m listedModel) check(s listedState) Invariant {
	var pages [ckPages]uint8
	var choose func(i int) Invariant
	choose = func(i int) Invariant {
		if i == ckPages {
			return m.open(&s, pages)
		}
		for set := s.disk[ckBlocks+i]; set != 0; set &= set - 1 {
			pages[i] = uint8(bits.TrailingZeros64(set))
			if inv := choose(i + 1); inv != Holds {
				return inv
			}
		}
		return Holds
	}
	return choose(0)
}

// open opens the store after the power cut, by layout.NewestCheckpoint. Whether a
// block of which the disk may hold several contents has the right one is chosen
// for each record anew: two records may find the same block different. That is
// more than can happen.
//
// The version that is opened has its blocks for certain, those apart whose
// checksums were compared, and is no older than the last acknowledged one; and
// there is one.
func (m listedModel) open(s *listedState, pages [ckPages]uint8) Invariant {
	slices.SortFunc(pages[:], func(x, y uint8) int {
		xseq, xbase, _ := recordOf(x)
		yseq, ybase, _ := recordOf(y)
		return cmp.Or(cmp.Compare(yseq, xseq), cmp.Compare(xbase, ybase)) // plain before listed
	})
	least := uint8(0)
	for _, page := range pages {
		seq, base, ok := recordOf(page)
		if !ok {
			continue
		}
		if seq < least {
			break
		}
		may, must, whole := m.holds(s, seq, base)
		switch {
		case may && !whole:
			return InvRecover
		case may && seq < s.acked:
			return InvSync
		case must:
			return Holds
		}
		least = max(least, base)
	}
	return InvRefused
}

// holds reports whether the disk may be such that a record counts, whether it is
// so for certain, and whether the version is whole if it does.
func (m listedModel) holds(s *listedState, seq, base uint8) (may, must, whole bool) {
	may, must, whole = true, true, true
	for v := max(seq, 2) - 1; v <= seq; v++ {
		disk := s.disk[s.at[v]-1]
		if base != 0 && m.lists(seq, base, v) && m.on(ListHolds) {
			may = may && disk&(1<<v) != 0
			must = must && disk == 1<<v
		} else {
			whole = whole && disk == 1<<v
		}
	}
	return may, must, whole
}

// lists reports whether a record lists block v of its version.
func (m listedModel) lists(seq, base, v uint8) bool {
	return v > base && (v == seq || m.on(ListSinceBase))
}
