package value

import (
	"cmp"
	"math"
	"strings"
)

// Compare orders two keys as bytes.Compare orders their encodings by AppendKey:
// -1, 0 or +1. It is 0 for equal keys only.
func Compare(a, b Value) int {
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	switch a.kind {
	case KindInt, KindDatetime:
		return cmp.Compare(int64(a.bits), int64(b.bits))
	case KindFloat:
		return cmp.Compare(orderFloat(a.bits), orderFloat(b.bits))
	case KindBool:
		return cmp.Compare(a.bits, b.bits)
	}
	return strings.Compare(a.str, b.str)
}

// orderFloat maps the bits of a float to a number of the same order.
func orderFloat(bits uint64) int64 {
	if bits>>63 == 1 {
		return int64(^bits) ^ math.MinInt64
	}
	return int64(bits)
}
