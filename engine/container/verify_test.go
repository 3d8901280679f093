package container

import (
	"encoding/binary"
	"testing"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// TestVerifyFindsEveryStructuralBit flips each bit that says where things are:
// no such damage goes unnoticed.
func TestVerifyFindsEveryStructuralBit(t *testing.T) {
	m := newMem(t)
	var keyed, list Tree
	var err error
	for i := range 200 {
		it := plainItem(i+1, intKey(i), []byte("image"))
		if keyed, _, err = Put(m, keyed, &it); err != nil {
			t.Fatal(err)
		}
		it.Key = nil
		if list, _, err = ListSet(m, list, uint64(i*2), &it); err != nil {
			t.Fatal(err)
		}
	}
	const blobSize = 65*layout.BlockPayload + 1000
	blob, err := BlobCreate(m, blobID, make([]byte, blobSize))
	if err != nil {
		t.Fatal(err)
	}
	var ids IDTable
	for i := range uint64(100) {
		if ids, err = ids.Put(m, i*3, 32); err != nil {
			t.Fatal(err)
		}
	}
	m.publish()
	tests := []struct {
		name   string
		root   root
		verify func() error
	}{
		{"keyed body", keyed.root(), func() error { return VerifyTree(m, keyed, true) }},
		{"list", list.root(), func() error { return VerifyTree(m, list, false) }},
		{"blob", blobRoot(blob, blobSize), func() error { return VerifyBlob(m, blob, blobSize) }},
		{"id table", ids.root(), func() error { return VerifyIDTable(m, ids) }},
	}
	for _, test := range tests {
		if err := test.verify(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		eachObject(t, m, test.root, func(obj []byte) {
			from, to := structure(obj)
			for at := from; at < to; at++ {
				for bit := range 8 {
					obj[at] ^= 1 << bit
					if binary.LittleEndian.Uint64(obj[at/8*8:]) == 0 && layout.Kind(obj[0]) == layout.KindBlobNode {
						obj[at] ^= 1 << bit
						continue // the ref became a hole
					}
					if err := guard(test.verify); !isCorrupt(err) {
						t.Errorf("%s: object of kind %d, byte %d, bit %d: %v", test.name, obj[0], at, bit, err)
					}
					obj[at] ^= 1 << bit
				}
			}
		})
	}
}

// structure returns the range of obj in which every bit matters to what
// hangs below it.
func structure(obj []byte) (from, to int) {
	switch layout.Kind(obj[0]) {
	case layout.KindLeaf:
		return layout.LeafCountOff, layout.LeafGapsOff + 2
	case layout.KindInner:
		return layout.InnerLeftOff, layout.InnerSepOff
	case layout.KindBlobNode:
		return layout.BlobRefsOff, layout.BlobRefsOff + 8*int(binary.LittleEndian.Uint16(obj[layout.BlobCountOff:]))
	case layout.KindIDNode:
		if obj[layout.IDNodeLevelOff] > 0 {
			return layout.IDNodeRefsOff, layout.IDNodeRefsOff + 8
		}
	}
	return 0, 0
}

func eachObject(t *testing.T, m *mem, r root, fn func(obj []byte)) {
	t.Helper()
	obj, err := m.Object(r.ref, r.kind)
	if err != nil {
		t.Fatal(err)
	}
	fn(obj)
	err = Children(obj, layout.Kind(obj[0]), func(ref layout.Ref, kind layout.Kind) error {
		if kind != layout.KindContainer {
			eachObject(t, m, root{ref, kind}, fn)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestVerifyTreeRules breaks one rule at a time in an otherwise sound leaf.
func TestVerifyTreeRules(t *testing.T) {
	null := func(key []byte) Item { return Item{Key: key, Kind: value.KindNull, Mode: 0o644} }
	gap := func(n uint64) Item { return Item{Kind: KindGap, Size: n} }
	tests := []struct {
		name  string
		keyed bool
		items []Item
		sound bool
	}{
		{"sorted keys", true, []Item{null(intKey(1)), null(intKey(2))}, true},
		{"unsorted keys", true, []Item{null(intKey(2)), null(intKey(1))}, false},
		{"the same key twice", true, []Item{null(intKey(1)), null(intKey(1))}, false},
		{"no key", true, []Item{null(nil)}, false},
		{"bytes that are no key", true, []Item{null([]byte{99, 1})}, false},
		{"key in a list", false, []Item{null(intKey(1))}, false},
		{"gap", false, []Item{gap(7), null(nil)}, true},
		{"gap at the end", false, []Item{null(nil), gap(7)}, false},
		{"gaps side by side", false, []Item{gap(1), gap(2), null(nil)}, false},
		{"gap with a key", true, []Item{{Key: intKey(1), Kind: KindGap, Size: 1}, null(intKey(2))}, false},
	}
	for _, test := range tests {
		m := newMem(t)
		var p patch
		for i := range test.items {
			if err := p.add(&test.items[i]); err != nil {
				t.Fatal(err)
			}
		}
		ref, count, err := p.build(m, 0, p.count(), p.size(0, p.count()))
		if err != nil {
			t.Fatal(err)
		}
		err = VerifyTree(m, Tree{ref, 1, count}, test.keyed)
		if test.sound && err != nil || !test.sound && !isCorrupt(err) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if err := VerifyTree(newMem(t), Tree{Weight: 1}, true); !isCorrupt(err) {
		t.Errorf("weight without body: %v", err)
	}
}

// TestVerifyTreeShape breaks the rules of inner nodes.
func TestVerifyTreeShape(t *testing.T) {
	m := newMem(t)
	leafOf := func(i int) Tree {
		it := Item{Key: intKey(i), Kind: value.KindNull}
		tree, _, err := Put(m, Tree{}, &it)
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	over := func(left Tree, sep int, right Tree) Tree {
		tree, err := newInner(m, left, intKey(sep), right)
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	chain := leafOf(1)
	for i := 2; i <= 5; i++ {
		chain = over(chain, i, leafOf(i))
	}
	twice := leafOf(1)
	counted := over(leafOf(1), 2, leafOf(2))
	counted.Count++
	tests := []struct {
		name  string
		tree  Tree
		sound bool
	}{
		{"two leaves", over(leafOf(1), 2, leafOf(2)), true},
		{"separator between", over(leafOf(1), 5, leafOf(9)), true},
		{"separator too small", over(leafOf(1), 1, leafOf(2)), false},
		{"separator too great", over(leafOf(1), 3, leafOf(2)), false},
		{"leaves in the wrong order", over(leafOf(2), 2, leafOf(1)), false},
		{"inner separator out of bounds", over(over(leafOf(1), 7, leafOf(2)), 5, leafOf(9)), false},
		{"a chain", chain, false},
		{"one leaf twice", over(twice, 1, twice), false},
		{"wrong count", counted, false},
	}
	for _, test := range tests {
		err := VerifyTree(m, test.tree, true)
		if test.sound && err != nil || !test.sound && !isCorrupt(err) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
