package engine

import (
	"time"

	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

// Fairness between writers, and between processes that write.
//
// A small edit that loses backs off for a moment and wins soon. A large one would
// lose for ever against publishes every few microseconds, so after turnAfter
// losses it claims the turn word: until the deadline in it, others wait before
// they swap.
//
// When several processes write all the time, every version is built on nodes
// that another core has just written, and the work of the losers is for nothing.
// So a claim of a process that had to do with others a moment before becomes a
// slice of time when its edit is published: edit after edit of that process goes
// through, while the others sleep. Who has waited for the end of a slice has the
// next one. A process that writes now and then gets none, but waits like others.
//
// Nothing depends on the word for being right, and nobody waits long: the holder of
// a slice that is stopped, killed or has no more to write costs the others
// idleTime, one of a claim turnTime.
const (
	turnAfter = 6
	turnTime  = 10 * time.Millisecond
	sliceTime = 2 * time.Millisecond
	idleTime  = 150 * time.Microsecond
	napTime   = 50 * time.Microsecond
	// A process that competes with others twice within busyTime writes all the time.
	busyTime = 10 * time.Millisecond
)

// turn is the value of the turn word: process slot + 1 in the low 8 bits, in the
// next whether it is a slice, above it the deadline in units of 2 µs of the
// monotonic clock; 0 when there is none.
type turn uint64

func (s *Store) newTurn(slice bool, length time.Duration) turn {
	t := turn(monotonicMicro()+length.Microseconds())>>1<<9 | turn(s.slot+1)
	if slice {
		t |= 1 << 8
	}
	return t
}

func (t turn) slot() int   { return int(t&0xff) - 1 }
func (t turn) slice() bool { return t>>8&1 != 0 }

// left returns how long t still lasts, at most 0 if it has ended. Of a word that
// nobody can have written it says that it ended long ago.
func (t turn) left() time.Duration {
	us := int64(t>>9<<1) - monotonicMicro()
	if us > turnTime.Microseconds() || us < -busyTime.Microseconds() {
		return -time.Hour
	}
	return time.Duration(us) * time.Microsecond
}

func (s *Store) turn() turn { return turn(s.hdr.Turn.Load()) }

func (s *Store) swapTurn(from, to turn) bool {
	return s.hdr.Turn.CompareAndSwap(uint64(from), uint64(to))
}

// busy notes that the process competes with others now, and reports whether it
// did a moment ago.
func (s *Store) busy(now int64) bool {
	return now-s.competed.Swap(now) < busyTime.Microseconds()
}

// contest is what one edit does to be published beside others.
type contest struct {
	s      *Store
	losses int
	claim  turn // what this edit has put into the turn word last, 0 for nothing
}

// begin waits before the edit is built, while another process has a slice. The
// caller has no pin.
func (c *contest) begin() {
	s, t := c.s, c.s.turn()
	if t == 0 || !t.slice() || t.slot() == s.slot || c.losses >= turnAfter {
		return
	}
	began, first := monotonicMicro(), t.slot()
	root, since := s.hdr.Root.Load(), began
	next := turn(0)
	busy := s.busy(began)
	for now := began; t.slice() && t.slot() != s.slot && now-began < turnTime.Microseconds(); now = monotonicMicro() {
		switch r := s.hdr.Root.Load(); {
		case r != root:
			root, since = r, now
		case now-since > idleTime.Microseconds() || t.left() < -busyTime:
			s.swapTurn(t, 0)
			return
		}
		// Who has waited for the whole of a slice is next, even if its holder has
		// begun another one meanwhile; but the next waiter must not take it from the one
		// that was faster.
		if t.left() <= 0 || t.slot() == first && now-began > sliceTime.Microseconds() {
			if busy {
				next = s.newTurn(true, sliceTime)
			}
			if s.swapTurn(t, next) {
				return
			}
		} else {
			mapping.Sleep(napTime)
		}
		t = s.turn()
	}
}

// giveWay waits before the swap from root while another edit has claimed the turn,
// unless the swap would fail anyway.
func (c *contest) giveWay(root layout.Ref) {
	s := c.s
	for s.hdr.Root.Load() == uint64(root) {
		t := s.turn()
		if t == 0 || t.slice() || t == c.claim {
			return
		}
		left := t.left()
		if left <= 0 {
			s.swapTurn(t, 0)
			return
		}
		mapping.Sleep(min(left, napTime))
	}
}

// lost follows a swap that has failed. The caller has no pin.
func (c *contest) lost() {
	c.losses++
	switch {
	case c.losses >= turnAfter:
		// A claim comes before a slice: small edits wait for the end of one, so this
		// is a large one.
		if t := c.s.turn(); t.slice() || t.left() <= 0 {
			if claim := c.s.newTurn(false, turnTime); c.s.swapTurn(t, claim) {
				c.claim = claim
			}
		}
	case c.losses > 1:
		mapping.Sleep(time.Duration(1<<(c.losses-1)) * time.Microsecond)
	}
}

// end follows a swap that has succeeded, or the end of an edit that is not to be
// published.
func (c *contest) end(published bool) {
	if c.claim == 0 {
		return
	}
	next := turn(0)
	if c.s.busy(monotonicMicro()) && published {
		next = c.s.newTurn(true, sliceTime)
	}
	c.s.swapTurn(c.claim, next)
	c.claim = 0
}
