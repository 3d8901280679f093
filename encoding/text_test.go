package encoding

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"

	"pongofs/engine/value"
)

var testUUID = uuid.MustParse("0191d0c4-9f5e-7cc3-a1b2-0123456789ab")

// textCases are values with their canonical text.
var textCases = []struct {
	v    value.Value
	text string
}{
	{value.Null(), ""},
	{value.Bool(true), "true"},
	{value.Bool(false), "false"},
	{value.Int(0), "0"},
	{value.Int(-5), "-5"},
	{value.Int(math.MaxInt64), "9223372036854775807"},
	{value.Int(math.MinInt64), "-9223372036854775808"},
	{value.Float(0), "0.0"},
	{value.Float(math.Copysign(0, -1)), "-0.0"},
	{value.Float(1), "1.0"},
	{value.Float(-1.5), "-1.5"},
	{value.Float(0.1), "0.1"},
	{value.Float(1e5), "100000.0"},
	{value.Float(1234567.5), "1234567.5"},
	{value.Float(1e15), "1000000000000000.0"},
	{value.Float(9007199254740993), "9007199254740992.0"},
	{value.Float(9999999999999998), "9999999999999998.0"},
	{value.Float(1e16), "1e+16"},
	{value.Float(1 << 63), "9.223372036854776e+18"},
	{value.Float(0.0001), "0.0001"},
	{value.Float(0.00012345678901234567), "0.00012345678901234567"},
	{value.Float(0.00001), "1e-05"},
	{value.Float(1.5e-7), "1.5e-07"},
	{value.Float(1e-10), "1e-10"},
	{value.Float(1e100), "1e+100"},
	{value.Float(math.MaxFloat64), "1.7976931348623157e+308"},
	{value.Float(math.SmallestNonzeroFloat64), "5e-324"},
	{value.Float(math.NaN()), "nan"},
	{value.Float(math.Inf(1)), "inf"},
	{value.Float(math.Inf(-1)), "-inf"},
	{value.Float(math.Float64frombits(0xFFF8000000000000)), "nan(0xfff8000000000000)"},
	{value.Float(math.Float64frombits(0x7FF0000000000001)), "nan(0x7ff0000000000001)"},
	{value.DatetimeMicro(0), "1970-01-01T00:00:00.000000Z"},
	{value.DatetimeMicro(-1), "1969-12-31T23:59:59.999999Z"},
	{value.Datetime(time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)), "2024-01-02T03:04:05.000006Z"},
	{value.Datetime(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)), "0000-01-01T00:00:00.000000Z"},
	{value.Datetime(time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)), "9999-12-31T23:59:59.999999Z"},
	{value.Datetime(time.Date(-1, 12, 31, 0, 0, 0, 0, time.UTC)), "-000001-12-31T00:00:00.000000Z"},
	{value.Datetime(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)), "+010000-01-01T00:00:00.000000Z"},
	{value.DatetimeMicro(math.MaxInt64), "+294247-01-10T04:00:54.775807Z"},
	{value.DatetimeMicro(math.MinInt64), "-290308-12-21T19:59:05.224192Z"},
	{value.UUID(testUUID), "0191d0c4-9f5e-7cc3-a1b2-0123456789ab"},
	{value.UUID(uuid.Nil), "00000000-0000-0000-0000-000000000000"},
	{value.String(""), ""},
	{value.String("a\nb\n"), "a\nb\n"},
	{value.String("a\x00\xff"), "a\x00\xff"},
	{value.Bytes([]byte{0, 1, '\n'}), "\x00\x01\n"},
}

func TestText(t *testing.T) {
	for _, test := range textCases {
		if got := string(AppendText([]byte("x"), test.v)); got != "x"+test.text {
			t.Errorf("AppendText(%v) = %q, want %q", test.v, got, "x"+test.text)
		}
		if got := Text(test.v); got != test.text {
			t.Errorf("Text(%v) = %q, want %q", test.v, got, test.text)
		}
		w, err := Convert(test.v, test.v.Kind())
		if err != nil || w != test.v {
			t.Errorf("Convert(%v, %v) = %v, %v", test.v, test.v.Kind(), w, err)
		}
	}
	if got := AppendText(nil, value.Value{}); len(got) != 0 {
		t.Errorf("text of the invalid value: %q", got)
	}
}

func TestImage(t *testing.T) {
	for _, test := range textCases {
		want := test.text
		if k := test.v.Kind(); k != value.KindNull && k != value.KindBytes {
			want += "\n"
		}
		if got := string(AppendImage(nil, test.v, false)); got != want {
			t.Errorf("AppendImage(%v, false) = %q, want %q", test.v, got, want)
		}
		if got := string(AppendImage(nil, test.v, true)); got != test.text {
			t.Errorf("AppendImage(%v, true) = %q, want %q", test.v, got, test.text)
		}
		if test.v.Kind() < value.KindBytes && len(want) > MaxInferBytes {
			t.Errorf("image %q is longer than MaxInferBytes", want)
		}
	}
}

func TestInfer(t *testing.T) {
	str := value.String
	tests := []struct {
		image string
		v     value.Value
		noEOL bool
	}{
		{"", value.Null(), false},
		{"\n", str(""), false},
		{"\n\n", str("\n"), false},
		{"true\n", value.Bool(true), false},
		{"false", value.Bool(false), true},
		{"True\n", str("True"), false},
		{"truee\n", str("truee"), false},
		{"0\n", value.Int(0), false},
		{"-0\n", str("-0"), false},
		{"42", value.Int(42), true},
		{"-42\n", value.Int(-42), false},
		{"42\n\n", str("42\n"), false},
		{"42\r\n", str("42\r"), false},
		{" 42\n", str(" 42"), false},
		{"007\n", str("007"), false},
		{"+5\n", str("+5"), false},
		{"-\n", str("-"), false},
		{"9223372036854775807\n", value.Int(math.MaxInt64), false},
		{"9223372036854775808\n", str("9223372036854775808"), false},
		{"-9223372036854775808\n", value.Int(math.MinInt64), false},
		{"-9223372036854775809\n", str("-9223372036854775809"), false},
		{"1.5\n", value.Float(1.5), false},
		{"1.0\n", value.Float(1), false},
		{"-0.0\n", value.Float(math.Copysign(0, -1)), false},
		{"1.10\n", str("1.10"), false},
		{"1.\n", str("1."), false},
		{".5\n", str(".5"), false},
		{"1e5\n", str("1e5"), false},
		{"1e+21\n", value.Float(1e21), false},
		{"1e-05\n", value.Float(1e-5), false},
		{"1e-5\n", str("1e-5"), false},
		{"1e21\n", str("1e21"), false},
		{"1E+21\n", str("1E+21"), false},
		{"5e-324", value.Float(math.SmallestNonzeroFloat64), true},
		{"1.7976931348623157e+308\n", value.Float(math.MaxFloat64), false},
		{"1.7976931348623159e+308\n", str("1.7976931348623159e+308"), false},
		{"0x10\n", str("0x10"), false},
		{"1_000\n", str("1_000"), false},
		{"1_0.0\n", str("1_0.0"), false},
		{"1-2\n", str("1-2"), false},
		{"192.168.0.1\n", str("192.168.0.1"), false},
		{"nan\n", str("nan"), false},
		{"inf\n", str("inf"), false},
		{"-inf\n", str("-inf"), false},
		{"null\n", str("null"), false},
		{"NaN\n", str("NaN"), false},
		{"2024-01-02T03:04:05.000006Z\n", value.Datetime(time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)), false},
		{"2024-01-02T03:04:05.000006Z", value.Datetime(time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)), true},
		{"2024-01-02T03:04:05Z\n", str("2024-01-02T03:04:05Z"), false},
		{"2024-01-02T03:04:05.000006+00:00\n", str("2024-01-02T03:04:05.000006+00:00"), false},
		{"2024-02-30T03:04:05.000006Z\n", str("2024-02-30T03:04:05.000006Z"), false},
		{"+002024-01-02T03:04:05.000006Z\n", str("+002024-01-02T03:04:05.000006Z"), false},
		{"+012024-01-02T03:04:05.000006Z\n", value.Datetime(time.Date(12024, 1, 2, 3, 4, 5, 6000, time.UTC)), false},
		{"2024-01-02\n", str("2024-01-02"), false},
		{"0191d0c4-9f5e-7cc3-a1b2-0123456789ab\n", value.UUID(testUUID), false},
		{"0191D0C4-9f5e-7cc3-a1b2-0123456789ab\n", str("0191D0C4-9f5e-7cc3-a1b2-0123456789ab"), false},
		{"0191d0c49f5e7cc3a1b20123456789ab\n", str("0191d0c49f5e7cc3a1b20123456789ab"), false},
		{"grüße\n", str("grüße"), false},
		{"a\x00b\n", value.Bytes([]byte("a\x00b\n")), false},
		{"\xff", value.Bytes([]byte("\xff")), false},
		{"\xff\n", value.Bytes([]byte("\xff\n")), false},
	}
	for _, test := range tests {
		v, noEOL := Infer([]byte(test.image))
		if v != test.v || noEOL != test.noEOL {
			t.Errorf("Infer(%q) = %v, %v, want %v, %v", test.image, v, noEOL, test.v, test.noEOL)
		}
		checkInfer(t, []byte(test.image))
	}
	long := bytes.Repeat([]byte("1"), MaxInferBytes+1)
	if k := GuessKind(long); k != value.KindString {
		t.Errorf("a long number is guessed as %v", k)
	}
}

// checkInfer checks the law of inference for one image.
func checkInfer(t *testing.T, image []byte) {
	t.Helper()
	v, noEOL := Infer(image)
	if got := AppendImage(nil, v, noEOL); !bytes.Equal(got, image) {
		t.Errorf("image %q is inferred as %v and becomes %q", image, v, got)
	}
	if k := GuessKind(image); k != v.Kind() {
		t.Errorf("GuessKind(%q) = %v, Infer says %v", image, k, v.Kind())
	}
	if len(image) > MaxInferBytes && v.Kind() != value.KindString && v.Kind() != value.KindBytes {
		t.Errorf("a long image %q is inferred as %v", image, v)
	}
}

// addTexts adds seeds that look like scalars.
func addTexts(f *testing.F, add func(text string)) {
	f.Helper()
	for _, test := range textCases {
		add(test.text)
		add(test.text + "\n")
	}
	for _, s := range []string{
		"007", "+5", " 5 ", "1e400", "1e-400", ".5", "5.", "-nan", "Infinity", "TRUE",
		"2024-01-02 03:04:05+0200", "2024-01-02t03:04:05.5z", "+294247-01-10T05:00:54.775808+01:30",
		"0191D0C4-9F5E-7CC3-A1B2-0123456789AB", "nan(0x7ff8000000000001)", "1e+", "99999999999999999999",
	} {
		add(s)
	}
}

func FuzzInfer(f *testing.F) {
	addTexts(f, func(text string) { f.Add([]byte(text)) })
	f.Fuzz(func(t *testing.T, image []byte) { checkInfer(t, image) })
}

// FuzzText checks that canonical text reads back to the same value, for every
// value, and that what can be inferred is.
func FuzzText(f *testing.F) {
	f.Add(uint64(0), []byte("text"))
	f.Add(uint64(math.MaxUint64), []byte{0xFF})
	f.Add(uint64(1)<<63, []byte("0123456789abcdef"))
	f.Add(math.Float64bits(1e21), []byte("\n"))
	f.Fuzz(func(t *testing.T, bits uint64, b []byte) {
		var u uuid.UUID
		copy(u[:], b)
		for _, v := range []value.Value{
			value.Null(), value.Bool(bits&1 == 1), value.Int(int64(bits)), value.DatetimeMicro(int64(bits)),
			value.Float(math.Float64frombits(bits)), value.UUID(u), value.String(string(b)), value.Bytes(b),
		} {
			for _, noEOL := range []bool{false, true} {
				if noEOL && v.Kind() == value.KindString && bytes.HasSuffix(b, []byte("\n")) {
					continue // the content of another string
				}
				image := AppendImage(nil, v, noEOL)
				w, wNoEOL, err := ParseDeclared(v.Kind(), image)
				if err != nil || w != v {
					t.Fatalf("%v as %q reads back as %v, %v", v, image, w, err)
				}
				if again := AppendImage(nil, w, wNoEOL); !bytes.Equal(again, image) {
					t.Fatalf("image %q becomes %q", image, again)
				}
				if v.Kind() >= value.KindBytes {
					continue
				}
				if len(image) > MaxInferBytes {
					t.Fatalf("image %q is longer than MaxInferBytes", image)
				}
				f := v.AsFloat()
				if inferable := !math.IsNaN(f) && !math.IsInf(f, 0); inferable != (GuessKind(image) == v.Kind()) {
					t.Fatalf("image %q is guessed as %v", image, GuessKind(image))
				}
			}
		}
	})
}

func BenchmarkInfer(b *testing.B) {
	for _, text := range []string{
		"hello world\n", "42\n", "-1.5\n", "2024-01-02T03:04:05.000006Z\n",
		"0191d0c4-9f5e-7cc3-a1b2-0123456789ab\n", "true\n", "192.168.0.1\n",
	} {
		b.Run(text[:len(text)-1], func(b *testing.B) {
			image := []byte(text)
			b.ReportAllocs()
			for b.Loop() {
				Infer(image)
			}
		})
	}
}

func BenchmarkGuessKind(b *testing.B) {
	image := bytes.Repeat([]byte("some ordinary text\n"), 1000)
	b.SetBytes(int64(len(image)))
	b.ReportAllocs()
	for b.Loop() {
		GuessKind(image)
	}
}

func BenchmarkAppendImage(b *testing.B) {
	for _, v := range []value.Value{value.Int(123456), value.Float(0.1), value.DatetimeMicro(1704164645000006), value.UUID(testUUID)} {
		b.Run(v.Kind().String(), func(b *testing.B) {
			var buf [MaxInferBytes]byte
			b.ReportAllocs()
			for b.Loop() {
				AppendImage(buf[:0], v, false)
			}
		})
	}
}
