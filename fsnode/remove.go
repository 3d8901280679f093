package fsnode

import (
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

// errRetry ends an update whose entries are not those that were locked.
var errRetry = errors.New("entries have changed")

// Unlink removes a file. One that is open goes on without a name.
func (fs *fileSystem) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return fs.remove(cancel, "unlink", in, name, false)
}

// Rmdir removes an empty directory.
func (fs *fileSystem) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return fs.remove(cancel, "rmdir", in, name, true)
}

func (fs *fileSystem) remove(cancel <-chan struct{}, op string, in *fuse.InHeader, name string, isDir bool) fuse.Status {
	dir := fs.nodes.get(in.NodeId)
	if dir == nil {
		return fuse.Status(errStale)
	}
	if len(name) > encoding.MaxNameBytes {
		return fuse.Status(syscall.ENAMETOOLONG)
	}
	if dir.frozen != nil {
		return fuse.EROFS
	}
	if d, ok := dir.virtual.(snapshotsDir); ok && isDir {
		return fs.status(op, dir, d.rmdir(cancel, name))
	}
	if v, _ := fs.virtualChild(dir, name); v != nil {
		return fs.status(op, dir, fs.removeVirtual(dir, v, isDir))
	}
	if dir.virtual != nil {
		return fuse.EPERM
	}
	for {
		e, _, err := fs.lookupEntry(dir.eid, name)
		if err == nil && e.IsContainer() != isDir {
			err = engine.ErrNotContainer
			if !isDir {
				err = engine.ErrIsContainer
			}
		}
		if err == nil && isDir && fs.follow.finds(fileName{dir.id, name}, &e, in.Pid) {
			// The kernel would take the directory that it knows for the removed one,
			// and never look into it again. It asks what is there, and comes back.
			err = errStale
		}
		if err == nil {
			err = fs.removeEntry(fileName{dir.id, name}, &e)
		}
		if !errors.Is(err, errRetry) {
			return fs.status(op, dir, err)
		}
	}
}

// removeEntry removes e, or makes it an orphan when it is open. errRetry when
// it is not there any more.
func (fs *fileSystem) removeEntry(at fileName, e *engine.Entry) error {
	n := fs.nodes.get(uint64(e.ID))
	if n != nil {
		n.loc.Lock()
		defer n.loc.Unlock()
		if n.eid != e.ID {
			n = nil // it goes on as an orphan
		}
	}
	orphan := n != nil && !n.dir && fs.nodes.isOpen(n)
	var seq uint64
	var ghost version
	err := fs.store.Update(func(tx Tx) error {
		ghost.close()
		now, err := tx.Lookup(e.Parent, e.Key)
		if isAbsent(err) || err == nil && now.ID != e.ID {
			return errRetry
		}
		if err != nil {
			return err
		}
		seq = tx.Seq() + 1
		if orphan {
			return makeOrphan(tx, &now)
		}
		if n != nil && !n.dir {
			if ghost, err = loadVersion(fs.store, tx, &now); err != nil {
				return err
			}
		}
		if now.IsContainer() && now.HasXattr {
			if err := dropSidecar(tx, &now); err != nil {
				return err
			}
		}
		return tx.Remove(e.Parent, e.Key)
	})
	if err == nil {
		fs.sides.lingers(e.Parent, true)
		fs.store.gaveUp()
	}
	if err != nil || n == nil {
		ghost.close()
		return err
	}
	fs.removed(n, at, e, orphan, ghost, seq)
	return nil
}

// removed notes that the name at of e is gone: it is an orphan, or what is left of
// it is its image.
//
// Preconditions: n.loc is held for writing.
func (fs *fileSystem) removed(n *node, at fileName, e *engine.Entry, orphan bool, ghost version, seq uint64) {
	fs.follow.letGo(n, at)
	fs.store.gaveUp()
	n.seq = seq
	if orphan {
		n.orphan, n.owned = true, true
		return
	}
	n.gone = true
	n.setLast(e)
	n.setGhost(ghost)
}

// placed notes that the entry of n has a name.
//
// Preconditions: n.loc is held for writing.
func (n *node) placed(dir engine.ID, key value.Value, seq uint64) {
	n.parent, n.key, n.seq = dir, key, seq
	n.gone, n.orphan, n.owned = false, false, false
}
