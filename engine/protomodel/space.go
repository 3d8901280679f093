package protomodel

import "fmt"

// Giving space back, and growing where the file system promises no space.
//
// State: the second of two extents of the file: whether the file has it, in
// the page cache and on the disk; whether it is free, claimed by the process
// that punches, or used, and holds live data. What the newest checkpoint page
// claims.
//
// Steps: a puncher finds the extent free, claims it, punches a hole, and
// releases the claim; killed in between, its claim is released by whoever
// cleans up. A truncater takes the opening gate, looks whether it is alone,
// completes a checkpoint that claims one extent, cuts the file, and leaves the
// gate. A user opens through the gate, and then takes the extent and writes in
// it; if the file does not have it, it grows the file first. A second grower
// has found the file too short, and then makes it longer: by asking for space,
// or, where that is not supported, by writing a zero at the new end.
//
// Invariants: live data is not cut off, punched out or overwritten; the newest
// checkpoint page claims no more than the disk has, or the store is refused.

const (
	exFree = iota
	exClaimed
	exUsed
)

type spaceState struct {
	extent   uint8 // exFree, exClaimed or exUsed
	live     bool  // it holds live data
	long     bool  // the file has the extent
	diskCut  bool  // the disk may have the file without it
	pageLong bool  // the newest checkpoint page claims it
	gate     uint8 // who is in it: 0 nobody, 1 user, 2 truncater
	open     bool  // the user has the store open

	user, punch, cut, grow uint8 // pcs
	kills                  uint8
	bad                    Invariant
}

// spaceConfig says who takes part.
type spaceConfig struct{ punch, cut, grow bool }

type spaceModel struct {
	cfg spaceConfig
	off Mend
}

func (m spaceModel) on(x Mend) bool { return m.off != x }

func spaceScenario(cfg spaceConfig, off Mend, goals ...goal[spaceState]) model[spaceState] {
	m := spaceModel{cfg, off}
	init := spaceState{long: true, pageLong: true, kills: 1}
	if cfg.grow {
		init.long, init.pageLong = false, false
	}
	return model[spaceState]{
		init: init, next: m.next,
		check: func(s spaceState) Invariant {
			if s.bad == Holds && s.pageLong && (s.diskCut || !s.long) {
				return InvRefused
			}
			return s.bad
		},
		show: func(s spaceState) string {
			return fmt.Sprintf("extent %s live %v; file has it %v, the disk may not %v, page claims it %v; user open %v; gate %d",
				[...]string{"free", "claimed", "used"}[s.extent], s.live, s.long, s.diskCut, s.pageLong, s.open, s.gate)
		},
		goals: goals,
	}
}

type spaceStep func(actor, action string, do func(n *spaceState))

func (m spaceModel) next(s spaceState, emit emitFunc[spaceState]) {
	step := func(actor, action string, do func(n *spaceState)) {
		n := s
		do(&n)
		emit(actor, action, n)
	}
	m.user(s, step)
	if m.cfg.punch {
		m.puncher(s, step)
	}
	if m.cfg.cut {
		m.truncater(s, step)
	}
	if m.cfg.grow {
		m.grower(s, step)
	}
}

func (m spaceModel) user(s spaceState, step spaceStep) {
	const actor = "user"
	switch s.user {
	case 0:
		if s.gate == 0 || m.off == TruncateInGate && s.gate == 2 {
			step(actor, "opens the store through the gate", func(n *spaceState) { n.open, n.user = true, 1 })
		}
	case 1:
		if !s.long {
			step(actor, "grows the file", func(n *spaceState) { n.long, n.diskCut = true, true })
			return
		}
		if s.extent == exFree || s.extent == exClaimed && m.off == ClaimIsFinal {
			step(actor, "takes the extent", func(n *spaceState) { n.extent, n.user = exUsed, 2 })
		}
	case 2:
		step(actor, "writes live data in it", func(n *spaceState) {
			n.user = 3
			if n.live = true; !n.long {
				n.bad = InvData
			}
		})
	}
}

func (m spaceModel) puncher(s spaceState, step spaceStep) {
	const actor = "puncher"
	if s.kills > 0 && s.punch > 0 && s.punch != pcDead {
		step(actor, "is killed, and its claim is released", func(n *spaceState) {
			n.kills--
			n.punch = pcDead
			if n.extent == exClaimed {
				n.extent = exFree
			}
		})
	}
	switch s.punch {
	case 0:
		if s.extent != exFree {
			return
		}
		if m.off == PunchClaimed {
			step(actor, "finds the extent free", func(n *spaceState) { n.punch = 1 })
			return
		}
		step(actor, "claims the free extent", func(n *spaceState) { n.extent, n.punch = exClaimed, 1 })
	case 1:
		step(actor, "punches the hole", func(n *spaceState) {
			n.punch = 2
			if n.live {
				n.bad = InvData
			}
		})
	case 2:
		step(actor, "releases the claim", func(n *spaceState) {
			n.punch = pcDead
			if n.extent == exClaimed {
				n.extent = exFree
			}
		})
	}
}

func (m spaceModel) truncater(s spaceState, step spaceStep) {
	const actor = "truncater"
	switch s.cut {
	case 0:
		if s.gate == 0 {
			step(actor, "takes the gate", func(n *spaceState) { n.gate, n.cut = 2, 1 })
		}
	case 1:
		if s.open && m.on(TruncateAlone) {
			step(actor, "finds others, and leaves the gate", func(n *spaceState) { n.gate, n.cut = 0, pcDead })
			return
		}
		if s.extent != exFree {
			return
		}
		step(actor, "finds the last extent free, and nobody else", func(n *spaceState) { n.cut = 2 })
	case 2:
		if m.off == CheckpointBeforeCut {
			step(actor, "cuts the file", m.cutFile)
			return
		}
		step(actor, "completes a checkpoint of one extent", func(n *spaceState) { n.pageLong, n.cut = false, 3 })
	case 3:
		step(actor, "cuts the file", m.cutFile)
	case 4:
		step(actor, "leaves the gate", func(n *spaceState) { n.gate, n.cut = 0, pcDead })
	}
}

func (m spaceModel) cutFile(n *spaceState) {
	n.long, n.diskCut, n.cut = false, true, 4
	if n.live {
		n.bad = InvData
	}
}

func (m spaceModel) grower(s spaceState, step spaceStep) {
	const actor = "grower"
	switch s.grow {
	case 0:
		if !s.long {
			step(actor, "finds the file too short", func(n *spaceState) { n.grow = 1 })
		}
	case 1:
		if m.off == GrowWritesNothing {
			step(actor, "writes a zero at the new end", func(n *spaceState) {
				n.long, n.diskCut, n.grow = true, true, 2
				if n.live {
					n.bad = InvData
				}
			})
			return
		}
		step(actor, "asks for space up to the new end", func(n *spaceState) { n.long, n.diskCut, n.grow = true, true, 2 })
	}
}
