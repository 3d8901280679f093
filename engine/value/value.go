package value

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Value is one scalar. The zero Value is invalid. Values are comparable with
// == and usable as map keys: floats compare by their bits, so a NaN equals
// itself and -0.0 differs from 0.0.
type Value struct {
	kind Kind
	bits uint64
	str  string
}

// Null returns the null value.
func Null() Value { return Value{kind: KindNull} }

// Bool returns a bool value.
func Bool(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.bits = 1
	}
	return v
}

// Int returns an int value.
func Int(i int64) Value { return Value{kind: KindInt, bits: uint64(i)} }

// Float returns a float value; every bit of f is kept.
func Float(f float64) Value { return Value{kind: KindFloat, bits: math.Float64bits(f)} }

// Datetime returns a datetime value, t cut down to whole microseconds.
func Datetime(t time.Time) Value { return DatetimeMicro(t.UnixMicro()) }

// DatetimeMicro returns a datetime value from microseconds since the epoch.
func DatetimeMicro(us int64) Value { return Value{kind: KindDatetime, bits: uint64(us)} }

// UUID returns a uuid value.
func UUID(u uuid.UUID) Value { return Value{kind: KindUUID, str: string(u[:])} }

// Bytes returns a bytes value; b is copied.
func Bytes(b []byte) Value { return Value{kind: KindBytes, str: string(b)} }

// String returns a string value. s may hold any bytes.
func String(s string) Value { return Value{kind: KindString, str: s} }

// Kind returns the kind of v, KindInvalid for the zero Value.
func (v Value) Kind() Kind { return v.kind }

// IsValid reports whether v holds a value.
func (v Value) IsValid() bool { return v.kind != KindInvalid }

// AsBool returns the bool in v, false when v is not a bool.
func (v Value) AsBool() bool { return v.kind == KindBool && v.bits == 1 }

// AsInt returns the integer in v, 0 when v is not an int.
func (v Value) AsInt() int64 {
	if v.kind != KindInt {
		return 0
	}
	return int64(v.bits)
}

// AsFloat returns the float in v, 0 when v is not a float.
func (v Value) AsFloat() float64 {
	if v.kind != KindFloat {
		return 0
	}
	return math.Float64frombits(v.bits)
}

// AsDatetime returns the instant in v in UTC, the zero time when v is not a
// datetime.
func (v Value) AsDatetime() time.Time {
	if v.kind != KindDatetime {
		return time.Time{}
	}
	return time.UnixMicro(int64(v.bits)).UTC()
}

// AsMicro returns the microseconds since the epoch of a datetime, else 0.
func (v Value) AsMicro() int64 {
	if v.kind != KindDatetime {
		return 0
	}
	return int64(v.bits)
}

// AsUUID returns the uuid in v, the nil uuid when v is not one.
func (v Value) AsUUID() uuid.UUID {
	var u uuid.UUID
	if v.kind == KindUUID {
		copy(u[:], v.str)
	}
	return u
}

// AsBytes returns a copy of the content of a bytes or string value, else nil.
func (v Value) AsBytes() []byte {
	if v.kind != KindBytes && v.kind != KindString {
		return nil
	}
	return []byte(v.str)
}

// AsString returns the content of a string or bytes value, else "".
func (v Value) AsString() string {
	if v.kind != KindBytes && v.kind != KindString {
		return ""
	}
	return v.str
}

// GoString describes v for error messages and test failures; it is not the
// text of a value in a file, which package encoding knows.
func (v Value) GoString() string {
	switch v.kind {
	case KindNull:
		return "null"
	case KindBool:
		return strconv.FormatBool(v.AsBool())
	case KindInt:
		return strconv.FormatInt(v.AsInt(), 10)
	case KindFloat:
		return fmt.Sprintf("float(%g, %#x)", v.AsFloat(), v.bits)
	case KindDatetime:
		return v.AsDatetime().Format(time.RFC3339Nano)
	case KindUUID:
		return v.AsUUID().String()
	case KindBytes:
		return fmt.Sprintf("bytes(%q)", v.str)
	case KindString:
		return strconv.Quote(v.str)
	}
	return "invalid"
}

// String is GoString.
func (v Value) String() string { return v.GoString() }
