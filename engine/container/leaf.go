package container

import (
	"bytes"
	"encoding/binary"

	"pongofs/engine/layout"
)

// Sizes of leaves in bytes, header included.
const (
	// leafMax is the size beyond which a leaf of more than leafFew items is
	// split, leafHard that beyond which any leaf of several items is. A leaf is
	// at most twice the largest item (4.4 KiB) long: a split halves it to within
	// one item.
	leafMax  = 1024
	leafFew  = 4
	leafHard = 4096
	// leafMin is the size below which a leaf that has become smaller is merged
	// with a neighbour, if both fit into leafMax.
	leafMin = 256
)

// leaf is a view of a KindLeaf object. Items are numbered from 0.
type leaf struct {
	obj  []byte
	n    int // items
	area int // offset of the first item
	used int // end of the last item
	gaps int // items that are gap runs
}

// openLeaf checks the outline of a leaf: what it does not check ends in an
// index out of range, never beyond obj.
func openLeaf(ref layout.Ref, obj []byte) (leaf, error) {
	l := leaf{
		obj:  obj,
		n:    int(binary.LittleEndian.Uint16(obj[layout.LeafCountOff:])),
		used: int(binary.LittleEndian.Uint16(obj[layout.LeafUsedOff:])),
		gaps: int(binary.LittleEndian.Uint16(obj[layout.LeafGapsOff:])),
	}
	l.area = layout.LeafEndsOff + 2*l.n
	if l.n == 0 || l.gaps > l.n || l.area > l.used || l.used > len(obj) || l.area+l.end(l.n-1) != l.used {
		return leaf{}, layout.Corrupt("leaf", ref, "%d items in %d of %d bytes do not add up", l.n, l.used, len(obj))
	}
	return l, nil
}

// readLeaf reads the leaf at ref.
func readLeaf(sp Space, ref layout.Ref) (leaf, error) {
	obj, err := sp.Object(ref, layout.KindLeaf)
	if err != nil {
		return leaf{}, err
	}
	touch(obj)
	return openLeaf(ref, obj)
}

// touch loads every cache line of obj. The loads are independent of each other,
// so that they wait for memory together; a binary search, or a copy that
// begins where the search ended, would wait for one line after the other.
// Measured on 100 000 entries this saves a tenth of a lookup and of a Put. It is
// not inlined, because the compiler would see that the result is of no use.
//
//go:noinline
func touch(obj []byte) (x byte) {
	for i := 64; i < len(obj); i += 64 {
		x |= obj[i]
	}
	return x
}

// end returns where item i ends, in bytes from the first item.
func (l *leaf) end(i int) int {
	return int(binary.LittleEndian.Uint16(l.obj[layout.LeafEndsOff+2*i:]))
}

// start returns where item i starts; for i == n the end of the last.
func (l *leaf) start(i int) int {
	if i == 0 {
		return 0
	}
	return l.end(i - 1)
}

// item returns the encoded item i.
func (l *leaf) item(i int) []byte { return l.obj[l.area+l.start(i) : l.area+l.end(i)] }

// key returns the key of item i.
func (l *leaf) key(i int) []byte { return keyOf(l.item(i)) }

func (l *leaf) baseID() uint64 { return binary.LittleEndian.Uint64(l.obj[layout.LeafBaseIDOff:]) }

func (l *leaf) baseTime() int64 {
	return int64(binary.LittleEndian.Uint64(l.obj[layout.LeafBaseTimeOff:]))
}

// decode decodes item i into it.
func (l *leaf) decode(ref layout.Ref, i int, it *Item) error {
	if !decodeItem(it, l.item(i), l.baseID(), l.baseTime()) {
		return layout.Corrupt("leaf", ref, "item %d is malformed", i)
	}
	return nil
}

// search returns the first item whose key is not smaller than key, and whether
// it is equal.
func (l *leaf) search(key []byte) (int, bool) {
	lo, hi := 0, l.n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		c := bytes.Compare(l.key(mid), key)
		if c == 0 {
			return mid, true
		}
		if c < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, false
}

// span returns the number of positions that the items i to j−1 take.
func (l *leaf) span(i, j int) uint64 {
	if l.gaps == 0 {
		return uint64(j - i)
	}
	var n uint64
	for ; i < j; i++ {
		n += spanOf(l.item(i))
	}
	return n
}

// locate returns the item that holds position pos, counted from the first
// position of the leaf, and where in the item it lies.
func (l *leaf) locate(pos uint64) (i int, within uint64) {
	if l.gaps == 0 {
		return int(min(pos, uint64(l.n))), 0
	}
	for i < l.n {
		n := spanOf(l.item(i))
		if pos < n {
			return i, pos
		}
		pos -= n
		i++
	}
	return i, 0
}

// isGap reports whether item i is a gap run.
func (l *leaf) isGap(i int) bool { return l.gaps > 0 && kindOf(l.item(i)) == KindGap }

// newest reports whether no item has a greater id than item i. Ids grow, so
// this tells entries that are added in order from entries added anywhere.
func (l *leaf) newest(i int) bool {
	id := l.delta(i)
	for k := range l.n {
		if l.delta(k) > id {
			return false
		}
	}
	return true
}

// delta returns the difference of the id of item i to the base, 0 for gaps.
func (l *leaf) delta(i int) int64 {
	_, rest := cutKey(l.item(i))
	if rest[0]&15 == byte(KindGap) {
		return 0
	}
	u, _ := binary.Uvarint(rest[2:])
	return int64(u>>1) ^ -int64(u&1)
}

// hasTimes reports whether an item stores a time.
func (l *leaf) hasTimes() bool {
	for i := range l.n {
		if _, rest := cutKey(l.item(i)); rest[1]&layout.HasMtime != 0 {
			return true
		}
	}
	return false
}

// separator returns the shortest s with left < s <= right, for left < right. It
// aliases right.
func separator(left, right []byte) []byte {
	n := 0
	for n < len(left) && n < len(right)-1 && left[n] == right[n] {
		n++
	}
	return right[:min(n+1, len(right))]
}
