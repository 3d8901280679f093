package container

import (
	"bytes"
	"encoding/binary"

	"pongofs/engine/layout"
)

// findLeaf returns the leaf that key belongs to, and how many items come before
// that leaf. t must not be empty.
func findLeaf(sp Space, t Tree, key []byte) (Tree, uint64, error) {
	var before uint64
	for depth := 0; t.Weight > 1; depth++ {
		obj, err := sp.Object(t.Ref, layout.KindInner)
		if err != nil {
			return Tree{}, 0, err
		}
		if depth == maxDepth || len(obj) < layout.InnerSepOff {
			return Tree{}, 0, corruptDepth(t.Ref)
		}
		lw := binary.LittleEndian.Uint32(obj[layout.InnerLeftWeightOff:])
		lc := binary.LittleEndian.Uint64(obj[layout.InnerLeftCountOff:])
		if lw == 0 || lw >= t.Weight || lc > t.Count {
			return Tree{}, 0, corruptInner(t, lw, lc)
		}
		if bytes.Compare(key, innerSep(obj)) < 0 {
			t = Tree{layout.Ref(binary.LittleEndian.Uint64(obj[layout.InnerLeftOff:])), lw, lc}
		} else {
			before += lc
			t = Tree{layout.Ref(binary.LittleEndian.Uint64(obj[layout.InnerRightOff:])), t.Weight - lw, t.Count - lc}
		}
	}
	return t, before, nil
}

// Get finds the item of an encoded key. It allocates nothing.
func Get(sp Space, t Tree, key []byte) (it Item, found bool, err error) {
	if t.Empty() {
		return it, false, nil
	}
	t, _, err = findLeaf(sp, t, key)
	if err != nil {
		return it, false, err
	}
	l, err := readLeaf(sp, t.Ref)
	if err != nil {
		return it, false, err
	}
	i, found := l.search(key)
	if found {
		err = l.decode(t.Ref, i, &it)
	}
	return it, found && err == nil, err
}

// Put stores item under its key, in place of the item of that key if there is
// one. What a replaced item refers to (blobs) is the caller's to free: one that
// needs to see it first uses a Cursor: Find, Item, Put.
//
// After an error the edit must be dropped: owned objects may have been changed.
// That holds for every function here that takes an Editor.
func Put(ed Editor, t Tree, item *Item) (nt Tree, replaced bool, err error) {
	var c Cursor
	c.Open(ed, t)
	if replaced, err = c.Find(item.Key); err != nil {
		return t, false, err
	}
	nt, err = c.Put(ed, item)
	return nt, replaced, err
}

// Delete removes the item of a key.
func Delete(ed Editor, t Tree, key []byte) (nt Tree, found bool, err error) {
	var c Cursor
	c.Open(ed, t)
	if found, err = c.Find(key); err != nil || !found {
		return t, false, err
	}
	nt, err = c.Delete(ed)
	return nt, true, err
}

// Rank counts the items whose keys are smaller than key; found says whether
// there is one of that key.
func Rank(sp Space, t Tree, key []byte) (rank uint64, found bool, err error) {
	if t.Empty() {
		return 0, false, nil
	}
	t, rank, err = findLeaf(sp, t, key)
	if err != nil {
		return 0, false, err
	}
	l, err := readLeaf(sp, t.Ref)
	if err != nil {
		return 0, false, err
	}
	i, found := l.search(key)
	return rank + uint64(i), found, nil
}

// At returns the item that has rank smaller items before it, false when there
// are not so many. In a list it is the element at that position or the gap run
// that holds it.
func At(sp Space, t Tree, rank uint64) (it Item, found bool, err error) {
	if rank >= t.Count || t.Empty() {
		return it, false, nil
	}
	for depth := 0; t.Weight > 1; depth++ {
		s, err := openStep(sp, t)
		if err != nil {
			return it, false, err
		}
		if depth == maxDepth {
			return it, false, corruptDepth(t.Ref)
		}
		if t = s.left(); rank >= t.Count {
			rank -= t.Count
			t = s.other()
		}
	}
	l, err := readLeaf(sp, t.Ref)
	if err != nil {
		return it, false, err
	}
	i, _ := l.locate(rank)
	if i == l.n {
		return it, false, layout.Corrupt("leaf", t.Ref, "fewer positions than recorded")
	}
	err = l.decode(t.Ref, i, &it)
	return it, err == nil, err
}
