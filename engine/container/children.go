package container

import (
	"encoding/binary"

	"pongofs/engine/layout"
)

// KindAny stands for an object of which only the header can tell the kind.
const KindAny layout.Kind = 0

// Children calls fn for each ref that an object holds, with the kind of object
// that it must refer to, until fn fails. It knows the kinds of this package:
// leaf, inner, container record, id node, blob node and block, and fails with a
// CorruptError without Ref for damaged ones and for other kinds.
//
// The right child of an inner node comes with KindAny and must be a leaf or an
// inner node.
func Children(obj []byte, kind layout.Kind, fn func(ref layout.Ref, kind layout.Kind) error) error {
	switch kind {
	case layout.KindLeaf:
		return leafChildren(obj, fn)
	case layout.KindInner:
		if len(obj) < layout.InnerSepOff {
			return layout.Corrupt("inner node", layout.Nil, "%d bytes are too few", len(obj))
		}
		left := innerLeft(obj)
		if err := fn(left.Ref, left.kind()); err != nil {
			return err
		}
		return fn(innerRight(obj, 0, 0).Ref, KindAny)
	case layout.KindContainer:
		return recordChildren(obj, fn)
	case layout.KindIDNode:
		return idNodeChildren(obj, fn)
	case layout.KindBlobNode:
		return blobNodeChildren(obj, fn)
	case layout.KindBlock:
		return nil
	}
	return layout.Corrupt("object", layout.Nil, "kind %d is not one of a container", kind)
}

// kind returns the kind of the object at t.Ref.
func (t Tree) kind() layout.Kind {
	if t.Weight == 1 {
		return layout.KindLeaf
	}
	return layout.KindInner
}

// fnBlob calls fn for the root of a blob, if it has one.
func fnBlob(ref layout.Ref, size uint64, fn func(layout.Ref, layout.Kind) error) error {
	switch {
	case ref == layout.Nil:
		return nil
	case size > MaxBlob:
		return corruptBlobSize(ref, size)
	}
	return fn(ref, blobKind(blobHeight(size)))
}

func leafChildren(obj []byte, fn func(layout.Ref, layout.Kind) error) error {
	if len(obj) < layout.LeafEndsOff {
		return layout.Corrupt("leaf", layout.Nil, "%d bytes are too few", len(obj))
	}
	l, err := openLeaf(layout.Nil, obj)
	if err != nil {
		return err
	}
	var it Item
	for i := range l.n {
		if err := l.decode(layout.Nil, i, &it); err != nil {
			return err
		}
		if err := fnBlob(it.Xattr, uint64(it.XattrSize), fn); err != nil {
			return err
		}
		switch {
		case it.Kind == KindRootRef && it.Blob != layout.Nil:
			err = fn(it.Blob, layout.KindRoot)
		case it.Blob != layout.Nil:
			err = fnBlob(it.Blob, it.Size, fn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func recordChildren(obj []byte, fn func(layout.Ref, layout.Kind) error) error {
	r, err := DecodeRecord(obj)
	if err != nil {
		return err
	}
	for _, t := range []Tree{r.Body, r.Names} {
		if t.Empty() {
			continue
		}
		if err := fn(t.Ref, t.kind()); err != nil {
			return err
		}
	}
	return fnBlob(r.Xattr, uint64(r.XattrSize), fn)
}

func idNodeChildren(obj []byte, fn func(layout.Ref, layout.Kind) error) error {
	if len(obj) < layout.IDNodeRefsOff {
		return layout.Corrupt("id node", layout.Nil, "%d bytes are too few", len(obj))
	}
	n := idNode{obj: obj, bitmap: binary.LittleEndian.Uint32(obj[layout.IDNodeBitmapOff:])}
	if idNodeSize(n.count()) > len(obj) {
		return layout.Corrupt("id node", layout.Nil, "%d refs in %d bytes", n.count(), len(obj))
	}
	kind := layout.KindIDNode
	if obj[layout.IDNodeLevelOff] == 0 {
		kind = layout.KindContainer
	}
	for i := range n.count() {
		if err := fn(n.ref(i), kind); err != nil {
			return err
		}
	}
	return nil
}

func blobNodeChildren(obj []byte, fn func(layout.Ref, layout.Kind) error) error {
	if len(obj) < layout.BlobRefsOff {
		return layout.Corrupt("blob node", layout.Nil, "%d bytes are too few", len(obj))
	}
	b := blobNode{obj: obj, n: int(binary.LittleEndian.Uint16(obj[layout.BlobCountOff:]))}
	level := int(obj[layout.BlobLevelOff])
	if level == 0 || b.n > layout.BlobFanout || layout.BlobRefsOff+8*b.n > len(obj) {
		return layout.Corrupt("blob node", layout.Nil, "level %d with %d refs in %d bytes", level, b.n, len(obj))
	}
	for i := range b.n {
		if ref := b.ref(i); ref != layout.Nil {
			if err := fn(ref, blobKind(level-1)); err != nil {
				return err
			}
		}
	}
	return nil
}
