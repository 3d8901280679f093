package container

import (
	"encoding/binary"
	"math"

	"pongofs/engine/layout"
)

// maxDepth bounds the height of a body. A child has at most 3/4 of its parent's
// leaves, so with fewer than 2^32 leaves the height is below 78.
const maxDepth = 80

// step is an inner node on the way to a leaf.
type step struct {
	ref    layout.Ref
	obj    []byte
	count  uint64 // totals of the node
	weight uint32
	right  uint8 // 1 when the way goes to the right child, else 0
}

// openStep checks what the walk down depends on: the weights grow strictly
// towards the root, and the counts add up.
func openStep(sp Space, t Tree) (step, error) {
	obj, err := sp.Object(t.Ref, layout.KindInner)
	if err != nil {
		return step{}, err
	}
	lw := binary.LittleEndian.Uint32(obj[layout.InnerLeftWeightOff:])
	lc := binary.LittleEndian.Uint64(obj[layout.InnerLeftCountOff:])
	if lw == 0 || lw >= t.Weight || lc > t.Count {
		return step{}, corruptInner(t, lw, lc)
	}
	return step{ref: t.Ref, obj: obj, count: t.Count, weight: t.Weight}, nil
}

func corruptInner(t Tree, lw uint32, lc uint64) error {
	return layout.Corrupt("inner node", t.Ref,
		"left child has weight %d of %d and count %d of %d", lw, t.Weight, lc, t.Count)
}

func corruptDepth(ref layout.Ref) error {
	return layout.Corrupt("inner node", ref, "body is deeper than %d", maxDepth)
}

// innerSep returns the separator of an inner node.
func innerSep(obj []byte) []byte {
	n := int(binary.LittleEndian.Uint16(obj[layout.InnerSepLenOff:]))
	return obj[layout.InnerSepOff : layout.InnerSepOff+n]
}

func innerLeft(obj []byte) Tree {
	return Tree{
		Ref:    layout.Ref(binary.LittleEndian.Uint64(obj[layout.InnerLeftOff:])),
		Weight: binary.LittleEndian.Uint32(obj[layout.InnerLeftWeightOff:]),
		Count:  binary.LittleEndian.Uint64(obj[layout.InnerLeftCountOff:]),
	}
}

func innerRight(obj []byte, weight uint32, count uint64) Tree {
	return Tree{
		Ref:    layout.Ref(binary.LittleEndian.Uint64(obj[layout.InnerRightOff:])),
		Weight: weight - binary.LittleEndian.Uint32(obj[layout.InnerLeftWeightOff:]),
		Count:  count - binary.LittleEndian.Uint64(obj[layout.InnerLeftCountOff:]),
	}
}

func (s *step) left() Tree  { return innerLeft(s.obj) }
func (s *step) other() Tree { return innerRight(s.obj, s.weight, s.count) }

// down returns the child that the way goes to.
func (s *step) down() Tree {
	if s.right == 1 {
		return s.other()
	}
	return s.left()
}

// bit returns 1 for true.
func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// setInner fills in all but the separator.
func setInner(obj []byte, left, right Tree) {
	binary.LittleEndian.PutUint64(obj[layout.InnerLeftOff:], uint64(left.Ref))
	binary.LittleEndian.PutUint64(obj[layout.InnerRightOff:], uint64(right.Ref))
	binary.LittleEndian.PutUint64(obj[layout.InnerLeftCountOff:], left.Count)
	binary.LittleEndian.PutUint32(obj[layout.InnerLeftWeightOff:], left.Weight)
}

// newInner builds a node over two trees. It copies sep.
func newInner(ed Editor, left Tree, sep []byte, right Tree) (Tree, error) {
	t, err := over(left, right)
	if err != nil {
		return Tree{}, err
	}
	ref, obj, err := ed.Alloc(layout.KindInner, layout.InnerSepOff+len(sep))
	if err != nil {
		return Tree{}, err
	}
	setInner(obj, left, right)
	binary.LittleEndian.PutUint16(obj[layout.InnerSepLenOff:], uint16(len(sep)))
	copy(obj[layout.InnerSepOff:], sep)
	t.Ref = ref
	return t, nil
}

// setChildren makes the inner node at ref a node over left and right, between
// which its separator still stands: in place when it is owned, else as a copy.
func setChildren(ed Editor, ref layout.Ref, obj []byte, left, right Tree) (Tree, error) {
	if !ed.Owned(ref) {
		t, err := newInner(ed, left, innerSep(obj), right)
		if err == nil {
			ed.Free(ref)
		}
		return t, err
	}
	t, err := over(left, right)
	if err != nil {
		return Tree{}, err
	}
	setInner(obj, left, right)
	t.Ref = ref
	return t, nil
}

// over returns the totals of two trees.
func over(left, right Tree) (Tree, error) {
	weight := uint64(left.Weight) + uint64(right.Weight)
	if weight > math.MaxUint32 || left.Count+right.Count < left.Count {
		return Tree{}, layout.Corrupt("inner node", left.Ref, "weights or counts overflow")
	}
	return Tree{Weight: uint32(weight), Count: left.Count + right.Count}, nil
}
