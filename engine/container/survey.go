package container

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// A Survey reads bodies, large values and id tables of which any part may be
// damaged. What can be read it hands on in order; what is wrong it reports, and
// goes on behind it. It believes the kind of an object rather than the figures
// of whoever refers to it, so a wrong weight or count costs nothing that is
// stored.
type Survey struct {
	Space Space
	// Admit is asked before an object is used; an error keeps the survey out of
	// it. It has to refuse an object that it has admitted before: that is what
	// bounds the survey of a forged store. What it returns is used: obj, or what
	// Space returns from then on.
	Admit func(ref layout.Ref, obj []byte) ([]byte, error)
	// Damaged is told of everything that is wrong.
	Damaged func(*Damage)
}

// Damage is one thing that is wrong in what a Survey reads.
type Damage struct {
	Err error
	// Lost reports that something stored cannot be read. Otherwise figures are
	// wrong that follow from what can be.
	Lost bool
	// What is lost: the entries whose keys lie from Lo up to but not including Hi,
	// nil for no bound; in a list the positions, in a blob the bytes and in an id
	// table the ids from Pos on. Count is how many, as far as it was recorded.
	Lo, Hi     []byte
	Pos, Count uint64
}

// Tally is what a survey of a body has found.
type Tally struct {
	Weight uint32 // leaves
	Count  uint64 // entries; in lists positions
	Whole  bool   // nothing is lost
}

func (s *Survey) object(ref layout.Ref, kind layout.Kind) ([]byte, error) {
	obj, err := s.Space.Object(ref, kind)
	if err != nil {
		return nil, err
	}
	if len(obj) < layout.HeaderSize {
		return nil, layout.Corrupt("object", ref, "%d bytes are too few", len(obj))
	}
	return s.Admit(ref, obj)
}

// Record reads the container record at ref. What does not fit together in it
// is reported; an error means that it cannot be used at all.
func (s *Survey) Record(ref layout.Ref) (Record, error) {
	obj, err := s.object(ref, layout.KindContainer)
	if err != nil {
		return Record{}, err
	}
	rec, err := decodeRecord(ref, obj)
	if err != nil {
		if !rec.Kind.IsContainer() {
			return rec, err
		}
		s.Damaged(&Damage{Err: err})
	}
	return rec, nil
}

// Body surveys a body and calls leaf for each leaf in order, with the position
// of its first item and those items that can be used. In a keyed body these
// ascend strictly over all leaves. They are valid during the call only and
// alias the leaf. An error of leaf ends the survey.
func (s *Survey) Body(t Tree, keyed bool, leaf func(ref layout.Ref, pos uint64, items []Item) error) (Tally, error) {
	if t.Ref == layout.Nil {
		if t != (Tree{}) {
			s.Damaged(&Damage{Err: layout.Corrupt("body", t.Ref, "empty with weight %d and count %d", t.Weight, t.Count)})
		}
		return Tally{Whole: true}, nil
	}
	v := surveyor{Survey: s, keyed: keyed, leaf: leaf}
	got, err := v.tree(t, nil, nil, maxDepth)
	if err != nil {
		return got, err
	}
	if got.Whole && (got.Weight != t.Weight || got.Count != t.Count) {
		s.Damaged(&Damage{Err: layout.Corrupt("body", t.Ref, "recorded are %d leaves and %d positions, there are %d and %d",
			t.Weight, t.Count, got.Weight, got.Count)})
	}
	if v.gap {
		s.Damaged(&Damage{Err: layout.Corrupt("body", t.Ref, "list ends in a gap")})
	}
	return got, nil
}

type surveyor struct {
	*Survey
	keyed bool
	leaf  func(layout.Ref, uint64, []Item) error

	pos   uint64 // of the next item
	last  []byte // the greatest key so far
	gap   bool   // the last item was a gap run
	items []Item
	enc   []byte
}

// tree surveys a subtree in which lo <= keys < hi; nil is no bound.
func (v *surveyor) tree(t Tree, lo, hi []byte, depth int) (Tally, error) {
	obj, err := v.object(t.Ref, KindAny)
	if err == nil && depth == 0 {
		err = corruptDepth(t.Ref)
	}
	if err == nil {
		switch layout.ObjectKind(obj) {
		case layout.KindLeaf:
			var l leaf
			if l, err = openLeaf(t.Ref, obj); err == nil {
				return v.one(t.Ref, &l, lo, hi)
			}
		case layout.KindInner:
			n := 0
			if len(obj) >= layout.InnerSepOff {
				n = int(binary.LittleEndian.Uint16(obj[layout.InnerSepLenOff:]))
			}
			if err = layout.Corrupt("inner node", t.Ref, "separator of %d bytes does not fit", n); layout.InnerSepOff+n <= len(obj) {
				return v.inner(t, obj, lo, hi, depth)
			}
		default:
			err = layout.Corrupt("object", t.Ref, "is of kind %d, not a leaf or an inner node", layout.ObjectKind(obj))
		}
	}
	if t.Count > MaxListLen-min(v.pos, MaxListLen) {
		t.Count = 0 // nobody has recorded that
	}
	v.Damaged(&Damage{Err: err, Lost: true, Lo: lo, Hi: hi, Pos: v.pos, Count: t.Count})
	v.pos += t.Count
	return Tally{}, nil
}

func (v *surveyor) inner(t Tree, obj, lo, hi []byte, depth int) (Tally, error) {
	left, right := innerLeft(obj), innerRight(obj, t.Weight, t.Count)
	sep := innerSep(obj)
	switch {
	case !v.keyed && len(sep) > 0:
		v.Damaged(&Damage{Err: layout.Corrupt("inner node", t.Ref, "separator in a list")})
	case v.keyed && (len(sep) == 0 || lo != nil && bytes.Compare(sep, lo) <= 0 || hi != nil && bytes.Compare(sep, hi) >= 0):
		v.Damaged(&Damage{Err: layout.Corrupt("inner node", t.Ref, "separator %q is not between %q and %q", sep, lo, hi)})
		sep = nil
	}
	sepLo, sepHi := sep, sep
	if !v.keyed || len(sep) == 0 {
		sepLo, sepHi = lo, hi // no bound of its own
	}
	a, err := v.tree(left, lo, sepHi, depth-1)
	if err != nil {
		return a, err
	}
	b, err := v.tree(right, sepLo, hi, depth-1)
	if err != nil {
		return b, err
	}
	// The totals of the right child follow from those of the node, which its
	// parent compares.
	if a.Whole && (a.Weight != left.Weight || a.Count != left.Count) {
		v.Damaged(&Damage{Err: layout.Corrupt("inner node", t.Ref,
			"records %d leaves and %d positions on its left, there are %d and %d", left.Weight, left.Count, a.Weight, a.Count)})
	}
	if a.Whole && b.Whole && (proven.tooHeavy(a.Weight, b.Weight) || proven.tooHeavy(b.Weight, a.Weight)) {
		v.Damaged(&Damage{Err: layout.Corrupt("inner node", t.Ref, "weights %d and %d are out of balance", a.Weight, b.Weight)})
	}
	return Tally{a.Weight + b.Weight, a.Count + b.Count, a.Whole && b.Whole}, nil
}

// one surveys a leaf.
func (v *surveyor) one(ref layout.Ref, l *leaf, lo, hi []byte) (Tally, error) {
	got := Tally{Weight: 1, Whole: true}
	lost := func(i int, format string, args ...any) {
		args = append([]any{i}, args...)
		v.Damaged(&Damage{
			Err: layout.Corrupt("leaf", ref, "item %d "+format, args...), Lost: true,
			Lo: lo, Hi: hi, Pos: v.pos + got.Count, Count: 1,
		})
		got.Whole = false
		if !v.keyed {
			// It had a position, which stays.
			got.Count++
			v.items = append(v.items, Item{Kind: KindGap, Size: 1})
		}
	}
	v.items = v.items[:0]
	at, gaps, start := 0, 0, v.pos
	bad := false // the leaf as a whole is not as it should be, which is told once
	for i := range l.n {
		end := l.end(i)
		if end <= at || end > l.used-l.area {
			lost(i, "ends at %d, the one before at %d", end, at)
			continue
		}
		b := l.obj[l.area+at : l.area+end]
		at = end
		v.items = append(v.items, Item{})
		it := &v.items[len(v.items)-1]
		drop := func() { v.items = v.items[:len(v.items)-1] }
		if !wellFormed(b) || !decodeItem(it, b, l.baseID(), l.baseTime()) {
			drop()
			lost(i, "is malformed")
			continue
		}
		if v.enc = appendItem(v.enc[:0], it, l.baseID(), l.baseTime()); !bytes.Equal(v.enc, b) {
			bad = true
		}
		gap := it.Kind == KindGap
		if gap && v.gap && i > 0 {
			bad = true
		}
		switch {
		case !v.keyed && len(it.Key) > 0:
			drop()
			lost(i, "of a list has a key")
			continue
		case v.keyed && gap:
			drop()
			lost(i, "is a gap but has a key")
			continue
		case v.keyed && v.last != nil && bytes.Compare(v.last, it.Key) >= 0:
			drop()
			lost(i, "has a key that is out of order")
			continue
		case v.keyed:
			if _, err := value.DecodeKey(it.Key); err != nil {
				drop()
				lost(i, "has a bad key: %v", err)
				continue
			}
			if lo != nil && bytes.Compare(it.Key, lo) < 0 || hi != nil && bytes.Compare(it.Key, hi) >= 0 {
				v.Damaged(&Damage{Err: layout.Corrupt("leaf", ref, "key %d is not between the separators %q and %q", i, lo, hi)})
			}
			v.last = append(v.last[:0], it.Key...)
		}
		if v.gap = gap; gap {
			gaps++
			if it.Size > MaxListLen-min(v.pos+got.Count, MaxListLen) {
				v.gap = false
				drop()
				lost(i, "is a gap beyond the longest list")
				continue
			}
			got.Count += it.Size
		} else {
			got.Count++
		}
	}
	if bad || got.Whole && (gaps != l.gaps || at != l.used-l.area) {
		v.Damaged(&Damage{Err: layout.Corrupt("leaf", ref, "items are not in the shortest form, or not counted right")})
	}
	v.pos += got.Count
	if len(v.items) == 0 {
		return got, nil
	}
	return got, v.leaf(ref, start, v.items)
}

// Blob surveys a blob and reports whether all of it can be read.
func (s *Survey) Blob(ref layout.Ref, size uint64) bool {
	if size > MaxBlob {
		s.Damaged(&Damage{Err: corruptBlobSize(ref, size), Lost: true, Count: size})
		return false
	}
	return s.blob(ref, blobHeight(size), 0, size)
}

func (s *Survey) blob(ref layout.Ref, height int, pos, limit uint64) bool {
	if ref == layout.Nil {
		return true
	}
	obj, err := s.object(ref, blobKind(height))
	if err == nil && len(obj) < layout.BlockDataOff {
		err = layout.Corrupt("blob", ref, "%d bytes are too few", len(obj))
	}
	if err == nil && height == 0 {
		_, _, err = openBlock(s.Space, ref, limit)
	}
	var b blobNode
	if err == nil && height > 0 {
		b, err = openBlobNode(s.Space, ref, height, limit)
	}
	if err != nil {
		s.Damaged(&Damage{Err: err, Lost: true, Pos: pos, Count: limit})
		return false
	}
	if height == 0 {
		return true
	}
	if b.ref(b.n-1) == layout.Nil {
		s.Damaged(&Damage{Err: layout.Corrupt("blob node", ref, "last ref is nil")})
	}
	span, whole := blobSpan(height-1), true
	for i := range b.n {
		off := uint64(i) * span
		whole = s.blob(b.ref(i), height-1, pos+off, min(span, limit-off)) && whole
	}
	return whole
}

// IDs surveys an id table and calls fn for each id in order. It reports
// whether all of it can be read.
func (s *Survey) IDs(t IDTable, fn func(id uint64, ref layout.Ref)) bool {
	if err := t.check(); err != nil {
		s.Damaged(&Damage{Err: err, Lost: true})
		return false
	}
	if t.Height == 0 {
		return true
	}
	return s.ids(t.Ref, t.Height-1, 0, true, fn)
}

func (s *Survey) ids(ref layout.Ref, level uint32, base uint64, top bool, fn func(uint64, layout.Ref)) bool {
	obj, err := s.object(ref, layout.KindIDNode)
	if err == nil && len(obj) < layout.IDNodeRefsOff {
		err = layout.Corrupt("id node", ref, "%d bytes are too few", len(obj))
	}
	var n idNode
	if err == nil {
		n, err = openIDNode(s.Space, ref, level)
	}
	if err != nil {
		ids := uint64(1) << min(63, (level+1)*layout.IDNodeBits)
		s.Damaged(&Damage{Err: err, Lost: true, Pos: base, Count: ids})
		return false
	}
	if top && level > 0 && n.bitmap == 1 {
		s.Damaged(&Damage{Err: layout.Corrupt("id node", ref, "top node is not needed")})
	}
	whole, i := true, 0
	for rest := n.bitmap; rest != 0; rest &= rest - 1 {
		id := base | uint64(bits.TrailingZeros32(rest))<<(level*layout.IDNodeBits)
		switch {
		case n.ref(i) == layout.Nil:
			s.Damaged(&Damage{Err: layout.Corrupt("id node", ref, "ref %d is nil", i)})
		case level > 0:
			whole = s.ids(n.ref(i), level-1, id, false, fn) && whole
		default:
			fn(id, n.ref(i))
		}
		i++
	}
	return whole
}
