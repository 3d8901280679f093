package encoding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"unicode/utf8"

	"pongofs/engine/value"
)

// decode reads text into a document.
func decode(f Format, text string) (value.Tree, error) {
	d := &value.Document{}
	if err := Decode(f, strings.NewReader(text), d); err != nil {
		return nil, err
	}
	return d.Tree()
}

// mustDecode is decode of text that is good.
func mustDecode(t testing.TB, f Format, text string) value.Tree {
	t.Helper()
	tree, err := decode(f, text)
	if err != nil {
		t.Fatalf("%v %.200q: %v", f, text, err)
	}
	return tree
}

// encode writes a document.
func encode(f Format, tree value.Tree, indent string) (string, Report, error) {
	var b bytes.Buffer
	r, err := Encode(f, &b, tree, EncodeOptions{Indent: indent})
	return b.String(), r, err
}

// build makes a document.
func build(t testing.TB, steps func(b value.Builder)) value.Tree {
	t.Helper()
	d := &value.Document{}
	steps(d)
	tree, err := d.Tree()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// buildScalar makes a document of one scalar.
func buildScalar(v value.Value) value.Tree {
	d := &value.Document{}
	d.Scalar(v)
	tree, _ := d.Tree()
	return tree
}

func TestFormats(t *testing.T) {
	for _, f := range Formats() {
		if got, err := ParseFormat(f.String()); got != f || err != nil {
			t.Errorf("ParseFormat(%q) = %v, %v", f.String(), got, err)
		}
	}
	if f, err := ParseFormat("yml"); f != FormatYAML || err != nil {
		t.Errorf("yml: %v, %v", f, err)
	}
	if _, err := ParseFormat("xml"); err == nil || !strings.Contains(err.Error(), "extjson, json, jsonl") {
		t.Errorf("xml: %v", err)
	}
	if got := Format(99).String(); got != "format(99)" {
		t.Errorf("got %q", got)
	}
	if _, err := Encode(99, io.Discard, buildScalar(value.Null()), EncodeOptions{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("encode in no format: %v", err)
	}
	if err := Decode(99, strings.NewReader(""), &value.Document{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("decode of no format: %v", err)
	}
}

// nest is a document of n lists in one another around a string.
func nest(t *testing.T, n int) value.Tree {
	return build(t, func(b value.Builder) {
		for range n {
			b.Begin(value.KindList)
		}
		b.Scalar(value.String("x"))
		for range n {
			b.End()
		}
	})
}

func TestDepth(t *testing.T) {
	deep, deeper, deepest := nest(t, MaxDepth), nest(t, MaxDepth+1), nest(t, 100_000)
	for _, f := range []Format{FormatExtJSON, FormatJSON, FormatYAML} {
		text, _, err := encode(f, deep, "")
		if err != nil {
			t.Errorf("%v: %d lists: %v", f, MaxDepth, err)
			continue
		}
		back, err := decode(f, text)
		if err != nil {
			t.Errorf("%v: reading %d lists: %v", f, MaxDepth, err)
		} else if path, equal := value.Equal(deep, back); !equal {
			t.Errorf("%v: %d lists differ at %.100s", f, MaxDepth, path)
		}
		for _, tree := range []value.Tree{deeper, deepest} {
			if _, _, err := encode(f, tree, ""); !errors.Is(err, ErrTooDeep) {
				t.Errorf("%v: a deeper tree: %v", f, err)
			}
		}
		for _, n := range []int{MaxDepth + 1, 5000, 100_000, 3_000_000} {
			for _, open := range []string{"[", `{"a":`, "- "} {
				if (open == "- ") != (f == FormatYAML) && (open == "- " || n > 10_000) {
					continue
				}
				_, err := decode(f, strings.Repeat(open, n))
				if !errors.Is(err, ErrTooDeep) && !(f == FormatYAML && errors.Is(err, ErrSyntax)) {
					t.Errorf("%v: %d times %q: %.300v", f, n, open, err)
				}
			}
		}
	}
	for _, open := range []string{"[", "{a=", "a.", "a . ", "'a'.", "[["} {
		for _, prefix := range []string{"", "a = "} {
			text := prefix + strings.Repeat(open, 1_000_000)
			if _, err := decode(FormatTOML, text); !errors.Is(err, ErrTooDeep) {
				t.Errorf("toml: %.20q…: %.300v", text, err)
			}
		}
	}
	var collections strings.Builder
	for range 5000 {
		collections.WriteString(`{"$pongo":{"collection":{"a":`)
	}
	if _, err := decode(FormatExtJSON, collections.String()); !errors.Is(err, ErrTooDeep) {
		t.Errorf("collections: %v", err)
	}
}

// fakeTree is a tree whose parts a test chooses.
type fakeTree struct {
	value.Tree
	kind     value.Kind
	children func(yield func(value.Value, value.Tree) bool)
	err      error
}

func (f *fakeTree) Kind() value.Kind                             { return f.kind }
func (f *fakeTree) Link() bool                                   { return false }
func (f *fakeTree) Scalar() (value.Value, error)                 { return value.Value{}, f.err }
func (f *fakeTree) Children() iter.Seq2[value.Value, value.Tree] { return f.children }
func (f *fakeTree) Err() error                                   { return f.err }

// listWithNames is a list of 1, a gap, 2, and a name beside them.
func listWithNames() value.Tree {
	return &fakeTree{kind: value.KindList, children: func(yield func(value.Value, value.Tree) bool) {
		_ = yield(value.Int(0), buildScalar(value.Int(1))) &&
			yield(value.Int(2), buildScalar(value.Int(2))) &&
			yield(value.String("3~"), buildScalar(value.Int(3)))
	}}
}

func TestListGapsAndNames(t *testing.T) {
	for _, test := range []struct {
		f    Format
		want string
	}{
		{FormatJSON, "[1,null,2]\n"},
		{FormatJSONL, "1\nnull\n2\n"},
		{FormatYAML, "- 1\n- null\n- 2\n"},
	} {
		got, report, err := encode(test.f, listWithNames(), "")
		if got != test.want || err != nil {
			t.Errorf("%v: %q, %v, want %q", test.f, got, err, test.want)
		}
		want := []Loss{{LossGap, 1, "1"}, {LossName, 1, "3~"}}
		if fmt.Sprint(report.Losses) != fmt.Sprint(want) {
			t.Errorf("%v: losses %v, want %v", test.f, report.Losses, want)
		}
	}
	// Extended JSON loses nothing.
	want := `{"$pongo":{"list":[[0,{"$numberLong":"1"}],[2,{"$numberLong":"2"}],["3~",{"$numberLong":"3"}]]}}` + "\n"
	got, report, err := encode(FormatExtJSON, listWithNames(), "")
	if got != want || err != nil || len(report.Losses) != 0 {
		t.Errorf("%q, %v, %v, want %q", got, report.Losses, err, want)
	}
	back := value.Document{}
	if err := Decode(FormatExtJSON, strings.NewReader(want), &back); err != nil {
		t.Fatal(err)
	}
	tree, err := back.Tree()
	if err != nil {
		t.Fatal(err)
	}
	if path, equal := value.Equal(tree, listWithNames()); !equal {
		t.Errorf("differs at %s", path)
	}
	for _, bad := range []string{
		`{"$pongo":{"list":[[1,1],[1,2]]}}`, `{"$pongo":{"list":[[-1,1]]}}`, `{"$pongo":{"list":[["a",1],[0,2]]}}`,
		`{"$pongo":{"list":[["a",1],["a",2]]}}`, `{"$pongo":{"list":[[1.5,1]]}}`, `{"$pongo":{"list":[[9000000,1]]}}`,
		`{"$pongo":{"list":[[0]]}}`, `{"$pongo":{"list":{}}}`, `{"$pongo":{"list":[[0,1]],"x":1}}`,
	} {
		if err := Decode(FormatExtJSON, strings.NewReader(bad), &value.Document{}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	dict := &fakeTree{kind: value.KindDict, children: func(yield func(value.Value, value.Tree) bool) {
		yield(value.String("l"), listWithNames())
	}}
	var doc *DocumentError
	if _, _, err := encode(FormatTOML, dict, ""); !errors.As(err, &doc) || doc.Path != "l/1" || !errors.Is(err, ErrUnsupported) {
		t.Errorf("toml: %v", err)
	}
}

func TestTreeErrors(t *testing.T) {
	cause := errors.New("cause")
	for _, f := range Formats() {
		for _, kind := range []value.Kind{value.KindList, value.KindDict, value.KindInt} {
			inner := &fakeTree{kind: kind, err: cause, children: func(func(value.Value, value.Tree) bool) {}}
			tree := &fakeTree{kind: value.KindDict, children: func(yield func(value.Value, value.Tree) bool) {
				yield(value.String("a/b"), inner)
			}}
			_, _, err := encode(f, tree, "")
			var doc *DocumentError
			if !errors.Is(err, cause) || !errors.As(err, &doc) || doc.Path != "a%2Fb" || doc.Offset != -1 {
				t.Errorf("%v, %v: %v", f, kind, err)
			}
		}
	}
}

// failingBuilder fails at the n-th call.
type failingBuilder struct {
	value.Document
	n   int
	err error
}

func (b *failingBuilder) fail() error {
	if b.n--; b.n < 0 {
		return b.err
	}
	return nil
}

func (b *failingBuilder) Scalar(v value.Value) error {
	return errors.Join(b.fail(), b.Document.Scalar(v))
}

func (b *failingBuilder) Link(s string) error { return errors.Join(b.fail(), b.Document.Link(s)) }

func (b *failingBuilder) Begin(k value.Kind) error { return errors.Join(b.fail(), b.Document.Begin(k)) }

func (b *failingBuilder) Key(k value.Value) error { return errors.Join(b.fail(), b.Document.Key(k)) }

func (b *failingBuilder) End() error { return errors.Join(b.fail(), b.Document.End()) }

func TestBuilderErrors(t *testing.T) {
	cause := errors.New("cause")
	for f, text := range map[Format]string{
		FormatJSON:  `{"a":[1,{"b":null}]}`,
		FormatJSONL: "{\"a\":1}\n[2]\n",
		FormatExtJSON: `{"a":{"$pongo":{"collection":{"b":{"$link":"l"},"$pongo":{"entries":[[{"$numberInt":"1"},
			{"$pongo":{"entries":[[null,{"$date":"2024-01-02T03:04:05Z"}]]}}]]}}}},"c":{"$pongo":{"string":""}}}`,
		FormatYAML: "a: [1, {b: 2}]\nc: &x {d: 1}\ne: {<<: *x}\n",
		FormatTOML: "a = [1, {b = 2}]\n[[c]]\nd = 1.5\n",
	} {
		for n := 0; ; n++ {
			err := Decode(f, strings.NewReader(text), &failingBuilder{n: n, err: cause})
			if err == nil {
				if n < 6 {
					t.Errorf("%v: only %d calls", f, n)
				}
				break
			}
			var doc *DocumentError
			if !errors.Is(err, cause) || !errors.As(err, &doc) {
				t.Errorf("%v, call %d: %v", f, n, err)
			}
		}
	}
}

// failingWriter takes n bytes.
type failingWriter struct {
	n   int
	err error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, w.err
	}
	return len(p), nil
}

func TestWriterErrors(t *testing.T) {
	cause := errors.New("cause")
	tree := build(t, func(b value.Builder) {
		b.Begin(value.KindDict)
		for i := range 10_000 {
			b.Key(value.String(fmt.Sprintf("key %d", i)))
			b.Begin(value.KindList)
			b.Scalar(value.String("some text"))
			b.End()
		}
		b.End()
	})
	for _, f := range Formats() {
		for _, n := range []int{0, 100_000} {
			if _, err := Encode(f, &failingWriter{n, cause}, tree, EncodeOptions{}); !errors.Is(err, cause) {
				t.Errorf("%v: %v", f, err)
			}
		}
	}
}

func TestReaderErrors(t *testing.T) {
	cause := errors.New("cause")
	for _, f := range Formats() {
		for _, text := range []string{"", `[1`, "[1]\n"} {
			r := io.MultiReader(strings.NewReader(text), &errorReader{cause})
			if err := Decode(f, r, &value.Document{}); !errors.Is(err, cause) {
				t.Errorf("%v after %q: %v", f, text, err)
			}
		}
	}
}

type errorReader struct{ err error }

func (r *errorReader) Read([]byte) (int, error) { return 0, r.err }

func TestLossText(t *testing.T) {
	for k := LossUUID; int(k) < len(lossNames); k++ {
		if k.String() == "" {
			t.Errorf("loss %d has no text", k)
		}
	}
	if got := LossKind(99).String(); got != "loss(99)" {
		t.Errorf("got %q", got)
	}
	if got, want := (Loss{LossGap, 3, "a/1"}).String(), "gaps in lists became null: 3, the first at a/1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := (Loss{What: LossUUID, Count: 1}).String(), "uuids became strings: 1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := showPath(strings.Repeat("é", 200)); len(got) > 204 || !utf8.ValidString(got) || got[0] == '"' {
		t.Errorf("long path shown as %q", got)
	}
	for _, path := range []string{"a\x1bb", "a\xffb", "a\nb"} {
		if got := showPath(path); got[0] != '"' {
			t.Errorf("path shown as %s", got)
		}
	}
}
