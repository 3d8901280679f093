package fsnode

import (
	"maps"
	"slices"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// fileName is a name in a directory as the kernel knows it: the zero value is
// none.
type fileName struct {
	dir  uint64 // node id of the directory
	name string
}

// held is what the kernel may hold of a node and believe for long: facts. The
// follower takes back those that are not true any more; see follower for what it
// may rely on. node.mu guards it.
//
// A fact counts as held from before the reply with it is written until the
// notification that ends it is queued. So what the kernel has is never more than
// what is noted here and what is queued.
//
// name changes under follower.mu as well, which keeps the index of names.
type held struct {
	name  fileName  // the one name under which the kernel finds the node
	attr  heldAttrs // how many different attributes it was told
	sum   uint64    // of them, if it is one
	pages bool      // it may have pages in its cache, which mmap uses
	inc   uint64    // incarnation and size of the image that all of them are from,
	size  int64     // or mixedPages
	// lent has other inodes of the kernel that may have such pages, with the
	// number of open files of each.
	lent   map[uint64]int
	guests map[*node]int // the reverse
	round  uint64        // of the follower, in which the node was noted as recent
}

// heldAttrs says what attributes the kernel may hold. It drops what comes in
// replies to requests that overtook each other, and not always the older ones:
// only if all replies said the same is it known what it has.
type heldAttrs uint8

const (
	noAttrs heldAttrs = iota
	oneAttrs
	someAttrs
)

// mixedPages is an incarnation that no image has: pages are from several.
const mixedPages = ^uint64(0)

// showAttrs notes that the kernel is told attributes with that sum.
func (h *held) showAttrs(sum uint64) {
	switch {
	case h.attr == noAttrs:
		h.attr, h.sum = oneAttrs, sum
	case h.sum != sum:
		h.attr = someAttrs
	}
}

// attrSum returns a sum of all attributes that the kernel keeps.
func attrSum(a *fuse.Attr) uint64 {
	const prime = 0x9e3779b97f4a7c15
	sum := uint64(prime)
	for _, w := range [...]uint64{
		a.Size, a.Mtime, a.Ctime, uint64(a.Mtimensec)<<32 | uint64(a.Ctimensec),
		uint64(a.Mode)<<32 | uint64(a.Nlink), uint64(a.Uid)<<32 | uint64(a.Gid),
	} {
		sum = (sum ^ w) * prime
		sum ^= sum >> 29
	}
	return sum
}

// changed notes that the kernel has changed n itself, so that what it has of
// the attributes is unknown.
func (n *node) changed() {
	n.mu.Lock()
	n.told.known = false
	if n.held.attr != noAttrs {
		n.held.attr = someAttrs
	}
	n.mu.Unlock()
}

// lend notes that the kernel has opened the file of n as the inode of host, whose
// pages are then pages of n, or gives that back.
func (n *node) lend(host *node, handles int) {
	n.mu.Lock()
	if n.held.lent == nil {
		n.held.lent = map[uint64]int{}
	}
	if n.held.lent[host.id] += handles; n.held.lent[host.id] == 0 {
		delete(n.held.lent, host.id)
	}
	n.mu.Unlock()
	host.mu.Lock()
	defer host.mu.Unlock()
	if host.held.guests == nil {
		host.held.guests = map[*node]int{}
	}
	if host.held.guests[n] += handles; host.held.guests[n] == 0 {
		delete(host.held.guests, n)
	}
}

// guests returns the nodes of other files that are open as the inode of n.
func (n *node) guests() []*node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.held.guests))
}

// holdsPages reports whether the kernel may have pages of n.
func (n *node) holdsPages() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.held.pages
}

// readPages notes that the kernel is about to get pages of n. It is called
// before the version is chosen that they come from, so that a follower who does
// not see the note has come to a version that is no newer than that one.
func (n *node) readPages() {
	n.mu.Lock()
	if !n.held.pages {
		n.held.pages, n.held.inc, n.held.size = true, 0, 0
	}
	n.mu.Unlock()
}

// gotPages notes which image the pages are from.
func (n *node) gotPages(inc uint64, size int64) {
	n.mu.Lock()
	switch h := &n.held; {
	case h.inc == 0:
		h.inc, h.size = inc, size
	case h.inc != inc || h.size != size:
		h.inc = mixedPages
	}
	n.mu.Unlock()
}

// wrotePages notes that pages which were changed through mmap have made the
// image of one incarnation and size another one: what the kernel has is that.
func (n *node) wrotePages(inc uint64, size int64, newInc uint64, newSize int64) {
	n.mu.Lock()
	switch h := &n.held; {
	case !h.pages || h.inc == 0:
	case h.inc == inc && h.size == size:
		h.inc, h.size = newInc, newSize
	default:
		h.inc = mixedPages
	}
	n.mu.Unlock()
}
