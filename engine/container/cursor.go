package container

import (
	"bytes"
	"encoding/binary"
	"errors"

	"pongofs/engine/layout"
)

// errNowhere reports the use of a cursor that stands on no item.
var errNowhere = errors.New("container: cursor stands on no item")

// Cursor is a position in a Tree, for ordered walks and for edits at the place
// where a search ended. The zero Cursor must be opened first. It is large (5
// KiB) and may be opened again and again; opening costs nothing.
//
// A cursor is good until its tree is edited by other means than the cursor. The
// functions that move it report whether it then stands on an item. One that has
// run off an end may turn round: Prev then goes to the last item, Next to the
// first.
type Cursor struct {
	sp Space
	t  Tree

	ref    layout.Ref // the leaf, Nil when c stands nowhere
	leaf   leaf
	count  uint64 // positions of the leaf
	i      int    // item, -1 before the first, leaf.n behind the last
	pos    uint64 // position of the item, plus within
	within uint64 // position in the gap run at i
	past   uint64 // how far beyond the end FindPos was sent

	depth int
	steps [maxDepth]step // the way from the root to the leaf
	kept  bool           // c stands nowhere, but the steps lead to the leaf edited last
}

// Open makes c a cursor of t that stands nowhere.
func (c *Cursor) Open(sp Space, t Tree) {
	c.sp, c.t, c.ref, c.depth, c.kept = sp, t, layout.Nil, 0, false
}

// Tree returns the tree that c moves in: after an edit through c the new one.
func (c *Cursor) Tree() Tree { return c.t }

// push enters the inner node t.
func (c *Cursor) push(t Tree) (*step, error) {
	if c.depth == maxDepth {
		return nil, corruptDepth(t.Ref)
	}
	obj, err := c.sp.Object(t.Ref, layout.KindInner)
	if err != nil {
		return nil, err
	}
	lw := binary.LittleEndian.Uint32(obj[layout.InnerLeftWeightOff:])
	lc := binary.LittleEndian.Uint64(obj[layout.InnerLeftCountOff:])
	if lw == 0 || lw >= t.Weight || lc > t.Count {
		return nil, corruptInner(t, lw, lc)
	}
	s := &c.steps[c.depth]
	s.ref, s.obj, s.count, s.weight = t.Ref, obj, t.Count, t.Weight
	c.depth++
	return s, nil
}

// enter enters the leaf t.
func (c *Cursor) enter(t Tree) error {
	l, err := c.readLeaf(t)
	if err != nil {
		return err
	}
	c.ref, c.leaf, c.count = t.Ref, l, t.Count
	c.i, c.within, c.past = 0, 0, 0
	return nil
}

func (c *Cursor) readLeaf(t Tree) (leaf, error) {
	l, err := readLeaf(c.sp, t.Ref)
	if err != nil {
		return leaf{}, err
	}
	if t.Weight != 1 || uint64(l.n) > t.Count || l.gaps == 0 && uint64(l.n) != t.Count {
		return leaf{}, layout.Corrupt("leaf", t.Ref, "%d items where %d positions and weight %d are recorded",
			l.n, t.Count, t.Weight)
	}
	return l, nil
}

// begin leaves the present place; it reports whether there is any other.
func (c *Cursor) begin() bool {
	c.ref, c.depth, c.pos, c.kept = layout.Nil, 0, 0, false
	return !c.t.Empty()
}

// toEdge enters the first or last leaf of t, a subtree at the present depth.
func (c *Cursor) toEdge(t Tree, last bool) error {
	for t.Weight > 1 {
		s, err := c.push(t)
		if err != nil {
			return err
		}
		s.right = bit(last)
		t = s.down()
	}
	return c.enter(t)
}

// toKey enters the leaf of t that key belongs to; t is a subtree at the present
// depth. It is the way of every keyed edit, so it does what push does without
// the call.
func (c *Cursor) toKey(t Tree, key []byte) error {
	depth, pos := c.depth, c.pos
	for t.Weight > 1 {
		obj, err := c.sp.Object(t.Ref, layout.KindInner)
		if err != nil {
			return err
		}
		if len(obj) < layout.InnerSepOff {
			return layout.Corrupt("inner node", t.Ref, "%d bytes are too few", len(obj))
		}
		if depth == maxDepth {
			return corruptDepth(t.Ref)
		}
		lw := binary.LittleEndian.Uint32(obj[layout.InnerLeftWeightOff:])
		lc := binary.LittleEndian.Uint64(obj[layout.InnerLeftCountOff:])
		if lw == 0 || lw >= t.Weight || lc > t.Count {
			return corruptInner(t, lw, lc)
		}
		s := &c.steps[depth]
		depth++
		s.ref, s.obj, s.count, s.weight = t.Ref, obj, t.Count, t.Weight
		if s.right = bit(bytes.Compare(key, innerSep(obj)) >= 0); s.right == 1 {
			t.Ref = layout.Ref(binary.LittleEndian.Uint64(obj[layout.InnerRightOff:]))
			t.Weight -= lw
			t.Count -= lc
			pos += lc
		} else {
			t.Ref = layout.Ref(binary.LittleEndian.Uint64(obj[layout.InnerLeftOff:]))
			t.Weight = lw
			t.Count = lc
		}
	}
	c.depth, c.pos = depth, pos
	return c.enter(t)
}

// Find moves to the item of a key and reports whether it exists. When not, c
// stands where Put would insert it; Item, Next and Prev must then not be used.
func (c *Cursor) Find(key []byte) (bool, error) {
	if !c.begin() {
		return false, nil
	}
	return c.findIn(c.t, key)
}

// findIn is Find in t, a subtree at the present depth.
func (c *Cursor) findIn(t Tree, key []byte) (bool, error) {
	if err := c.toKey(t, key); err != nil {
		return false, err
	}
	i, found := c.leaf.search(key)
	c.i = i
	c.pos += uint64(i)
	return found, nil
}

// FindAhead is Find of a key not smaller than the one that was looked for, put or
// deleted last. From the leaf it goes up only as far as it must, so that many
// keys in order cost O(log distance) steps each: a finger search (Guibas,
// McCreight, Plass and Roberts, A new representation for linear lists, STOC 1977).
func (c *Cursor) FindAhead(key []byte) (bool, error) {
	if !c.kept && c.ref == layout.Nil {
		return c.Find(key)
	}
	c.ref, c.kept = layout.Nil, false
	// The separator of a node whose left child the way takes is an upper bound of
	// all keys below. It turns off at the highest one that key is not below.
	turn := c.depth
	for d := c.depth - 1; d >= 0; d-- {
		if s := &c.steps[d]; s.right == 0 {
			if bytes.Compare(key, innerSep(s.obj)) < 0 {
				break
			}
			turn = d
		}
	}
	if turn < c.depth {
		c.steps[turn].right = 1
		c.depth = turn + 1
	}
	t := c.t
	c.pos = 0
	for d := range c.depth {
		s := &c.steps[d]
		if s.right == 1 {
			c.pos += innerLeft(s.obj).Count
		}
	}
	if c.depth > 0 {
		t = c.steps[c.depth-1].down()
	}
	return c.findIn(t, key)
}

// Seek moves to the first item whose key is key or greater.
func (c *Cursor) Seek(key []byte) (bool, error) {
	if _, err := c.Find(key); err != nil || c.ref == layout.Nil {
		return false, err
	}
	if c.i == c.leaf.n {
		return c.nextLeaf()
	}
	return true, nil
}

// SeekAfter moves to the first item whose key is greater than key.
func (c *Cursor) SeekAfter(key []byte) (bool, error) {
	found, err := c.Find(key)
	if err != nil || c.ref == layout.Nil {
		return false, err
	}
	if found {
		return c.Next()
	}
	if c.i == c.leaf.n {
		return c.nextLeaf()
	}
	return true, nil
}

// SeekRank moves to position n: in lists to the element n or to the gap run
// that holds it, else to the item that has n items before it.
func (c *Cursor) SeekRank(n uint64) (bool, error) {
	if !c.begin() || n >= c.t.Count {
		return false, nil
	}
	t, pos := c.t, n
	for t.Weight > 1 {
		s, err := c.push(t)
		if err != nil {
			return false, err
		}
		lc := binary.LittleEndian.Uint64(s.obj[layout.InnerLeftCountOff:])
		if s.right = bit(pos >= lc); s.right == 1 {
			pos -= lc
		}
		t = s.down()
	}
	if err := c.enter(t); err != nil {
		return false, err
	}
	c.i, c.within = c.leaf.locate(pos)
	if c.i == c.leaf.n {
		return false, layout.Corrupt("leaf", c.ref, "fewer positions than recorded")
	}
	c.pos = n
	return true, nil
}

// First moves to the first item.
func (c *Cursor) First() (bool, error) {
	if !c.begin() {
		return false, nil
	}
	err := c.toEdge(c.t, false)
	return err == nil, err
}

// Last moves to the last item.
func (c *Cursor) Last() (bool, error) {
	if !c.begin() {
		return false, nil
	}
	if err := c.toEdge(c.t, true); err != nil {
		return false, err
	}
	c.i = c.leaf.n - 1
	c.pos = c.t.Count - c.spanAt()
	return true, nil
}

// spanAt returns the positions of the item at c, 0 when there is none.
func (c *Cursor) spanAt() uint64 {
	switch {
	case c.i < 0 || c.i >= c.leaf.n:
		return 0
	case c.leaf.gaps == 0:
		return 1
	}
	return spanOf(c.leaf.item(c.i))
}

// Next moves to the item behind the present one, past the whole of a gap run.
func (c *Cursor) Next() (bool, error) {
	if c.ref == layout.Nil {
		return false, errNowhere
	}
	c.pos += c.spanAt() - c.within
	c.within = 0
	if c.i+1 < c.leaf.n {
		c.i++
		return true, nil
	}
	return c.nextLeaf()
}

// nextLeaf moves to the first item of the leaf behind the present one. c.pos
// is already right.
func (c *Cursor) nextLeaf() (bool, error) {
	d := c.depth - 1
	for d >= 0 && c.steps[d].right == 1 {
		d--
	}
	if d < 0 {
		c.i = c.leaf.n
		return false, nil
	}
	s := &c.steps[d]
	s.right = 1
	c.depth = d + 1
	err := c.toEdge(s.other(), false)
	return err == nil, err
}

// Prev moves to the item before the present one.
func (c *Cursor) Prev() (bool, error) {
	if c.ref == layout.Nil {
		return false, errNowhere
	}
	c.pos -= c.within
	c.within = 0
	if c.i > 0 {
		c.i--
		c.pos -= c.spanAt()
		return true, nil
	}
	d := c.depth - 1
	for d >= 0 && c.steps[d].right == 0 {
		d--
	}
	if d < 0 {
		c.i = -1
		return false, nil
	}
	s := &c.steps[d]
	s.right = 0
	c.depth = d + 1
	if err := c.toEdge(s.left(), true); err != nil {
		return false, err
	}
	c.i = c.leaf.n - 1
	c.pos -= c.spanAt()
	return true, nil
}

// at reports whether c stands on an item.
func (c *Cursor) at() bool { return c.ref != layout.Nil && c.i >= 0 && c.i < c.leaf.n }

// Item decodes the item at c. Its slices alias the leaf: they are good until
// the tree is edited, and may be handed to that edit.
func (c *Cursor) Item(it *Item) error {
	if !c.at() {
		return errNowhere
	}
	return c.leaf.decode(c.ref, c.i, it)
}

// Key returns the encoded key of the item at c, aliasing the leaf.
func (c *Cursor) Key() ([]byte, error) {
	if !c.at() {
		return nil, errNowhere
	}
	return c.leaf.key(c.i), nil
}

// Pos returns the position of c: the number of items before it, in lists the
// index of the element. In a gap run it is the run's first position, or the
// position that SeekRank was given.
func (c *Cursor) Pos() uint64 { return c.pos }
