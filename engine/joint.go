package engine

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"pongofs/engine/epoch"
	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

// Joint edits: durable updates of several goroutines become one version.
//
// Callers that wait for the disk together share a checkpoint anyway. If they share
// the version as well, the path to the root is copied, sealed, listed and retired
// once for all of them, and fewer pages reach the disk. So the first of them,
// the leader, runs its function and then offers its edit to the others for as long
// as it would have waited for their company at the checkpoint. Each of them runs its
// function on it, one after the other, on its own goroutine. Then the leader publishes,
// makes the checkpoint, and lets all return. All of them or none take effect, in the
// order in which they ran; the swap is the linearization point of each. If there is
// nothing to publish, it is the last look at the root word, which must not have changed:
// the members have called Update after the leader, maybe after somebody's publish.
//
// Update promises nothing that this could break: a function may run again on a newer
// version, and it is called again, alone, whenever the joint edit comes to nothing:
// when one of the functions fails or panics, which may leave its edit half done;
// when somebody else has published meanwhile; when there is no space. And nobody
// waits for the function of another for longer than jointPatience: it may itself wait
// for something that a member holds, or even make an Update of its own. Then the
// members go their own ways, and the edit ends when that function does. A function
// that takes longer is thus called once in vain, if others are about.

// jointPatience is how long a leader waits for the function of another caller.
const jointPatience = 2 * time.Millisecond

// joints decides which updates join.
type joints struct {
	callers atomic.Int64 // durable updates under way

	mu     sync.Mutex
	open   *joint // that may be joined; nil if none
	expect int    // how many callers there were when the last of them was durable
	alone  int    // so many updates are made without an offer
	misses int    // how often nobody came, one time after the other
}

// joint is one edit of several updates.
type joint struct {
	s       *Store
	tx      *Tx
	pin     epoch.Pin
	contest contest

	// turn holds one token. Who has taken it owns all of the above and below.
	turn    chan struct{}
	members int
	spoiled bool // it must not be published

	expect int        // members
	base   layout.Ref // root record of the version that the edit is based on

	offered atomic.Bool   // the function of the leader has come back
	joined  atomic.Int64  // members, for the leader to watch
	closed  chan struct{} // closed when nobody may join any more
	isOver  bool          // that it is; guarded by joints.mu
	left    atomic.Bool   // the leader has lost its patience: whoever has the token ends the edit

	done  chan struct{} // closed at the end; what follows is final then
	again bool          // nothing was published: everybody begins again, alone
	err   error         // of the checkpoint
}

var (
	errJointAgain  = errors.New("the joint edit was given up")
	errJointClosed = errors.New("too late for the joint edit")
	errJointLost   = errors.New("the goroutine that published this update has panicked: whether it took effect is unknown")
)

// updateDurable is an Update that makes durable what it publishes.
//
// Preconditions: the caller has entered the store.
func (s *Store) updateDurable(fn func(*Tx) error) error {
	c := &s.joints
	c.callers.Add(1)
	defer c.callers.Add(-1)
	if s.readOnly {
		return ErrReadOnly
	}
	for range 2 { // who comes just too late for one finds another
		g, leads := c.join(s)
		if g == nil {
			break
		}
		follow := g.follow
		if leads {
			follow = g.lead
		}
		err := follow(fn)
		if errors.Is(err, errJointAgain) {
			break
		}
		if !errors.Is(err, errJointClosed) {
			return err
		}
	}
	s.ckpt.coming.Add(1)
	counted := true
	defer func() {
		if counted {
			s.ckpt.coming.Add(-1)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.expect = int(c.callers.Load())
	}()
	seq, err := s.update(fn)
	if err == nil && seq > 0 {
		counted = false
		err = s.syncTo(context.Background(), seq, true)
	}
	return err
}

// join returns the joint edit to take part in, and whether to lead it; nil if the
// update is to be made alone.
func (c *joints) join(s *Store) (g *joint, leads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.open != nil:
		return c.open, false
	case c.expect < 2:
		return nil, false
	case c.alone > 0:
		c.alone--
		return nil, false
	}
	c.open = &joint{
		s: s, contest: contest{s: s}, turn: make(chan struct{}, 1), expect: c.expect,
		closed: make(chan struct{}), done: make(chan struct{}),
	}
	return c.open, true
}

// close ends the offer of an edit, if it has not ended.
func (c *joints) close(g *joint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.isOver {
		return
	}
	g.isOver = true
	close(g.closed)
	c.open = nil
}

// ended notes how an offer went: how many were members in the end, 0 if it came to
// nothing.
func (c *joints) ended(members int) {
	const mostMisses = 6
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expect = int(c.callers.Load())
	switch {
	case members > 1:
		c.misses = 0
	default:
		c.alone = 1 << c.misses
		c.misses = min(c.misses+1, mostMisses)
	}
}

// lead makes a joint edit.
func (g *joint) lead(fn func(*Tx) error) error {
	s := g.s
	// First, so that it is undone last: giving up an edit may fault as well.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	ran := false
	defer func() {
		if !ran {
			s.joints.close(g)
		}
	}()
	if err := g.first(fn); err != nil {
		if errors.Is(err, ErrNoSpace) {
			return errJointAgain // which makes room
		}
		return err
	}
	ran = true
	members := 0
	g.again = true
	defer func() {
		s.joints.ended(members)
		close(g.done)
	}()
	g.gather()
	s.joints.close(g)
	if g.take() {
		n := g.members
		g.publish()
		if !g.again {
			members = n
		}
	}
	if g.again {
		return errJointAgain
	}
	return g.err
}

// first begins the edit, runs the function of the leader, and lets others have it.
// Without success it ends it: nobody has seen it yet.
func (g *joint) first(fn func(*Tx) error) error {
	s := g.s
	g.contest.begin()
	g.pin = s.epochs.Pin()
	g.tx = s.getTx()
	g.tx.writable, g.tx.version, g.tx.crowded = true, nil, false
	ran := false
	defer func() {
		if ran {
			g.offered.Store(true)
			g.turn <- struct{}{}
		} else {
			g.end(false)
		}
	}()
	if s.hdr.Poison.Load() != 0 {
		return ErrPoisoned
	}
	if err := g.tx.load(layout.Ref(s.hdr.Root.Load())); err != nil {
		return err
	}
	g.tx.ed.begin(s.heap, g.tx.root.Seq+1)
	g.tx.learn()
	g.base = g.tx.rootRef
	err := g.run(fn)
	ran = err == nil
	return err
}

// follow takes part in the edit of another caller.
func (g *joint) follow(fn func(*Tx) error) error {
	if !g.offered.Load() {
		// The function of the leader runs, which may wait for us.
		timer := time.NewTimer(jointPatience)
		defer timer.Stop()
		select {
		case <-g.turn:
		case <-g.closed:
			return errJointClosed
		case <-timer.C:
			// It takes long: others need not find that out for themselves.
			g.s.joints.close(g)
			return errJointAgain
		}
	} else {
		select {
		case <-g.turn:
		case <-g.closed: // the leader sees to that
			return errJointClosed
		}
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	err := func() error {
		defer g.pass()
		return g.run(fn)
	}()
	if errors.Is(err, errJointClosed) {
		return err
	}
	<-g.done
	if g.again {
		return errJointAgain
	}
	return g.err
}

// run calls fn with the edit. Whatever goes wrong spoils it. errJointClosed when it
// is not to be joined any more.
func (g *joint) run(fn func(*Tx) error) error {
	if g.tx.ed.cursor.Urgent {
		// A member frees space, for which it may use the last: that is not for the others.
		return errJointClosed
	}
	spoiled := g.spoiled || g.outdated()
	g.spoiled = true // unless fn comes back
	if spoiled {
		return errJointAgain
	}
	g.tx.now = 0 // each update has a time of its own
	g.tx.others = g.members > 0
	if err := fn(g.tx); err != nil {
		return err
	}
	if g.tx.broken != nil {
		return g.tx.broken
	}
	g.spoiled = false
	g.members++
	g.joined.Store(int64(g.members))
	if g.tx.ed.cursor.Urgent {
		g.s.joints.close(g)
	}
	return nil
}

// outdated reports whether somebody has published since the edit began.
func (g *joint) outdated() bool { return g.s.hdr.Root.Load() != uint64(g.base) }

// pass gives the token on. If the leader waits for it no more, the edit ends here.
func (g *joint) pass() {
	g.turn <- struct{}{}
	if !g.left.Load() {
		return
	}
	select {
	case <-g.turn:
		g.end(false)
	default: // somebody else has it, and comes by here, or is the leader
	}
}

// take waits for the token, and reports whether the leader has it: else who has it
// ends the edit.
func (g *joint) take() bool {
	select {
	case <-g.turn:
		return true
	default:
	}
	timer := time.NewTimer(jointPatience)
	defer timer.Stop()
	select {
	case <-g.turn:
		return true
	case <-timer.C:
	}
	g.left.Store(true)
	select {
	case <-g.turn:
		return true
	default:
		return false
	}
}

// gather waits for the callers that are expected. Those of a checkpoint under way come
// when it has ended, then within a few microseconds, less than a timer can measure; it
// waits at most half as long as a checkpoint takes.
func (g *joint) gather() {
	const longest = 250 * time.Microsecond
	c := &g.s.ckpt
	c.mu.Lock()
	limit, running := min(c.took/2, longest), c.running
	c.mu.Unlock()
	if running != nil {
		timer := time.NewTimer(jointPatience)
		defer timer.Stop()
		select {
		case <-running:
		case <-timer.C:
			return
		}
	}
	have := g.joined.Load()
	for start := time.Now(); have < int64(g.expect) && time.Since(start) < limit && !g.over(); {
		runtime.Gosched()
		before := have
		if have = g.joined.Load(); have == before {
			mapping.Yield()
		}
	}
}

// over reports whether there is nothing to wait for: nobody may join any more, or the
// edit can only come to nothing.
func (g *joint) over() bool {
	select {
	case <-g.closed:
		return true
	default:
		return g.outdated()
	}
}

// publish publishes the edit and makes it durable. The caller has the token.
func (g *joint) publish() {
	published := false
	seq := uint64(0)
	func() {
		defer func() { g.end(published) }()
		if g.spoiled || g.s.hdr.Poison.Load() != 0 {
			return
		}
		root, changed, err := g.tx.build()
		if err != nil {
			return
		}
		if !changed {
			// Members that came later than the leader have looked at the version that
			// the leader found: it must still be the newest.
			g.again = g.outdated()
			return
		}
		g.again, g.err = false, errJointLost // unless publish comes back
		published = g.s.publish(g.tx, root, &g.contest)
		g.again, g.err = !published, nil
		seq = g.tx.ed.birth
	}()
	if published {
		g.err = g.s.syncTo(context.Background(), seq, false)
	}
}

// end puts everything away. The caller has the token, or nobody else knows g.
func (g *joint) end(published bool) {
	s := g.s
	if !published {
		// What cannot be given up because the file is gone is lost, like all else.
		_ = safely(func() error {
			g.tx.ed.abandon()
			return nil
		})
	}
	g.tx.ed.end()
	g.tx.others = false
	s.putTx(g.tx)
	g.tx = nil
	s.epochs.Unpin(g.pin)
	g.contest.end(published)
	if published {
		s.epochs.Drain(false)
	}
}
