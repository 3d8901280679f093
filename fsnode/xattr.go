package fsnode

import (
	"errors"
	"sort"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

// The extended attributes that pongofs makes itself.
const (
	xattrUser  = "user."
	xattrPongo = "user.pongo."
	xattrType  = "user.pongo.type"
	xattrKey   = "user.pongo.key"
	xattrError = "user.pongo.error"
)

// The flags of setxattr.
const (
	xattrCreate  = 1
	xattrReplace = 2
)

// xattrPlace returns where the store keeps the attributes of e.
func xattrPlace(e *engine.Entry) (engine.ID, value.Value) {
	if e.IsContainer() {
		return e.ID, value.Value{}
	}
	return e.Parent, e.Key
}

// checkXattrName reports what is wrong with the name of an attribute. Names
// outside user. are EOPNOTSUPP, which ls and cp remember, not ENOSYS, which
// would end all attributes, nor ENODATA, which would be asked for each file.
func checkXattrName(name string) error {
	if !strings.HasPrefix(name, xattrUser) || name == xattrUser {
		return syscall.EOPNOTSUPP
	}
	return nil
}

// GetXAttr returns one attribute.
func (fs *fileSystem) GetXAttr(_ <-chan struct{}, in *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	n := fs.nodes.get(in.NodeId)
	if err := checkXattrName(name); err != nil {
		return 0, fuse.Status(errno(err))
	}
	if n == nil {
		return 0, fuse.Status(errStale)
	}
	if n.virtual != nil {
		if reason := fs.refused.of(n.id); name == xattrError && reason != "" {
			return fitXattr([]byte(reason), dest)
		}
		return 0, fuse.ENODATA
	}
	val, err := fs.xattr(n, name)
	if err != nil {
		return 0, fs.status("getxattr", n, err)
	}
	return fitXattr(val, dest)
}

// fitXattr copies an answer into the space that the caller has for it.
func fitXattr(val, dest []byte) (uint32, fuse.Status) {
	if len(val) > len(dest) {
		return uint32(len(val)), fuse.ERANGE
	}
	copy(dest, val)
	return uint32(len(val)), fuse.OK
}

func (fs *fileSystem) xattr(n *node, name string) ([]byte, error) {
	var val []byte
	err := fs.view(n, func(tx Tx, e *engine.Entry) error {
		switch name {
		case xattrType:
			kind, err := tx.TypeOf(e)
			if wanted := n.wantedKind(); wanted != value.KindInvalid {
				kind = wanted
			}
			val = []byte(kind.String())
			return err
		case xattrKey:
			key := e.Key
			if e.IsContainer() {
				key = n.key
			}
			if !key.IsValid() {
				return engine.ErrNoXattr
			}
			val = []byte(encoding.EscapeKey(key))
			return nil
		case xattrError:
			reason := fs.refused.of(n.id)
			if reason == "" {
				return engine.ErrNoXattr
			}
			val = []byte(reason)
			return nil
		}
		if strings.HasPrefix(name, xattrPongo) || !e.HasXattr {
			return engine.ErrNoXattr
		}
		dir, key := xattrPlace(e)
		all, err := tx.Xattrs(dir, key)
		if err != nil {
			return err
		}
		var ok bool
		if val, ok = all[strings.TrimPrefix(name, xattrUser)]; !ok {
			return engine.ErrNoXattr
		}
		return nil
	})
	if errors.Is(err, errStale) && fs.isLeft(n) {
		err = engine.ErrNoXattr
	}
	return val, err
}

// ListXAttr returns the names of the attributes that a copy of the file should
// have: the type is named on declared values only, and on directories that are
// not what mkdir makes.
func (fs *fileSystem) ListXAttr(_ <-chan struct{}, in *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	n := fs.nodes.get(in.NodeId)
	if n == nil {
		return 0, fuse.Status(errStale)
	}
	if n.virtual != nil {
		return 0, fuse.OK
	}
	var names []string
	err := fs.view(n, func(tx Tx, e *engine.Entry) error {
		names = names[:0]
		if isExplicit(e) {
			names = append(names, xattrType)
		}
		if e.ID != engine.RootID && n.hasLongName() {
			names = append(names, xattrKey)
		}
		if !e.HasXattr {
			return nil
		}
		dir, key := xattrPlace(e)
		all, err := tx.Xattrs(dir, key)
		for name := range all {
			if !isHiddenXattr(name) {
				names = append(names, xattrUser+name)
			}
		}
		return err
	})
	if errors.Is(err, errStale) && fs.isLeft(n) {
		return 0, fuse.OK
	}
	if err != nil {
		return 0, fs.status("listxattr", n, err)
	}
	sort.Strings(names)
	var list []byte
	for _, name := range names {
		list = append(append(list, name...), 0)
	}
	return fitXattr(list, dest)
}

// isHiddenXattr reports whether a stored attribute is pongofs's own business.
// Users cannot name it: it lies under user.pongo.
func isHiddenXattr(name string) bool { return strings.HasPrefix(xattrUser+name, xattrPongo) }

// isExplicit reports whether somebody chose the type of e: a declared value, or
// a directory that is not what mkdir makes.
func isExplicit(e *engine.Entry) bool {
	if e.IsContainer() {
		return e.Kind != usualKind(e.ID)
	}
	return e.Declared
}

// usualKind returns the kind of container that needs no mention: the root is
// a collection, what mkdir makes is a dict.
func usualKind(id engine.ID) value.Kind {
	if id == engine.RootID {
		return value.KindCollection
	}
	return value.KindDict
}

// hasLongName reports whether the name of n does not hold its whole key.
//
// Preconditions: n.loc is held.
func (n *node) hasLongName() bool {
	if !n.key.IsValid() || n.orphan {
		return false
	}
	_, truncated := encoding.EscapeName(n.key)
	return truncated
}

// xattrNode returns the node whose attribute of a name shall change, or nil and
// why it cannot: virtual for a virtual file, which has none.
func (fs *fileSystem) xattrNode(id uint64, name string, virtual fuse.Status) (*node, fuse.Status) {
	n := fs.nodes.get(id)
	if err := checkXattrName(name); err != nil {
		return nil, fuse.Status(errno(err))
	}
	switch {
	case n == nil:
		return nil, fuse.Status(errStale)
	case n.frozen != nil:
		return nil, fuse.EROFS
	case n.virtual != nil:
		return nil, virtual
	}
	return n, fuse.OK
}

// SetXAttr sets one attribute.
func (fs *fileSystem) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	n, st := fs.xattrNode(in.NodeId, name, fuse.EPERM)
	if n == nil {
		return st
	}
	var err error
	switch {
	case name == xattrType:
		err = fs.setType(n, string(data), in.Flags, in.Pid)
		fs.noteRefusal(n, in.Pid, err)
		if errors.Is(err, encoding.ErrRange) {
			err = syscall.EINVAL // ERANGE means something else here
		}
	case name == xattrKey:
		err = fs.setKey(n, string(data))
	case strings.HasPrefix(name, xattrPongo):
		err = syscall.EINVAL
	default:
		err = fs.setUserXattr(n, strings.TrimPrefix(name, xattrUser), data, in.Flags)
	}
	return fs.status("setxattr", n, err)
}

// RemoveXAttr removes one attribute. Without its type a value is as good as
// any other text.
func (fs *fileSystem) RemoveXAttr(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	n, st := fs.xattrNode(in.NodeId, name, fuse.ENODATA)
	if n == nil {
		return st
	}
	var err error
	switch {
	case name == xattrType:
		err = fs.update(n, undeclare)
	case strings.HasPrefix(name, xattrPongo):
		err = syscall.ENODATA
	default:
		err = fs.setUserXattr(n, strings.TrimPrefix(name, xattrUser), nil, xattrReplace)
	}
	return fs.status("removexattr", n, err)
}

// setUserXattr stores an attribute; nil removes it.
func (fs *fileSystem) setUserXattr(n *node, name string, val []byte, flags uint32) error {
	err := fs.update(n, func(tx Tx, e *engine.Entry) error {
		dir, key := xattrPlace(e)
		if flags&(xattrCreate|xattrReplace) != 0 {
			all, err := tx.Xattrs(dir, key)
			if err != nil {
				return err
			}
			_, exists := all[name]
			switch {
			case exists && flags&xattrCreate != 0:
				return engine.ErrExist
			case !exists && flags&xattrReplace != 0:
				return engine.ErrNoXattr
			}
		}
		return tx.SetXattr(dir, key, name, val)
	})
	switch {
	case errors.Is(err, engine.ErrTooLarge):
		return syscall.ENOSPC
	case errors.Is(err, errStale) && fs.isLeft(n) && val == nil:
		return engine.ErrNoXattr
	case errors.Is(err, errStale) && fs.isLeft(n):
		return syscall.ENOENT
	}
	return err
}

// setType declares the type of a value, converting it through its text, or
// converts a directory.
func (fs *fileSystem) setType(n *node, name string, flags, pid uint32) error {
	kind, ok := value.ParseKind(strings.TrimRight(name, "\n\x00"))
	if !ok {
		return syscall.EINVAL
	}
	var wanting error // what is wrong with an empty file, which may wait for its text
	err := fs.update(n, func(tx Tx, e *engine.Entry) error {
		wanting = nil
		switch {
		case e.IsContainer() != kind.IsContainer(), e.Link:
			return syscall.EINVAL
		case isExplicit(e) && flags&xattrCreate != 0:
			return engine.ErrExist
		case !isExplicit(e) && flags&xattrReplace != 0:
			return engine.ErrNoXattr
		case e.Kind == kind && (e.Declared || e.IsContainer()):
			return errUnchanged
		case e.IsContainer():
			return tx.Convert(e.ID, kind)
		}
		err := declare(tx, e, kind)
		if errors.Is(err, encoding.ErrSyntax) && imageSize(e) == 0 {
			wanting = err
			return errUnchanged
		}
		return err
	})
	if err == nil && wanting != nil && !n.want(kind, pid) {
		err = wanting
	}
	if err == nil && kind.IsContainer() {
		fs.rekey(n.eid)
	}
	return err
}

// rekey looks for the files of a directory that has changed its kind: the keys
// of its entries have changed their form.
func (fs *fileSystem) rekey(dir engine.ID) {
	type place struct {
		n   *node
		key value.Value
	}
	var known []place
	var seq uint64
	err := fs.store.View(func(tx Tx) error {
		known, seq = known[:0], tx.Seq()
		return tx.Scan(dir, value.Value{}, false, func(e engine.Entry) bool {
			if n := fs.nodes.get(uint64(e.ID)); n != nil {
				known = append(known, place{n, e.Key})
			}
			return true
		})
	})
	if err != nil {
		return // who comes to such a file finds it stale, and looks for it then
	}
	for _, p := range known {
		p.n.moved(engine.ID(p.n.id), dir, p.key, seq)
	}
}

// undeclare ends the declaration of a value: its bytes stay and are as good as
// any others.
func undeclare(tx Tx, e *engine.Entry) error {
	if e.IsContainer() {
		if e.Kind == usualKind(e.ID) {
			return engine.ErrNoXattr
		}
		return syscall.EPERM
	}
	if !e.Declared {
		return engine.ErrNoXattr
	}
	if e.HasImage() && e.Size > encoding.MaxInferBytes {
		_, err := tx.Declare(e.Parent, e.Key, false)
		return err
	}
	image, err := readImage(tx, e)
	if err != nil {
		return err
	}
	return putGuess(tx, e.Parent, e.Key, image, engine.PutOptions{KeepMtime: true})
}

// keyXattr is the hidden attribute of a file that is to get a truncated name: the
// key that user.pongo.key told.
const keyXattr = "pongo.key"

// setKey tells the whole key of a file whose name cannot hold it. For a file
// that does not have that name yet, as in a copy under a temporary one, the key
// is kept until it is renamed.
func (fs *fileSystem) setKey(n *node, text string) error {
	key, err := encoding.UnescapeKey(text)
	if err != nil {
		return syscall.EINVAL
	}
	n.loc.RLock()
	old, orphan := n.key, n.orphan
	n.loc.RUnlock()
	if old == key || !old.IsValid() || orphan {
		return nil
	}
	name, truncated := encoding.EscapeName(key)
	if !truncated {
		return syscall.EINVAL
	}
	if old != value.String(name) {
		return fs.update(n, func(tx Tx, e *engine.Entry) error {
			dir, at := xattrPlace(e)
			return tx.SetXattr(dir, at, keyXattr, []byte(text))
		})
	}
	n.loc.Lock()
	defer n.loc.Unlock()
	err = fs.store.Update(func(tx Tx) error {
		if n.orphan || n.gone || n.key != old {
			return errStale
		}
		return tx.Rename(n.parent, old, n.parent, key, engine.RenameOptions{NoReplace: true})
	})
	if err == nil {
		n.key = key
	}
	return err
}
