package protomodel

import "fmt"

// The table of named pins as the collector reads it: an entry is two words, the
// sequence and the root.
//
// State: root s has one block, born at s, retired at s+1, freed or not. The
// table has two entries. A mount keeps the last root that it has seen in one;
// a collector marks from what it finds.
//
// Steps: a writer publishes. A mount takes a short pin with the present root,
// stores the root's reference and then its sequence in a free entry, unpins,
// and drops its old entry; it may also drop the last. A drain, in one step,
// frees any retired block that nothing protects and that is not the
// collector's. The collector has pinned M, stored gcseq, published its empty
// edit and waited; then, for each entry, it reads the sequence, the reference,
// and the sequence again, and starts over if it changed; it walks the roots
// that are older than M. Then it sweeps.

const namedRoots = 5

type namedState struct {
	cur    uint8
	freed  uint8 // set of roots
	gcseq  uint8
	m      uint8 // pinned by the collector
	entry  [2]struct{ seq, ref uint8 }
	mount  struct{ pc, short, root, use, has uint8 }
	c      struct{ pc, idx, seq, ref, e, mark uint8 }
	rounds uint8 // refreshes of the mount left
	bad    Invariant
}

type namedModel struct{ off Mend }

func (m namedModel) on(x Mend) bool { return m.off != x }

func namedScenario(off Mend) model[namedState] {
	m := namedModel{off}
	// The mount has seen root 1, root 2 is the present one.
	init := namedState{cur: 2, rounds: 2}
	init.entry[0].seq, init.entry[0].ref = 1, 1
	init.mount.has = 1
	return model[namedState]{
		init: init, next: m.next,
		check: func(s namedState) Invariant {
			for _, e := range s.entry {
				if e.seq != 0 && s.freed&(1<<e.seq) != 0 {
					return InvWalk
				}
			}
			return s.bad
		},
		show: func(s namedState) string {
			return fmt.Sprintf("root %d freed %06b gcseq %d M %d; entries (seq ref) %v; mount pins %d; collector read seq %d ref %d",
				s.cur, s.freed, s.gcseq, s.m, s.entry, s.mount.short, s.c.seq, s.c.ref)
		},
		goals: []goal[namedState]{
			{"the collector marks from a named pin", func(s namedState) bool { return s.c.mark&(1<<1) != 0 }},
			{"a root that was pinned by name is freed", func(s namedState) bool { return s.freed&(1<<1) != 0 }},
		},
	}
}

func (m namedModel) next(s namedState, emit emitFunc[namedState]) {
	step := func(actor, action string, do func(n *namedState)) {
		n := s
		do(&n)
		emit(actor, action, n)
	}
	if s.cur < namedRoots {
		step("writer", "publishes a root", func(n *namedState) { n.cur++ })
	}
	for r := uint8(1); r < s.cur; r++ {
		if s.freed&(1<<r) == 0 && s.reusable(r) {
			step("drain", "frees a root's block", func(n *namedState) { n.freed |= 1 << r })
		}
	}
	m.mount(s, step)
	m.collect(s, step)
}

// reusable is the reuse rule for the block [r, r+1).
func (s *namedState) reusable(r uint8) bool {
	if r+1 <= s.gcseq || r == s.m || s.mount.short != 0 && s.mount.short < r+1 {
		return false
	}
	return s.entry[0].seq != r && s.entry[1].seq != r
}

type namedStep func(actor, action string, do func(n *namedState))

func (m namedModel) mount(s namedState, step namedStep) {
	const actor = "mount"
	mt := &s.mount
	switch mt.pc {
	case 0:
		if s.rounds > 0 {
			step(actor, "pins and takes the root", func(n *namedState) {
				n.rounds--
				n.mount.short, n.mount.root, n.mount.pc = n.cur, n.cur, 1
				n.mount.use = 0 // the free entry; none is free in the overwriting variant
				if n.entry[0].seq != 0 && m.on(NamedEntryOnce) {
					n.mount.use = 1
				}
			})
		}
		if mt.has != 0 {
			step(actor, "drops its named pin", func(n *namedState) {
				n.entry[n.mount.has-1].seq = 0
				n.mount.has = 0
			})
		}
	case 1:
		step(actor, "stores the reference of the root", func(n *namedState) {
			n.entry[n.mount.use].ref, n.mount.pc = n.mount.root, 2
		})
	case 2:
		step(actor, "stores the sequence of the root", func(n *namedState) {
			n.entry[n.mount.use].seq, n.mount.pc = n.mount.root, 3
		})
	case 3:
		step(actor, "drops its short pin", func(n *namedState) { n.mount.short, n.mount.pc = 0, 4 })
	case 4:
		step(actor, "drops its old named pin", func(n *namedState) {
			if has := n.mount.has; has != 0 && has != n.mount.use+1 {
				n.entry[has-1].seq = 0
			}
			n.mount.has, n.mount.root, n.mount.use, n.mount.pc = n.mount.use+1, 0, 0, 0
		})
	}
}

func (m namedModel) collect(s namedState, step namedStep) {
	const actor = "collector"
	c := &s.c
	again := func(n *namedState) {
		n.c.idx++
		n.c.seq, n.c.ref, n.c.pc = 0, 0, 2
		if n.c.idx == 2 {
			n.c.idx, n.c.pc = 0, 6
		}
	}
	switch c.pc {
	case 0:
		if s.cur >= namedRoots {
			return
		}
		step(actor, "pins M, stores gcseq and publishes the empty edit E", func(n *namedState) {
			n.m, n.gcseq = n.cur, n.cur
			n.cur++
			n.c.e, n.c.pc = n.cur, 1
		})
	case 1:
		if s.mount.short == 0 || s.mount.short >= c.e {
			step(actor, "finds no pin older than E, and marks from M", func(n *namedState) {
				n.c.mark, n.c.e, n.c.pc = 1<<n.m, 0, 2
			})
		}
	case 2:
		step(actor, "reads the sequence of a named pin", func(n *namedState) {
			n.c.seq = n.entry[n.c.idx].seq
			if n.c.seq == 0 {
				again(n)
				return
			}
			n.c.pc = 3
		})
	case 3:
		step(actor, "reads the reference of the named pin", func(n *namedState) {
			n.c.ref, n.c.pc = n.entry[n.c.idx].ref, 4
			if m.off == NamedReadTwice {
				n.c.pc = 5
			}
		})
	case 4:
		step(actor, "reads the sequence again", func(n *namedState) {
			if n.c.pc = 5; n.entry[n.c.idx].seq != n.c.seq {
				n.c.seq, n.c.ref, n.c.pc = 0, 0, 2
			}
		})
	case 5:
		step(actor, "walks the root, if it is older than M", func(n *namedState) {
			if n.c.seq < n.m || m.off == MarkOlderOnly {
				if n.freed&(1<<n.c.ref) != 0 {
					n.bad = InvWalk
				}
				n.c.mark |= 1 << n.c.ref
			}
			again(n)
		})
	case 6:
		step(actor, "sweeps, and ends", func(n *namedState) {
			for r := uint8(1); r <= n.m; r++ {
				if n.c.mark&(1<<r) == 0 {
					n.freed |= 1 << r
				}
			}
			n.m, n.c.pc = 0, 7
		})
	}
}
