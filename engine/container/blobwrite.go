package container

import (
	"encoding/binary"

	"pongofs/engine/layout"
)

// BlobCreate stores data as a blob of len(data) bytes.
func BlobCreate(ed Editor, id uint64, data []byte) (layout.Ref, error) {
	ref, _, err := BlobWriteAt(ed, id, layout.Nil, 0, data, 0)
	return ref, err
}

// BlobWriteAt writes p at off, zeros filling any hole, and returns the blob's
// new ref and size. It copies only the blocks that it changes and the path to
// them; owned ones change in place. p must not alias the blob.
func BlobWriteAt(ed Editor, id uint64, ref layout.Ref, size uint64, p []byte, off uint64) (layout.Ref, uint64, error) {
	if size > MaxBlob {
		return ref, size, corruptBlobSize(ref, size)
	}
	if off > MaxBlob || uint64(len(p)) > MaxBlob-off {
		return ref, size, ErrRange
	}
	if len(p) == 0 {
		return ref, size, nil
	}
	w := blobEdit{ed: ed, id: id}
	newSize := max(size, off+uint64(len(p)))
	ref, err := w.raise(ref, blobHeight(size), blobHeight(newSize))
	if err != nil {
		return ref, size, err
	}
	ref, err = w.write(ref, blobHeight(newSize), newSize, p, off)
	return ref, newSize, err
}

// BlobTruncate cuts the blob to newSize or extends it with zeros.
func BlobTruncate(ed Editor, id uint64, ref layout.Ref, size, newSize uint64) (layout.Ref, error) {
	if size > MaxBlob {
		return ref, corruptBlobSize(ref, size)
	}
	if newSize > MaxBlob {
		return ref, ErrRange
	}
	w := blobEdit{ed: ed, id: id}
	height, newHeight := blobHeight(size), blobHeight(newSize)
	if newSize >= size {
		return w.raise(ref, height, newHeight)
	}
	if newSize == 0 {
		return layout.Nil, w.free(ref, height, size)
	}
	ref, err := w.lower(ref, height, newHeight, size)
	if err != nil {
		return ref, err
	}
	return w.cut(ref, newHeight, min(size, blobSpan(newHeight)), newSize)
}

// blobEdit changes the blob of the entry id.
type blobEdit struct {
	ed   Editor
	id   uint64
	seen map[layout.Ref]struct{} // nodes given up, see free
}

// raise puts nodes above the root until it has the height to.
func (w *blobEdit) raise(ref layout.Ref, height, to int) (layout.Ref, error) {
	for ; height < to && ref != layout.Nil; height++ {
		up, b, err := w.newNode(height+1, 1, false)
		if err != nil {
			return ref, err
		}
		b.setRef(0, ref)
		ref = up
	}
	return ref, nil
}

// lower takes nodes off the top until the root has the height to, and gives
// up what they held beyond the first child.
func (w *blobEdit) lower(ref layout.Ref, height, to int, size uint64) (layout.Ref, error) {
	for ; height > to && ref != layout.Nil; height-- {
		b, err := openBlobNode(w.ed, ref, height, size)
		if err != nil {
			return ref, err
		}
		if err := w.freeFrom(&b, 1, height, size); err != nil {
			return ref, err
		}
		first := b.ref(0)
		w.ed.FreeValue(ref, w.id)
		ref, size = first, min(size, blobSpan(height-1))
	}
	return ref, nil
}

// newNode makes a node of n refs, all Nil.
func (w *blobEdit) newNode(height, n int, slack bool) (layout.Ref, blobNode, error) {
	room := n
	if slack {
		room = min(n+n/2+4, layout.BlobFanout)
	}
	ref, obj, err := w.ed.Alloc(layout.KindBlobNode, layout.BlobRefsOff+8*room)
	if err != nil {
		return layout.Nil, blobNode{}, err
	}
	obj[layout.BlobLevelOff] = byte(height)
	binary.LittleEndian.PutUint16(obj[layout.BlobCountOff:], uint16(n))
	return ref, blobNode{obj: obj, n: n}, nil
}

// ownNode returns the node at ref (Nil for a new one) as an owned one with n
// refs at least.
func (w *blobEdit) ownNode(ref layout.Ref, height int, limit uint64, n int) (layout.Ref, blobNode, error) {
	if ref == layout.Nil {
		return w.newNode(height, n, false)
	}
	old, err := openBlobNode(w.ed, ref, height, limit)
	if err != nil {
		return ref, old, err
	}
	n = max(n, old.n)
	owned := w.ed.Owned(ref)
	if owned && layout.BlobRefsOff+8*n <= len(old.obj) {
		clear(old.obj[layout.BlobRefsOff+8*old.n : layout.BlobRefsOff+8*n])
		binary.LittleEndian.PutUint16(old.obj[layout.BlobCountOff:], uint16(n))
		old.n = n
		return ref, old, nil
	}
	to, b, err := w.newNode(height, n, owned)
	if err != nil {
		return ref, old, err
	}
	copy(b.obj[layout.BlobRefsOff:], old.obj[layout.BlobRefsOff:layout.BlobRefsOff+8*old.n])
	w.ed.FreeValue(ref, w.id)
	return to, b, nil
}

// write writes p at off of a subtree of limit bytes and returns its new root.
func (w *blobEdit) write(ref layout.Ref, height int, limit uint64, p []byte, off uint64) (layout.Ref, error) {
	if height == 0 {
		return w.writeBlock(ref, limit, p, off)
	}
	span := blobSpan(height - 1)
	last := int((off + uint64(len(p)) - 1) / span)
	ref, b, err := w.ownNode(ref, height, limit, last+1)
	if err != nil {
		return ref, err
	}
	for len(p) > 0 {
		i, at := off/span, off%span
		part := min(span, limit-i*span)
		n := min(uint64(len(p)), part-at)
		child, err := w.write(b.ref(int(i)), height-1, part, p[:n], at)
		if err != nil {
			return ref, err
		}
		b.setRef(int(i), child)
		p, off = p[n:], off+n
	}
	return ref, nil
}

// writeBlock writes p at off of a block (Nil for a new one) of a part of limit
// bytes.
func (w *blobEdit) writeBlock(ref layout.Ref, limit uint64, p []byte, off uint64) (layout.Ref, error) {
	end := off + uint64(len(p))
	var obj, old []byte
	owned := false
	if ref != layout.Nil {
		var err error
		if obj, old, err = openBlock(w.ed, ref, limit); err != nil {
			return ref, err
		}
		owned = w.ed.Owned(ref)
	}
	had := uint64(len(old))
	size := max(end, had)
	if owned && layout.BlockDataOff+size <= uint64(len(obj)) {
		data := obj[layout.BlockDataOff : layout.BlockDataOff+size]
		if off > had {
			clear(data[had:off])
		}
		copy(data[off:], p)
		binary.LittleEndian.PutUint32(obj[layout.BlockLenOff:], uint32(size))
		return ref, nil
	}
	room := size
	if owned {
		room = min(size+size/2, layout.BlockPayload) // it is being filled
	}
	to, obj, err := w.ed.Alloc(layout.KindBlock, int(layout.BlockDataOff+room))
	if err != nil {
		return ref, err
	}
	data := obj[layout.BlockDataOff : layout.BlockDataOff+size]
	copy(data, old[:min(off, had)])
	copy(data[off:], p)
	if end < had {
		copy(data[end:], old[end:])
	}
	binary.LittleEndian.PutUint32(obj[layout.BlockLenOff:], uint32(size))
	if ref != layout.Nil {
		w.ed.FreeValue(ref, w.id)
	}
	return to, nil
}

// cut shortens a subtree of limit bytes to size, 0 < size <= limit, and
// returns its new root, Nil when only zeros are left.
func (w *blobEdit) cut(ref layout.Ref, height int, limit, size uint64) (layout.Ref, error) {
	if ref == layout.Nil || size == limit {
		return ref, nil
	}
	if height == 0 {
		return w.cutBlock(ref, limit, size)
	}
	b, err := openBlobNode(w.ed, ref, height, limit)
	if err != nil {
		return ref, err
	}
	span := blobSpan(height - 1)
	last := int((size - 1) / span)
	if err := w.freeFrom(&b, last+1, height, limit); err != nil {
		return ref, err
	}
	at := uint64(last) * span
	old := b.ref(last)
	child, err := w.cut(old, height-1, min(span, limit-at), size-at)
	if err != nil {
		return ref, err
	}
	n := min(b.n, last+1)
	if child == layout.Nil {
		n = min(n, last)
	}
	for n > 0 && n <= last && b.ref(n-1) == layout.Nil {
		n--
	}
	if n == 0 {
		w.ed.FreeValue(ref, w.id)
		return layout.Nil, nil
	}
	if n == b.n && child == old {
		return ref, nil
	}
	if !w.ed.Owned(ref) {
		to, nb, err := w.newNode(height, n, false)
		if err != nil {
			return ref, err
		}
		copy(nb.obj[layout.BlobRefsOff:], b.obj[layout.BlobRefsOff:layout.BlobRefsOff+8*n])
		w.ed.FreeValue(ref, w.id)
		ref, b = to, nb
	}
	binary.LittleEndian.PutUint16(b.obj[layout.BlobCountOff:], uint16(n))
	if n > last {
		b.setRef(last, child)
	}
	return ref, nil
}

// cutBlock shortens a block.
func (w *blobEdit) cutBlock(ref layout.Ref, limit, size uint64) (layout.Ref, error) {
	obj, data, err := openBlock(w.ed, ref, limit)
	if err != nil || uint64(len(data)) <= size {
		return ref, err
	}
	if w.ed.Owned(ref) {
		binary.LittleEndian.PutUint32(obj[layout.BlockLenOff:], uint32(size))
		return ref, nil
	}
	to, obj, err := w.ed.Alloc(layout.KindBlock, int(layout.BlockDataOff+size))
	if err != nil {
		return ref, err
	}
	copy(obj[layout.BlockDataOff:], data[:size])
	binary.LittleEndian.PutUint32(obj[layout.BlockLenOff:], uint32(size))
	w.ed.FreeValue(ref, w.id)
	return to, nil
}

// freeFrom gives up the children of b, a node of a height of a part of limit
// bytes, from child i on.
func (w *blobEdit) freeFrom(b *blobNode, i, height int, limit uint64) error {
	span := blobSpan(height - 1)
	for ; i < b.n; i++ {
		at := uint64(i) * span
		if err := w.free(b.ref(i), height-1, min(span, limit-at)); err != nil {
			return err
		}
	}
	return nil
}

// free gives up a subtree. In a damaged blob a node may hang in several
// places, so that this would take for ever: seen has what was met.
func (w *blobEdit) free(ref layout.Ref, height int, limit uint64) error {
	if ref == layout.Nil {
		return nil
	}
	if height == 0 {
		// A wrong ref must not free what is not a block.
		if _, err := w.ed.Object(ref, layout.KindBlock); err != nil {
			return err
		}
	} else {
		if _, again := w.seen[ref]; again {
			return layout.Corrupt("blob node", ref, "object has two parents")
		}
		b, err := openBlobNode(w.ed, ref, height, limit)
		if err != nil {
			return err
		}
		if height > 1 && w.seen == nil {
			w.seen = make(map[layout.Ref]struct{})
		}
		if w.seen != nil {
			w.seen[ref] = struct{}{}
		}
		if err := w.freeFrom(&b, 0, height, limit); err != nil {
			return err
		}
	}
	w.ed.FreeValue(ref, w.id)
	return nil
}
