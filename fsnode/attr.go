package fsnode

import (
	"errors"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
)

// blockSize is st_blksize: what programs use as their buffer, and so how much
// they write at once.
const blockSize = 64 << 10

// imageSize returns the length of the file that e shows.
func imageSize(e *engine.Entry) int64 {
	if e.HasImage() {
		return e.Size
	}
	var buf [encoding.MaxInferBytes]byte
	return int64(len(encoding.AppendImage(buf[:0], e.Scalar, e.NoEOL)))
}

// fileMode returns st_mode of e.
func fileMode(e *engine.Entry) uint32 {
	switch {
	case e.IsContainer():
		return syscall.S_IFDIR | e.Attr.Mode&0o7777
	case e.Link:
		return syscall.S_IFLNK | 0o777
	}
	return syscall.S_IFREG | e.Attr.Mode&0o7777
}

// setTimes splits the nanoseconds of mtime and ctime; atime is mtime.
func setTimes(a *fuse.Attr, mtime, ctime int64) {
	split := func(ns int64) (uint64, uint32) {
		t := time.Unix(0, ns)
		return uint64(t.Unix()), uint32(t.Nanosecond())
	}
	a.Mtime, a.Mtimensec = split(mtime)
	a.Atime, a.Atimensec = a.Mtime, a.Mtimensec
	a.Ctime, a.Ctimensec = split(ctime)
}

// fillAttr sets a to the attributes of e under the inode number ino.
func fillAttr(a *fuse.Attr, ino uint64, e *engine.Entry) {
	a.Ino = ino
	a.Mode = fileMode(e)
	a.Uid, a.Gid = e.Attr.UID, e.Attr.GID
	a.Blksize = blockSize
	setTimes(a, e.Attr.Mtime, e.Attr.Ctime)
	if e.IsContainer() {
		a.Size = e.Count
		a.Nlink = 2 + uint32(e.Subdirs)
		return
	}
	a.Nlink = 1
	setSize(a, imageSize(e))
}

// setSize sets the size of a file and the blocks that go with it.
func setSize(a *fuse.Attr, size int64) {
	a.Size = uint64(size)
	a.Blocks = (a.Size + 511) / 512
}

// fillEntry sets out to the reply that name stands for e in version seq.
func (fs *fileSystem) fillEntry(out *fuse.EntryOut, n *node, e *engine.Entry, seq uint64, name string) {
	out.NodeId = n.id
	fillAttr(&out.Attr, n.id, e)
	out.SetEntryTimeout(0)
	out.SetAttrTimeout(0)
	if fs.follow.show(n, seq, &fileName{uint64(e.Parent), name}, e.Parent, &out.Attr) {
		out.SetEntryTimeout(fs.opts.EntryTimeout)
		out.SetAttrTimeout(fs.attrTimeout(n))
	}
	if n.dir {
		fs.sawDir(n, e, seq)
	} else {
		n.tell(&out.Attr)
	}
}

// fillNameless sets out to the reply for a file that no name stands for.
func (fs *fileSystem) fillNameless(out *fuse.EntryOut, n *node, e *engine.Entry) {
	out.NodeId = n.id
	fillAttr(&out.Attr, n.id, e)
	out.SetEntryTimeout(0)
	out.SetAttrTimeout(0)
	n.tell(&out.Attr)
}

// attrTimeout returns how long the kernel may believe the attributes of n at
// most.
func (fs *fileSystem) attrTimeout(n *node) time.Duration {
	if n.frozen != nil {
		return frozenTimeout
	}
	if n.staged.Load() > 0 {
		return 0
	}
	return fs.opts.AttrTimeout
}

// GetAttr implements stat and fstat.
func (fs *fileSystem) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	fs.getattrs.Add(1)
	n := fs.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(errStale)
	}
	if n.virtual != nil {
		return fs.status("getattr", n, fs.virtualAttr(n, out))
	}
	var h *fileHandle
	if in.Flags()&fuse.FUSE_GETATTR_FH != 0 {
		h = fs.files.get(in.Fh())
	}
	own := true
	if h != nil && h.host == n {
		n, own = h.n, false
	}
	fs.settle(n, in.Pid)
	keep, err := fs.statNode(n, &out.Attr, own)
	again := fs.asked.has(in.Pid)
	late := errors.Is(err, errStale) && !again
	if late || again {
		fs.asked.set(in.Pid, late)
	}
	if late {
		// Not ENOENT, though that may be how it is: an open that is to make the file
		// asks for attributes, too, of the one that the kernel believes to be there.
		return fuse.Status(errStale)
	}
	if err != nil {
		return fs.status("getattr", n, err)
	}
	size, staged := n.stagedSize(h, in.Pid)
	if staged {
		setSize(&out.Attr, size)
	}
	if keep && !staged {
		out.SetTimeout(fs.attrTimeout(n))
	}
	if !n.dir {
		n.tell(&out.Attr)
	}
	return fuse.OK
}

// statNode sets a to the attributes of n, which may have lost its name. It
// reports whether the kernel may keep them; with tell set they are noted for
// that.
func (fs *fileSystem) statNode(n *node, a *fuse.Attr, tell bool) (keep bool, err error) {
	var seq uint64
	var parent engine.ID
	var dir engine.Entry
	err = fs.view(n, func(tx Tx, e *engine.Entry) error {
		if !n.dir && e.Link != n.link.Load() {
			return errStale // the kernel would give up a file that changes its type
		}
		seq, parent = tx.Seq(), e.Parent
		if n.dir {
			dir = *e
		}
		fillAttr(a, n.id, e)
		if n.orphan {
			a.Nlink = 0
		}
		return nil
	})
	if err == nil && n.dir && n.frozen == nil {
		fs.sawDir(n, &dir, seq)
	}
	if err == nil {
		return n.frozen != nil || tell && fs.follow.show(n, seq, nil, parent, a), nil
	}
	if !errors.Is(err, errStale) {
		return false, err
	}
	removed := fs.isRemovedDir(n)
	e := n.lastEntry()
	if e == nil || !removed && !fs.nodes.isOpen(n) && !n.isGone() {
		// The kernel does not say by which open file it asks.
		for _, guest := range n.guests() {
			_, err := fs.statNode(guest, a, false)
			a.Ino = n.id
			return false, err
		}
		return false, errStale
	}
	fillAttr(a, n.id, e)
	a.Nlink = 0
	return false, nil
}
