package encoding

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"pongofs/engine/value"
)

func TestJSONScalars(t *testing.T) {
	tests := []struct {
		text string
		v    value.Value
		out  string // "" for text
	}{
		{"null", value.Null(), ""},
		{"true", value.Bool(true), ""},
		{"0", value.Int(0), ""},
		{"-0", value.Float(math.Copysign(0, -1)), "-0.0"},
		{"-17", value.Int(-17), ""},
		{"9223372036854775807", value.Int(math.MaxInt64), ""},
		{"-9223372036854775808", value.Int(math.MinInt64), ""},
		{"9223372036854775808", value.Float(1 << 63), "9.223372036854776e+18"},
		{"1000000000000000000000", value.Float(1e21), "1e+21"},
		{"1.0", value.Float(1), ""},
		{"1.10", value.Float(1.1), "1.1"},
		{"1e5", value.Float(1e5), "100000.0"},
		{"1E-7", value.Float(1e-7), "1e-07"},
		{"0e400", value.Float(0), "0.0"},
		{`""`, value.String(""), ""},
		{`"a\"\\\n\t\r\u0000\u001f\u007f<&\u2028"`, value.String("a\"\\\n\t\r\x00\x1f\x7f<&\u2028"), `"a\"\\\n\t\r\u0000\u001f` + "\x7f<&\u2028\""},
		{`"\ud83d\ude00\/"`, value.String("😀/"), `"😀/"`},
		{"\ufeff 1 \n", value.Int(1), "1"},
	}
	for _, test := range tests {
		for _, f := range []Format{FormatJSON, FormatExtJSON} {
			v, err := mustDecode(t, f, test.text).Scalar()
			if v != test.v || err != nil {
				t.Errorf("%v %s = %v, want %v", f, test.text, v, test.v)
			}
		}
		out := test.out
		if out == "" {
			out = test.text
		}
		if got, _, err := encode(FormatJSON, buildScalar(test.v), ""); got != out+"\n" || err != nil {
			t.Errorf("%v is written as %q, %v, want %q", test.v, got, err, out)
		}
	}
}

func TestJSONErrors(t *testing.T) {
	tests := []struct {
		text string
		err  error
		path string
		line int
		part string // of the message
	}{
		{"", ErrSyntax, "", 1, "empty"},
		{"  \n ", ErrSyntax, "", 0, "too early"},
		{"[1,\n2", ErrSyntax, "2", 2, "too early"},
		{`{"a":"b`, ErrSyntax, "a", 1, "too early"},
		{"[1,]", ErrSyntax, "1", 1, ""},
		{"[1 2]", ErrSyntax, "1", 1, ""},
		{"[01]", ErrSyntax, "", 1, ""},
		{"[+1]", ErrSyntax, "0", 1, ""},
		{"[.5]", ErrSyntax, "0", 1, ""},
		{"[NaN]", ErrSyntax, "0", 1, ""},
		{"{a:1}", ErrSyntax, "", 1, ""},
		{`{"a":1,}`, ErrSyntax, "", 1, ""},
		{`{"a" 1}`, ErrSyntax, "a", 1, ""},
		{`{1:1}`, ErrSyntax, "", 1, ""},
		{`{"a":}`, ErrSyntax, "a", 1, ""},
		{"]", ErrSyntax, "", 1, ""},
		{"1 2", ErrSyntax, "", 1, "follows"},
		{"[1]\n\nx", ErrSyntax, "", 3, ""},
		{"'a'", ErrSyntax, "", 1, ""},
		{`"\x"`, ErrSyntax, "", 1, ""},
		{"\"a\nb\"", ErrSyntax, "", 1, ""},
		{`{"a":{"b":1,"c":2,"b":3}}`, ErrSyntax, "a", 1, `duplicate key "b"`},
		{"{\"a\":[1,\n\n{\"b/c\":\"\xff\"}]}", ErrSyntax, "a/1/b%2Fc", 3, "UTF-8"},
		{`["\ud800"]`, ErrSyntax, "0", 1, "surrogate"},
		{`["\ud800x"]`, ErrSyntax, "0", 1, "surrogate"},
		{`["\ud800\n"]`, ErrSyntax, "0", 1, "surrogate"},
		{`["\udc00"]`, ErrSyntax, "0", 1, "surrogate"},
		{`["\ud800\ud800"]`, ErrSyntax, "0", 1, "surrogate"},
		{`["\ud800\u0041"]`, ErrSyntax, "0", 1, "surrogate"},
		{`["\ud8zz"]`, ErrSyntax, "0", 1, ""},
		{"[1e400]", ErrRange, "0", 1, "1e400"},
		{"[-1e400]", ErrRange, "0", 1, "1e400"},
		{"[1e-400]", ErrRange, "0", 1, "too small"},
		{"[9223372036854775809]", ErrRange, "0", 1, "without loss"},
		{"[" + strings.Repeat("9", 500) + "]", ErrRange, "0", 1, "9…"},
	}
	for _, test := range tests {
		for _, f := range []Format{FormatJSON, FormatExtJSON} {
			_, err := decode(f, test.text)
			var doc *DocumentError
			if !errors.Is(err, test.err) || !errors.As(err, &doc) {
				t.Errorf("%v %q: %v, want %v", f, test.text, err, test.err)
				continue
			}
			if test.path != "" && doc.Path != test.path || test.line > 0 && doc.Line != test.line || doc.Offset < 0 || !strings.Contains(err.Error(), test.part) {
				t.Errorf("%v %q: %v (path %q, line %d), want path %q, line %d, text %q", f, test.text, err, doc.Path, doc.Line,
					test.path, test.line, test.part)
			}
		}
	}
}

func TestJSONErrorMessage(t *testing.T) {
	_, err := decode(FormatJSON, "{\"a\":\n{\"b\":[1e400]}}")
	if got, want := err.Error(), "json line 2, at a/b/0: the number 1e400 does not fit a float"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, _, err = encode(FormatJSON, buildScalar(value.Float(math.Inf(1))), "")
	if got, want := err.Error(), "json: JSON has no inf; Extended JSON has"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := (&DocumentError{Offset: 5, Reason: "x"}).Error(), "extjson offset 5: x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJSONLosses(t *testing.T) {
	tree := build(t, func(b value.Builder) {
		b.Begin(value.KindCollection)
		b.Key(value.Int(5))
		b.Scalar(value.UUID(testUUID))
		b.Key(value.Float(2.5))
		b.Scalar(value.DatetimeMicro(0))
		b.Key(value.String("b"))
		b.Scalar(value.Bytes([]byte("ab")))
		b.Key(value.String("l"))
		b.Link("target")
		b.Key(value.String("u"))
		b.Scalar(value.UUID(testUUID))
		b.End()
	})
	got, report, err := encode(FormatJSON, tree, "  ")
	want := `{
  "5": "0191d0c4-9f5e-7cc3-a1b2-0123456789ab",
  "2.5": "1970-01-01T00:00:00.000000Z",
  "b": "YWI=",
  "l": "target",
  "u": "0191d0c4-9f5e-7cc3-a1b2-0123456789ab"
}
`
	if got != want || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	losses := []Loss{
		{LossUUID, 2, "%=i5"},
		{LossDatetime, 1, "%=f2.5"},
		{LossBytes, 1, "b"},
		{LossKey, 2, "%=i5"},
		{LossCollection, 1, ""},
		{LossLink, 1, "l"},
	}
	if !reflect.DeepEqual(report.Losses, losses) {
		t.Errorf("losses %v, want %v", report.Losses, losses)
	}
}

func TestJSONRefuses(t *testing.T) {
	for name, steps := range map[string]func(b value.Builder){
		"nan":    func(b value.Builder) { b.Scalar(value.Float(math.NaN())) },
		"string": func(b value.Builder) { b.Scalar(value.String("\xff")) },
		"key": func(b value.Builder) {
			b.Begin(value.KindDict)
			b.Key(value.String("\xff"))
			b.Scalar(value.Null())
			b.End()
		},
		"keys that collide": func(b value.Builder) {
			b.Begin(value.KindDict)
			b.Key(value.Int(5))
			b.Scalar(value.Null())
			b.Key(value.String("5"))
			b.Scalar(value.Null())
			b.End()
		},
	} {
		if got, _, err := encode(FormatJSON, build(t, steps), ""); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestJSONIndent(t *testing.T) {
	const text = `{"a":[],"b":{},"c":[1,{"d":null}]}`
	tree := mustDecode(t, FormatJSON, text)
	got, _, err := encode(FormatJSON, tree, "\t")
	want := "{\n\t\"a\": [],\n\t\"b\": {},\n\t\"c\": [\n\t\t1,\n\t\t{\n\t\t\t\"d\": null\n\t\t}\n\t]\n}\n"
	if got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, _, _ := encode(FormatJSON, tree, ""); got != text+"\n" {
		t.Errorf("got %q, want %q", got, text)
	}
}

// TestRealData imports real documents and exports them again.
func TestRealData(t *testing.T) {
	for _, name := range []string{"bank-holidays.json", "gh_emoji.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		tree := mustDecode(t, FormatJSON, string(text))
		plain, report, err := encode(FormatJSON, tree, "")
		if err != nil || len(report.Losses) > 0 {
			t.Errorf("%s: %v, %v", name, report, err)
		}
		var before, after any
		if err := errors.Join(json.Unmarshal(text, &before), json.Unmarshal([]byte(plain), &after)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(before, after) {
			t.Errorf("%s: the export differs from the import", name)
		}
		for _, f := range []Format{FormatExtJSON, FormatJSON, FormatYAML, FormatTOML} {
			for _, indent := range []string{"", "  "} {
				out, report, err := encode(f, tree, indent)
				if err != nil || len(report.Losses) > 0 {
					t.Errorf("%s as %v: %v, %v", name, f, report, err)
					continue
				}
				if path, equal := value.Equal(tree, mustDecode(t, f, out)); !equal {
					t.Errorf("%s as %v differs at %s", name, f, path)
				}
			}
		}
	}
}

func TestJSONL(t *testing.T) {
	const text = "{\"a\":1}\n\n  [2]\r\n\"x\\ny\"\nnull"
	for _, f := range []Format{FormatJSONL, FormatExtJSONL} {
		tree := mustDecode(t, f, text)
		got, report, err := encode(FormatJSONL, tree, "  ")
		if want := "{\"a\":1}\n[2]\n\"x\\ny\"\nnull\n"; got != want || err != nil || len(report.Losses) > 0 {
			t.Errorf("%v: %q, %v, %v, want %q", f, got, report, err, want)
		}
		for _, empty := range []string{"", "\n", " \n\n"} {
			if got, _, err := encode(f, mustDecode(t, f, empty), ""); got != "" || err != nil {
				t.Errorf("%v: no lines become %q, %v", f, got, err)
			}
		}
	}
	tests := []struct {
		text string
		line int
		path string
	}{
		{"1\n2 3\n", 2, "1"},
		{"1\n\n{\"a\":\n1}\n", 3, "1/a"},
		{"[1]\n[1e400]\n", 2, "1/0"},
		{"1\n2\n\"\xff\"", 3, "2"},
		{"1\n2\n\"\xc3\n3", 3, "2"},
		{"\n\nx", 3, "0"},
	}
	for _, test := range tests {
		_, err := decode(FormatJSONL, test.text)
		var doc *DocumentError
		if !errors.As(err, &doc) || doc.Line != test.line || doc.Path != test.path {
			t.Errorf("%q: %v, want line %d, path %q", test.text, err, test.line, test.path)
		}
	}

	members := build(t, func(b value.Builder) {
		b.Begin(value.KindCollection)
		b.Key(value.UUID(testUUID))
		b.Scalar(value.Int(1))
		b.End()
	})
	got, report, err := encode(FormatExtJSONL, members, "")
	if got != "{\"$numberLong\":\"1\"}\n" || err != nil || len(report.Losses) != 1 || report.Losses[0].What != LossMemberKey {
		t.Errorf("members: %q, %v, %v", got, report, err)
	}
	if _, _, err := encode(FormatJSONL, buildScalar(value.Int(1)), ""); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a scalar: %v", err)
	}
}

// TestJSONChunks reads documents in pieces of one byte, so that each character
// and escape is cut.
func TestJSONChunks(t *testing.T) {
	const text = "{\"grüße\":\"😀\\ud83d\\ude00\"}\n[\"日本\"]\n"
	want := mustDecode(t, FormatJSONL, text)
	d := &value.Document{}
	if err := Decode(FormatJSONL, iotest.OneByteReader(strings.NewReader(text)), d); err != nil {
		t.Fatal(err)
	}
	got, _ := d.Tree()
	if path, equal := value.Equal(got, want); !equal {
		t.Errorf("differs at %s", path)
	}
	long := `["` + strings.Repeat("日", 100_000) + "\",\n" + `"` + strings.Repeat("x", 70_000) + "\xff\"]"
	_, err := decode(FormatJSON, long)
	var doc *DocumentError
	if !errors.As(err, &doc) || doc.Line != 2 || doc.Path != "1" {
		t.Errorf("got %.200v", err)
	}
}

func TestJSONManyKeys(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "%q:{\"a\":1,\"b\":2},", fmt.Sprint(i))
	}
	members := b.String()
	mustDecode(t, FormatJSON, "{"+members+`"x":0}`)
	for _, double := range []string{"0", "15", "16", "17", "999"} {
		if _, err := decode(FormatJSON, "{"+members+`"`+double+`":0}`); err == nil || !strings.Contains(err.Error(), "duplicate") {
			t.Errorf("duplicate of %s: %v", double, err)
		}
	}
}

// checkStable decodes fuzz input and checks that what was understood is
// written so that it is understood again.
func checkStable(t *testing.T, f Format, text string) {
	t.Helper()
	tree, err := decode(f, text)
	if err != nil {
		var doc *DocumentError
		if !errors.As(err, &doc) && !errors.Is(err, value.ErrDuplicateKey) {
			t.Fatalf("%v %q: %v", f, text, err)
		}
		return
	}
	out, report, err := encode(f, tree, "")
	if errors.Is(err, ErrUnsupported) && f == FormatYAML {
		return // keys that would collide
	}
	if err != nil {
		t.Fatalf("%v %q: %v", f, text, err)
	}
	if len(report.Losses) > 0 {
		t.Fatalf("%v %q: %v", f, text, report)
	}
	back, err := decode(f, out)
	if err != nil {
		t.Fatalf("%v %q is written as %q: %v", f, text, out, err)
	}
	if path, equal := value.Equal(tree, back); !equal {
		t.Fatalf("%v %q is written as %q, which differs at %s", f, text, out, path)
	}
	if again, _, _ := encode(f, back, ""); again != out {
		t.Fatalf("%v %q is written as %q and then as %q", f, text, out, again)
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,-0,1e5,9223372036854775808,"\ud83d\ude00",null,true],"":{}}`, "[[[]]]", " 1 ", `"\ud800"`, "{\"a\":1,\"a\":2}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkStable(t, FormatJSON, text)
		checkStable(t, FormatJSONL, text)
		// The library must agree on what is JSON, leniencies aside.
		if _, err := decode(FormatJSON, text); err == nil && !json.Valid([]byte(strings.TrimPrefix(text, "\ufeff"))) {
			t.Fatalf("%q is accepted", text)
		}
	})
}

func BenchmarkDecodeJSON(b *testing.B) {
	text, err := os.ReadFile(filepath.Join("testdata", "gh_emoji.json"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		mustDecode(b, FormatJSON, string(text))
	}
}

func BenchmarkEncodeJSON(b *testing.B) {
	text, err := os.ReadFile(filepath.Join("testdata", "gh_emoji.json"))
	if err != nil {
		b.Fatal(err)
	}
	tree := mustDecode(b, FormatJSON, string(text))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := encode(FormatExtJSON, tree, ""); err != nil {
			b.Fatal(err)
		}
	}
}
