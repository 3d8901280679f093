package container

import (
	"encoding/binary"
	"io"

	"pongofs/engine/layout"
)

// InlineMax is the length in bytes of the longest image that an Item holds
// itself (Inline); longer ones are blobs.
const InlineMax = 192

// MaxBlob is the largest size of a blob in bytes.
const MaxBlob = 1 << 48

// A blob is the image of a large value: a ref and a size, both kept by its
// owner (Item.Blob and Size). Up to layout.BlockPayload bytes it is one block,
// beyond that a radix tree of blocks, of the least height that holds the size.
// A Nil ref anywhere stands for zeros, so Nil with a size is all zeros. A block
// may be shorter than its part of the value, the rest is zeros too; no block
// reaches beyond the size.
//
// The id that the functions take is the ID of the entry whose value it is, for
// Editor.FreeValue.

// blobHeight returns the number of levels of nodes above the blocks of a blob
// of so many bytes.
func blobHeight(size uint64) int {
	height := 0
	for blobSpan(height) < size {
		height++
	}
	return height
}

// blobSpan returns the number of bytes below a node of a height, 0 for a block.
// Up to the height that MaxBlob needs, 6, it fits into 64 bits with ease.
func blobSpan(height int) uint64 {
	return layout.BlockPayload << (6 * height)
}

var _ = [1]struct{}{}[layout.BlobFanout-1<<6] // blobSpan multiplies by shifting

// blobKind returns the kind of object at a height.
func blobKind(height int) layout.Kind {
	if height == 0 {
		return layout.KindBlock
	}
	return layout.KindBlobNode
}

// openBlock reads a block of a part of limit bytes and returns its data.
func openBlock(sp Space, ref layout.Ref, limit uint64) (obj, data []byte, err error) {
	obj, err = sp.Object(ref, layout.KindBlock)
	if err != nil {
		return nil, nil, err
	}
	n := uint64(binary.LittleEndian.Uint32(obj[layout.BlockLenOff:]))
	if n == 0 || n > min(limit, layout.BlockPayload) || layout.BlockDataOff+n > uint64(len(obj)) {
		return nil, nil, layout.Corrupt("block", ref, "%d bytes of at most %d in an object of %d", n, limit, len(obj))
	}
	return obj, obj[layout.BlockDataOff : layout.BlockDataOff+n], nil
}

// blobNode is a view of a KindBlobNode object.
type blobNode struct {
	obj []byte
	n   int // refs
}

// openBlobNode reads a node of a height of a part of limit bytes.
func openBlobNode(sp Space, ref layout.Ref, height int, limit uint64) (blobNode, error) {
	obj, err := sp.Object(ref, layout.KindBlobNode)
	if err != nil {
		return blobNode{}, err
	}
	b := blobNode{obj: obj, n: int(binary.LittleEndian.Uint16(obj[layout.BlobCountOff:]))}
	level := int(obj[layout.BlobLevelOff])
	if level != height || b.n == 0 || b.n > layout.BlobFanout || layout.BlobRefsOff+8*b.n > len(obj) {
		return blobNode{}, layout.Corrupt("blob node", ref, "level %d with %d refs where level %d is due", level, b.n, height)
	}
	if uint64(b.n-1)*blobSpan(height-1) >= limit {
		return blobNode{}, layout.Corrupt("blob node", ref, "%d refs for %d bytes", b.n, limit)
	}
	return b, nil
}

// ref returns child i, Nil beyond the last.
func (b *blobNode) ref(i int) layout.Ref {
	if i >= b.n {
		return layout.Nil
	}
	return layout.Ref(binary.LittleEndian.Uint64(b.obj[layout.BlobRefsOff+8*i:]))
}

func (b *blobNode) setRef(i int, ref layout.Ref) {
	binary.LittleEndian.PutUint64(b.obj[layout.BlobRefsOff+8*i:], uint64(ref))
}

func corruptBlobSize(ref layout.Ref, size uint64) error {
	return layout.Corrupt("blob", ref, "size %d is beyond %d", size, uint64(MaxBlob))
}

// BlobReadAt reads into p from offset off, as io.ReaderAt does: io.EOF comes
// with fewer than len(p) bytes.
func BlobReadAt(sp Space, ref layout.Ref, size uint64, p []byte, off uint64) (int, error) {
	if size > MaxBlob {
		return 0, corruptBlobSize(ref, size)
	}
	if off >= size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := int(min(uint64(len(p)), size-off))
	if err := blobRead(sp, ref, blobHeight(size), size, p[:n], off); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// blobRead fills p from offset off of a subtree of limit bytes, off+len(p) <=
// limit.
func blobRead(sp Space, ref layout.Ref, height int, limit uint64, p []byte, off uint64) error {
	if ref == layout.Nil {
		clear(p)
		return nil
	}
	if height == 0 {
		_, data, err := openBlock(sp, ref, limit)
		if err != nil {
			return err
		}
		n := copy(p, data[min(off, uint64(len(data))):])
		clear(p[n:])
		return nil
	}
	b, err := openBlobNode(sp, ref, height, limit)
	if err != nil {
		return err
	}
	span := blobSpan(height - 1)
	for len(p) > 0 {
		i, at := off/span, off%span
		part := min(span, limit-i*span)
		n := min(uint64(len(p)), part-at)
		if err := blobRead(sp, b.ref(int(i)), height-1, part, p[:n], at); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// BlobFree gives up the whole blob.
func BlobFree(ed Editor, id uint64, ref layout.Ref, size uint64) error {
	if size > MaxBlob {
		return corruptBlobSize(ref, size)
	}
	f := blobEdit{ed: ed, id: id}
	return f.free(ref, blobHeight(size), size)
}
