package fsnode

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
	"pongofs/engine/value"
)

// An orphan is an entry that has lost its name while files were open on it. It
// waits in the container engine.OrphansID under its id until the last handle is
// released. What a killed mount leaves there is removed by the next mount that
// has the store for itself.

// orphanKey is where the orphan of an id is kept.
func orphanKey(id engine.ID) value.Value { return value.Int(int64(id)) }

// makeOrphan moves e out of its directory.
func makeOrphan(tx Tx, e *engine.Entry) error {
	return tx.Rename(e.Parent, e.Key, engine.OrphansID, orphanKey(e.ID), engine.RenameOptions{})
}

// putOrphan makes a new file without a name.
func putOrphan(tx Tx, image []byte, attr engine.NewAttr) (engine.Entry, error) {
	// The id is not known before the entry exists.
	key := value.String("new")
	if err := putGuess(tx, engine.OrphansID, key, image, engine.PutOptions{New: attr, Exclusive: true}); err != nil {
		return engine.Entry{}, err
	}
	e, err := tx.Lookup(engine.OrphansID, key)
	if err != nil {
		return e, err
	}
	if err := makeOrphan(tx, &e); err != nil {
		return e, err
	}
	return tx.Lookup(engine.OrphansID, orphanKey(e.ID))
}

// dropOrphan removes the entry of a file that is not open any more and has no
// name.
func (fs *fileSystem) dropOrphan(n *node) {
	n.loc.Lock()
	defer n.loc.Unlock()
	if !n.owned || n.gone || fs.nodes.isOpen(n) {
		return
	}
	var ghost version
	var last *engine.Entry
	err := fs.store.Update(func(tx Tx) error {
		ghost.close()
		e, err := tx.Lookup(n.place())
		if errors.Is(err, engine.ErrNotFound) {
			return errUnchanged
		}
		if err != nil {
			return err
		}
		last = &e
		if ghost, err = loadVersion(fs.store, tx, &e); err != nil {
			return err
		}
		return tx.Remove(n.place())
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		ghost.close()
		fs.status("drop orphan", n, err)
		return
	}
	fs.store.gaveUp()
	n.gone, n.orphan, n.owned = true, false, false
	if last == nil {
		return
	}
	n.setLast(last)
	if fs.nodes.isKnown(n) {
		n.setGhost(ghost)
		return
	}
	ghost.close()
}

// adopt keeps an open file alive whose entry somebody outside this mount has
// removed: as an orphan with the content that the handle has, on which fn has
// done its work. Both are one publish: what a truncation has left before the
// write that follows it is nobody's to see.
//
// Preconditions: h.mu is held.
func (fs *fileSystem) adopt(h *fileHandle, fn func(Tx, *engine.Entry) error) error {
	n := h.n
	last := n.lastEntry()
	if last == nil {
		return errStale
	}
	image, err := h.lastImage()
	if err != nil {
		return err
	}
	n.loc.Lock()
	defer n.loc.Unlock()
	if n.owned && !n.gone {
		return fs.store.Update(func(tx Tx) error { // another handle was faster
			e, err := n.entry(tx)
			if err != nil {
				return err
			}
			return fn(tx, &e)
		})
	}
	var e engine.Entry
	var seq uint64
	err = fs.store.Update(func(tx Tx) error {
		var err error
		e, err = putOrphan(tx, image, engine.NewAttr{Mode: last.Attr.Mode, UID: last.Attr.UID, GID: last.Attr.GID})
		if err != nil {
			return err
		}
		seq = tx.Seq() + 1
		if err := fn(tx, &e); !errors.Is(err, errUnchanged) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	n.eid, n.seq = e.ID, seq
	n.gone, n.orphan, n.owned = false, true, true
	return nil
}

// lastImage returns what is known of the content of a file that is gone.
//
// Preconditions: h.mu is held.
func (h *fileHandle) lastImage() ([]byte, error) {
	v := h.ver
	if v.seq == 0 {
		v, _ = h.n.copyGhost()
	}
	image := make([]byte, v.size)
	_, err := v.readAt(image, 0)
	return image, err
}

// Tmpfile makes and opens a file without a name: O_TMPFILE.
func (fs *fileSystem) Tmpfile(_ <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	dir := fs.nodes.get(in.NodeId)
	if dir == nil {
		return fuse.Status(errStale)
	}
	if dir.virtual != nil {
		return fuse.EPERM
	}
	var e engine.Entry
	var seq uint64
	err := fs.update(dir, func(tx Tx, d *engine.Entry) error {
		var err error
		e, err = putOrphan(tx, nil, newAttr(d, &in.InHeader, in.Mode, false))
		seq = tx.Seq() + 1
		return err
	})
	if err != nil {
		return fs.status("tmpfile", dir, err)
	}
	n := fs.nodes.remember(&e, seq)
	n.loc.Lock()
	n.owned = true
	n.loc.Unlock()
	fs.fillNameless(&out.EntryOut, n, &e)
	out.EntryOut.Nlink = 0
	fs.openCreated(n, &e, in, out)
	return fuse.OK
}

// linkOrphan gives an orphan a name and returns the version that has it. EPERM
// for a file that has a name.
func (fs *fileSystem) linkOrphan(dir, n *node, name string) (e engine.Entry, seq uint64, err error) {
	n.loc.Lock()
	defer n.loc.Unlock()
	if !n.orphan || n.gone {
		return e, 0, syscall.EPERM
	}
	err = fs.update(dir, func(tx Tx, d *engine.Entry) error {
		key, err := target(tx, d, name, true)
		if err != nil {
			return err
		}
		dir, old := n.place()
		err = tx.Rename(dir, old, d.ID, key, engine.RenameOptions{NoReplace: true})
		if err != nil {
			return err
		}
		seq = tx.Seq() + 1
		e, err = tx.Lookup(d.ID, key)
		return err
	})
	if err == nil {
		n.placed(e.Parent, e.Key, seq)
	}
	return e, seq, err
}

// removeOrphans clears away what killed mounts have left, if nobody else has
// the store open.
func (fs *fileSystem) removeOrphans() error {
	st, err := fs.store.Stats()
	if err != nil || st.Processes > 1 {
		return err
	}
	var keys []value.Value
	err = fs.store.View(func(tx Tx) error {
		keys = keys[:0]
		return tx.Scan(engine.OrphansID, value.Value{}, false, func(e engine.Entry) bool {
			if e.Key.Kind() == value.KindInt || isStrayPending(tx, e.Key) {
				keys = append(keys, e.Key)
			}
			return true
		})
	})
	if err != nil || len(keys) == 0 {
		return err
	}
	err = fs.store.Update(func(tx Tx) error {
		for _, k := range keys {
			if err := tx.RemoveAll(engine.OrphansID, k); err != nil && !errors.Is(err, engine.ErrNotFound) {
				return fmt.Errorf("orphan %v: %w", k, err)
			}
		}
		return nil
	})
	if err == nil {
		fs.log.Info("removed files that an earlier mount had open without a name", slog.Int("files", len(keys)))
	}
	return err
}
