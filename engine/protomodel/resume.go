package protomodel

import "fmt"

// Sequences after an opening that fell back to an older checkpoint.
//
// State: a slot's checkpoint page A names root 3, one of whose blocks is
// damaged; page B names root 2, which is whole. Five blocks hold a leaf, a root
// record (with its sequence and the leaf it refers to) or garbage; a dirty block may
// have its old or its new content on the disk. Block 4 is free and holds a leaf
// of an earlier life, with a good checksum.
//
// Steps: the opener verifies A, refuses it, and adopts root 2. It publishes
// versions of two blocks each, with sequences from 2+jump or from 3. It may
// announce a checkpoint and be killed before it has written its page; the next
// owner of the slot settles that: it syncs, and completes the page that was
// announced if it is there.
//
// Verification is what a tracer can do: the record has the page's sequence, and
// every block that it reaches has a good checksum and was born no later.
//
// Invariant, as if the power failed in any state: a page verifies, and what it
// names is whole.

const (
	resumeBlocks = 5
	seqJump      = 8 // stands for 2^32
)

// resumeBlock is what lies in a block: kind 0 is garbage.
type resumeBlock struct {
	kind    uint8 // 1 leaf, 2 root record
	birth   uint8 // and the sequence of a root record
	leaf    uint8 // of a root record: the block that it refers to
	version uint8 // that it belongs to; nothing on the disk says so
}

type resumeState struct {
	now, old  [resumeBlocks]resumeBlock
	dirty     uint8
	pages     [2]struct{ seq, root uint8 }
	seq       uint8 // of the root, 0 while closed
	root      uint8 // its record's block
	completed uint8
	announced uint8
	versions  uint8
	dead      bool
}

func resumeScenario(off Mend) model[resumeState] {
	init := resumeState{completed: 2, versions: 2}
	init.now = [resumeBlocks]resumeBlock{
		{kind: 2, birth: 2, leaf: 1, version: 1},
		{kind: 1, birth: 2, version: 1},
		{kind: 2, birth: 3, leaf: 3, version: 2},
		{}, // the damaged leaf of root 3
		{kind: 1, birth: 1},
	}
	init.pages[0].seq, init.pages[0].root = 3, 2
	init.pages[1].seq, init.pages[1].root = 2, 0
	next := func(s resumeState, emit emitFunc[resumeState]) {
		step := func(action string, do func(n *resumeState)) {
			n := s
			do(&n)
			emit("opener", action, n)
		}
		switch {
		case s.dead:
			step("is another process and settles the slot", func(n *resumeState) {
				n.dirty, n.dead = 0, false
				for _, p := range n.pages {
					if p.seq == n.announced || off == SettleAnnounced {
						n.completed = max(n.completed, p.seq)
					}
				}
				n.announced = 0
			})
		case s.seq == 0:
			step("refuses page A and adopts root 2", func(n *resumeState) { n.seq = 2 })
		default:
			s.publish(off, step)
			if s.announced == 0 && s.seq > s.completed {
				step("announces a checkpoint", func(n *resumeState) { n.announced = n.seq })
			}
			if s.announced != 0 {
				step("is killed", func(n *resumeState) { n.dead = true })
			}
		}
	}
	return model[resumeState]{
		init: init, next: next, check: func(s resumeState) Invariant { return checkResume(s, off) },
		show: func(s resumeState) string {
			return fmt.Sprintf("root %d at %d completed %d announced %d; blocks (kind birth leaf version) %v dirty %05b",
				s.seq, s.root, s.completed, s.announced, s.now, s.dirty)
		},
		goals: []goal[resumeState]{
			{"a block of the refused root is used again", func(s resumeState) bool { return s.now[2].version > 2 }},
		},
	}
}

// publish builds a root record and a leaf in any two free blocks.
func (s resumeState) publish(off Mend, step func(string, func(*resumeState))) {
	if s.versions == 4 {
		return
	}
	used := uint8(1<<s.root | 1<<s.now[s.root].leaf)
	if s.completed == 2 {
		used |= 1<<0 | 1<<1
	}
	for r := uint8(0); r < resumeBlocks; r++ {
		for l := uint8(0); l < resumeBlocks; l++ {
			if r == l || used&(1<<r|1<<l) != 0 || s.dirty&(1<<r|1<<l) != 0 {
				continue
			}
			step("publishes a version", func(n *resumeState) {
				n.versions++
				n.seq++
				if n.seq == 3 && off != SeqJump {
					n.seq += seqJump
				}
				n.old = n.now
				n.now[r] = resumeBlock{kind: 2, birth: n.seq, leaf: l, version: n.versions}
				n.now[l] = resumeBlock{kind: 1, birth: n.seq, version: n.versions}
				n.dirty |= 1<<r | 1<<l
				n.root = r
			})
		}
	}
}

// checkResume cuts the power, with each subset of the dirty blocks lost. Blocks
// that were dirty before the last publish keep that content: one of the
// possible choices.
func checkResume(s resumeState, off Mend) Invariant {
	for lost := uint8(0); lost < 1<<resumeBlocks; lost++ {
		if lost&^s.dirty != 0 {
			continue
		}
		disk := s.now
		for i := range disk {
			if lost&(1<<i) != 0 {
				disk[i] = s.old[i]
			}
		}
		found := false
		for _, p := range s.pages { // the newest first
			rec := disk[p.root]
			leaf := disk[rec.leaf]
			if rec.kind != 2 || rec.birth != p.seq || leaf.kind != 1 || leaf.birth > p.seq && off != VerifyBirths {
				continue
			}
			if leaf.version != rec.version {
				return InvRecover
			}
			found = true
			break
		}
		if !found {
			return InvSync
		}
	}
	return Holds
}
