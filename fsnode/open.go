package fsnode

import (
	"context"
	"errors"
	"log/slog"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
	"pongofs/engine/value"
)

// Open opens a file. The truncation of O_TRUNC is only staged: the first write
// or the release publishes it.
func (fs *fileSystem) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := fs.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(errStale)
	}
	if n.virtual != nil {
		return fs.status("open", n, fs.openVirtual(n, in.Flags, out))
	}
	if n.frozen != nil {
		return fs.status("open", n, fs.openFrozen(n, in.Flags, out))
	}
	fs.settle(n, in.Pid)
	h := newFileHandle(n, in.Flags, in.Pid)
	if h.trunc {
		n.cutting.Lock()
		defer n.cutting.Unlock()
	}
	h.again = fs.late.has(in.Pid)
	err := fs.view(n, func(tx Tx, e *engine.Entry) error {
		if err := fs.openNode(h, n, tx, e); err != nil {
			return err
		}
		return fs.openEntry(h, tx, e, in.Flags)
	})
	if errors.Is(err, errStale) {
		err = fs.openStale(h, in.Flags)
	}
	late := errors.Is(err, errStale) && !h.again
	if late || h.again {
		fs.late.set(in.Pid, late)
	}
	if late {
		// Not ENOENT, though that may be how it is: the kernel does not say whether
		// the file is to be made.
		return fuse.Status(errStale)
	}
	if err != nil {
		return fs.status("open", n, err)
	}
	h.opened()
	if h.n != n {
		h.host = n
		h.n.lend(n, +1)
	}
	if e := h.n.lastEntry(); e != nil && n.believesOther(e) {
		fs.expireAttr(n)
	}
	h.kill = in.Mode&fuse.OPEN_KILL_SUIDGID != 0
	out.Fh = fs.files.add(h)
	out.OpenFlags = fileFlags(h.writable)
	return fuse.OK
}

// openNode counts h, which the kernel opens as the inode of n, as open on e: on n
// itself, or if others have put e in the place of the file that n stands for, on
// the node of e. errStale when the inode has pages of another file: they could not
// be told apart. The kernel then looks the name up again and opens another one.
//
// Preconditions: n.loc is held.
func (fs *fileSystem) openNode(h *fileHandle, n *node, tx Tx, e *engine.Entry) error {
	h.n = n
	if uint64(e.ID) == n.id || n.orphan {
		fs.nodes.opened(n)
		return nil
	}
	if !h.again || fs.nodes.isOpen(n) && n.holdsPages() {
		return errStale
	}
	for _, guest := range n.guests() {
		if guest.id != uint64(e.ID) && guest.holdsPages() {
			return errStale
		}
	}
	h.n = fs.nodes.open(e, tx.Seq())
	return nil
}

// newFileHandle returns a handle for open(2)'s flags.
func newFileHandle(n *node, flags, pid uint32) *fileHandle {
	mode := flags & syscall.O_ACCMODE
	return &fileHandle{
		n:        n,
		readable: mode != syscall.O_WRONLY,
		writable: mode != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0,
		trunc:    flags&syscall.O_TRUNC != 0,
		pid:      pid,
	}
}

// openEntry makes h a handle on e, which tx has returned. It takes the open of
// h.n back when it fails.
//
// Preconditions: h.n is counted as open.
func (fs *fileSystem) openEntry(h *fileHandle, tx Tx, e *engine.Entry, flags uint32) (err error) {
	defer func() {
		if err != nil {
			fs.nodes.closed(h.n)
		}
	}()
	if e.IsContainer() {
		return syscall.EISDIR
	}
	if e.Link && !h.n.link.Load() {
		return errStale // the kernel looks again, and follows it
	}
	if e.Link {
		return syscall.ELOOP
	}
	if h.readable && flags&syscall.O_TRUNC == 0 {
		v, err := loadVersion(fs.store, tx, e)
		if err != nil {
			return err
		}
		h.ver = v
	}
	h.base = base{e.Incarnation, imageSize(e)}
	h.n.setLast(e)
	return nil
}

// opened tells the node what h is open for. The table of nodes knows already
// that it is open, since the transaction that found the entry: whoever removes
// it makes it an orphan.
func (h *fileHandle) opened() {
	if h.writable {
		h.n.countWriter(+1)
	}
	if h.trunc {
		h.n.stageHandle(h, 0)
	}
}

// expireAttr makes the kernel ask for the attributes of n, which somebody
// outside this mount has changed: who opens a file and asks for its size then
// gets the size of what he reads. Without a range of pages, this takes no lock
// in the kernel that a request may hold, so it may be done during a request.
func (fs *fileSystem) expireAttr(n *node) {
	if fs.server == nil {
		return
	}
	const attrOnly = -1
	if st := fs.server.InodeNotify(n.id, attrOnly, 0); st != fuse.OK && st != fuse.ENOENT {
		fs.log.Debug("cannot expire attributes", slog.Uint64("ino", n.id), slog.Any("status", st))
	}
	n.forgetTold()
}

// openStale makes h a handle on what there is instead of an entry that is not
// where the kernel believes it to be.
//
// That is the image of a file that was removed, or replaced by another, through
// this mount between the caller's lookup of the name and its open; or what has
// become of the entry meanwhile; or the file that has the name now, which
// another mount has put there while the old one is open here. In that case the
// handle is on a node of its own, as if the caller had looked the name up a
// moment later; but first the kernel is told to look again (openNode). errStale for
// that, and when there is nothing.
func (fs *fileSystem) openStale(h *fileHandle, flags uint32) error {
	n := h.n
	if n.dir {
		return errStale
	}
	n.loc.RLock()
	defer n.loc.RUnlock()
	if n.gone {
		v, ok := n.copyGhost()
		if !ok {
			return errStale
		}
		if !h.trunc {
			h.ver = v
		}
		fs.nodes.opened(n)
		return nil
	}
	return fs.store.View(func(tx Tx) error {
		e, err := n.entry(tx)
		if errors.Is(err, errStale) {
			e, err = n.successor(tx, func(*engine.Entry) {})
		}
		if err == nil {
			err = fs.openNode(h, n, tx, &e)
		}
		if err != nil {
			return err
		}
		return fs.openEntry(h, tx, &e, flags)
	})
}

// Flush is called for each close of a descriptor. An unwritten truncation is
// left alone: bash opens, duplicates and closes before it writes.
func (fs *fileSystem) Flush(_ <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	h := fs.files.get(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	if h.file != nil {
		return fs.flushVirtual("flush", h, in.Pid)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n.staged.Load() > 0 {
		h.n.noteFlush(h)
		if err := fs.flushDraft(h); err != nil {
			h.refused = true
			fs.noteRefusal(h.n, in.Pid, err)
			return fs.status("flush", h.n, err)
		}
	}
	return fs.status("flush", h.n, fs.claim(h))
}

// claim applies the line of the sidecar that waits for the file of h, if it was
// made or written through h.
//
// Preconditions: h.mu is held.
func (fs *fileSystem) claim(h *fileHandle) error {
	if !h.changed {
		return nil
	}
	if kind := h.n.wantedKind(); kind != value.KindInvalid {
		if err := fs.claimWanted(h, kind); err != nil {
			return err
		}
	}
	waits := false
	var name string
	look := func(tx Tx, e *engine.Entry) error {
		dir, err := tx.Stat(e.Parent)
		if err != nil || !dir.HasXattr {
			return err
		}
		name, _ = nameOf(dir.Kind, e.Key)
		line, _, err := waitingLine(tx, &dir, name)
		waits = line.Name != ""
		return err
	}
	err := fs.view(h.n, look)
	if errors.Is(err, errStale) {
		return nil
	}
	if err != nil || !waits {
		return err
	}
	return fs.update(h.n, func(tx Tx, e *engine.Entry) error {
		dir, err := tx.Stat(e.Parent)
		if err != nil {
			return err
		}
		return claimLine(tx, &dir, name)
	})
}

// claimWanted declares the type that was set when the file was empty, once it
// is not.
//
// Preconditions: h.mu is held.
func (fs *fileSystem) claimWanted(h *fileHandle, kind value.Kind) error {
	empty := false
	err := fs.update(h.n, func(tx Tx, e *engine.Entry) error {
		if empty = imageSize(e) == 0; empty || e.Declared || e.Link {
			return errUnchanged
		}
		return declare(tx, e, kind)
	})
	if !empty {
		h.n.want(value.KindInvalid, 0)
	}
	if err != nil {
		h.refused = true
		fs.noteRefusal(h.n, h.pid, err)
	}
	return err
}

// Release is called when the last descriptor of a handle is closed.
func (fs *fileSystem) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	h := fs.files.remove(in.Fh)
	if h == nil {
		return
	}
	n := h.n
	if h.file != nil {
		if err := h.file.close(); err != nil {
			fs.status("release", n, err)
		}
		fs.nodes.closed(n)
		return
	}
	fs.releaseHandle(h)
	if h.host != nil {
		n.lend(h.host, -1)
	}
	if h.writable {
		n.countWriter(-1)
	}
	if fs.nodes.closed(n) {
		fs.dropOrphan(n)
		fs.rest(n)
	}
}

// releaseHandle publishes what h has staged, as far as that is possible.
func (fs *fileSystem) releaseHandle(h *fileHandle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := fs.flushDraft(h)
	// A descriptor is flushed before its release. What was not, none was made of: the
	// open failed behind the request, as that of a running program does.
	if err == nil && h.n.wasFlushed(h) {
		err = fs.flushTruncation(h)
	}
	if err == nil {
		err = fs.claim(h)
	}
	if err != nil && !errors.Is(err, errStale) {
		if !h.refused {
			fs.noteRefusal(h.n, h.pid, err)
		}
		fs.status("release", h.n, err)
	}
	h.n.unstageHandle(h)
	if err := h.ver.close(); err != nil {
		fs.status("release", h.n, err)
	}
}

// Fsync publishes what the handle has staged and makes the store durable.
func (fs *fileSystem) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	h := fs.files.get(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	if h.file != nil {
		return fs.flushVirtual("fsync", h, in.Pid)
	}
	if h.n.staged.Load() > 0 {
		if err := fs.publishStaged(h); err != nil {
			fs.noteRefusal(h.n, in.Pid, err)
			return fs.status("fsync", h.n, err)
		}
	}
	return fs.status("fsync", h.n, fs.sync(cancel))
}

// publishStaged publishes whatever h has staged.
func (fs *fileSystem) publishStaged(h *fileHandle) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := fs.flushDraft(h); err != nil {
		return err
	}
	return fs.flushTruncation(h)
}

// FsyncDir makes the store durable.
func (fs *fileSystem) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n := fs.nodes.get(in.NodeId)
	if n != nil && n.virtual != nil {
		return fuse.OK
	}
	return fs.status("fsyncdir", n, fs.sync(cancel))
}

// syncPatience is how long a sync goes on after its request was interrupted.
const syncPatience = time.Second

// sync makes durable what was published so far. An interrupt ends the wait, but
// only when the disk does not answer: signals come all the time (timers, children
// that end, the runtime of Go), local file systems finish an fsync all the same,
// and programs take EINTR from it for a failed disk.
func (fs *fileSystem) sync(cancel <-chan struct{}) error {
	ctx, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-cancel:
		}
		patience := time.NewTimer(syncPatience)
		defer patience.Stop()
		select {
		case <-ctx.Done():
		case <-patience.C:
			giveUp()
		}
	}()
	return fs.store.Sync(ctx)
}

// cancelContext is a context that ends with a request's cancel channel.
type cancelContext struct{ done <-chan struct{} }

// Deadline reports that there is none.
func (cancelContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done returns the cancel channel.
func (c cancelContext) Done() <-chan struct{} { return c.done }

// Err returns context.Canceled after the request was interrupted.
func (c cancelContext) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

// Value returns nil.
func (cancelContext) Value(any) any { return nil }
