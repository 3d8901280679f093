package protomodel

import "fmt"

// The sweep beside an allocator whose objects have different sizes.
//
// State: a slab of three granules with a start bit each. An object covers one
// or two granules; the first has its header, the second its data, which may
// look like the header of old garbage. Old garbage was born at or before M and
// is unmarked; everything else here was born later.
//
// Steps: an allocator leases the slab, counting the lease, and notes what is
// free then; under a lease it allocates upwards in that, writing the object
// first and setting the bit after (both are one step here: gc.go has the
// order); it ends the lease. Others free objects that they retired. The sweep
// reads the count of leases and the start bits, then the header of each object
// in turn, and the count again; if that has not changed it judges by the
// header, and clears the bit in a later step.
//
// Invariant: the sweep clears the bits of old garbage only.
//
// This is the granule's side of "header first, allocated bit after": the header
// read must also be that of the object whose bit was read.

const sweepGranules = 3

// granule is what a granule holds, read as a header.
type granule struct {
	old  bool  // says: born at or before M
	size uint8 // 0: data
}

type sweepState struct {
	bits  uint8
	g     [sweepGranules]granule
	lease struct {
		on    bool
		used  uint8 // granules that were used when the lease began
		pos   uint8
		count uint8
	}
	left struct{ leases, objects uint8 }
	s    struct {
		pc, count, set, at uint8
	}
	bad Invariant
}

func sweepScenario(off Mend) model[sweepState] {
	var init sweepState
	init.bits = 1 << 2
	init.g[2] = granule{old: true, size: 1}
	init.left.leases, init.left.objects = 3, 4
	next := func(s sweepState, emit emitFunc[sweepState]) {
		step := func(actor, action string, do func(n *sweepState)) {
			n := s
			do(&n)
			emit(actor, action, n)
		}
		allocate(s, step)
		for i := range uint8(sweepGranules) {
			if s.bits&(1<<i) != 0 && !s.g[i].old {
				step("drain", "frees a young object", func(n *sweepState) { n.bits &^= 1 << i })
			}
		}
		sweepSteps(s, off, step)
	}
	return model[sweepState]{
		init: init, next: next,
		check: func(s sweepState) Invariant { return s.bad },
		show: func(s sweepState) string {
			return fmt.Sprintf("start bits %03b granules (old size) %v lease %v count %d; sweep has bits %03b of count %d",
				s.bits, s.g, s.lease.on, s.lease.count, s.s.set, s.s.count)
		},
		goals: []goal[sweepState]{
			{"old garbage is freed and its granule used again", func(s sweepState) bool { return s.bits&(1<<2) != 0 && !s.g[2].old }},
		},
	}
}

type sweepStep func(actor, action string, do func(n *sweepState))

// allocate has the steps of the allocator.
func allocate(s sweepState, step sweepStep) {
	if !s.lease.on {
		if s.left.leases > 0 {
			step("allocator", "leases the slab", func(n *sweepState) {
				n.left.leases--
				n.lease.on, n.lease.pos, n.lease.used = true, 0, 0
				n.lease.count++
				for i := range uint8(sweepGranules) {
					if n.bits&(1<<i) != 0 {
						n.lease.used |= (1<<n.g[i].size - 1) << i
					}
				}
			})
		}
		return
	}
	step("allocator", "ends its lease", func(n *sweepState) { n.lease.on, n.lease.pos, n.lease.used = false, 0, 0 })
	if s.left.objects == 0 {
		return
	}
	for size := uint8(1); size <= 2; size++ {
		for at := s.lease.pos; at+size <= sweepGranules; at++ {
			if run := uint8(1<<size-1) << at; s.lease.used&run != 0 {
				continue
			}
			action := "allocates an object of one granule"
			if size == 2 {
				action = "allocates an object of two granules"
			}
			step("allocator", action, func(n *sweepState) {
				n.left.objects--
				n.g[at] = granule{size: size}
				if size == 2 {
					n.g[at+1] = granule{old: true} // data, read as a header
				}
				n.bits |= 1 << at
				n.lease.pos = at + size
			})
		}
	}
}

// sweepSteps has the steps of the sweep.
func sweepSteps(s sweepState, off Mend, step sweepStep) {
	const actor = "sweep"
	switch s.s.pc {
	case 0:
		step(actor, "reads the count of leases", func(n *sweepState) { n.s.count, n.s.pc = n.lease.count, 1 })
	case 1:
		step(actor, "reads the start bits", func(n *sweepState) { n.s.set, n.s.pc = n.bits, 2 })
	case 2:
		if s.s.set == 0 {
			step(actor, "ends", func(n *sweepState) { n.s.count, n.s.pc = 0, 5 })
			return
		}
		at := uint8(0)
		for s.s.set&(1<<at) == 0 {
			at++
		}
		step(actor, "reads the header of an object", func(n *sweepState) {
			n.s.set &^= 1 << at
			if n.g[at].old {
				n.s.at, n.s.pc = at, 3
			}
		})
	case 3:
		if s.lease.count != s.s.count && off != LeaseCount {
			step(actor, "finds the slab leased meanwhile, and begins again", func(n *sweepState) {
				n.s.set, n.s.at, n.s.count, n.s.pc = 0, 0, 0, 0
			})
			return
		}
		step(actor, "takes the object for old garbage", func(n *sweepState) { n.s.pc = 4 })
	case 4:
		step(actor, "clears its start bit", func(n *sweepState) {
			if at := n.s.at; n.bits&(1<<at) != 0 && !n.g[at].old {
				n.bad = InvOwner
			}
			n.bits &^= 1 << n.s.at
			n.s.at, n.s.pc = 0, 2
		})
	}
}
