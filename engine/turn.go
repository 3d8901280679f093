package engine

import (
	"time"

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
// So one that has won its turn, and had another a moment before, keeps it for a
// slice of time: it publishes edit after edit, while the others sleep. Whoever has
// waited for the end of a slice has the next one. A process that writes now and
// then neither gets a slice nor finds one.
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
	// A process that has had two turns within busyTime writes all the time.
	busyTime = 5 * time.Millisecond
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
	d := time.Duration(int64(t>>9<<1)-monotonicMicro()) * time.Microsecond
	if d > turnTime {
		return -time.Hour
	}
	return d
}

func (s *Store) turn() turn { return turn(s.hdr.Turn.Load()) }

func (s *Store) swapTurn(from, to turn) bool {
	return s.hdr.Turn.CompareAndSwap(uint64(from), uint64(to))
}

// waitTurn waits before an edit is built while another process has a slice. The
// caller has no pin.
func (s *Store) waitTurn(losses int) {
	t := s.turn()
	if t == 0 || !t.slice() || t.slot() == s.slot || losses >= turnAfter {
		return
	}
	began := monotonicMicro()
	root, since := s.hdr.Root.Load(), began
	for now := began; t.slice() && t.slot() != s.slot; now = monotonicMicro() {
		switch r := s.hdr.Root.Load(); {
		case r != root:
			root, since = r, now
		case now-since > idleTime.Microseconds() || t.left() < -busyTime:
			s.swapTurn(t, 0)
			return
		}
		// Whoever has waited for a slice is next, even if the holder has begun
		// another one meanwhile.
		if t.left() <= 0 || now-began > sliceTime.Microseconds() {
			if s.swapTurn(t, s.newTurn(true, sliceTime)) {
				return
			}
		} else {
			mapping.Sleep(napTime)
		}
		t = s.turn()
	}
}

// giveWay waits before a swap while another edit has claimed the turn.
func (s *Store) giveWay(losses int) {
	for {
		t := s.turn()
		if t == 0 || t.slice() || t.slot() == s.slot && losses >= turnAfter {
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

// backOff follows a loss.
func (s *Store) backOff(losses int) {
	if losses+1 >= turnAfter {
		// A claim comes before a slice: small edits wait for the end of one, so this
		// is a large one.
		if t := s.turn(); t.slice() || t.left() <= 0 {
			s.swapTurn(t, s.newTurn(false, turnTime))
		}
		return
	}
	if losses > 0 {
		mapping.Sleep(time.Duration(1<<losses) * time.Microsecond)
	}
}

// endTurn ends the turn of an edit that has won, or makes it a slice.
func (s *Store) endTurn(losses int) {
	if losses < turnAfter {
		return
	}
	t := s.turn()
	if t.slot() != s.slot || t.slice() {
		return
	}
	now := monotonicMicro()
	if before := s.lastTurn.Swap(now); now-before < busyTime.Microseconds() {
		s.swapTurn(t, s.newTurn(true, sliceTime))
		return
	}
	s.swapTurn(t, 0)
}
