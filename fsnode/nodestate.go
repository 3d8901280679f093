package fsnode

import (
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
	"pongofs/engine/value"
)

// told is what the kernel was told of a file the last time.
type told struct {
	known bool // and it believes that still
	size  uint64
	mtime int64
}

// activity is what a node has beyond its place while it is in use. node.mu
// guards it.
type activity struct {
	stage []*fileHandle // handles with a truncation or draft not published
	last  *engine.Entry // as of the last open or removal, for what has no name; see sawDir
	ghost version       // the image at the removal, for an open that was on its way

	// writers counts the handles that are open for writing. A type that is set
	// while there are some and the file is empty is wanted, and declared when the
	// content is there; so is one that the process sets that has just made the
	// file with mknod: tar sets extended attributes first.
	writers int
	maker   uint32    // who made it with mknod and may have more to say
	fresh   time.Time // until then
	wanted  value.Kind
}

// active returns the activity of n.
//
// Preconditions: n.mu is held.
func (n *node) active() *activity {
	if n.act == nil {
		n.act = &activity{}
	}
	return n.act
}

// rest lets go what n needs only while it is open.
func (n *node) rest() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.act; a != nil && len(a.stage) == 0 && a.ghost.seq == 0 && a.writers == 0 && a.maker == 0 {
		n.act = nil
	}
}

// setLast remembers e for the time when n has no name any more.
func (n *node) setLast(e *engine.Entry) {
	c := *e
	n.mu.Lock()
	n.active().last = &c
	n.mu.Unlock()
}

// setNewerLast is setLast, unless e is nil or something newer is remembered.
func (n *node) setNewerLast(e *engine.Entry) {
	if e == nil {
		return
	}
	if last := n.lastEntry(); last == nil || last.Attr.Ctime <= e.Attr.Ctime {
		n.setLast(e)
	}
}

// changeLast changes the attributes of what is in use and has no entry any more:
// they are in the node alone.
func (n *node) changeLast(ch engine.AttrChange) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.act == nil || n.act.last == nil {
		return
	}
	e := *n.act.last
	if ch.Mode != nil {
		e.Attr.Mode = *ch.Mode&0o7777 | e.Attr.Mode&^0o7777
	}
	if ch.UID != nil {
		e.Attr.UID = *ch.UID
	}
	if ch.GID != nil {
		e.Attr.GID = *ch.GID
	}
	if ch.Mtime != nil {
		e.Attr.Mtime = *ch.Mtime
	}
	e.Attr.Ctime = time.Now().UnixNano()
	n.act.last = &e
}

// tell notes what the kernel is told of n.
func (n *node) tell(a *fuse.Attr) {
	n.mu.Lock()
	n.told = told{known: true, size: a.Size, mtime: int64(a.Mtime)*1e9 + int64(a.Mtimensec)}
	n.mu.Unlock()
}

// forgetTold notes that the kernel will ask again.
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
	a := n.active()
	if a.writers == 0 && (pid == 0 || a.maker != pid || time.Now().After(a.fresh)) {
		return false
	}
	a.wanted = kind
	return true
}

// madeBy notes who made a file without opening it.
func (n *node) madeBy(pid uint32) {
	const freshTime = 10 * time.Second
	n.mu.Lock()
	a := n.active()
	a.maker, a.fresh = pid, time.Now().Add(freshTime)
	n.mu.Unlock()
}

// wantedKind returns what want noted, if anything.
func (n *node) wantedKind() value.Kind {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.act == nil {
		return value.KindInvalid
	}
	return n.act.wanted
}

// countWriter notes that a handle for writing was opened or closed. The last
// one takes what was wanted with it.
func (n *node) countWriter(by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.active()
	if a.writers += by; a.writers == 0 {
		a.wanted, a.maker = value.KindInvalid, 0
	}
}

// setGhost keeps the image of a file that has lost its name: a process may have
// looked the name up and be about to open it.
func (n *node) setGhost(v version) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.act != nil {
		n.act.ghost.close()
	}
	if v.seq != 0 {
		n.active().ghost = v
	}
}

// copyGhost returns a copy of what setGhost keeps, if anything.
func (n *node) copyGhost() (version, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.act == nil || n.act.ghost.seq == 0 || n.act.ghost.size > unpinnedImage {
		return version{}, false
	}
	v, err := n.act.ghost.copy()
	return v, err == nil
}

// lastEntry returns what setLast remembered, if anything.
func (n *node) lastEntry() *engine.Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.act == nil {
		return nil
	}
	return n.act.last
}
