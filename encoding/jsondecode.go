package encoding

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"pongofs/engine/value"
)

// reasonTooDeep is the reason of ErrTooDeep.
var reasonTooDeep = fmt.Sprintf("more than %d containers lie in one another", MaxDepth)

// jsonDecoder reads JSON of either dialect token by token and feeds a builder.
// encoding/json finds the tokens and checks the grammar; what it lets pass, a
// jsonSource, the set of keys, and end take care of.
type jsonDecoder struct {
	format Format
	src    *jsonSource
	dec    *json.Decoder
	b      value.Builder
	path   docPath
	// keys holds the keys of the open dicts so far, see keySet.
	keys []value.Value
}

// jsonValue reads the value that begins with a token.
type jsonValue func(d *jsonDecoder, tok json.Token) error

// jsonReadBytes is how much of a document is read at a time.
const jsonReadBytes = 64 << 10

// decodeJSON reads one JSON document.
func decodeJSON(f Format, r io.Reader, b value.Builder, read jsonValue) error {
	d := &jsonDecoder{format: f, src: newJSONSource(r, jsonReadBytes, false), b: b}
	return d.document(read)
}

// decodeLines reads a list of documents, one a line.
func decodeLines(f Format, r io.Reader, b value.Builder, read jsonValue) error {
	d := &jsonDecoder{format: f, src: newJSONSource(r, jsonReadBytes, true), b: b}
	if err := d.built(b.Begin(value.KindList)); err != nil {
		return err
	}
	d.path = append(d.path, pathStep{list: true})
	for i := int64(0); ; i++ {
		d.path[0].key = value.Int(i)
		more, err := d.src.nextLine()
		if err != nil {
			return d.fail(err, err.Error())
		}
		if !more {
			break
		}
		if err := d.document(read); err != nil {
			return err
		}
	}
	d.path = nil
	return d.built(b.End())
}

// document reads one document up to the end of the source.
func (d *jsonDecoder) document(read jsonValue) error {
	d.dec = json.NewDecoder(d.src)
	d.dec.UseNumber()
	d.src.passed = d.dec.InputOffset
	tok, err := d.token()
	if err != nil {
		return err
	}
	if err := read(d, tok); err != nil {
		return err
	}
	switch _, err := d.dec.Token(); {
	case err == io.EOF:
		return nil
	case err == nil:
		return d.fail(ErrSyntax, "something follows the document")
	default:
		return d.readError(err)
	}
}

// token returns the next token.
func (d *jsonDecoder) token() (json.Token, error) {
	tok, err := d.dec.Token()
	if err != nil {
		return nil, d.readError(err)
	}
	return tok, nil
}

// readError makes the error for one of the decoder or its source.
func (d *jsonDecoder) readError(err error) error {
	var syntax *json.SyntaxError
	var fault textFault
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		if d.dec.InputOffset() == 0 {
			return d.fail(ErrSyntax, "the document is empty or ends too early")
		}
		return d.fail(ErrSyntax, "the document ends too early")
	case errors.As(err, &syntax), errors.As(err, &fault):
		return d.fail(ErrSyntax, err.Error())
	}
	return d.fail(err, err.Error())
}

// fail makes the error for the present place.
func (d *jsonDecoder) fail(err error, reason string) error {
	e := &DocumentError{Format: d.format, Path: d.path.String(), Reason: reason, Err: err}
	var offset int64
	if d.dec != nil {
		offset = d.dec.InputOffset()
	}
	e.Line, e.Offset = d.src.position(offset)
	return e
}

// built passes on the error of a call of the builder.
func (d *jsonDecoder) built(err error) error {
	if err == nil {
		return nil
	}
	return d.fail(err, err.Error())
}

// expect reads one delimiter. what says what it should have been.
func (d *jsonDecoder) expect(delim json.Delim, what string) error {
	tok, err := d.token()
	if err != nil {
		return err
	}
	if tok != delim {
		return d.fail(ErrSyntax, "want "+what)
	}
	return nil
}

// plain reads a value of plain JSON.
func (d *jsonDecoder) plain(tok json.Token) error {
	switch tok {
	case json.Delim('['):
		return d.list((*jsonDecoder).plain)
	case json.Delim('{'):
		if err := d.begin(value.KindDict); err != nil {
			return err
		}
		return d.members((*jsonDecoder).plain)
	}
	v, err := d.simple(tok)
	if err != nil {
		return err
	}
	return d.built(d.b.Scalar(v))
}

// simple returns the value of a token that is one.
func (d *jsonDecoder) simple(tok json.Token) (value.Value, error) {
	switch t := tok.(type) {
	case nil:
		return value.Null(), nil
	case bool:
		return value.Bool(t), nil
	case string:
		return value.String(t), nil
	case json.Number:
		v, reason, err := jsonNumber(string(t))
		if err != nil {
			return value.Value{}, d.fail(err, reason)
		}
		return v, nil
	}
	return value.Value{}, d.fail(ErrSyntax, fmt.Sprintf("unexpected %v", tok))
}

// begin begins a container.
func (d *jsonDecoder) begin(kind value.Kind) error {
	if len(d.path) >= MaxDepth {
		return d.fail(ErrTooDeep, reasonTooDeep)
	}
	return d.built(d.b.Begin(kind))
}

// list reads a list behind its bracket.
func (d *jsonDecoder) list(read jsonValue) error {
	if err := d.begin(value.KindList); err != nil {
		return err
	}
	d.path = append(d.path, pathStep{list: true})
	for i := int64(0); ; i++ {
		d.path[len(d.path)-1].key = value.Int(i)
		tok, err := d.token()
		if err != nil {
			return err
		}
		if tok == json.Delim(']') {
			break
		}
		if err := read(d, tok); err != nil {
			return err
		}
	}
	d.path = d.path[:len(d.path)-1]
	return d.built(d.b.End())
}

// members reads the members of a dict that has begun, behind its brace.
func (d *jsonDecoder) members(read jsonValue) error {
	keys := d.newKeySet()
	for {
		tok, err := d.token()
		if err != nil {
			return err
		}
		if tok == json.Delim('}') {
			return d.endMembers(keys)
		}
		name, _ := tok.(string) // encoding/json lets nothing else pass
		tok, err = d.key(keys, value.String(name))
		if err != nil {
			return err
		}
		if err := read(d, tok); err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
	}
}

// key begins the member k: it is in the path until the caller has read the
// value, whose first token it returns.
func (d *jsonDecoder) key(keys *keySet, k value.Value) (json.Token, error) {
	if !keys.add(d, k) {
		return nil, d.fail(ErrSyntax, "duplicate key "+k.GoString())
	}
	d.path = append(d.path, pathStep{key: k})
	if err := d.built(d.b.Key(k)); err != nil {
		return nil, err
	}
	return d.token()
}

// endMembers ends a dict or collection.
func (d *jsonDecoder) endMembers(keys *keySet) error {
	d.keys = d.keys[:keys.start]
	return d.built(d.b.End())
}

// keySet finds the duplicates among the keys of one dict. The few keys of most
// dicts lie on the stack jsonDecoder.keys.
type keySet struct {
	start int // of the keys in jsonDecoder.keys
	many  map[value.Value]struct{}
}

func (d *jsonDecoder) newKeySet() *keySet { return &keySet{start: len(d.keys)} }

// add adds k and reports whether it is new.
func (s *keySet) add(d *jsonDecoder, k value.Value) bool {
	const few = 16
	if s.many != nil {
		n := len(s.many)
		s.many[k] = struct{}{}
		return len(s.many) > n
	}
	keys := d.keys[s.start:]
	for _, other := range keys {
		if other == k {
			return false
		}
	}
	if len(keys) < few {
		d.keys = append(d.keys, k)
		return true
	}
	s.many = map[value.Value]struct{}{k: {}}
	for _, other := range keys {
		s.many[other] = struct{}{}
	}
	d.keys = d.keys[:s.start]
	return true
}

// jsonNumber returns the value of a JSON number.
//
// Digits without fraction and exponent are an int when they fit one. Beyond
// that they are a float when a float has exactly this value, else an error,
// since digits would be lost; -0 is the float -0.0, which an int cannot be.
// With fraction or exponent a number is the nearest float, as everywhere: an
// error only when it is too large for one, or so small that it would be 0.
func jsonNumber(s string) (v value.Value, reason string, err error) {
	if !strings.ContainsAny(s, ".eE") {
		i, st, _ := parseInt([]byte(s))
		switch {
		case s == "-0":
			return value.Float(math.Copysign(0, -1)), "", nil
		case st == stateOK:
			return value.Int(i), "", nil
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || strconv.FormatFloat(f, 'f', 0, 64) != s {
			return value.Value{}, fmt.Sprintf("the number %s fits neither int nor float without loss", clip(s)), ErrRange
		}
		return value.Float(f), "", nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return value.Value{}, fmt.Sprintf("the number %s does not fit a float", clip(s)), ErrRange
	}
	if f == 0 && !isZero(s) {
		return value.Value{}, fmt.Sprintf("the number %s is too small for a float", clip(s)), ErrRange
	}
	return value.Float(f), "", nil
}

// isZero reports whether the digits of a number before its exponent are zero.
func isZero(s string) bool {
	mantissa, _, _ := strings.Cut(strings.ToLower(s), "e")
	return !strings.ContainsAny(mantissa, "123456789")
}

// clip shortens a number for a message.
func clip(s string) string {
	const limit = 40
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
