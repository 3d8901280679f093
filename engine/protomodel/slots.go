package protomodel

import "fmt"

// Process slots, their cleaning, and the leases that name them.
//
// State: one slot: who holds its byte lock, its incarnation, whether it is in
// use, its pin word; and one slab, with the lease word. Process P holds all of
// it at first.
//
// Steps: P is killed, which releases its byte lock. Two cleaners in other
// processes test the lock, take it, clear the pin, end the lease, mark the slot
// unused, and release the lock. They may be killed too. Process N claims the
// slot: it takes the lock, cleans what is left, counts the incarnation, pins,
// walks a root, leases the slab and allocates in it. A drain frees the block
// that N walks once nobody pins it. A thief in another slot, which has found
// the slab leased by a dead process, swaps the lease word to itself.
//
// Invariants: N walks nothing freed; the slab has one owner; N claims no slot
// that still names a lease of its dead owner, since nobody would end it.

const (
	byNobody = iota
	byP
	byN
	byC1
	byC2
	byThief
)

type slotState struct {
	lock  uint8
	inc   uint8
	used  bool
	pin   bool
	lease struct{ who, inc uint8 } // who holds it, and the incarnation stored
	pDead bool
	kills uint8

	clean [2]struct {
		pc    uint8
		lease struct{ who, inc uint8 } // as read
		inc   uint8
	}
	n     struct{ pc uint8 }
	thief struct {
		pc    uint8
		lease struct{ who, inc uint8 }
	}
	freed bool // the block that N walks
	bad   Invariant
}

type slotModel struct{ off Mend }

func (m slotModel) on(x Mend) bool { return m.off != x }

func slotScenario(off Mend) model[slotState] {
	m := slotModel{off}
	init := slotState{lock: byP, inc: 1, used: true, pin: true, kills: 1}
	init.lease.who, init.lease.inc = byP, 1
	return model[slotState]{
		init: init, next: m.next, check: func(s slotState) Invariant { return s.bad },
		show: func(s slotState) string {
			return fmt.Sprintf("lock %s incarnation %d used %v pin %v; slab leased by %s (incarnation %d); freed %v",
				slotNames[s.lock], s.inc, s.used, s.pin, slotNames[s.lease.who], s.lease.inc, s.freed)
		},
		goals: []goal[slotState]{
			{"N allocates in the slab", func(s slotState) bool { return s.n.pc == nDone && s.lease.who == byN }},
			{"the thief gets the slab", func(s slotState) bool { return s.lease.who == byThief }},
			{"N claims a slot that a killed cleaner left half cleaned", func(s slotState) bool {
				return s.kills == 0 && s.n.pc == nDone
			}},
		},
	}
}

var slotNames = [...]string{"nobody", "P", "N", "cleaner 1", "cleaner 2", "thief"}

// The steps of N.
const (
	nIdle = iota
	nCleanPin
	nCleanLease
	nCleanUsed
	nClaim
	nPin
	nLoad
	nWalk
	nLease
	nAlloc
	nDone
)

func (m slotModel) next(s slotState, emit emitFunc[slotState]) {
	step := func(actor, action string, do func(n *slotState)) {
		n := s
		do(&n)
		emit(actor, action, n)
	}
	if !s.pDead {
		step("P", "is killed", func(n *slotState) { n.pDead, n.lock = true, byNobody })
	}
	for i := range s.clean {
		m.cleaner(s, i, step)
	}
	m.claimer(s, step)
	m.steal(s, step)
	if s.n.pc == nWalk && !s.pin && !s.freed {
		step("drain", "frees the block that N walks, since nobody pins it", func(n *slotState) { n.freed = true })
	}
}

type slotStep func(actor, action string, do func(n *slotState))

// endLease ends a lease that was found to be that of incarnation inc.
func (m slotModel) endLease(n *slotState, inc uint8) {
	if n.lease.who != byNobody && n.lease.who != byThief && (n.lease.inc == inc || m.off == LeaseIncarnation) {
		n.lease.who, n.lease.inc = byNobody, 0
	}
}

func (m slotModel) cleaner(s slotState, i int, step slotStep) {
	c := &s.clean[i]
	me := uint8(byC1 + i)
	actor := slotNames[me]
	if c.pc != 0 && c.pc != pcDead && s.kills > 0 {
		step(actor, "is killed", func(n *slotState) {
			n.kills--
			if n.lock == me {
				n.lock = byNobody
			}
			n.clean[i].pc, n.clean[i].inc = pcDead, 0
		})
	}
	switch c.pc {
	case 0:
		if !s.used || s.lock != byNobody {
			return
		}
		if m.off == CleanerHoldsLock {
			step(actor, "tests the byte lock, and finds the owner dead", func(n *slotState) {
				n.clean[i].pc, n.clean[i].inc = 1, n.inc
			})
			return
		}
		step(actor, "takes the byte lock of the dead owner", func(n *slotState) {
			n.lock = me
			n.clean[i].pc, n.clean[i].inc = 1, n.inc
		})
	case 1:
		if !s.used {
			step(actor, "finds the slot clean", func(n *slotState) { n.clean[i].pc = 4 })
			return
		}
		step(actor, "clears the pin", func(n *slotState) { n.pin, n.clean[i].pc = false, 2 })
	case 2:
		step(actor, "ends the lease", func(n *slotState) {
			m.endLease(n, n.clean[i].inc)
			n.clean[i].pc = 3
		})
	case 3:
		step(actor, "marks the slot unused", func(n *slotState) { n.used, n.clean[i].pc = false, 4 })
	case 4:
		step(actor, "releases the byte lock", func(n *slotState) {
			if n.lock == me {
				n.lock = byNobody
			}
			n.clean[i].pc, n.clean[i].inc = pcDead, 0
		})
	}
}

func (m slotModel) claimer(s slotState, step slotStep) {
	const actor = "N"
	to := func(action string, then uint8, do func(n *slotState)) {
		step(actor, action, func(n *slotState) {
			n.n.pc = then
			do(n)
		})
	}
	nothing := func(*slotState) {}
	switch s.n.pc {
	case nIdle:
		if s.lock != byNobody || !s.pDead {
			return
		}
		then := uint8(nClaim)
		if s.used && m.on(CleanBeforeClaim) {
			then = nCleanPin
		}
		to("takes the byte lock", then, func(n *slotState) { n.lock = byN })
	case nCleanPin:
		to("clears the pin of the dead owner", nCleanLease, func(n *slotState) { n.pin = false })
	case nCleanLease:
		to("ends the lease of the dead owner", nCleanUsed, func(n *slotState) { m.endLease(n, n.inc) })
	case nCleanUsed:
		to("marks the slot unused", nClaim, func(n *slotState) { n.used = false })
	case nClaim:
		to("counts the incarnation and marks the slot used", nPin, func(n *slotState) {
			n.inc++
			n.used = true
			if n.lease.who == byP {
				n.bad = InvLeak
			}
		})
	case nPin:
		to("stores a pin", nLoad, func(n *slotState) { n.pin = true })
	case nLoad:
		to("loads the root word", nWalk, nothing)
	case nWalk:
		to("walks the root", nLease, func(n *slotState) {
			if n.freed {
				n.bad = InvWalk
			}
		})
	case nLease:
		if s.lease.who != byNobody {
			return
		}
		to("leases the slab", nAlloc, func(n *slotState) { n.lease.who, n.lease.inc = byN, n.inc })
	case nAlloc:
		to("allocates in the slab", nDone, func(n *slotState) {
			if n.lease.who != byN {
				n.bad = InvOwner // another may allocate the same granules
			}
		})
	}
}

func (m slotModel) steal(s slotState, step slotStep) {
	const actor = "thief"
	switch s.thief.pc {
	case 0:
		if s.lease.who != byNobody {
			step(actor, "reads the lease of the slab", func(n *slotState) { n.thief.lease, n.thief.pc = n.lease, 1 })
		}
	case 1:
		if s.lock == byNobody {
			step(actor, "tests the byte lock, and finds the owner dead", func(n *slotState) { n.thief.pc = 2 })
		}
	case 2:
		same := s.lease == s.thief.lease ||
			// The word is the number of the slot alone.
			m.off == LeaseIncarnation && s.lease.who != byNobody
		if !same {
			step(actor, "fails to swap the lease", func(n *slotState) {
				n.thief.lease.who, n.thief.lease.inc, n.thief.pc = 0, 0, 3
			})
			return
		}
		step(actor, "swaps the lease to itself", func(n *slotState) {
			n.lease.who, n.lease.inc = byThief, 0
			n.thief.lease.who, n.thief.lease.inc, n.thief.pc = 0, 0, 3
		})
	}
}
