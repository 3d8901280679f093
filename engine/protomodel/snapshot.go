package protomodel

import (
	"fmt"
	"math/bits"
)

// Snapshots: a root that the snapshot table of later roots lists.
//
// State: root s has one leaf, known by its birth; an edit replaces the leaf,
// or creates the snapshot of its base root, or drops it. The table of a root
// lists the snapshot, by the sequence of the root that listed it first, whose
// leaf is the snapshot's as well. A checkpoint is announced and then completed.
// A reader takes a short pin, and may go on to a named pin of its root or of the
// snapshot that it lists; it reaches the snapshot through that root's table.
//
// An edit that replaces a leaf which the snapshot of its base's table reaches
// does not retire it: the leaf is left to the full collection, whose models are
// in gc.go. So the reclaimer needs to know nothing of snapshots, not even of
// dropped ones.
//
// Steps of the reclaimer: read the bound; the short pin, the named pin and the
// checkpoints; free.
//
// Invariants: whoever holds a root can walk its leaf and its snapshot's leaf;
// after a power cut that holds for the recovered root.

type snapState struct {
	cur       uint8
	leaf      [8]uint8 // of each root: birth of its leaf
	table     [8]uint8 // of each root: the snapshot that it lists, 0 for none
	retired   [8]uint8 // of each leaf; 0 also for one that is left to the collector
	freed     uint8    // set of leaves
	completed uint8
	announced uint8
	taken     uint8 // checkpoints announced so far
	used      bool  // the snapshot has been created

	reader struct{ pc, pin, named, root, snap uint8 }
	scan   snapScan
	bad    Invariant
}

// snapScan is what the reclaimer has read.
type snapScan struct {
	pc, bound, pin uint8
	points         uint8 // set: named pins and checkpoints
	table          uint8 // of the present root; without TableOfBase only
}

const (
	snapRoots       = 5
	snapCheckpoints = 2
)

func snapshotScenario(off Mend) model[snapState] {
	init := snapState{cur: 1, completed: 1}
	init.leaf[1] = 1
	m := snapModel{off}
	return model[snapState]{
		init: init, next: m.next, check: checkSnap,
		show: func(s snapState) string {
			return fmt.Sprintf("root %d leaf %d table %v; retired %v freed %b; completed %d announced %d; reader pin %d named %d root %d",
				s.cur, s.leaf[s.cur], s.table[s.cur], s.retired[1:], s.freed, s.completed, s.announced,
				s.reader.pin, s.reader.named, s.reader.root)
		},
		goals: []goal[snapState]{
			{"a leaf that a dropped snapshot had is freed", func(s snapState) bool {
				return s.used && s.table[s.cur] == 0 && s.freed&(1<<1) != 0 && s.retired[1] != 0 &&
					s.listed(1)
			}},
			{"a leaf is left to the collector", func(s snapState) bool {
				return s.table[s.cur] != 0 && s.leaf[s.cur] > s.table[s.cur] && s.retired[s.leaf[s.table[s.cur]]] == 0
			}},
			{"a reader reaches a dropped snapshot", func(s snapState) bool {
				return s.reader.root != 0 && s.table[s.reader.root] != 0 && s.table[s.cur] == 0
			}},
			{"a reader pins a snapshot that is dropped", func(s snapState) bool {
				return s.reader.named != 0 && s.reader.named == s.reader.snap && s.table[s.cur] == 0
			}},
		},
	}
}

// listed reports whether some root lists a snapshot with leaf b.
func (s *snapState) listed(b uint8) bool {
	for r := uint8(1); r <= s.cur; r++ {
		if t := s.table[r]; t != 0 && s.leaf[t] == b {
			return true
		}
	}
	return false
}

type snapModel struct{ off Mend }

func (m snapModel) next(s snapState, emit emitFunc[snapState]) {
	step := func(actor, action string, do func(n *snapState)) {
		n := s
		do(&n)
		emit(actor, action, n)
	}
	m.writer(s, step)
	m.reader(s, step)
	m.reclaim(s, step)
	switch {
	case s.announced == 0 && s.cur > s.completed && s.taken < snapCheckpoints:
		step("checkpointer", "announces the root", func(n *snapState) {
			n.announced = n.cur
			n.taken++
		})
	case s.announced != 0:
		step("checkpointer", "completes the checkpoint", func(n *snapState) {
			n.completed, n.announced = n.announced, 0
		})
	}
}

type snapStep func(actor, action string, do func(n *snapState))

func (m snapModel) writer(s snapState, step snapStep) {
	if s.cur == snapRoots {
		return
	}
	publish := func(action string, do func(n *snapState)) {
		step("writer", action, func(n *snapState) {
			n.cur++
			n.leaf[n.cur], n.table[n.cur] = n.leaf[n.cur-1], n.table[n.cur-1]
			do(n)
		})
	}
	t := s.table[s.cur]
	publish("publishes a root with a new leaf", func(n *snapState) {
		old := n.leaf[n.cur]
		held := t != 0 && old < t
		if !held || m.off == SnapshotHeld || m.off == TableOfBase {
			n.retired[old] = n.cur
		}
		n.leaf[n.cur] = n.cur
	})
	switch {
	case !s.used:
		publish("creates the snapshot of the present root", func(n *snapState) {
			n.used = true
			n.table[n.cur] = n.cur
		})
	case t != 0:
		publish("drops the snapshot", func(n *snapState) { n.table[n.cur] = 0 })
	}
}

// points returns the set of named pins and checkpoints. A reader that has only
// a short pin does not count.
func (s *snapState) points() uint8 {
	return (1<<s.reader.named | 1<<s.completed | 1<<s.announced) &^ 1
}

// between returns the set of sequences from b to r-1.
func between(b, r uint8) uint8 { return (1<<r - 1) &^ (1<<b - 1) }

func (m snapModel) reader(s snapState, step snapStep) {
	walk := func(action string, then uint8) {
		step("reader", action, func(n *snapState) {
			if n.gone(n.reader.root) {
				n.bad = InvWalk
			}
			n.reader.pc = then
		})
	}
	switch s.reader.pc {
	case 0:
		step("reader", "pins and loads the root", func(n *snapState) {
			n.reader.pin, n.reader.root, n.reader.pc = n.cur, n.cur, 1
		})
	case 1:
		walk("walks the root and its snapshot, and ends", 2)
		step("reader", "stores a named pin and drops its short one", func(n *snapState) {
			n.reader.named, n.reader.pin, n.reader.pc = n.reader.root, 0, 3
		})
		if t := s.table[s.reader.root]; t != 0 {
			step("reader", "stores a named pin of the snapshot and drops its short one", func(n *snapState) {
				n.reader.named, n.reader.snap, n.reader.root = t, t, t
				n.reader.pin, n.reader.pc = 0, 3
			})
		}
	case 2:
		step("reader", "drops its pin", func(n *snapState) {
			n.reader.pin, n.reader.root, n.reader.pc = 0, 0, 5
		})
	case 3:
		walk("walks the root and its snapshot under the named pin, and ends", 4)
	case 4:
		step("reader", "drops its named pin", func(n *snapState) {
			n.reader.named, n.reader.snap, n.reader.root, n.reader.pc = 0, 0, 0, 5
		})
	}
}

// gone reports whether the leaf of root r or that of its snapshot is freed.
func (s *snapState) gone(r uint8) bool {
	if s.freed&(1<<s.leaf[r]) != 0 {
		return true
	}
	t := s.table[r]
	return t != 0 && s.freed&(1<<s.leaf[t]) != 0
}

// reclaim has the steps of the reclaimer. Reading the pins and the checkpoints
// in the right order is reclaim.go's and checkpoint.go's subject, so they are
// one step here.
func (m snapModel) reclaim(s snapState, step snapStep) {
	order := []int{0, 1, 3}
	if m.off == TableOfBase {
		order = []int{0, 2, 1, 3}
	}
	pc := s.scan.pc
	if pc == 0 && s.cur-1 == uint8(bits.OnesCount8(s.freed)) {
		return
	}
	then := func(n *snapState) { n.scan.pc = (pc + 1) % uint8(len(order)) }
	switch order[pc] {
	case 0:
		step("reclaimer", "reads the bound", func(n *snapState) {
			n.scan.bound = n.cur
			then(n)
		})
	case 1:
		step("reclaimer", "reads pins and checkpoints", func(n *snapState) {
			n.scan.pin, n.scan.points = n.reader.pin, n.points()
			then(n)
		})
	case 2:
		step("reclaimer", "reads the snapshot table of the present root", func(n *snapState) {
			n.scan.table = n.table[n.cur]
			then(n)
		})
	default:
		step("reclaimer", "frees what nothing protects", func(n *snapState) {
			for b := uint8(1); b < snapRoots; b++ {
				if n.freed&(1<<b) == 0 && m.reusable(n, b) {
					n.freed |= 1 << b
				}
			}
			n.scan = snapScan{}
		})
	}
}

// reusable is the reuse rule for leaf b.
func (m snapModel) reusable(s *snapState, b uint8) bool {
	sc, r := &s.scan, s.retired[b]
	switch {
	case r == 0 || r > sc.bound:
		return false
	case sc.pin != 0 && sc.pin < r, sc.points&between(b, r) != 0:
		return false
	case m.off == TableOfBase && sc.table != 0 && between(b, r)&(1<<sc.table) != 0:
		return false
	}
	return true
}

func checkSnap(s snapState) Invariant {
	switch {
	case s.bad != Holds:
		return s.bad
	case s.gone(s.cur):
		return InvWalk
	case s.gone(s.completed), s.announced != 0 && s.gone(s.announced):
		return InvRecover
	}
	return Holds
}
