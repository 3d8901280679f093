package protomodel

import (
	"fmt"
	"math/bits"
	"strings"
)

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
// checkpointer for each slot pins its root, announces it, unpins, syncs, writes
// its page (torn, then whole), syncs, raises the completed word, and
// acknowledges. It may be killed between any two steps; its slot is cleaned
// and claimed by a new process, which first settles what was announced.
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
	page     uint8
	syncing  bool
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
	cache     [ckBlocks + ckPages]uint8
	disk      [ckBlocks + ckPages]uint8    // sets of contents
	since     [2][ckBlocks + ckPages]uint8 // contents since the sync of k began
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
func (s *ckState) store(page int, v uint8) {
	s.cache[page] = v
	s.disk[page] |= 1 << v
	for k := range s.since {
		if s.k[k].syncing {
			s.since[k][page] |= 1 << v
		}
	}
}

func (s *ckState) syncBegin(k int) {
	s.k[k].syncing = true
	for p, v := range s.cache {
		s.since[k][p] = 1 << v
	}
}

func (s *ckState) syncEnd(k int) {
	s.k[k].syncing = false
	for p := range s.disk {
		s.disk[p] &= s.since[k][p]
		s.since[k][p] = 0
	}
	for p := range s.disk {
		s.since[1-k][p] &= s.disk[p]
	}
}

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

// The steps of a checkpointer.
const (
	kIdle = iota
	kAnnounce
	kUnpin
	kSync
	kSyncEnd
	kTorn
	kWhole
	kSync2
	kSync2End
	kComplete
	kDrop
	kSettle
	kSettleEnd
	kSettled
)

// slot returns the slot that checkpointer k uses.
func (m ckModel) slot(k int) int {
	if m.off == OneCheckpointer {
		return 0
	}
	return k
}

// words returns the slot whose announcement words k uses.
func (m ckModel) words(k int) int {
	if m.off == OwnAnnouncement {
		return 0
	}
	return m.slot(k)
}

// chooseWord returns the announcement word that k overwrites: one whose
// checkpoint a later one, or itself, has completed; there is one, since a new
// process settles first.
func (m ckModel) chooseWord(s *ckState, k int) int {
	if m.off == OwnAnnouncement {
		return 0
	}
	w := s.ann[m.words(k)]
	for i, a := range w {
		if a == 0 || a < s.completed {
			return i
		}
	}
	if w[1] < w[0] {
		return 1
	}
	return 0
}

// choosePage returns the page of k's own pair that is invalid, or else older.
func (m ckModel) choosePage(s *ckState, k int) uint8 {
	first := uint8(ckBlocks + 2*m.slot(k))
	if m.off == PagePair {
		return first
	}
	a, b := s.cache[first]%ckTorn, s.cache[first+1]%ckTorn
	if a < b || a == 0 {
		return first
	}
	return first + 1
}

func (m ckModel) checkpoint(s ckState, k int, emit emitFunc[ckState]) {
	actor := [...]string{"checkpointer 0", "checkpointer 1"}[k]
	next := func(action string, do func(n *ckState, c *checkpointer)) {
		n := s
		do(&n, &n.k[k])
		emit(actor, action, n)
	}
	m.killCheckpointer(s, k, next)
	c := &s.k[k]
	switch c.pc {
	case kIdle:
		if c.left == 0 || s.completed >= s.cur {
			return
		}
		next("pins and takes the root", func(n *ckState, c *checkpointer) {
			c.left--
			c.pin, c.root, c.pc = n.cur, n.cur, kAnnounce
		})
	case kAnnounce:
		next("announces it", func(n *ckState, c *checkpointer) {
			n.ann[m.words(k)][m.chooseWord(n, k)] = c.root
			c.pc = kUnpin
		})
	case kUnpin:
		next("drops its pin", func(_ *ckState, c *checkpointer) {
			c.pin, c.pc = 0, kSync
			if m.off == SyncBeforePage {
				c.pc = kTorn
			}
		})
	case kSync, kSync2, kSettle:
		next("begins a sync", func(n *ckState, c *checkpointer) {
			n.syncBegin(k)
			c.pc++
		})
	case kSyncEnd:
		next("ends its first sync: the blocks are on the disk", func(n *ckState, c *checkpointer) {
			n.syncEnd(k)
			c.pc = kTorn
			if m.off == SyncBeforePage {
				c.pc = kSync2
			}
		})
	case kTorn:
		next("writes half of its page", func(n *ckState, c *checkpointer) {
			c.page, c.pc = m.choosePage(n, k), kWhole
			n.store(int(c.page), ckTorn)
		})
	case kWhole:
		next("writes the rest of its page", func(n *ckState, c *checkpointer) {
			n.store(int(c.page), c.root)
			c.page, c.pc = 0, kSync2
			switch m.off {
			case SyncBeforePage:
				c.pc = kSync
			case SyncAfterPage:
				c.pc = kComplete
			}
		})
	case kSync2End:
		next("ends its second sync: the page is on the disk", func(n *ckState, c *checkpointer) {
			n.syncEnd(k)
			c.pc = kComplete
		})
	case kComplete:
		next("raises the completed word and acknowledges", func(n *ckState, c *checkpointer) {
			if m.on(CompletedMax) {
				n.completed = max(n.completed, c.root)
			} else {
				n.completed = c.root
			}
			n.acked = max(n.acked, c.root)
			c.root, c.pc = 0, kDrop
			if m.cfg.keep {
				c.pc = kIdle
			}
		})
	case kDrop:
		next("clears the announcements that the completed word covers", func(n *ckState, c *checkpointer) {
			for i, a := range n.ann[m.words(k)] {
				if a <= n.completed {
					n.ann[m.words(k)][i] = 0
				}
			}
			c.pc = kIdle
		})
	case kSettleEnd:
		next("ends its sync: what the dead process wrote is on the disk", func(n *ckState, c *checkpointer) {
			n.syncEnd(k)
			c.pc = kSettled
		})
	case kSettled:
		next("completes the newest page of its pair, and clears the rest", func(n *ckState, c *checkpointer) {
			for p := ckBlocks + 2*k; p < ckBlocks+2*k+2; p++ {
				n.completed = max(n.completed, n.cache[p]%ckTorn)
			}
			for i, a := range n.ann[k] {
				if a != n.completed {
					n.ann[k][i] = 0
				}
			}
			c.pc = kIdle
		})
	}
}

// killCheckpointer lets a checkpointer die, and a new process claim its slot.
func (m ckModel) killCheckpointer(s ckState, k int, next func(string, func(*ckState, *checkpointer))) {
	c := &s.k[k]
	if s.kills > 0 && c.pc != pcDead && c.pc != kIdle {
		next("is killed, and its slot is cleaned", func(n *ckState, c *checkpointer) {
			n.kills--
			n.since[k] = [ckBlocks + ckPages]uint8{}
			*c = checkpointer{pc: pcDead, left: c.left}
			if m.off == AnnouncementOutlives {
				n.ann[m.words(k)] = [2]uint8{}
			}
		})
	}
	if c.pc == pcDead && s.restarts > 0 {
		next("is another process, which has claimed the slot", func(n *ckState, c *checkpointer) {
			n.restarts--
			c.pc = kIdle
			if m.on(SettleSlot) && (n.ann[k][0] > n.completed || n.ann[k][1] > n.completed) {
				c.pc = kSettle
			}
		})
	}
}

// checkCk cuts the power in s.
func checkCk(s ckState) Invariant {
	const valid = 1<<ckTorn - 2 // contents that are sequences
	newest, all := uint8(0), uint8(0)
	for _, set := range s.disk[ckBlocks:] {
		all |= set & valid
		if set&^valid == 0 { // certain to be whole
			newest = max(newest, uint8(bits.TrailingZeros8(set)))
		}
	}
	if newest < s.acked {
		return InvSync
	}
	for c := newest; c < ckTorn; c++ {
		if all&(1<<c) != 0 && (c == 0 || s.disk[s.at[c]-1] != 1<<c) {
			return InvRecover
		}
	}
	return Holds
}

func showCk(s ckState) string {
	var b strings.Builder
	fmt.Fprintf(&b, "root %d completed %d acked %d announced %d; blocks", s.cur, s.completed, s.acked, s.ann)
	for i := range ckBlocks {
		fmt.Fprintf(&b, " %d%s", s.cache[i], setString(s.disk[i]))
	}
	b.WriteString("; pages")
	for i := ckBlocks; i < ckBlocks+ckPages; i++ {
		fmt.Fprintf(&b, " %d%s", s.cache[i], setString(s.disk[i]))
	}
	return b.String()
}

// setString prints a set of contents that the disk may hold.
func setString(set uint8) string {
	var b strings.Builder
	b.WriteByte('{')
	for v := range 8 {
		if set&(1<<v) != 0 {
			b.WriteByte("-123456t"[v])
		}
	}
	b.WriteByte('}')
	return b.String()
}
