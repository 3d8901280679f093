package fsnode

import (
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
)

// virtual is a file or directory that is no entry of the store: what lies in
// .pongo, and the sidecars. Inode numbers of virtual files are far above the ids
// that a store ever reaches.
type virtual interface {
	// attr fills in the attributes except for the inode number. The error is
	// engine.ErrNotFound when there is no such file at present.
	attr(a *fuse.Attr) error
	// parent returns the inode number of the directory that it is in.
	parent() uint64
	// path returns the path below the mountpoint, for messages.
	path() string
}

// virtualDir is a virtual directory.
type virtualDir interface {
	virtual
	// child returns the file of a name and its inode number, nil for none.
	child(name string) (virtual, uint64)
	// list returns the names in a fixed order.
	list() []string
}

// virtualFile is a virtual file.
type virtualFile interface {
	virtual
	// open returns an open file; its content is fixed from then on.
	open(flags uint32) (openFile, error)
}

// virtualSetter is a virtual file whose attributes can be changed.
type virtualSetter interface {
	setAttr(in *fuse.SetAttrIn) error
}

// virtualRemover is a virtual file that can be removed.
type virtualRemover interface {
	remove() error
}

// virtualCreator is a virtual file that can be created where there is none.
type virtualCreator interface {
	create(in *fuse.CreateIn) (openFile, error)
}

// virtualTarget is a virtual file that a real one can be renamed onto.
type virtualTarget interface {
	// replace takes the content and attributes of src and removes it, in one
	// edit.
	replace(tx Tx, src *engine.Entry) error
	// applied is called when the edit is published.
	applied()
}

// virtualHider is a virtual file that some processes must not see.
type virtualHider interface {
	isHiddenFrom(pid uint32) bool
}

// The inode numbers of virtual files.
const (
	controlIDs = 1 << 53 // .pongo and what is in it
	sidecarIDs = 1 << 52 // and the id of the directory
)

// virtualChild returns the virtual file that a name in dir stands for, whether
// it exists at present or not, and its inode number; nil for other names.
func (fs *fileSystem) virtualChild(dir *node, name string) (virtual, uint64) {
	if dir.virtual != nil {
		if d, ok := dir.virtual.(virtualDir); ok {
			return d.child(name)
		}
		return nil, 0
	}
	switch name {
	case encoding.ControlName:
		if dir.eid == engine.RootID {
			return fs.control, controlIDs
		}
	case encoding.SidecarName:
		return sidecar{fs, dir}, sidecarIDs | dir.id
	}
	return nil, 0
}

// lookupVirtual fills in the reply for a virtual file and counts the lookup.
func (fs *fileSystem) lookupVirtual(v virtual, id uint64, out *fuse.EntryOut) error {
	if err := v.attr(&out.Attr); err != nil {
		return err
	}
	out.Attr.Ino = id
	out.NodeId = id
	fs.nodes.rememberVirtual(id, v)
	if _, ok := v.(virtualDir); ok {
		// With every path below it the kernel looks at mode and owner, which stay.
		out.SetEntryTimeout(fs.opts.EntryTimeout)
		out.SetAttrTimeout(fs.opts.AttrTimeout)
	}
	return nil
}

// virtualAttr is GetAttr of a virtual file.
func (fs *fileSystem) virtualAttr(n *node, out *fuse.AttrOut) error {
	err := n.virtual.attr(&out.Attr)
	out.Attr.Ino = n.id
	if n.dir {
		out.SetTimeout(fs.opts.AttrTimeout)
	}
	return err
}

// setVirtualAttr is SetAttr of a virtual file.
func (fs *fileSystem) setVirtualAttr(n *node, in *fuse.SetAttrIn) error {
	if size, ok := in.GetSize(); ok {
		if fh, ok := in.GetFh(); ok {
			if h := fs.files.get(fh); h != nil && h.file != nil {
				if err := h.file.truncate(int64(size)); err != nil {
					return err
				}
			}
		} else {
			return syscall.EPERM
		}
	}
	if in.Valid&(fuse.FATTR_MODE|fuse.FATTR_UID|fuse.FATTR_GID|fuse.FATTR_MTIME) == 0 {
		return nil
	}
	s, ok := n.virtual.(virtualSetter)
	if !ok {
		return syscall.EPERM
	}
	return s.setAttr(in)
}

// openVirtual is Open of a virtual file.
func (fs *fileSystem) openVirtual(n *node, flags uint32, out *fuse.OpenOut) error {
	f, ok := n.virtual.(virtualFile)
	if !ok {
		return syscall.EISDIR
	}
	file, err := f.open(flags)
	if err != nil {
		return err
	}
	fs.addVirtualHandle(n, file, flags, out)
	return nil
}

// addVirtualHandle makes a handle of an open virtual file.
func (fs *fileSystem) addVirtualHandle(n *node, file openFile, flags uint32, out *fuse.OpenOut) {
	h := newFileHandle(n, flags, 0)
	h.file = file
	fs.nodes.opened(n)
	out.Fh = fs.files.add(h)
	out.OpenFlags = fileFlags(h.writable)
}

// flushVirtual is Flush or Fsync of a virtual file.
func (fs *fileSystem) flushVirtual(op string, h *fileHandle, pid uint32) fuse.Status {
	err := h.file.flush()
	if err != nil {
		fs.noteRefusal(h.n, pid, err)
	}
	return fs.status(op, h.n, err)
}

// createVirtual is Create of a name of a virtual file; nil for other names.
func (fs *fileSystem) createVirtual(dir *node, name string, in *fuse.CreateIn, out *fuse.CreateOut) *error {
	v, id := fs.virtualChild(dir, name)
	if v == nil {
		return nil
	}
	err := func() error {
		c, ok := v.(virtualCreator)
		if !ok {
			return syscall.EEXIST
		}
		file, err := c.create(in)
		if err != nil {
			return err
		}
		if err := fs.lookupVirtual(v, id, &out.EntryOut); err != nil {
			return err
		}
		fs.addVirtualHandle(fs.nodes.get(id), file, in.Flags, &out.OpenOut)
		return nil
	}()
	return &err
}

// removeVirtual is Unlink or Rmdir of a virtual file.
func (fs *fileSystem) removeVirtual(dir *node, v virtual, isDir bool) error {
	r, ok := v.(virtualRemover)
	if !ok || isDir || dir.virtual != nil {
		return syscall.EPERM
	}
	return r.remove()
}

// renameToVirtual is Rename onto a virtual file.
func (fs *fileSystem) renameToVirtual(odir *node, name string, ndir *node, newName string, v virtual, flags uint32) error {
	t, ok := v.(virtualTarget)
	if !ok || ndir.virtual != nil {
		return syscall.EPERM
	}
	if flags != 0 {
		return syscall.EINVAL
	}
	e, _, err := fs.lookupEntry(odir.eid, name)
	if err != nil {
		return err
	}
	if e.IsContainer() || e.Link {
		return syscall.EINVAL
	}
	if err := fs.replaceVirtual(fileName{odir.id, name}, &e, t); err != nil {
		return err
	}
	fs.follow.notes.dropName(fileName{ndir.id, newName}, uint64(e.ID), false) // the kernel moves the name
	t.applied()
	return nil
}

// replaceVirtual gives e, which becomes the content of t, up.
func (fs *fileSystem) replaceVirtual(at fileName, e *engine.Entry, t virtualTarget) error {
	n := fs.nodes.get(uint64(e.ID))
	defer lockPlaces(n, nil)()
	var seq uint64
	err := fs.store.Update(func(tx Tx) error {
		now, err := tx.Lookup(e.Parent, e.Key)
		if err != nil {
			return err
		}
		if now.ID != e.ID {
			return engine.ErrNotFound
		}
		seq = tx.Seq() + 1
		return t.replace(tx, &now)
	})
	if err == nil && n != nil {
		fs.removed(n, at, e, false, version{}, seq)
	}
	return err
}

// listVirtual lists a virtual directory behind a position.
func (fs *fileSystem) listVirtual(n *node, pos uint64, add func(fuse.DirEntry, *listed) bool) fuse.Status {
	d, ok := n.virtual.(virtualDir)
	if !ok {
		return fuse.ENOTDIR
	}
	names := d.list()
	for i := int(pos - posDotDot); i < len(names); i++ {
		v, id := d.child(names[i])
		var a fuse.Attr
		if v == nil || v.attr(&a) != nil {
			continue
		}
		e := fuse.DirEntry{Name: names[i], Ino: id, Mode: a.Mode, Off: posNames + uint64(i)}
		if !add(e, &listed{virtual: v, id: id}) {
			break
		}
	}
	return fuse.OK
}

// fixedFile is an open file whose content was made when it was opened.
type fixedFile []byte

func (f fixedFile) read(off int64, n int) []byte {
	if off >= int64(len(f)) {
		return nil
	}
	return f[off:min(off+int64(n), int64(len(f)))]
}

func (fixedFile) write(int64, []byte) error { return syscall.EPERM }
func (fixedFile) truncate(int64) error      { return syscall.EPERM }
func (fixedFile) flush() error              { return nil }
func (fixedFile) close() error              { return nil }

// virtualText is the text of a virtual file that is open for writing. The file
// that embeds it applies the text.
type virtualText struct {
	longest int64 // text that is taken, in bytes; never changes

	mu    sync.Mutex
	text  []byte
	dirty bool // the text is not applied
}

func (t *virtualText) read(off int64, n int) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte(nil), fixedFile(t.text).read(off, n)...)
}

// put writes p at off.
//
// Preconditions: t.mu is held.
func (t *virtualText) put(off int64, p []byte) error {
	if off > t.longest-int64(len(p)) {
		return syscall.EFBIG
	}
	t.text = overlay(t.text, off, p)
	t.dirty = true
	return nil
}

// resize cuts or extends the text. Cutting it to nothing is the beginning of a
// rewrite, and nothing to apply.
//
// Preconditions: t.mu is held.
func (t *virtualText) resize(size int64) error {
	if size > t.longest {
		return syscall.EFBIG
	}
	text := make([]byte, size)
	copy(text, t.text)
	t.text = text
	t.dirty = t.dirty || size > 0
	return nil
}

// fillVirtual sets the attributes of a file or directory that is made when it is
// read: it belongs to the server, and has changed just now. Sidecars have stored
// attributes instead.
func fillVirtual(a *fuse.Attr, mode, links uint32, size int) {
	a.Mode = mode
	a.Nlink = links
	a.Uid, a.Gid = uint32(os.Getuid()), uint32(os.Getgid())
	setSize(a, int64(size))
	now := time.Now().UnixNano()
	setTimes(a, now, now)
}
