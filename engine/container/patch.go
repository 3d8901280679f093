package container

import (
	"bytes"
	"encoding/binary"

	"pongofs/engine/layout"
)

// A patch replaces the items i to j−1 of a leaf by encoded ones. It sees the
// leaf as it will be: its items are the old ones before i, the new ones and the
// old ones from j on, numbered from 0 as in a leaf.
//
// The new items are encoded before anything is changed, since they may alias
// the leaf. They are in the patch itself unless they are large or many, so that
// a patch on the stack needs no heap: it must not hold slices of itself.
type patch struct {
	l    leaf // what it is applied to; zero when it makes a tree's first leaf
	i, j int

	k    int    // new items
	span uint64 // positions they take
	gaps int    // how many are gap runs

	baseID   uint64
	baseTime int64

	used int // bytes of the new items in few, unless they are in many
	few  [384]byte
	many []byte

	fewEnds  [3]int // where each new item ends
	manyEnds []int
}

// begin starts a patch of l.
func (p *patch) begin(l leaf, i, j int) {
	p.l, p.i, p.j = l, i, j
	if l.n > 0 {
		p.baseID, p.baseTime = l.baseID(), l.baseTime()
	}
}

// enc returns the new items, one behind the other.
func (p *patch) enc() []byte {
	if p.many != nil {
		return p.many
	}
	return p.few[:p.used]
}

// newEnd returns where new item v ends in enc.
func (p *patch) newEnd(v int) int {
	if p.manyEnds != nil {
		return p.manyEnds[v]
	}
	return p.fewEnds[v]
}

// add encodes a new item at the end of the new ones.
func (p *patch) add(it *Item) error {
	if err := checkItem(it); err != nil {
		return err
	}
	if p.k == 0 {
		switch {
		case p.l.n == 0:
			p.baseID, p.baseTime = it.ID, it.Mtime
		case p.baseTime == 0 && it.Mtime != 0 && !p.l.hasTimes():
			p.baseTime = it.Mtime
		}
	}
	p.keep(appendItem(p.enc(), it, p.baseID, p.baseTime))
	p.added(it.Kind == KindGap, it.Size)
	return nil
}

// addGap adds a gap run of n positions, unless n is 0.
func (p *patch) addGap(n uint64) {
	if n > 0 {
		p.keep(appendItem(p.enc(), &Item{Kind: KindGap, Size: n}, 0, 0))
		p.added(true, n)
	}
}

// keep makes enc the new items, which were appended to what it was.
func (p *patch) keep(enc []byte) {
	if p.many == nil && len(enc) <= len(p.few) {
		p.used = len(enc)
	} else {
		p.many = bytes.Clone(enc)
	}
}

// added accounts for an item that was appended to enc.
func (p *patch) added(gap bool, size uint64) {
	end := len(p.enc())
	if p.manyEnds == nil && p.k < len(p.fewEnds) {
		p.fewEnds[p.k] = end
	} else {
		p.manyEnds = append(p.manyEnds, end)
	}
	p.k++
	if gap {
		p.gaps++
		p.span += size
	} else {
		p.span++
	}
}

// count returns the number of items that the leaf will have.
func (p *patch) count() int { return p.l.n - (p.j - p.i) + p.k }

// end returns where item v will end, from the first item.
func (p *patch) end(v int) int {
	switch {
	case v < p.i:
		return p.l.end(v)
	case v < p.i+p.k:
		return p.l.start(p.i) + p.newEnd(v-p.i)
	}
	return p.l.end(v-p.k+p.j-p.i) + p.l.start(p.i) - p.l.start(p.j) + len(p.enc())
}

func (p *patch) start(v int) int {
	if v == 0 {
		return 0
	}
	return p.end(v - 1)
}

// item returns the encoded item v.
func (p *patch) item(v int) []byte {
	switch {
	case v < p.i:
		return p.l.item(v)
	case v >= p.i+p.k:
		return p.l.item(v - p.k + p.j - p.i)
	case v == p.i:
		return p.enc()[:p.newEnd(0)]
	}
	return p.enc()[p.newEnd(v-p.i-1):p.newEnd(v-p.i)]
}

// size returns the size of a leaf of the items a to b−1.
func (p *patch) size(a, b int) int {
	return layout.LeafEndsOff + 2*(b-a) + p.end(b-1) - p.start(a)
}

// leftGaps returns the number of gap runs in the whole leaf as it will be.
func (p *patch) leftGaps() int {
	n := p.l.gaps + p.gaps
	if p.l.gaps > 0 {
		for v := p.i; v < p.j; v++ {
			if p.l.isGap(v) {
				n--
			}
		}
	}
	return n
}

// roomFor returns the size to allocate for a leaf of size bytes. A leaf that
// replaces an owned one is being filled within one edit: it gets slack, so that
// most additions find room.
func roomFor(size int, owned bool) int {
	if !owned || size >= leafMax {
		return size
	}
	return min(size+max(size/4, 64), leafMax)
}

// build makes a leaf of the items a to b−1 and returns its positions too.
func (p *patch) build(ed Editor, a, b, room int) (layout.Ref, uint64, error) {
	if room < layout.LeafEndsOff || room > layout.MaxObject {
		return layout.Nil, 0, layout.Corrupt("leaf", layout.Nil, "%d items take %d bytes", b-a, room)
	}
	ref, obj, err := ed.AllocUnset(layout.KindLeaf, room)
	if err != nil {
		return layout.Nil, 0, err
	}
	n := b - a
	area := layout.LeafEndsOff + 2*n
	ends, to := obj[layout.LeafEndsOff:area], obj[area:]
	// Old items before i, new ones, old ones from j on.
	if v, w := a, min(b, p.i); v < w {
		from := p.l.start(v)
		copyEnds(ends, &p.l, v, w, -from)
		copy(to, p.l.obj[p.l.area+from:p.l.area+p.l.end(w-1)])
	}
	shift := p.start(a)
	for v, w := max(a, p.i), min(b, p.i+p.k); v < w; v++ {
		copy(to[p.start(v)-shift:], p.item(v))
		binary.LittleEndian.PutUint16(ends[2*(v-a):], uint16(p.end(v)-shift))
	}
	if v, w := max(a, p.i+p.k), b; v < w {
		ov, ow := v-p.k+p.j-p.i, w-p.k+p.j-p.i
		from := p.l.start(ov)
		copyEnds(ends[2*(v-a):], &p.l, ov, ow, p.start(v)-shift-from)
		copy(to[p.start(v)-shift:], p.l.obj[p.l.area+from:p.l.area+p.l.end(ow-1)])
	}
	binary.LittleEndian.PutUint32(obj[layout.LeafGapsOff:], 0) // and the reserved bytes
	p.finish(obj, n, p.end(b-1)-shift)
	clear(to[p.end(b-1)-shift:])
	if p.l.gaps+p.gaps == 0 {
		return ref, uint64(n), nil
	}
	l := leaf{obj: obj, n: n, area: area, gaps: n}
	gaps := 0
	for v := range n {
		if kindOf(l.item(v)) == KindGap {
			gaps++
		}
	}
	binary.LittleEndian.PutUint16(obj[layout.LeafGapsOff:], uint16(gaps))
	l.gaps = gaps
	return ref, l.span(0, n), nil
}

// copyEnds copies the ends of the items v to w−1 of l, moved by diff.
func copyEnds(dst []byte, l *leaf, v, w, diff int) {
	n := copy(dst, l.obj[layout.LeafEndsOff+2*v:layout.LeafEndsOff+2*w])
	if diff != 0 {
		addEnds(dst[:n], diff)
	}
}

// addEnds moves ends by diff.
func addEnds(ends []byte, diff int) {
	for ; len(ends) >= 2; ends = ends[2:] {
		binary.LittleEndian.PutUint16(ends, binary.LittleEndian.Uint16(ends)+uint16(diff))
	}
}

// finish fills in the fixed fields of a leaf of n items of so many bytes; Gaps
// stays.
func (p *patch) finish(obj []byte, n, bytes int) {
	binary.LittleEndian.PutUint16(obj[layout.LeafCountOff:], uint16(n))
	binary.LittleEndian.PutUint16(obj[layout.LeafUsedOff:], uint16(layout.LeafEndsOff+2*n+bytes))
	binary.LittleEndian.PutUint64(obj[layout.LeafBaseIDOff:], p.baseID)
	binary.LittleEndian.PutUint64(obj[layout.LeafBaseTimeOff:], uint64(p.baseTime))
}

// inPlace applies the patch to the owned leaf itself, in which it fits, when
// it only replaces, only inserts or only removes items. It reports whether it
// did.
func (p *patch) inPlace() bool {
	l, enc := &p.l, p.enc()
	more := p.k - (p.j - p.i)
	if more != 0 && p.k != 0 && p.i != p.j {
		return false
	}
	n, bytes := p.count(), p.end(p.count()-1)
	diff := len(enc) - (l.start(p.j) - l.start(p.i))
	area := l.area + 2*more
	gaps := p.leftGaps()
	// Everything lies behind the ends, which become more or fewer: when all moves
	// up, what lies last moves first, and the other way round. A replacement
	// moves only the items behind it.
	head, tail := l.start(p.i), l.start(p.j)
	moveTail := func() { copy(l.obj[area+tail+diff:], l.obj[l.area+tail:l.used]) }
	moveEnds := func() {
		src := l.obj[layout.LeafEndsOff+2*p.j : layout.LeafEndsOff+2*l.n]
		dst := l.obj[layout.LeafEndsOff+2*(p.j+more) : layout.LeafEndsOff+2*(l.n+more)]
		copy(dst, src)
		addEnds(dst, diff)
	}
	switch {
	case more < 0:
		moveEnds()
		copy(l.obj[area:], l.obj[l.area:l.area+head])
		moveTail()
	case more > 0:
		moveTail()
		copy(l.obj[area:], l.obj[l.area:l.area+head])
		moveEnds()
	case diff != 0:
		moveTail()
		moveEnds()
	}
	copy(l.obj[area+head:], enc)
	for v := range p.k {
		binary.LittleEndian.PutUint16(l.obj[layout.LeafEndsOff+2*(p.i+v):], uint16(head+p.newEnd(v)))
	}
	p.finish(l.obj, n, bytes)
	binary.LittleEndian.PutUint16(l.obj[layout.LeafGapsOff:], uint16(gaps))
	return true
}

// splitAt returns the first item of the right one of the two leaves that the
// patch is split into, and whether the split is between the old leaf, which
// stays as it is, and the one new item.
func (p *patch) splitAt() (at int, aside bool) {
	n := p.count()
	if p.k == 1 && p.i == p.j {
		// Entries that arrive in order leave full leaves behind.
		if p.i == p.l.n && p.l.newest(p.l.n-1) {
			return n - 1, true
		}
		if p.i == 0 && p.l.newest(0) {
			return 1, true
		}
	}
	half := p.end(n-1) / 2
	at = 1
	for at < n-1 && p.end(at) <= half {
		at++
	}
	// The boundary before or behind the item in the middle, whichever is nearer.
	if at < n-1 && p.end(at)-half < half-p.start(at) {
		at++
	}
	return at, false
}

// alone makes a leaf of the one new item, with bases of its own.
func (p *patch) alone(ed Editor, owned bool) (layout.Ref, error) {
	var it Item
	if !decodeItem(&it, bytes.Clone(p.enc()), p.baseID, p.baseTime) {
		return layout.Nil, errItem
	}
	var q patch
	if err := q.add(&it); err != nil {
		return layout.Nil, err
	}
	room := q.size(0, 1)
	if owned {
		room = max(room, leafMax/2) // more will come in order
	}
	ref, _, err := q.build(ed, 0, 1, room)
	return ref, err
}

// copyItems adds the items i to j−1 of another leaf.
func (p *patch) copyItems(l *leaf, i, j int) error {
	p.many = append(make([]byte, 0, leafMax), p.enc()...)
	p.manyEnds = append(make([]int, 0, p.k+j-i+1), p.fewEnds[:p.k]...)
	same := l.baseID() == p.baseID && l.baseTime() == p.baseTime
	for ; i < j; i++ {
		if same || l.isGap(i) {
			p.many = append(p.many, l.item(i)...)
			p.added(l.isGap(i), l.span(i, i+1))
			continue
		}
		var it Item
		if err := l.decode(layout.Nil, i, &it); err != nil {
			return err
		}
		p.many = appendItem(p.many, &it, p.baseID, p.baseTime)
		p.added(false, 1)
	}
	return nil
}
