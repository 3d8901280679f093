package container

import (
	"encoding/binary"

	"pongofs/engine/layout"
)

// Put stores item at the place where Find(item.Key) ended: in place of the
// item found, or as a new one. Afterwards c stands nowhere in the new tree, but
// FindAhead goes on from there.
func (c *Cursor) Put(ed Editor, item *Item) (Tree, error) {
	var p patch
	i, j, ok := c.place()
	if !ok {
		return c.t, errNowhere
	}
	if len(item.Key) == 0 || item.Kind == KindGap {
		return c.t, errItem
	}
	if i < c.leaf.n && i == j && string(c.leaf.key(i)) == string(item.Key) {
		j++
	}
	p.begin(c.leaf, i, j)
	if err := p.add(item); err != nil {
		return c.t, err
	}
	return c.apply(ed, &p)
}

// Delete removes the item at c, a gap run as a whole; later elements of a list
// move down. Afterwards c stands nowhere in the new tree.
func (c *Cursor) Delete(ed Editor) (Tree, error) {
	if !c.at() {
		return c.t, errNowhere
	}
	var p patch
	p.begin(c.leaf, c.i, c.i+1)
	return c.apply(ed, &p)
}

// place returns where a search ended, as the bounds of an empty range of
// items. In an empty tree that is the start of a leaf that does not exist.
func (c *Cursor) place() (i, j int, ok bool) {
	if c.ref == layout.Nil {
		c.leaf, c.count, c.depth = leaf{}, 0, 0
		return 0, 0, c.t.Empty()
	}
	return c.i, c.i, c.i >= 0
}

// apply puts the patched leaf in place of c's and makes the new tree that of
// c.
func (c *Cursor) apply(ed Editor, p *patch) (Tree, error) {
	t, err := c.patched(ed, p)
	c.t, c.ref = t, layout.Nil
	c.kept = c.kept && err == nil
	return t, err
}

func (c *Cursor) patched(ed Editor, p *patch) (Tree, error) {
	l, n := &p.l, p.count()
	if n == 0 {
		ed.Free(c.ref)
		return c.ascend(ed, Tree{}, false)
	}
	size := p.size(0, n)
	count := c.count - l.span(p.i, p.j) + p.span
	owned := l.n > 0 && ed.Owned(c.ref)
	if n > 1 && (size > leafHard || size > leafMax && n > leafFew) {
		t, err := c.split(ed, p, count, owned)
		if err != nil {
			return Tree{}, err
		}
		return c.ascend(ed, t, false)
	}
	shrinks := size < l.used
	wasteful := shrinks && size <= len(l.obj)/2
	if owned && size <= len(l.obj) && !wasteful && p.inPlace() {
		if count == c.count && !(shrinks && size < leafMin) {
			c.kept = true
			return c.t, nil // nothing changes above
		}
		return c.ascend(ed, Tree{Ref: c.ref, Weight: 1, Count: count}, shrinks && size < leafMin)
	}
	ref, _, err := p.build(ed, 0, n, roomFor(size, owned && !shrinks))
	if err != nil {
		return Tree{}, err
	}
	if l.n > 0 {
		ed.Free(c.ref)
	}
	return c.ascend(ed, Tree{Ref: ref, Weight: 1, Count: count}, shrinks && size < leafMin)
}

// split makes two leaves of the patched one, and a node over them.
func (c *Cursor) split(ed Editor, p *patch, count uint64, owned bool) (Tree, error) {
	n := p.count()
	at, aside := p.splitAt()
	sep := []byte(nil)
	if len(keyOf(p.item(at))) > 0 {
		sep = separator(keyOf(p.item(at-1)), keyOf(p.item(at)))
	}
	left, right := Tree{Weight: 1}, Tree{Weight: 1}
	var err error
	if aside {
		// Only the new item gets a leaf, the old leaf stays.
		one := Tree{Weight: 1, Count: p.span}
		if one.Ref, err = p.alone(ed, owned); err != nil {
			return Tree{}, err
		}
		left, right = Tree{Ref: c.ref, Weight: 1, Count: c.count}, one
		if p.i == 0 {
			left, right = right, left
		}
		return newInner(ed, left, sep, right)
	}
	if left.Ref, left.Count, err = p.build(ed, 0, at, roomFor(p.size(0, at), owned)); err != nil {
		return Tree{}, err
	}
	if right.Ref, _, err = p.build(ed, at, n, roomFor(p.size(at, n), owned)); err != nil {
		return Tree{}, err
	}
	right.Count = count - left.Count
	t, err := newInner(ed, left, sep, right)
	ed.Free(c.ref) // last: sep may lie in it
	return t, err
}

// ascend puts child in place of the leaf at c: it is empty, a leaf or a node
// over two. When the child is a leaf that has become small, it first looks
// for a neighbour to merge it with.
func (c *Cursor) ascend(ed Editor, child Tree, small bool) (Tree, error) {
	d := c.depth - 1
	if child.Weight != 1 || small {
		var err error
		if child, d, err = c.rebalance(ed, child, small); err != nil {
			return Tree{}, err
		}
	}
	// From here up the weights stay: nothing but refs and counts changes.
	c.kept = child.Weight == 1 && d == c.depth-1
	if d < 0 {
		return child, nil
	}
	more := child.Count - c.steps[d].down().Count // wraps when there are fewer
	// What an edit owns it has put into a node of its own: where the root is not
	// owned, nothing is, and above a node that is owned everything is.
	fresh := !ed.Owned(c.steps[0].ref)
	for owned := false; d >= 0 && !owned; d-- {
		s := &c.steps[d]
		left := innerLeft(s.obj).Count
		if owned = !fresh && ed.Owned(s.ref); !owned {
			var err error
			if s.ref, s.obj, err = ed.Copy(s.ref, s.obj, layout.InnerSepOff+len(innerSep(s.obj))); err != nil {
				return Tree{}, err
			}
		}
		// Without branches: which way it goes cannot be predicted.
		binary.LittleEndian.PutUint64(s.obj[layout.InnerLeftOff+8*int(s.right):], uint64(child.Ref))
		binary.LittleEndian.PutUint64(s.obj[layout.InnerLeftCountOff:], left+more&(uint64(s.right)-1))
		s.count += more
		child = Tree{Ref: s.ref, Weight: s.weight, Count: s.count}
	}
	for ; d >= 0 && more != 0; d-- {
		s := &c.steps[d]
		left := innerLeft(s.obj).Count
		binary.LittleEndian.PutUint64(s.obj[layout.InnerLeftCountOff:], left+more&(uint64(s.right)-1))
		s.count += more
	}
	s := &c.steps[0]
	return Tree{Ref: s.ref, Weight: s.weight, Count: s.count}, nil
}

// rebalance goes up from the leaf at c as long as weights change, and returns
// the subtree that it has come to and the step above it.
func (c *Cursor) rebalance(ed Editor, child Tree, small bool) (Tree, int, error) {
	d := c.depth - 1
	for ; d >= 0; d-- {
		s := &c.steps[d]
		left, right := s.left(), s.other()
		sibling := &left
		if s.right == 0 {
			sibling = &right
		}
		if child.Weight == 1 && small {
			t, merged, err := absorb(ed, *sibling, child, s.right == 1)
			if err != nil {
				return Tree{}, d, err
			}
			if !merged {
				return child, d, nil
			}
			child, small, *sibling = Tree{}, false, t
		}
		if child.Weight == 0 {
			ed.Free(s.ref)
			child = *sibling
			continue
		}
		if s.right == 1 {
			right = child
		} else {
			left = child
		}
		var err error
		if child, err = proven.join(ed, s.ref, s.obj, left, right); err != nil {
			return Tree{}, d, err
		}
	}
	return child, d, nil
}

// absorb adds the items of a small leaf to the nearest leaf of its sibling t,
// at the end of t or at its start, if they fit, and gives up the small leaf.
func absorb(ed Editor, t, small Tree, atEnd bool) (Tree, bool, error) {
	l, err := readLeaf(ed, small.Ref)
	if err != nil {
		return Tree{}, false, err
	}
	t, merged, err := absorbLeaf(ed, t, &l, atEnd, maxDepth)
	if err != nil || !merged {
		return t, false, err
	}
	ed.Free(small.Ref)
	return t, true, nil
}

func absorbLeaf(ed Editor, t Tree, l *leaf, atEnd bool, depth int) (Tree, bool, error) {
	if depth == 0 {
		return t, false, corruptDepth(t.Ref)
	}
	if t.Weight == 1 {
		return absorbItems(ed, t, l, atEnd)
	}
	s, err := openStep(ed, t)
	if err != nil {
		return t, false, err
	}
	s.right = bit(atEnd)
	child, merged, err := absorbLeaf(ed, s.down(), l, atEnd, depth-1)
	if err != nil || !merged {
		return t, false, err
	}
	left, right := s.left(), s.other()
	if atEnd {
		right = child
	} else {
		left = child
	}
	t, err = setChildren(ed, s.ref, s.obj, left, right)
	return t, true, err
}

func absorbItems(ed Editor, t Tree, l *leaf, atEnd bool) (Tree, bool, error) {
	into, err := readLeaf(ed, t.Ref)
	if err != nil {
		return t, false, err
	}
	if into.used+l.used-layout.LeafEndsOff > leafMax {
		return t, false, nil
	}
	var p patch
	count := t.Count + l.span(0, l.n)
	from, to := 0, l.n
	var joined uint64 // gap runs that meet become one
	if atEnd {
		p.begin(into, into.n, into.n)
		if into.isGap(into.n-1) && l.isGap(0) {
			joined = into.span(into.n-1, into.n) + l.span(0, 1)
			from, p.i = 1, p.i-1
		}
		p.addGap(joined)
	} else {
		p.begin(into, 0, 0)
		if into.isGap(0) && l.isGap(l.n-1) {
			joined = into.span(0, 1) + l.span(l.n-1, l.n)
			to, p.j = to-1, 1
		}
	}
	if err := p.copyItems(l, from, to); err != nil {
		return t, false, err
	}
	if !atEnd {
		p.addGap(joined)
	}
	n := p.count()
	if n > 1 && p.size(0, n) > leafMax {
		return t, false, nil // other bases made it longer
	}
	owned := ed.Owned(t.Ref)
	if owned && p.size(0, n) <= len(into.obj) && p.inPlace() {
		t.Count = count
		return t, true, nil
	}
	ref, _, err := p.build(ed, 0, n, roomFor(p.size(0, n), owned))
	if err != nil {
		return t, false, err
	}
	ed.Free(t.Ref)
	return Tree{Ref: ref, Weight: 1, Count: count}, true, nil
}
