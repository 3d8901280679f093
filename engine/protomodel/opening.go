package protomodel

import (
	"fmt"
	"math/bits"
)

// Opening after a kill, a power cut, a deleted shm, a replaced file and a failed
// sync, by one process at a time.
//
// State: version v is a root of one block. Three blocks and two checkpoint pages
// have a content in the page cache and a set of contents that the disk may
// hold (see checkpoint.go); after a failed sync the kernel calls pages clean
// that are not on the disk, and later syncs pass them by: they are stuck. The
// shm file has the root word, the completed and the announced checkpoint with
// their nonces (a version stands for its nonce), the poison word and the boot
// id.
//
// Steps: open: judge the shm; if it is good, write again what no completed
// checkpoint covers (the last process may have died between a failed sync and
// the store of the poison word), sync, verify the root it names, and settle
// what was announced; otherwise sync, read the pages, take the newest that
// verifies, and begin a new shm. Then publish,
// announce, sync, write the page, sync, complete. Beside that, kills, power
// cuts with every choice of what the disk keeps, a failing sync, a deleted shm,
// and a store file overwritten by an older copy of itself (same inode).
//
// Syncs are one step, since nobody else writes; and each version after a new
// shm has a larger sequence than all before it (resume.go has that rule).
//
// The disk, after a power cut, and a copy of a live store can hold the root
// record of a version without its leaf, where an older object lies; no checksum
// tells. The model makes such copies only when
// a checkpoint has completed since: then the nonces differ. A copy that is
// younger than the last completed checkpoint is beyond what nonces can tell;
// the model makes it exact, and the sequence of the root tells.

const (
	opBlocks = 3
	opPages  = 2
	opPage   = opBlocks // index of the first page
	opFuzzy  = 8        // added to v: its root record is there, its leaf is not
)

type shmFile struct {
	present   bool
	thisBoot  bool
	poison    bool
	root      uint8
	completed uint8
	announced uint8
}

type openState struct {
	shm   shmFile
	cache [opBlocks + opPages]uint8
	disk  [opBlocks + opPages]uint16
	stuck uint8
	at    [8]uint8 // block of each version
	newV  uint8    // versions made so far
	pc    uint8
	ck    uint8
	acked uint8
	last  uint8 // newest version published, if nothing has happened that may lose it
	sick  bool  // a sync has failed since the shm was made

	cuts, kills, deletes, copies, fails uint8
	bad                                 Invariant
}

// The steps of opening, and of a checkpoint while open.
const (
	oClosed = iota
	oRewrite
	oAdopt
	oSettle
	oDropCache
	oRead
	oOpen

	oSync1  = 1
	oWrite  = 2
	oSync2  = 3
	oFinish = 4
	oFailed = 5
)

type openModel struct {
	versions uint8
	off      Mend
}

func (m openModel) on(x Mend) bool { return m.off != x }

func openScenario(off Mend, versions uint8, budget openState) model[openState] {
	m := openModel{versions, off}
	init := budget
	init.shm = shmFile{present: true, thisBoot: true, root: 1, completed: 1}
	init.newV, init.acked, init.last, init.at[1] = 1, 1, 1, 1
	for i := range init.disk {
		init.disk[i] = 1
	}
	init.cache[0], init.disk[0] = 1, 1<<1
	init.cache[opPage], init.disk[opPage] = 1, 1<<1
	init.pc = oOpen
	return model[openState]{
		init: init, next: m.next, check: checkOpen, show: showOpen,
		goals: []goal[openState]{
			{"a checkpoint completes after an opening", func(s openState) bool {
				return s.acked > 2 && s.kills+s.cuts < budget.kills+budget.cuts
			}},
		},
	}
}

func (s *openState) store(i int, v uint8) {
	s.cache[i] = v
	s.disk[i] |= 1 << v
	if i < opPage {
		s.disk[i] |= 1 << (opFuzzy + v)
	}
	s.stuck &^= 1 << i
}

func (s *openState) sync() {
	for i, v := range s.cache {
		if s.stuck&(1<<i) == 0 {
			s.disk[i] = 1 << v
		}
	}
}

// newestPage returns the newest version that a page in the cache holds.
func (s *openState) newestPage() uint8 { return max(s.cache[opPage], s.cache[opPage+1]) }

// choose calls f with every state in which the pages in set hold something that
// the disk may hold.
func choose(s openState, set uint8, f func(openState)) {
	if set == 0 {
		f(s)
		return
	}
	i := bits.TrailingZeros8(set)
	for v := range uint8(16) {
		if s.disk[i]&(1<<v) != 0 {
			n := s
			n.cache[i], n.disk[i] = v, 1<<v
			n.stuck &^= 1 << i
			choose(n, set&(set-1), f)
		}
	}
}

func (m openModel) next(s openState, emit emitFunc[openState]) {
	step := func(actor, action string, do func(n *openState)) {
		n := s
		do(&n)
		emit(actor, action, n)
	}
	m.world(s, step, emit)
	switch s.pc {
	case oClosed:
		good := m.goodShm(&s)
		if good {
			step("opener", "finds a good shm", func(n *openState) { n.pc = oRewrite })
		} else {
			step("opener", "finds no good shm", func(n *openState) {
				n.pc = oRead
				if n.shm.poison {
					n.pc = oDropCache
				}
			})
		}
	case oRewrite:
		if m.off == RewriteUnsynced {
			step("opener", "trusts the page cache", func(n *openState) { n.pc = oAdopt })
			return
		}
		step("opener", "writes again what is newer than the completed checkpoint, and syncs", func(n *openState) {
			n.stuck, n.pc = 0, oAdopt
			n.sync()
		})
	case oAdopt:
		m.adopt(s, step)
	case oSettle:
		step("opener", "settles the announced checkpoint, and is open", func(n *openState) {
			n.sync()
			if a := n.shm.announced; a != 0 && n.newestPage() == a {
				n.shm.completed = a
			}
			n.shm.announced, n.pc = 0, oOpen
		})
	case oDropCache:
		choose(s, s.stuck, func(n openState) {
			n.pc = oRead
			emit("opener", "finds poison and drops the page cache", n)
		})
	case oRead:
		m.recover(s, step)
	case oOpen:
		m.running(s, step)
	}
}

// goodShm decides whether the root word in shm may be adopted.
func (m openModel) goodShm(s *openState) bool {
	p := s.newestPage()
	nonce := p == s.shm.completed || m.on(NonceAnnounced) && p == s.shm.announced
	return s.shm.present && (s.shm.thisBoot || m.off == BootID) && !s.shm.poison &&
		(nonce || m.off == NonceMatches)
}

// adopt verifies the root that the shm names.
func (m openModel) adopt(s openState, step func(string, string, func(*openState))) {
	v := s.shm.root
	found := s.cache[s.at[v]-1]
	switch {
	case found == v || found == opFuzzy+v || m.off == AdoptSeqCheck:
		step("opener", "verifies the root and adopts it", func(n *openState) {
			n.pc = oSettle
			if found != v {
				n.bad = InvRecover
			}
		})
	default:
		step("opener", "finds that the root is damaged", func(n *openState) { n.pc = oRead })
	}
}

// recover reads the pages and begins a new shm.
func (m openModel) recover(s openState, step func(string, string, func(*openState))) {
	step("opener", "syncs, recovers the newest page that verifies, and is open", func(n *openState) {
		if m.on(SyncBeforeRead) {
			n.sync()
		}
		v := uint8(0)
		for _, p := range n.cache[opPage:] {
			if p > v && (n.cache[n.at[p]-1] == p || n.cache[n.at[p]-1] == opFuzzy+p) {
				v = p
			}
		}
		switch {
		case v < n.acked:
			n.bad = InvSync
			return
		case n.last != 0 && v != n.last:
			n.bad = InvPublish
		}
		n.shm = shmFile{present: true, thisBoot: true, root: v, completed: v}
		n.last, n.sick = v, false
		n.pc = oOpen
	})
}

// running has the steps of an open store.
func (m openModel) running(s openState, step func(string, string, func(*openState))) {
	if s.newV < m.versions {
		for b := uint8(1); b <= opBlocks; b++ {
			used := b == s.at[s.shm.root] || b == s.at[s.shm.completed] ||
				s.shm.announced != 0 && b == s.at[s.shm.announced]
			if used {
				continue
			}
			step("process", "publishes a version", func(n *openState) {
				n.newV++
				n.at[n.newV] = b
				n.store(int(b-1), n.newV)
				n.shm.root = n.newV
				if !n.sick {
					n.last = n.newV
				}
			})
		}
	}
	trySync := func(then uint8) {
		step("process", "syncs", func(n *openState) {
			n.sync()
			n.ck = then
		})
		if s.fails > 0 {
			step("kernel", "fails the sync, and calls what it did not write clean", func(n *openState) {
				n.fails--
				for i, v := range n.cache {
					if n.disk[i] != 1<<v {
						n.stuck |= 1 << i
					}
				}
				n.ck, n.sick, n.last = oFailed, true, 0
			})
		}
	}
	switch s.ck {
	case 0:
		if s.shm.root > s.shm.completed {
			step("process", "announces a checkpoint", func(n *openState) {
				n.shm.announced, n.ck = n.shm.root, oSync1
			})
		}
	case oSync1:
		trySync(oWrite)
	case oWrite:
		step("process", "writes its older checkpoint page", func(n *openState) {
			i := opPage
			if n.cache[opPage] > n.cache[opPage+1] {
				i++
			}
			n.store(i, n.shm.announced)
			n.ck = oSync2
		})
	case oSync2:
		trySync(oFinish)
	case oFinish:
		step("process", "completes the checkpoint and acknowledges", func(n *openState) {
			n.shm.completed, n.acked = n.shm.announced, n.shm.announced
			n.shm.announced, n.ck = 0, 0
		})
	case oFailed:
		if m.off == Poison {
			step("process", "reports the failed sync and carries on", func(n *openState) {
				n.ck, n.shm.announced = 0, 0
			})
			return
		}
		step("process", "poisons the store and closes", func(n *openState) {
			n.shm.poison, n.ck, n.pc = true, 0, oClosed
		})
	}
}

// world has the steps of everything but the process.
func (m openModel) world(s openState, step func(string, string, func(*openState)), emit emitFunc[openState]) {
	if s.kills > 0 && s.pc != oClosed {
		step("process", "is killed", func(n *openState) {
			n.kills--
			n.pc, n.ck = oClosed, 0
		})
	}
	if s.cuts > 0 {
		n := s
		n.cuts--
		n.pc, n.ck, n.last, n.sick = oClosed, 0, 0, false
		n.shm.thisBoot = false
		n.stuck = 0
		choose(n, 1<<(opBlocks+opPages)-1, func(n openState) { emit("power", "is cut", n) })
	}
	if s.pc != oClosed {
		return
	}
	if s.deletes > 0 && s.shm.present && !s.shm.poison {
		step("user", "deletes the shm file", func(n *openState) {
			n.deletes--
			n.shm, n.last = shmFile{}, 0
		})
	}
	if s.copies > 0 && s.shm.present && !s.sick {
		step("user", "overwrites the store with a copy made when version 1 was durable", func(n *openState) {
			n.copies--
			n.acked, n.last = 1, 0
			fuzzy := n.shm.completed > 1
			for i := range n.cache {
				v := uint8(0)
				switch {
				case i == opPage || i == int(n.at[1]-1):
					v = 1
				case i < opPage && fuzzy && n.cache[i] != 0:
					v = opFuzzy + n.cache[i]%opFuzzy
				}
				n.cache[i], n.disk[i] = v, 1<<v
			}
		})
	}
}

// checkOpen cuts the power in s, as checkCk does.
func checkOpen(s openState) Invariant {
	if s.bad != Holds {
		return s.bad
	}
	newest, all := uint8(0), uint16(0)
	for _, set := range s.disk[opPage:] {
		all |= set
		newest = max(newest, uint8(bits.TrailingZeros16(set)))
	}
	if newest < s.acked {
		return InvSync
	}
	for v := newest; v < opFuzzy; v++ {
		if all&(1<<v) != 0 && s.disk[s.at[v]-1] != 1<<v {
			return InvRecover
		}
	}
	return Holds
}

func showOpen(s openState) string {
	return fmt.Sprintf("shm %s root %d completed %d announced %d; acked %d; blocks %s; pages %s; stuck %05b",
		shmString(s.shm), s.shm.root, s.shm.completed, s.shm.announced, s.acked,
		pagesString(s, 0, opPage), pagesString(s, opPage, opPage+opPages), s.stuck)
}

func shmString(f shmFile) string {
	switch {
	case !f.present:
		return "absent"
	case f.poison:
		return "poisoned"
	case !f.thisBoot:
		return "of another boot"
	default:
		return "present"
	}
}

func pagesString(s openState, from, to int) string {
	out := ""
	for i := from; i < to; i++ {
		out += fmt.Sprintf("%d{", s.cache[i])
		for v := range 16 {
			if s.disk[i]&(1<<v) != 0 {
				out += fmt.Sprintf("%d ", v)
			}
		}
		out += "}"
	}
	return out
}
