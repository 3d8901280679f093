package fsnode

import (
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

const setGID = 0o2000

// newAttr returns the attributes of a new entry in dir: a directory with the
// set-group-id bit passes its group on.
func newAttr(dir *engine.Entry, in *fuse.InHeader, mode uint32, isDir bool) engine.NewAttr {
	a := engine.NewAttr{Mode: mode & 0o7777, UID: in.Uid, GID: in.Gid}
	if dir.Attr.Mode&setGID != 0 {
		a.GID = dir.Attr.GID
		if isDir {
			a.Mode |= setGID
		}
	}
	return a
}

// creation is a new entry of some kind in a directory.
type creation struct {
	// appends permits the name "+" in lists.
	appends bool
	// put makes the entry; it must fail if the key exists.
	put func(tx Tx, dir *engine.Entry, key value.Value) (engine.Entry, error)
}

// create makes an entry and returns its node, with a lookup counted, and the
// version that has it.
func (fs *fileSystem) create(dir *node, name string, c creation) (n *node, e engine.Entry, seq uint64, err error) {
	if err := fs.checkNewName(dir, name); err != nil {
		return nil, engine.Entry{}, 0, err
	}
	err = fs.update(dir, func(tx Tx, d *engine.Entry) error {
		key, err := target(tx, d, name, c.appends)
		if err != nil {
			return err
		}
		e, err = c.put(tx, d, key)
		seq = tx.Seq() + 1
		return err
	})
	if err != nil {
		if errors.Is(err, errStale) {
			err = engine.ErrNotFound
		}
		return nil, engine.Entry{}, 0, err
	}
	return fs.nodes.remember(&e, seq), e, seq, nil
}

// checkNewName reports why no entry of that name can be made in dir.
func (fs *fileSystem) checkNewName(dir *node, name string) error {
	if len(name) > encoding.MaxNameBytes {
		return syscall.ENAMETOOLONG
	}
	if dir.frozen != nil {
		return syscall.EROFS
	}
	if v, _ := fs.virtualChild(dir, name); v != nil {
		return syscall.EEXIST
	}
	if dir.virtual != nil {
		return syscall.EPERM
	}
	return nil
}

// fillCreated is fillEntry for a new entry. A name that appends to a list is
// nobody's name afterwards, so the kernel must not keep it.
func (fs *fileSystem) fillCreated(out *fuse.EntryOut, n *node, e *engine.Entry, seq uint64, name string) {
	if name == encoding.AppendName && e.Key.Kind() == value.KindInt {
		fs.fillNameless(out, n, e)
		return
	}
	fs.fillEntry(out, n, e, seq, name)
}

// putNull returns a creation of an empty file.
func putNull(in *fuse.InHeader, mode uint32) creation {
	return creation{appends: true, put: func(tx Tx, dir *engine.Entry, key value.Value) (engine.Entry, error) {
		return tx.Put(dir.ID, key, value.Null(), engine.PutOptions{
			Exclusive: true,
			New:       newAttr(dir, in, mode, false),
		})
	}}
}

// Create makes a file and opens it.
func (fs *fileSystem) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	dir := fs.nodes.get(in.NodeId)
	if dir == nil {
		return fuse.Status(errStale)
	}
	if dir.frozen != nil {
		return fuse.EROFS
	}
	if side := fs.createVirtual(dir, name, in, out); side != nil {
		return fs.status("create", dir, *side)
	}
	n, e, seq, err := fs.create(dir, name, putNull(&in.InHeader, in.Mode))
	if errors.Is(err, engine.ErrExist) && in.Flags&syscall.O_EXCL == 0 {
		// Somebody outside this mount was faster.
		return fs.openExisting(in, name, out)
	}
	if err != nil {
		return fs.status("create", dir, err)
	}
	fs.fillCreated(&out.EntryOut, n, &e, seq, name)
	fs.openCreated(n, &e, in, out)
	return fuse.OK
}

// openCreated makes a handle on a file that has just been made and is empty.
func (fs *fileSystem) openCreated(n *node, e *engine.Entry, in *fuse.CreateIn, out *fuse.CreateOut) {
	h := newFileHandle(n, in.Flags&^syscall.O_TRUNC, in.Pid)
	h.changed = true
	if h.readable {
		h.ver = version{seq: 1, inc: e.Incarnation}
	}
	fs.nodes.opened(n)
	n.setLast(e)
	h.opened()
	out.Fh = fs.files.add(h)
	out.OpenFlags = fileFlags(h.writable)
}

// openExisting is Create of a name that turned out to exist.
func (fs *fileSystem) openExisting(in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if st := fs.Lookup(nil, &in.InHeader, name, &out.EntryOut); st != fuse.OK {
		return st
	}
	if out.Attr.IsSymlink() { // the kernel looks again, and follows it
		fs.nodes.forget(out.NodeId, 1)
		return fuse.Status(errStale)
	}
	open := fuse.OpenIn{InHeader: in.InHeader, Flags: in.Flags}
	open.NodeId = out.NodeId
	st := fs.Open(nil, &open, &out.OpenOut)
	if st != fuse.OK {
		fs.nodes.forget(out.NodeId, 1)
	}
	return st
}

// Mknod makes an empty file. Devices, FIFOs and sockets have no place here.
func (fs *fileSystem) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	dir := fs.nodes.get(in.NodeId)
	if dir == nil {
		return fuse.Status(errStale)
	}
	if dir.frozen != nil {
		return fuse.EROFS
	}
	if in.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return fuse.EPERM
	}
	n, e, seq, err := fs.create(dir, name, putNull(&in.InHeader, in.Mode))
	if err != nil {
		return fs.status("mknod", dir, err)
	}
	n.madeBy(in.Pid)
	fs.fillCreated(out, n, &e, seq, name)
	return fuse.OK
}

// Mkdir makes an empty dict.
func (fs *fileSystem) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	dir := fs.nodes.get(in.NodeId)
	if dir == nil {
		return fuse.Status(errStale)
	}
	if d, ok := dir.virtual.(snapshotsDir); ok {
		return fs.status("mkdir", dir, d.mkdir(cancel, name, out))
	}
	n, e, seq, err := fs.create(dir, name, creation{put: func(tx Tx, d *engine.Entry, key value.Value) (engine.Entry, error) {
		return tx.Make(d.ID, key, value.KindDict, newAttr(d, &in.InHeader, in.Mode, true))
	}})
	if err != nil {
		return fs.status("mkdir", dir, err)
	}
	fs.sides.made(e.ID, in.Pid)
	fs.fillEntry(out, n, &e, seq, name)
	return fuse.OK
}

// Symlink makes a symbolic link.
func (fs *fileSystem) Symlink(_ <-chan struct{}, in *fuse.InHeader, to, name string, out *fuse.EntryOut) fuse.Status {
	dir := fs.nodes.get(in.NodeId)
	if dir == nil {
		return fuse.Status(errStale)
	}
	n, e, seq, err := fs.create(dir, name, creation{appends: true, put: func(tx Tx, d *engine.Entry, key value.Value) (engine.Entry, error) {
		return tx.PutImage(d.ID, key, value.KindString, []byte(to), engine.PutOptions{
			Link: true, NoEOL: true, Exclusive: true,
			New: newAttr(d, in, 0o777, false),
		})
	}})
	if err != nil {
		return fs.status("symlink", dir, err)
	}
	fs.fillCreated(out, n, &e, seq, name)
	return fuse.OK
}

// Link gives a name to a file that was opened with O_TMPFILE. Hard links are
// not possible: an entry has one place.
func (fs *fileSystem) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	dir, n := fs.nodes.get(in.NodeId), fs.nodes.get(in.Oldnodeid)
	if dir == nil || n == nil {
		return fuse.Status(errStale)
	}
	if n.frozen != nil {
		return fuse.EROFS
	}
	if n.virtual != nil || n.dir {
		return fuse.EPERM
	}
	if err := fs.checkNewName(dir, name); err != nil {
		return fs.status("link", dir, err)
	}
	e, seq, err := fs.linkOrphan(dir, n, name)
	if err != nil {
		return fs.status("link", dir, err)
	}
	fs.nodes.lookedUp(n)
	fs.fillCreated(out, n, &e, seq, name)
	return fuse.OK
}
