package container

import (
	"fmt"
	"testing"

	"pongofs/engine/layout"
)

// shape is a tree without content; the zero shape is a leaf.
type shape struct {
	left, right *shape
	weight      uint32
}

// shapes returns all trees of each weight up to limit that are balanced by r.
func shapes(r ratio, limit uint32) [][]*shape {
	all := make([][]*shape, limit+1)
	all[1] = []*shape{{weight: 1}}
	for w := uint32(2); w <= limit; w++ {
		for lw := uint32(1); lw < w; lw++ {
			if r.tooHeavy(lw, w-lw) || r.tooHeavy(w-lw, lw) {
				continue
			}
			for _, left := range all[lw] {
				for _, right := range all[w-lw] {
					all[w] = append(all[w], &shape{left, right, w})
				}
			}
		}
	}
	return all
}

// grow makes a tree of real nodes; leaves are added to list.
func (s *shape) grow(m *mem, list *[]layout.Ref) (Tree, error) {
	if s.left == nil {
		ref, _, err := m.Alloc(layout.KindLeaf, layout.Granule)
		*list = append(*list, ref)
		return Tree{ref, 1, 1}, err
	}
	left, err := s.left.grow(m, list)
	if err != nil {
		return Tree{}, err
	}
	right, err := s.right.grow(m, list)
	if err != nil {
		return Tree{}, err
	}
	return newInner(m, left, nil, right)
}

// change replaces leaf i of t by the leaves given, none or two, as an edit
// does on its way up.
func change(m *mem, r ratio, t Tree, i uint32, by []Tree) (Tree, error) {
	if t.Weight == 1 {
		if len(by) == 0 {
			return Tree{}, nil
		}
		return newInner(m, by[0], nil, by[1])
	}
	s, err := openStep(m, t)
	if err != nil {
		return Tree{}, err
	}
	left, right := s.left(), s.other()
	sibling := left
	if i < left.Weight {
		left, err = change(m, r, left, i, by)
		sibling = right
	} else {
		right, err = change(m, r, right, i-left.Weight, by)
	}
	if err != nil {
		return Tree{}, err
	}
	if left.Weight == 0 || right.Weight == 0 {
		m.Free(s.ref)
		return sibling, nil
	}
	return r.join(m, s.ref, s.obj, left, right)
}

// inspect checks the balance of t and returns its leaves in order.
func inspect(m *mem, r ratio, t Tree) ([]layout.Ref, error) {
	if t.Weight <= 1 {
		if t.Weight == 0 {
			return nil, nil
		}
		return []layout.Ref{t.Ref}, nil
	}
	s, err := openStep(m, t)
	if err != nil {
		return nil, err
	}
	left, right := s.left(), s.other()
	if r.tooHeavy(left.Weight, right.Weight) || r.tooHeavy(right.Weight, left.Weight) {
		return nil, fmt.Errorf("weights %d and %d are out of balance", left.Weight, right.Weight)
	}
	a, err := inspect(m, r, left)
	if err != nil {
		return nil, err
	}
	b, err := inspect(m, r, right)
	return append(a, b...), err
}

// tryAll makes every insertion, or else every deletion, in every balanced tree
// up to a weight, and returns the first thing that goes wrong.
func tryAll(t *testing.T, r ratio, limit uint32, insert bool) (tried int, err error) {
	for w, list := range shapes(r, limit) {
		for _, s := range list {
			for i := range uint32(w) {
				m := newMem(t)
				var want []layout.Ref
				tree, err := s.grow(m, &want)
				if err != nil {
					t.Fatal(err)
				}
				m.publish()
				var by []Tree
				if insert {
					extra, _, err := m.Alloc(layout.KindLeaf, layout.Granule)
					if err != nil {
						t.Fatal(err)
					}
					by = []Tree{{want[i], 1, 1}, {extra, 1, 1}}
					want = append(want[:i+1:i+1], append([]layout.Ref{extra}, want[i+1:]...)...)
				} else {
					want = append(want[:i:i], want[i+1:]...)
				}
				tried++
				nt, err := change(m, r, tree, i, by)
				if err != nil {
					return tried, fmt.Errorf("weight %d, leaf %d: %w", w, i, err)
				}
				got, err := inspect(m, r, nt)
				if err != nil {
					return tried, fmt.Errorf("weight %d, leaf %d: %w", w, i, err)
				}
				if fmt.Sprint(got) != fmt.Sprint(want) || nt.Weight != uint32(len(want)) || nt.Count != uint64(len(want)) {
					t.Fatalf("weight %d, leaf %d: leaves are %v, want %v; %+v", w, i, got, want, nt)
				}
			}
		}
	}
	return tried, nil
}

func TestEveryEditKeepsEveryShapeBalanced(t *testing.T) {
	tests := []struct {
		r      ratio
		insert bool
		works  bool
	}{
		{proven, true, true},
		{proven, false, true},
		{ratio{2, 1}, false, false}, // the test sees a pair that fails
	}
	for _, test := range tests {
		tried, err := tryAll(t, test.r, 9, test.insert)
		if (err == nil) != test.works {
			t.Errorf("%+v, insert %v: %v after %d", test.r, test.insert, err, tried)
		}
	}
}

// tryRotations rotates every node whose left child, or else right child, is one
// leaf too heavy after an insertion or deletion, up to a weight of the light
// child, and returns the first that is not balanced then. Below the nodes that a
// rotation touches, trees count by their weight only.
func tryRotations(t *testing.T, r ratio, limit uint32, insert, mirrored bool) (tried int, err error) {
	fake := func(w uint32) Tree { return Tree{1<<40 + layout.Ref(w)*layout.Granule, w, uint64(w)} }
	pair := func(m *mem, a, b Tree) Tree {
		if mirrored {
			a, b = b, a
		}
		tree, err := newInner(m, a, nil, b)
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	ok := func(a, b uint32) bool { return !r.tooHeavy(a, b) && !r.tooHeavy(b, a) }
	for light := uint32(1); light <= limit; light++ {
		for heavy := light; heavy <= light || !r.tooHeavy(heavy-1, light+1); heavy++ {
			was := ok(heavy-1, light)
			if !insert {
				was = ok(heavy, light+1)
			}
			if !was || !r.tooHeavy(heavy, light) {
				continue
			}
			for outer := uint32(1); outer < heavy; outer++ {
				inner := heavy - outer
				if !ok(outer, inner) {
					continue
				}
				for c := uint32(1); c < max(inner, 2); c++ {
					if inner > 1 && !ok(c, inner-c) {
						continue
					}
					m := newMem(t)
					mid := fake(inner)
					if inner > 1 {
						mid = pair(m, fake(c), fake(inner-c))
					}
					top := pair(m, pair(m, fake(outer), mid), fake(light))
					s, err := openStep(m, top)
					if err != nil {
						t.Fatal(err)
					}
					tried++
					where := fmt.Sprintf("weights (%d (%d %d)) %d", outer, c, inner-c, light)
					nt, err := r.join(m, s.ref, s.obj, s.left(), s.other())
					if err != nil {
						return tried, fmt.Errorf("%s: %w", where, err)
					}
					if err := balancedTop(m, r, nt, 2); err != nil {
						return tried, fmt.Errorf("%s: %w", where, err)
					}
					if nt.Weight != heavy+light || nt.Count != uint64(nt.Weight) {
						t.Fatalf("%s: %+v", where, nt)
					}
				}
			}
		}
	}
	return tried, nil
}

// balancedTop checks the nodes of t that are real, depth levels of them.
func balancedTop(m *mem, r ratio, t Tree, depth int) error {
	if depth == 0 {
		return nil
	}
	s, err := openStep(m, t)
	if err != nil {
		return nil // only a weight
	}
	left, right := s.left(), s.other()
	if r.tooHeavy(left.Weight, right.Weight) || r.tooHeavy(right.Weight, left.Weight) {
		return fmt.Errorf("weights %d and %d are out of balance", left.Weight, right.Weight)
	}
	if err := balancedTop(m, r, left, depth-1); err != nil {
		return err
	}
	return balancedTop(m, r, right, depth-1)
}

// TestEveryRotationRestoresBalance goes on to weights where trees are too many
// to try all: the original's pair is wrong there, for insertions already.
func TestEveryRotationRestoresBalance(t *testing.T) {
	tests := []struct {
		r      ratio
		insert bool
		works  bool
	}{
		{proven, true, true},
		{proven, false, true},
		{ratio{4, 1}, true, false},
		{ratio{4, 1}, false, false},
		{ratio{4, 2}, false, false},
	}
	for _, test := range tests {
		for _, mirrored := range []bool{false, true} {
			tried, err := tryRotations(t, test.r, 16, test.insert, mirrored)
			t.Logf("%+v, insert %v: %d tried, %v", test.r, test.insert, tried, err)
			if (err == nil) != test.works {
				t.Errorf("%+v, insert %v, mirrored %v: %v after %d", test.r, test.insert, mirrored, err, tried)
			}
		}
	}
}
