package encoding

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pongofs/engine/value"
)

func TestTOML(t *testing.T) {
	const text = `
a = 1
b = [0x1F, 1_000, -0]
c = 1.0
d = [inf, -inf, 1e5]
e = "grüße\n"
f = 2024-01-02T04:04:05.000006+01:00
g = [2024-01-02T03:04:05.5, 2024-01-02, 03:04:05]
"" = 5
[h]
i = [[1, "two"], {z = ""}]
[[j]]
k = 1
[[j]]
`
	const want = `{"":5,"a":1,"b":[31,1000,0],"c":1.0,
		"d":[{"$numberDouble":"Infinity"},{"$numberDouble":"-Infinity"},100000.0],"e":"grüße\n",
		"f":{"$date":"2024-01-02T03:04:05.000006Z"},"g":["2024-01-02T03:04:05.5","2024-01-02","03:04:05"],
		"h":{"i":[[1,"two"],{"z":""}]},"j":[{"k":1},{}]}`
	got := mustDecode(t, FormatTOML, text)
	if path, equal := value.Equal(got, mustDecode(t, FormatExtJSON, want)); !equal {
		text, _, _ := encode(FormatExtJSON, got, " ")
		t.Errorf("differs at %s:\n%s", path, text)
	}
	if got, _, err := encode(FormatTOML, mustDecode(t, FormatTOML, ""), ""); got != "" || err != nil {
		t.Errorf("an empty table is %q, %v", got, err)
	}
}

func TestTOMLErrors(t *testing.T) {
	tests := []struct {
		text string
		err  error
		line int
	}{
		{"a = 1\na = 2\n", ErrSyntax, 2},
		{"a = \n", ErrSyntax, 1},
		{"a = 99999999999999999999\n", ErrSyntax, 1},
		{"a = 1e400\n", ErrSyntax, 1},
		{"a = [1\n", ErrSyntax, 1},
		{"a = \"\xff\"\n", ErrSyntax, 1},
		{"\n\nx\n", ErrSyntax, 3},
		{"a = 1\nb = [{'' = 1}]\n", ErrUnsupported, 2},
		{"b = {a.\"\" = 1}\n", ErrUnsupported, 1},
		{"'' = [1]\n", ErrUnsupported, 1},
		{"''= {}\n", ErrUnsupported, 1},
		{"''.a = 1\n", ErrUnsupported, 1},
		{"b = {\"\"\t.a = 1}\n", ErrUnsupported, 1},
		{strings.Repeat("#", MaxMemoryBytes+1), ErrRange, 0},
	}
	for _, test := range tests {
		_, err := decode(FormatTOML, test.text)
		var doc *DocumentError
		if !errors.Is(err, test.err) || !errors.As(err, &doc) || doc.Line != test.line {
			t.Errorf("%.100q: %v, want %v in line %d", test.text, err, test.err, test.line)
		}
	}
}

func TestTOMLDepthOfStrings(t *testing.T) {
	brackets := strings.Repeat("[", 2000)
	dots := strings.Repeat(".", 2000)
	numbers := strings.Repeat("1.5, ", 2000)
	for _, text := range []string{
		"a = \"" + brackets + dots + "\"\n", "a = '" + brackets + "'\n", "a = \"\"\"\n" + brackets + "\"\\\"\"\"\"\"\"\n",
		"a = '''\n" + brackets + "''''\n", "# " + brackets + "\na = 1\n", "a = \"\\\"" + brackets + "\"\n",
		"a = [" + numbers + "]\n", "\"" + brackets + "\" = 1\n", "a = ''\nb = \"\"\nc = \"" + brackets + "\"\n",
	} {
		if _, err := decode(FormatTOML, text); err != nil {
			t.Errorf("%.30q: %v", text, err)
		}
	}
	_, err := decode(FormatTOML, "a = '''\n\n'''\nb = "+brackets)
	var doc *DocumentError
	if !errors.Is(err, ErrTooDeep) || !errors.As(err, &doc) || doc.Line != 4 {
		t.Errorf("got %v", err)
	}
}

func TestTOMLWrites(t *testing.T) {
	tree := build(t, func(b value.Builder) {
		b.Begin(value.KindCollection)
		for _, e := range []struct{ k, v value.Value }{
			{value.Int(1), value.UUID(testUUID)},
			{value.String("a"), value.Bytes([]byte{0, 255})},
			{value.String("b"), value.DatetimeMicro(math.MaxInt64)},
			{value.String("c"), value.DatetimeMicro(6)},
			{value.String("d"), value.Float(math.Float64frombits(0xFFF8000000000000))},
		} {
			b.Key(e.k)
			b.Scalar(e.v)
		}
		b.Key(value.String("e"))
		b.Link("target")
		b.End()
	})
	got, report, err := encode(FormatTOML, tree, "")
	want := `1 = "0191d0c4-9f5e-7cc3-a1b2-0123456789ab"
a = "AP8="
b = "+294247-01-10T04:00:54.775807Z"
c = 1970-01-01T00:00:00.000006Z
d = nan
e = "target"
`
	if got != want || err != nil || len(report.Losses) != 7 {
		t.Errorf("got %s, %v, %v", got, report, err)
	}
}

func TestTOMLRefuses(t *testing.T) {
	for path, steps := range map[string]func(b value.Builder){
		"a": func(b value.Builder) { b.Scalar(value.Null()) },
		"a/0": func(b value.Builder) {
			b.Begin(value.KindList)
			b.Gap()
			b.Scalar(value.Int(1))
			b.End()
		},
		"a/%FF": func(b value.Builder) {
			b.Begin(value.KindDict)
			b.Key(value.String("\xff"))
			b.Scalar(value.Int(1))
			b.End()
		},
		"a/x": func(b value.Builder) {
			b.Begin(value.KindDict)
			b.Key(value.String("x"))
			b.Scalar(value.String("\xff"))
			b.End()
		},
	} {
		tree := build(t, func(b value.Builder) {
			b.Begin(value.KindDict)
			b.Key(value.String("a"))
			steps(b)
			b.End()
		})
		_, _, err := encode(FormatTOML, tree, "")
		var doc *DocumentError
		if !errors.Is(err, ErrUnsupported) || !errors.As(err, &doc) || doc.Path != strings.ReplaceAll(path, "%FF", "\xff") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, _, err := encode(FormatTOML, buildScalar(value.Int(1)), ""); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a scalar: %v", err)
	}
}
