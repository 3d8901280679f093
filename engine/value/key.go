package value

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrKey reports bytes that are not the encoding of a key.
var ErrKey = errors.New("not an encoded key")

// AppendKey appends the order-preserving encoding of k to dst: bytes.Compare
// of two encodings is the total order of keys. Keys of different kinds are
// ordered by kind; ints, datetimes and floats by value (-0.0 before 0.0, NaNs
// at the ends by their bits), everything else bytewise.
//
// The encoding is one kind byte and then: nothing for null; one byte for bool;
// 8 big-endian bytes with the sign bit flipped for int and datetime; 8
// big-endian bytes for float, all inverted when negative, else the sign bit
// flipped; the bytes themselves for uuid, bytes and string.
func AppendKey(dst []byte, k Value) []byte {
	dst = append(dst, byte(k.kind))
	switch k.kind {
	case KindBool:
		return append(dst, byte(k.bits))
	case KindInt, KindDatetime:
		return binary.BigEndian.AppendUint64(dst, k.bits^(1<<63))
	case KindFloat:
		b := k.bits
		if b>>63 == 1 {
			b = ^b
		} else {
			b ^= 1 << 63
		}
		return binary.BigEndian.AppendUint64(dst, b)
	case KindUUID, KindBytes, KindString:
		return append(dst, k.str...)
	}
	return dst
}

// DecodeKey is the inverse of AppendKey. The result does not alias b.
func DecodeKey(b []byte) (Value, error) {
	if len(b) == 0 {
		return Value{}, ErrKey
	}
	kind, rest := Kind(b[0]), b[1:]
	switch kind {
	case KindNull:
		if len(rest) == 0 {
			return Null(), nil
		}
	case KindBool:
		if len(rest) == 1 && rest[0] <= 1 {
			return Bool(rest[0] == 1), nil
		}
	case KindInt, KindDatetime:
		if len(rest) == 8 {
			return Value{kind: kind, bits: binary.BigEndian.Uint64(rest) ^ (1 << 63)}, nil
		}
	case KindFloat:
		if len(rest) == 8 {
			u := binary.BigEndian.Uint64(rest)
			if u>>63 == 1 {
				u ^= 1 << 63
			} else {
				u = ^u
			}
			return Float(math.Float64frombits(u)), nil
		}
	case KindUUID:
		if len(rest) == 16 {
			return Value{kind: kind, str: string(rest)}, nil
		}
	case KindBytes, KindString:
		return Value{kind: kind, str: string(rest)}, nil
	}
	return Value{}, ErrKey
}
