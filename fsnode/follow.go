package fsnode

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
)

// follower keeps what the kernel has cached in step with the store: it takes
// back what others have changed, and what this mount has changed in ways that
// the kernel does not know of.
//
// # What is guaranteed
//
// The kernel may keep names and attributes for an hour. A fact is one of them:
// that a name of a directory stands for a node, or that a node has certain
// attributes. The follower has a version that it has come to, the base, and
// keeps this true whenever its lock is free:
//
//	(I) Each fact that the kernel has, or that is on its way to it to be kept,
//	    holds in the base, or its node is among the recent ones, or the
//	    notification that ends it is queued.
//
// Each round takes a newer version N and makes it the base, in one critical
// section together with taking the recent nodes. Then it checks against N the
// nodes that differ between the old base and N, and the recent ones, and queues
// a notification for each fact that does not hold in N. What it does not check
// is the same in the old base and in N. So N is behind the kernel by no more
// than the round and the queue need: some milliseconds, unless a directory's
// lock is held in the kernel.
//
// # Replies
//
// A reply that is computed from version s passes through show, in the same
// critical section:
//
//   - s < base: the base may have moved past a change of it, and nothing would
//     ever look at it again. The kernel is told to keep nothing. The name is noted
//     all the same, since the kernel has it for the request that asked.
//   - s = base: it holds in the base.
//   - s > base, which is usual behind this mount's own edits: the node becomes a
//     recent one. A difference between two bases does not show what came and went
//     in between, so it is checked itself.
//
// Show notes the fact in the node before the reply is written. So the follower
// may find a fact, and notify, while the reply is still on its way. That the
// reply does not bring it back afterwards is the kernel's doing:
//
//   - A name is put into the cache under the lock of its directory, which the
//     kernel holds from before it asks until it has taken the reply in. A
//     notification about the name takes the same lock, so it comes after, and
//     finds it. A name that is in the cache already may be asked for again without
//     the lock; it is dropped for good by the notification, and a late reply
//     extends the life of what no lookup finds any more.
//   - Attributes of an inode that the kernel has are dropped when it asked for
//     them before the notification. An inode that it does not have yet comes with
//     a name: the notification about attributes follows one about a name in its
//     directory (notifier.do), and finds it.
//   - The reply to SETATTR is believed whatever came before. It is never kept.
//   - A page is locked while it is read, and to drop pages waits for that.
//
// The first of these is not so in Linux 6.19 to 7.1, where a mount keeps nothing
// (overtakes).
//
// # Own edits
//
// The difference between two bases does not say who made it. Nothing is skipped
// for that reason: what the kernel was told, or has done itself, is noted in the
// node when the edit is published (the lock of its place is held meanwhile, and
// the follower takes that lock before it looks). If the note agrees with N there
// is nothing to notify. So it does not matter in which order own and foreign
// edits come.
//
// The kernel asks to rename or remove a name, not a node. If others have put
// another file there, it would move the wrong node, or take the wrong directory
// for dead. So the names that it was told are kept in an index, also in strict mode,
// and a request by one that stands for another file, or of which a notification is
// queued or under way (finds), gets ESTALE, on which the kernel asks for the name
// and comes back.
//
// # Opens
//
// The kernel opens inodes. One that comes by a name which others have given to
// another file gets ESTALE, once for each open(2): the kernel looks the name up and
// opens what it finds. If it comes back with the same inode, that is lent to the
// other file (openNode): pages of the file are then dropped from that inode, too
// (held.lent).
//
// # Bounds
//
// The follower pins the base, so that it can compare, for no longer than until
// the next round: to notify may take long, but is done by others (notifier).
// Several versions in one round are compared at once. When more differs than the
// kernel knows nodes, each of those is checked instead.
type follower struct {
	fs    *fileSystem
	notes notifier
	cache bool // the kernel may keep names and attributes

	mu     sync.Mutex
	base   uint64  // sequence of the base
	old    Version // the base of the last round that has ended; nil if it cannot be held
	round  uint64
	recent []*node
	names  map[fileName]*node // whose held.name it is
	ended  bool

	// Of the following goroutine alone.
	adrift map[*node]bool // open files that lost their name

	rounds, full atomic.Uint64
}

const (
	// roundGap is the least time between two rounds, in which changes gather. It
	// bounds what following costs beside many writes.
	roundGap = 2 * time.Millisecond
	// maxRecent is how many recent nodes there may be. Replies beyond that are
	// not kept.
	maxRecent = 1 << 16
	// minDifference is the length of a difference that is looked at whole,
	// however few nodes there are.
	minDifference = 1 << 10
)

// errDifference says that there is no difference to go by, or that it is longer
// than the list of all nodes.
var errDifference = errors.New("the difference is too long")

func newFollower(fs *fileSystem) *follower {
	return &follower{
		fs:     fs,
		notes:  notifier{log: fs.log},
		cache:  fs.opts.EntryTimeout > 0 || fs.opts.AttrTimeout > 0,
		round:  1,
		names:  map[fileName]*node{},
		adrift: map[*node]bool{},
	}
}

// run follows until ctx is done. If it cannot go on, the kernel keeps nothing
// from then on.
func (f *follower) run(ctx context.Context) {
	err := f.steps(ctx)
	f.setOld(nil)
	if ctx.Err() == nil {
		f.fs.log.Error("cannot follow the store: nothing is cached any more", slog.Any("err", err))
		f.mu.Lock()
		f.ended = true
		f.mu.Unlock()
		f.fs.nodes.each(f.expire)
		<-ctx.Done()
	}
	f.notes.close()
}

// steps makes a round whenever there is a newer version.
func (f *follower) steps(ctx context.Context) error {
	for {
		f.mu.Lock()
		base := f.base
		f.mu.Unlock()
		if _, err := f.fs.store.WaitChange(ctx, base); err != nil {
			return err
		}
		if err := f.step(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(roundGap):
		}
	}
}

// start takes the newest version as the base.
func (f *follower) start(to kernel) {
	f.notes.to = to
	v, err := f.fs.store.KeepNewest()
	if err != nil {
		return // the first round checks all nodes
	}
	f.mu.Lock()
	f.base, f.old = v.Seq(), v
	f.mu.Unlock()
}

// step is one round.
//
// It looks at versions that are kept, not at a View: it waits for requests that
// edit an entry, and these may wait for space, so for all short pins to end.
func (f *follower) step() error {
	f.rounds.Add(1)
	next, recent, err := f.advance()
	if errors.Is(err, engine.ErrClosed) {
		return err
	}
	if err != nil { // no pin is left: nothing can be compared
		f.full.Add(1)
		f.setOld(nil)
		f.fs.nodes.each(f.expire)
		return nil
	}
	err = next.View(func(now Tx) error {
		var lost []*node
		err := errDifference
		if f.old != nil {
			err = f.old.View(func(old Tx) error {
				var err error
				lost, err = f.compare(old, now)
				return err
			})
		}
		if err != nil {
			f.full.Add(1)
			lost = nil
			if err := f.checkSnapshots(now); err != nil {
				return err
			}
			f.fs.nodes.each(func(n *node) {
				if f.check(now, n) {
					lost = append(lost, n)
				}
			})
		}
		for _, n := range recent {
			if f.fs.nodes.get(n.id) == n && f.check(now, n) {
				lost = append(lost, n)
			}
		}
		f.find(now, lost)
		return nil
	})
	f.setOld(next)
	return err
}

// advance makes the newest version the base and returns it, and the nodes that
// were recent. All of them are as old as that version or older: a node that became
// a recent one behind it would be looked for where it is not yet, and a new
// directory would be taken for a removed one.
func (f *follower) advance() (Version, []*node, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next, err := f.fs.store.KeepNewest()
	if errors.Is(err, engine.ErrClosed) {
		return nil, nil, err
	}
	recent := f.recent
	f.recent = nil
	f.round++
	if err != nil {
		f.base = f.fs.store.Changed()
		return nil, nil, err
	}
	f.base = next.Seq()
	return next, recent, nil
}

// setOld makes v what later versions are compared with.
func (f *follower) setOld(v Version) {
	f.mu.Lock()
	old := f.old
	f.old = v
	f.mu.Unlock()
	if old != nil {
		_ = old.Close() // it only counts
	}
}

// show notes that a reply from version seq tells the kernel that at stands for
// n, unless that is nil, and that n has the attributes a and is in parent. It
// reports whether the kernel may keep that; see follower.
func (f *follower) show(n *node, seq uint64, at *fileName, parent engine.ID, a *fuse.Attr) bool {
	if !f.cache && at == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if at != nil && f.names[*at] != n {
		// Whether it may keep this or not, the kernel learns that it is not that one.
		f.displace(*at)
	}
	if at != nil {
		// It has the name even if it may not keep it.
		if old := f.setName(n, *at); old.dir != 0 && old != *at {
			f.notes.dropName(old, n.id, false) // one is all that a node remembers
		}
	}
	if seq < f.base || f.ended || len(f.recent) >= maxRecent {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !f.cache {
		f.note(n, seq) // the index must be right, too, where nothing is kept
		return false
	}
	if at == nil && !n.dir && n.held.name.dir != uint64(parent) {
		// The kernel finds the file where it is not: what changes there is not
		// looked at.
		return false
	}
	n.held.showAttrs(attrSum(a))
	f.note(n, seq)
	return true
}

// setName notes the name under which the kernel finds n, and returns the one
// before.
//
// Preconditions: f.mu is held.
func (f *follower) setName(n *node, to fileName) (old fileName) {
	n.mu.Lock()
	old, n.held.name = n.held.name, to
	n.mu.Unlock()
	if old == to {
		return old
	}
	if old.dir != 0 && f.names[old] == n {
		delete(f.names, old)
	}
	if to.dir != 0 {
		f.displace(to)
		f.names[to] = n
	}
	return old
}

// displace notes that the node that the kernel was told of under a name is not
// there any more. The reply that says so and the one that has said the other may
// both be on their way, so the name goes.
//
// Preconditions: f.mu is held.
func (f *follower) displace(at fileName) {
	n := f.names[at]
	if n == nil {
		return
	}
	delete(f.names, at)
	n.mu.Lock()
	n.held.name, n.held.attr = fileName{}, noAttrs
	n.mu.Unlock()
	f.notes.dropName(at, n.id, false)
}

// note makes n a recent node if what is told of it is newer than the base.
//
// Preconditions: f.mu and n.mu are held.
func (f *follower) note(n *node, seq uint64) {
	if seq > f.base && n.held.round != f.round {
		n.held.round = f.round
		f.recent = append(f.recent, n)
	}
}

// renamed notes that this mount, and so the kernel, has given n, which had the
// name from, the name to in version seq.
//
// Preconditions: n.loc is held for writing.
func (f *follower) renamed(n *node, seq uint64, from, to fileName) {
	f.moveName(n, seq, from, to)
	if f.fs.nodes.get(n.id) != n {
		f.forgot(n) // the kernel has forgotten it meanwhile
	}
}

func (f *follower) moveName(n *node, seq uint64, from, to fileName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// The kernel has moved the name, so the old one needs no notification. If what
	// it had under that name was being corrected, it may have moved another file.
	f.displace(to)
	if seq < f.base || f.ended || f.notes.busy(from.dir) {
		f.setName(n, fileName{})
		f.notes.dropName(to, n.id, false)
		return
	}
	if old := f.setName(n, to); old.dir != 0 && old != from {
		f.notes.dropName(old, n.id, false)
	}
	n.mu.Lock()
	f.note(n, seq)
	n.mu.Unlock()
}

// finds reports whether a thread may take a name for another file than e: the
// kernel has been told so, and not yet that it is not so. Others have put e there.
func (f *follower) finds(at fileName, e *engine.Entry, pid uint32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.names[at]; n != nil && n.id != uint64(e.ID) {
		return true
	}
	return f.notes.tells(at, pid, uint64(e.ID))
}

// takenFor returns the nodes that the kernel may take a name for: the one that it
// was told last, and those of which it is being told that they have lost it.
func (f *follower) takenFor(at fileName) []uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	nodes := f.notes.losers(at)
	if n := f.names[at]; n != nil {
		nodes = append(nodes, n.id)
	}
	return nodes
}

// forgot notes that the kernel does not know n any more.
func (f *follower) forgot(n *node) { f.letGo(n, fileName{}) }

// letGo notes that the kernel has lost the name at of n by what it has asked this
// mount to do. If it finds n under another one, that is gone as well.
func (f *follower) letGo(n *node, at fileName) {
	f.unname(n, at)
	n.mu.Lock()
	n.held.attr = noAttrs
	n.mu.Unlock()
}

// unname is letGo of a file that the kernel goes on knowing.
func (f *follower) unname(n *node, at fileName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if old := f.setName(n, fileName{}); at.dir != 0 && old.dir != 0 && old != at {
		f.notes.dropName(old, n.id, false)
	}
}

// pinned returns the sequence of the version that the follower holds, if any.
func (f *follower) pinned() (seq uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.old == nil {
		return 0, false
	}
	return f.old.Seq(), true
}

// followed returns the sequence of the newest version that was looked at whole.
func (f *follower) followed() uint64 {
	seq, _ := f.pinned()
	return seq
}

// isAhead reports whether the version of that sequence is newer than the base.
func (f *follower) isAhead(seq uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return seq > f.base
}

// isBase reports whether the base is the version of that sequence, so that what
// is told from it may be kept if the follower looks for its change.
func (f *follower) isBase(seq uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cache && !f.ended && seq == f.base
}
