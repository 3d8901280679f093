package fsnode

import (
	"errors"
	"math"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

// SetAttr implements chmod, chown, utimensat, truncate and ftruncate, and any
// of them together in one publish.
func (fs *fileSystem) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := fs.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(errStale)
	}
	if n.frozen != nil {
		return fuse.EROFS
	}
	if n.virtual != nil {
		err := fs.setVirtualAttr(n, in)
		if err == nil {
			err = fs.virtualAttr(n, out)
		}
		return fs.status("setattr", n, err)
	}
	if err := fs.setAttr(n, in); err != nil {
		fs.noteRefusal(n, in.Pid, err)
		return fs.status("setattr", n, err)
	}
	n.changed()
	if _, err := fs.statNode(n, &out.Attr, false); err != nil {
		return fs.status("setattr", n, err)
	}
	var h *fileHandle
	if fh, ok := in.GetFh(); ok {
		h = fs.files.get(fh)
	}
	if size, ok := n.stagedSize(h, in.Pid); ok {
		setSize(&out.Attr, size)
	}
	// The kernel takes this for the truth even if it has been told something newer
	// meanwhile, so it must not keep it.
	out.SetTimeout(0)
	return fuse.OK
}

func (fs *fileSystem) setAttr(n *node, in *fuse.SetAttrIn) error {
	change := attrChange(in)
	// A request for nothing is how the kernel asks for the end of set-id bits
	// alone: for a chown that names nobody, and before fallocate.
	const nothing = fuse.FATTR_FH | fuse.FATTR_CTIME
	forNothing := in.Valid&^nothing == 0
	also := func(tx Tx, e *engine.Entry) error {
		ch := change
		kill := in.Valid&fuse.FATTR_KILL_SUIDGID != 0 || ch.UID != nil || ch.GID != nil || forNothing
		if kill && !e.IsContainer() && ch.Mode == nil {
			if mode := withoutSetID(e.Attr.Mode); mode != e.Attr.Mode {
				ch.Mode = &mode
			}
		}
		key := e.Key
		dir := e.Parent
		if e.IsContainer() {
			dir, key = e.ID, value.Value{}
		}
		_, err := tx.SetAttr(dir, key, ch)
		return err
	}
	size, ok := in.GetSize()
	if !ok {
		err := fs.update(n, also)
		if errors.Is(err, errStale) && fs.isLeft(n) {
			n.changeLast(change)
			err = nil
		}
		return err
	}
	if size > math.MaxInt64 {
		return syscall.EFBIG
	}
	const sizeOnly = fuse.FATTR_SIZE | fuse.FATTR_FH | fuse.FATTR_LOCKOWNER | fuse.FATTR_CTIME
	if in.Valid&^sizeOnly == 0 {
		also = nil
	}
	if fh, ok := in.GetFh(); ok {
		if h := fs.files.get(fh); h != nil && h.file == nil {
			return fs.truncateHandle(h, int64(size), also)
		}
	}
	return n.edit(nil, func(fresh bool) (applied bool, err error) {
		err = fs.update(n, func(tx Tx, e *engine.Entry) error {
			applied = !isDrafted(e)
			return fs.alsoDo(tx, e, truncatePath(tx, e, fresh, int64(size)), also)
		})
		if err == nil {
			fs.store.gaveUp()
		}
		return applied, err
	})
}

// truncatePath is truncate(2), which has no handle to stage anything in: a
// declared scalar takes the cut text only if that is a value.
func truncatePath(tx Tx, e *engine.Entry, fresh bool, size int64) error {
	if e.IsContainer() {
		return syscall.EISDIR
	}
	if e.Link {
		return syscall.EINVAL
	}
	switch {
	case isDrafted(e):
	case fresh:
		return spliceFresh(tx, e, size, nil)
	default:
		return resize(tx, e, size)
	}
	if size > encoding.MaxDeclaredBytes {
		return tooLong(e, nil)
	}
	image, err := readImage(tx, e)
	if err != nil {
		return err
	}
	text := make([]byte, size)
	copy(text, image)
	_, err = publishText(tx, e, text)
	return err
}

// attrChange returns what a request says of mode, owner and time. Times of
// access are not kept.
func attrChange(in *fuse.SetAttrIn) engine.AttrChange {
	var ch engine.AttrChange
	if mode, ok := in.GetMode(); ok {
		ch.Mode = &mode
	}
	if uid, ok := in.GetUID(); ok {
		ch.UID = &uid
	}
	if gid, ok := in.GetGID(); ok {
		ch.GID = &gid
	}
	switch {
	case in.Valid&fuse.FATTR_MTIME == 0:
	case in.Valid&fuse.FATTR_MTIME_NOW != 0:
		now := time.Now().UnixNano()
		ch.Mtime = &now
	default:
		ns := unixNano(int64(in.Mtime), int64(in.Mtimensec))
		ch.Mtime = &ns
	}
	return ch
}

// unixNano returns a time in nanoseconds since the epoch, the nearest one that
// 64 bits hold.
func unixNano(sec, nsec int64) int64 {
	switch {
	case sec > math.MaxInt64/1_000_000_000-1:
		return math.MaxInt64
	case sec < math.MinInt64/1_000_000_000+1:
		return math.MinInt64
	}
	return sec*1_000_000_000 + nsec
}
