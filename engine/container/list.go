package container

import (
	"errors"

	"pongofs/engine/layout"
)

// A list is a Tree whose items have no keys: the position of an item is the
// number of positions before it, and a gap run takes as many as it is long.
// No list ends in a gap, and no two gap runs stand side by side in one leaf.

// ErrRange reports a list position or a size beyond what can be stored.
var ErrRange = errors.New("position out of range")

// MaxListLen is the largest number of positions of a list.
const MaxListLen = 1 << 48

// ListGet returns the element at pos, false for a gap or beyond the end.
func ListGet(sp Space, t Tree, pos uint64) (Item, bool, error) {
	it, found, err := At(sp, t, pos)
	if err != nil || !found || it.Kind == KindGap {
		return Item{}, false, err
	}
	return it, true, nil
}

// ListSet stores item at pos: over an element, into a gap (old is then false),
// at the end, or beyond the end with a gap run in between. Use a Cursor to see
// the old element first: FindPos, Item, Set.
func ListSet(ed Editor, t Tree, pos uint64, item *Item) (nt Tree, old bool, err error) {
	var c Cursor
	c.Open(ed, t)
	if old, err = c.FindPos(pos); err != nil {
		return t, false, err
	}
	nt, err = c.Set(ed, item)
	return nt, old, err
}

// ListGap makes the element at pos a gap; at the end the list becomes shorter,
// gaps before included. old is false when there was no element.
func ListGap(ed Editor, t Tree, pos uint64) (nt Tree, old bool, err error) {
	var c Cursor
	c.Open(ed, t)
	if old, err = c.FindPos(pos); err != nil || !old {
		return t, false, err
	}
	nt, err = c.Gap(ed)
	return nt, true, err
}

// ListInsert inserts item before pos, moving later elements up by one. At or
// beyond the end it is ListSet.
func ListInsert(ed Editor, t Tree, pos uint64, item *Item) (Tree, error) {
	var c Cursor
	c.Open(ed, t)
	if _, err := c.FindPos(pos); err != nil {
		return t, err
	}
	return c.Insert(ed, item)
}

// ListDelete removes position pos, moving later elements down by one; gaps at
// the end are then cut off. old is false when there was no element.
func ListDelete(ed Editor, t Tree, pos uint64) (nt Tree, old bool, err error) {
	if pos >= t.Count {
		return t, false, nil
	}
	var c Cursor
	c.Open(ed, t)
	if old, err = c.FindPos(pos); err != nil {
		return t, false, err
	}
	nt, err = c.Cut(ed)
	return nt, old, err
}

// ListCompact removes all gaps.
func ListCompact(ed Editor, t Tree) (Tree, error) {
	var c Cursor
	c.Open(ed, t)
	ok, err := c.First()
	for ok && err == nil {
		switch {
		case c.leaf.gaps == 0:
			c.pos += uint64(c.leaf.n - c.i)
			ok, err = c.nextLeaf()
		case !c.leaf.isGap(c.i):
			ok, err = c.Next()
		default:
			pos := c.pos
			if _, err = c.Delete(ed); err == nil {
				ok, err = c.SeekRank(pos)
			}
		}
	}
	return c.t, err
}

// FindPos moves c, a cursor of a list, to position pos and reports whether
// there is an element. When not, c stands in a gap or beyond the end, where
// only Set and Insert may be used, in a gap also Cut.
func (c *Cursor) FindPos(pos uint64) (bool, error) {
	if pos >= MaxListLen || c.t.Count > MaxListLen {
		c.begin()
		return false, ErrRange
	}
	if pos < c.t.Count {
		ok, err := c.SeekRank(pos)
		return ok && !c.leaf.isGap(c.i), err
	}
	c.past = pos
	if !c.begin() {
		return false, nil
	}
	if err := c.toEdge(c.t, true); err != nil {
		return false, err
	}
	c.i, c.pos, c.past = c.leaf.n, pos, pos-c.t.Count
	return false, nil
}

// Set is ListSet at the place where FindPos ended.
func (c *Cursor) Set(ed Editor, item *Item) (Tree, error) {
	i, j, ok := c.place()
	if !ok {
		return c.t, errNowhere
	}
	var p patch
	var before, behind uint64
	switch {
	case i == c.leaf.n:
		before = c.past
	case c.leaf.isGap(i):
		before, behind = c.within, c.leaf.span(i, i+1)-c.within-1
		j++
	default:
		j++
	}
	p.begin(c.leaf, i, j)
	return c.put(ed, &p, before, item, behind)
}

// Insert is ListInsert at the place where FindPos ended.
func (c *Cursor) Insert(ed Editor, item *Item) (Tree, error) {
	i, j, ok := c.place()
	if !ok {
		return c.t, errNowhere
	}
	if c.t.Count >= MaxListLen {
		return c.t, ErrRange
	}
	var p patch
	var before, behind uint64
	switch {
	case i == c.leaf.n:
		before = c.past
	case c.within > 0:
		before, behind = c.within, c.leaf.span(i, i+1)-c.within
		j++
	}
	p.begin(c.leaf, i, j)
	return c.put(ed, &p, before, item, behind)
}

// put applies a patch of an element with gaps before and behind it.
func (c *Cursor) put(ed Editor, p *patch, before uint64, item *Item, behind uint64) (Tree, error) {
	if len(item.Key) > 0 || item.Kind == KindGap {
		return c.t, errItem
	}
	p.addGap(before)
	if err := p.add(item); err != nil {
		return c.t, err
	}
	p.addGap(behind)
	return c.apply(ed, p)
}

// Gap is ListGap at the place where FindPos found an element.
func (c *Cursor) Gap(ed Editor) (Tree, error) {
	if !c.at() || c.leaf.isGap(c.i) {
		return c.t, errNowhere
	}
	if c.pos+1 == c.t.Count {
		return c.cutEnd(ed)
	}
	return c.close(ed, 1)
}

// Cut is ListDelete at the place where FindPos ended.
func (c *Cursor) Cut(ed Editor) (Tree, error) {
	if !c.at() {
		return c.t, errNowhere
	}
	if c.pos+1 == c.t.Count {
		return c.cutEnd(ed)
	}
	if !c.leaf.isGap(c.i) {
		return c.close(ed, 0)
	}
	var p patch
	p.begin(c.leaf, c.i, c.i+1)
	p.addGap(c.leaf.span(c.i, c.i+1) - 1)
	return c.apply(ed, &p)
}

// close puts a gap run of n positions in place of the element at c, one with
// the gap runs beside it.
func (c *Cursor) close(ed Editor, n uint64) (Tree, error) {
	i, j := c.i, c.i+1
	if i > 0 && c.leaf.isGap(i-1) {
		i--
		n += c.leaf.span(i, i+1)
	}
	if j < c.leaf.n && c.leaf.isGap(j) {
		n += c.leaf.span(j, j+1)
		j++
	}
	var p patch
	p.begin(c.leaf, i, j)
	p.addGap(n)
	return c.apply(ed, &p)
}

// cutEnd removes the last element, at c, and the gaps before it.
func (c *Cursor) cutEnd(ed Editor) (Tree, error) {
	for {
		t, err := c.Delete(ed)
		if err != nil {
			return t, err
		}
		if ok, err := c.Last(); err != nil || !ok || !c.leaf.isGap(c.i) {
			c.ref = layout.Nil
			return t, err
		}
	}
}
