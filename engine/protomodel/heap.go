package protomodel

import (
	"fmt"
	"strings"
)

// The state that reclaim.go and gc.go share: a store whose tree is a root
// record with one leaf. An edit either replaces both, or keeps the leaf in a
// new root record, so that a leaf lives through several roots. Sequences are
// small numbers, the root record knows its own as its birth.
//
// Steps are single loads, stores and swaps of shared words. Steps that touch
// only what no other process can see are merged with a neighbour.
//
// Whether a reference is still good is not decided from the words of the store,
// which may lie, but from marks beside them: freeing a block marks every copy
// of its reference as stale, wherever it is held, and using a stale one breaks
// an invariant.

const (
	heapRefs    = 13 // blocks are refs 1 to heapRefs-1; 0 is nil
	heapThreads = 6
	limboSize   = 4
	namedPins   = 4
)

// The threads of the model. thDrain belongs to the process of thA and shares
// its limbo.
const (
	thA = iota
	thB
	thReader
	thDrain
	thGC
	thGC2
)

var heapActors = [heapThreads]string{"writer A", "writer B", "reader", "A's drain", "collector", "collector 2"}

// The named pins of the model.
const (
	namedMoved = iota // the reader's second pin of the same root
	namedFirst        // the reader's first
	namedGC           // the collector's M, and the second collector's behind it
)

// heapBlock is a block: its allocated bit, and the words of its header and
// body.
type heapBlock struct {
	alloc bool
	birth uint8
	leaf  uint8 // of a root record
}

// limboEntry is a retired block in the process memory of A.
type limboEntry struct {
	ref, birth, retired uint8
	stale               bool
}

// namedPin is an entry in the table of named pins; seq 0 is a free one.
type namedPin struct {
	seq, ref uint8
	stale    bool
}

// thread is the private state of one thread and its pin word in shm.
type thread struct {
	pc    uint8
	left  uint8 // edits, rounds or runs that it may still begin
	pin   uint8 // in shm: the short pin, 0 for none
	hint  uint8 // hint loaded
	big   bool  // edit that replaces the leaf
	rec   uint8 // root record loaded
	leaf  uint8 // its leaf
	nrec  uint8 // built, not published: root record
	nleaf uint8 // built, not published: leaf
	stale uint8 // which of the four have been freed meanwhile
	seq   uint8 // writer: of the base root; collector: M
	gc    uint8 // drain: gcseq loaded; collector: E
	idx   uint8
	short uint8 // drain: short pins seen, a set of sequences
	named uint8 // drain: named pins seen, a set of sequences
	gen   uint8 // drain: generation of the table of named pins
	mark  uint16
}

// The bits of thread.stale.
const (
	staleRec uint8 = 1 << iota
	staleLeaf
	staleNewRec
	staleNewLeaf
)

type heapState struct {
	root  uint8 // the root word
	hint  uint8 // the sequence hint
	gcseq uint8
	gen   uint8 // of the table of named pins
	lease uint8 // thread+1 of the collector
	kills uint8 // kills that may still happen
	quiet bool  // the collector began when nobody else was left
	blk   [heapRefs]heapBlock
	th    [heapThreads]thread
	limbo [limboSize]limboEntry
	named [namedPins]namedPin
	bad   Invariant
}

// slabOf returns the first and the last block that a thread allocates from.
func slabOf(t int) (lo, hi uint8) {
	switch t {
	case thA:
		return 1, 5
	case thB:
		return 6, 8
	case thGC:
		return 9, 10
	default:
		return 11, 12
	}
}

// freeIn returns a free block of the slab of thread t, 0 if there is none.
func (s *heapState) freeIn(t int) uint8 {
	lo, hi := slabOf(t)
	for r := lo; r <= hi; r++ {
		if !s.blk[r].alloc {
			return r
		}
	}
	return 0
}

// free clears the allocated bit of ref and marks all copies of it as stale.
// Freeing what is free is a double free.
func (s *heapState) free(ref uint8) {
	if !s.blk[ref].alloc {
		s.bad = InvOwner
		return
	}
	s.blk[ref].alloc = false
	s.blk[ref].leaf = 0
	for i := range s.th {
		t := &s.th[i]
		if t.rec == ref {
			t.stale |= staleRec
		}
		if t.leaf == ref {
			t.stale |= staleLeaf
		}
		if t.nrec == ref {
			t.stale |= staleNewRec
		}
		if t.nleaf == ref {
			t.stale |= staleNewLeaf
		}
	}
	for i := range s.limbo {
		if s.limbo[i].ref == ref {
			s.limbo[i].stale = true
		}
	}
	for i := range s.named {
		if s.named[i].ref == ref {
			s.named[i].stale = true
		}
	}
}

// load makes t hold the root that is ref, and the leaf of it.
func (s *heapState) load(t *thread, ref uint8, stale bool) {
	t.rec, t.leaf, t.stale = ref, s.blk[ref].leaf, t.stale&^(staleRec|staleLeaf)
	if stale || !s.blk[ref].alloc {
		t.stale |= staleRec
	}
	if stale || !s.blk[t.leaf].alloc {
		t.stale |= staleLeaf
	}
}

// drop makes t forget the root it has loaded.
func (t *thread) drop() {
	t.rec, t.leaf = 0, 0
	t.stale &^= staleRec | staleLeaf
}

// retire puts a block into the limbo of A.
func (s *heapState) retire(e limboEntry) {
	for i := range s.limbo {
		if s.limbo[i].ref == 0 {
			s.limbo[i] = e
			return
		}
	}
	panic("protomodel: limbo too small for the scenario")
}

// unlimbo removes entry i.
func (s *heapState) unlimbo(i int) {
	copy(s.limbo[i:], s.limbo[i+1:])
	s.limbo[limboSize-1] = limboEntry{}
}

func (s *heapState) raiseHint(seq uint8) { s.hint = max(s.hint, seq) }

// checkHeap judges a state: what its last step broke, and that the published
// root is whole.
func checkHeap(s heapState) Invariant {
	if s.bad != Holds {
		return s.bad
	}
	if !s.blk[s.root].alloc || !s.blk[s.blk[s.root].leaf].alloc {
		return InvWalk
	}
	return Holds
}

func showHeap(s heapState) string {
	var b strings.Builder
	fmt.Fprintf(&b, "root %d (seq %d, leaf %d) hint %d", s.root, s.blk[s.root].birth, s.blk[s.root].leaf, s.hint)
	if s.gcseq != 0 {
		fmt.Fprintf(&b, " gcseq %d", s.gcseq)
	}
	b.WriteString(" alloc")
	for r := 1; r < heapRefs; r++ {
		if s.blk[r].alloc {
			fmt.Fprintf(&b, " %d/b%d", r, s.blk[r].birth)
		}
	}
	for i := range s.th {
		if p := s.th[i].pin; p != 0 {
			fmt.Fprintf(&b, "; %s pins %d", heapActors[i], p)
		}
	}
	for _, n := range s.named {
		if n.seq != 0 {
			fmt.Fprintf(&b, "; named %d (root %d)", n.seq, n.ref)
		}
	}
	for _, e := range s.limbo {
		if e.ref != 0 {
			fmt.Fprintf(&b, "; limbo %d [%d,%d)", e.ref, e.birth, e.retired)
		}
	}
	return b.String()
}
