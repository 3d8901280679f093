package container

import (
	"pongofs/engine/layout"
)

// Tree is the body of a container: a weight-balanced binary tree over packed
// leaves. It is a value; an edit makes another one and leaves this one
// readable until what it replaced is reused. The zero Tree is empty.
type Tree struct {
	Ref    layout.Ref // Nil when empty; a leaf when Weight is 1, else an inner node
	Weight uint32     // leaves
	Count  uint64     // entries; in lists positions, those of gaps included
}

// Empty reports whether t has no entries.
func (t Tree) Empty() bool { return t.Ref == layout.Nil }

// Halves returns the children of the root of t, which has more than one leaf. sep
// aliases it: the keys on the right are not smaller than sep, those on the left are.
// The two may be edited at the same time, by different Editors of one edit; Join puts
// them together again.
func Halves(sp Space, t Tree) (left Tree, sep []byte, right Tree, err error) {
	s, err := openStep(sp, t)
	if err != nil {
		return Tree{}, nil, Tree{}, err
	}
	return s.left(), innerSep(s.obj), s.other(), nil
}

// Join returns t with what has become of its children, which are not empty; their
// weights may be any.
func Join(ed Editor, t, left, right Tree) (Tree, error) {
	s, err := openStep(ed, t)
	if err != nil {
		return Tree{}, err
	}
	return proven.link(ed, s.ref, s.obj, left, right, maxDepth)
}

// Walk calls fn for each item of t in order, gap runs included, until fn fails
// or returns false. The item is valid during the call only.
func Walk(sp Space, t Tree, fn func(*Item) (bool, error)) error {
	var c Cursor
	var it Item
	c.Open(sp, t)
	ok, err := c.First()
	for ok && err == nil {
		if err = c.Item(&it); err != nil {
			return err
		}
		if ok, err = fn(&it); ok && err == nil {
			ok, err = c.Next()
		}
	}
	return err
}

// FreeTree gives up every object of t. It calls perItem, unless that is nil,
// for each item first, gap runs included, so that the caller can give up
// what the item refers to; the item is valid during the call only.
func FreeTree(ed Editor, t Tree, perItem func(*Item) error) error {
	if t.Empty() {
		return nil
	}
	f := freer{ed: ed, perItem: perItem}
	if t.Weight > 1 {
		f.seen = make(map[layout.Ref]struct{})
	}
	return f.free(t, maxDepth)
}

// A freer walks a body once. In a damaged one a subtree may hang in several
// places, so that the walk would take for ever: seen has what was met.
type freer struct {
	ed      Editor
	perItem func(*Item) error
	seen    map[layout.Ref]struct{}
	item    Item
}

func (f *freer) free(t Tree, depth int) error {
	if f.seen != nil {
		if _, again := f.seen[t.Ref]; again {
			return layout.Corrupt("body", t.Ref, "object has two parents")
		}
		f.seen[t.Ref] = struct{}{}
	}
	if t.Weight > 1 {
		if depth == 0 {
			return corruptDepth(t.Ref)
		}
		s, err := openStep(f.ed, t)
		if err != nil {
			return err
		}
		left, right := s.left(), s.other()
		if err := f.free(left, depth-1); err != nil {
			return err
		}
		if err := f.free(right, depth-1); err != nil {
			return err
		}
		f.ed.Free(t.Ref)
		return nil
	}
	l, err := readLeaf(f.ed, t.Ref)
	if err != nil {
		return err
	}
	for i := 0; i < l.n && f.perItem != nil; i++ {
		if err := l.decode(t.Ref, i, &f.item); err != nil {
			return err
		}
		if err := f.perItem(&f.item); err != nil {
			return err
		}
	}
	f.ed.Free(t.Ref)
	return nil
}
