package protomodel

import "fmt"

// One referrer: within one root each block has one referrer.
//
// State: a root with two entries, each empty or a reference to a value block;
// the interval of each block. Freed blocks are not used again.
//
// Steps: an edit stores a value in an entry, removes one, or copies one entry
// to the other: with the rule it copies the block, without it the reference. An
// edit retires the block it removes. A drain frees what is retired, since
// nobody pins anything.
//
// Invariant: the blocks of the present root are allocated, and none is freed
// twice.

type referrerState struct {
	entry   [2]uint8
	birth   [6]bool // allocated at some time
	freed   [6]bool
	retired [6]bool
	bad     Invariant
}

func referrerScenario(off Mend) model[referrerState] {
	init := referrerState{entry: [2]uint8{1, 0}}
	init.birth[1] = true
	next := func(s referrerState, emit emitFunc[referrerState]) {
		fresh := func(n *referrerState) uint8 {
			for r := uint8(1); r < 6; r++ {
				if !n.birth[r] {
					n.birth[r] = true
					return r
				}
			}
			return 0
		}
		for i := range s.entry {
			n := s
			if r := s.entry[i]; r != 0 {
				n.entry[i] = 0
				if n.retired[r] {
					n.bad = InvOwner
				}
				n.retired[r] = true
				emit("writer", [...]string{"removes entry 0", "removes entry 1"}[i], n)
				continue
			}
			if other := s.entry[1-i]; other != 0 {
				n.entry[i] = other
				if off != OneReferrer {
					n.entry[i] = fresh(&n)
				}
				if n.entry[i] != 0 {
					emit("writer", [...]string{"copies entry 1 to entry 0", "copies entry 0 to entry 1"}[i], n)
				}
			}
		}
		for r := range s.retired {
			if s.retired[r] && !s.freed[r] {
				n := s
				n.freed[r] = true
				emit("drain", "frees a retired block", n)
			}
		}
	}
	check := func(s referrerState) Invariant {
		if s.freed[s.entry[0]] || s.freed[s.entry[1]] {
			return InvWalk
		}
		return s.bad
	}
	return model[referrerState]{
		init: init, next: next, check: check,
		show: func(s referrerState) string {
			return fmt.Sprintf("entries %v retired %v freed %v", s.entry, s.retired[1:], s.freed[1:])
		},
		goals: []goal[referrerState]{
			{"a copy outlives its original", func(s referrerState) bool { return s.freed[1] && s.entry[1] != 0 }},
		},
	}
}
