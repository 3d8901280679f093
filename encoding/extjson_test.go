package encoding

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pongofs/engine/value"
)

func TestExtendedScalars(t *testing.T) {
	tests := []struct {
		v    value.Value
		text string
	}{
		{value.Null(), `null`},
		{value.Bool(true), `true`},
		{value.Int(42), `{"$numberLong":"42"}`},
		{value.Int(math.MinInt64), `{"$numberLong":"-9223372036854775808"}`},
		{value.Float(1.5), `{"$numberDouble":"1.5"}`},
		{value.Float(1), `{"$numberDouble":"1.0"}`},
		{value.Float(math.Copysign(0, -1)), `{"$numberDouble":"-0.0"}`},
		{value.Float(math.NaN()), `{"$numberDouble":"NaN"}`},
		{value.Float(math.Inf(1)), `{"$numberDouble":"Infinity"}`},
		{value.Float(math.Inf(-1)), `{"$numberDouble":"-Infinity"}`},
		{value.Float(math.Float64frombits(0xFFF8000000000000)), `{"$pongo":{"float":"nan(0xfff8000000000000)"}}`},
		{value.DatetimeMicro(1704164645000000), `{"$date":{"$numberLong":"1704164645000"}}`},
		{value.DatetimeMicro(-1000), `{"$date":{"$numberLong":"-1"}}`},
		{value.DatetimeMicro(1704164645000006), `{"$pongo":{"datetime":"2024-01-02T03:04:05.000006Z"}}`},
		{value.DatetimeMicro(math.MinInt64), `{"$pongo":{"datetime":"-290308-12-21T19:59:05.224192Z"}}`},
		{value.UUID(testUUID), `{"$binary":{"base64":"AZHQxJ9efMOhsgEjRWeJqw==","subType":"04"}}`},
		{value.Bytes([]byte("\x00\xff")), `{"$binary":{"base64":"AP8=","subType":"00"}}`},
		{value.Bytes(nil), `{"$binary":{"base64":"","subType":"00"}}`},
		{value.String("<a>&é"), `"<a>&é"`},
		{value.String("$date"), `"$date"`},
		{value.String("\xff"), `{"$pongo":{"string":"/w=="}}`},
	}
	for _, test := range tests {
		got, report, err := encode(FormatExtJSON, buildScalar(test.v), "")
		if got != test.text+"\n" || err != nil || len(report.Losses) > 0 {
			t.Errorf("%v is written as %q, %v, %v", test.v, got, report, err)
		}
		if v, _ := mustDecode(t, FormatExtJSON, test.text).Scalar(); v != test.v {
			t.Errorf("%s = %v, want %v", test.text, v, test.v)
		}
	}
}

func TestExtendedAccepts(t *testing.T) {
	tests := []struct {
		text string
		v    value.Value
	}{
		{`42`, value.Int(42)},
		{`1.5`, value.Float(1.5)},
		{`{"$numberInt":"-5"}`, value.Int(-5)},
		{`{"$numberDouble":"1E+2"}`, value.Float(100)},
		{`{"$numberDouble":"5"}`, value.Float(5)},
		{`{"$uuid":"0191D0C4-9f5e-7cc3-a1b2-0123456789ab"}`, value.UUID(testUUID)},
		{`{"$date":"2024-01-02T04:04:05.5+01:00"}`, value.DatetimeMicro(1704164645500000)},
		{`{"$date":1704164645000}`, value.DatetimeMicro(1704164645000000)},
		{`{"$date":{"$numberInt":"1"}}`, value.DatetimeMicro(1000)},
		{`{"$binary":{"subType":"4","base64":"AZHQxJ9efMOhsgEjRWeJqw=="}}`, value.UUID(testUUID)},
	}
	for _, test := range tests {
		if v, _ := mustDecode(t, FormatExtJSON, test.text).Scalar(); v != test.v {
			t.Errorf("%s = %v, want %v", test.text, v, test.v)
		}
	}
}

func TestExtendedContainers(t *testing.T) {
	dict := func(kind value.Kind, entries ...any) func(b value.Builder) {
		return func(b value.Builder) {
			b.Begin(kind)
			for i := 0; i < len(entries); i += 2 {
				b.Key(entries[i].(value.Value))
				switch v := entries[i+1].(type) {
				case value.Value:
					b.Scalar(v)
				case func(value.Builder):
					v(b)
				}
			}
			b.End()
		}
	}
	str := value.String
	tests := []struct {
		steps func(b value.Builder)
		text  string
	}{
		{dict(value.KindDict), `{}`},
		{dict(value.KindCollection), `{"$pongo":{"collection":{}}}`},
		{func(b value.Builder) { b.Link("a/b") }, `{"$link":"a/b"}`},
		{func(b value.Builder) { b.Link("\xff") }, `{"$link":{"$pongo":{"string":"/w=="}}}`},
		{dict(value.KindDict, str(""), str("x"), str("a/b"), value.Null()), `{"":"x","a/b":null}`},
		{dict(value.KindDict, str("$set"), str("x")), `{"$set":"x"}`},
		{dict(value.KindDict, str("#"), str("x"), str("$date"), str("x")), `{"#":"x","$date":"x"}`},
		{dict(value.KindDict, str("$date"), str("x"), str("a"), str("y")), `{"$pongo":{"entries":[["$date","x"],["a","y"]]}}`},
		{dict(value.KindDict, str("$oid"), str("x")), `{"$pongo":{"entries":[["$oid","x"]]}}`},
		{dict(value.KindCollection, str("$date"), str("x")), `{"$pongo":{"collection":{"$pongo":{"entries":[["$date","x"]]}}}}`},
		{dict(value.KindDict, str("$pongo"), str("x")), `{"$pongo":{"entries":[["$pongo","x"]]}}`},
		{dict(value.KindCollection, str("$pongo"), str("x")), `{"$pongo":{"collection":{"$pongo":{"entries":[["$pongo","x"]]}}}}`},
		{dict(value.KindDict, str("#"), str("x"), str("$pongo"), str("y"), str("z"), str("z")), `{"#":"x","$pongo":{"entries":[["$pongo","y"],["z","z"]]}}`},
		{dict(value.KindDict, str("a"), str("x"), str("\xff"), str("y")), `{"a":"x","$pongo":{"entries":[[{"$pongo":{"string":"/w=="}},"y"]]}}`},
		{dict(value.KindDict, value.Int(5), str("int"), str("5"), dict(value.KindDict)), `{"$pongo":{"entries":[[{"$numberLong":"5"},"int"],["5",{}]]}}`},
		{
			dict(value.KindDict, value.Null(), str("x"), value.Bool(false), str("y"), value.UUID(testUUID), str("z")),
			`{"$pongo":{"entries":[[null,"x"],[false,"y"],[{"$binary":{"base64":"AZHQxJ9efMOhsgEjRWeJqw==","subType":"04"}},"z"]]}}`,
		},
	}
	for _, test := range tests {
		tree := build(t, test.steps)
		got, report, err := encode(FormatExtJSON, tree, "")
		if got != test.text+"\n" || err != nil || len(report.Losses) > 0 {
			t.Errorf("got %s, %v, %v, want %s", got, report, err, test.text)
		}
		if path, equal := value.Equal(tree, mustDecode(t, FormatExtJSON, test.text)); !equal {
			t.Errorf("%s differs at %s", test.text, path)
		}
	}
}

func TestExtendedErrors(t *testing.T) {
	tests := []struct {
		text string
		err  error
		path string
		part string
	}{
		{`{"$numberInt":"2147483648"}`, ErrRange, "", "32 bits"},
		{`{"$numberLong":"9223372036854775808"}`, ErrRange, "", "64 bits"},
		{`{"$numberLong":5}`, ErrSyntax, "", "$numberLong wants a string"},
		{`{"a":{"$numberLong":"x"}}`, ErrSyntax, "a", "not a digit"},
		{`{"$numberLong":"5","x":1}`, ErrSyntax, "", "nothing else beside $numberLong"},
		{`{"$numberDouble":"1e400"}`, ErrRange, "", ""},
		{`{"$date":"yesterday"}`, ErrSyntax, "", ""},
		{`{"$date":true}`, ErrSyntax, "", "RFC 3339"},
		{`{"$date":[]}`, ErrSyntax, "", "RFC 3339"},
		{`{"$date":1.5}`, ErrSyntax, "", "RFC 3339"},
		{`{"$date":{"$numberLong":"9223372036854775807"}}`, ErrRange, "", "datetime"},
		{`{"$uuid":"x"}`, ErrSyntax, "", ""},
		{`{"$binary":"AA=="}`, ErrSyntax, "", ""},
		{`{"$binary":{"base64":"AA=="}}`, ErrSyntax, "", ""},
		{`{"$binary":{"base64":"AA==","base64":"AA=="}}`, ErrSyntax, "", ""},
		{`{"$binary":{"base64":"A","subType":"00"}}`, ErrSyntax, "", "base64"},
		{`{"$binary":{"base64":"AB==","subType":"00"}}`, ErrSyntax, "", "base64"},
		{`{"$binary":{"base64":"AA=\n=","subType":"00"}}`, ErrSyntax, "", ""},
		{`{"$binary":{"base64":"AA==","subType":"04"}}`, ErrSyntax, "", "16 bytes"},
		{`{"$binary":{"base64":"AA==","subType":"05"}}`, ErrUnsupported, "", `"05"`},
		{`{"$binary":{"base64":"AA==","subType":"00","x":1}}`, ErrSyntax, "", ""},
		{`[{"$oid":"0123456789abcdef01234567"}]`, ErrUnsupported, "0", "$oid"},
		{`{"$numberDecimal":"1"}`, ErrUnsupported, "", "$numberDecimal"},
		{`{"$link":5}`, ErrSyntax, "", "target"},
		{`{"$link":{}}`, ErrSyntax, "", ""},
		{`{"$link":"x","y":1}`, ErrSyntax, "", ""},
		{`{"$pongo":5}`, ErrSyntax, "", ""},
		{`{"$pongo":{}}`, ErrSyntax, "", "empty"},
		{`{"$pongo":{"x":"y"}}`, ErrSyntax, "", `"x"`},
		{`{"$pongo":{"datetime":"x"}}`, ErrSyntax, "", ""},
		{`{"$pongo":{"datetime":5}}`, ErrSyntax, "", ""},
		{`{"$pongo":{"string":"?"}}`, ErrSyntax, "", "base64"},
		{`{"$pongo":{"string":"","x":""}}`, ErrSyntax, "", ""},
		{`{"$pongo":{"string":""},"x":""}`, ErrSyntax, "", ""},
		{`{"$pongo":{"collection":[]}}`, ErrSyntax, "", ""},
		{`{"$pongo":{"collection":{},"x":1}}`, ErrSyntax, "", ""},
		{`{"$pongo":{"entries":{}}}`, ErrSyntax, "", ""},
		{`{"$pongo":{"entries":[1]}}`, ErrSyntax, "", "[key, value]"},
		{`{"$pongo":{"entries":[[]]}}`, ErrSyntax, "", ""},
		{`{"$pongo":{"entries":[["a"]]}}`, ErrSyntax, "a", "no value"},
		{`{"$pongo":{"entries":[["a",1,2]]}}`, ErrSyntax, "", ""},
		{`{"$pongo":{"entries":[[{},1]]}}`, ErrSyntax, "", "scalar"},
		{`{"$pongo":{"entries":[[{"$link":"x"},1]]}}`, ErrSyntax, "", "scalar"},
		{`{"$pongo":{"entries":[[[],1]]}}`, ErrSyntax, "", ""},
		{`{"$pongo":{"entries":[["a",1],["a",2]]}}`, ErrSyntax, "", "duplicate"},
		{`{"a":1,"$pongo":{"entries":[["a",2]]}}`, ErrSyntax, "", "duplicate"},
		{`{"a":1,"$pongo":{"entries":[]},"b":2}`, ErrSyntax, "", "nothing behind $pongo"},
		{`{"a":1,"$pongo":{"string":""}}`, ErrSyntax, "", `no "string"`},
		{`{"a":1,"$pongo":{"entries":[],"x":1}}`, ErrSyntax, "", ""},
		{`{"$numberLong":`, ErrSyntax, "", "too early"},
		{`{"$pongo":{"entries":[[`, ErrSyntax, "", "too early"},
		{`{`, ErrSyntax, "", "too early"},
	}
	for _, test := range tests {
		_, err := decode(FormatExtJSON, test.text)
		var doc *DocumentError
		if !errors.Is(err, test.err) || !errors.As(err, &doc) || doc.Path != test.path || !strings.Contains(err.Error(), test.part) {
			t.Errorf("%s: %v (path %q), want %v, path %q, text %q", test.text, err, doc.Path, test.err, test.path, test.part)
		}
	}
}

// TestExtendedRoundTrip writes random documents and reads them again.
func TestExtendedRoundTrip(t *testing.T) {
	for seed := range uint64(300) {
		checkExtended(t, seed)
	}
}

func checkExtended(t *testing.T, seed uint64) {
	t.Helper()
	tree := build(t, func(b value.Builder) { newDocGen(seed).value(b, 0) })
	for _, indent := range []string{"", " "} {
		text, report, err := encode(FormatExtJSON, tree, indent)
		if err != nil || len(report.Losses) > 0 {
			t.Fatalf("seed %d: %v, %v", seed, report, err)
		}
		if path, equal := value.Equal(tree, mustDecode(t, FormatExtJSON, text)); !equal {
			t.Fatalf("seed %d: %s differs at %s", seed, text, path)
		}
	}
}

func FuzzExtended(f *testing.F) {
	for i, s := range []string{
		`{"$numberLong":"5"}`, `{"$pongo":{"collection":{"a":[{"$link":"x"}]}}}`, `{"a":1,"$pongo":{"entries":[[null,1],[{"$date":0},2]]}}`,
		`{"$binary":{"base64":"","subType":"00"}}`, `{"$pongo":{"string":"/w=="}}`, `{"$numberDouble":"NaN"}`,
		`{"$date":{"$numberLong":"1"}}`, `{"$uuid":"0191d0c4-9f5e-7cc3-a1b2-0123456789ab"}`, `{"$x":1,"$date":2}`,
	} {
		f.Add(uint64(i), s)
	}
	f.Fuzz(func(t *testing.T, seed uint64, text string) {
		checkExtended(t, seed)
		checkStable(t, FormatExtJSON, text)
	})
}

// TestBSONAgrees checks that mongo-driver reads what we write, and that we read
// what it writes, for the types that both have.
func TestBSONAgrees(t *testing.T) {
	at := time.UnixMilli(1704164645006).UTC()
	tree := build(t, func(b value.Builder) {
		b.Begin(value.KindDict)
		for _, e := range []struct {
			k string
			v value.Value
		}{
			{"bool", value.Bool(true)},
			{"bytes", value.Bytes([]byte{0, 255})},
			{"date", value.Datetime(at)},
			{"float", value.Float(1.5)},
			{"inf", value.Float(math.Inf(-1))},
			{"int", value.Int(42)},
			{"large", value.Float(1e300)},
			{"link", value.String("")},
			{"nan", value.Float(math.NaN())},
			{"null", value.Null()},
			{"string", value.String("\x00<é>\u2028\"\\")},
			{"uuid", value.UUID(testUUID)},
			{"whole", value.Float(5)},
		} {
			b.Key(value.String(e.k))
			b.Scalar(e.v)
		}
		b.Key(value.String("x"))
		b.Begin(value.KindList)
		b.Begin(value.KindDict)
		b.Key(value.String("$set"))
		b.Scalar(value.Int(math.MinInt64))
		b.End()
		b.End()
		b.End()
	})
	text, _, err := encode(FormatExtJSON, tree, "")
	if err != nil {
		t.Fatal(err)
	}
	var m bson.M
	if err := bson.UnmarshalExtJSON([]byte(text), true, &m); err != nil {
		t.Fatalf("mongo-driver refuses %s: %v", text, err)
	}
	want := map[string]any{
		"bool": true, "bytes": bson.Binary{Data: []byte{0, 255}}, "date": bson.NewDateTimeFromTime(at),
		"float": 1.5, "inf": math.Inf(-1), "int": int64(42), "large": 1e300, "link": "", "null": nil,
		"string": "\x00<é>\u2028\"\\", "uuid": bson.Binary{Subtype: 4, Data: testUUID[:]}, "whole": 5.0,
	}
	for k, v := range want {
		if fmt.Sprintf("%#v", m[k]) != fmt.Sprintf("%#v", v) {
			t.Errorf("%s: mongo-driver reads %#v, want %#v", k, m[k], v)
		}
	}
	for _, canonical := range []bool{true, false} {
		theirs, err := bson.MarshalExtJSON(m, canonical, false)
		if err != nil {
			t.Fatal(err)
		}
		if path, equal := value.Equal(tree, mustDecode(t, FormatExtJSON, string(theirs))); !equal {
			t.Errorf("canonical %v: %s differs at %s", canonical, theirs, path)
		}
	}
}

// TestBSONTakesOurForms checks that the forms of our own, and keys that look
// like values, are documents to mongo-driver.
func TestBSONTakesOurForms(t *testing.T) {
	for seed := range uint64(200) {
		g := newDocGen(seed)
		tree := build(t, func(b value.Builder) { g.dict(b, value.KindDict, 0) })
		text, _, err := encode(FormatExtJSON, tree, "")
		if err != nil {
			t.Fatal(err)
		}
		var raw bson.Raw
		if err := bson.UnmarshalExtJSON([]byte(text), true, &raw); err != nil {
			if strings.Contains(text, `\u0000`) {
				continue // BSON has no keys with NUL
			}
			t.Errorf("seed %d: mongo-driver refuses %.500s: %v", seed, text, err)
		}
	}
}
