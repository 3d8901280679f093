package encoding

import (
	"encoding/base64"
	"math"
	"unicode/utf8"

	"pongofs/engine/value"
)

// Extended JSON is written here token by token, since mongo-driver's bson
// package builds whole documents, has no list at the top, and cuts datetimes
// to milliseconds. What both know is read and written alike (a test compares).
//
// Canonical Extended JSON v2 has these values of a store:
//
//	null, bool, string, list, dict    as in JSON
//	int                               {"$numberLong":"42"}
//	float                             {"$numberDouble":"1.5"}, "Infinity", "-Infinity", "NaN"
//	datetime in whole milliseconds    {"$date":{"$numberLong":"1704164645000"}}
//	uuid                              {"$binary":{"base64":"…","subType":"04"}}
//	bytes                             {"$binary":{"base64":"…","subType":"00"}}
//
// The others have forms of our own, which other readers take for documents:
//
//	symbolic link                     {"$link":"target"}
//	collection                        {"$pongo":{"collection":{…}}}
//	datetime with microseconds        {"$pongo":{"datetime":"2024-01-02T03:04:05.000006Z"}}
//	NaN with other bits               {"$pongo":{"float":"nan(0xfff8000000000000)"}}
//	string that is not valid UTF-8    {"$pongo":{"string":"base64"}}
//	entries that cannot be members    "$pongo":{"entries":[[key,value],…]}
//	list with gaps or names           {"$pongo":{"list":[[0,value],[2,value],["name",value]]}}
//
// A key is a member's name if it is a string in UTF-8, is not "$pongo", and,
// as the first key, is not one by which a reader knows a value, such as
// "$date". From the first key that is not, the rest of the dict or collection
// follows as pairs in a last member "$pongo".
//
// Read are also plain numbers (as in JSON), {"$numberInt":"42"},
// {"$uuid":"…"}, and {"$date":…} with an RFC 3339 string or a number of
// milliseconds. BSON types that a store does not have are errors.
//
// A list with gaps, or with names beside its elements, is pairs of index or name
// and value, the indexes rising, so nothing is lost.

// The names of our own forms.
const (
	wordPongo      = "$pongo"
	wordLink       = "$link"
	wordCollection = "collection"
	wordEntries    = "entries"
	wordList       = "list"
	wordDatetime   = "datetime"
	wordFloat      = "float"
	wordString     = "string"
)

// wrapperWords are the names that, as the first of an object, make it a value
// and no dict; false for types that a store does not have.
var wrapperWords = map[string]bool{
	wordPongo:       true,
	wordLink:        true,
	"$numberInt":    true,
	"$numberLong":   true,
	"$numberDouble": true,
	"$date":         true,
	"$binary":       true,
	"$uuid":         true,

	"$oid":               false,
	"$numberDecimal":     false,
	"$symbol":            false,
	"$code":              false,
	"$scope":             false,
	"$timestamp":         false,
	"$regularExpression": false,
	"$dbPointer":         false,
	"$minKey":            false,
	"$maxKey":            false,
	"$undefined":         false,
}

// The subtypes of binaries, and Extended JSON's names of floats.
const (
	subTypeBytes = "00"
	subTypeUUID  = "04"

	extNaN    = "NaN"
	extInf    = "Infinity"
	extNegInf = "-Infinity"
)

// extended writes a value as Extended JSON.
func (e *jsonEncoder) extended(t value.Tree) error {
	switch t.Kind() {
	case value.KindList:
		if isDense(t) {
			return e.list(t, (*jsonEncoder).extended)
		}
		return e.pongo(wordList, func() error { return e.sparseList(t) })
	case value.KindDict:
		return e.extendedMembers(t)
	case value.KindCollection:
		return e.pongo(wordCollection, func() error { return e.extendedMembers(t) })
	}
	v, err := e.scalar(t)
	if err != nil {
		return err
	}
	e.buf = e.buf[:0]
	if t.Link() {
		e.buf = append(e.buf, `{"`+wordLink+`":`...)
	}
	e.buf = appendExtended(e.buf, v)
	if t.Link() {
		e.buf = append(e.buf, '}')
	}
	_, err = e.w.Write(e.buf)
	return err
}

// pongo writes a container in a form of our own.
func (e *jsonEncoder) pongo(word string, write func() error) error {
	e.open('{')
	if err := e.name(wordPongo); err != nil {
		return err
	}
	e.open('{')
	if err := e.name(word); err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	if err := e.shut('}'); err != nil {
		return err
	}
	return e.shut('}')
}

// isDense reports whether a list is an array: no gaps and no names beside its
// elements.
func isDense(t value.Tree) bool {
	var next int64
	for k := range t.Children() {
		if k != value.Int(next) {
			return false
		}
		next++
	}
	return true
}

// sparseList writes a list as pairs.
func (e *jsonEncoder) sparseList(t value.Tree) error {
	e.open('[')
	err := e.children(t, true, func(k value.Value, c value.Tree) error {
		e.path[len(e.path)-1].key = k
		if k.Kind() == value.KindInt {
			return e.pair(AppendText(nil, k), c)
		}
		return e.pair(appendExtended(nil, k), c)
	})
	if err != nil {
		return err
	}
	return e.shut(']')
}

// extendedMembers writes the object of a dict or collection.
func (e *jsonEncoder) extendedMembers(t value.Tree) error {
	first, pairs := true, false
	e.open('{')
	err := e.members(t, func(k value.Value, c value.Tree) error {
		if !pairs && !isMemberName(k, first) {
			pairs = true
			if err := e.name(wordPongo); err != nil {
				return err
			}
			e.open('{')
			if err := e.name(wordEntries); err != nil {
				return err
			}
			e.open('[')
		}
		first = false
		if !pairs {
			if err := e.name(k.AsString()); err != nil {
				return err
			}
			return e.extended(c)
		}
		return e.pair(appendExtended(nil, k), c)
	})
	if err != nil {
		return err
	}
	if pairs {
		if err := e.shut(']'); err != nil {
			return err
		}
		if err := e.shut('}'); err != nil {
			return err
		}
	}
	return e.shut('}')
}

// pair writes an entry as an array of its key, which is encoded already, and its
// value.
func (e *jsonEncoder) pair(key []byte, c value.Tree) error {
	if err := e.item(); err != nil {
		return err
	}
	e.open('[')
	if err := e.item(); err != nil {
		return err
	}
	if _, err := e.w.Write(key); err != nil {
		return err
	}
	if err := e.item(); err != nil {
		return err
	}
	if err := e.extended(c); err != nil {
		return err
	}
	return e.shut(']')
}

// isMemberName reports whether a key can be the name of a member. first says
// that it would be the first.
func isMemberName(k value.Value, first bool) bool {
	s := k.AsString()
	if k.Kind() != value.KindString || s == wordPongo || !utf8.ValidString(s) {
		return false
	}
	if !first {
		return true
	}
	_, isWrapper := wrapperWords[s]
	return !isWrapper
}

// appendExtended appends a scalar as Extended JSON.
func appendExtended(dst []byte, v value.Value) []byte {
	switch v.Kind() {
	case value.KindBool:
		return AppendText(dst, v)
	case value.KindInt:
		dst = append(dst, `{"$numberLong":`...)
		dst = appendQuotedInt(dst, v.AsInt())
		return append(dst, '}')
	case value.KindFloat:
		return appendExtendedFloat(dst, v)
	case value.KindDatetime:
		us := v.AsMicro()
		if us%1000 != 0 {
			return appendPongo(dst, wordDatetime, Text(v))
		}
		dst = append(dst, `{"$date":{"$numberLong":`...)
		dst = appendQuotedInt(dst, us/1000)
		return append(dst, "}}"...)
	case value.KindUUID:
		u := v.AsUUID()
		return appendBinary(dst, u[:], subTypeUUID)
	case value.KindBytes:
		return appendBinary(dst, []byte(v.AsString()), subTypeBytes)
	case value.KindString:
		s := v.AsString()
		if !utf8.ValidString(s) {
			return appendPongo(dst, wordString, base64.StdEncoding.EncodeToString([]byte(s)))
		}
		return appendJSONString(dst, s)
	}
	return append(dst, "null"...)
}

func appendExtendedFloat(dst []byte, v value.Value) []byte {
	f := v.AsFloat()
	dst = append(dst, `{"$numberDouble":"`...)
	switch {
	case math.IsInf(f, 1):
		dst = append(dst, extInf...)
	case math.IsInf(f, -1):
		dst = append(dst, extNegInf...)
	case math.Float64bits(f) == nanBits:
		dst = append(dst, extNaN...)
	case math.IsNaN(f):
		return appendPongo(dst[:len(dst)-len(`{"$numberDouble":"`)], wordFloat, Text(v))
	default:
		dst = AppendText(dst, v)
	}
	return append(dst, `"}`...)
}

// appendBinary appends a $binary.
func appendBinary(dst, b []byte, subType string) []byte {
	dst = append(dst, `{"$binary":{"base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, b)
	dst = append(dst, `","subType":"`...)
	dst = append(dst, subType...)
	return append(dst, `"}}`...)
}

// appendPongo appends a scalar in a form of our own.
func appendPongo(dst []byte, word, text string) []byte {
	dst = append(dst, `{"`+wordPongo+`":{"`...)
	dst = append(dst, word...)
	dst = append(dst, `":"`...)
	dst = append(dst, text...)
	return append(dst, `"}}`...)
}
