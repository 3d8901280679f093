package fsnode

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

// errStale says that the entry of a node is not where the node says. The
// kernel answers ESTALE by looking the path up again.
const errStale = syscall.ESTALE

// node is one file that the kernel knows. Its number is the id of its entry,
// which is never reused, so a node stands for the same file for its whole life
// whatever name the file has.
type node struct {
	id      uint64      // node id and inode number
	virtual virtual     // what the node shows, nil for entries of the store
	frozen  *frozen     // the version that it is in, nil for the newest; it never changes
	dir     bool        // a container; its entry is found by id alone
	link    atomic.Bool // a symbolic link, as the kernel was told last

	// loc guards the fields that say where the entry is. Whoever reads or edits
	// the entry holds it for reading during the transaction, whoever moves or
	// removes the entry holds it for writing, so nobody in this mount sees an
	// entry between two names.
	loc    sync.RWMutex
	eid    engine.ID   // of the entry; differs from id after adopt. That of a directory never changes: it is read without loc
	parent engine.ID   // with key: its name, the last one of an orphan
	key    value.Value // invalid when it never had a name
	seq    uint64      // version of the store that this is from
	orphan bool        // the entry is in engine.OrphansID
	owned  bool        // it is an orphan of this mount, which removes it
	gone   bool        // the last name was removed and no orphan kept; see isGone

	// lookups and opens keep the node in the table; nodeTable.mu guards them.
	lookups uint64
	opens   int

	// cutting orders the edits of the image and the opens with O_TRUNC; see
	// truncation.go. It comes behind fileHandle.mu and before loc.
	cutting sync.RWMutex

	// staged counts the handles in stage, so that most requests need no lock.
	staged atomic.Int32

	mu   sync.Mutex
	told told
	held held
	act  *activity // nil for most
}

// place returns where the entry is kept.
//
// Preconditions: n.loc is held.
func (n *node) place() (engine.ID, value.Value) {
	if n.orphan {
		return engine.OrphansID, orphanKey(n.eid)
	}
	return n.parent, n.key
}

// isGone reports whether the last name was removed: through this mount, or that of a
// directory by others.
func (n *node) isGone() bool {
	n.loc.RLock()
	defer n.loc.RUnlock()
	return n.gone
}

// isRemovedDir reports whether n, which is not in the newest version, is a directory
// that was removed: whoever has it open or works in it can still ask for what a
// directory has.
func (fs *fileSystem) isRemovedDir(n *node) bool {
	if !n.dir || n.virtual != nil || n.frozen != nil {
		return false
	}
	if !n.isGone() {
		fs.buried(n, fs.follow.before(n.eid), ^uint64(0))
	}
	return n.isGone()
}

// buried notes that a directory is not in version seq any more: others have removed
// it. e is what is known of it, if anything.
func (fs *fileSystem) buried(n *node, e *engine.Entry, seq uint64) {
	n.loc.Lock()
	defer n.loc.Unlock()
	if n.gone || n.seq > seq {
		return
	}
	n.setNewerLast(e)
	n.gone = n.lastEntry() != nil
}

// rest lets go what n has for open handles, if none is open. What was removed keeps
// what it was last: n.loc is held so that it is not removed meanwhile.
func (fs *fileSystem) rest(n *node) {
	n.loc.RLock()
	defer n.loc.RUnlock()
	if !n.gone {
		fs.nodes.rest(n)
	}
}

// isLeft reports whether n, whose entry is gone, is still in use: whoever has it
// open can ask for what every file has.
func (fs *fileSystem) isLeft(n *node) bool { return fs.isRemovedDir(n) || fs.nodes.isOpen(n) }

// sawDir remembers what a directory was in version seq, if the follower has not come
// to that: others may remove it before.
func (fs *fileSystem) sawDir(n *node, e *engine.Entry, seq uint64) {
	if !n.dir || !fs.follow.isAhead(seq) {
		return
	}
	n.loc.RLock()
	defer n.loc.RUnlock()
	if !n.gone {
		n.setNewerLast(e)
	}
}

// entry returns the entry of n in tx, or errStale.
//
// Preconditions: n.loc is held.
func (n *node) entry(tx Reader) (engine.Entry, error) {
	if n.gone {
		return engine.Entry{}, errStale
	}
	if n.dir {
		e, err := tx.Stat(n.eid)
		if errors.Is(err, engine.ErrNotFound) {
			err = errStale
		}
		return e, err
	}
	e, err := tx.Lookup(n.place())
	if err == nil && e.ID == n.eid {
		return e, nil
	}
	if err == nil || isAbsent(err) {
		err = errStale
	}
	return engine.Entry{}, err
}

// isAbsent reports whether err says that there is no entry of that name, for
// whatever reason.
func isAbsent(err error) bool {
	return errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrNotContainer) || errors.Is(err, engine.ErrKey)
}

// moved notes that the entry was seen under a name in version seq, unless
// something newer is known or the node has an orphan of its own.
func (n *node) moved(id, parent engine.ID, key value.Value, seq uint64) {
	n.loc.RLock()
	same := n.eid == id && n.parent == parent && n.key == key && !n.orphan && !n.gone || seq < n.seq || n.owned
	n.loc.RUnlock()
	if same {
		return
	}
	n.loc.Lock()
	if seq >= n.seq && !n.owned {
		if n.eid != id { // it stood for what had its name before; see eid
			n.eid = id
		}
		n.placed(parent, key, seq)
	}
	n.loc.Unlock()
}

// errUnchanged ends an update that found nothing to do.
var errUnchanged = errors.New("nothing to change")

// view calls fn with the entry of n in the newest version.
func (fs *fileSystem) view(n *node, fn func(Tx, *engine.Entry) error) error {
	return fs.transact(n, fs.store.View, fn)
}

// update calls fn, perhaps several times, with the entry of n and publishes
// what it did. errUnchanged from fn publishes nothing and is no error.
func (fs *fileSystem) update(n *node, fn func(Tx, *engine.Entry) error) error {
	if n.frozen != nil {
		return syscall.EROFS
	}
	err := fs.transact(n, fs.store.Update, fn)
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// transact runs fn on the entry of n, looking for the entry elsewhere when it
// is not where it was.
//
// Finding it and using it are one transaction: other mounts may replace the
// file faster than this one could look and come back.
func (fs *fileSystem) transact(n *node, run func(func(Tx) error) error, fn func(Tx, *engine.Entry) error) error {
	if n.frozen != nil {
		return n.frozen.view(func(tx Tx) error {
			e, err := n.entry(tx)
			if err != nil {
				return err
			}
			return fn(tx, &e)
		})
	}
	err := func() error {
		n.loc.RLock()
		defer n.loc.RUnlock()
		return run(func(tx Tx) error {
			e, err := n.entry(tx)
			if err != nil {
				return err
			}
			return fn(tx, &e)
		})
	}()
	if !errors.Is(err, errStale) || n.dir || n.virtual != nil {
		return err
	}
	n.loc.Lock()
	defer n.loc.Unlock()
	if n.gone {
		return errStale
	}
	open := fs.nodes.isOpen(n)
	return run(func(tx Tx) error {
		e, err := fs.relocate(n, tx, open)
		if err != nil {
			return err
		}
		return fn(tx, &e)
	})
}

// relocate looks for the entry of a file that is not where it was, since
// somebody outside this mount moved or removed it, and notes where it is. It
// looks among the orphans, under the other form of the key (a dict that became a
// list or the reverse) and, for a file that is open, in the whole directory and
// in what has changed since the follower looked. A file that is not open becomes the one
// that has its name now: the caller means a name, and atomic replacement must
// never look like a missing file. errStale when it is nowhere.
//
// Preconditions: n.loc is held for writing; n is a file of the store and not
// gone.
func (fs *fileSystem) relocate(n *node, tx Tx, open bool) (engine.Entry, error) {
	set := func(e *engine.Entry) {
		n.eid = e.ID
		if n.orphan = e.Parent == engine.OrphansID; !n.orphan {
			n.placed(e.Parent, e.Key, tx.Seq())
		}
	}
	places := []struct {
		dir engine.ID
		key value.Value
	}{
		{n.parent, n.key},
		{engine.OrphansID, orphanKey(n.eid)},
		{n.parent, otherKey(n.key)},
	}
	for _, p := range places {
		if !p.key.IsValid() {
			continue
		}
		e, err := tx.Lookup(p.dir, p.key)
		if err == nil && e.ID == n.eid {
			set(&e)
			return e, nil
		}
		if err != nil && !isAbsent(err) {
			return e, err
		}
	}
	if !open {
		return n.successor(tx, set)
	}
	var found engine.Entry
	err := tx.Scan(n.parent, value.Value{}, false, func(e engine.Entry) bool {
		if e.ID != n.eid {
			return true
		}
		set(&e)
		found = e
		return false
	})
	switch {
	case err != nil && !isAbsent(err):
		return found, err
	case found.ID == 0:
		if found, err = fs.follow.locate(tx, n.eid); err != nil {
			return found, err
		}
		set(&found)
	}
	return found, nil
}

// successor returns the file of the same sort that has the name of n now, after
// telling it to found; errStale when there is none.
//
// Preconditions: n.loc is held.
func (n *node) successor(tx Reader, found func(*engine.Entry)) (engine.Entry, error) {
	e, err := tx.Lookup(n.parent, n.key)
	switch {
	case err != nil && !isAbsent(err):
		return e, err
	case err != nil || e.IsContainer() || e.Link != n.link.Load():
		return e, errStale
	}
	found(&e)
	return e, nil
}

// isMissing reports whether nothing has the name of n, so that whoever came by
// that name may be told so. It says no when the kernel must look the path up
// again: when the directories above have changed, too, or when this mount has
// removed the file itself, so that the kernel knows that the name is gone.
func (fs *fileSystem) isMissing(n *node) bool {
	const maxDepth = 4096
	if n.isGone() || n.id == uint64(engine.RootID) {
		return false
	}
	missing := false
	err := fs.store.View(func(tx Tx) error {
		missing = false
		for depth := 0; n.id != uint64(engine.RootID); depth++ {
			n.loc.RLock()
			parent, key, eid := n.parent, n.key, n.eid
			n.loc.RUnlock()
			if !key.IsValid() || depth > maxDepth {
				return errStale
			}
			e, err := tx.Lookup(parent, key)
			switch {
			case depth == 0 && errors.Is(err, engine.ErrNotFound):
			case err != nil:
				return err
			case depth == 0 || e.ID != eid:
				return errStale
			}
			if n = fs.nodes.get(uint64(parent)); n == nil {
				return errStale
			}
		}
		missing = true
		return nil
	})
	return err == nil && missing
}

// otherKey returns the key that an element of a list has as the entry of a
// dict, and the reverse; invalid when there is none.
func otherKey(k value.Value) value.Value {
	switch k.Kind() {
	case value.KindInt:
		return value.String(strconv.FormatInt(k.AsInt(), 10))
	case value.KindString:
		if i, ok := encoding.ListIndex(k.AsString()); ok {
			return value.Int(i)
		}
	}
	return value.Value{}
}
