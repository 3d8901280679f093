package protomodel

import "fmt"

// What a checkpoint page claims besides its root: the length of the file and
// the next id.
//
// State: the present root, length and next id; for each root the length that it
// needs and the next id above its own; the length that the disk has for
// certain; what the checkpointer has taken so far and written.
//
// Steps: a writer grows the file, takes an id, and publishes a root that needs
// both. A checkpointer takes root, length and next id, one at a time, syncs,
// writes the page, and syncs. What a sync makes durable is the length at its
// begin.
//
// Invariants, as if the power failed in any state: the page claims no more than
// the disk has, or the store would be refused as truncated; the claimed length
// holds the root; no id in the root is given out again.

type sampleState struct {
	root, length, id uint8
	needs, ids       [4]uint8 // of each root
	durable          uint8    // length on the disk, at least
	pc               uint8
	took             struct{ root, length, id uint8 }
	begin            uint8 // length when the sync began
	page             struct{ root, length, id uint8 }
}

const sampleMost = 3 // of roots, of the length and of ids

func sampleScenario(off Mend) model[sampleState] {
	init := sampleState{root: 1, length: 1, id: 1, durable: 1}
	init.needs[1], init.ids[1] = 1, 1
	// The steps of the checkpointer, in order.
	const (
		takeRoot = iota
		takeLength
		takeID
		syncBegin
		syncEnd
		write
	)
	order := []int{takeRoot, takeLength, takeID, syncBegin, syncEnd, write}
	switch off {
	case SampleBeforeSync:
		order = []int{takeRoot, syncBegin, syncEnd, takeLength, takeID, write}
	case RootSampledFirst:
		order = []int{takeLength, takeID, takeRoot, syncBegin, syncEnd, write}
	}
	next := func(s sampleState, emit emitFunc[sampleState]) {
		if s.length < sampleMost {
			n := s
			n.length++
			emit("writer", "grows the file", n)
		}
		if s.id < sampleMost {
			n := s
			n.id++
			emit("writer", "takes an id", n)
		}
		if s.root < sampleMost {
			n := s
			n.root++
			n.needs[n.root], n.ids[n.root] = s.length, s.id
			emit("writer", "publishes a root in the last extent, with the last id", n)
		}
		if int(s.pc) == len(order) {
			return
		}
		n := s
		n.pc++
		var action string
		switch order[s.pc] {
		case takeRoot:
			n.took.root, action = s.root, "takes the root"
		case takeLength:
			n.took.length, action = s.length, "takes the file length"
		case takeID:
			n.took.id, action = s.id, "takes the next id"
		case syncBegin:
			n.begin, action = s.length, "begins the first sync"
		case syncEnd:
			n.durable, n.begin = max(s.durable, s.begin), 0
			action = "ends the first sync"
		case write:
			n.page, action = s.took, "writes the page"
		}
		emit("checkpointer", action, n)
	}
	check := func(s sampleState) Invariant {
		switch p := s.page; {
		case p.root == 0:
		case p.length > s.durable:
			return InvRefused
		case s.needs[p.root] > p.length:
			return InvRecover
		case s.ids[p.root] > p.id:
			return InvIDs
		}
		return Holds
	}
	show := func(s sampleState) string {
		return fmt.Sprintf("root %d length %d next id %d; on the disk length >= %d; taken %v; page %v",
			s.root, s.length, s.id, s.durable, s.took, s.page)
	}
	return model[sampleState]{
		init: init, next: next, check: check, show: show,
		goals: []goal[sampleState]{
			{"the page claims a grown file", func(s sampleState) bool { return s.page.root > 1 && s.page.length > 1 }},
		},
	}
}
