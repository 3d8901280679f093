package protomodel

import (
	"fmt"
	"slices"
	"strings"
)

// The steps of a checkpointer of listed.go. A sync begins in the step before the
// one that ends it: what is stored in between may not be on the disk, and to begin
// later leaves less to chance.
const (
	lIdle = iota
	lRoot
	lAnnounce
	lSync
	lTorn
	lWhole
	lSync2
	lComplete
	lSettle
	lSettled
)

// olderPage returns the page of k's own pair to overwrite: one that is not valid,
// or else the older one, of two of one version the listed one.
func (m listedModel) olderPage(s *listedState, k int) uint8 {
	first := uint8(ckBlocks + 2*k)
	a, abase, aok := recordOf(s.cache[first])
	b, _, bok := recordOf(s.cache[first+1])
	older := first + 1
	if !aok || bok && (a < b || a == b && abase != 0) {
		older = first
	}
	if c := &s.k[k]; m.off == ConfirmBeside && c.confirm && max(a, b) == c.root {
		return 2*first + 1 - older // where the listed record is
	}
	return older
}

// base returns what a listed record builds on.
func (m listedModel) base(s *listedState) uint8 {
	base := s.completed
	if m.off == BaseCompleted {
		for _, w := range s.ann {
			base = max(base, w[0], w[1])
		}
	}
	return base
}

// announce puts a sequence in a free word of k.
func (s *listedState) announce(k int, seq uint8) {
	s.ann[k][freeWord(s.ann[k], s.completed)] = seq
	slices.Sort(s.ann[k][:])
}

// complete raises the completed word. Announcements of older versions mean nothing
// any more; clearing them, and sorting the others, makes states equal that behave alike.
func (s *listedState) complete(seq uint8) {
	s.completed = max(s.completed, seq)
	for k := range s.ann {
		for i, a := range s.ann[k] {
			if a < s.completed {
				s.ann[k][i] = 0
			}
		}
		slices.Sort(s.ann[k][:])
	}
}

// unconfirmed reports whether the last completed checkpoint has a listed record
// only. The engine's word for that saves it a look at the pages.
func (s *listedState) unconfirmed() bool {
	list := false
	for _, page := range s.cache[ckBlocks:] {
		if seq, base, ok := recordOf(page); ok && seq == s.completed {
			if base == 0 {
				return false
			}
			list = true
		}
	}
	return list
}

// unsettled reports whether who claims slot k has to sync first: a record of its
// pair may not be on the disk that makes olderPage think that the other is of no
// more use.
func (m listedModel) unsettled(s *listedState, k int) bool {
	if max(s.ann[k][0], s.ann[k][1]) > s.completed {
		return m.on(SettleWritten)
	}
	a, _, aok := recordOf(s.cache[ckBlocks+2*k])
	b, _, bok := recordOf(s.cache[ckBlocks+2*k+1])
	return aok && bok && a == b && m.on(SettleConfirmed)
}

func (m listedModel) checkpoint(s listedState, k int, emit emitFunc[listedState]) {
	actor := [...]string{"checkpointer 0", "checkpointer 1"}[k]
	next := func(action string, do func(n *listedState, c *listedProc)) {
		n := s
		do(&n, &n.k[k])
		emit(actor, action, n)
	}
	m.kill(s, k, next)
	c := &s.k[k]
	switch c.pc {
	case lIdle:
		if c.left > 0 && s.completed < s.cur {
			next("reads the completed word, for a base", func(n *listedState, c *listedProc) {
				c.left--
				c.base, c.pc = m.base(n), lRoot
			})
			next("pins and takes the root, for a plain record", func(n *listedState, c *listedProc) {
				c.left--
				c.pin, c.root, c.pc = n.cur, n.cur, lAnnounce
			})
		}
		if s.unconfirmed() {
			next("begins to confirm the last checkpoint", func(n *listedState, c *listedProc) {
				c.root, c.confirm, c.pc = n.completed, true, lSync
				n.syncBegin(k)
			})
		}
	case lRoot:
		next("pins and takes the root", func(n *listedState, c *listedProc) {
			c.pin, c.root, c.pc = n.cur, n.cur, lAnnounce
			if c.root <= c.base {
				*c = listedProc{left: c.left}
			}
		})
	case lAnnounce:
		next("announces it and drops its pin", func(n *listedState, c *listedProc) {
			n.announce(k, c.root)
			c.pin, c.pc = 0, lTorn
			if c.base == 0 {
				c.pc = lSync
				n.syncBegin(k)
			}
		})
	case lSync:
		next("ends its first sync: the blocks are on the disk", func(n *listedState, c *listedProc) {
			n.syncEnd(k)
			c.pc = lTorn
		})
	case lTorn:
		next("writes half of its record", func(n *listedState, c *listedProc) {
			c.page, c.pc = m.olderPage(n, k), lWhole
			n.store(int(c.page), ckTorn)
		})
	case lWhole:
		next("writes the rest of its record", func(n *listedState, c *listedProc) {
			n.store(int(c.page), record(c.root, c.base))
			c.page, c.pc = 0, lSync2
			if m.off == ListedSynced && c.base != 0 {
				c.pc = lComplete
				return
			}
			n.syncBegin(k)
		})
	case lSync2:
		next("ends its sync: the record is on the disk", func(n *listedState, c *listedProc) {
			n.syncEnd(k)
			c.pc = lComplete
			if c.confirm {
				*c = listedProc{left: c.left}
			}
		})
	case lComplete:
		next("raises the completed word and acknowledges", func(n *listedState, c *listedProc) {
			n.complete(c.root)
			n.acked = max(n.acked, c.root)
			*c = listedProc{left: c.left}
		})
	case lSettle:
		next("ends its sync: what the dead process wrote is on the disk", func(n *listedState, c *listedProc) {
			n.syncEnd(k)
			c.pc = lSettled
		})
	case lSettled:
		next("completes what was announced and written, and clears the rest", func(n *listedState, c *listedProc) {
			for _, page := range n.cache[ckBlocks+2*k : ckBlocks+2*k+2] {
				if seq, _, ok := recordOf(page); ok && slices.Contains(n.ann[k][:], seq) {
					n.complete(seq)
				}
			}
			for i, a := range n.ann[k] {
				if a != n.completed {
					n.ann[k][i] = 0
				}
			}
			slices.Sort(n.ann[k][:])
			c.pc = lIdle
		})
	}
}

// kill lets a checkpointer die, when it has announced something, and a new process
// claim its slot.
func (m listedModel) kill(s listedState, k int, next func(string, func(*listedState, *listedProc))) {
	c := &s.k[k]
	if s.kills > 0 && c.pc != pcDead && c.pc > lAnnounce {
		next("is killed, and its slot is cleaned", func(n *listedState, c *listedProc) {
			n.kills--
			n.syncLost(k)
			*c = listedProc{pc: pcDead, left: c.left}
		})
	}
	if c.pc == pcDead && s.restarts > 0 {
		next("is another process, which has claimed the slot", func(n *listedState, c *listedProc) {
			n.restarts--
			c.pc = lIdle
			if m.unsettled(n, k) {
				c.pc = lSettle
				n.syncBegin(k)
			}
		})
	}
}

func showListed(s listedState) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version %d completed %d acked %d announced %d; blocks", s.cur, s.completed, s.acked, s.ann)
	for i := range ckBlocks {
		fmt.Fprintf(&b, " %d%s", s.cache[i], setString(uint8(s.disk[i])))
	}
	b.WriteString("; records")
	for i := ckBlocks; i < ckBlocks+ckPages; i++ {
		fmt.Fprintf(&b, " %s{", recordString(s.cache[i]))
		sep := ""
		for v := range uint8(64) {
			if s.disk[i]&(1<<v) != 0 {
				b.WriteString(sep + recordString(v))
				sep = " "
			}
		}
		b.WriteByte('}')
	}
	return b.String()
}

// recordString prints a record, a listed one as "3/1": 3, which builds on 1.
func recordString(page uint8) string {
	seq, base, ok := recordOf(page)
	switch {
	case page == ckTorn:
		return "t"
	case !ok:
		return "-"
	case base == 0:
		return fmt.Sprint(seq)
	}
	return fmt.Sprintf("%d/%d", seq, base)
}
