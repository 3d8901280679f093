package encoding

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/google/uuid"

	"pongofs/engine/value"
)

// extendedScalar reads a scalar, for where nothing else can be.
func (d *jsonDecoder) extendedScalar(tok json.Token) (value.Value, error) {
	if tok != json.Delim('{') {
		return d.simple(tok)
	}
	tok, err := d.token()
	if err != nil {
		return value.Value{}, err
	}
	word, _ := tok.(string)
	if _, isWrapper := wrapperWords[word]; !isWrapper || word == wordLink {
		return value.Value{}, d.fail(ErrSyntax, "want a scalar")
	}
	if word != wordPongo {
		return d.wrapper(word)
	}
	if word, err = d.pongoWord(); err != nil {
		return value.Value{}, err
	}
	v, err := d.pongoScalar(word)
	if err != nil {
		return value.Value{}, err
	}
	return v, d.closePongo()
}

// pongoScalar reads the text of a scalar in a $pongo.
func (d *jsonDecoder) pongoScalar(word string) (value.Value, error) {
	kind := value.KindInvalid
	switch word {
	case wordDatetime:
		kind = value.KindDatetime
	case wordFloat:
		kind = value.KindFloat
	case wordString:
	default:
		return value.Value{}, d.fail(ErrSyntax, fmt.Sprintf("%s has no %q", wordPongo, word))
	}
	s, err := d.text(word)
	if err != nil {
		return value.Value{}, err
	}
	if kind != value.KindInvalid {
		return d.parse(kind, s)
	}
	b, err := d.base64(s)
	return value.String(string(b)), err
}

// text reads a string. word says what it belongs to.
func (d *jsonDecoder) text(word string) (string, error) {
	tok, err := d.token()
	if err != nil {
		return "", err
	}
	s, ok := tok.(string)
	if !ok {
		return "", d.fail(ErrSyntax, word+" wants a string")
	}
	return s, nil
}

// parse reads the text of a scalar.
func (d *jsonDecoder) parse(kind value.Kind, s string) (value.Value, error) {
	v, st, reason := parseShort(kind, []byte(s))
	if st == stateOK {
		return v, nil
	}
	err := textError(kind, []byte(s), st, reason)
	return value.Value{}, d.fail(err, err.Error())
}

// base64 reads standard base64.
func (d *jsonDecoder) base64(s string) ([]byte, error) {
	// The package skips line breaks, which have no place here.
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, d.fail(ErrSyntax, "the string is not base64")
	}
	return b, nil
}

// wrapper reads the scalar that a word of Extended JSON begins, from behind
// the word to the end of the object.
func (d *jsonDecoder) wrapper(word string) (value.Value, error) {
	var v value.Value
	var err error
	switch word {
	case "$numberInt", "$numberLong":
		v, err = d.wrappedInt(word)
	case "$numberDouble":
		v, err = d.wrappedFloat(word)
	case "$date":
		v, err = d.wrappedDate(word)
	case "$uuid":
		var s string
		if s, err = d.text(word); err == nil {
			v, err = d.parse(value.KindUUID, s)
		}
	case "$binary":
		v, err = d.wrappedBinary(word)
	default:
		return value.Value{}, d.fail(ErrUnsupported, "a store has no values of type "+word)
	}
	if err != nil {
		return value.Value{}, err
	}
	return v, d.closeWrapper(word)
}

func (d *jsonDecoder) wrappedInt(word string) (value.Value, error) {
	s, err := d.text(word)
	if err != nil {
		return value.Value{}, err
	}
	v, err := d.parse(value.KindInt, s)
	if err != nil {
		return value.Value{}, err
	}
	if i := v.AsInt(); word == "$numberInt" && (i < math.MinInt32 || i > math.MaxInt32) {
		return value.Value{}, d.fail(ErrRange, fmt.Sprintf("%d does not fit the 32 bits of $numberInt", i))
	}
	return v, nil
}

func (d *jsonDecoder) wrappedFloat(word string) (value.Value, error) {
	s, err := d.text(word)
	if err != nil {
		return value.Value{}, err
	}
	return d.parse(value.KindFloat, s)
}

func (d *jsonDecoder) wrappedDate(word string) (value.Value, error) {
	tok, err := d.token()
	if err != nil {
		return value.Value{}, err
	}
	var ms value.Value
	switch t := tok.(type) {
	case string:
		return d.parse(value.KindDatetime, t)
	case json.Number:
		ms, err = d.simple(t)
	case json.Delim:
		ms, err = d.wrappedMillis(t)
	}
	if err != nil {
		return value.Value{}, err
	}
	if ms.Kind() != value.KindInt {
		return value.Value{}, d.fail(ErrSyntax, word+` wants {"$numberLong":"milliseconds"} or an RFC 3339 string`)
	}
	if i := ms.AsInt(); i > math.MaxInt64/1000 || i < math.MinInt64/1000 {
		return value.Value{}, d.fail(ErrRange, fmt.Sprintf("%d milliseconds do not fit a datetime", i))
	}
	return value.DatetimeMicro(ms.AsInt() * 1000), nil
}

// wrappedMillis reads the object of milliseconds in a $date.
func (d *jsonDecoder) wrappedMillis(delim json.Delim) (value.Value, error) {
	if delim != '{' {
		return value.Value{}, nil
	}
	return d.extendedScalar(delim)
}

func (d *jsonDecoder) wrappedBinary(word string) (value.Value, error) {
	if err := d.expect('{', "an object in "+word); err != nil {
		return value.Value{}, err
	}
	fields := map[string]string{}
	for range 2 {
		tok, err := d.token()
		if err != nil {
			return value.Value{}, err
		}
		name, _ := tok.(string)
		if _, double := fields[name]; double || name != "base64" && name != "subType" {
			return value.Value{}, d.fail(ErrSyntax, word+" wants base64 and subType")
		}
		if fields[name], err = d.text(name); err != nil {
			return value.Value{}, err
		}
	}
	if err := d.closeWrapper("base64 and subType"); err != nil {
		return value.Value{}, err
	}
	b, err := d.base64(fields["base64"])
	if err != nil {
		return value.Value{}, err
	}
	switch fields["subType"] {
	case subTypeBytes, "0":
		return value.Bytes(b), nil
	case subTypeUUID, "4":
		u, err := uuid.FromBytes(b)
		if err != nil {
			return value.Value{}, d.fail(ErrSyntax, "a binary of subtype 04 has 16 bytes")
		}
		return value.UUID(u), nil
	}
	return value.Value{}, d.fail(ErrUnsupported, fmt.Sprintf("a store has no binaries of subtype %q", fields["subType"]))
}
