package engine

import (
	"bytes"
	"fmt"
	"math"

	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// MaxValue is the length in bytes of the longest file image.
const MaxValue = 1 << 30

// place is where an entry is or would be: the cursor of the transaction stands
// there. It is good until the container is edited.
type place struct {
	c       *openContainer
	key     value.Value
	enc     []byte // encoded key, nil for an element of a list
	pos     uint64 // of an element
	element bool
	names   bool // a name beside the elements of a list
	found   bool
	item    container.Item // when found; aliases the store
}

// seek moves the cursor to a key for an edit.
func (tx *Tx) seek(dir ID, key value.Value) (p place, err error) {
	c, err := tx.edits(dir)
	if err != nil {
		return p, err
	}
	p.c, p.key = c, key
	if p.enc, p.pos, p.element, err = tx.encodeKey(c, key); err != nil {
		return p, err
	}
	if p.element {
		tx.cursor.Open(&tx.ed, c.rec.Body)
		if p.pos < c.rec.Body.Count {
			p.found, err = tx.cursor.FindPos(p.pos)
		} else {
			_, err = tx.cursor.FindPos(p.pos)
		}
	} else {
		p.names = c.rec.Kind == value.KindList
		if p.names {
			tx.cursor.Open(&tx.ed, c.rec.Names)
		} else {
			tx.cursor.Open(&tx.ed, c.rec.Body)
		}
		p.found, err = tx.cursor.Find(p.enc)
	}
	if err == nil && p.found {
		err = tx.cursor.Item(&p.item)
	}
	return p, err
}

// tooFar fails when p is an element that lies too far past the end of a list. It
// is asked before anything is changed, so that the edit stays good.
func (p *place) tooFar() error {
	if p.element && p.pos > p.c.rec.Body.Count+MaxListGap {
		return fmt.Errorf("list index %d: more than %d past the end: %w", p.pos, MaxListGap, ErrTooLarge)
	}
	return nil
}

// store writes it at p, over what is there or as a new entry.
func (tx *Tx) store(p *place, it *container.Item) error {
	c := p.c
	var t container.Tree
	var err error
	if p.element {
		it.Key = nil
		t, err = tx.cursor.Set(&tx.ed, it)
	} else {
		it.Key = p.enc
		t, err = tx.cursor.Put(&tx.ed, it)
	}
	if err != nil {
		return tx.fail(err)
	}
	if p.names {
		c.rec.Names = t
	} else {
		c.rec.Body = t
	}
	c.dirty = true
	switch {
	case p.element && !p.found:
		c.rec.Elements++
	case !p.element && !p.names:
		c.rec.Elements = t.Count
	}
	if !p.found {
		if it.Kind.IsContainer() {
			c.rec.Subdirs++
		}
		tx.count(c, +1)
		tx.touch(c)
	}
	return nil
}

// erase removes the entry at p, which is found; an element of a list becomes a
// gap. What the item refers to is the caller's.
func (tx *Tx) erase(p *place) error {
	c := p.c
	wasContainer := p.item.Kind.IsContainer()
	var t container.Tree
	var err error
	if p.element {
		t, err = tx.cursor.Gap(&tx.ed)
	} else {
		t, err = tx.cursor.Delete(&tx.ed)
	}
	if err != nil {
		return tx.fail(err)
	}
	if p.names {
		c.rec.Names = t
	} else {
		c.rec.Body = t
	}
	switch {
	case p.element:
		c.rec.Elements--
	case !p.names:
		c.rec.Elements = t.Count
	}
	if wasContainer {
		c.rec.Subdirs--
	}
	tx.count(c, -1)
	tx.touch(c)
	return nil
}

// count keeps the number of entries that users see.
func (tx *Tx) count(c *openContainer, by int64) {
	if c.id == RootID || c.id >= firstFreeID {
		tx.dEntries += by
	}
}

// touch records a change of the names in c.
func (tx *Tx) touch(c *openContainer) {
	c.dirty = true
	t := max(tx.time(), c.rec.Wtime+1)
	c.rec.Mtime, c.rec.Wtime, c.rec.Ctime = t, t, t
}

// written sets the times of an item whose value changes.
func (tx *Tx) written(it *container.Item, appended bool) {
	t := max(tx.time(), it.Wtime+1)
	it.Mtime, it.Wtime, it.Ctime = t, t, t
	if !appended {
		it.Inc = max(t, it.Inc+1) // a write that kept the mtime may have used t
	}
}

// newItem returns an item for an entry that does not exist yet.
func (tx *Tx) newItem(kind value.Kind, a NewAttr) container.Item {
	t := tx.time()
	return container.Item{
		ID: uint64(tx.s.newID()), Kind: kind, Mode: uint16(a.Mode & 0o7777), UID: a.UID, GID: a.GID,
		Mtime: t, Wtime: t, Ctime: t, Inc: t,
	}
}

// Put stores a scalar under a key: a new entry, or a new value of an existing
// one, which keeps its id and attributes. A list index at the end appends; one
// further out leaves gaps. Containers are not replaced: ErrIsContainer.
// Storing what is there already changes nothing, the times included.
func (tx *Tx) Put(dir ID, key value.Value, v value.Value, o PutOptions) (e Entry, err error) {
	defer tx.end(tx.begin(), &err)
	content, blob, err := tx.content(v, o)
	if err != nil {
		return e, err
	}
	return tx.put(dir, key, &content, blob, o)
}

// PutImage is Put of a string, bytes or raw value by its file image; kind is
// KindString, KindBytes, or KindInvalid for Raw.
func (tx *Tx) PutImage(dir ID, key value.Value, kind value.Kind, image []byte, o PutOptions) (e Entry, err error) {
	defer tx.end(tx.begin(), &err)
	content, blob, err := imageContent(kind, image, o)
	if err != nil {
		return e, err
	}
	return tx.put(dir, key, &content, blob, o)
}

// content returns a scalar as the content of an item. The image of a string or
// bytes is apart, in blob, when it is too large for Inline; either is good until
// the next call.
func (tx *Tx) content(v value.Value, o PutOptions) (it container.Item, blob []byte, err error) {
	it.Kind = v.Kind()
	it.Flags = flags(o) &^ container.Link
	switch v.Kind() {
	case value.KindString, value.KindBytes:
		tx.bytes = append(tx.bytes[:0], v.AsString()...)
		if v.Kind() == value.KindString && !o.NoEOL && !o.Link {
			tx.bytes = append(tx.bytes, '\n')
		}
		image := tx.bytes
		if cap(image) > maxScratch {
			tx.bytes = nil
		}
		return imageContent(v.Kind(), image, o)
	case value.KindNull:
	case value.KindBool:
		if v.AsBool() {
			it.Num = 1
		}
	case value.KindInt:
		it.Num = uint64(v.AsInt())
	case value.KindDatetime:
		it.Num = uint64(v.AsMicro())
	case value.KindFloat:
		it.Num = math.Float64bits(v.AsFloat())
	case value.KindUUID:
		u := v.AsUUID()
		it.Inline = u[:]
	default:
		return it, nil, fmt.Errorf("value %v: %w", v, ErrKind)
	}
	return it, nil, nil
}

// maxScratch is how long a buffer may be that a Tx keeps for later use.
const maxScratch = 64 << 10

// imageContent is content of a string, bytes or raw value by its file image,
// which it aliases.
func imageContent(kind value.Kind, image []byte, o PutOptions) (it container.Item, blob []byte, err error) {
	it.Flags = flags(o) &^ container.NoEOL
	switch kind {
	case value.KindString, value.KindBytes:
		it.Kind = kind
	case value.KindInvalid:
		it.Kind = value.KindString
		it.Flags = it.Flags&^container.Declared | container.Raw
	default:
		return it, nil, fmt.Errorf("image of type %v: %w", kind, ErrKind)
	}
	if len(image) > MaxValue {
		return it, nil, fmt.Errorf("value of %d bytes: %w", len(image), ErrTooLarge)
	}
	it.Size = uint64(len(image))
	if len(image) > container.InlineMax {
		return it, image, nil
	}
	it.Inline = image
	return it, nil, nil
}

func flags(o PutOptions) container.Flags {
	var f container.Flags
	if o.Declared {
		f |= container.Declared
	}
	if o.NoEOL {
		f |= container.NoEOL
	}
	if o.Link {
		f |= container.Link
	}
	return f
}

// put stores content, whose image is in blob when it is too large for
// content.Inline.
func (tx *Tx) put(dir ID, key value.Value, content *container.Item, blob []byte, o PutOptions) (Entry, error) {
	p, err := tx.seek(dir, key)
	if err != nil {
		return Entry{}, err
	}
	it, changed, err := tx.putAt(&p, content, blob, o)
	if err != nil {
		return Entry{}, err
	}
	e := tx.entryOf(dir, key, &it)
	if changed {
		err = tx.store(&p, &it)
	}
	return e, err
}

// putAt returns the item that puts content at p. changed is false when it is
// there already; else it is to be stored.
func (tx *Tx) putAt(p *place, content *container.Item, blob []byte, o PutOptions) (it container.Item, changed bool, err error) {
	if p.found {
		if o.Exclusive {
			return it, false, ErrExist
		}
		if p.item.Kind.IsContainer() {
			return it, false, ErrIsContainer
		}
		same, err := tx.sameContent(&p.item, content, blob)
		if err != nil || same {
			return p.item, false, err
		}
		it = p.item
		if o.KeepMtime {
			it.Ctime = tx.time()
			it.Inc = max(it.Ctime, it.Inc+1)
		} else {
			tx.written(&it, false)
		}
		if err := container.BlobFree(&tx.ed, it.ID, it.Blob, it.Size); it.Blob != layout.Nil && err != nil {
			return it, false, tx.fail(err)
		}
	} else {
		if err := p.tooFar(); err != nil {
			return it, false, err
		}
		it = tx.newItem(content.Kind, o.New)
	}
	it.Kind, it.Flags, it.Num, it.Inline, it.Size = content.Kind, content.Flags, content.Num, content.Inline, content.Size
	it.Blob = layout.Nil
	if blob != nil {
		if it.Blob, err = container.BlobCreate(&tx.ed, it.ID, blob); err != nil {
			return it, false, tx.fail(err)
		}
	}
	return it, true, nil
}

// sameContent reports whether storing content over old would change nothing.
func (tx *Tx) sameContent(old, content *container.Item, blob []byte) (bool, error) {
	if old.Kind != content.Kind || old.Flags != content.Flags || old.Num != content.Num || old.Size != content.Size {
		return false, nil
	}
	if blob == nil {
		return old.Blob == layout.Nil && bytes.Equal(old.Inline, content.Inline), nil
	}
	return tx.sameBytes(old, blob, 0)
}

// sameBytes reports whether the image of it holds p at off.
func (tx *Tx) sameBytes(it *container.Item, p []byte, off uint64) (bool, error) {
	if off+uint64(len(p)) > it.Size {
		return false, nil
	}
	var buf [4096]byte
	for len(p) > 0 {
		b := buf[:min(len(p), len(buf))]
		if n, err := readImage(&tx.ed, it, b, int64(off)); n < len(b) {
			return false, err
		}
		if !bytes.Equal(b, p[:len(b)]) {
			return false, nil
		}
		p = p[len(b):]
		off += uint64(len(b))
	}
	return true, nil
}

// image finds an existing entry with an image for a change of its bytes.
func (tx *Tx) image(dir ID, key value.Value) (p place, it container.Item, err error) {
	p, err = tx.seek(dir, key)
	switch {
	case err != nil:
		return p, it, err
	case !p.found:
		return p, it, ErrNotFound
	case p.item.Kind.IsContainer():
		return p, it, ErrIsContainer
	case p.item.Kind != value.KindString && p.item.Kind != value.KindBytes:
		return p, it, fmt.Errorf("image of a value of type %v: %w", p.item.Kind, ErrKind)
	}
	return p, p.item, nil
}

// WriteImage writes p at off into the image of an existing string, bytes or
// raw value, zeros filling any hole; off -1 means at the end. Writing only at
// the end keeps the incarnation.
func (tx *Tx) WriteImage(dir ID, key value.Value, off int64, b []byte) (e Entry, err error) {
	defer tx.end(tx.begin(), &err)
	p, it, err := tx.image(dir, key)
	if err != nil {
		return e, err
	}
	at := uint64(off)
	if off < 0 {
		at = it.Size
	}
	end := at + uint64(len(b))
	if end > MaxValue {
		return e, fmt.Errorf("value of %d bytes: %w", end, ErrTooLarge)
	}
	if same, err := tx.sameBytes(&it, b, at); err != nil || same {
		return tx.entryOf(dir, key, &p.item), err
	}
	tx.written(&it, at >= it.Size)
	size := max(it.Size, end)
	if it.Blob == layout.Nil && size <= container.InlineMax {
		image := make([]byte, size)
		copy(image, it.Inline)
		copy(image[at:], b)
		it.Inline, it.Size = image, size
	} else {
		if err := tx.toBlob(&it); err != nil {
			return e, tx.fail(err)
		}
		if it.Blob, it.Size, err = container.BlobWriteAt(&tx.ed, it.ID, it.Blob, it.Size, b, at); err != nil {
			return e, tx.fail(err)
		}
	}
	e = tx.entryOf(dir, key, &it)
	return e, tx.store(&p, &it)
}

// toBlob moves an inline image into a blob.
func (tx *Tx) toBlob(it *container.Item) (err error) {
	if len(it.Inline) > 0 {
		it.Blob, err = container.BlobCreate(&tx.ed, it.ID, it.Inline)
		it.Inline = nil
	}
	return err
}

// TruncateImage cuts or extends with zeros the image of an existing string,
// bytes or raw value.
func (tx *Tx) TruncateImage(dir ID, key value.Value, size int64) (e Entry, err error) {
	defer tx.end(tx.begin(), &err)
	p, it, err := tx.image(dir, key)
	if err != nil {
		return e, err
	}
	n := uint64(size)
	if size < 0 || n > MaxValue {
		return e, fmt.Errorf("value of %d bytes: %w", size, ErrTooLarge)
	}
	if n == it.Size {
		return tx.entryOf(dir, key, &it), nil
	}
	tx.written(&it, n > it.Size)
	if n < it.Size {
		tx.makesSpace()
	}
	switch {
	case n <= container.InlineMax:
		image := make([]byte, n)
		if _, err := readImage(&tx.ed, &it, image[:min(n, it.Size)], 0); err != nil && n > 0 && it.Size > 0 {
			return e, tx.fail(err)
		}
		if it.Blob != layout.Nil {
			if err := container.BlobFree(&tx.ed, it.ID, it.Blob, it.Size); err != nil {
				return e, tx.fail(err)
			}
		}
		it.Inline, it.Blob, it.Size = image, layout.Nil, n
	default:
		if err := tx.toBlob(&it); err != nil {
			return e, tx.fail(err)
		}
		if it.Blob, err = container.BlobTruncate(&tx.ed, it.ID, it.Blob, it.Size, n); err != nil {
			return e, tx.fail(err)
		}
		it.Size = n
	}
	e = tx.entryOf(dir, key, &it)
	return e, tx.store(&p, &it)
}

// Make creates an empty container; an existing entry is ErrExist.
func (tx *Tx) Make(dir ID, key value.Value, kind value.Kind, attr NewAttr) (e Entry, err error) {
	defer tx.end(tx.begin(), &err)
	if !kind.IsContainer() {
		return e, fmt.Errorf("container of type %v: %w", kind, ErrKind)
	}
	p, err := tx.seek(dir, key)
	if err != nil {
		return e, err
	}
	if p.found {
		return e, ErrExist
	}
	if err := p.tooFar(); err != nil {
		return e, err
	}
	it := tx.newItem(kind, attr)
	c := tx.slot()
	*c = openContainer{id: ID(it.ID), dirty: true, rec: container.Record{
		ID: it.ID, Parent: uint64(dir), Kind: kind, Mode: it.Mode, UID: it.UID, GID: it.GID,
		Mtime: it.Mtime, Wtime: it.Wtime, Ctime: it.Ctime,
	}}
	tx.dConts++
	link := containerItem(&it)
	if err := tx.store(&p, &link); err != nil {
		return e, tx.fail(err)
	}
	e = Entry{Parent: dir, Key: key}
	e.fillContainer(c)
	return e, nil
}

// containerItem is what the entry of a container holds: its id and kind. All
// the rest is in the record.
func containerItem(it *container.Item) container.Item {
	return container.Item{
		Key: it.Key, ID: it.ID, Kind: it.Kind, Mode: 0o644, Flags: container.Declared,
		Mtime: it.Mtime, Wtime: it.Mtime, Ctime: it.Mtime, Inc: it.Mtime,
	}
}

// Remove removes a scalar or an empty container. In a list it leaves a gap,
// or shortens the list at its end: no other element moves.
func (tx *Tx) Remove(dir ID, key value.Value) (err error) {
	defer tx.end(tx.begin(), &err)
	return tx.remove(dir, key, false)
}

// RemoveAll removes an entry with everything below it.
func (tx *Tx) RemoveAll(dir ID, key value.Value) (err error) {
	defer tx.end(tx.begin(), &err)
	return tx.remove(dir, key, true)
}

func (tx *Tx) remove(dir ID, key value.Value, all bool) error {
	p, err := tx.seek(dir, key)
	if err != nil {
		return err
	}
	if !p.found {
		return ErrNotFound
	}
	tx.makesSpace()
	if err := tx.release(&p.item, all); err != nil {
		return err
	}
	return tx.erase(&p)
}

// makesSpace lets the edit use the last of the space, since it will free more
// than it takes.
func (tx *Tx) makesSpace() { tx.ed.cursor.Urgent = true }

// release gives up what an item refers to: its image and attributes, or the
// container, which must be empty unless all is set.
func (tx *Tx) release(it *container.Item, all bool) error {
	if it.Kind.IsContainer() {
		return tx.removeContainer(ID(it.ID), all, 0)
	}
	if it.Blob != layout.Nil && (it.Kind == value.KindString || it.Kind == value.KindBytes) {
		if err := container.BlobFree(&tx.ed, it.ID, it.Blob, it.Size); err != nil {
			return tx.fail(err)
		}
	}
	if it.Xattr != layout.Nil {
		if err := container.BlobFree(&tx.ed, 0, it.Xattr, uint64(it.XattrSize)); err != nil {
			return tx.fail(err)
		}
	}
	return nil
}

// removeContainer gives up a container. depth guards against damage that makes
// a cycle: an id is freed before its children are.
func (tx *Tx) removeContainer(id ID, all bool, depth int) error {
	c, err := tx.open(id)
	if err != nil {
		return damaged(err)
	}
	if !all && c.rec.Elements+c.rec.Names.Count > 0 {
		return ErrNotEmpty
	}
	c.removed = true
	tx.dConts--
	each := func(it *container.Item) error {
		if it.Kind == container.KindGap {
			return nil
		}
		tx.count(c, -1)
		if it.Kind.IsContainer() {
			return tx.removeContainer(ID(it.ID), true, depth+1)
		}
		return tx.release(it, true)
	}
	if err := container.FreeTree(&tx.ed, c.rec.Body, each); err != nil {
		return tx.fail(err)
	}
	if err := container.FreeTree(&tx.ed, c.rec.Names, each); err != nil {
		return tx.fail(err)
	}
	if c.rec.Xattr != layout.Nil {
		if err := container.BlobFree(&tx.ed, 0, c.rec.Xattr, uint64(c.rec.XattrSize)); err != nil {
			return tx.fail(err)
		}
	}
	return nil
}
