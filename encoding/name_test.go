package encoding

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"pongofs/engine/value"
)

// nameCases are keys with their names in dicts and collections.
var nameCases = []struct {
	key  value.Value
	name string
}{
	{value.String("hello"), "hello"},
	{value.String("hello world\n"), "hello world\n"},
	{value.String("55"), "55"},
	{value.String("+1"), "+1"},
	{value.String("grüße"), "grüße"},
	{value.String("\xff\xfe"), "\xff\xfe"},
	{value.String("..."), "..."},
	{value.String(".pongorc"), ".pongorc"},
	{value.String("a.pongo"), "a.pongo"},
	{value.String(""), "%="},
	{value.String("."), "%2E"},
	{value.String(".."), "%2E."},
	{value.String(".pongo"), "%2Epongo"},
	{value.String(".pongo-types"), "%2Epongo-types"},
	{value.String("/"), "%2F"},
	{value.String("a/b"), "a%2Fb"},
	{value.String("a\x00b"), "a%00b"},
	{value.String("100%"), "100%"},
	{value.String("%"), "%"},
	{value.String("%%"), "%%"},
	{value.String("%/"), "%%2F"},
	{value.String("%25/"), "%25%2F"},
	{value.String("foo%25bar"), "foo%25bar"},
	{value.String("%25"), "%25"},
	{value.String("%2F"), "%252F"},
	{value.String("%252F"), "%25252F"},
	{value.String("a%2Fb"), "a%252Fb"},
	{value.String("a%00"), "a%2500"},
	{value.String("%2f"), "%2f"},
	{value.String("/2F"), "%2F2F"},
	{value.String("%2F2F"), "%252F2F"},
	{value.String("%2"), "%2"},
	{value.String("%2E"), "%252E"},
	{value.String("%252E"), "%25252E"},
	{value.String("%2Ex"), "%2Ex"},
	{value.String("a%2E"), "a%2E"},
	{value.String("%2E/"), "%2E%2F"},
	{value.String("%2Epongo"), "%252Epongo"},
	{value.String("%="), "%25="},
	{value.String("%25="), "%2525="},
	{value.String("%=i55"), "%25=i55"},
	{value.String("%25=i55"), "%2525=i55"},
	{value.String("%=i055"), "%=i055"},
	{value.String("%=i+5"), "%=i+5"},
	{value.String("%=i"), "%=i"},
	{value.String("%=i5 "), "%=i5 "},
	{value.String("%=f5"), "%=f5"},
	{value.String("%=f1e5"), "%=f1e5"},
	{value.String("%=b2"), "%=b2"},
	{value.String("%=btrue"), "%=btrue"},
	{value.String("%=nx"), "%=nx"},
	{value.String("%=x0"), "%=x0"},
	{value.String("%=xAB"), "%=xAB"},
	{value.String("%=zzz"), "%=zzz"},
	{value.String("%=~a~b"), "%=~a~b"},
	{value.String("%25=~a~b"), "%25=~a~b"},
	{value.String("%=x00/"), "%=x00%2F"},
	{value.String("%=s5"), "%=s5"},
	{value.String("%2B"), "%2B"},
	{value.Null(), "%=n"},
	{value.Bool(true), "%=b1"},
	{value.Bool(false), "%=b0"},
	{value.Int(55), "%=i55"},
	{value.Int(math.MinInt64), "%=i-9223372036854775808"},
	{value.Float(2.5), "%=f2.5"},
	{value.Float(math.Copysign(0, -1)), "%=f-0.0"},
	{value.Float(math.NaN()), "%=fnan"},
	{value.Float(math.Float64frombits(0xFFF8000000000000)), "%=fnan(0xfff8000000000000)"},
	{value.Float(math.Inf(-1)), "%=f-inf"},
	{value.DatetimeMicro(1704164645000006), "%=t2024-01-02T03:04:05.000006Z"},
	{value.DatetimeMicro(math.MinInt64), "%=t-290308-12-21T19:59:05.224192Z"},
	{value.UUID(testUUID), "%=u0191d0c4-9f5e-7cc3-a1b2-0123456789ab"},
	{value.Bytes(nil), "%=x"},
	{value.Bytes([]byte{0, 0xAB}), "%=x00ab"},
}

func TestName(t *testing.T) {
	for _, test := range nameCases {
		if name, truncated := EscapeName(test.key); name != test.name || truncated {
			t.Errorf("EscapeName(%v) = %q, %v, want %q", test.key, name, truncated, test.name)
		}
		if key, err := UnescapeName(test.name); key != test.key || err != nil {
			t.Errorf("UnescapeName(%q) = %v, %v, want %v", test.name, key, err, test.key)
		}
		checkKeyName(t, test.key)
		checkNameKey(t, test.name)
	}
}

func TestListName(t *testing.T) {
	tests := []struct {
		key  value.Value
		name string
	}{
		{value.Int(0), "0"},
		{value.Int(17), "17"},
		{value.Int(math.MaxInt64), "9223372036854775807"},
		{value.String("9223372036854775808"), "9223372036854775808"},
		{value.String("007"), "007"},
		{value.String("00"), "00"},
		{value.String("-1"), "-1"},
		{value.String("+1"), "+1"},
		{value.String("3~"), "3~"},
		{value.String(".3.Xy1Abc"), ".3.Xy1Abc"},
		{value.String("17"), "%=s17"},
		{value.String("%=s17"), "%25=s17"},
		{value.String("%=s017"), "%=s017"},
		{value.String("+"), "%2B"},
		{value.String("%2B"), "%252B"},
		{value.String(""), "%="},
		{value.String("."), "%2E"},
		{value.String("a/b"), "a%2Fb"},
		{value.String("%=i5"), "%=i5"},
		{value.String("%=x00"), "%=x00"},
		{value.String("%25=i5"), "%25=i5"},
		{value.String("%2F"), "%252F"},
	}
	for _, test := range tests {
		if name, truncated := EscapeListName(test.key); name != test.name || truncated {
			t.Errorf("EscapeListName(%v) = %q, %v, want %q", test.key, name, truncated, test.name)
		}
		if key, err := UnescapeListName(test.name); key != test.key || err != nil {
			t.Errorf("UnescapeListName(%q) = %v, %v, want %v", test.name, key, err, test.key)
		}
		checkKeyName(t, test.key)
		checkNameKey(t, test.name)
	}
}

func TestListIndex(t *testing.T) {
	for _, name := range []string{
		"", "-1", "+1", "-0", "007", "00", "1.0", " 1", "1 ", "x", "9223372036854775808",
		"10000000000000000000", "99999999999999999999", "１",
	} {
		if i, ok := ListIndex(name); ok {
			t.Errorf("ListIndex(%q) = %d, want none", name, i)
		}
	}
}

func TestNameErrors(t *testing.T) {
	tests := []struct {
		name string
		err  error
	}{
		{"", ErrBadName},
		{".", ErrBadName},
		{"..", ErrBadName},
		{"a/b", ErrBadName},
		{"a\x00b", ErrBadName},
		{".pongo", ErrReservedName},
		{".pongo-types", ErrReservedName},
		{strings.Repeat("x", 256), ErrNameTooLong},
	}
	for _, test := range tests {
		if _, err := UnescapeName(test.name); !errors.Is(err, test.err) {
			t.Errorf("UnescapeName(%q): %v, want %v", test.name, err, test.err)
		}
		if _, err := UnescapeListName(test.name); !errors.Is(err, test.err) {
			t.Errorf("UnescapeListName(%q): %v, want %v", test.name, err, test.err)
		}
		if _, err := UnescapeKey(test.name); !errors.Is(err, test.err) && !errors.Is(test.err, ErrNameTooLong) {
			t.Errorf("UnescapeKey(%q): %v, want %v", test.name, err, test.err)
		}
	}
	if _, err := UnescapeListName("+"); !errors.Is(err, ErrReservedName) {
		t.Errorf("UnescapeListName(+): %v", err)
	}
}

func TestLongName(t *testing.T) {
	keys := []value.Value{
		value.String(strings.Repeat("a", 256)),
		value.String(strings.Repeat("a", 255) + "\x00"),
		value.String(strings.Repeat("a", 254) + "/"),
		value.String(strings.Repeat("é", 128)),
		value.String("x" + strings.Repeat("é", 128)),
		value.String(strings.Repeat("\xff", 300)),
		value.String(strings.Repeat("\x80", 300)),
		value.String(strings.Repeat("/", 100)),
		value.String("%" + strings.Repeat("25", 150) + "2F"),
		value.String("%" + strings.Repeat("25", 150) + "=x"),
		value.String(strings.Repeat("x", 217) + strings.Repeat("%2525", 50) + "00"),
		value.String("%=x" + strings.Repeat("00", 150)),
		value.String("%=x" + strings.Repeat("00", 126) + "zzz"),
		value.String("%25=x" + strings.Repeat("00", 150)),
		value.String("%=s" + strings.Repeat("1", 300)),
		value.String("%=x" + strings.Repeat("00", 126)),
		value.String(strings.Repeat("%", 300)),
		value.Bytes(make([]byte, 127)),
		value.Bytes(make([]byte, 4000)),
		// Its escape has the form of a truncated name.
		value.String("%=~" + strings.Repeat("a", 216) + "/~" + strings.Repeat("0", 32)),
	}
	seen := map[string]value.Value{}
	for _, k := range keys {
		name, truncated := EscapeName(k)
		if !truncated || len(name) > MaxNameBytes || len(name) < minLongNameLen {
			t.Errorf("EscapeName(%.40v…) = %q, %v", k, name, truncated)
		}
		if utf8.ValidString(k.AsString()) && !utf8.ValidString(name) {
			t.Errorf("name %q of a key in UTF-8 is not UTF-8", name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%v and %v have the name %q", other, k, name)
		}
		seen[name] = k
		checkKeyName(t, k)
		checkNameKey(t, name)

		// The string of the very text is distinct, but has the same name.
		_, err := UnescapeName(name)
		var long *LongNameError
		if !errors.As(err, &long) {
			t.Fatalf("UnescapeName(%q): %v", name, err)
		}
		if again, truncated := EscapeName(long.Key); again != name || !truncated || long.Match(long.Key) || long.Key != value.String(name) {
			t.Errorf("the string key of %q is named %q, %v", name, again, truncated)
		}
		for _, other := range keys {
			if long.Match(other) != (other == k) {
				t.Errorf("%q matches %v", name, other)
			}
		}
	}
	// Longest names that are whole.
	for _, k := range []value.Value{value.String(strings.Repeat("a", 255)), value.Bytes(make([]byte, 126))} {
		if name, truncated := EscapeName(k); truncated {
			t.Errorf("EscapeName(%v) = %q, truncated", k, name)
		}
		checkKeyName(t, k)
	}
	if k, err := UnescapeName("%=~" + strings.Repeat("x", 219) + "~" + strings.Repeat("A", 32)); err != nil || k.Kind() != value.KindString {
		t.Errorf("a hash in upper case is one: %v, %v", k, err)
	}
}

// nameCodec is a pair of functions for one sort of directory.
type nameCodec struct {
	list     bool
	escape   func(value.Value) (string, bool)
	unescape func(string) (value.Value, error)
}

var nameCodecs = []nameCodec{{false, EscapeName, UnescapeName}, {true, EscapeListName, UnescapeListName}}

// isLegalName reports whether a file can have this name.
func isLegalName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\x00")
}

// checkKeyName checks that a key has a legal name which leads back to it.
func checkKeyName(t *testing.T, k value.Value) {
	t.Helper()
	for _, c := range nameCodecs {
		if c.list && k.Kind() != value.KindString && (k.Kind() != value.KindInt || k.AsInt() < 0) {
			continue // not a key of lists
		}
		name, truncated := c.escape(k)
		if !isLegalName(name) || name == ControlName || name == SidecarName || c.list && name == AppendName {
			t.Fatalf("%v has the name %q", k, name)
		}
		got, err := c.unescape(name)
		var long *LongNameError
		switch isLong := errors.As(err, &long); {
		case isLong != truncated:
			t.Fatalf("%v has the name %q, truncated %v, which gives %v, %v", k, name, truncated, got, err)
		case !truncated && (err != nil || got != k):
			t.Fatalf("%v has the name %q, which gives %v, %v", k, name, got, err)
		case truncated && k != long.Key:
			after, key := value.AppendKey(nil, long.After), value.AppendKey(nil, k)
			if !long.Match(k) || long.Past(k) || string(after) >= string(key) {
				t.Fatalf("%v has the name %q: match %v, past %v, after %v", k, name, long.Match(k), long.Past(k), long.After)
			}
		}
	}
	full := EscapeKey(k)
	if got, err := UnescapeKey(full); err != nil || got != k {
		t.Fatalf("%v has the full name %q, which gives %v, %v", k, full, got, err)
	}
}

// checkNameKey checks that a legal name is the name of the key it stands for.
func checkNameKey(t *testing.T, name string) {
	t.Helper()
	for _, c := range nameCodecs {
		k, err := c.unescape(name)
		var long *LongNameError
		switch {
		case !isLegalName(name), name == ControlName, name == SidecarName, c.list && name == AppendName:
			if err == nil {
				t.Fatalf("name %q gives %v", name, k)
			}
			continue
		case errors.As(err, &long):
			k = long.Key
			// The order of keys and Past agree.
			if long.Past(long.After) {
				t.Fatalf("name %q: %v is past itself", name, long.After)
			}
		case err != nil:
			t.Fatalf("name %q: %v", name, err)
		}
		again, truncated := c.escape(k)
		if again != name || truncated != (long != nil) {
			t.Fatalf("name %q gives %v, whose name is %q, %v", name, k, again, truncated)
		}
		if _, isIndex := ListIndex(name); c.list && isIndex != (k.Kind() == value.KindInt) {
			t.Fatalf("name %q in a list gives %v", name, k)
		}
	}
}

// stretch repeats fuzz input to the lengths where names are truncated.
func stretch(s string, n uint16) string {
	if s == "" || n == 0 {
		return s
	}
	return strings.Repeat(s, min(int(n), 5000/len(s)+1))
}

func FuzzKeyName(f *testing.F) {
	for _, test := range nameCases {
		f.Add(value.AppendKey(nil, test.key), uint16(0))
	}
	f.Add(value.AppendKey(nil, value.String("%25")), uint16(100))
	f.Add(value.AppendKey(nil, value.String("/")), uint16(100))
	f.Add(value.AppendKey(nil, value.String("%=x00")), uint16(100))
	f.Fuzz(func(t *testing.T, key []byte, n uint16) {
		k, err := value.DecodeKey(key)
		if err != nil {
			k = value.String(string(key))
		}
		checkKeyName(t, k)
		switch k.Kind() {
		case value.KindString:
			checkKeyName(t, value.String(stretch(k.AsString(), n)))
			checkKeyName(t, value.String("%=x"+stretch(k.AsString(), n)))
		case value.KindBytes:
			checkKeyName(t, value.Bytes([]byte(stretch(k.AsString(), n))))
		}
	})
}

func FuzzNameKey(f *testing.F) {
	for _, test := range nameCases {
		f.Add(test.name, uint16(0))
	}
	for _, k := range []value.Value{value.String(strings.Repeat("x", 300)), value.Bytes(make([]byte, 300))} {
		name, _ := EscapeName(k)
		f.Add(name, uint16(0))
	}
	f.Add("%25", uint16(90))
	f.Fuzz(func(t *testing.T, name string, n uint16) {
		checkNameKey(t, name)
		checkNameKey(t, stretch(name, n))
		// Text in the middle of a truncated name.
		middle := stretch(name+"x", 300)[:longPrefixLen]
		checkNameKey(t, longNameMark+middle+"~"+strings.Repeat("0a", longHashBytes))
	})
}

func BenchmarkEscapeName(b *testing.B) {
	for _, k := range []value.Value{
		value.String("ordinary-name.txt"), value.String(".hidden"), value.String("100%"), value.String("a/b"),
		value.Int(55), value.String(strings.Repeat("long", 100)),
	} {
		b.Run(k.String()[:min(len(k.String()), 20)], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				EscapeName(k)
			}
		})
	}
}

func BenchmarkUnescapeName(b *testing.B) {
	for _, name := range []string{"ordinary-name.txt", "100%", "a%2Fb", "%=i55"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := UnescapeName(name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkListName(b *testing.B) {
	for _, name := range []string{"17", "ordinary-name.txt"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				k, _ := UnescapeListName(name)
				EscapeListName(k)
			}
		})
	}
}
