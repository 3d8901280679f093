package encoding

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pongofs/engine/value"
)

func TestParseDeclared(t *testing.T) {
	at := func(sec, us int) value.Value {
		return value.Datetime(time.Date(2024, 1, 2, 3, 4, sec, us*1000, time.UTC))
	}
	tests := []struct {
		kind  value.Kind
		image string
		want  value.Value // invalid for an error
		noEOL bool
		err   error
	}{
		{value.KindNull, "", value.Null(), false, nil},
		{value.KindNull, " \n", value.Null(), false, nil},
		{value.KindNull, "null", value.Value{}, false, ErrSyntax},
		{value.KindBool, "true\n", value.Bool(true), false, nil},
		{value.KindBool, " False", value.Bool(false), true, nil},
		{value.KindBool, "TRUE\n", value.Bool(true), false, nil},
		{value.KindBool, "tru\n", value.Value{}, false, ErrSyntax},
		{value.KindBool, "1\n", value.Value{}, false, ErrSyntax},
		{value.KindBool, "", value.Value{}, false, ErrSyntax},
		{value.KindInt, "43\n", value.Int(43), false, nil},
		{value.KindInt, "\t43 \r\n", value.Int(43), false, nil},
		{value.KindInt, "43\n ", value.Int(43), true, nil},
		{value.KindInt, "+5", value.Int(5), true, nil},
		{value.KindInt, "-0", value.Int(0), true, nil},
		{value.KindInt, "007", value.Int(7), true, nil},
		{value.KindInt, "0000000000000000000000000000000000000007", value.Int(7), true, nil},
		{value.KindInt, "-9223372036854775808", value.Int(math.MinInt64), true, nil},
		{value.KindInt, "9223372036854775808", value.Value{}, false, ErrRange},
		{value.KindInt, "-9223372036854775809", value.Value{}, false, ErrRange},
		{value.KindInt, "99999999999999999999x", value.Value{}, false, ErrSyntax},
		{value.KindInt, "hello", value.Value{}, false, ErrSyntax},
		{value.KindInt, "1.0", value.Value{}, false, ErrSyntax},
		{value.KindInt, "1 2", value.Value{}, false, ErrSyntax},
		{value.KindInt, "4\n2", value.Value{}, false, ErrSyntax},
		{value.KindInt, "-", value.Value{}, false, ErrSyntax},
		{value.KindInt, "\n", value.Value{}, false, ErrSyntax},
		{value.KindFloat, "1.5\n", value.Float(1.5), false, nil},
		{value.KindFloat, "43", value.Float(43), true, nil},
		{value.KindFloat, "+.5", value.Float(.5), true, nil},
		{value.KindFloat, "5.", value.Float(5), true, nil},
		{value.KindFloat, "1E3", value.Float(1000), true, nil},
		{value.KindFloat, "Inf", value.Float(math.Inf(1)), true, nil},
		{value.KindFloat, "-infinity", value.Float(math.Inf(-1)), true, nil},
		{value.KindFloat, "NaN", value.Float(math.NaN()), true, nil},
		{value.KindFloat, "-nan", value.Float(math.NaN()), true, nil},
		{value.KindFloat, "nan(0xFFF8000000000000)", value.Float(math.Float64frombits(0xFFF8000000000000)), true, nil},
		{value.KindFloat, "nan(0x7ff0000000000000)", value.Value{}, false, ErrSyntax},
		{value.KindFloat, "nan(0x3ff0000000000000)", value.Value{}, false, ErrSyntax},
		{value.KindFloat, "nan(0xfff8)", value.Value{}, false, ErrSyntax},
		{value.KindFloat, "nan(0xfff8000000000000", value.Value{}, false, ErrSyntax},
		{value.KindFloat, "1e-400", value.Float(0), true, nil},
		{value.KindFloat, "1e400", value.Value{}, false, ErrRange},
		{value.KindFloat, "-1e400", value.Value{}, false, ErrRange},
		{value.KindFloat, "0x1p3", value.Value{}, false, ErrSyntax},
		{value.KindFloat, "1_0.5", value.Value{}, false, ErrSyntax},
		{value.KindFloat, ".", value.Value{}, false, ErrSyntax},
		{value.KindFloat, "e5", value.Value{}, false, ErrSyntax},
		{value.KindFloat, ".e5", value.Value{}, false, ErrSyntax},
		{value.KindFloat, "1e", value.Value{}, false, ErrSyntax},
		{value.KindFloat, "infi", value.Value{}, false, ErrSyntax},
		{value.KindFloat, "+", value.Value{}, false, ErrSyntax},
		{value.KindDatetime, "2024-01-02T03:04:05.000006Z\n", at(5, 6), false, nil},
		{value.KindDatetime, " 2024-01-02 03:04:05z ", at(5, 0), true, nil},
		{value.KindDatetime, "2024-01-02t03:04:05.5Z", at(5, 500000), true, nil},
		{value.KindDatetime, "2024-01-02T03:04:05.0000069Z", at(5, 6), true, nil},
		{value.KindDatetime, "2024-01-02T05:04:05+02:00", at(5, 0), true, nil},
		{value.KindDatetime, "2024-01-02T05:04:05+0200", at(5, 0), true, nil},
		{value.KindDatetime, "2024-01-02T05:04:05+02", at(5, 0), true, nil},
		{value.KindDatetime, "2024-01-01T23:34:05-03:30", at(5, 0), true, nil},
		{value.KindDatetime, "+002024-01-02T03:04:05Z", at(5, 0), true, nil},
		{value.KindDatetime, "2024-02-29T00:00:00Z", value.Datetime(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)), true, nil},
		{value.KindDatetime, "+294247-01-10T05:30:54.775807+01:30", value.DatetimeMicro(math.MaxInt64), true, nil},
		{value.KindDatetime, "+294247-01-10T04:00:54.775808Z", value.Value{}, false, ErrRange},
		{value.KindDatetime, "-290308-12-21T19:59:05.224191Z", value.Value{}, false, ErrRange},
		{value.KindDatetime, "-290308-12-21T19:59:04.5Z", value.Value{}, false, ErrRange},
		{value.KindDatetime, "+300000-01-01T00:00:00Z", value.Value{}, false, ErrRange},
		{value.KindDatetime, "-000000-01-01T00:00:00Z", value.Value{}, false, ErrSyntax},
		{value.KindDatetime, "2023-02-29T00:00:00Z", value.Value{}, false, ErrSyntax},
		{value.KindDatetime, "2024-13-01T00:00:00Z", value.Value{}, false, ErrSyntax},
		{value.KindDatetime, "2024-01-02T24:00:00Z", value.Value{}, false, ErrSyntax},
		{value.KindDatetime, "2016-12-31T23:59:60Z", value.Value{}, false, ErrSyntax},
		{value.KindDatetime, "2024-01-02T03:04:05", value.Value{}, false, ErrSyntax},
		{value.KindDatetime, "2024-01-02T03:04:05.Z", value.Value{}, false, ErrSyntax},
		{value.KindDatetime, "2024-01-02", value.Value{}, false, ErrSyntax},
		{value.KindDatetime, "2024-01-02T03:04:05Zulu", value.Value{}, false, ErrSyntax},
		{value.KindDatetime, "now", value.Value{}, false, ErrSyntax},
		{value.KindUUID, "0191D0C4-9F5E-7CC3-a1b2-0123456789ab\n", value.UUID(testUUID), false, nil},
		{value.KindUUID, "0191d0c4-9f5e-7cc3-a1b2-0123456789a", value.Value{}, false, ErrSyntax},
		{value.KindUUID, "0191d0c4-9f5e-7cc3-a1b2-0123456789abc", value.Value{}, false, ErrSyntax},
		{value.KindUUID, "0191d0c4x9f5e-7cc3-a1b2-0123456789ab", value.Value{}, false, ErrSyntax},
		{value.KindUUID, "0191d0c4-9f5e-7cc3-a1b2-0123456789ag", value.Value{}, false, ErrSyntax},
		{value.KindString, "", value.String(""), true, nil},
		{value.KindString, "\n", value.String(""), false, nil},
		{value.KindString, " 42\n\n", value.String(" 42\n"), false, nil},
		{value.KindString, "a\x00\xff", value.String("a\x00\xff"), true, nil},
		{value.KindBytes, "a\n", value.Bytes([]byte("a\n")), false, nil},
		{value.KindBytes, "", value.Bytes(nil), false, nil},
		{value.KindList, "", value.Value{}, false, ErrSyntax},
		{value.KindInt, strings.Repeat(" ", MaxDeclaredBytes) + "1", value.Value{}, false, ErrSyntax},
	}
	for _, test := range tests {
		v, noEOL, err := ParseDeclared(test.kind, []byte(test.image))
		if v != test.want || noEOL != test.noEOL || !errors.Is(err, test.err) {
			t.Errorf("ParseDeclared(%v, %q) = %v, %v, %v, want %v, %v, %v", test.kind, test.image, v, noEOL, err,
				test.want, test.noEOL, test.err)
		}
		checkPrefixes(t, test.kind, []byte(test.image))
	}
}

func TestCheckPrefix(t *testing.T) {
	tests := []struct {
		kind  value.Kind
		image string
		err   error // nil when the text can become a value
	}{
		{value.KindNull, " \n", nil},
		{value.KindNull, "n", ErrSyntax},
		{value.KindBool, "", nil},
		{value.KindBool, "  tR", nil},
		{value.KindBool, "tr ", ErrSyntax},
		{value.KindBool, "true ", nil},
		{value.KindBool, "truer", ErrSyntax},
		{value.KindBool, "yes", ErrSyntax},
		{value.KindInt, "+", nil},
		{value.KindInt, "+ ", ErrSyntax},
		{value.KindInt, "hello", ErrSyntax},
		{value.KindInt, "42 ", nil},
		{value.KindInt, "42 1", ErrSyntax},
		{value.KindInt, "9223372036854775807", nil},
		{value.KindInt, "9223372036854775808", ErrRange},
		{value.KindFloat, "-", nil},
		{value.KindFloat, ".", nil},
		{value.KindFloat, "1e", nil},
		{value.KindFloat, "1e+", nil},
		{value.KindFloat, "1e5x", ErrSyntax},
		{value.KindFloat, "1e400", ErrRange},
		{value.KindFloat, strings.Repeat("9", 400), nil},
		{value.KindFloat, strings.Repeat("9", 400) + " ", ErrRange},
		{value.KindFloat, strings.Repeat("9", 400) + "e", nil},
		{value.KindFloat, strings.Repeat("9", 400) + "e+0", ErrRange},
		{value.KindFloat, strings.Repeat("9", 400) + "e-0", nil},
		{value.KindFloat, "infi", nil},
		{value.KindFloat, "in ", ErrSyntax},
		{value.KindFloat, "inx", ErrSyntax},
		{value.KindFloat, "-nan(", ErrSyntax},
		{value.KindFloat, "nan(0x7f", nil},
		{value.KindFloat, "nan(0x7ff8000000000001", nil},
		{value.KindFloat, "nan(0x3ff8000000000001", ErrSyntax},
		{value.KindDatetime, "2024-01-02 ", nil},
		{value.KindDatetime, "2024-01-02  ", ErrSyntax},
		{value.KindDatetime, "2024-01-02\n", ErrSyntax},
		{value.KindDatetime, "2024-1", nil},
		{value.KindDatetime, "2024-2", ErrSyntax},
		{value.KindDatetime, "2024-13", ErrSyntax},
		{value.KindDatetime, "2024-02-3", nil},
		{value.KindDatetime, "2024-02-30", ErrSyntax},
		{value.KindDatetime, "2024-01-02T03:04:05", nil},
		{value.KindDatetime, "2024-01-02T03:04:05.", nil},
		{value.KindDatetime, "2024-01-02T03:04:05+02:", nil},
		{value.KindDatetime, "2024-01-02T03:04:05+02:00 ", nil},
		{value.KindDatetime, "2024-01-02T03:04:05+02: ", ErrSyntax},
		{value.KindDatetime, "2024-01-02T03:04:05+3", ErrSyntax},
		{value.KindDatetime, "+294247-01-10T05:30:54.775807+01", nil},
		{value.KindDatetime, "+294247-01-10T05:30:54.775807+01 ", ErrRange},
		{value.KindDatetime, "+294248", nil},
		{value.KindDatetime, "+294248-01-01", ErrRange},
		{value.KindUUID, "0191D0c4-", nil},
		{value.KindUUID, "0191D0c4-9f5e7", ErrSyntax},
		{value.KindUUID, "0191D0c4- ", ErrSyntax},
		{value.KindString, "a\x00", nil},
		{value.KindBytes, "a\x00", nil},
		{value.KindDict, "", ErrSyntax},
		{value.KindInt, strings.Repeat(" ", MaxDeclaredBytes), nil},
		{value.KindInt, strings.Repeat(" ", MaxDeclaredBytes+1), ErrSyntax},
	}
	for _, test := range tests {
		err := CheckPrefix(test.kind, []byte(test.image))
		if !errors.Is(err, test.err) {
			t.Errorf("CheckPrefix(%v, %q) = %v, want %v", test.kind, test.image, err, test.err)
		}
		if got := CanBecome(test.kind, []byte(test.image)); got != (test.err == nil) {
			t.Errorf("CanBecome(%v, %q) = %v", test.kind, test.image, got)
		}
	}
}

// checkPrefixes checks that each prefix of an acceptable image can become a
// value, and that the canonical image is accepted again.
func checkPrefixes(t *testing.T, kind value.Kind, image []byte) {
	t.Helper()
	v, noEOL, err := ParseDeclared(kind, image)
	if err != nil {
		var te *TextError
		if !errors.As(err, &te) || errors.Is(err, ErrSyntax) == errors.Is(err, ErrRange) {
			t.Fatalf("ParseDeclared(%v, %q): error %#v", kind, image, err)
		}
		return
	}
	if v.Kind() != kind {
		t.Fatalf("ParseDeclared(%v, %q) = %v", kind, image, v)
	}
	for i := range len(image) + 1 {
		if err := CheckPrefix(kind, image[:i]); err != nil {
			t.Fatalf("%q is a value of type %v, but its prefix %q: %v", image, kind, image[:i], err)
		}
	}
	canonical := AppendImage(nil, v, noEOL)
	if w, wNoEOL, err := ParseDeclared(kind, canonical); err != nil || w != v || wNoEOL != noEOL {
		t.Fatalf("%q of type %v becomes %q and then %v, %v, %v", image, kind, canonical, w, wNoEOL, err)
	}
}

func FuzzDeclared(f *testing.F) {
	for kind := value.KindNull; kind <= value.KindString; kind++ {
		addTexts(f, func(text string) { f.Add(uint8(kind), []byte(text)) })
	}
	f.Fuzz(func(t *testing.T, kind uint8, image []byte) {
		checkPrefixes(t, value.KindNull+value.Kind(kind%8), image)
	})
}

func TestTextErrorMessage(t *testing.T) {
	_, _, err := ParseDeclared(value.KindInt, []byte("hello\n"))
	if got, want := err.Error(), `"hello" is not a value of type int: it has a character that is not a digit`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, _, err = ParseDeclared(value.KindInt, []byte(strings.Repeat("ü", 100)))
	if got := err.(*TextError).Text; got != strings.Repeat("ü", 32)+"…" {
		t.Errorf("excerpt %q", got)
	}
}

func TestConvert(t *testing.T) {
	tests := []struct {
		v    value.Value
		to   value.Kind
		want value.Value
	}{
		{value.Int(42), value.KindString, value.String("42")},
		{value.String("42"), value.KindInt, value.Int(42)},
		{value.Int(1), value.KindFloat, value.Float(1)},
		{value.Float(1), value.KindInt, value.Value{}},
		{value.Int(42), value.KindBytes, value.Bytes([]byte("42"))},
		{value.Bytes([]byte("a\n")), value.KindString, value.String("a\n")},
		{value.String("a\n"), value.KindBytes, value.Bytes([]byte("a\n"))},
		{value.Null(), value.KindString, value.String("")},
		{value.Null(), value.KindInt, value.Value{}},
		{value.String(" "), value.KindNull, value.Null()},
		{value.String("x"), value.KindUUID, value.Value{}},
		{value.Int(1), value.KindDict, value.Value{}},
	}
	for _, test := range tests {
		got, err := Convert(test.v, test.to)
		if got != test.want || (err == nil) != test.want.IsValid() {
			t.Errorf("Convert(%v, %v) = %v, %v, want %v", test.v, test.to, got, err, test.want)
		}
	}
}

func TestConvertImageKeepsContent(t *testing.T) {
	tests := []struct {
		v     value.Value
		noEOL bool
		to    value.Kind
		want  value.Value
		wantN bool
	}{
		{value.String("a"), false, value.KindBytes, value.Bytes([]byte("a\n")), false},
		{value.String("a"), true, value.KindBytes, value.Bytes([]byte("a")), false},
		{value.Bytes([]byte("a\n")), false, value.KindString, value.String("a"), false},
		{value.Bytes([]byte("a")), false, value.KindString, value.String("a"), true},
		{value.Int(5), true, value.KindString, value.String("5"), true},
		{value.String("5"), false, value.KindInt, value.Int(5), false},
	}
	for _, test := range tests {
		got, noEOL, err := ConvertImage(test.v, test.noEOL, test.to)
		if err != nil || got != test.want || noEOL != test.wantN {
			t.Errorf("ConvertImage(%v, %v, %v) = %v, %v, %v", test.v, test.noEOL, test.to, got, noEOL, err)
		}
		if a, b := string(AppendImage(nil, test.v, test.noEOL)), string(AppendImage(nil, got, noEOL)); a != b {
			t.Errorf("content %q became %q", a, b)
		}
	}
}
