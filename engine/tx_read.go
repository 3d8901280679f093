package engine

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// entryOf fills in what an item says about an entry.
func (tx *Tx) entryOf(dir ID, key value.Value, it *container.Item) Entry {
	e := Entry{
		Parent: dir, Key: key, ID: ID(it.ID), Kind: it.Kind,
		Declared: it.Flags&container.Declared != 0,
		NoEOL:    it.Flags&container.NoEOL != 0,
		Link:     it.Flags&container.Link != 0,
		Raw:      it.Flags&container.Raw != 0,
		HasXattr: it.Xattr != layout.Nil,
		Attr: Attr{
			Mode: uint32(it.Mode), UID: it.UID, GID: it.GID, Mtime: it.Mtime, Ctime: it.Ctime,
		},
		Incarnation: uint64(it.Inc),
		item:        *it,
	}
	e.item.Key = nil
	switch it.Kind {
	case value.KindNull:
		e.Scalar = value.Null()
	case value.KindBool:
		e.Scalar = value.Bool(it.Num != 0)
	case value.KindInt:
		e.Scalar = value.Int(int64(it.Num))
	case value.KindDatetime:
		e.Scalar = value.DatetimeMicro(int64(it.Num))
	case value.KindFloat:
		e.Scalar = value.Float(math.Float64frombits(it.Num))
	case value.KindUUID:
		var u [16]byte
		copy(u[:], it.Inline)
		e.Scalar = value.UUID(u)
		e.item.Inline = nil
	case value.KindString, value.KindBytes:
		e.Size = int64(it.Size)
		// The image of a small value is copied, so that it outlives the Tx.
		e.item.Inline = append([]byte(nil), it.Inline...)
	}
	return e
}

// fillContainer completes the entry of a container from its record.
func (e *Entry) fillContainer(c *openContainer) {
	r := &c.rec
	e.ID, e.Kind = c.id, r.Kind
	e.Attr = Attr{Mode: uint32(r.Mode), UID: r.UID, GID: r.GID, Mtime: r.Mtime, Ctime: r.Ctime}
	e.Declared = true
	e.Subdirs = r.Subdirs
	e.HasXattr = r.Xattr != layout.Nil
	e.Incarnation = 0
	if r.Kind == value.KindList {
		e.Count, e.Len = r.Elements+r.Names.Count, r.Body.Count
	} else {
		e.Count, e.Len = r.Body.Count, r.Body.Count
	}
}

// Stat describes the container id; Entry.Key is invalid, Parent is the
// container that holds it (0 for the root).
func (tx *Tx) Stat(id ID) (e Entry, err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.open(id)
	if err != nil {
		return Entry{}, err
	}
	e = Entry{Parent: ID(c.rec.Parent)}
	e.fillContainer(c)
	return e, nil
}

// find looks an entry up. The item aliases the store.
func (tx *Tx) find(c *openContainer, key value.Value) (it container.Item, ok bool, err error) {
	enc, pos, element, err := tx.encodeKey(c, key)
	if err != nil {
		return it, false, err
	}
	switch {
	case element:
		it, ok, err = container.ListGet(tx.space(), c.rec.Body, pos)
	case c.rec.Kind == value.KindList:
		it, ok, err = container.Get(tx.space(), c.rec.Names, enc)
	default:
		it, ok, err = container.Get(tx.space(), c.rec.Body, enc)
	}
	return it, ok, err
}

// Lookup finds the entry of a key in a container.
func (tx *Tx) Lookup(dir ID, key value.Value) (e Entry, err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.open(dir)
	if err != nil {
		return Entry{}, err
	}
	return tx.lookup(c, key)
}

func (tx *Tx) lookup(c *openContainer, key value.Value) (Entry, error) {
	it, ok, err := tx.find(c, key)
	if err != nil {
		return Entry{}, err
	}
	if !ok {
		return Entry{}, ErrNotFound
	}
	return tx.memberOf(c.id, key, &it)
}

// memberOf describes an item of a container, with all fields filled in.
func (tx *Tx) memberOf(dir ID, key value.Value, it *container.Item) (Entry, error) {
	e := tx.entryOf(dir, key, it)
	if e.IsContainer() {
		sub, err := tx.open(e.ID)
		if err != nil {
			return Entry{}, damaged(err)
		}
		e.fillContainer(sub)
	}
	return e, nil
}

// damaged reports that an entry refers to a container that does not exist.
func damaged(err error) error {
	return fmt.Errorf("%w: an entry refers to a missing %w", ErrCorrupt, err)
}

// Scan calls fn for the entries of dir in order, starting behind the key
// after (from the first when after is invalid), until fn returns false. Lists
// yield their elements by index, then the names beside them by key. For
// containers among the entries only ID, Kind and the flags are filled in
// unless full is set, since the rest lives in a record of its own.
//
// In an Update, fn must not change dir.
func (tx *Tx) Scan(dir ID, after value.Value, full bool, fn func(Entry) bool) (err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.open(dir)
	if err != nil {
		return err
	}
	call := func(e Entry) (bool, error) {
		if full && e.IsContainer() {
			sub, err := tx.open(e.ID)
			if err != nil {
				return false, damaged(err)
			}
			e.fillContainer(sub)
			if !tx.writable && len(tx.containers) > 64 {
				tx.containers = tx.containers[:0]
			}
		}
		tx.callback = true
		more := fn(e)
		tx.callback = false
		return more, nil
	}
	var cur container.Cursor
	if c.rec.Kind != value.KindList {
		return tx.scanKeyed(&cur, dir, c.rec.Body, after, call)
	}
	names := c.rec.Names
	if after.Kind() != value.KindString {
		start := uint64(0)
		if after.Kind() == value.KindInt {
			if after.AsInt() < 0 {
				return fmt.Errorf("list index %d: %w", after.AsInt(), ErrKey)
			}
			start = uint64(after.AsInt()) + 1
		}
		more, err := tx.scanList(&cur, dir, c.rec.Body, start, call)
		if err != nil || !more {
			return err
		}
		after = value.Value{}
	}
	return tx.scanKeyed(&cur, dir, names, after, call)
}

func (tx *Tx) scanList(cur *container.Cursor, dir ID, t container.Tree, start uint64, fn func(Entry) (bool, error)) (bool, error) {
	if start >= t.Count {
		return true, nil
	}
	cur.Open(tx.space(), t)
	ok, err := cur.SeekRank(start)
	for ; ok && err == nil; ok, err = cur.Next() {
		var it container.Item
		if err := cur.Item(&it); err != nil {
			return false, err
		}
		if it.Kind == container.KindGap {
			continue
		}
		more, err := fn(tx.entryOf(dir, value.Int(int64(cur.Pos())), &it))
		if err != nil || !more {
			return false, err
		}
	}
	return err == nil, err
}

func (tx *Tx) scanKeyed(cur *container.Cursor, dir ID, t container.Tree, after value.Value, fn func(Entry) (bool, error)) error {
	if t.Empty() {
		return nil
	}
	cur.Open(tx.space(), t)
	var ok bool
	var err error
	if after.IsValid() {
		ok, err = cur.SeekAfter(value.AppendKey(nil, after))
	} else {
		ok, err = cur.First()
	}
	for ; ok && err == nil; ok, err = cur.Next() {
		var it container.Item
		if err := cur.Item(&it); err != nil {
			return err
		}
		key, err := value.DecodeKey(it.Key)
		if err != nil {
			return layout.Corrupt("leaf", t.Ref, "holds a key that does not decode")
		}
		more, err := fn(tx.entryOf(dir, key, &it))
		if err != nil || !more {
			return err
		}
	}
	return err
}

// ReadImage reads from the file image of e, which this Tx has returned, as
// io.ReaderAt does.
func (tx *Tx) ReadImage(e *Entry, p []byte, off int64) (n int, err error) {
	defer tx.end(tx.begin(), &err)
	if !e.HasImage() {
		return 0, fmt.Errorf("image of a value of type %v: %w", e.Kind, ErrKind)
	}
	return readImage(tx.space(), &e.item, p, off)
}

func readImage(sp container.Space, it *container.Item, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: %w", off, ErrKey)
	}
	if uint64(off) >= it.Size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	if it.Blob == layout.Nil && len(it.Inline) > 0 {
		n := copy(p, it.Inline[off:])
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	}
	return container.BlobReadAt(sp, it.Blob, it.Size, p, uint64(off))
}

// Value returns the scalar of e, which this Tx has returned: the whole string
// or bytes of an image, the guessed type evaluated.
func (tx *Tx) Value(e *Entry) (v value.Value, err error) {
	defer tx.end(tx.begin(), &err)
	if e.IsContainer() {
		return value.Value{}, ErrIsContainer
	}
	if !e.HasImage() {
		return e.Scalar, nil
	}
	b := make([]byte, e.Size)
	if n, err := readImage(tx.space(), &e.item, b, 0); err != nil && (err != io.EOF || n < len(b)) {
		return value.Value{}, err
	}
	kind := e.Kind
	if e.Raw {
		kind = guess(b)
	}
	if kind == value.KindBytes {
		return value.Bytes(b), nil
	}
	s := string(b)
	if !e.Link {
		s = strings.TrimSuffix(s, "\n")
	}
	return value.String(s), nil
}

// guess says what an undeclared image is.
func guess(b []byte) value.Kind {
	if utf8.Valid(b) && !hasNUL(b) {
		return value.KindString
	}
	return value.KindBytes
}

func hasNUL(b []byte) bool {
	for _, c := range b {
		if c == 0 {
			return true
		}
	}
	return false
}

// TypeOf returns the kind of e, the guess evaluated for Raw images, without
// reading more than it must.
func (tx *Tx) TypeOf(e *Entry) (kind value.Kind, err error) {
	defer tx.end(tx.begin(), &err)
	if !e.Raw {
		return e.Kind, nil
	}
	buf := make([]byte, min(e.Size, 64<<10))
	carry := 0 // bytes of a rune cut at the end of the buffer
	for off := int64(0); off < e.Size; {
		n, err := readImage(tx.space(), &e.item, buf[carry:], off)
		if n == 0 && err != nil {
			return value.KindInvalid, err
		}
		off += int64(n)
		b := buf[:carry+n]
		cut := len(b)
		if off < e.Size {
			cut = runeStart(b)
		}
		if guess(b[:cut]) == value.KindBytes {
			return value.KindBytes, nil
		}
		carry = copy(buf, b[cut:])
	}
	return value.KindString, nil
}

// runeStart returns the length of b without an incomplete rune at its end.
func runeStart(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}
