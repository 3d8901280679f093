package fsnode

import (
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
)

// sidecar is the file .pongo-types of a directory. It says what a copy of the
// directory by names, contents and modes alone would lose: declared types that
// the bytes do not show, that the directory is a list or collection, and long
// keys. Its content is made of the directory when it is read, and writing it
// changes the directory; only its attributes are stored, see sideInfo.
type sidecar struct {
	fs  *fileSystem
	dir *node
}

// parent is the directory that the sidecar speaks of.
func (s sidecar) parent() uint64 { return s.dir.id }

func (s sidecar) path() string { return sidecarPath(s.fs.path(s.dir)) }

// sidecarPath returns the path of the sidecar of a directory.
func sidecarPath(dir string) string { return strings.TrimSuffix(dir, "/") + "/" + encoding.SidecarName }

// content returns the sidecar as of the newest version.
func (s sidecar) content() (sideContent, error) {
	var c sideContent
	seq := s.fs.store.Changed()
	known := false
	s.fs.sides.with(s.dir.eid, func(st *sideState) {
		if st.seq == seq && seq != 0 {
			c, known = st.made, true
		}
	})
	if known {
		return c, nil
	}
	err := s.fs.view(s.dir, func(tx Tx, dir *engine.Entry) error {
		var err error
		seq = tx.Seq()
		c, err = makeSidecar(tx, dir)
		return err
	})
	if errors.Is(err, errStale) {
		err = engine.ErrNotFound
	}
	if err == nil && len(c.text) < smallImage {
		s.fs.sides.with(s.dir.eid, func(st *sideState) { st.seq, st.made = seq, c })
	}
	return c, err
}

// attr describes the sidecar, if there is one.
func (s sidecar) attr(a *fuse.Attr) error {
	size := int64(-1)
	for _, w := range s.fs.sides.writers(s.dir.eid) {
		size = max(size, w.size())
	}
	if size < 0 && s.fs.sides.isHidden(s.dir.eid) {
		return engine.ErrNotFound
	}
	c, err := s.content()
	if err != nil {
		return err
	}
	if size < 0 && len(c.text) == 0 && !s.fs.sides.lingers(s.dir.eid, false) {
		return engine.ErrNotFound
	}
	if size < 0 {
		size = int64(len(c.text))
	}
	c.fill(a, size)
	return nil
}

// fill sets the attributes of a sidecar of a size.
func (c *sideContent) fill(a *fuse.Attr, size int64) {
	a.Mode = syscall.S_IFREG | c.info.mode
	a.Uid, a.Gid = c.info.uid, c.info.gid
	a.Nlink = 1
	a.Blksize = blockSize
	setSize(a, size)
	setTimes(a, c.mtime, c.mtime)
}

// open opens the sidecar with the content that it has now.
func (s sidecar) open(flags uint32) (openFile, error) {
	c, err := s.content()
	if err != nil {
		return nil, err
	}
	if flags&syscall.O_ACCMODE == syscall.O_RDONLY && flags&syscall.O_TRUNC == 0 {
		return fixedFile(c.text), nil
	}
	f := &sideFile{virtualText: virtualText{longest: maxSidecar}, side: s}
	if flags&syscall.O_TRUNC == 0 {
		f.text = append(f.text, c.text...)
	}
	s.fs.sides.with(s.dir.eid, func(st *sideState) {
		st.hidden, st.fresh = time.Time{}, time.Time{}
		st.writers = append(st.writers, f)
	})
	return f, nil
}

// isHiddenFrom reports whether a process is told that there is no sidecar.
func (s sidecar) isHiddenFrom(pid uint32) bool { return s.fs.sides.isFreshFor(s.dir.eid, pid) }

// create makes a sidecar where there is none, or opens the one there is.
func (s sidecar) create(in *fuse.CreateIn) (openFile, error) {
	var a fuse.Attr
	err := s.attr(&a)
	if err == nil && in.Flags&syscall.O_EXCL != 0 && !s.isHiddenFrom(in.Pid) {
		return nil, syscall.EEXIST
	}
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return nil, err
	}
	f, err := s.open(in.Flags | syscall.O_TRUNC)
	if err != nil {
		return nil, err
	}
	err = s.edit(func(info *sideInfo) {
		info.mode, info.uid, info.gid = in.Mode&0o777, in.Uid, in.Gid
		info.mtime, info.sum = time.Now().UnixNano(), 0
	})
	if err != nil {
		s.closed(f.(*sideFile))
	}
	return f, err
}

// closed forgets an open file.
func (s sidecar) closed(f *sideFile) {
	s.fs.sides.with(s.dir.eid, func(st *sideState) {
		for i, w := range st.writers {
			if w == f {
				st.writers = append(st.writers[:i], st.writers[i+1:]...)
				break
			}
		}
	})
}

// remove hides the sidecar for a while. It changes no type: tar, git and cp
// unlink and create again.
func (s sidecar) remove() error {
	var a fuse.Attr
	if err := s.attr(&a); err != nil {
		return err
	}
	err := s.fs.update(s.dir, func(tx Tx, dir *engine.Entry) error {
		info, err := readSideInfo(tx, dir)
		if err != nil {
			return err
		}
		if !info.pending {
			return errUnchanged
		}
		return info.setPending(tx, dir, nil)
	})
	if err != nil {
		return err
	}
	s.fs.sides.with(s.dir.eid, func(st *sideState) {
		st.hidden, st.listed = time.Now().Add(hideTime), time.Time{}
	})
	return nil
}

// setAttr changes mode, owner and time.
func (s sidecar) setAttr(in *fuse.SetAttrIn) error {
	ch := attrChange(in)
	if ch.Mtime != nil {
		for _, w := range s.fs.sides.writers(s.dir.eid) {
			w.setTime(*ch.Mtime)
		}
	}
	return s.edit(func(info *sideInfo) {
		if ch.Mode != nil {
			info.mode = *ch.Mode & 0o777
		}
		if ch.UID != nil {
			info.uid = *ch.UID
		}
		if ch.GID != nil {
			info.gid = *ch.GID
		}
		if ch.Mtime != nil {
			info.mtime = *ch.Mtime
		}
	})
}

// edit changes the stored attributes. The time holds for the present content.
func (s sidecar) edit(fn func(*sideInfo)) error {
	return s.fs.update(s.dir, func(tx Tx, dir *engine.Entry) error {
		c, err := makeSidecar(tx, dir)
		if err != nil {
			return err
		}
		info := c.info
		info.mtime, info.sum = c.mtime, sideSum(c.text)
		fn(&info)
		return info.write(tx, dir)
	})
}

// apply makes text the content of the sidecar.
func (s sidecar) apply(text []byte, mtime int64) error {
	lines, err := encoding.ParseSidecar(text)
	if err != nil {
		return err
	}
	err = s.fs.update(s.dir, func(tx Tx, dir *engine.Entry) error {
		info, err := readSideInfo(tx, dir)
		if err != nil {
			return err
		}
		info.mtime = mtime
		return applySidecar(tx, dir, lines, info)
	})
	if err == nil {
		s.applied()
	}
	return err
}

// applied is called when lines were applied: the entries may have other keys.
func (s sidecar) applied() {
	s.fs.sides.with(s.dir.eid, func(st *sideState) { st.hidden, st.fresh = time.Time{}, time.Time{} })
	s.fs.rekey(s.dir.eid)
}

// replace implements rename onto the sidecar, as rsync does it.
func (s sidecar) replace(tx Tx, src *engine.Entry) error {
	if imageSize(src) > maxSidecar {
		return syscall.EFBIG
	}
	text, err := readImage(tx, src)
	if err != nil {
		return err
	}
	lines, err := encoding.ParseSidecar(text)
	if err != nil {
		return err
	}
	if err := tx.Remove(src.Parent, src.Key); err != nil {
		return err
	}
	dir, err := tx.Stat(s.dir.eid)
	if err != nil {
		return err
	}
	info, err := readSideInfo(tx, &dir)
	if err != nil {
		return err
	}
	info.mode, info.uid, info.gid = src.Attr.Mode&0o777, src.Attr.UID, src.Attr.GID
	info.mtime = src.Attr.Mtime
	return applySidecar(tx, &dir, lines, info)
}

// listSidecar ends a listing with the sidecar, if there is one.
func (fs *fileSystem) listSidecar(d *dirHandle, add func(fuse.DirEntry, *listed) bool) fuse.Status {
	if !d.side && d.kind == usualKind(d.n.eid) && !d.wait || d.n.frozen == nil && fs.sides.isHidden(d.n.eid) {
		return fuse.OK
	}
	v, id := virtual(sidecar{fs, d.n}), sidecarIDs|d.n.id
	if d.n.frozen != nil {
		v, id = fs.frozenSide(d.n)
	}
	var a fuse.Attr
	if err := v.attr(&a); err != nil {
		return fuse.OK
	}
	if d.n.frozen == nil {
		fs.sides.wasListed(d.n.eid)
	}
	add(fuse.DirEntry{Name: encoding.SidecarName, Ino: id, Mode: a.Mode, Off: posLast}, &listed{virtual: v, id: id})
	return fuse.OK
}
