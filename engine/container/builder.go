package container

import (
	"bytes"
	"encoding/binary"

	"pongofs/engine/layout"
)

// A Builder makes a body of leaves that come in order: those of another body,
// or what is left of it. The inner nodes are made last, of the least height.
type Builder struct {
	ed     Editor
	leaves []Tree
	seps   [][]byte // seps[i] stands between leaves i−1 and i
	last   []byte   // the last key
	gap    uint64   // positions that the next leaf begins with
	count  uint64   // positions so far
}

// NewBuilder returns a Builder that makes its objects through ed.
func NewBuilder(ed Editor) *Builder { return &Builder{ed: ed} }

// Count returns the positions added so far, gaps at the end included.
func (b *Builder) Count() uint64 { return b.count }

// Gap adds absent elements to a list.
func (b *Builder) Gap(n uint64) {
	b.gap += n
	b.count += n
}

// Add makes leaves of some items and returns them. Gap runs in a list are
// joined. shared reports that the leaves hold these items and nothing else, so
// that another body with the same items may have them as well.
func (b *Builder) Add(items []Item) (leaves []Tree, shared bool, err error) {
	shared = b.gap == 0
	rest := make([]Item, 0, len(items)+1)
	for i := range items {
		if items[i].Kind == KindGap {
			b.Gap(items[i].Size)
			continue
		}
		if b.gap > 0 {
			rest = append(rest, Item{Kind: KindGap, Size: b.gap})
			b.gap = 0
		}
		rest = append(rest, items[i])
		b.count++
	}
	if len(rest) == 0 {
		return nil, false, nil
	}
	shared = shared && b.gap == 0
	from := len(b.leaves)
	if err := b.add(rest); err != nil {
		return nil, false, err
	}
	return b.leaves[from:], shared, nil
}

// add makes one leaf of items, or more when they take more room, as they may
// with another first item to count from.
func (b *Builder) add(items []Item) error {
	p := patch{many: make([]byte, 0, leafMax), manyEnds: make([]int, 0, len(items))}
	for i := range items {
		if items[i].Kind != KindGap {
			p.baseID, p.baseTime = items[i].ID, items[i].Mtime
			break
		}
	}
	for i := range items {
		it := &items[i]
		if err := checkItem(it); err != nil {
			return err
		}
		p.many = appendItem(p.many, it, p.baseID, p.baseTime)
		p.added(it.Kind == KindGap, it.Size)
	}
	n := p.count()
	if size := p.size(0, n); n > 1 && size > leafHard {
		if err := b.add(items[:n/2]); err != nil {
			return err
		}
		return b.add(items[n/2:])
	}
	ref, count, err := p.build(b.ed, 0, n, p.size(0, n))
	if err != nil {
		return err
	}
	b.put(Tree{Ref: ref, Weight: 1, Count: count}, keyOf(p.item(0)), keyOf(p.item(n-1)))
	return nil
}

// Share adds leaves that an Add of the same items has returned, to another
// Builder perhaps.
func (b *Builder) Share(leaves []Tree) error {
	for _, t := range leaves {
		l, err := readLeaf(b.ed, t.Ref)
		if err != nil {
			return err
		}
		b.put(t, l.key(0), l.key(l.n-1))
		b.count += t.Count
	}
	return nil
}

func (b *Builder) put(t Tree, first, last []byte) {
	sep := []byte(nil)
	if len(b.leaves) > 0 && len(first) > 0 {
		sep = bytes.Clone(separator(b.last, first))
	}
	b.leaves = append(b.leaves, t)
	b.seps = append(b.seps, sep)
	b.last = append(b.last[:0], last...)
}

// CanShare reports whether Share may be used in place of Add: no gap waits.
func (b *Builder) CanShare() bool { return b.gap == 0 }

// Tree makes the inner nodes and returns the body. Gaps at its end are left
// out.
func (b *Builder) Tree() (Tree, error) {
	if len(b.leaves) == 0 {
		return Tree{}, nil
	}
	return b.over(0, len(b.leaves))
}

// over makes a tree of the leaves i to j−1. Its halves differ by one leaf at
// most, which is in balance.
func (b *Builder) over(i, j int) (Tree, error) {
	if j-i == 1 {
		return b.leaves[i], nil
	}
	mid := i + (j-i)/2
	left, err := b.over(i, mid)
	if err != nil {
		return Tree{}, err
	}
	right, err := b.over(mid, j)
	if err != nil {
		return Tree{}, err
	}
	return newInner(b.ed, left, b.seps[mid], right)
}

// CopyBlob makes a copy of a blob in another space, nil refs included.
func CopyBlob(ed Editor, from Space, ref layout.Ref, size uint64) (layout.Ref, error) {
	if size > MaxBlob {
		return layout.Nil, corruptBlobSize(ref, size)
	}
	return copyBlob(ed, from, ref, blobHeight(size), size)
}

func copyBlob(ed Editor, from Space, ref layout.Ref, height int, limit uint64) (layout.Ref, error) {
	if ref == layout.Nil {
		return layout.Nil, nil
	}
	if height == 0 {
		_, data, err := openBlock(from, ref, limit)
		if err != nil {
			return layout.Nil, err
		}
		to, dst, err := ed.Alloc(layout.KindBlock, layout.BlockDataOff+len(data))
		if err != nil {
			return layout.Nil, err
		}
		binary.LittleEndian.PutUint32(dst[layout.BlockLenOff:], uint32(len(data)))
		copy(dst[layout.BlockDataOff:], data)
		return to, nil
	}
	b, err := openBlobNode(from, ref, height, limit)
	if err != nil {
		return layout.Nil, err
	}
	refs := make([]layout.Ref, b.n)
	span := blobSpan(height - 1)
	for i := range refs {
		if refs[i], err = copyBlob(ed, from, b.ref(i), height-1, min(span, limit-uint64(i)*span)); err != nil {
			return layout.Nil, err
		}
	}
	for len(refs) > 0 && refs[len(refs)-1] == layout.Nil {
		refs = refs[:len(refs)-1]
	}
	if len(refs) == 0 {
		return layout.Nil, nil
	}
	to, dst, err := ed.Alloc(layout.KindBlobNode, layout.BlobRefsOff+8*len(refs))
	if err != nil {
		return layout.Nil, err
	}
	n := blobNode{obj: dst, n: len(refs)}
	dst[layout.BlobLevelOff] = byte(height)
	binary.LittleEndian.PutUint16(dst[layout.BlobCountOff:], uint16(n.n))
	for i, ref := range refs {
		n.setRef(i, ref)
	}
	return to, nil
}
