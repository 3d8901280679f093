package fsnode

import (
	"pongofs/engine"
)

// The truncation of O_TRUNC is published together with the first write of its
// handle, or at the close: so nobody finds a file empty between `>` and what
// follows. It has its place among the changes all the same. Whoever changes the
// file through another handle, one that did not begin with a truncation of its own,
// does so behind it: that change carries it out, and the handle that has asked for
// it is told (overtaken). What was appended to a file while somebody had it open
// with `>` is not lost when that one writes or closes at last.

// edit calls fn, which publishes a change of the image of n through h, nil for
// truncate(2). fn is told whether the old image counts no more, and returns
// whether it has taken that into account, which a declared scalar does in its own
// way.
//
// Edits of a file with a truncation to carry out exclude each other, so that it is
// carried out once, and an open that asks for one excludes them all (open).
//
// Preconditions: h.mu is held.
func (n *node) edit(h *fileHandle, fn func(fresh bool) (applied bool, err error)) error {
	n.cutting.RLock()
	if h != nil {
		h.truncates()
	}
	if n.staged.Load() == 0 {
		defer n.cutting.RUnlock()
		_, err := fn(false)
		return err
	}
	n.cutting.RUnlock()
	n.cutting.Lock()
	defer n.cutting.Unlock()
	fresh := h != nil && h.truncates()
	others := n.cuts(h)
	// Of two who both truncate and write, the one who writes last wins whole, where
	// other file systems leave a mixture.
	overtake := !fresh && (h == nil || h.draft == nil)
	applied, err := fn(fresh || overtake && len(others) > 0)
	if err == nil && applied {
		n.pass(others, overtake)
	}
	return err
}

// truncates reports whether the next write through h begins with an empty file.
//
// Preconditions: h.mu is held, and n.cutting if the answer is to stay true.
func (h *fileHandle) truncates() bool {
	if !h.trunc {
		return false
	}
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	if h.overtaken {
		h.trunc, h.overtaken = false, false
	}
	return h.trunc
}

// cuts returns the handles other than h whose truncation is not published.
func (n *node) cuts(h *fileHandle) (all []*fileHandle) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.active().stage {
		if s.cut && s != h {
			all = append(all, s)
		}
	}
	return all
}

// pass notes that a change has been published behind the truncations of some
// handles: these see it. With overtaken it has carried them out, so that what
// they write goes on from it.
func (n *node) pass(handles []*fileHandle, overtaken bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range handles {
		if s.settled != nil {
			s.overtaken = overtaken
			n.unstage(s)
		}
	}
}

// seesNothing reports whether the file is empty for h alone.
//
// Preconditions: h.mu is held.
func (h *fileHandle) seesNothing() bool {
	if !h.trunc {
		return false
	}
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	return h.settled != nil
}

// publishTruncation makes the image of e empty.
func publishTruncation(tx Tx, e *engine.Entry) error {
	if imageSize(e) == 0 {
		// O_TRUNC changes the time all the same.
		return touch(tx, e)
	}
	return putWhole(tx, e, nil)
}

// flushTruncation publishes a truncation that was not followed by a write. When
// another mount or program has changed the file since it was asked for, that
// change was the later one.
//
// Preconditions: h.mu is held.
func (fs *fileSystem) flushTruncation(h *fileHandle) error {
	if !h.trunc {
		return nil
	}
	h.n.cutting.Lock()
	defer h.n.cutting.Unlock()
	if !h.truncates() || !h.seesNothing() {
		return nil
	}
	err := fs.update(h.n, func(tx Tx, e *engine.Entry) error {
		if isDrafted(e) {
			// No text yet: that is no value of the type, unless of null.
			_, err := publishText(tx, e, nil)
			return err
		}
		if e.Incarnation != h.base.inc || imageSize(e) != h.base.size {
			return errUnchanged
		}
		err := publishTruncation(tx, e)
		if err == nil && h.kill {
			_, err = clearSetID(tx, e)
		}
		return err
	})
	if err == nil {
		h.trunc, h.kill = false, false
		h.n.unstageHandle(h)
		fs.store.gaveUp()
	}
	return err
}
