package fsnode

import (
	"sync"

	"pongofs/engine"
)

// nodeTable holds the nodes that the kernel knows or that are open.
type nodeTable struct {
	mu      sync.RWMutex
	byID    map[uint64]*node
	dropped func(*node) // called with each node that leaves, mu held
}

func newNodeTable() nodeTable {
	root := &node{id: uint64(engine.RootID), eid: engine.RootID, dir: true, lookups: 1}
	return nodeTable{byID: map[uint64]*node{root.id: root}}
}

// get returns the node of an id, nil when there is none.
func (t *nodeTable) get(id uint64) *node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byID[id]
}

// remember returns the node of e, which was found under its name in version
// seq, and counts a lookup.
func (t *nodeTable) remember(e *engine.Entry, seq uint64) *node {
	id := uint64(e.ID)
	t.mu.Lock()
	n := t.byID[id]
	known := n != nil
	if !known {
		n = t.add(e, seq)
	}
	n.lookups++
	t.mu.Unlock()
	if known {
		n.link.Store(e.Link)
		n.moved(e.ID, e.Parent, e.Key, seq)
	}
	return n
}

// add makes the node of e, which was found under its name in version seq.
//
// Preconditions: t.mu is held.
func (t *nodeTable) add(e *engine.Entry, seq uint64) *node {
	n := &node{id: uint64(e.ID), eid: e.ID, dir: e.IsContainer(), seq: seq}
	n.link.Store(e.Link)
	if n.orphan = e.Parent == engine.OrphansID; !n.orphan {
		n.parent, n.key = e.Parent, e.Key
	}
	t.byID[n.id] = n
	return n
}

// open returns the node of e, which was found under its name in version seq,
// and counts an open handle on it.
func (t *nodeTable) open(e *engine.Entry, seq uint64) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID[uint64(e.ID)]
	if n == nil {
		n = t.add(e, seq)
	}
	n.opens++
	return n
}

// rememberVirtual returns the node of a virtual file and counts a lookup.
func (t *nodeTable) rememberVirtual(id uint64, v virtual) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID[id]
	if n == nil {
		_, dir := v.(virtualDir)
		n = &node{id: id, virtual: v, dir: dir}
		if s, ok := v.(frozenSide); ok {
			n.frozen = s.dir.frozen
		}
		t.byID[id] = n
	}
	n.lookups++
	return n
}

// rememberFrozen returns the node of an entry of a frozen version and counts a
// lookup.
func (t *nodeTable) rememberFrozen(f *frozen, e *engine.Entry) *node {
	id := f.ino(e.ID)
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID[id]
	if n == nil {
		n = &node{id: id, eid: e.ID, frozen: f, dir: e.IsContainer(), parent: e.Parent, key: e.Key}
		n.link.Store(e.Link)
		t.byID[id] = n
	}
	n.lookups++
	return n
}

// forget takes back count lookups.
func (t *nodeTable) forget(id, count uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID[id]
	if n == nil || id == uint64(engine.RootID) {
		return
	}
	n.lookups -= min(count, n.lookups)
	t.drop(n)
}

// drop removes a node that nobody knows.
//
// Preconditions: t.mu is held.
func (t *nodeTable) drop(n *node) {
	if n.lookups == 0 && n.opens == 0 {
		delete(t.byID, n.id)
		n.setGhost(version{})
		if t.dropped != nil {
			t.dropped(n)
		}
	}
}

// lookedUp counts a lookup of n.
func (t *nodeTable) lookedUp(n *node) {
	t.mu.Lock()
	n.lookups++
	t.mu.Unlock()
}

// opened counts an open handle on n.
func (t *nodeTable) opened(n *node) {
	t.mu.Lock()
	n.opens++
	t.mu.Unlock()
}

// closed takes back an open handle and reports whether it was the last one.
func (t *nodeTable) closed(n *node) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.opens--
	t.drop(n)
	return n.opens == 0
}

// rest lets go what n has for open handles, if none is open.
func (t *nodeTable) rest(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.opens == 0 {
		n.rest()
	}
}

// each calls fn with every node that there was at the beginning, and holds no
// lock meanwhile.
func (t *nodeTable) each(fn func(*node)) {
	t.mu.RLock()
	all := make([]*node, 0, len(t.byID))
	for _, n := range t.byID {
		all = append(all, n)
	}
	t.mu.RUnlock()
	for _, n := range all {
		fn(n)
	}
}

// isKnown reports whether the kernel knows n.
func (t *nodeTable) isKnown(n *node) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return n.lookups > 0
}

// isOpen reports whether handles are open on n.
func (t *nodeTable) isOpen(n *node) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return n.opens > 0
}

// len returns the number of nodes.
func (t *nodeTable) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byID)
}
