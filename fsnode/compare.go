package fsnode

import (
	"errors"
	"slices"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
)

// compare checks the nodes that differ between two versions. It returns open
// files that have no place any more.
func (f *follower) compare(old, now Tx) (lost []*node, err error) {
	limit := max(minDifference, f.fs.nodes.len())
	count := func() error {
		if limit--; limit < 0 {
			return errDifference
		}
		return nil
	}
	type changed struct {
		id      engine.ID
		was, is bool
	}
	var all []changed
	err = f.fs.store.ChangedContainers(old, now, func(id engine.ID, was, is bool) error {
		all = append(all, changed{id, was, is})
		return count()
	})
	if err != nil {
		return nil, err
	}
	whole := map[uint64]bool{} // directories of which all files are to be checked
	check := func(n *node) {
		if f.check(now, n) {
			lost = append(lost, n)
		}
	}
	for _, c := range all {
		if c.id == engine.SnapshotsID {
			if err := f.checkSnapshots(now); err != nil {
				return lost, err
			}
			continue
		}
		n := f.fs.nodes.get(uint64(c.id))
		if n == nil {
			continue // nothing in it is known by its name
		}
		check(n)
		if !c.was || !c.is {
			whole[n.id] = true
			continue
		}
		err := f.fs.store.ChangedMembers(old, now, c.id, func(a, b *engine.Entry) error {
			if a != nil {
				if n := f.fs.nodes.get(uint64(a.ID)); n != nil {
					check(n)
				}
			}
			if b != nil && (a == nil || a.ID != b.ID) {
				if n := f.fs.nodes.get(uint64(b.ID)); n != nil {
					n.moved(b.ID, b.Parent, b.Key, now.Seq())
					check(n)
				}
			}
			return count()
		})
		if errors.Is(err, engine.ErrKind) {
			whole[n.id] = true
			continue
		}
		if err != nil {
			return lost, err
		}
	}
	if len(whole) > 0 {
		f.fs.nodes.each(func(n *node) {
			n.mu.Lock()
			in := whole[n.held.name.dir]
			n.mu.Unlock()
			if in {
				check(n)
			}
		})
	}
	return lost, nil
}

// checkSnapshots drops the names of snapshots that are gone or others.
func (f *follower) checkSnapshots(now Tx) error {
	known := f.fs.frozens.snapshots()
	if len(known) == 0 {
		return nil
	}
	after, err := now.Snapshots()
	if err != nil {
		return err
	}
	for _, s := range known {
		if s.seq >= now.Seq() {
			continue // it was taken since
		}
		if slices.ContainsFunc(after, func(a engine.Snapshot) bool { return a.Name == s.name && a.Seq == s.seq }) {
			continue
		}
		f.notes.dropName(fileName{snapshotsID, s.name}, s.prefix|uint64(engine.RootID), false)
		f.fs.frozens.dropped(s.prefix)
	}
	return nil
}

// check takes back what the kernel holds of n and is not so in now. It reports
// whether n is an open file that is not where the kernel finds it.
func (f *follower) check(now Tx, n *node) (lost bool) {
	if n.virtual != nil || n.frozen != nil {
		return false
	}
	// Whoever edits the entry has noted what it has done when it lets go the lock.
	n.loc.RLock()
	eid, orphan := n.eid, n.orphan || n.gone
	n.loc.RUnlock()
	f.mu.Lock() // show holds it as long as a fact is half noted
	n.mu.Lock()
	h := n.held
	used := n.act != nil
	n.mu.Unlock()
	newer := h.round == f.round
	f.mu.Unlock()
	if newer {
		return false // the next round checks it against a version that knows it
	}

	var e engine.Entry
	there := false // e is the entry of n
	if h.name.dir != 0 {
		var err error
		e, err = lookup(now, engine.ID(h.name.dir), h.name.name)
		there = err == nil && uint64(e.ID) == n.id && (n.dir || e.Link == n.link.Load())
		lost = !there
	}
	gone := false
	if n.dir {
		var err error
		e, err = now.Stat(eid)
		there, gone = err == nil, err != nil
	}
	if gone && !orphan {
		f.fs.buried(n, f.before(eid), now.Seq())
	}
	if n.dir && there && used {
		f.fs.rest(n) // what it is now is in the base
	}
	attrs := h.attr != noAttrs
	if attrs && there && h.attr == oneAttrs && (n.dir || !lost && h.name.dir != 0) {
		var a fuse.Attr
		fillAttr(&a, n.id, &e)
		attrs = attrSum(&a) != h.sum
	}
	pages := h.pages && (!there || h.inc != e.Incarnation || h.size != imageSize(&e))
	if orphan && h.name.dir == 0 {
		pages = false // nobody else knows it
	}
	if !lost && !attrs && !pages {
		return !n.dir && !there && f.fs.nodes.isOpen(n) && !orphan
	}

	f.mu.Lock()
	lost = lost && f.names[h.name] == n // else given another name meanwhile, or displaced
	if attrs || lost {
		// What it was told last stays noted: until the notification arrives the
		// kernel believes it, and an open must see to that itself.
		n.mu.Lock()
		n.held.attr = noAttrs
		n.mu.Unlock()
	}
	if lost {
		f.setName(n, fileName{})
		// In one step with the index: a request by the name (finds) must come across
		// the node or the notification.
		f.notes.dropName(h.name, n.id, gone)
	}
	f.mu.Unlock()
	if attrs && !lost {
		f.notes.dropAttrs(h.name.dir, n.id)
	}
	if pages {
		f.dropPages(n)
	}
	return !n.dir && !there && f.fs.nodes.isOpen(n) && !orphan
}

// expire takes back all that the kernel holds of n.
func (f *follower) expire(n *node) {
	f.mu.Lock()
	name := f.setName(n, fileName{})
	n.mu.Lock()
	h := n.held
	n.held = held{lent: h.lent, guests: h.guests}
	n.mu.Unlock()
	if name.dir != 0 {
		f.notes.dropName(name, n.id, false) // in one step, as in check
	}
	f.mu.Unlock()
	if name.dir == 0 && h.attr != noAttrs {
		f.notes.dropAttrs(0, n.id)
	}
	if h.pages {
		f.dropPages(n)
	}
}
