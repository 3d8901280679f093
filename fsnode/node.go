package fsnode

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

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
	id      uint64  // node id and inode number
	virtual virtual // what the node shows, nil for entries of the store
	dir     bool    // a container; its entry is found by id alone

	// loc guards the fields that say where the entry is. Whoever reads or edits
	// the entry holds it for reading during the transaction, whoever moves or
	// removes the entry holds it for writing, so nobody in this mount sees an
	// entry between two names.
	loc    sync.RWMutex
	eid    engine.ID // of the entry; differs from id after adopt
	parent engine.ID
	key    value.Value
	seq    uint64 // version of the store that parent and key are from
	gone   bool   // the last name was removed and no orphan kept
	owned  bool   // it is an orphan of this mount, which removes it

	// lookups and opens keep the node in the table; nodeTable.mu guards them.
	lookups uint64
	opens   int

	// staged counts the handles in stage, so that most requests need no lock.
	staged atomic.Int32

	mu    sync.Mutex
	stage []*fileHandle // handles with a truncation or draft not published
	last  *engine.Entry // as of the last open or removal, for what has no name
	ghost version       // the image at the removal, for an open that was on its way
	told  told          // what the kernel believes
	// writers counts the handles that are open for writing. A type that is set
	// while there are some and the file is empty is wanted, and declared when the
	// content is there; so is one that the process sets that has just made the
	// file with mknod: tar sets extended attributes first.
	writers int
	maker   uint32    // who made it with mknod and may have more to say
	fresh   time.Time // until then
	wanted  value.Kind
}

// told is what the kernel was told of a file the last time.
type told struct {
	known bool // and it believes that still
	size  uint64
	mtime int64
}

// isOrphan reports whether the entry has lost its name but is kept since it is
// open.
//
// Preconditions: n.loc is held.
func (n *node) isOrphan() bool { return n.parent == engine.OrphansID }

// isGone reports whether the last name was removed through this mount.
func (n *node) isGone() bool {
	n.loc.RLock()
	defer n.loc.RUnlock()
	return n.gone
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
	e, err := tx.Lookup(n.parent, n.key)
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

// setLast remembers e for the time when n has no name any more.
func (n *node) setLast(e *engine.Entry) {
	c := *e
	n.mu.Lock()
	n.last = &c
	n.mu.Unlock()
}

// tell notes what the kernel is told of n.
func (n *node) tell(a *fuse.Attr) {
	n.mu.Lock()
	n.told = told{known: true, size: a.Size, mtime: int64(a.Mtime)*1e9 + int64(a.Mtimensec)}
	n.mu.Unlock()
}

// forgetTold notes that the kernel will ask again: it has changed the file
// itself.
func (n *node) forgetTold() {
	n.mu.Lock()
	n.told.known = false
	n.mu.Unlock()
}

// believesOther reports whether the kernel may take the size or time of n for
// another than e has.
func (n *node) believesOther(e *engine.Entry) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.told.known && (n.told.size != uint64(imageSize(e)) || n.told.mtime != e.Attr.Mtime)
}

// want notes a type that a process wants a file to have when its content is
// written. It reports false when nobody is about to write it.
func (n *node) want(kind value.Kind, pid uint32) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.writers == 0 && (pid == 0 || n.maker != pid || time.Now().After(n.fresh)) {
		return false
	}
	n.wanted = kind
	return true
}

// madeBy notes who made a file without opening it.
func (n *node) madeBy(pid uint32) {
	const freshTime = 10 * time.Second
	n.mu.Lock()
	n.maker, n.fresh = pid, time.Now().Add(freshTime)
	n.mu.Unlock()
}

// wantedKind returns what want noted, if anything.
func (n *node) wantedKind() value.Kind {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wanted
}

// countWriter notes that a handle for writing was opened or closed. The last
// one takes what was wanted with it.
func (n *node) countWriter(by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.writers += by; n.writers == 0 {
		n.wanted, n.maker = value.KindInvalid, 0
	}
}

// setGhost keeps the image of a file that has lost its name: a process may have
// looked the name up and be about to open it.
func (n *node) setGhost(v version) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ghost.close()
	n.ghost = v
}

// copyGhost returns a copy of what setGhost keeps, if anything.
func (n *node) copyGhost() (version, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ghost.seq == 0 || n.ghost.size > unpinnedImage {
		return version{}, false
	}
	v, err := n.ghost.copy()
	return v, err == nil
}

// lastEntry returns what setLast remembered, if anything.
func (n *node) lastEntry() *engine.Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}

// moved notes that the entry was seen under a name in version seq, unless
// something newer is known.
func (n *node) moved(parent engine.ID, key value.Value, seq uint64) {
	n.loc.RLock()
	same := n.parent == parent && n.key == key && !n.gone || seq < n.seq
	n.loc.RUnlock()
	if same {
		return
	}
	n.loc.Lock()
	if seq >= n.seq {
		n.parent, n.key, n.seq, n.gone = parent, key, seq, false
	}
	n.loc.Unlock()
}

// nodeTable holds the nodes that the kernel knows or that are open.
type nodeTable struct {
	mu   sync.RWMutex
	byID map[uint64]*node
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
		n = &node{id: id, eid: e.ID, dir: e.IsContainer(), parent: e.Parent, key: e.Key, seq: seq}
		t.byID[id] = n
	}
	n.lookups++
	t.mu.Unlock()
	if known {
		n.moved(e.Parent, e.Key, seq)
	}
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
	}
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

// errUnchanged ends an update that found nothing to do.
var errUnchanged = errors.New("nothing to change")

// view calls fn with the entry of n in the newest version.
func (fs *fileSystem) view(n *node, fn func(Tx, *engine.Entry) error) error {
	return fs.transact(n, fs.store.View, fn)
}

// update calls fn, perhaps several times, with the entry of n and publishes
// what it did. errUnchanged from fn publishes nothing and is no error.
func (fs *fileSystem) update(n *node, fn func(Tx, *engine.Entry) error) error {
	err := fs.transact(n, fs.store.Update, fn)
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// transact runs fn on the entry of n, looking for the entry elsewhere when it
// is not where it was.
func (fs *fileSystem) transact(n *node, run func(func(Tx) error) error, fn func(Tx, *engine.Entry) error) error {
	for again := true; ; again = false {
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
		if !again || !errors.Is(err, errStale) || !fs.relocate(n) {
			return err
		}
	}
}

// relocate looks for the entry of a file that is not where it was: somebody
// outside this mount moved or removed it. It looks where that is cheap: among
// the orphans, under the other form of the key (a dict that became a list or
// the reverse) and, for a file that is open, in the whole directory. A file that
// is not open becomes the one that has its name now: the caller means a name,
// and atomic replacement must never look like a missing file. It reports
// whether there is an entry.
func (fs *fileSystem) relocate(n *node) bool {
	if n.dir || n.virtual != nil {
		return false
	}
	open := fs.nodes.isOpen(n)
	n.loc.Lock()
	defer n.loc.Unlock()
	if n.gone {
		return false
	}
	found := false
	err := fs.store.View(func(tx Tx) error {
		set := func(e *engine.Entry) {
			n.parent, n.key, n.seq = e.Parent, e.Key, tx.Seq()
			found = true
		}
		places := []struct {
			dir engine.ID
			key value.Value
		}{
			{n.parent, n.key},
			{engine.OrphansID, value.Int(int64(n.eid))},
			{n.parent, otherKey(n.key)},
		}
		for _, p := range places {
			if !p.key.IsValid() {
				continue
			}
			if e, err := tx.Lookup(p.dir, p.key); err == nil && e.ID == n.eid {
				set(&e)
				return nil
			}
		}
		if !open {
			e, err := tx.Lookup(n.parent, n.key)
			if err == nil && !e.IsContainer() && !e.Link {
				n.eid = e.ID
				set(&e)
			}
			return nil
		}
		return tx.Scan(n.parent, value.Value{}, false, func(e engine.Entry) bool {
			if e.ID == n.eid {
				set(&e)
			}
			return !found
		})
	})
	return err == nil && found
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

// len returns the number of nodes.
func (t *nodeTable) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byID)
}
