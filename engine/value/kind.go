// Package value holds typed values in Go memory: the kinds that a store knows,
// scalars as comparable Go values, the total order of keys, and the two
// interfaces through which whole documents stream in and out.
//
// It knows neither the store nor any text format. Values are immutable and may
// be shared by any number of goroutines.
package value

import "fmt"

// Kind is the type of a value. The numbers are part of the on-disk format.
type Kind uint8

// The kinds. Scalars come first, containers last.
const (
	KindInvalid Kind = iota
	KindNull
	KindBool
	KindInt      // int64
	KindDatetime // microseconds since 1970-01-01T00:00:00Z, int64
	KindUUID     // 16 bytes
	KindFloat    // float64
	KindBytes    // any bytes
	KindString   // valid UTF-8 without NUL when inferred; any bytes through the API
	KindList
	KindDict
	KindCollection
)

var kindNames = [...]string{
	KindInvalid:    "invalid",
	KindNull:       "null",
	KindBool:       "bool",
	KindInt:        "int",
	KindDatetime:   "datetime",
	KindUUID:       "uuid",
	KindFloat:      "float",
	KindBytes:      "bytes",
	KindString:     "string",
	KindList:       "list",
	KindDict:       "dict",
	KindCollection: "collection",
}

// String returns the name that users type and read, such as "int".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind is the inverse of String for the valid kinds.
func ParseKind(s string) (Kind, bool) {
	for k := KindNull; k <= KindCollection; k++ {
		if kindNames[k] == s {
			return k, true
		}
	}
	return KindInvalid, false
}

// IsContainer reports whether values of this kind hold other values.
func (k Kind) IsContainer() bool { return k >= KindList && k <= KindCollection }

// IsScalar reports whether k is one of the primitive kinds.
func (k Kind) IsScalar() bool { return k >= KindNull && k <= KindString }
