package fsnode

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

// The flags of renameat2.
const (
	renameNoReplace = 1
	renameExchange  = 2
)

// Rename moves an entry, replacing or exchanging a target.
func (fs *fileSystem) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	odir, ndir := fs.nodes.get(in.NodeId), fs.nodes.get(in.Newdir)
	if odir == nil || ndir == nil {
		return fuse.Status(errStale)
	}
	err := fs.rename(odir, oldName, ndir, newName, in.Flags, in.Pid)
	var misfit *misfitError
	if errors.As(err, &misfit) {
		fs.noteRefusal(fs.nodes.get(uint64(misfit.id)), in.Pid, misfit)
	}
	return fs.status("rename", odir, err)
}

func (fs *fileSystem) rename(odir *node, oldName string, ndir *node, newName string, flags, pid uint32) error {
	if flags&^(renameNoReplace|renameExchange) != 0 {
		return syscall.EINVAL
	}
	if len(oldName) > encoding.MaxNameBytes || len(newName) > encoding.MaxNameBytes {
		return syscall.ENAMETOOLONG
	}
	if odir.frozen != nil || ndir.frozen != nil {
		return syscall.EROFS
	}
	if v, _ := fs.virtualChild(odir, oldName); v != nil || odir.virtual != nil || ndir.virtual != nil {
		return syscall.EPERM
	}
	if v, _ := fs.virtualChild(ndir, newName); v != nil {
		return fs.renameToVirtual(odir, oldName, ndir, newName, v, flags)
	}
	for {
		err := fs.tryRename(odir, oldName, ndir, newName, flags, pid)
		if !errors.Is(err, errRetry) {
			return err
		}
	}
}

// tryRename is rename of the entries that the names stand for at present;
// errRetry when they have changed meanwhile.
func (fs *fileSystem) tryRename(odir *node, oldName string, ndir *node, newName string, flags, pid uint32) error {
	src, _, err := fs.lookupEntry(odir.eid, oldName)
	if err != nil {
		return err
	}
	dst, _, err := fs.lookupEntry(ndir.eid, newName)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	from, to := fileName{odir.id, oldName}, fileName{ndir.id, newName}
	// A file that the kernel finds and others have removed needs no burial.
	buries := dst.ID != 0 || src.IsContainer()
	if fs.follow.finds(from, &src, pid) || buries && fs.follow.finds(to, &dst, pid) {
		// The kernel would move or bury another file than is there. It asks what
		// is there, and comes back.
		return errStale
	}
	if dst.ID == src.ID {
		fs.follow.notes.dropName(to, uint64(src.ID), false) // the kernel moves the name
		return nil
	}
	n1, n2 := fs.nodes.get(uint64(src.ID)), (*node)(nil)
	if dst.ID != 0 {
		n2 = fs.nodes.get(uint64(dst.ID))
	}
	defer lockPlaces(n1, n2)()
	if n1 != nil && n1.eid != src.ID {
		n1 = nil // it goes on as an orphan
	}
	if n2 != nil && n2.eid != dst.ID {
		n2 = nil
	}

	r := renaming{
		store: fs.store,
		src:   src, dst: dst,
		known:  n2 != nil && !n2.dir,
		orphan: n2 != nil && !n2.dir && fs.nodes.isOpen(n2),
		flags:  flags,
	}
	var seq uint64
	var nkey value.Value
	err = fs.store.Update(func(tx Tx) error {
		seq = tx.Seq() + 1
		nd, err := tx.Stat(ndir.eid)
		if err != nil {
			return err
		}
		nkey, err = target(tx, &nd, newName, false)
		if err != nil {
			return err
		}
		if nkey, err = r.toldKey(tx, &nd, nkey, newName); err != nil {
			return err
		}
		if err := r.run(tx, nd.ID, nkey); err != nil || flags&renameExchange != 0 {
			return err
		}
		if err := claimLine(tx, &nd, newName); !errors.Is(err, errUnchanged) {
			return err
		}
		return nil
	})
	if err != nil {
		r.ghost.close()
		return err
	}
	exchange := flags&renameExchange != 0
	switch {
	case n2 == nil:
	case exchange:
		fs.follow.unname(n2, to)
		n2.placed(src.Parent, src.Key, seq)
	default:
		fs.removed(n2, to, &dst, r.orphan, r.ghost, seq)
	}
	if n1 != nil {
		n1.placed(ndir.eid, nkey, seq)
		fs.follow.renamed(n1, seq, from, to)
	} else {
		fs.follow.notes.dropName(to, uint64(src.ID), false)
	}
	switch {
	case exchange && n2 != nil:
		fs.follow.renamed(n2, seq, to, from)
	case exchange:
		fs.follow.notes.dropName(from, uint64(dst.ID), false)
	}
	return nil
}

// lockPlaces locks the places of up to two nodes, in the order of their ids,
// and returns the function that unlocks them.
func lockPlaces(a, b *node) func() {
	if a != nil && b != nil && b.id < a.id {
		a, b = b, a
	}
	if a == b {
		b = nil
	}
	if a != nil {
		a.loc.Lock()
	}
	if b != nil {
		b.loc.Lock()
	}
	return func() {
		if b != nil {
			b.loc.Unlock()
		}
		if a != nil {
			a.loc.Unlock()
		}
	}
}

// renaming is one rename of entries that were looked up before.
type renaming struct {
	store    Store
	src, dst engine.Entry // dst.ID is 0 when there is no target
	known    bool         // the kernel knows the target
	orphan   bool         // the target is open: keep it without a name
	flags    uint32

	ghost version // set by run: the image of a target that is known and not open
}

// run does the rename in tx, to the key nkey of the container ndir.
func (r *renaming) run(tx Tx, ndir engine.ID, nkey value.Value) error {
	r.ghost.close()
	src, err := tx.Lookup(r.src.Parent, r.src.Key)
	if isAbsent(err) || err == nil && src.ID != r.src.ID {
		return errRetry
	}
	if err != nil {
		return err
	}
	dst, err := tx.Lookup(ndir, nkey)
	if err != nil && !errors.Is(err, engine.ErrNotFound) || dst.ID != r.dst.ID {
		if err != nil && !isAbsent(err) {
			return err
		}
		return errRetry
	}
	o := engine.RenameOptions{
		NoReplace: r.flags&renameNoReplace != 0,
		Exchange:  r.flags&renameExchange != 0,
	}
	switch {
	case dst.ID == 0 && o.Exchange:
		return engine.ErrNotFound
	case dst.ID == 0 || o.Exchange:
	case o.NoReplace:
		return engine.ErrExist
	case dst.IsContainer() && !src.IsContainer():
		return engine.ErrIsContainer
	case !dst.IsContainer() && src.IsContainer():
		return engine.ErrNotContainer
	case !dst.IsContainer():
		if dst.Declared && !src.Declared {
			if err := inherit(tx, &src, &dst); err != nil {
				return err
			}
		}
		if r.orphan {
			if err := makeOrphan(tx, &dst); err != nil {
				return err
			}
		} else if r.known {
			if r.ghost, err = loadVersion(r.store, tx, &dst); err != nil {
				return err
			}
		}
	}
	return tx.Rename(src.Parent, src.Key, ndir, nkey, o)
}

// toldKey returns the key under which the source goes when its new name is a
// truncated one and user.pongo.key was set on the source: the key that it
// tells, if that has this name.
func (r *renaming) toldKey(tx Tx, dir *engine.Entry, key value.Value, name string) (value.Value, error) {
	if !r.src.HasXattr || !strings.HasPrefix(name, longNameMark) || key != value.String(name) {
		return key, nil
	}
	place, at := xattrPlace(&r.src)
	all, err := tx.Xattrs(place, at)
	if err != nil {
		return key, err
	}
	told, err := encoding.UnescapeKey(string(all[keyXattr]))
	if err != nil {
		return key, nil
	}
	if n, truncated := nameOf(dir.Kind, told); n != name || !truncated {
		return key, nil
	}
	return told, tx.SetXattr(place, at, keyXattr, nil)
}

// misfitError says why a file cannot replace one of a declared type.
type misfitError struct {
	id  engine.ID // of the target
	err error
}

// Error returns the reason.
func (e *misfitError) Error() string {
	return fmt.Sprintf("a file that would replace this one does not fit its type: %v", e.err)
}

// Is makes every misfit EINVAL: ERANGE is nothing that rename returns.
func (e *misfitError) Is(err error) bool { return err == encoding.ErrSyntax }

// inherit gives src, which nobody declared, the declared type of dst, which it
// is about to replace. It fails with a *misfitError when its text does not fit.
func inherit(tx Tx, src, dst *engine.Entry) error {
	misfit := func(err error) error { return &misfitError{dst.ID, err} }
	if src.Link {
		if dst.Kind == value.KindString {
			return nil
		}
		return misfit(errors.New("it is a symbolic link"))
	}
	if !dst.HasImage() && imageSize(src) > encoding.MaxDeclaredBytes {
		return misfit(errors.New("it is too long"))
	}
	err := declare(tx, src, dst.Kind)
	var text *encoding.TextError
	if errors.As(err, &text) {
		return misfit(text)
	}
	return err
}

// declare gives e, a scalar that is no link, a declared type; its time stays
// when its bytes do. The error is a *encoding.TextError when its text is no
// value of the type.
func declare(tx Tx, e *engine.Entry, kind value.Kind) error {
	o := engine.PutOptions{Declared: true, KeepMtime: true}
	if kind == value.KindString || kind == value.KindBytes {
		if e.HasImage() {
			if now, err := tx.TypeOf(e); err != nil {
				return err
			} else if now == kind {
				_, err := tx.Declare(e.Parent, e.Key, true)
				return err
			}
		}
		image, err := readImage(tx, e)
		if err != nil {
			return err
		}
		o.NoEOL = kind == value.KindString && lacksEOL(image)
		_, err = tx.PutImage(e.Parent, e.Key, kind, image, o)
		return err
	}
	if imageSize(e) > encoding.MaxDeclaredBytes {
		return tooLong(&engine.Entry{Kind: kind}, nil)
	}
	image, err := readImage(tx, e)
	if err != nil {
		return err
	}
	v, noEOL, err := encoding.ParseDeclared(kind, image)
	if err != nil {
		return err
	}
	o.NoEOL = noEOL
	o.KeepMtime = string(encoding.AppendImage(nil, v, noEOL)) == string(image)
	_, err = tx.Put(e.Parent, e.Key, v, o)
	return err
}
