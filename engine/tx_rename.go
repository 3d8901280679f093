package engine

import (
	"fmt"

	"pongofs/engine/container"
	"pongofs/engine/value"
)

// Rename moves an entry with its id, value and attributes, replacing a target
// as rename(2) does: a scalar replaces a scalar, a container an empty
// container. ErrLoop when a container would move below itself.
func (tx *Tx) Rename(odir ID, okey value.Value, ndir ID, nkey value.Value, o RenameOptions) (err error) {
	defer tx.end(tx.begin(), &err)
	src, err := tx.seek(odir, okey)
	if err != nil {
		return err
	}
	if !src.found {
		return ErrNotFound
	}
	moved := keep(&src.item)
	dst, err := tx.seek(ndir, nkey)
	if err != nil {
		return err
	}
	if dst.found && dst.item.ID == moved.ID {
		return nil // the same name
	}
	if moved.Kind.IsContainer() {
		if err := tx.noLoop(ID(moved.ID), ndir); err != nil {
			return err
		}
	}
	if o.Exchange {
		if !dst.found {
			return ErrNotFound
		}
		return tx.exchange(odir, okey, moved, ndir, nkey, keep(&dst.item))
	}
	if dst.found {
		if err := tx.replace(&moved, &dst, o); err != nil {
			return err
		}
	} else if err := dst.tooFar(); err != nil {
		return err
	}

	// From here every error leaves the edit half done.
	if src, err = tx.seek(odir, okey); err != nil {
		return tx.fail(err)
	}
	if err := tx.erase(&src); err != nil {
		return tx.fail(err)
	}
	if err := tx.moveInto(ndir, nkey, moved); err != nil {
		return tx.fail(err)
	}
	return nil
}

// keep copies an item out of the store.
func keep(it *container.Item) container.Item {
	c := *it
	c.Key = nil
	c.Inline = append([]byte(nil), it.Inline...)
	return c
}

// noLoop fails with ErrLoop when dir is the container id or lies below it.
func (tx *Tx) noLoop(id, dir ID) error {
	for range 1 << 20 {
		if dir == id {
			return ErrLoop
		}
		if dir == RootID || dir == NoID {
			return nil
		}
		c, err := tx.open(dir)
		if err != nil {
			return err
		}
		dir = ID(c.rec.Parent)
	}
	return fmt.Errorf("%w: containers form a cycle at %d", ErrCorrupt, dir)
}

// replace checks whether the entry at dst may give way to moved, and gives it
// up.
func (tx *Tx) replace(moved *container.Item, dst *place, o RenameOptions) error {
	switch {
	case o.NoReplace:
		return ErrExist
	case moved.Kind.IsContainer() && !dst.item.Kind.IsContainer():
		return ErrNotContainer
	case !moved.Kind.IsContainer() && dst.item.Kind.IsContainer():
		return ErrIsContainer
	}
	if err := tx.release(&dst.item, false); err != nil {
		return err
	}
	// The name goes before the source does, so that the entry counts stay right
	// whatever kinds are involved.
	return tx.erase(dst)
}

// moveInto stores a moved item under a free name.
func (tx *Tx) moveInto(dir ID, key value.Value, it container.Item) error {
	p, err := tx.seek(dir, key)
	if err != nil {
		return err
	}
	if it.Kind.IsContainer() {
		sub, err := tx.open(ID(it.ID))
		if err != nil {
			return damaged(err)
		}
		sub.rec.Parent = uint64(dir)
		sub.rec.Ctime = tx.time()
		sub.dirty = true
	} else {
		it.Ctime = tx.time()
	}
	return tx.store(&p, &it)
}

// exchange swaps two entries.
func (tx *Tx) exchange(adir ID, akey value.Value, a container.Item, bdir ID, bkey value.Value, b container.Item) error {
	if b.Kind.IsContainer() {
		if err := tx.noLoop(ID(b.ID), adir); err != nil {
			return err
		}
	}
	for _, m := range []struct {
		dir ID
		key value.Value
		it  container.Item
	}{{adir, akey, b}, {bdir, bkey, a}} {
		p, err := tx.seek(m.dir, m.key)
		if err != nil {
			return tx.fail(err)
		}
		// Over what is there: count out the old entry, then in the new one.
		if p.item.Kind.IsContainer() {
			p.c.rec.Subdirs--
		}
		if m.it.Kind.IsContainer() {
			p.c.rec.Subdirs++
			sub, err := tx.open(ID(m.it.ID))
			if err != nil {
				return tx.fail(damaged(err))
			}
			sub.rec.Parent, sub.rec.Ctime, sub.dirty = uint64(m.dir), tx.time(), true
		} else {
			m.it.Ctime = tx.time()
		}
		if err := tx.store(&p, &m.it); err != nil {
			return tx.fail(err)
		}
		tx.touch(p.c)
	}
	return nil
}
