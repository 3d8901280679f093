package engine

import (
	"errors"
	"runtime"
	"runtime/debug"

	"pongofs/engine/container"
	"pongofs/engine/value"
)

// A long PutAll is done by several goroutines, as in Blelloch, Ferizovic and Sun
// (Just Join for Parallel Ordered Sets, SPAA 2016). The two subtrees of a node have
// no object in common and each key belongs to one of them, so they are edited at the
// same time, and then joined, whatever has become of their weights. The edit is one
// all the same: what the goroutines build has the same birth, and is sealed,
// published and given up together.

// laneMembers is how many members a goroutine is worth: it takes some 60
// microseconds to begin on another processor, as long as 20 to 30 members need.
const laneMembers = 128

// lanes returns how many goroutines may store so many members of c at once. When
// space is short it is one: each goroutine leases slabs of its own.
func (tx *Tx) lanes(c *openContainer, members int) int {
	if c.rec.Kind == value.KindList || members < 2*laneMembers || tx.crowded || tx.ed.cursor.Urgent {
		return 1 // in a list positions depend on what is before them
	}
	return runtime.GOMAXPROCS(0)
}

// lane is the part of an edit that another goroutine does.
type lane struct {
	tx   *Tx // of its own, with nothing but what storing scalars in c needs
	c    openContainer
	done stored
	err  error
	died any // what it has panicked with
}

// errLaneEnded is what a lane says that has ended in the middle.
var errLaneEnded = errors.New("a goroutine of the edit has ended")

// putHalves is putRange of the members that belong to the left and the right subtree
// of the body of c: from at[0] and from at[1], to at[2].
func (tx *Tx) putHalves(c *openContainer, b *batch, at [3]int, left, right container.Tree) (done stored, err error) {
	half := *b
	half.lanes = b.lanes / 2
	was := c.rec.Body
	l := tx.fork(c, right)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { l.died = recover() }()
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		tx.s.at("lane.begin")
		l.done, l.err = l.tx.putRange(&l.c, &half, at[1], at[2])
	}()
	func() {
		// Also when this panics: what the other one has built must be given up with
		// all the rest.
		defer func() {
			<-ended
			tx.join(c, l)
		}()
		c.rec.Body = left
		done, err = tx.putRange(c, &half, at[0], at[1])
	}()
	if l.died != nil {
		panic(l.died)
	}
	left, right = c.rec.Body, l.c.rec.Body
	c.rec.Body = was
	done.changed = done.changed || l.done.changed
	done.containers = append(done.containers, l.done.containers...)
	if err == nil {
		err = l.err
	}
	if done.changed {
		// Also after an error: whoever reads on finds a whole tree.
		t, jerr := container.Join(&tx.ed, was, left, right)
		if jerr != nil {
			return done, tx.fail(jerr)
		}
		c.rec.Body = t
	}
	c.rec.Elements = c.rec.Body.Count
	return done, err
}

// fork returns a lane that edits a subtree of the body of c.
func (tx *Tx) fork(c *openContainer, body container.Tree) *lane {
	l := &lane{tx: tx.s.getTx(), c: *c, err: errLaneEnded}
	l.c.rec.Body = body
	l.tx.writable, l.tx.version, l.tx.broken = true, nil, nil
	l.tx.dEntries, l.tx.now = 0, tx.time()
	l.tx.ed.begin(tx.s.heap, tx.ed.birth)
	return l
}

// join takes over what a lane has done, but for the tree.
func (tx *Tx) join(c *openContainer, l *lane) {
	tx.ed.adopt(&l.tx.ed)
	tx.dEntries += l.tx.dEntries
	if tx.broken == nil {
		tx.broken = l.tx.broken
	}
	c.dirty = c.dirty || l.c.dirty
	if l.c.rec.Wtime > c.rec.Wtime { // see touch
		c.rec.Mtime, c.rec.Wtime, c.rec.Ctime = l.c.rec.Mtime, l.c.rec.Wtime, l.c.rec.Ctime
	}
	tx.s.putTx(l.tx)
}
