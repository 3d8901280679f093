package protomodel

import (
	"fmt"
	"math/bits"
	"strings"
)

// The steps of a checkpointer.
const (
	kIdle = iota
	kChoose
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
	return freeWord(s.ann[m.words(k)], s.completed)
}

func freeWord(w [2]uint8, completed uint8) int {
	for i, a := range w {
		if a == 0 || a < completed {
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
			c.pin, c.root, c.pc = n.cur, n.cur, kChoose
		})
	case kChoose:
		next("chooses an announcement word", func(n *ckState, c *checkpointer) {
			c.page, c.pc = uint8(m.chooseWord(n, k)), kAnnounce
		})
	case kAnnounce:
		next("announces it", func(n *ckState, c *checkpointer) {
			n.ann[m.words(k)][c.page] = c.root
			c.page, c.pc = 0, kUnpin
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
			n.syncLost(k)
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
