package protomodel

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// Invariant is a promise of the store that no step may break. Holds stands for
// "all is well".
type Invariant uint8

// The invariants that the models check.
const (
	Holds Invariant = iota

	// InvWalk: a reader, a writer or the collector follows a reference to a
	// block that was freed, or freed and used again.
	InvWalk
	// InvOwner: two edits use one block, or it is freed twice, or it is freed
	// under the edit that is building it.
	InvOwner
	// InvPublish: a swap that succeeded is part of every later root, until the
	// power fails.
	InvPublish
	// InvRecover: whatever subset of the unsynced writes a power cut leaves, the
	// newest valid checkpoint page refers to whole blocks.
	InvRecover
	// InvSync: that page is no older than the last acknowledged sync.
	InvSync
	// InvRefused: a store that nobody damaged opens.
	InvRefused
	// InvIDs: an id that a durable root uses is not given out again.
	InvIDs
	// InvData: giving space back, or growing, destroys no live data.
	InvData
	// InvOneStore: everybody who has a store open shares one root word.
	InvOneStore
	// InvLeak: one collection after any kills frees all that is unreachable.
	InvLeak
)

var invariantNames = [...]string{
	Holds:       "all invariants hold",
	InvWalk:     "nobody walks a block that was freed or reused",
	InvOwner:    "a block has one owner and is freed once",
	InvPublish:  "no publish is lost",
	InvRecover:  "after a power cut the recovered root is whole",
	InvSync:     "after a power cut the root is no older than the last sync",
	InvRefused:  "a sound store is never refused",
	InvIDs:      "an id is never given out twice",
	InvData:     "no live data is cut off, punched out or overwritten",
	InvOneStore: "a store has one root word and one allocator",
	InvLeak:     "after a collection, allocated blocks = reachable blocks",
}

// String returns the invariant as a sentence.
func (i Invariant) String() string { return invariantNames[i] }

// model is a protocol reduced to a few words of state. S is the whole state of
// all processes, of shared memory and of the disk; it must be canonical: two
// states that behave alike should compare equal, so fields that no longer
// matter are zeroed.
type model[S comparable] struct {
	init S
	// next calls emit for each step that any process, the kernel or the power
	// supply can take in s. The order of the calls must depend on s only.
	next func(s S, emit emitFunc[S])
	// check judges a state. It is called once for each.
	check func(s S) Invariant
	// show prints a state on one line.
	show func(s S) string
	// goals are situations that the sound protocol must reach, or else the model
	// passes because nothing happens in it.
	goals []goal[S]
}

type emitFunc[S any] func(actor, action string, next S)

type goal[S any] struct {
	name  string
	holds func(S) bool
}

// TraceStep is one line of a counterexample.
type TraceStep struct {
	Actor  string // who
	Action string // does what
	State  string // and what the world looks like after it
}

// Outcome is what an exploration found.
type Outcome struct {
	States   int // distinct states seen
	Steps    int // steps between them
	Depth    int // length of the longest shortest path
	Broken   Invariant
	Trace    []TraceStep // from the initial state to the broken invariant
	Unmet    []string    // goals not reached
	Complete bool        // every reachable state was seen
}

// String prints the trace, one step a line, or the size of what was explored.
func (o Outcome) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d states, %d steps, depth %d", o.States, o.Steps, o.Depth)
	if o.Broken == Holds {
		return b.String()
	}
	fmt.Fprintf(&b, "\nBROKEN after %d steps: %s", len(o.Trace)-1, o.Broken)
	for i, t := range o.Trace {
		who := t.Actor + ": " + t.Action
		if i == 0 {
			who = t.Action
		}
		fmt.Fprintf(&b, "\n%3d. %-62s | %s", i, who, t.State)
	}
	return b.String()
}

// explore visits the states of m breadth-first until an invariant breaks, all
// are seen, or there are more than limit. A counterexample is therefore one of
// the shortest.
func explore[S comparable](m model[S], limit int) Outcome {
	var (
		out    Outcome
		states = []S{m.init}
		parent = []int32{-1}
		depth  = []int32{0}
		unmet  = append([]goal[S](nil), m.goals...)
		broken = int32(-1)
	)
	visit := func(i int32) {
		s := states[i]
		if inv := m.check(s); inv != Holds && broken < 0 {
			out.Broken, broken = inv, i
		}
		kept := unmet[:0]
		for _, g := range unmet {
			if !g.holds(s) {
				kept = append(kept, g)
			}
		}
		unmet = kept
		out.Depth = max(out.Depth, int(depth[i]))
	}
	seen := newTable[S]()
	seen.add(states, 0)
	visit(0)
	at := int32(0)
	for ; int(at) < len(states) && broken < 0 && len(states) <= limit; at++ {
		m.next(states[at], func(_, _ string, s S) {
			if broken >= 0 {
				return
			}
			out.Steps++
			i := int32(len(states))
			states = append(states, s)
			if !seen.add(states, i) {
				states = states[:i]
				return
			}
			parent = append(parent, at)
			depth = append(depth, depth[at]+1)
			visit(i)
		})
	}
	out.States = len(states)
	out.Complete = broken < 0 && int(at) == len(states)
	for _, g := range unmet {
		out.Unmet = append(out.Unmet, g.name)
	}
	if broken >= 0 {
		out.Trace = trace(m, states, parent, broken)
	}
	return out
}

// trace rebuilds the steps to states[last] by taking each again.
func trace[S comparable](m model[S], states []S, parent []int32, last int32) []TraceStep {
	var path []int32
	for i := last; i >= 0; i = parent[i] {
		path = append(path, i)
	}
	steps := []TraceStep{{Action: "initial state", State: m.show(states[0])}}
	for k := len(path) - 2; k >= 0; k-- {
		from, to := states[path[k+1]], states[path[k]]
		step := TraceStep{State: m.show(to)}
		m.next(from, func(actor, action string, s S) {
			if step.Action == "" && s == to {
				step.Actor, step.Action = actor, action
			}
		})
		steps = append(steps, step)
	}
	return steps
}

// table finds the states seen so far: an open-addressed table of their
// indexes, which takes half the memory of a map that holds the states again.
type table[S comparable] struct {
	seed  maphash.Seed
	slots []int32 // index+1, 0 for free
	used  int
}

func newTable[S comparable]() *table[S] {
	return &table[S]{seed: maphash.MakeSeed(), slots: make([]int32, 1<<12)}
}

// add enters states[i] and reports whether it is new. The order in which
// states are found does not depend on the seed.
func (t *table[S]) add(states []S, i int32) bool {
	if 2*t.used >= len(t.slots) {
		old := t.slots
		t.slots = make([]int32, 2*len(old))
		for _, x := range old {
			if x != 0 {
				t.slots[t.place(states, states[x-1])] = x
			}
		}
	}
	p := t.place(states, states[i])
	if t.slots[p] != 0 {
		return false
	}
	t.slots[p] = i + 1
	t.used++
	return true
}

// place returns the slot of s, or the free one where it belongs.
func (t *table[S]) place(states []S, s S) uint64 {
	mask := uint64(len(t.slots) - 1)
	for p := maphash.Comparable(t.seed, s) & mask; ; p = (p + 1) & mask {
		if x := t.slots[p]; x == 0 || states[x-1] == s {
			return p
		}
	}
}
