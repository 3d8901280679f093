package engine

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// MaxXattrBytes is how much all extended attributes of one entry may hold,
// names included.
const MaxXattrBytes = 64 << 10

// SetAttr changes attributes of an entry, or of the container dir when key is
// invalid.
func (tx *Tx) SetAttr(dir ID, key value.Value, ch AttrChange) (e Entry, err error) {
	defer tx.end(tx.begin(), &err)
	if !key.IsValid() {
		return tx.setContainerAttr(dir, ch)
	}
	p, err := tx.seek(dir, key)
	if err != nil {
		return e, err
	}
	if !p.found {
		return e, ErrNotFound
	}
	if p.item.Kind.IsContainer() {
		e, err = tx.setContainerAttr(ID(p.item.ID), ch)
		e.Parent, e.Key = dir, key
		return e, err
	}
	it := p.item
	if ch.Mode != nil {
		it.Mode = uint16(*ch.Mode & 0o7777)
	}
	if ch.UID != nil {
		it.UID = *ch.UID
	}
	if ch.GID != nil {
		it.GID = *ch.GID
	}
	if ch.Mtime != nil {
		it.Mtime = *ch.Mtime
	}
	it.Ctime = tx.time()
	e = tx.entryOf(dir, key, &it)
	return e, tx.store(&p, &it)
}

func (tx *Tx) setContainerAttr(id ID, ch AttrChange) (Entry, error) {
	c, err := tx.edits(id)
	if err != nil {
		return Entry{}, err
	}
	if ch.Mode != nil {
		c.rec.Mode = uint16(*ch.Mode & 0o7777)
	}
	if ch.UID != nil {
		c.rec.UID = *ch.UID
	}
	if ch.GID != nil {
		c.rec.GID = *ch.GID
	}
	if ch.Mtime != nil {
		c.rec.Mtime = *ch.Mtime
	}
	c.rec.Ctime = tx.time()
	c.dirty = true
	e := Entry{Parent: ID(c.rec.Parent)}
	e.fillContainer(c)
	return e, nil
}

// Declare sets or ends the declaration of a scalar's type; undeclaring a
// string or bytes makes it Raw. Declaring a Raw image fixes the type that its
// bytes have now.
func (tx *Tx) Declare(dir ID, key value.Value, declared bool) (e Entry, err error) {
	defer tx.end(tx.begin(), &err)
	p, err := tx.seek(dir, key)
	switch {
	case err != nil:
		return e, err
	case !p.found:
		return e, ErrNotFound
	case p.item.Kind.IsContainer():
		return e, ErrIsContainer
	}
	it := p.item
	image := it.Kind == value.KindString || it.Kind == value.KindBytes
	switch {
	case declared && it.Flags&container.Raw != 0:
		old := tx.entryOf(dir, key, &it)
		kind, err := tx.TypeOf(&old)
		if err != nil {
			return e, err
		}
		it.Kind = kind
		it.Flags = it.Flags&^container.Raw | container.Declared
	case declared:
		it.Flags |= container.Declared
	case image:
		it.Kind = value.KindString
		it.Flags = it.Flags&^container.Declared | container.Raw
	default:
		it.Flags &^= container.Declared
	}
	if it.Flags == p.item.Flags && it.Kind == p.item.Kind {
		return tx.entryOf(dir, key, &it), nil
	}
	it.Ctime = tx.time()
	e = tx.entryOf(dir, key, &it)
	return e, tx.store(&p, &it)
}

// Xattrs returns the user extended attributes of an entry, names without
// "user.". The map is never nil.
func (tx *Tx) Xattrs(dir ID, key value.Value) (m map[string][]byte, err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.open(dir)
	if err != nil {
		return nil, err
	}
	if !key.IsValid() {
		return readXattrs(tx.space(), c.rec.Xattr, c.rec.XattrSize)
	}
	it, ok, err := tx.find(c, key)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNotFound
	}
	if it.Kind.IsContainer() {
		if c, err = tx.open(ID(it.ID)); err != nil {
			return nil, damaged(err)
		}
		return readXattrs(tx.space(), c.rec.Xattr, c.rec.XattrSize)
	}
	return readXattrs(tx.space(), it.Xattr, it.XattrSize)
}

// readXattrs decodes extended attributes: for each, in order of names, the
// length of the name (u16) and of the value (u32), the name, the value.
func readXattrs(sp container.Space, ref layout.Ref, size uint32) (map[string][]byte, error) {
	m := map[string][]byte{}
	if ref == layout.Nil {
		return m, nil
	}
	if size > MaxXattrBytes+8*MaxXattrBytes {
		return nil, layout.Corrupt("xattrs", ref, "claim %d bytes", size)
	}
	b := make([]byte, size)
	if n, err := container.BlobReadAt(sp, ref, uint64(size), b, 0); n < len(b) {
		return nil, fmt.Errorf("xattrs: %w", err)
	}
	for len(b) > 0 {
		if len(b) < 6 {
			return nil, layout.Corrupt("xattrs", ref, "are cut short")
		}
		n, v := int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint32(b[2:]))
		b = b[6:]
		if n+v > len(b) || n+v < n {
			return nil, layout.Corrupt("xattrs", ref, "are cut short")
		}
		m[string(b[:n])] = append([]byte{}, b[n:n+v]...)
		b = b[n+v:]
	}
	return m, nil
}

// SetXattr sets one extended attribute; a nil val removes it (ErrNoXattr when
// there is none). All of one entry together hold at most 64 KiB (ErrTooLarge).
func (tx *Tx) SetXattr(dir ID, key value.Value, name string, val []byte) (err error) {
	defer tx.end(tx.begin(), &err)
	if key.IsValid() {
		p, err := tx.seek(dir, key)
		if err != nil {
			return err
		}
		if !p.found {
			return ErrNotFound
		}
		if !p.item.Kind.IsContainer() {
			it := p.item
			ref, size, err := tx.editXattrs(it.Xattr, it.XattrSize, name, val)
			if err != nil {
				return err
			}
			it.Xattr, it.XattrSize = ref, size
			it.Ctime = tx.time()
			return tx.store(&p, &it)
		}
		dir = ID(p.item.ID)
	}
	c, err := tx.edits(dir)
	if err != nil {
		return err
	}
	ref, size, err := tx.editXattrs(c.rec.Xattr, c.rec.XattrSize, name, val)
	if err != nil {
		return err
	}
	c.rec.Xattr, c.rec.XattrSize, c.rec.Ctime, c.dirty = ref, size, tx.time(), true
	return nil
}

func (tx *Tx) editXattrs(ref layout.Ref, size uint32, name string, val []byte) (layout.Ref, uint32, error) {
	m, err := readXattrs(&tx.ed, ref, size)
	if err != nil {
		return 0, 0, err
	}
	if val == nil {
		if _, ok := m[name]; !ok {
			return 0, 0, ErrNoXattr
		}
		delete(m, name)
	} else {
		m[name] = val
	}
	total := 0
	var b []byte
	for _, n := range slices.Sorted(maps.Keys(m)) {
		total += len(n) + len(m[n])
		b = binary.LittleEndian.AppendUint16(b, uint16(len(n)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(m[n])))
		b = append(b, n...)
		b = append(b, m[n]...)
	}
	if total > MaxXattrBytes || len(name) > 255 {
		return 0, 0, fmt.Errorf("extended attributes of %d bytes: %w", total, ErrTooLarge)
	}
	if ref != layout.Nil {
		if err := container.BlobFree(&tx.ed, 0, ref, uint64(size)); err != nil {
			return 0, 0, tx.fail(err)
		}
	}
	if len(b) == 0 {
		return layout.Nil, 0, nil
	}
	ref, err = container.BlobCreate(&tx.ed, 0, b)
	if err != nil {
		return 0, 0, tx.fail(err)
	}
	return ref, uint32(len(b)), nil
}
