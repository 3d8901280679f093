package engine

import (
	"fmt"
	"strconv"

	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// list opens a list for an edit.
func (tx *Tx) list(id ID) (*openContainer, error) {
	c, err := tx.edits(id)
	if err != nil {
		return nil, err
	}
	if c.rec.Kind != value.KindList {
		return nil, fmt.Errorf("container %d is a %v, not a list: %w", id, c.rec.Kind, ErrKind)
	}
	return c, nil
}

// InsertAt inserts a scalar into a list before index i (negative counts from
// the end), moving later elements up by one.
func (tx *Tx) InsertAt(list ID, i int64, v value.Value, o PutOptions) (e Entry, err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.list(list)
	if err != nil {
		return e, err
	}
	n := int64(c.rec.Body.Count)
	if i < 0 {
		i += n
	}
	if i < 0 || i > n {
		return e, fmt.Errorf("list index %d of %d: %w", i, n, ErrNotFound)
	}
	if i == n {
		return tx.Put(list, value.Int(i), v, o)
	}
	if !v.Kind().IsScalar() {
		return e, fmt.Errorf("value %v: %w", v, ErrKind)
	}
	// Make room with a null, then put.
	it := tx.newItem(value.KindNull, o.New)
	t, err := container.ListInsert(&tx.ed, c.rec.Body, uint64(i), &it)
	if err != nil {
		return e, tx.fail(err)
	}
	c.rec.Body = t
	c.rec.Elements++
	tx.count(c, +1)
	tx.touch(c)
	o.Exclusive = false
	e, err = tx.Put(list, value.Int(i), v, o)
	return e, tx.fail(err)
}

// DeleteAt removes element i of a list (negative counts from the end) with
// everything below it, moving later elements down by one.
func (tx *Tx) DeleteAt(list ID, i int64) (err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.list(list)
	if err != nil {
		return err
	}
	n := int64(c.rec.Body.Count)
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return fmt.Errorf("list index %d of %d: %w", i, n, ErrNotFound)
	}
	it, ok, err := container.ListGet(&tx.ed, c.rec.Body, uint64(i))
	if err != nil {
		return err
	}
	if ok {
		if err := tx.release(&it, true); err != nil {
			return err
		}
		c.rec.Elements--
		if it.Kind.IsContainer() {
			c.rec.Subdirs--
		}
		tx.count(c, -1)
	}
	t, _, err := container.ListDelete(&tx.ed, c.rec.Body, uint64(i))
	if err != nil {
		return tx.fail(err)
	}
	c.rec.Body = t
	tx.touch(c)
	return nil
}

// CompactList closes the gaps of a list.
func (tx *Tx) CompactList(list ID) (err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.list(list)
	if err != nil {
		return err
	}
	if c.rec.Elements == c.rec.Body.Count {
		return nil
	}
	t, err := container.ListCompact(&tx.ed, c.rec.Body)
	if err != nil {
		return tx.fail(err)
	}
	c.rec.Body = t
	tx.touch(c)
	return nil
}

// Convert changes the kind of a container where its entries allow it, keeping
// its id and the file names of all entries. The elements of a list become
// string keys of decimal digits and the other way round; names of other forms
// go beside the elements. ErrKind says which key does not fit a list.
func (tx *Tx) Convert(id ID, kind value.Kind) (err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.edits(id)
	switch {
	case err != nil:
		return err
	case !kind.IsContainer():
		return fmt.Errorf("container of type %v: %w", kind, ErrKind)
	case c.rec.Kind == kind:
		return nil
	case c.rec.Kind == value.KindList:
		err = tx.listToKeyed(c)
	case kind == value.KindList:
		err = tx.keyedToList(c)
	}
	if err != nil {
		return err
	}
	c.rec.Kind = kind
	c.rec.Ctime = tx.time()
	c.dirty = true
	if c.rec.Parent == 0 {
		return nil
	}
	return tx.retype(c, kind)
}

// retype changes the kind in the entry that refers to c.
func (tx *Tx) retype(c *openContainer, kind value.Kind) error {
	key, err := tx.keyOf(ID(c.rec.Parent), c.id)
	if err != nil {
		return tx.fail(err)
	}
	p, err := tx.seek(ID(c.rec.Parent), key)
	if err != nil || !p.found {
		return tx.fail(fmt.Errorf("entry of container %d: %w", c.id, ErrNotFound))
	}
	it := p.item
	it.Kind = kind
	return tx.fail(tx.store(&p, &it))
}

// keyOf finds the key under which dir holds the entry id.
func (tx *Tx) keyOf(dir, id ID) (key value.Value, err error) {
	err = tx.Scan(dir, value.Value{}, false, func(e Entry) bool {
		if e.ID == id {
			key = e.Key
		}
		return e.ID != id
	})
	if err == nil && !key.IsValid() {
		err = fmt.Errorf("entry %d in container %d: %w", id, dir, ErrNotFound)
	}
	return key, err
}

func (tx *Tx) listToKeyed(c *openContainer) error {
	t := c.rec.Names
	var cur container.Cursor
	cur.Open(&tx.ed, c.rec.Body)
	ok, err := cur.First()
	for ; ok && err == nil; ok, err = cur.Next() {
		var it container.Item
		if err := cur.Item(&it); err != nil {
			return tx.fail(err)
		}
		if it.Kind == container.KindGap {
			continue
		}
		it = keep(&it)
		it.Key = value.AppendKey(nil, value.String(strconv.FormatUint(cur.Pos(), 10)))
		if t, _, err = container.Put(&tx.ed, t, &it); err != nil {
			return tx.fail(err)
		}
	}
	if err != nil {
		return tx.fail(err)
	}
	if err := container.FreeTree(&tx.ed, c.rec.Body, nil); err != nil {
		return tx.fail(err)
	}
	c.rec.Body, c.rec.Names, c.rec.Elements = t, container.Tree{}, t.Count
	return nil
}

func (tx *Tx) keyedToList(c *openContainer) error {
	// Look first, so that a key that does not fit leaves everything as it was.
	var top uint64
	var elements uint64
	walk := func(fn func(name string, it *container.Item) error) error {
		return container.Walk(&tx.ed, c.rec.Body, func(it *container.Item) (bool, error) {
			key, err := value.DecodeKey(it.Key)
			if err != nil {
				return false, layout.Corrupt("leaf", c.rec.Body.Ref, "holds a key that does not decode")
			}
			if key.Kind() != value.KindString {
				return false, fmt.Errorf("key %v does not fit a list: %w", key, ErrKind)
			}
			return true, fn(key.AsString(), it)
		})
	}
	err := walk(func(name string, _ *container.Item) error {
		if i, ok := listIndex(name); ok {
			top = max(top, i+1)
			elements++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if top > elements+MaxListGap {
		return fmt.Errorf("list index %d beside %d elements: %w", top-1, elements, ErrTooLarge)
	}
	var body, names container.Tree
	err = walk(func(name string, it *container.Item) (err error) {
		moved := keep(it)
		if i, ok := listIndex(name); ok {
			body, _, err = container.ListSet(&tx.ed, body, i, &moved)
			return err
		}
		moved.Key = value.AppendKey(nil, value.String(name))
		names, _, err = container.Put(&tx.ed, names, &moved)
		return err
	})
	if err != nil {
		return tx.fail(err)
	}
	if err := container.FreeTree(&tx.ed, c.rec.Body, nil); err != nil {
		return tx.fail(err)
	}
	c.rec.Body, c.rec.Names, c.rec.Elements = body, names, elements
	return nil
}

// listIndex reads a canonical decimal.
func listIndex(name string) (uint64, bool) {
	i, err := strconv.ParseUint(name, 10, 63)
	return i, err == nil && strconv.FormatUint(i, 10) == name
}
