package value

import (
	"errors"
	"testing"
)

// build runs steps on a new document and returns its tree.
func build(t *testing.T, steps func(d *Document)) Tree {
	t.Helper()
	d := &Document{}
	steps(d)
	tree, err := d.Tree()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestDocument(t *testing.T) {
	tree := build(t, func(d *Document) {
		d.Begin(KindCollection)
		d.Key(String("b"))
		d.Scalar(Int(1))
		d.Key(Int(5))
		d.Begin(KindList)
		d.Gap()
		d.Scalar(Null())
		d.Gap()
		d.Link("target")
		d.Gap()
		d.End()
		d.Key(String("a"))
		d.Begin(KindDict)
		d.End()
		d.End()
	})
	var got []string
	var walk func(path string, tree Tree)
	walk = func(path string, tree Tree) {
		v, _ := tree.Scalar()
		got = append(got, path+" "+tree.Kind().String()+" "+v.String())
		for k, c := range tree.Children() {
			walk(path+"/"+k.String(), c)
		}
	}
	walk("", tree)
	want := []string{
		" collection invalid", "/5 list invalid", "/5/1 null null", `/5/3 string "target"`,
		`/"a" dict invalid`, `/"b" int 1`,
	}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
	for range tree.Children() { // stopping early is fine
		break
	}
}

func TestDocumentRefuses(t *testing.T) {
	tests := []struct {
		name  string
		steps func(d *Document)
		err   error
	}{
		{"nothing", func(*Document) {}, ErrBuild},
		{"unended", func(d *Document) { d.Begin(KindList) }, ErrBuild},
		{"end of nothing", func(d *Document) { d.End() }, ErrBuild},
		{"second value", func(d *Document) { d.Scalar(Null()); d.Scalar(Null()) }, ErrBuild},
		{"invalid value", func(d *Document) { d.Scalar(Value{}) }, ErrBuild},
		{"scalar as container", func(d *Document) { d.Begin(KindInt) }, ErrBuild},
		{"key at the top", func(d *Document) { d.Key(Int(1)) }, ErrBuild},
		{"key in a list", func(d *Document) { d.Begin(KindList); d.Key(Int(1)) }, ErrBuild},
		{"two keys", func(d *Document) { d.Begin(KindDict); d.Key(Int(1)); d.Key(Int(2)) }, ErrBuild},
		{"key without value", func(d *Document) { d.Begin(KindDict); d.Key(Int(1)); d.End() }, ErrBuild},
		{"value without key", func(d *Document) { d.Begin(KindDict); d.Scalar(Int(1)) }, ErrBuild},
		{"gap in a dict", func(d *Document) { d.Begin(KindDict); d.Gap() }, ErrBuild},
		{"duplicate", func(d *Document) {
			d.Begin(KindDict)
			d.Key(Int(1))
			d.Scalar(Null())
			d.Key(Int(1))
			d.Scalar(Null())
			d.End()
		}, ErrDuplicateKey},
	}
	for _, test := range tests {
		d := &Document{}
		test.steps(d)
		if _, err := d.Tree(); !errors.Is(err, test.err) {
			t.Errorf("%s: %v, want %v", test.name, err, test.err)
		}
		if d.err == nil {
			continue
		}
		for _, err := range []error{
			d.Scalar(Null()), d.Link(""), d.Begin(KindList), d.Key(Null()), d.Gap(), d.End(),
		} {
			if !errors.Is(err, test.err) {
				t.Errorf("%s: a later call returns %v", test.name, err)
			}
		}
	}
}

func TestEqual(t *testing.T) {
	scalar := func(v Value) func(*Document) { return func(d *Document) { d.Scalar(v) } }
	list := func(vs ...Value) func(*Document) {
		return func(d *Document) {
			d.Begin(KindList)
			for _, v := range vs {
				if v.IsValid() {
					d.Scalar(v)
				} else {
					d.Gap()
				}
			}
			d.End()
		}
	}
	dict := func(kind Kind, key Value, member func(*Document)) func(*Document) {
		return func(d *Document) {
			d.Begin(kind)
			d.Key(key)
			member(d)
			d.End()
		}
	}
	tests := []struct {
		a, b  func(*Document)
		path  string
		equal bool
	}{
		{scalar(Int(1)), scalar(Int(1)), "", true},
		{scalar(Int(1)), scalar(Float(1)), "", false},
		{scalar(String("a")), func(d *Document) { d.Link("a") }, "", false},
		{scalar(Null()), list(), "", false},
		{list(Int(1), Int(2)), list(Int(1), Int(2)), "", true},
		{list(Int(1), Int(2)), list(Int(1), Int(3)), "/1", false},
		{list(Int(1), Int(2)), list(Int(1)), "/1", false},
		{list(Int(1)), list(Int(1), Value{}, Int(2)), "/2", false},
		{list(Int(1), Value{}), list(Int(1)), "", true},
		{dict(KindDict, String("k"), list(Int(1))), dict(KindDict, String("k"), list(Int(1))), "", true},
		{dict(KindDict, String("k"), list(Int(1))), dict(KindDict, String("k"), list(Int(2))), `/"k"/0`, false},
		{dict(KindDict, Int(5), list()), dict(KindDict, String("5"), list()), "/5", false},
		{dict(KindDict, Int(5), list()), dict(KindCollection, Int(5), list()), "", false},
	}
	for i, test := range tests {
		path, equal := Equal(build(t, test.a), build(t, test.b))
		if path != test.path || equal != test.equal {
			t.Errorf("case %d: %q, %v, want %q, %v", i, path, equal, test.path, test.equal)
		}
	}
}

func TestEqualDeep(t *testing.T) {
	const depth = 100_000
	deep := func(v Value) Tree {
		return build(t, func(d *Document) {
			for range depth {
				d.Begin(KindList)
			}
			d.Scalar(v)
			for range depth {
				d.End()
			}
		})
	}
	if _, equal := Equal(deep(Int(1)), deep(Int(1))); !equal {
		t.Error("deep documents differ")
	}
	if path, equal := Equal(deep(Int(1)), deep(Int(2))); equal || len(path) != 2*depth {
		t.Errorf("deep documents: equal %v, path of %d bytes", equal, len(path))
	}
}
