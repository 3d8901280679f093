package container

import (
	"bytes"
	"encoding/binary"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// VerifyTree checks every rule of a body: weights, counts, balance, order of
// keys and separators, items well formed; of a list (keyed is false) also that
// it has no keys and does not end in a gap.
func VerifyTree(sp Space, t Tree, keyed bool) error {
	if t.Empty() {
		if t != (Tree{}) {
			return layout.Corrupt("body", t.Ref, "empty with weight %d and count %d", t.Weight, t.Count)
		}
		return nil
	}
	v := treeVerifier{sp: sp, keyed: keyed}
	if !keyed {
		v.seen = make(map[layout.Ref]struct{})
	}
	if err := v.verify(t, nil, nil, maxDepth); err != nil {
		return err
	}
	if v.gap {
		return layout.Corrupt("body", t.Ref, "list ends in a gap")
	}
	return nil
}

type treeVerifier struct {
	sp    Space
	keyed bool
	seen  map[layout.Ref]struct{} // objects of a list; keys would be out of order
	gap   bool                    // the last item was a gap run
	item  Item
	enc   []byte
}

// verify checks the subtree t, in which lo <= keys < hi; nil is no bound.
func (v *treeVerifier) verify(t Tree, lo, hi []byte, depth int) error {
	if v.seen != nil {
		if _, again := v.seen[t.Ref]; again {
			return layout.Corrupt("body", t.Ref, "object has two parents")
		}
		v.seen[t.Ref] = struct{}{}
	}
	if t.Weight == 1 {
		return v.verifyLeaf(t, lo, hi)
	}
	if depth == 0 {
		return corruptDepth(t.Ref)
	}
	s, err := openStep(v.sp, t)
	if err != nil {
		return err
	}
	left, right := s.left(), s.other()
	if !left.plausible() || !right.plausible() {
		return layout.Corrupt("inner node", t.Ref, "children are %+v and %+v", left, right)
	}
	if proven.tooHeavy(left.Weight, right.Weight) || proven.tooHeavy(right.Weight, left.Weight) {
		return layout.Corrupt("inner node", t.Ref, "weights %d and %d are out of balance", left.Weight, right.Weight)
	}
	if layout.InnerSepOff+int(binary.LittleEndian.Uint16(s.obj[layout.InnerSepLenOff:])) > len(s.obj) {
		return layout.Corrupt("inner node", t.Ref, "separator does not fit")
	}
	sep := innerSep(s.obj)
	switch {
	case !v.keyed && len(sep) > 0:
		return layout.Corrupt("inner node", t.Ref, "separator in a list")
	case v.keyed && (len(sep) == 0 || lo != nil && bytes.Compare(sep, lo) <= 0 || hi != nil && bytes.Compare(sep, hi) >= 0):
		return layout.Corrupt("inner node", t.Ref, "separator %q is not between %q and %q", sep, lo, hi)
	case !v.keyed:
		sep = nil
	}
	if err := v.verify(left, lo, sep, depth-1); err != nil {
		return err
	}
	return v.verify(right, sep, hi, depth-1)
}

func (v *treeVerifier) verifyLeaf(t Tree, lo, hi []byte) error {
	l, err := readLeaf(v.sp, t.Ref)
	if err != nil {
		return err
	}
	at, gaps, span := 0, 0, uint64(0)
	var last []byte
	for i := range l.n {
		end := l.end(i)
		if end <= at || end > l.used-l.area {
			return layout.Corrupt("leaf", t.Ref, "item %d ends at %d, the one before at %d", i, end, at)
		}
		b := l.obj[l.area+at : l.area+end]
		if !wellFormed(b) {
			return layout.Corrupt("leaf", t.Ref, "item %d has a key of bad length", i)
		}
		at = end
		it := &v.item
		if err := l.decode(t.Ref, i, it); err != nil {
			return err
		}
		// An item has one encoding: without fields that say what is so anyway.
		if v.enc = appendItem(v.enc[:0], it, l.baseID(), l.baseTime()); !bytes.Equal(v.enc, b) {
			return layout.Corrupt("leaf", t.Ref, "item %d is not in the shortest form", i)
		}
		if it.Kind == KindGap {
			if v.gap && i > 0 {
				return layout.Corrupt("leaf", t.Ref, "gap runs %d and %d stand side by side", i-1, i)
			}
			gaps++
			span += it.Size
		} else {
			span++
		}
		v.gap = it.Kind == KindGap
		if err := v.verifyKey(t.Ref, i, it, last, lo, hi); err != nil {
			return err
		}
		last = it.Key
	}
	if gaps != l.gaps || span != t.Count {
		return layout.Corrupt("leaf", t.Ref, "%d gap runs of %d recorded, %d positions of %d", gaps, l.gaps, span, t.Count)
	}
	return nil
}

// wellFormed reports whether the key of an encoded item lies within it.
func wellFormed(b []byte) bool {
	n, w := binary.Uvarint(b)
	return w > 0 && w <= 2 && n <= MaxKeyBytes && w+int(n)+2 <= len(b)
}

func (v *treeVerifier) verifyKey(ref layout.Ref, i int, it *Item, last, lo, hi []byte) error {
	if !v.keyed {
		if len(it.Key) > 0 {
			return layout.Corrupt("leaf", ref, "item %d of a list has a key", i)
		}
		return nil
	}
	if it.Kind == KindGap {
		return layout.Corrupt("leaf", ref, "item %d is a gap but has a key", i)
	}
	if _, err := value.DecodeKey(it.Key); err != nil {
		return layout.Corrupt("leaf", ref, "key %d: %v", i, err)
	}
	if i > 0 && bytes.Compare(last, it.Key) >= 0 {
		return layout.Corrupt("leaf", ref, "keys %d and %d are out of order", i-1, i)
	}
	if lo != nil && bytes.Compare(it.Key, lo) < 0 || hi != nil && bytes.Compare(it.Key, hi) >= 0 {
		return layout.Corrupt("leaf", ref, "key %d is not between the separators %q and %q", i, lo, hi)
	}
	return nil
}

// VerifyBlob checks the shape of a blob.
func VerifyBlob(sp Space, ref layout.Ref, size uint64) error {
	if size > MaxBlob {
		return corruptBlobSize(ref, size)
	}
	return verifyBlob(sp, ref, blobHeight(size), size, make(map[layout.Ref]struct{}))
}

func verifyBlob(sp Space, ref layout.Ref, height int, limit uint64, seen map[layout.Ref]struct{}) error {
	if ref == layout.Nil {
		return nil
	}
	if _, again := seen[ref]; again {
		return layout.Corrupt("blob", ref, "object has two parents")
	}
	seen[ref] = struct{}{}
	if height == 0 {
		_, _, err := openBlock(sp, ref, limit)
		return err
	}
	b, err := openBlobNode(sp, ref, height, limit)
	if err != nil {
		return err
	}
	if b.ref(b.n-1) == layout.Nil {
		return layout.Corrupt("blob node", ref, "last ref is nil")
	}
	span := blobSpan(height - 1)
	for i := range b.n {
		part := min(span, limit-uint64(i)*span)
		if err := verifyBlob(sp, b.ref(i), height-1, part, seen); err != nil {
			return err
		}
	}
	return nil
}

// VerifyIDTable checks the shape of the id table, not the records.
func VerifyIDTable(sp Space, t IDTable) error {
	if err := t.check(); err != nil || t.Height == 0 {
		return err
	}
	top, err := openIDNode(sp, t.Ref, t.Height-1)
	if err != nil {
		return err
	}
	if t.Height > 1 && top.bitmap == 1 {
		return layout.Corrupt("id node", t.Ref, "top node is not needed")
	}
	w := idWalk{sp: sp}
	return verifyIDs(&w, t.Ref, t.Height-1)
}

func verifyIDs(w *idWalk, ref layout.Ref, level uint32) error {
	n, err := w.open(ref, level)
	if err != nil {
		return err
	}
	for i := range n.count() {
		if n.ref(i) == layout.Nil {
			return layout.Corrupt("id node", ref, "ref %d is nil", i)
		}
		if level == 0 {
			continue
		}
		if err := verifyIDs(w, n.ref(i), level-1); err != nil {
			return err
		}
	}
	return nil
}
