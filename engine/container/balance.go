package container

import "pongofs/engine/layout"

// A body is a leaf-oriented weight-balanced tree. Its inner nodes by themselves
// form a binary search tree, in which a subtree with w leaves has w−1 nodes; so
// "size+1" of Hirai and Yamamoto (Balancing weight-balanced trees, Journal of
// Functional Programming 21(3), 2011) is simply the weight, the number of leaves.
// They prove, and have checked by Coq, that ⟨delta, gamma⟩ = ⟨3, 2⟩ is the only
// pair of integers for which one single or double rotation at each level restores
//
//	weight(left) <= delta*weight(right)  and  weight(right) <= delta*weight(left)
//
// at every node after the insertion or deletion of one node. A leaf that is
// split inserts one, a leaf that is emptied or merged deletes one.

// ratio is the pair: delta bounds the imbalance, gamma chooses the rotation.
type ratio struct{ delta, gamma uint64 }

// proven is the pair that keeps the balance.
var proven = ratio{delta: 3, gamma: 2}

// tooHeavy reports whether a tree of weight a must lose leaves to a sibling of
// weight b.
func (r ratio) tooHeavy(a, b uint32) bool { return uint64(a) > r.delta*uint64(b) }

// single reports whether a single rotation is right, given the weights of the
// heavy tree's children: inner is the one next to the light tree.
func (r ratio) single(inner, outer uint32) bool { return uint64(inner) < r.gamma*uint64(outer) }

// join puts left and right in place of the children of the inner node at ref,
// one of them changed by one leaf at most, and restores the balance.
func (r ratio) join(ed Editor, ref layout.Ref, obj []byte, left, right Tree) (Tree, error) {
	switch {
	case r.tooHeavy(left.Weight, right.Weight):
		return r.rotateRight(ed, ref, obj, left, right)
	case r.tooHeavy(right.Weight, left.Weight):
		return r.rotateLeft(ed, ref, obj, left, right)
	}
	return setChildren(ed, ref, obj, left, right)
}

// link is join of trees of any weights. It goes down the side of the heavier one to
// where the lighter one has a balanced place, and restores the balance on the way
// back: link of Adams (Efficient sets: a balancing act, Journal of Functional
// Programming 3(4), 1993). Straka (Adams' Trees Revisited, TFP 2011) proves that
// one rotation at each level is enough for it, too.
func (r ratio) link(ed Editor, ref layout.Ref, obj []byte, left, right Tree, depth int) (Tree, error) {
	switch {
	case depth == 0:
		return Tree{}, corruptDepth(ref)
	case r.tooHeavy(left.Weight, right.Weight):
		s, err := openStep(ed, left)
		if err != nil {
			return Tree{}, err
		}
		t, err := r.link(ed, ref, obj, s.other(), right, depth-1)
		if err != nil {
			return Tree{}, err
		}
		return r.join(ed, s.ref, s.obj, s.left(), t)
	case r.tooHeavy(right.Weight, left.Weight):
		s, err := openStep(ed, right)
		if err != nil {
			return Tree{}, err
		}
		t, err := r.link(ed, ref, obj, left, s.left(), depth-1)
		if err != nil {
			return Tree{}, err
		}
		return r.join(ed, s.ref, s.obj, t, s.other())
	}
	return setChildren(ed, ref, obj, left, right)
}

// rotateRight moves leaves from left to right below a new node. Objects are
// freed last: separators are copied out of them.
func (r ratio) rotateRight(ed Editor, ref layout.Ref, obj []byte, left, right Tree) (Tree, error) {
	l, err := openStep(ed, left)
	if err != nil {
		return Tree{}, err
	}
	outer, inner := l.left(), l.other()
	if r.single(inner.Weight, outer.Weight) {
		t, err := newInner(ed, inner, innerSep(obj), right)
		if err != nil {
			return Tree{}, err
		}
		t, err = newInner(ed, outer, innerSep(l.obj), t)
		ed.Free(ref)
		ed.Free(l.ref)
		return t, err
	}
	m, err := openStep(ed, inner)
	if err != nil {
		return Tree{}, err
	}
	a, err := newInner(ed, outer, innerSep(l.obj), m.left())
	if err != nil {
		return Tree{}, err
	}
	b, err := newInner(ed, m.other(), innerSep(obj), right)
	if err != nil {
		return Tree{}, err
	}
	t, err := newInner(ed, a, innerSep(m.obj), b)
	ed.Free(ref)
	ed.Free(l.ref)
	ed.Free(m.ref)
	return t, err
}

// rotateLeft is the mirror image of rotateRight.
func (r ratio) rotateLeft(ed Editor, ref layout.Ref, obj []byte, left, right Tree) (Tree, error) {
	l, err := openStep(ed, right)
	if err != nil {
		return Tree{}, err
	}
	inner, outer := l.left(), l.other()
	if r.single(inner.Weight, outer.Weight) {
		t, err := newInner(ed, left, innerSep(obj), inner)
		if err != nil {
			return Tree{}, err
		}
		t, err = newInner(ed, t, innerSep(l.obj), outer)
		ed.Free(ref)
		ed.Free(l.ref)
		return t, err
	}
	m, err := openStep(ed, inner)
	if err != nil {
		return Tree{}, err
	}
	a, err := newInner(ed, left, innerSep(obj), m.left())
	if err != nil {
		return Tree{}, err
	}
	b, err := newInner(ed, m.other(), innerSep(l.obj), outer)
	if err != nil {
		return Tree{}, err
	}
	t, err := newInner(ed, a, innerSep(m.obj), b)
	ed.Free(ref)
	ed.Free(l.ref)
	ed.Free(m.ref)
	return t, err
}
