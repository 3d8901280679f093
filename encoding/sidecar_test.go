package encoding

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pongofs/engine/value"
)

func TestSidecar(t *testing.T) {
	long := value.String(strings.Repeat("long/", 60))
	longName, _ := EscapeName(long)
	broken := value.String(strings.Repeat("\xff", 300))
	brokenName, _ := EscapeName(broken)
	binary := value.Bytes(make([]byte, 200))
	binaryName, _ := EscapeName(binary)
	lines := []SidecarLine{
		{Name: "zip", Kind: value.KindString},
		{Name: longName, Key: long},
		{Name: "a\"b\n", Kind: value.KindNull},
		{Name: "\xfff", Kind: value.KindInt},
		{Name: ".", Kind: value.KindList},
		{Name: "!", Kind: value.KindDatetime},
		{Name: binaryName, Kind: value.KindFloat, Key: binary},
		{Name: brokenName, Key: broken},
	}
	got := string(AppendSidecar(nil, lines))
	want := `{"name":".","type":"list"}
{"name":"!","type":"datetime"}
{"name":"` + binaryName + `","type":"float","key":"%=x` + strings.Repeat("00", 200) + `"}
{"name":"` + longName + `","key":"` + strings.Repeat("long%2F", 60) + `"}
{"name_hex":"` + hexOf(brokenName) + `","key_hex":"` + strings.Repeat("ff", 300) + `"}
{"name":"a\"b\n","type":"null"}
{"name":"zip","type":"string"}
{"name_hex":"ff66","type":"int"}
`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	back, err := ParseSidecar([]byte(got))
	if err != nil {
		t.Fatal(err)
	}
	if again := string(AppendSidecar(nil, back)); again != got {
		t.Errorf("regenerated as %s", again)
	}
	if lines[0].Name != "zip" {
		t.Error("AppendSidecar sorts the caller's lines")
	}
	if got := AppendSidecar([]byte("x"), nil); string(got) != "x" {
		t.Errorf("no lines give %q", got)
	}
}

// hexOf returns the bytes of s in hexadecimal.
func hexOf(s string) string {
	v := value.Bytes([]byte(s))
	return strings.TrimPrefix(EscapeKey(v), "%=x")
}

func TestParseSidecar(t *testing.T) {
	got, err := ParseSidecar([]byte("\n  {\"type\" : \"int\", \"name\":\"b\\u0041\"}\r\n\n{\"name\":\"a\",\"type\":\"bytes\"}"))
	want := []SidecarLine{{Name: "bA", Kind: value.KindInt}, {Name: "a", Kind: value.KindBytes}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, empty := range []string{"", "\n", " \n\n"} {
		if got, err := ParseSidecar([]byte(empty)); err != nil || len(got) != 0 {
			t.Errorf("%q: %v, %v", empty, got, err)
		}
	}
}

func TestSidecarErrors(t *testing.T) {
	long := strings.Repeat("x", 300)
	longName, _ := EscapeName(value.String(long))
	tests := []struct {
		text string
		line int
		part string
	}{
		{`x`, 1, "invalid character"},
		{"\n[]", 2, "want an object"},
		{`"a"`, 1, "want an object"},
		{`{"name":"a","type":"int"} x`, 1, "invalid character"},
		{`{"name":"a","type":"int"} {}`, 1, "follows"},
		{"{\"name\":\"a\",\n\"type\":\"int\"}", 1, "too early"},
		{`{"name":"a"}`, 1, "neither type nor key"},
		{`{"type":"int"}`, 1, "no name"},
		{`{}`, 1, "no name"},
		{"{\"name\":\"a\",\"type\":\"int\"}\n{\"name\":\"a\",\"type\":\"int\"}", 2, `second line for "a"`},
		{`{"name":"a","name":"b","type":"int"}`, 1, "second name"},
		{`{"name":"a","name_hex":"62","type":"int"}`, 1, "second name"},
		{`{"name":"a","type":"int","type":"int"}`, 1, "second type"},
		{`{"name":"a","type":"integer"}`, 1, `"integer" is not a type`},
		{`{"name":"a","type":"invalid"}`, 1, "not a type"},
		{`{"name":"a","type":5}`, 1, "type wants a string"},
		{`{"name":"a","Type":"int"}`, 1, `unknown field "Type"`},
		{`{"name":"a","type":"int","mode":"x"}`, 1, `unknown field "mode"`},
		{`{"name":"","type":"int"}`, 1, "not a file name"},
		{`{"name":"..","type":"int"}`, 1, "not a file name"},
		{`{"name":"a/b","type":"int"}`, 1, "not a file name"},
		{`{"name":"a\u0000","type":"int"}`, 1, "not a file name"},
		{`{"name":".pongo-types","type":"int"}`, 1, "reserved"},
		{`{"name":"` + long + `","type":"int"}`, 1, "too long"},
		{`{"name_hex":"f","type":"int"}`, 1, "hexadecimal"},
		{`{"name_hex":"2f","type":"int"}`, 1, "not a file name"},
		{"{\"name\":\"\xff\",\"type\":\"int\"}", 1, "UTF-8"},
		{`{"name":"\ud800","type":"int"}`, 1, "surrogate"},
		{`{"name":".","type":"int"}`, 1, "directory cannot be"},
		{`{"name":".","key":"x"}`, 1, "no key"},
		{`{"name":"a","type":"list"}`, 1, "own sidecar"},
		{`{"name":"a","key":"a"}`, 1, "not that of the name"},
		{`{"name":"` + longName + `","key":"x"}`, 1, "not that of the name"},
		{`{"name":"` + longName + `","key":""}`, 1, "not a file name"},
		{`{"name":"` + longName + `","key":"` + long + `","key":"` + long + `"}`, 1, "second key"},
	}
	for _, test := range tests {
		lines, err := ParseSidecar([]byte(test.text))
		var bad *SidecarError
		if !errors.As(err, &bad) || bad.Line != test.line || !strings.Contains(bad.Reason, test.part) || !errors.Is(err, ErrSyntax) {
			t.Errorf("%.200q: %v, %v, want line %d, %q", test.text, lines, err, test.line, test.part)
		}
	}
	_, err := ParseSidecar([]byte("\n{}"))
	if got, want := err.Error(), ".pongo-types line 2: it has no name"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzSidecar(f *testing.F) {
	long := value.String(strings.Repeat("x", 300))
	name, _ := EscapeName(long)
	f.Add(AppendSidecar(nil, []SidecarLine{
		{Name: ".", Kind: value.KindCollection}, {Name: "\xff", Kind: value.KindUUID}, {Name: name, Key: long},
	}))
	f.Add([]byte(`{"name":"\ud83d\ude00","type":"int"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines, err := ParseSidecar(text)
		if err != nil {
			var bad *SidecarError
			if !errors.As(err, &bad) || bad.Line < 1 || bad.Line > bytes.Count(text, []byte("\n"))+1 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		canonical := AppendSidecar(nil, lines)
		again, err := ParseSidecar(canonical)
		if err != nil || len(again) != len(lines) {
			t.Fatalf("%q is written as %q: %v", text, canonical, err)
		}
		if got := AppendSidecar(nil, again); !bytes.Equal(got, canonical) {
			t.Fatalf("%q is regenerated as %q", canonical, got)
		}
	})
}
