package value

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// ordered are keys in their order.
var ordered = []Value{
	Null(),
	Bool(false), Bool(true),
	Int(math.MinInt64), Int(-256), Int(-1), Int(0), Int(1), Int(255), Int(256), Int(math.MaxInt64),
	DatetimeMicro(math.MinInt64), DatetimeMicro(-1), DatetimeMicro(0), DatetimeMicro(math.MaxInt64),
	UUID(uuid.Nil), UUID(uuid.MustParse("0191d0c4-9f5e-7cc3-a1b2-0123456789ab")), UUID(uuid.Max),
	Float(math.Float64frombits(math.MaxUint64)), Float(math.Float64frombits(0xFFF8000000000000)),
	Float(math.Inf(-1)), Float(-math.MaxFloat64), Float(-1.5), Float(-math.SmallestNonzeroFloat64),
	Float(math.Copysign(0, -1)), Float(0), Float(math.SmallestNonzeroFloat64), Float(1), Float(1.5),
	Float(math.MaxFloat64), Float(math.Inf(1)), Float(math.NaN()), Float(math.Float64frombits(math.MaxInt64)),
	Bytes(nil), Bytes([]byte{0}), Bytes([]byte{0, 0}), Bytes([]byte{1}), Bytes([]byte{0xFF}),
	String(""), String("\x00"), String("a"), String("a\x00"), String("aa"), String("b"), String("\xff"),
}

func TestKeyOrder(t *testing.T) {
	for i, a := range ordered {
		for j, b := range ordered {
			want := min(max(i-j, -1), 1)
			if got := bytes.Compare(AppendKey(nil, a), AppendKey(nil, b)); got != want {
				t.Errorf("encodings of %v and %v compare as %d, want %d", a, b, got, want)
			}
			if got := Compare(a, b); got != want {
				t.Errorf("Compare(%v, %v) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestKeyRoundTrip(t *testing.T) {
	for _, k := range ordered {
		enc := AppendKey([]byte("x"), k)
		if enc[0] != 'x' {
			t.Fatalf("AppendKey(%v) does not append", k)
		}
		got, err := DecodeKey(enc[1:])
		if err != nil || got != k {
			t.Errorf("%v decodes as %v, %v", k, got, err)
		}
	}
}

func TestDecodeKeyRefuses(t *testing.T) {
	for _, b := range [][]byte{
		nil,
		{},
		{0},
		{byte(KindNull), 0},
		{byte(KindBool)},
		{byte(KindBool), 2},
		{byte(KindBool), 0, 0},
		{byte(KindInt)},
		{byte(KindInt), 1, 2, 3, 4, 5, 6, 7},
		{byte(KindInt), 1, 2, 3, 4, 5, 6, 7, 8, 9},
		{byte(KindFloat), 1},
		{byte(KindDatetime)},
		{byte(KindUUID), 1},
		{byte(KindList)},
		{byte(KindDict)},
		{byte(KindCollection)},
		{99},
		{255, 1},
	} {
		if k, err := DecodeKey(b); err == nil {
			t.Errorf("DecodeKey(%v) = %v", b, k)
		}
	}
}

func FuzzKey(f *testing.F) {
	for i, k := range ordered {
		f.Add(AppendKey(nil, k), AppendKey(nil, ordered[(i+1)%len(ordered)]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		ka, errA := DecodeKey(a)
		kb, errB := DecodeKey(b)
		if errA == nil && !bytes.Equal(AppendKey(nil, ka), a) {
			t.Fatalf("%x decodes as %v, which encodes as %x", a, ka, AppendKey(nil, ka))
		}
		if errA != nil || errB != nil {
			return
		}
		if got, want := Compare(ka, kb), bytes.Compare(a, b); got != want {
			t.Fatalf("Compare(%v, %v) = %d, the encodings compare as %d", ka, kb, got, want)
		}
		if (ka == kb) != bytes.Equal(a, b) {
			t.Fatalf("%v and %v: equal %v, encodings equal %v", ka, kb, ka == kb, bytes.Equal(a, b))
		}
	})
}

func TestValueAccess(t *testing.T) {
	at := time.Date(2024, 1, 2, 3, 4, 5, 6789, time.FixedZone("", 3600))
	u := uuid.MustParse("0191d0c4-9f5e-7cc3-a1b2-0123456789ab")
	b := []byte("b")
	v := Bytes(b)
	b[0] = 'x'
	v.AsBytes()[0] = 'y'
	nan := Float(math.NaN())
	for name, ok := range map[string]bool{
		"zero value is invalid":    !Value{}.IsValid() && Value{}.Kind() == KindInvalid,
		"bool":                     Bool(true).AsBool() && !Bool(false).AsBool() && !Int(1).AsBool(),
		"int":                      Int(-5).AsInt() == -5 && DatetimeMicro(5).AsInt() == 0,
		"float keeps -0":           math.Signbit(Float(math.Copysign(0, -1)).AsFloat()),
		"float of an int is 0":     Int(5).AsFloat() == 0,
		"datetime is cut to µs":    Datetime(at).AsDatetime().Equal(at.Truncate(time.Microsecond)),
		"datetime is in UTC":       Datetime(at).AsDatetime().Location() == time.UTC,
		"datetime as microseconds": DatetimeMicro(-7).AsMicro() == -7 && Int(7).AsMicro() == 0,
		"uuid":                     UUID(u).AsUUID() == u && String("x").AsUUID() == uuid.Nil,
		"bytes are copied":         v.AsString() == "b" && string(v.AsBytes()) == "b",
		"string":                   String("s").AsString() == "s" && string(String("s").AsBytes()) == "s",
		"string of an int":         Int(1).AsString() == "" && Int(1).AsBytes() == nil,
		"a NaN equals itself":      nan == Float(math.NaN()),
		"0.0 is not -0.0":          Float(0) != Float(math.Copysign(0, -1)),
		"string is not bytes":      String("a") != Bytes([]byte("a")),
	} {
		if !ok {
			t.Error(name)
		}
	}
}

func TestKindNames(t *testing.T) {
	for k := KindNull; k <= KindCollection; k++ {
		if got, ok := ParseKind(k.String()); !ok || got != k {
			t.Errorf("ParseKind(%q) = %v, %v", k.String(), got, ok)
		}
		if k.IsScalar() == k.IsContainer() {
			t.Errorf("%v: scalar %v, container %v", k, k.IsScalar(), k.IsContainer())
		}
	}
	for _, s := range []string{"", "invalid", "Int", "object"} {
		if k, ok := ParseKind(s); ok {
			t.Errorf("ParseKind(%q) = %v", s, k)
		}
	}
	if KindInvalid.IsScalar() || KindInvalid.IsContainer() || Kind(200).IsContainer() {
		t.Error("a kind that is none is a scalar or container")
	}
	if got := Kind(200).String(); got != "kind(200)" {
		t.Errorf("got %q", got)
	}
}

func TestOrderedIsSorted(t *testing.T) {
	if !slices.IsSortedFunc(ordered, Compare) {
		t.Error("the table of keys is not in order")
	}
}
