package container

import (
	"encoding/binary"
	"errors"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// The bytes of an item are described in layout/leaf.go.

// errItem reports an item that has no encoding; callers never build one.
var errItem = errors.New("container: item has a kind, key or image that a leaf cannot hold")

// checkItem reports whether it can be encoded.
func checkItem(it *Item) error {
	if len(it.Key) > MaxKeyBytes || len(it.Inline) > InlineMax || it.Flags > 15 {
		return errItem
	}
	switch it.Kind {
	case value.KindUUID:
		if len(it.Inline) != 16 {
			return errItem
		}
	case value.KindBytes, value.KindString:
		inline := it.Blob == layout.Nil && it.Size == uint64(len(it.Inline))
		blob := len(it.Inline) == 0 && it.Size > 0 && it.Size <= MaxBlob
		if !inline && !blob {
			return errItem
		}
	case KindGap:
		if it.Size == 0 || it.Size > MaxListLen || it.Flags != 0 {
			return errItem
		}
	case value.KindBool:
		if it.Num > 1 {
			return errItem
		}
	case value.KindNull, value.KindInt, value.KindDatetime, value.KindFloat, value.KindList,
		value.KindDict, value.KindCollection, KindRootRef:
	default:
		return errItem
	}
	return nil
}

// isBlobImage reports whether the image of a string or bytes is a blob: one
// without Blob but with more Size than Inline is a blob of zeros.
func isBlobImage(it *Item) bool {
	return it.Blob != layout.Nil || it.Size > uint64(len(it.Inline))
}

// defaultMode is the mode that an item has when none is stored.
func defaultMode(flags Flags) uint16 {
	if flags&Link != 0 {
		return 0o777
	}
	return 0o644
}

func appendVarint(b []byte, v int64) []byte {
	return binary.AppendUvarint(b, uint64(v)<<1^uint64(v>>63))
}

func appendRef(b []byte, r layout.Ref) []byte {
	return binary.AppendUvarint(b, uint64(r)/layout.Granule)
}

// appendItem appends the encoding of it, which checkItem accepts, relative to
// the bases of a leaf.
func appendItem(b []byte, it *Item, baseID uint64, baseTime int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(it.Key)))
	b = append(b, it.Key...)
	var has uint8
	mark := len(b) + 1
	b = append(b, byte(it.Kind)|byte(it.Flags)<<4, 0)
	if it.Kind == KindGap {
		return binary.AppendUvarint(b, it.Size)
	}
	b = appendVarint(b, int64(it.ID-baseID))
	if it.Mtime != 0 {
		has |= layout.HasMtime
		b = appendVarint(b, it.Mtime-baseTime)
	}
	if it.Mode != defaultMode(it.Flags) {
		has |= layout.HasMode
		b = binary.AppendUvarint(b, uint64(it.Mode))
	}
	if it.UID|it.GID != 0 {
		has |= layout.HasOwner
		b = binary.AppendUvarint(b, uint64(it.UID))
		b = binary.AppendUvarint(b, uint64(it.GID))
	}
	if it.Wtime != it.Mtime {
		has |= layout.HasWtime
		b = appendVarint(b, it.Wtime-it.Mtime)
	}
	if it.Ctime != it.Mtime {
		has |= layout.HasCtime
		b = appendVarint(b, it.Ctime-it.Mtime)
	}
	if it.Inc != it.Wtime {
		has |= layout.HasInc
		b = appendVarint(b, it.Inc-it.Wtime)
	}
	if it.Xattr != layout.Nil || it.XattrSize != 0 {
		has |= layout.HasXattr
		b = appendRef(b, it.Xattr)
		b = binary.AppendUvarint(b, uint64(it.XattrSize))
	}
	switch it.Kind {
	case value.KindBool:
		b = binary.AppendUvarint(b, it.Num)
	case value.KindInt, value.KindDatetime:
		b = appendVarint(b, int64(it.Num))
	case value.KindFloat:
		b = binary.LittleEndian.AppendUint64(b, it.Num)
	case value.KindUUID:
		b = append(b, it.Inline...)
	case value.KindBytes, value.KindString:
		if isBlobImage(it) {
			has |= layout.HasBlob
			b = appendRef(b, it.Blob)
			b = binary.AppendUvarint(b, it.Size)
		} else {
			b = append(b, it.Inline...)
		}
	case KindRootRef:
		b = appendRef(b, it.Blob)
		b = binary.AppendUvarint(b, it.Size)
		b = binary.AppendUvarint(b, it.Num)
	}
	b[mark] = has
	return b
}

// keyOf returns the key of the encoded item b, and cutKey also the rest of it.
// Damaged bytes end in an index out of range.
func keyOf(b []byte) []byte {
	if n := int(b[0]); n < 0x80 {
		return b[1 : 1+n]
	}
	n := int(b[0]&0x7f) | int(b[1])<<7
	return b[2 : 2+n]
}

func cutKey(b []byte) (key, rest []byte) {
	key = keyOf(b)
	n := 1 + len(key)
	if b[0] >= 0x80 {
		n++
	}
	return key[:len(key):len(key)], b[n:]
}

// kindOf returns the kind of the encoded item b.
func kindOf(b []byte) value.Kind {
	_, rest := cutKey(b)
	return value.Kind(rest[0] & 15)
}

// spanOf returns the number of positions that the encoded item b takes.
func spanOf(b []byte) uint64 {
	_, rest := cutKey(b)
	if value.Kind(rest[0]&15) != KindGap {
		return 1
	}
	n, _ := binary.Uvarint(rest[2:])
	return n
}

// An itemReader takes fields off the front of an item; bad is set when they
// run out or are not as appendItem writes them.
type itemReader struct {
	b   []byte
	bad bool
}

func (r *itemReader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := uint64(r.b[0])
		r.b = r.b[1:]
		return v
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 || r.b[n-1] == 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *itemReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *itemReader) uint32() uint32 {
	v := r.uvarint()
	r.bad = r.bad || v>>32 != 0
	return uint32(v)
}

func (r *itemReader) ref() layout.Ref {
	v := r.uvarint()
	r.bad = r.bad || v >= 1<<(63-5)
	return layout.Ref(v * layout.Granule)
}

// decodeItem decodes the encoded item b into it and reports whether b is well
// formed.
func decodeItem(it *Item, b []byte, baseID uint64, baseTime int64) bool {
	var rest []byte
	*it = Item{}
	it.Key, rest = cutKey(b)
	if len(it.Key) > MaxKeyBytes || b[0] >= 0x80 && b[1] == 0 || len(rest) < 2 {
		return false
	}
	it.Kind, it.Flags = value.Kind(rest[0]&15), Flags(rest[0]>>4)
	has := rest[1]
	r := itemReader{b: rest[2:]}
	if it.Kind == KindGap {
		it.Size = r.uvarint()
		return !r.bad && len(r.b) == 0 && has == 0 && it.Flags == 0 && it.Size > 0 && it.Size <= MaxListLen
	}
	it.ID = baseID + uint64(r.varint())
	if has&layout.HasMtime != 0 {
		it.Mtime = baseTime + r.varint()
	}
	it.Mode = defaultMode(it.Flags)
	it.Wtime, it.Ctime = it.Mtime, it.Mtime
	if has&^(layout.HasMtime|layout.HasBlob) != 0 {
		r.attributes(it, has)
	}
	it.Inc += it.Wtime
	switch it.Kind {
	case value.KindNull, value.KindList, value.KindDict, value.KindCollection:
	case value.KindBool:
		it.Num = r.uvarint()
		r.bad = r.bad || it.Num > 1
	case value.KindInt, value.KindDatetime:
		it.Num = uint64(r.varint())
	case value.KindFloat:
		if len(r.b) != 8 {
			return false
		}
		it.Num, r.b = binary.LittleEndian.Uint64(r.b), nil
	case value.KindUUID:
		it.Inline, r.b = r.b[:len(r.b):len(r.b)], nil
		r.bad = r.bad || len(it.Inline) != 16
	case value.KindBytes, value.KindString:
		if has&layout.HasBlob != 0 {
			it.Blob = r.ref()
			it.Size = r.uvarint()
			r.bad = r.bad || it.Size == 0 || it.Size > MaxBlob
		} else {
			it.Inline, r.b = r.b[:len(r.b):len(r.b)], nil
			it.Size = uint64(len(it.Inline))
			r.bad = r.bad || len(it.Inline) > InlineMax
		}
	case KindRootRef:
		it.Blob, it.Size, it.Num = r.ref(), r.uvarint(), r.uvarint()
	default:
		return false
	}
	return !r.bad && len(r.b) == 0
}

// attributes reads the fields of an item that most items lack. It leaves in
// it.Inc the difference to it.Wtime.
func (r *itemReader) attributes(it *Item, has uint8) {
	if has&layout.HasMode != 0 {
		v := r.uvarint()
		r.bad = r.bad || v >= 1<<16
		it.Mode = uint16(v)
	}
	if has&layout.HasOwner != 0 {
		it.UID, it.GID = r.uint32(), r.uint32()
	}
	if has&layout.HasWtime != 0 {
		it.Wtime = it.Mtime + r.varint()
	}
	if has&layout.HasCtime != 0 {
		it.Ctime = it.Mtime + r.varint()
	}
	if has&layout.HasInc != 0 {
		it.Inc = r.varint()
	}
	if has&layout.HasXattr != 0 {
		it.Xattr, it.XattrSize = r.ref(), r.uint32()
	}
}
