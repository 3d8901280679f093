package encoding

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pongofs/engine/value"
)

func TestYAML(t *testing.T) {
	tests := []struct {
		yaml string
		json string // the same in Extended JSON
	}{
		{"", `null`},
		{"# nothing\n", `null`},
		{"~", `null`},
		{"a: 1\nb: [true, 2.5, x]\n", `{"a":1,"b":[true,2.5,"x"]}`},
		{"yes: no\non: off\n", `{"on":"off","yes":"no"}`},
		{"[0x1F, 0o17, 0b11, 1_000, +5, -0, 010]", `[31,15,3,1000,5,-0.0,8]`},
		{"[1., .5, 1e3, 1_0.5, .inf, -.Inf, .NaN]", `[1.0,0.5,1000.0,10.5,{"$numberDouble":"Infinity"},{"$numberDouble":"-Infinity"},{"$numberDouble":"NaN"}]`},
		{"[1e400, 9223372036854775808, 9223372036854775807]", `["1e400",9223372036854775808,9223372036854775807]`},
		{"[!!int 5, !!float 5, !!str 5, !!bool true, !!null '']", `[5,5.0,"5",true,null]`},
		{
			"[2024-01-02, 2024-01-02T03:04:05.000006Z, 2024-01-02 03:04:05, '2024-01-02']",
			`[{"$date":"2024-01-02T00:00:00Z"},{"$date":"2024-01-02T03:04:05.000006Z"},{"$date":"2024-01-02T03:04:05Z"},"2024-01-02"]`,
		},
		{"a: !!binary |\n  AP8=\n", `{"a":{"$binary":{"base64":"AP8=","subType":"00"}}}`},
		{
			"{1: a, 2.5: b, true: c, ~: d, 2024-01-02: e}",
			`{"$pongo":{"entries":[[1,"a"],[2.5,"b"],[true,"c"],[null,"d"],[{"$date":"2024-01-02T00:00:00Z"},"e"]]}}`,
		},
		{"a: &x [1]\nb: *x\n*x2 : 3\n", ""},
		{"a: &x k\n*x : 3\n", `{"a":"k","k":3}`},
		{"a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  l: 3\nc: {<<: [*x, {l: 4, m: 5}]}\n", `{"a":{"k":1,"l":2},"b":{"k":1,"l":3},"c":{"k":1,"l":2,"m":5}}`},
		{"a: <<\n'<<': 1\n", ""},
		{"a: |\n  text\n  more\n", `{"a":"text\nmore\n"}`},
	}
	for _, test := range tests {
		got, err := decode(FormatYAML, test.yaml)
		if test.json == "" {
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", test.yaml, err)
			continue
		}
		if path, equal := value.Equal(got, mustDecode(t, FormatExtJSON, test.json)); !equal {
			text, _, _ := encode(FormatExtJSON, got, "")
			t.Errorf("%q gives %s, want %s; differs at %s", test.yaml, text, test.json, path)
		}
	}
}

func TestYAMLErrors(t *testing.T) {
	tests := []struct {
		text string
		err  error
		line int
		path string
		part string
	}{
		{"a: 1\na: 2\n", ErrSyntax, 2, "a", "duplicate"},
		{"a: [1\n", ErrSyntax, 1, "", ""},
		{"x: 1\na: b: c\n", ErrSyntax, 2, "", ""},
		{"--- 1\n--- 2\n", ErrSyntax, 2, "", "second document"},
		{"a:\n  - !foo x\n", ErrUnsupported, 2, "a/0", "!foo"},
		{"!!set {a, b}\n", ErrUnsupported, 1, "", "!!set"},
		{"!!omap [a: b]\n", ErrUnsupported, 1, "", "!!omap"},
		{"{[1]: 2}\n", ErrUnsupported, 1, "", "key"},
		{"a: 9223372036854775809\n", ErrRange, 1, "a", "without loss"},
		{"a: 99999999999999999999999\n", ErrRange, 1, "a", "without loss"},
		{"a: 0xFFFFFFFFFFFFFFFF\n", ErrRange, 1, "a", "int"},
		{"a: 1e-400\n", ErrRange, 1, "a", "too small"},
		{"a: !!int 1.5\n", ErrRange, 1, "a", "not an int"},
		{"a: !!binary '?'\n", ErrSyntax, 1, "a", "base64"},
		{"a: &x [*x]\n", ErrSyntax, 1, "a/0/0", "itself"},
		{"a: &x {<<: *x}\n", ErrSyntax, 1, "", "itself"},
		{"<<: 5\n", ErrSyntax, 1, "", "<<"},
		{"<<: [[{a: 1}]]\n", ErrSyntax, 1, "", "<<"},
		{"a: \xff\n", ErrSyntax, 0, "", ""},
		{strings.Repeat("x", MaxMemoryBytes+1), ErrRange, 0, "", "16 MiB"},
	}
	for _, test := range tests {
		_, err := decode(FormatYAML, test.text)
		var doc *DocumentError
		if !errors.Is(err, test.err) || !errors.As(err, &doc) {
			t.Errorf("%.100q: %v, want %v", test.text, err, test.err)
			continue
		}
		if doc.Line != test.line || test.path != "" && doc.Path != test.path || !strings.Contains(err.Error(), test.part) {
			t.Errorf("%.100q: %v (path %q), want line %d, path %q, text %q", test.text, err, doc.Path, test.line, test.path, test.part)
		}
	}
}

// TestYAMLBomb reads a document that stands for a billion values.
func TestYAMLBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 9; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [", i, i)
		for range 10 {
			fmt.Fprintf(&b, "*a%d,", i-1)
		}
		b.WriteString("]\n")
	}
	if _, err := decode(FormatYAML, b.String()); !errors.Is(err, ErrRange) {
		t.Errorf("got %v", err)
	}
	b.Reset()
	b.WriteString("a0: &a0 {k0: 1}\n")
	for i := 1; i < 3000; i++ {
		fmt.Fprintf(&b, "a%d: &a%d {<<: [*a%d, *a%d]}\n", i, i, i-1, i-1)
	}
	if _, err := decode(FormatYAML, b.String()); !errors.Is(err, ErrRange) && !errors.Is(err, ErrTooDeep) {
		t.Errorf("merges: %v", err)
	}
}

func TestYAMLWrites(t *testing.T) {
	tree := build(t, func(b value.Builder) {
		b.Begin(value.KindCollection)
		for _, e := range []struct{ k, v value.Value }{
			{value.Int(1), value.String("5")},
			{value.DatetimeMicro(6), value.DatetimeMicro(math.MaxInt64)},
			{value.UUID(testUUID), value.UUID(testUUID)},
			{value.String("a"), value.Float(math.Float64frombits(0xFFF8000000000000))},
			{value.String("b"), value.Bytes([]byte{0, 255})},
			{value.String("c"), value.String("\xff")},
			{value.String("d"), value.Float(math.Inf(-1))},
			{value.String("e"), value.String("two\nlines\n")},
			{value.String("f"), value.Float(1e16)},
		} {
			b.Key(e.k)
			b.Scalar(e.v)
		}
		b.Key(value.String("g"))
		b.Link("target")
		b.End()
	})
	got, report, err := encode(FormatYAML, tree, "")
	want := `1: "5"
1970-01-01T00:00:00.000006Z: +294247-01-10T04:00:54.775807Z
0191d0c4-9f5e-7cc3-a1b2-0123456789ab: 0191d0c4-9f5e-7cc3-a1b2-0123456789ab
a: .nan
b: !!binary AP8=
c: !!binary /w==
d: -.inf
e: |
  two
  lines
f: 1e+16
g: target
`
	if got != want || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	var kinds []LossKind
	for _, l := range report.Losses {
		kinds = append(kinds, l.What)
	}
	if fmt.Sprint(kinds) != fmt.Sprint([]LossKind{LossUUID, LossDatetime, LossKey, LossCollection, LossLink, LossTextEncoding, LossNaN}) {
		t.Errorf("losses %v", report.Losses)
	}
}

func TestYAMLRefusesCollisions(t *testing.T) {
	for _, keys := range [][2]value.Value{
		{value.UUID(testUUID), value.String(Text(value.UUID(testUUID)))},
		{value.Bytes([]byte("\xff")), value.String("\xff")},
		{value.Float(math.NaN()), value.Float(math.Float64frombits(0xFFF8000000000000))},
		{value.Float(math.NaN()), value.Float(math.Float64frombits(0x7FF8000000000002))},
	} {
		tree := build(t, func(b value.Builder) {
			b.Begin(value.KindDict)
			for _, k := range keys {
				b.Key(k)
				b.Scalar(value.Null())
			}
			b.End()
		})
		if got, _, err := encode(FormatYAML, tree, ""); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%v: %q, %v", keys, got, err)
		}
	}
}

// checkMemoryFormats writes a random document that YAML and TOML can keep.
func checkMemoryFormats(t *testing.T, seed uint64) {
	t.Helper()
	g := newDocGen(seed)
	g.plain = true
	g.scalars = []value.Kind{value.KindNull, value.KindBool, value.KindInt, value.KindFloat, value.KindDatetime, value.KindBytes, value.KindString}
	checkMemoryFormat(t, FormatYAML, g, seed)
	g = newDocGen(seed)
	g.plain, g.textKeys, g.noEmptyKey = true, true, true
	g.scalars = []value.Kind{value.KindBool, value.KindInt, value.KindFloat, value.KindDatetime, value.KindString}
	checkMemoryFormat(t, FormatTOML, g, seed)
}

func checkMemoryFormat(t *testing.T, f Format, g *docGen, seed uint64) {
	t.Helper()
	tree := build(t, func(b value.Builder) { g.dict(b, value.KindDict, 0) })
	text, report, err := encode(f, tree, "")
	if err != nil || len(report.Losses) > 0 {
		t.Fatalf("%v, seed %d: %v, %v", f, seed, report, err)
	}
	back, err := decode(f, text)
	if err != nil {
		t.Fatalf("%v, seed %d: %v\n%s", f, seed, err, text)
	}
	if path, equal := value.Equal(tree, back); !equal {
		ext, _, _ := encode(FormatExtJSON, tree, " ")
		t.Fatalf("%v, seed %d: differs at %s\n%s\n%s", f, seed, path, text, ext)
	}
}

func TestMemoryFormatsRoundTrip(t *testing.T) {
	for seed := range uint64(500) {
		checkMemoryFormats(t, seed)
	}
}

func FuzzMemoryFormats(f *testing.F) {
	for i, s := range []string{"a: [1, 2.5, ~, 2024-01-02]\n", "? x\n: |\n  y\n", "a = 1\n[b.c]\nd = [{e = 2024-01-02T03:04:05Z}]\n", "<<: {a: 1}\n", "a: &x 1\nb: *x\n"} {
		f.Add(uint64(i), s)
	}
	f.Fuzz(func(t *testing.T, seed uint64, text string) {
		checkMemoryFormats(t, seed)
		checkStable(t, FormatYAML, text)
		checkStable(t, FormatTOML, text)
	})
}
