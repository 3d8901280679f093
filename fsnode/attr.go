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

// fillEntry sets out to the reply for a name that stands for e.
func (fs *fileSystem) fillEntry(out *fuse.EntryOut, n *node, e *engine.Entry) {
	out.NodeId = n.id
	out.SetEntryTimeout(fs.opts.EntryTimeout)
	out.SetAttrTimeout(fs.attrTimeout(n))
	fillAttr(&out.Attr, n.id, e)
	if !n.dir {
		n.tell(&out.Attr)
	}
}

// attrTimeout returns how long the kernel may believe the attributes of n.
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
	n := fs.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(errStale)
	}
	if n.virtual != nil {
		return fs.status("getattr", n, fs.virtualAttr(n, out))
	}
	fs.settle(n, in.Pid)
	if err := fs.statNode(n, &out.Attr); err != nil {
		return fs.status("getattr", n, err)
	}
	var h *fileHandle
	if in.Flags()&fuse.FUSE_GETATTR_FH != 0 {
		h = fs.files.get(in.Fh())
	}
	if size, ok := n.stagedSize(h, in.Pid); ok {
		setSize(&out.Attr, size)
	}
	out.SetTimeout(fs.attrTimeout(n))
	if !n.dir {
		n.tell(&out.Attr)
	}
	return fuse.OK
}

// statNode sets a to the attributes of n, which may have lost its name.
func (fs *fileSystem) statNode(n *node, a *fuse.Attr) error {
	err := fs.view(n, func(_ Tx, e *engine.Entry) error {
		fillAttr(a, n.id, e)
		if n.orphan {
			a.Nlink = 0
		}
		return nil
	})
	if !errors.Is(err, errStale) {
		return err
	}
	e := n.lastEntry()
	if e == nil || !fs.nodes.isOpen(n) && !n.isGone() {
		return errStale
	}
	fillAttr(a, n.id, e)
	a.Nlink = 0
	return nil
}
