package container

import (
	"encoding/binary"
	"math/bits"

	"pongofs/engine/layout"
)

// IDTable maps ids to the refs of container records: a copy-on-write radix tree
// of the least height that holds its largest id. The zero IDTable is empty.
//
// A node holds only the refs that are there, with a bitmap that says which:
// most ids belong to scalars, which are not in the table, so that full nodes
// would be mostly empty.
type IDTable struct {
	Ref    layout.Ref
	Height uint32 // levels of nodes, 0 when empty
}

// maxIDHeight is the number of levels that ids of 64 bits need.
const maxIDHeight = (64 + layout.IDNodeBits - 1) / layout.IDNodeBits

// idHeight returns the number of levels that id needs.
func idHeight(id uint64) uint32 {
	return uint32(max(bits.Len64(id)+layout.IDNodeBits-1, layout.IDNodeBits) / layout.IDNodeBits)
}

// idNode is a view of a KindIDNode object.
type idNode struct {
	obj    []byte
	bitmap uint32
}

// openIDNode reads a node of a level.
func openIDNode(sp Space, ref layout.Ref, level uint32) (idNode, error) {
	obj, err := sp.Object(ref, layout.KindIDNode)
	if err != nil {
		return idNode{}, err
	}
	n := idNode{obj: obj, bitmap: binary.LittleEndian.Uint32(obj[layout.IDNodeBitmapOff:])}
	if uint32(obj[layout.IDNodeLevelOff]) != level || n.bitmap == 0 || idNodeSize(n.count()) > len(obj) {
		return idNode{}, layout.Corrupt("id node", ref, "level %d with %d refs in %d bytes where level %d is due",
			obj[layout.IDNodeLevelOff], n.count(), len(obj), level)
	}
	return n, nil
}

func idNodeSize(refs int) int { return layout.IDNodeRefsOff + 8*refs }

// slot returns the bit of the slot that id has at a level.
func slot(id uint64, level uint32) uint32 {
	return 1 << (id >> (level * layout.IDNodeBits) & (1<<layout.IDNodeBits - 1))
}

// count returns the number of refs.
func (n *idNode) count() int { return bits.OnesCount32(n.bitmap) }

// index returns where the ref of a slot is or would be.
func (n *idNode) index(slot uint32) int { return bits.OnesCount32(n.bitmap & (slot - 1)) }

func (n *idNode) ref(i int) layout.Ref {
	return layout.Ref(binary.LittleEndian.Uint64(n.obj[idNodeSize(i):]))
}

func (n *idNode) setRef(i int, ref layout.Ref) {
	binary.LittleEndian.PutUint64(n.obj[idNodeSize(i):], uint64(ref))
}

func (n *idNode) setBitmap(bitmap uint32) {
	n.bitmap = bitmap
	binary.LittleEndian.PutUint32(n.obj[layout.IDNodeBitmapOff:], bitmap)
}

func (t IDTable) check() error {
	if t.Height > maxIDHeight || (t.Height == 0) != (t.Ref == layout.Nil) {
		return layout.Corrupt("id table", t.Ref, "height is %d", t.Height)
	}
	return nil
}

// Get returns the ref of id, Nil when there is none.
func (t IDTable) Get(sp Space, id uint64) (layout.Ref, error) {
	if err := t.check(); err != nil {
		return layout.Nil, err
	}
	if t.Height == 0 || idHeight(id) > t.Height {
		return layout.Nil, nil
	}
	ref := t.Ref
	for level := t.Height; level > 0; level-- {
		n, err := openIDNode(sp, ref, level-1)
		if err != nil {
			return layout.Nil, err
		}
		s := slot(id, level-1)
		if n.bitmap&s == 0 {
			return layout.Nil, nil
		}
		ref = n.ref(n.index(s))
	}
	return ref, nil
}

// Put sets the ref of id, Nil to remove it, and returns the new table. What the
// old ref refers to is the caller's to free.
func (t IDTable) Put(ed Editor, id uint64, ref layout.Ref) (IDTable, error) {
	if err := t.check(); err != nil {
		return t, err
	}
	height := idHeight(id)
	if ref == layout.Nil {
		if t.Height == 0 || height > t.Height {
			return t, nil
		}
		top, err := removeID(ed, t.Ref, t.Height-1, id)
		if err != nil {
			return t, err
		}
		return IDTable{top, t.Height}.lower(ed)
	}
	for t.Height > 0 && t.Height < height {
		up, n, err := newIDNode(ed, t.Height, 1)
		if err != nil {
			return t, err
		}
		n.setRef(0, t.Ref)
		t = IDTable{up, t.Height + 1}
	}
	t.Height = max(t.Height, height)
	top, err := putID(ed, t.Ref, t.Height-1, id, ref)
	return IDTable{top, t.Height}, err
}

// lower takes levels off the top that only lead to the smallest ids.
func (t IDTable) lower(ed Editor) (IDTable, error) {
	if t.Ref == layout.Nil {
		return IDTable{}, nil
	}
	for t.Height > 1 {
		n, err := openIDNode(ed, t.Ref, t.Height-1)
		if err != nil {
			return t, err
		}
		if n.bitmap != 1 {
			break
		}
		first := n.ref(0)
		ed.Free(t.Ref)
		t = IDTable{first, t.Height - 1}
	}
	return t, nil
}

// newIDNode makes a node with a bitmap whose refs are yet to be set.
func newIDNode(ed Editor, level, bitmap uint32) (layout.Ref, idNode, error) {
	ref, obj, err := ed.Alloc(layout.KindIDNode, idNodeSize(bits.OnesCount32(bitmap)))
	if err != nil {
		return layout.Nil, idNode{}, err
	}
	obj[layout.IDNodeLevelOff] = byte(level)
	n := idNode{obj: obj}
	n.setBitmap(bitmap)
	return ref, n, nil
}

// putID sets the ref of id below the node at ref (Nil for a new one).
func putID(ed Editor, ref layout.Ref, level uint32, id uint64, to layout.Ref) (layout.Ref, error) {
	s := slot(id, level)
	var n idNode
	var child layout.Ref
	if ref != layout.Nil {
		var err error
		if n, err = openIDNode(ed, ref, level); err != nil {
			return ref, err
		}
		if n.bitmap&s != 0 {
			child = n.ref(n.index(s))
		}
	}
	if level > 0 {
		var err error
		if to, err = putID(ed, child, level-1, id, to); err != nil {
			return ref, err
		}
	}
	i, count := n.index(s), n.count()
	fresh := n.bitmap&s == 0
	if ref != layout.Nil && ed.Owned(ref) && (!fresh || idNodeSize(count+1) <= len(n.obj)) {
		if fresh {
			copy(n.obj[idNodeSize(i+1):idNodeSize(count+1)], n.obj[idNodeSize(i):])
			n.setBitmap(n.bitmap | s)
		}
		n.setRef(i, to)
		return ref, nil
	}
	up, m, err := newIDNode(ed, level, n.bitmap|s)
	if err != nil {
		return ref, err
	}
	if ref != layout.Nil {
		copy(m.obj[layout.IDNodeRefsOff:], n.obj[layout.IDNodeRefsOff:idNodeSize(i)])
		from := i
		if !fresh {
			from++
		}
		copy(m.obj[idNodeSize(i+1):], n.obj[idNodeSize(from):idNodeSize(count)])
		ed.Free(ref)
	}
	m.setRef(i, to)
	return up, nil
}

// removeID removes the ref of id below the node at ref, Nil when nothing is
// left of it.
func removeID(ed Editor, ref layout.Ref, level uint32, id uint64) (layout.Ref, error) {
	n, err := openIDNode(ed, ref, level)
	if err != nil {
		return ref, err
	}
	s := slot(id, level)
	if n.bitmap&s == 0 {
		return ref, nil
	}
	i, count := n.index(s), n.count()
	if level > 0 {
		old := n.ref(i)
		child, err := removeID(ed, old, level-1, id)
		if err != nil || child == old {
			return ref, err
		}
		if child != layout.Nil {
			return setIDRef(ed, ref, level, n, i, child)
		}
	}
	if count == 1 {
		ed.Free(ref)
		return layout.Nil, nil
	}
	if ed.Owned(ref) {
		copy(n.obj[idNodeSize(i):], n.obj[idNodeSize(i+1):idNodeSize(count)])
		n.setBitmap(n.bitmap &^ s)
		return ref, nil
	}
	to, m, err := newIDNode(ed, level, n.bitmap&^s)
	if err != nil {
		return ref, err
	}
	copy(m.obj[layout.IDNodeRefsOff:], n.obj[layout.IDNodeRefsOff:idNodeSize(i)])
	copy(m.obj[idNodeSize(i):], n.obj[idNodeSize(i+1):idNodeSize(count)])
	ed.Free(ref)
	return to, nil
}

// setIDRef changes ref i of a node.
func setIDRef(ed Editor, ref layout.Ref, level uint32, n idNode, i int, child layout.Ref) (layout.Ref, error) {
	if ed.Owned(ref) {
		n.setRef(i, child)
		return ref, nil
	}
	to, m, err := newIDNode(ed, level, n.bitmap)
	if err != nil {
		return ref, err
	}
	copy(m.obj[layout.IDNodeRefsOff:], n.obj[layout.IDNodeRefsOff:idNodeSize(n.count())])
	m.setRef(i, child)
	ed.Free(ref)
	return to, nil
}

// Walk calls fn for each id in ascending order until fn fails.
func (t IDTable) Walk(sp Space, fn func(id uint64, ref layout.Ref) error) error {
	if err := t.check(); err != nil || t.Height == 0 {
		return err
	}
	w := idWalk{sp: sp}
	return w.walk(t.Ref, t.Height-1, 0, fn)
}

// idWalk opens every node once. In a damaged table a node may hang in several
// places, so that a walk would take for ever.
type idWalk struct {
	sp   Space
	seen map[layout.Ref]struct{}
}

func (w *idWalk) open(ref layout.Ref, level uint32) (idNode, error) {
	if _, again := w.seen[ref]; again {
		return idNode{}, layout.Corrupt("id node", ref, "object has two parents")
	}
	if w.seen == nil {
		w.seen = make(map[layout.Ref]struct{})
	}
	w.seen[ref] = struct{}{}
	return openIDNode(w.sp, ref, level)
}

func (w *idWalk) walk(ref layout.Ref, level uint32, base uint64, fn func(uint64, layout.Ref) error) error {
	n, err := w.open(ref, level)
	if err != nil {
		return err
	}
	i := 0
	for rest := n.bitmap; rest != 0; rest &= rest - 1 {
		id := base | uint64(bits.TrailingZeros32(rest))<<(level*layout.IDNodeBits)
		if level > 0 {
			err = w.walk(n.ref(i), level-1, id, fn)
		} else {
			err = fn(id, n.ref(i))
		}
		if err != nil {
			return err
		}
		i++
	}
	return nil
}
