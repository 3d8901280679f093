package engine_test

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"pongofs/engine"
	"pongofs/engine/value"
)

// model is what a store should hold, in plain Go. Its methods have the names,
// the arguments and the errors of those of engine.Tx; a method that fails
// changes nothing.
//
// The model does not know which ids and times the engine will choose. It notes
// whose times an operation must change, and look takes them from the engine
// when they are what they may be.
type model struct {
	root *node
	all  []*node // the containers, nil when not known
	marks
}

// marks says what the operation under way changes.
type marks struct {
	written  []*node // get a new mtime, bigger than the last written one
	appended []*node // the same, and keep the incarnation
	kept     []*node // keep the mtime, and get a new incarnation
	changed  []*node // get a new ctime only
}

// node is a value in the model.
type node struct {
	parent *node
	id     engine.ID // 0 until look has seen it
	kind   value.Kind
	nodeFlags
	scalar value.Value // of kinds without image
	image  []byte
	attr   engine.Attr
	wtime  int64 // mtime of the last write
	inc    uint64
	xattrs map[string][]byte

	members map[value.Value]*node // of a dict or collection; of a list, the names beside the elements
	list    []*node               // elements, nil for gaps

	sorted []value.Value // what keys returns, nil when not known
}

type nodeFlags struct{ declared, noEOL, link, raw bool }

func newModel(root engine.ID, attr engine.Attr) *model {
	return &model{root: &node{
		id: root, kind: value.KindCollection, nodeFlags: nodeFlags{declared: true}, attr: attr, wtime: attr.Mtime,
		members: map[value.Value]*node{},
	}}
}

func (m *model) clone() *model { return &model{root: m.root.clone(nil)} }

func (n *node) clone(parent *node) *node {
	if n == nil {
		return nil
	}
	c := *n
	c.parent, c.xattrs = parent, maps.Clone(n.xattrs)
	if n.members != nil {
		c.members = map[value.Value]*node{}
		for k, e := range n.members {
			c.members[k] = e.clone(&c)
		}
	}
	c.list = nil
	for _, e := range n.list {
		c.list = append(c.list, e.clone(&c))
	}
	return &c
}

func (n *node) isContainer() bool { return n.kind.IsContainer() }

func (n *node) hasImage() bool { return n.kind == value.KindString || n.kind == value.KindBytes }

// keys returns the keys in the order of Scan.
func (n *node) keys() []value.Value {
	if n.sorted == nil {
		for i, e := range n.list {
			if e != nil {
				n.sorted = append(n.sorted, value.Int(int64(i)))
			}
		}
		n.sorted = append(n.sorted, slices.SortedFunc(maps.Keys(n.members), value.Compare)...)
	}
	return n.sorted
}

// get returns the entry of a key, nil when there is none. The key is one that
// checkKey accepts.
func (n *node) get(key value.Value) *node {
	if n.kind == value.KindList && key.Kind() == value.KindInt {
		if i := key.AsInt(); i < int64(len(n.list)) {
			return n.list[i]
		}
		return nil
	}
	return n.members[key]
}

// put stores e under a key that fits.
func (n *node) put(key value.Value, e *node) {
	e.parent, n.sorted = n, nil
	if n.kind == value.KindList && key.Kind() == value.KindInt {
		for int64(len(n.list)) <= key.AsInt() {
			n.list = append(n.list, nil)
		}
		n.list[key.AsInt()] = e
		return
	}
	n.members[key] = e
}

// take removes the entry of a key; at the end of a list gaps go with it.
func (n *node) take(key value.Value) {
	n.sorted = nil
	if n.kind == value.KindList && key.Kind() == value.KindInt {
		n.list[key.AsInt()] = nil
		n.trim()
		return
	}
	delete(n.members, key)
}

func (n *node) trim() {
	for len(n.list) > 0 && n.list[len(n.list)-1] == nil {
		n.list = n.list[:len(n.list)-1]
	}
}

func (n *node) keyOf(e *node) value.Value {
	for i, x := range n.list {
		if x == e {
			return value.Int(int64(i))
		}
	}
	for k, x := range n.members {
		if x == e {
			return k
		}
	}
	panic("model: entry is not where it says")
}

// walk calls fn for n and everything below it, in order.
func (n *node) walk(fn func(*node)) {
	fn(n)
	for _, k := range n.keys() {
		n.get(k).walk(fn)
	}
}

// containers returns all containers in order, the root first.
func (m *model) containers() []*node {
	if m.all == nil {
		m.root.walk(func(n *node) {
			if n.isContainer() {
				m.all = append(m.all, n)
			}
		})
	}
	return m.all
}

// find returns the container id.
func (m *model) find(id engine.ID) (*node, error) {
	for _, n := range m.containers() {
		if n.id == id {
			return n, nil
		}
	}
	return nil, engine.ErrNotFound
}

// checkKey says whether a key fits the container dir, and whether it may be
// given a value there.
func (n *node) checkKey(key value.Value) error {
	if n.kind != value.KindList {
		if len(value.AppendKey(nil, key)) > engine.MaxKeyBytes {
			return engine.ErrKeyTooLong
		}
		return nil
	}
	switch key.Kind() {
	case value.KindInt:
		if key.AsInt() < 0 {
			return engine.ErrKey
		}
		return nil
	case value.KindString:
		if len(value.AppendKey(nil, key)) > engine.MaxKeyBytes {
			return engine.ErrKeyTooLong
		}
		return nil
	}
	return engine.ErrKey
}

func (n *node) checkGap(key value.Value) error {
	if n.kind == value.KindList && key.Kind() == value.KindInt && key.AsInt() > int64(len(n.list))+engine.MaxListGap {
		return engine.ErrTooLarge
	}
	return nil
}

// seek returns a container and its entry of a key, nil when there is none.
func (m *model) seek(dir engine.ID, key value.Value) (d, e *node, err error) {
	if d, err = m.find(dir); err != nil {
		return nil, nil, err
	}
	if err := d.checkKey(key); err != nil {
		return nil, nil, err
	}
	return d, d.get(key), nil
}

func (m *model) write(n *node)  { m.written = append(m.written, n) }
func (m *model) change(n *node) { m.changed = append(m.changed, n) }

// Put stores content, a node that holds kind, flags and value.
func (m *model) Put(dir engine.ID, key value.Value, content node, o engine.PutOptions) error {
	d, e, err := m.seek(dir, key)
	switch {
	case err != nil:
		return err
	case e == nil:
		if err := d.checkGap(key); err != nil {
			return err
		}
		e = &content
		e.attr = engine.Attr{Mode: o.New.Mode, UID: o.New.UID, GID: o.New.GID}
		d.put(key, e)
		m.write(d)
		m.write(e)
		return nil
	case o.Exclusive:
		return engine.ErrExist
	case e.isContainer():
		return engine.ErrIsContainer
	case e.kind == content.kind && e.nodeFlags == content.nodeFlags && e.scalar == content.scalar && bytes.Equal(e.image, content.image):
		return nil
	}
	e.kind, e.nodeFlags, e.scalar, e.image = content.kind, content.nodeFlags, content.scalar, content.image
	if o.KeepMtime {
		m.kept = append(m.kept, e)
	} else {
		m.write(e)
	}
	return nil
}

// putContent returns the node that Put of a value makes.
func putContent(v value.Value, o engine.PutOptions) node {
	n := node{kind: v.Kind(), nodeFlags: nodeFlags{declared: o.Declared, noEOL: o.NoEOL}}
	switch v.Kind() {
	case value.KindString:
		n.noEOL, n.link = false, o.Link
		n.image = v.AsBytes()
		if !o.NoEOL && !o.Link {
			n.image = append(n.image, '\n')
		}
	case value.KindBytes:
		n.noEOL = false
		n.image = v.AsBytes()
	default:
		n.scalar = v
	}
	return n
}

// imageContent returns the node that PutImage makes.
func imageContent(kind value.Kind, image []byte, o engine.PutOptions) node {
	n := node{kind: kind, nodeFlags: nodeFlags{declared: o.Declared}, image: slices.Clone(image)}
	if kind == value.KindInvalid {
		n.kind, n.declared, n.raw = value.KindString, false, true
	}
	return n
}

func (m *model) Make(dir engine.ID, key value.Value, kind value.Kind, a engine.NewAttr) error {
	d, e, err := m.seek(dir, key)
	if err == nil && e != nil {
		err = engine.ErrExist
	}
	if err == nil {
		err = d.checkGap(key)
	}
	if err != nil {
		return err
	}
	e = &node{
		kind: kind, nodeFlags: nodeFlags{declared: true}, members: map[value.Value]*node{},
		attr: engine.Attr{Mode: a.Mode, UID: a.UID, GID: a.GID},
	}
	d.put(key, e)
	m.all = nil
	m.write(d)
	m.write(e)
	return nil
}

func (m *model) Remove(dir engine.ID, key value.Value, all bool) error {
	d, e, err := m.seek(dir, key)
	switch {
	case err != nil:
		return err
	case e == nil:
		return engine.ErrNotFound
	case !all && len(e.keys()) > 0:
		return engine.ErrNotEmpty
	}
	d.take(key)
	if e.isContainer() {
		m.all = nil
	}
	m.write(d)
	return nil
}

// below reports whether n is top or lies below it.
func (n *node) below(top *node) bool {
	for ; n != nil; n = n.parent {
		if n == top {
			return true
		}
	}
	return false
}

func (m *model) Rename(odir engine.ID, okey value.Value, ndir engine.ID, nkey value.Value, o engine.RenameOptions) error {
	od, e, err := m.seek(odir, okey)
	if err != nil {
		return err
	}
	if e == nil {
		return engine.ErrNotFound
	}
	nd, old, err := m.seek(ndir, nkey)
	switch {
	case err != nil:
		return err
	case e == old:
		return nil
	case nd.below(e):
		return engine.ErrLoop
	case o.Exchange && old == nil:
		return engine.ErrNotFound
	case o.Exchange && od.below(old):
		return engine.ErrLoop
	case o.Exchange:
		od.put(okey, old)
		nd.put(nkey, e)
		m.change(old)
	default:
		switch {
		case old == nil:
			err = nd.checkGap(nkey)
		case o.NoReplace:
			err = engine.ErrExist
		case e.isContainer() && !old.isContainer():
			err = engine.ErrNotContainer
		case !e.isContainer() && old.isContainer():
			err = engine.ErrIsContainer
		case len(old.keys()) > 0:
			err = engine.ErrNotEmpty
		}
		if err != nil {
			return err
		}
		od.take(okey)
		nd.put(nkey, e)
	}
	m.all = nil
	m.change(e)
	m.write(od)
	if nd != od {
		m.write(nd)
	}
	return nil
}

func (m *model) list(id engine.ID) (*node, error) {
	d, err := m.find(id)
	if err == nil && d.kind != value.KindList {
		err = engine.ErrKind
	}
	return d, err
}

func (m *model) InsertAt(id engine.ID, i int64, c node, o engine.PutOptions) error {
	d, err := m.list(id)
	if err != nil {
		return err
	}
	n := int64(len(d.list))
	if i < 0 {
		i += n
	}
	if i < 0 || i > n {
		return engine.ErrNotFound
	}
	e := &c
	e.parent = d
	e.attr = engine.Attr{Mode: o.New.Mode, UID: o.New.UID, GID: o.New.GID}
	d.list, d.sorted = slices.Insert(d.list, int(i), e), nil
	m.write(d)
	m.write(e)
	return nil
}

func (m *model) DeleteAt(id engine.ID, i int64) error {
	d, err := m.list(id)
	if err != nil {
		return err
	}
	n := int64(len(d.list))
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return engine.ErrNotFound
	}
	d.list, d.sorted, m.all = slices.Delete(d.list, int(i), int(i)+1), nil, nil
	d.trim()
	m.write(d)
	return nil
}

func (m *model) CompactList(id engine.ID) error {
	d, err := m.list(id)
	if err != nil || !slices.Contains(d.list, nil) {
		return err
	}
	d.list, d.sorted = slices.DeleteFunc(d.list, func(e *node) bool { return e == nil }), nil
	m.write(d)
	return nil
}

func (m *model) Convert(id engine.ID, kind value.Kind) error {
	d, err := m.find(id)
	if err != nil || d.kind == kind {
		return err
	}
	var list []*node
	members := map[value.Value]*node{}
	switch {
	case d.kind == value.KindList:
		members = d.members
		for i, e := range d.list {
			if e != nil {
				members[value.String(strconv.Itoa(i))] = e
			}
		}
	case kind == value.KindList:
		top, n := int64(0), int64(0)
		for k := range d.members {
			if k.Kind() != value.KindString {
				return engine.ErrKind
			}
			if i, ok := elementIndex(k.AsString()); ok {
				top, n = max(top, i+1), n+1
			}
		}
		if top > n+engine.MaxListGap {
			return engine.ErrTooLarge
		}
		list = make([]*node, top)
		for k, e := range d.members {
			if i, ok := elementIndex(k.AsString()); ok {
				list[i] = e
			} else {
				members[k] = e
			}
		}
	default:
		members = d.members
	}
	d.kind, d.members, d.list, d.sorted, m.all = kind, members, list, nil, nil
	m.change(d)
	return nil
}

// elementIndex reads a canonical decimal.
func elementIndex(name string) (int64, bool) {
	i, err := strconv.ParseInt(name, 10, 64)
	return i, err == nil && i >= 0 && strconv.FormatInt(i, 10) == name
}

// entry finds an existing entry; an invalid key means the container itself.
func (m *model) entry(dir engine.ID, key value.Value) (*node, error) {
	if !key.IsValid() {
		return m.find(dir)
	}
	_, e, err := m.seek(dir, key)
	if err == nil && e == nil {
		err = engine.ErrNotFound
	}
	return e, err
}

func (m *model) SetAttr(dir engine.ID, key value.Value, ch engine.AttrChange) error {
	e, err := m.entry(dir, key)
	if err != nil {
		return err
	}
	if ch.Mode != nil {
		e.attr.Mode = *ch.Mode & 0o7777
	}
	if ch.UID != nil {
		e.attr.UID = *ch.UID
	}
	if ch.GID != nil {
		e.attr.GID = *ch.GID
	}
	if ch.Mtime != nil {
		e.attr.Mtime = *ch.Mtime
	}
	m.change(e)
	return nil
}

func (m *model) SetXattr(dir engine.ID, key value.Value, name string, val []byte) error {
	e, err := m.entry(dir, key)
	if err != nil {
		return err
	}
	if _, ok := e.xattrs[name]; !ok && val == nil {
		return engine.ErrNoXattr
	}
	if e.xattrs == nil {
		e.xattrs = map[string][]byte{}
	}
	if val == nil {
		delete(e.xattrs, name)
	} else {
		e.xattrs[name] = val
	}
	m.change(e)
	return nil
}

func (m *model) Declare(dir engine.ID, key value.Value, declared bool) error {
	e, err := m.entry(dir, key)
	if err != nil {
		return err
	}
	if e.isContainer() {
		return engine.ErrIsContainer
	}
	was, kind := e.nodeFlags, e.kind
	switch {
	case declared && e.raw:
		e.kind, e.raw, e.declared = guessKind(e.image), false, true
	case !declared && e.hasImage():
		e.kind, e.raw, e.declared = value.KindString, true, false
	default:
		e.declared = declared
	}
	if e.nodeFlags != was || e.kind != kind {
		m.change(e)
	}
	return nil
}

func guessKind(image []byte) value.Kind {
	if utf8.Valid(image) && !bytes.Contains(image, []byte{0}) {
		return value.KindString
	}
	return value.KindBytes
}

// withImage finds an entry with an image.
func (m *model) withImage(dir engine.ID, key value.Value) (*node, error) {
	e, err := m.entry(dir, key)
	switch {
	case err != nil:
		return nil, err
	case e.isContainer():
		return nil, engine.ErrIsContainer
	case !e.hasImage():
		return nil, engine.ErrKind
	}
	return e, nil
}

func (m *model) WriteImage(dir engine.ID, key value.Value, off int64, b []byte) error {
	e, err := m.withImage(dir, key)
	if err != nil {
		return err
	}
	if off < 0 {
		off = int64(len(e.image))
	}
	image := slices.Clone(e.image)
	if end := off + int64(len(b)); int64(len(image)) < end {
		image = append(image, make([]byte, end-int64(len(image)))...)
	}
	copy(image[off:], b)
	m.replaceImage(e, image, off >= int64(len(e.image)))
	return nil
}

func (m *model) TruncateImage(dir engine.ID, key value.Value, size int64) error {
	e, err := m.withImage(dir, key)
	if err != nil {
		return err
	}
	if size < 0 || size > engine.MaxValue {
		return engine.ErrTooLarge
	}
	image := make([]byte, size)
	copy(image, e.image)
	m.replaceImage(e, image, size > int64(len(e.image)))
	return nil
}

func (m *model) replaceImage(e *node, image []byte, appended bool) {
	if bytes.Equal(image, e.image) {
		return
	}
	e.image = image
	if appended {
		m.appended = append(m.appended, e)
	} else {
		m.write(e)
	}
}

// value returns what Tx.Value returns.
func (n *node) value() value.Value {
	kind := n.kind
	if n.raw {
		kind = guessKind(n.image)
	}
	switch {
	case !n.hasImage():
		return n.scalar
	case kind == value.KindBytes:
		return value.Bytes(n.image)
	case n.link:
		return value.String(string(n.image))
	}
	return value.String(string(bytes.TrimSuffix(n.image, []byte("\n"))))
}
