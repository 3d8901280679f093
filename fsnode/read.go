package fsnode

import (
	"errors"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
)

// sequence is how a handle has been read so far.
//
// A handle that is read from offset 0 on, each read where the one before
// ended, stays on the version that the read at 0 found: so cat and cp see one
// version whatever happens meanwhile. A handle that is read in any other way
// (databases, mmap, tail) sees the newest version with each read.
type sequence struct {
	next   int64 // where the next read must begin
	active bool  // all reads since one at offset 0 were in sequence
	ended  bool  // the end of a version that is not the newest was reported
}

// Read reads from an open file.
func (fs *fileSystem) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	h := fs.files.get(in.Fh)
	if h == nil {
		return nil, fuse.EBADF
	}
	off := int64(in.Offset)
	if f, ok := h.file.(*frozenFile); ok {
		n, err := f.readAt(buf, off)
		return fuse.ReadResultData(buf[:n]), fs.status("read", h.n, err)
	}
	if h.file != nil {
		return fuse.ReadResultData(h.file.read(off, len(buf))), fuse.OK
	}
	// A read that fills the page cache, for mmap, names no lock owner.
	direct := in.ReadFlags&fuse.READ_LOCKOWNER != 0
	n, err := fs.readHandle(h, buf, off, direct)
	if err != nil {
		return nil, fs.status("read", h.n, err)
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// readHandle reads at off from the version that the rules of sequence choose.
func (fs *fileSystem) readHandle(h *fileHandle, p []byte, off int64, direct bool) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seesNothing() {
		return 0, nil
	}
	if h.draft != nil && h.draft.dirty {
		if !direct {
			h.n.readPages()
			h.n.gotPages(mixedPages, 0)
		}
		if off >= int64(len(h.draft.text)) {
			return 0, nil
		}
		return copy(p, h.draft.text[off:]), nil
	}
	s := &h.seq
	switch {
	case !direct:
		h.n.readPages()
		h.ver.seq = min(h.ver.seq, 1) // the hint may be behind what the follower has come to
		if err := fs.refresh(h); err != nil {
			return 0, err
		}
		h.n.gotPages(h.ver.inc, h.ver.size)
	case off == 0:
		*s = sequence{active: true}
		if err := fs.refresh(h); err != nil {
			return 0, err
		}
	case !s.active || off != s.next:
		s.active = false
		if err := fs.refresh(h); err != nil {
			return 0, err
		}
	case off >= h.ver.size:
		more, err := fs.extend(h)
		if err != nil || !more {
			return 0, err
		}
	}
	n, err := h.ver.readAt(p, off)
	if direct {
		s.next = off + int64(n)
	}
	return n, err
}

// refresh makes h.ver the newest image. A file that was removed from outside
// keeps the one it has.
//
// Preconditions: h.mu is held.
func (fs *fileSystem) refresh(h *fileHandle) error {
	next, err := fs.newest(h)
	if err != nil || next.seq == 0 {
		return err
	}
	h.ver.close()
	h.ver = next
	return nil
}

// extend moves a handle that has read all of its version to the newest one, if
// that begins with what was read, or else if the end was reported already. It
// reports whether there may be more to read.
//
// Preconditions: h.mu is held.
func (fs *fileSystem) extend(h *fileHandle) (bool, error) {
	next, err := fs.newest(h)
	if err != nil || next.seq == 0 {
		return false, err
	}
	if !h.seq.ended && !h.ver.isExtendedBy(&next) {
		h.seq.ended = true
		return false, next.close()
	}
	h.seq.ended = false
	h.ver.close()
	h.ver = next
	return true, nil
}

// newest returns the newest image when it is another than h.ver, and the zero
// version when it is the same or not known any more.
//
// Preconditions: h.mu is held.
func (fs *fileSystem) newest(h *fileHandle) (version, error) {
	if h.ver.seq != 0 && h.ver.seq == fs.store.Changed() {
		return version{}, nil
	}
	var next version
	err := fs.view(h.n, func(tx Tx, e *engine.Entry) error {
		same, err := h.ver.isImageOf(tx, e)
		if err != nil {
			return err
		}
		if same {
			h.ver.seq, h.ver.inc = tx.Seq(), e.Incarnation
			return nil
		}
		next, err = loadVersion(fs.store, tx, e)
		return err
	})
	if errors.Is(err, errStale) {
		if h.ver.seq == 0 {
			// It was opened with O_TRUNC: what it had since is gone.
			h.ver.seq = 1
		}
		return version{}, nil
	}
	return next, err
}
