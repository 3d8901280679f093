package container

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pongofs/engine/layout"
)

// linkShapes links two trees as Join does and checks the result. The nodes are owned
// by the edit or all of them published.
func linkShapes(t *testing.T, r ratio, left, right *shape, owned bool) error {
	m := newMem(t)
	var want []layout.Ref
	l, err := left.grow(m, &want)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := right.grow(m, &want)
	if err != nil {
		t.Fatal(err)
	}
	top, err := newInner(m, l, nil, rt)
	if err != nil {
		t.Fatal(err)
	}
	if !owned {
		m.publish()
	}
	s, err := openStep(m, top)
	if err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("weights %d and %d", left.weight, right.weight)
	tree, err := r.link(m, s.ref, s.obj, l, rt, maxDepth)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	got, err := inspect(m, r, tree)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || tree.Weight != uint32(len(want)) || tree.Count != uint64(len(want)) {
		t.Fatalf("%s: leaves are %v, want %v; %+v", where, got, want, tree)
	}
	inner := uint32(0)
	for i := range m.objs {
		o := &m.objs[i]
		if o.was != nil && !bytes.Equal(o.was, o.data) {
			t.Fatalf("%s: published object %d was changed", where, i)
		}
		if layout.Kind(o.data[0]) == layout.KindInner && (o.state == memOwned || o.state == memPublished) {
			inner++
		}
	}
	if inner != tree.Weight-1 {
		t.Fatalf("%s: %d inner nodes live, want %d", where, inner, tree.Weight-1)
	}
	return nil
}

// TestEveryLinkIsBalanced links each two shapes up to a weight, and one of each
// weight with random ones that are many times as heavy.
func TestEveryLinkIsBalanced(t *testing.T) {
	link := func(r ratio, limit uint32, heavy int) (tried int, err error) {
		var flat []*shape
		for _, list := range shapes(r, limit) {
			flat = append(flat, list...)
		}
		for _, left := range flat {
			for _, right := range flat {
				tried++
				if err := linkShapes(t, r, left, right, tried%2 == 0); err != nil {
					return tried, err
				}
			}
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		for range heavy {
			a := randomShape(r, rnd, 1+uint32(rnd.IntN(40)))
			b := randomShape(r, rnd, 1+uint32(rnd.IntN(900)))
			for _, pair := range [][2]*shape{{a, b}, {b, a}} {
				tried++
				if err := linkShapes(t, r, pair[0], pair[1], tried%2 == 0); err != nil {
					return tried, err
				}
			}
		}
		return tried, nil
	}
	tests := []struct {
		r     ratio
		works bool
	}{
		{proven, true},
		{ratio{4, 1}, false}, // the test sees pairs that fail
		{ratio{2, 1}, false},
	}
	for _, test := range tests {
		tried, err := link(test.r, 8, 300)
		t.Logf("%+v: %d tried, %v", test.r, tried, err)
		if (err == nil) != test.works {
			t.Errorf("%+v: %v after %d", test.r, err, tried)
		}
	}
}

// randomShape returns a balanced tree of a weight, as crooked as a rule allows now and
// then.
func randomShape(r ratio, rnd *rand.Rand, w uint32) *shape {
	if w == 1 {
		return &shape{weight: 1}
	}
	least := uint32((uint64(w) + r.delta) / (r.delta + 1)) // no child may be lighter
	var lw uint32
	switch rnd.IntN(3) {
	case 0:
		lw = least
	case 1:
		lw = w - least
	default:
		lw = least + uint32(rnd.IntN(int(w-2*least+1)))
	}
	return &shape{randomShape(r, rnd, lw), randomShape(r, rnd, w-lw), w}
}

// TestLinkInACircle: a node of a damaged body may be its own child.
func TestLinkInACircle(t *testing.T) {
	m := newMem(t)
	leaf, _, err := m.Alloc(layout.KindLeaf, layout.Granule)
	if err != nil {
		t.Fatal(err)
	}
	one := Tree{leaf, 1, 1}
	node, err := newInner(m, one, nil, one)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStep(m, node)
	if err != nil {
		t.Fatal(err)
	}
	setInner(s.obj, one, Tree{node.Ref, 1 << 20, 1 << 20})
	top, err := newInner(m, Tree{node.Ref, 1<<20 + 1, 1<<20 + 1}, nil, one)
	if err != nil {
		t.Fatal(err)
	}
	left, _, right, err := Halves(m, top)
	if err != nil {
		t.Fatal(err)
	}
	var damaged *layout.CorruptError
	if _, err = Join(m, top, left, right); !errors.As(err, &damaged) {
		t.Errorf("got %v", err)
	}
}
