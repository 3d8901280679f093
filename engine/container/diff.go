package container

import (
	"bytes"

	"pongofs/engine/layout"
)

// Equal reports whether two items are the same in all that is stored.
func (it *Item) Equal(other *Item) bool {
	a, b := *it, *other
	if !bytes.Equal(a.Key, b.Key) || !bytes.Equal(a.Inline, b.Inline) {
		return false
	}
	a.Key, a.Inline, b.Key, b.Inline = nil, nil, nil, nil
	return a.ID == b.ID && a.Kind == b.Kind && a.Flags == b.Flags &&
		a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID &&
		a.Mtime == b.Mtime && a.Wtime == b.Wtime && a.Ctime == b.Ctime && a.Inc == b.Inc &&
		a.Xattr == b.Xattr && a.XattrSize == b.XattrSize &&
		a.Num == b.Num && a.Blob == b.Blob && a.Size == b.Size
}

// Diff calls fn for each key whose item is not the same in two versions of a
// keyed body: old is nil when it was added, now when it was removed. The items
// are valid during the call only. Subtrees that both versions share are skipped,
// so that the work is that of the changes, not of the body.
func Diff(sp Space, old, now Tree, fn func(old, now *Item) error) error {
	return diff(sp, old, now, true, func(_ uint64, old, now *Item) error { return fn(old, now) })
}

// DiffList is Diff for lists, by position. Gaps count as absent.
func DiffList(sp Space, old, now Tree, fn func(pos uint64, old, now *Item) error) error {
	return diff(sp, old, now, false, fn)
}

func diff(sp Space, old, now Tree, keyed bool, fn func(pos uint64, old, now *Item) error) error {
	a, b := newSide(sp, old, keyed), newSide(sp, now, keyed)
	for {
		err := align(a, b)
		if err != nil || !a.ready && !b.ready {
			return err
		}
		order := a.compare(b)
		switch {
		case order < 0:
			err = fn(a.pos, &a.item, nil)
		case order > 0:
			err = fn(b.pos, nil, &b.item)
		case !a.item.Equal(&b.item):
			err = fn(a.pos, &a.item, &b.item)
		}
		if order <= 0 && err == nil {
			err = a.next()
		}
		if order >= 0 && err == nil {
			err = b.next()
		}
		if err != nil {
			return err
		}
	}
}

// A side walks one of the two versions: through an open leaf, or, between
// leaves, over what is left of the tree.
type side struct {
	sp    Space
	keyed bool
	rest  []Tree // subtrees not entered yet, the next one last

	ref  layout.Ref // of the open leaf, Nil between leaves
	leaf leaf
	i    int    // item that follows
	at   uint64 // position that follows

	ready bool // item is the next one to compare
	item  Item
	pos   uint64 // of item
	last  []byte // key before item, to notice damage
}

func newSide(sp Space, t Tree, keyed bool) *side {
	s := &side{sp: sp, keyed: keyed}
	if !t.Empty() {
		s.rest = append(s.rest, t)
	}
	return s
}

// compare tells whose item comes first: negative for s. At the end of a
// version, the other's does.
func (s *side) compare(o *side) int {
	switch {
	case !s.ready || !o.ready:
		return int(bit(!s.ready)) - int(bit(!o.ready))
	case s.keyed:
		return bytes.Compare(s.item.Key, o.item.Key)
	case s.pos < o.pos:
		return -1
	}
	return int(bit(s.pos > o.pos))
}

// align brings both sides to an item, past all that they share, or to the end.
func align(a, b *side) error {
	for !a.settled() || !b.settled() {
		var err error
		switch {
		case a.ref == layout.Nil && b.ref == layout.Nil && !a.ready && !b.ready && a.sharesNext(b):
			a.skip()
			b.skip()
		case b.settled() || !a.settled() && a.weight() >= b.weight():
			err = a.descend()
		default:
			err = b.descend()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settled reports whether s has an item or has ended.
func (s *side) settled() bool { return s.ready || s.ref == layout.Nil && len(s.rest) == 0 }

// sharesNext reports whether what follows on both sides is one subtree.
func (s *side) sharesNext(o *side) bool {
	if len(s.rest) == 0 || len(o.rest) == 0 || !s.keyed && s.at != o.at {
		return false
	}
	return s.rest[len(s.rest)-1].Ref == o.rest[len(o.rest)-1].Ref
}

// skip passes over the next subtree.
func (s *side) skip() {
	s.at += s.rest[len(s.rest)-1].Count
	s.rest = s.rest[:len(s.rest)-1]
}

// weight is that of the next subtree; an open leaf has none.
func (s *side) weight() uint32 {
	if s.ref != layout.Nil || len(s.rest) == 0 {
		return 0
	}
	return s.rest[len(s.rest)-1].Weight
}

// descend takes one step towards the next item of s, which is not settled.
func (s *side) descend() error {
	if s.ref != layout.Nil {
		return s.next()
	}
	t := s.rest[len(s.rest)-1]
	if t.Weight > 1 {
		n, err := openStep(s.sp, t)
		if err != nil {
			return err
		}
		if len(s.rest) > maxDepth {
			return corruptDepth(t.Ref)
		}
		s.rest = append(s.rest[:len(s.rest)-1], n.other(), n.left())
		return nil
	}
	l, err := readLeaf(s.sp, t.Ref)
	if err != nil {
		return err
	}
	s.rest = s.rest[:len(s.rest)-1]
	s.ref, s.leaf, s.i = t.Ref, l, 0
	return s.next()
}

// next moves to the next item of the open leaf, or between leaves.
func (s *side) next() error {
	s.ready = false
	for s.i < s.leaf.n {
		if s.keyed {
			s.last = append(s.last[:0], s.item.Key...)
		}
		if err := s.leaf.decode(s.ref, s.i, &s.item); err != nil {
			return err
		}
		s.i++
		s.pos = s.at
		if s.item.Kind == KindGap {
			s.at += s.item.Size
			continue
		}
		s.at++
		if s.keyed && bytes.Compare(s.item.Key, s.last) <= 0 {
			return layout.Corrupt("leaf", s.ref, "key %d is out of order", s.i-1)
		}
		s.ready = true
		return nil
	}
	s.ref = layout.Nil
	return nil
}

// Diff calls fn for each id whose ref is not the same in two versions of the
// table, in ascending order; Nil stands for none.
func (t IDTable) Diff(sp Space, now IDTable, fn func(id uint64, old, now layout.Ref) error) error {
	if err := t.check(); err != nil {
		return err
	}
	if err := now.check(); err != nil {
		return err
	}
	d := idDiff{idWalk{sp: sp}, idWalk{sp: sp}, fn}
	return d.diff(t.Ref, t.Height, now.Ref, now.Height, 0)
}

type idDiff struct {
	old, now idWalk
	fn       func(id uint64, old, now layout.Ref) error
}

// diff compares two subtables of heights ha and hb, 0 for refs of records;
// Nil is empty, whatever its height.
func (d *idDiff) diff(a layout.Ref, ha uint32, b layout.Ref, hb uint32, base uint64) error {
	if a == b {
		return nil
	}
	if a == layout.Nil {
		ha = hb
	}
	if b == layout.Nil {
		hb = ha
	}
	if ha == 0 && hb == 0 {
		return d.fn(base, a, b)
	}
	var na, nb idNode
	var err error
	if a != layout.Nil && ha >= hb {
		if na, err = d.old.open(a, ha-1); err != nil {
			return err
		}
	}
	if b != layout.Nil && hb >= ha {
		if nb, err = d.now.open(b, hb-1); err != nil {
			return err
		}
	}
	level := max(ha, hb) - 1
	for i := range uint64(1 << layout.IDNodeBits) {
		// A lower table is the first child of the node that it lacks.
		ca, cb := na.slot(i), nb.slot(i)
		ca0, cb0 := level, level
		if i == 0 && ha < hb {
			ca, ca0 = a, ha
		}
		if i == 0 && hb < ha {
			cb, cb0 = b, hb
		}
		if err := d.diff(ca, ca0, cb, cb0, base|i<<(level*layout.IDNodeBits)); err != nil {
			return err
		}
	}
	return nil
}

// slot returns the ref of slot i of a node, Nil for none; the zero idNode is
// empty.
func (n *idNode) slot(i uint64) layout.Ref {
	s := uint32(1) << i
	if n.bitmap&s == 0 {
		return layout.Nil
	}
	return n.ref(n.index(s))
}
