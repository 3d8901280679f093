package protomodel

import "fmt"

// The opening gate, and who shares which shm file.
//
// State: two store files (inodes), each with a session nonce, a gate lock and
// the locks of who has it open; shm files with the nonce of the session that
// made them; what the path of the store names, and what the path of the shm
// beside it names, for each of two directories (a hard link or a bind mount).
//
// Steps: an opener opens the store by path; takes the gate of that inode; looks
// by path again, and starts over if the path names another inode; reads the
// shm path. If the shm's nonce is the store's, it joins. If not, and the store
// is in use, it refuses. Otherwise it makes a new shm: under a temporary name,
// with a new nonce, which it writes to the store's session page; renames it
// into place; and is open. It locks its slot and leaves the gate. Somebody may
// delete the shm file, or rename a backup over the store.
//
// Invariants: all who have an inode open share one shm, and nobody's shm is
// zeroed; nobody is refused unless the shm was deleted, the store was replaced,
// or it is open under another name. Replaced while an opener makes its shm, the
// new store can end up with the shm of the old one beside it, since each inode
// has a gate of its own; then later openers are refused until all have closed,
// and nothing is lost.

const gateOpeners = 3

type gateOpener struct {
	pc    uint8
	inode uint8 // of the store
	shm   uint8 // file number
}

type gateState struct {
	store   uint8    // inode that the path names: 1, or 2 after the rename
	shmPath [2]uint8 // shm file beside the store, for each directory
	session [3]uint8 // nonce in the session page of each inode
	nonce   [8]uint8 // of each shm file
	made    uint8    // shm files so far
	gate    [3]uint8 // who holds the gate of each inode: opener+1
	o       [gateOpeners]gateOpener
	renames uint8
	deletes uint8
	hurt    bool // somebody deleted the shm or replaced the store
	bad     Invariant
}

// The steps of an opener.
const (
	gIdle = iota
	gGate
	gCheck
	gLook
	gMake
	gRename
	gLeave
	gOpen
	gRefused
)

type gateModel struct {
	linked bool // opener 2 comes from another directory
	off    Mend
}

func (m gateModel) on(x Mend) bool { return m.off != x }

func gateScenario(linked bool, renames, deletes uint8, off Mend) model[gateState] {
	m := gateModel{linked, off}
	init := gateState{store: 1, renames: renames, deletes: deletes}
	return model[gateState]{
		init: init, next: m.next, check: m.check,
		show: func(s gateState) string {
			return fmt.Sprintf("store inode %d session %v; shm beside it %v nonces %v; openers (pc inode shm) %v",
				s.store, s.session[1:], s.shmPath, s.nonce[1:s.made+1], s.o)
		},
		goals: []goal[gateState]{
			{"two openers share a shm", func(s gateState) bool {
				return s.o[0].pc == gOpen && s.o[1].pc == gOpen && s.o[0].shm == s.o[1].shm
			}},
		},
	}
}

func (m gateModel) dir(i int) int {
	if i == 2 && m.linked {
		return 1
	}
	return 0
}

// inUse reports whether anybody has the inode open.
func (s *gateState) inUse(inode uint8) bool {
	for _, o := range s.o {
		if o.pc == gOpen && o.inode == inode {
			return true
		}
	}
	return false
}

func (m gateModel) next(s gateState, emit emitFunc[gateState]) {
	for i := range s.o {
		m.opener(s, i, emit)
	}
	if s.renames > 0 {
		n := s
		n.renames--
		n.store, n.hurt = 2, true
		emit("somebody", "renames a backup over the store", n)
	}
	if s.deletes > 0 && s.shmPath[0] != 0 {
		n := s
		n.deletes--
		n.shmPath[0], n.hurt = 0, true
		emit("somebody", "deletes the shm file", n)
	}
}

func (m gateModel) opener(s gateState, i int, emit emitFunc[gateState]) {
	o := &s.o[i]
	dir := m.dir(i)
	step := func(action string, do func(n *gateState, o *gateOpener)) {
		n := s
		do(&n, &n.o[i])
		emit([...]string{"opener 0", "opener 1", "opener 2"}[i], action, n)
	}
	// A linked name keeps naming the first inode.
	path := s.store
	if dir == 1 {
		path = 1
	}
	look := func(n *gateState, o *gateOpener) { o.shm = n.shmPath[dir] }
	switch o.pc {
	case gIdle:
		step("opens the store by path", func(n *gateState, o *gateOpener) {
			o.inode, o.pc = path, gGate
			if m.off == LookAgain {
				look(n, o)
			}
		})
	case gGate:
		if s.gate[o.inode] == 0 {
			step("takes the gate", func(n *gateState, o *gateOpener) {
				n.gate[o.inode], o.pc = uint8(i)+1, gCheck
				if m.off == LookAgain {
					o.pc = gLook
				}
			})
		}
	case gCheck:
		if path != o.inode {
			step("finds another file at the path, and starts over", func(n *gateState, o *gateOpener) {
				n.gate[o.inode] = 0
				*o = gateOpener{}
			})
			return
		}
		step("finds the same file at the path, and reads the shm path", func(n *gateState, o *gateOpener) {
			look(n, o)
			o.pc = gLook
		})
	case gLook:
		good := o.shm != 0 && s.nonce[o.shm] == s.session[o.inode]
		switch {
		case good:
			step("joins: the shm repeats the session nonce", func(_ *gateState, o *gateOpener) { o.pc = gLeave })
		case s.inUse(o.inode) && m.on(SessionNonce):
			step("refuses: the store is in use, and not with this shm", func(n *gateState, o *gateOpener) {
				n.gate[o.inode] = 0
				if !n.hurt && !m.linked {
					n.bad = InvRefused
				}
				*o = gateOpener{pc: gRefused}
			})
		default:
			step("finds no good shm", func(_ *gateState, o *gateOpener) { o.pc = gMake })
		}
	case gMake:
		if m.off == ReplaceByRename && o.shm != 0 {
			step("zeroes the stale shm in place, and begins a session in it", func(n *gateState, o *gateOpener) {
				for j, other := range n.o {
					if j != i && other.pc == gOpen && other.shm == o.shm {
						n.bad = InvOneStore
					}
				}
				n.made++
				n.nonce[o.shm], n.session[o.inode] = n.made, n.made
				o.pc = gLeave
			})
			return
		}
		if int(s.made)+1 >= len(s.nonce) {
			return
		}
		step("makes a shm file under another name", func(n *gateState, o *gateOpener) {
			n.made++
			n.nonce[n.made], n.session[o.inode] = n.made, n.made
			o.shm, o.pc = n.made, gRename
		})
	case gRename:
		step("renames it into place", func(n *gateState, o *gateOpener) { n.shmPath[dir], o.pc = o.shm, gLeave })
	case gLeave:
		step("locks its slot and leaves the gate", func(n *gateState, o *gateOpener) {
			n.gate[o.inode], o.pc = 0, gOpen
		})
	case gOpen:
		step("closes", func(_ *gateState, o *gateOpener) { *o = gateOpener{pc: gRefused} })
	}
}

func (m gateModel) check(s gateState) Invariant {
	for i, a := range s.o {
		for _, b := range s.o[i+1:] {
			if a.pc == gOpen && b.pc == gOpen && (a.inode == b.inode) != (a.shm == b.shm) {
				return InvOneStore
			}
		}
	}
	return s.bad
}
