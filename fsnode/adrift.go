package fsnode

import (
	"errors"
	"maps"
	"slices"

	"pongofs/engine"
	"pongofs/engine/value"
)

// Open files that others move are adrift: without the name that they had. The
// follower looks for them, and a request that comes before it looks itself.

// find looks where the entries of open files have gone that others have moved,
// and drops pages of those that have no name in the kernel.
func (f *follower) find(now Tx, lost []*node) {
	for _, n := range lost {
		f.adrift[n] = true
	}
	missing := map[engine.ID]*node{}
	for n := range f.adrift {
		if !f.fs.nodes.isOpen(n) {
			delete(f.adrift, n)
			continue
		}
		n.mu.Lock()
		named := n.held.name.dir != 0
		n.mu.Unlock()
		n.loc.RLock()
		e, err := n.entry(now)
		eid, orphan := n.eid, n.orphan || n.gone
		n.loc.RUnlock()
		switch {
		case named || orphan:
			delete(f.adrift, n)
		case err != nil:
			missing[eid] = n
		default:
			f.checkPages(n, &e)
		}
	}
	if len(missing) == 0 || f.old == nil {
		return
	}
	_ = f.old.View(func(old Tx) error { // who cannot be found is looked for when it is used
		return f.added(old, now, func(e *engine.Entry) bool {
			if n := missing[e.ID]; n != nil && e.Parent != engine.OrphansID {
				n.moved(e.ID, e.Parent, e.Key, now.Seq())
				f.checkPages(n, e)
				delete(missing, e.ID)
			}
			return len(missing) > 0
		})
	})
	// The others were removed.
	for _, n := range missing {
		delete(f.adrift, n)
	}
}

// checkPages drops the pages of n if e, its entry, has another image.
func (f *follower) checkPages(n *node, e *engine.Entry) {
	n.mu.Lock()
	stale := n.held.pages && (n.held.inc != e.Incarnation || n.held.size != imageSize(e))
	n.mu.Unlock()
	if stale {
		f.dropPages(n)
	}
}

// dropPages queues that the pages of n have changed.
func (f *follower) dropPages(n *node) {
	n.mu.Lock()
	n.held.pages = false
	lent := slices.Collect(maps.Keys(n.held.lent))
	n.mu.Unlock()
	f.notes.dropPages(n.id)
	for _, inode := range lent {
		f.notes.dropPages(inode)
	}
}

// added calls fn with each entry that has come to a place between two versions,
// until it returns false.
func (f *follower) added(old, now Tx, fn func(*engine.Entry) bool) error {
	store := f.fs.store
	errEnough := errors.New("enough")
	var both, fresh []engine.ID
	err := store.ChangedContainers(old, now, func(id engine.ID, was, is bool) error {
		switch {
		case was && is:
			both = append(both, id)
		case is:
			fresh = append(fresh, id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range both {
		err := store.ChangedMembers(old, now, id, func(a, b *engine.Entry) error {
			if b != nil && (a == nil || a.ID != b.ID) && !fn(b) {
				return errEnough
			}
			return nil
		})
		switch {
		case errors.Is(err, errEnough):
			return nil
		case errors.Is(err, engine.ErrKind):
			fresh = append(fresh, id)
		case err != nil:
			return err
		}
	}
	for _, id := range fresh {
		enough := false
		err := now.Scan(id, value.Value{}, false, func(e engine.Entry) bool {
			enough = !fn(&e)
			return !enough
		})
		if err != nil || enough {
			return err
		}
	}
	return nil
}

// viewOld calls fn with the base of the last round that has ended, if one is held;
// again when it was closed meanwhile, since then there is a newer one.
func (f *follower) viewOld(fn func(old Tx) error) error {
	const tries = 3
	for range tries {
		f.mu.Lock()
		old := f.old
		f.mu.Unlock()
		if old == nil {
			break
		}
		if err := old.View(fn); !errors.Is(err, engine.ErrClosed) {
			return err
		}
	}
	return errStale
}

// before returns a directory as it is in the base, nil if it is not there.
func (f *follower) before(id engine.ID) *engine.Entry {
	var e engine.Entry
	err := f.viewOld(func(old Tx) (err error) {
		e, err = old.Stat(id)
		return err
	})
	if err != nil {
		return nil
	}
	return &e
}

// locate returns where the entry of an id is in tx, for a request that has come
// before the follower: others have moved it since the base. errStale when it is
// nowhere.
func (f *follower) locate(tx Tx, id engine.ID) (found engine.Entry, err error) {
	err = f.viewOld(func(old Tx) error {
		return f.added(old, tx, func(e *engine.Entry) bool {
			if e.ID == id {
				found = *e
			}
			return e.ID != id
		})
	})
	if err == nil && found.ID == 0 {
		err = errStale
	}
	return found, err
}
