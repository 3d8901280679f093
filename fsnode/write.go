package fsnode

import (
	"bytes"
	"errors"
	"math"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
)

// Write publishes data in one step, if it leaves the file with a valid value.
func (fs *fileSystem) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	h := fs.files.get(in.Fh)
	if h == nil {
		return 0, fuse.EBADF
	}
	if in.Offset > math.MaxInt64-uint64(len(data)) {
		return 0, fuse.Status(syscall.EFBIG)
	}
	off := int64(in.Offset)
	if h.file != nil {
		err := h.file.write(off, data)
		fs.noteRefusal(h.n, in.Pid, err)
		if err != nil {
			return 0, fs.status("write", h.n, err)
		}
		return uint32(len(data)), fuse.OK
	}
	// Pages that were changed through mmap lie where they lie.
	mapped := in.WriteFlags&fuse.WRITE_CACHE != 0
	if in.Flags&syscall.O_APPEND != 0 && !mapped {
		off = atEnd
	}
	var pages *pageWrite
	if mapped {
		pages = &pageWrite{}
	}
	err := fs.writeHandle(h, off, data, in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0, pages)
	fs.noteRefusal(h.n, in.Pid, err)
	if err == nil && in.Flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0 && !mapped {
		err = fs.sync(cancel)
	}
	if err != nil {
		return 0, fs.status("write", h.n, err)
	}
	return uint32(len(data)), fuse.OK
}

// Writev is Write of data in several pieces, which the kernel never sends.
func (fs *fileSystem) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	if len(data) == 1 {
		return fs.Write(cancel, in, data[0])
	}
	return fs.Write(cancel, in, bytes.Join(data, nil))
}

// pageWrite is what a write of pages that were changed through mmap has made of
// an image.
type pageWrite struct {
	inc, newInc   uint64
	size, newSize int64
}

// note looks at the entry that was e before the write.
func (w *pageWrite) note(tx Reader, e *engine.Entry) error {
	now, err := tx.Lookup(e.Parent, e.Key)
	*w = pageWrite{e.Incarnation, now.Incarnation, imageSize(e), imageSize(&now)}
	return err
}

// writeHandle writes data at off, or at the end of the value for atEnd. For
// pages that were changed through mmap it notes in pages what they have become.
func (fs *fileSystem) writeHandle(h *fileHandle, off int64, data []byte, kill bool, pages *pageWrite) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	kill = kill || h.kill
	var killed bool
	var next *draft
	err := fs.edit(h, func(tx Tx, e *engine.Entry, fresh bool) error {
		next = nil
		if isDrafted(e) {
			var err error
			next, err = writeDraft(tx, e, h.draft, h.trunc, off, data)
			return err
		}
		if err := splice(tx, e, fresh, off, data); err != nil {
			return err
		}
		if pages != nil {
			if err := pages.note(tx, e); err != nil {
				return err
			}
		}
		if kill {
			var err error
			killed, err = clearSetID(tx, e)
			return err
		}
		return nil
	})
	if err != nil {
		h.refused = true
		return err
	}
	h.written(next)
	if pages != nil && pages.inc != 0 {
		h.n.wrotePages(pages.inc, pages.size, pages.newInc, pages.newSize)
	}
	if killed {
		// The kernel expects a write to change no mode.
		fs.expireAttr(h.n)
	}
	return nil
}

// truncateHandle is ftruncate(2): published at once, except for declared
// scalars.
func (fs *fileSystem) truncateHandle(h *fileHandle, size int64, also func(Tx, *engine.Entry) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var next *draft
	err := fs.edit(h, func(tx Tx, e *engine.Entry, fresh bool) error {
		next = nil
		var err error
		switch {
		case isDrafted(e):
			next, err = truncateDraft(tx, e, h.draft, h.trunc, size)
		case fresh:
			err = spliceFresh(tx, e, size, nil)
		default:
			err = resize(tx, e, size)
		}
		return fs.alsoDo(tx, e, err, also)
	})
	if err != nil {
		return err
	}
	h.written(next)
	return nil
}

// alsoDo calls also, which does the rest of a request whose change of the
// image ended with err; errUnchanged is no obstacle.
func (fs *fileSystem) alsoDo(tx Tx, e *engine.Entry, err error, also func(Tx, *engine.Entry) error) error {
	if also == nil || err != nil && !errors.Is(err, errUnchanged) {
		return err
	}
	return also(tx, e)
}

// written notes that a write or truncation through h has ended well and left
// the draft d, nil for values that need none.
//
// Preconditions: h.mu is held.
func (h *fileHandle) written(d *draft) {
	h.trunc, h.kill = false, false
	h.changed = true
	h.n.changed()
	h.draft = d
	h.seq.active = false
	if d != nil && d.dirty {
		h.n.stageHandle(h, int64(len(d.text)))
		return
	}
	h.n.unstageHandle(h)
}

// edit publishes a change of the image that is made through h; see node.edit.
//
// Preconditions: h.mu is held.
func (fs *fileSystem) edit(h *fileHandle, fn func(tx Tx, e *engine.Entry, fresh bool) error) error {
	return h.n.edit(h, func(fresh bool) (applied bool, err error) {
		err = fs.updateOpen(h, func(tx Tx, e *engine.Entry) error {
			applied = !isDrafted(e)
			return fn(tx, e, fresh)
		})
		return applied, err
	})
}

// updateOpen is update for an open file, which goes on without a name when
// somebody outside this mount has removed it.
//
// Preconditions: h.mu is held.
func (fs *fileSystem) updateOpen(h *fileHandle, fn func(Tx, *engine.Entry) error) error {
	err := fs.update(h.n, fn)
	if !errors.Is(err, errStale) {
		return err
	}
	if err := fs.adopt(h, fn); !errors.Is(err, errUnchanged) {
		return err
	}
	return nil
}

// Modes of fallocate(2).
const (
	keepSize  = 0x1
	punchHole = 0x2
	zeroRange = 0x10
)

// Fallocate extends a file, or zeroes a part of it. There is nothing to
// reserve, since a write takes new space in any case.
func (fs *fileSystem) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	h := fs.files.get(in.Fh)
	if h == nil || h.file != nil {
		return fuse.EBADF
	}
	if in.Mode&^(keepSize|punchHole|zeroRange) != 0 || in.Mode&(punchHole|keepSize) == punchHole {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	if in.Length == 0 || in.Offset > math.MaxInt64-in.Length {
		return fuse.EINVAL
	}
	off, end := int64(in.Offset), int64(in.Offset+in.Length)
	h.mu.Lock()
	defer h.mu.Unlock()
	err := fs.edit(h, func(tx Tx, e *engine.Entry, fresh bool) error {
		if isDrafted(e) {
			return syscall.EOPNOTSUPP
		}
		if err := allocate(tx, e, fresh, in.Mode, off, end); err != nil {
			return err
		}
		if h.kill {
			_, err := clearSetID(tx, e)
			return err
		}
		return nil
	})
	if err == nil {
		h.written(nil)
	}
	return fs.status("fallocate", h.n, err)
}

// allocate is fallocate of [off, end) on an image, in one of the modes that there
// are. fresh means that the old image does not count.
func allocate(tx Tx, e *engine.Entry, fresh bool, mode uint32, off, end int64) error {
	size := imageSize(e)
	if fresh {
		if mode&keepSize != 0 {
			end = 0
		}
		return spliceFresh(tx, e, end, nil)
	}
	if mode&(punchHole|zeroRange) != 0 && off < size {
		if err := zero(tx, e, off, min(end, size)); err != nil {
			return err
		}
	}
	if mode&keepSize != 0 || end <= size {
		return nil
	}
	now, err := tx.Lookup(e.Parent, e.Key)
	if err != nil {
		return err
	}
	return resize(tx, &now, end)
}

// zero overwrites a part of an image with zeros.
func zero(tx Tx, e *engine.Entry, off, end int64) error {
	for off < end {
		p := make([]byte, min(end-off, wholeImage))
		now, err := tx.Lookup(e.Parent, e.Key)
		if err != nil {
			return err
		}
		if err := splice(tx, &now, false, off, p); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}
