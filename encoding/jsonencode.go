package encoding

import (
	"bufio"
	"encoding/base64"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"pongofs/engine/value"
)

// jsonEncoder writes JSON of either dialect.
type jsonEncoder struct {
	*walker
	w      *bufio.Writer
	indent string
	level  int
	empty  bool // nothing is in the innermost container yet
	buf    []byte
}

// jsonWrite writes one value.
type jsonWrite func(e *jsonEncoder, t value.Tree) error

// encodeJSON writes one document and a newline.
func encodeJSON(walk *walker, w io.Writer, t value.Tree, indent string, write jsonWrite) error {
	e := &jsonEncoder{walker: walk, w: bufio.NewWriterSize(w, 64<<10), indent: indent}
	if err := write(e, t); err != nil {
		return e.flushed(err)
	}
	e.w.WriteByte('\n')
	return e.flushed(nil)
}

// encodeLines writes the elements of a list, or the values of a dict or
// collection, one a line.
func encodeLines(walk *walker, w io.Writer, t value.Tree, write jsonWrite) error {
	e := &jsonEncoder{walker: walk, w: bufio.NewWriterSize(w, 64<<10)}
	line := func(c value.Tree) error {
		if err := write(e, c); err != nil {
			return err
		}
		return e.w.WriteByte('\n')
	}
	switch t.Kind() {
	case value.KindList:
		return e.flushed(e.elements(t, func() error {
			_, err := e.w.WriteString("null\n")
			return err
		}, line))
	case value.KindDict, value.KindCollection:
		return e.flushed(e.members(t, func(_ value.Value, c value.Tree) error {
			e.lose(LossMemberKey)
			return line(c)
		}))
	}
	return e.fail(ErrUnsupported, "a single value has no lines: want a list, dict or collection")
}

// flushed writes what is buffered and returns the first error.
func (e *jsonEncoder) flushed(err error) error {
	if flushErr := e.w.Flush(); err == nil {
		err = flushErr
	}
	return err
}

// open begins an object or array.
func (e *jsonEncoder) open(bracket byte) {
	e.w.WriteByte(bracket)
	e.level++
	e.empty = true
}

// shut ends an object or array.
func (e *jsonEncoder) shut(bracket byte) error {
	e.level--
	if !e.empty {
		e.newline()
	}
	e.empty = false
	return e.w.WriteByte(bracket)
}

// item begins an element or member. A broken writer ends the walk here.
func (e *jsonEncoder) item() error {
	var err error
	if !e.empty {
		err = e.w.WriteByte(',')
	}
	e.newline()
	e.empty = false
	return err
}

// name begins a member and writes its name, which must be valid UTF-8.
func (e *jsonEncoder) name(name string) error {
	if err := e.item(); err != nil {
		return err
	}
	e.buf = append(appendJSONString(e.buf[:0], name), ':')
	if e.indent != "" {
		e.buf = append(e.buf, ' ')
	}
	_, err := e.w.Write(e.buf)
	return err
}

func (e *jsonEncoder) newline() {
	if e.indent == "" {
		return
	}
	e.w.WriteByte('\n')
	for range e.level {
		e.w.WriteString(e.indent)
	}
}

// list writes a list.
func (e *jsonEncoder) list(t value.Tree, write jsonWrite) error {
	e.open('[')
	err := e.elements(t, func() error {
		if err := e.item(); err != nil {
			return err
		}
		_, err := e.w.WriteString("null")
		return err
	}, func(c value.Tree) error {
		if err := e.item(); err != nil {
			return err
		}
		return write(e, c)
	})
	if err != nil {
		return err
	}
	return e.shut(']')
}

// plain writes a value as plain JSON: a dict or collection as an object in key
// order, a list as an array with null for gaps, and scalars as plainScalar
// does.
func (e *jsonEncoder) plain(t value.Tree) error {
	switch t.Kind() {
	case value.KindList:
		return e.list(t, (*jsonEncoder).plain)
	case value.KindDict, value.KindCollection:
		if t.Kind() == value.KindCollection {
			e.lose(LossCollection)
		}
		e.open('{')
		var names memberNames
		err := e.members(t, func(k value.Value, c value.Tree) error {
			name, err := names.name(e.walker, k)
			if err != nil {
				return err
			}
			if !utf8.ValidString(name) {
				return e.fail(ErrUnsupported, "the key is not valid UTF-8, which JSON cannot write")
			}
			if err := e.name(name); err != nil {
				return err
			}
			return e.plain(c)
		})
		if err != nil {
			return err
		}
		return e.shut('}')
	}
	v, err := e.scalar(t)
	if err != nil {
		return err
	}
	if t.Link() {
		e.lose(LossLink)
	}
	return e.plainScalar(v)
}

// plainScalar writes a scalar as plain JSON: ints as their digits, floats
// always with '.' or 'e', and all but null, bool and numbers as strings.
func (e *jsonEncoder) plainScalar(v value.Value) error {
	e.buf = e.buf[:0]
	switch v.Kind() {
	case value.KindNull:
		e.buf = append(e.buf, "null"...)
	case value.KindBool, value.KindInt:
		e.buf = AppendText(e.buf, v)
	case value.KindFloat:
		if f := v.AsFloat(); math.IsNaN(f) || math.IsInf(f, 0) {
			return e.fail(ErrUnsupported, "JSON has no "+Text(v)+"; Extended JSON has")
		}
		e.buf = AppendText(e.buf, v)
	case value.KindString:
		if !utf8.ValidString(v.AsString()) {
			return e.fail(ErrUnsupported, "the string is not valid UTF-8, which JSON cannot write; Extended JSON can")
		}
		e.buf = appendJSONString(e.buf, v.AsString())
	default:
		e.loseType(v.Kind())
		e.buf = appendJSONString(e.buf, plainText(v))
	}
	_, err := e.w.Write(e.buf)
	return err
}

// loseType counts a scalar that becomes a string.
func (w *walker) loseType(k value.Kind) {
	switch k {
	case value.KindUUID:
		w.lose(LossUUID)
	case value.KindDatetime:
		w.lose(LossDatetime)
	case value.KindBytes:
		w.lose(LossBytes)
	}
}

// plainText returns the string that stands for a scalar where only strings
// are: its canonical text, "null", or base64.
func plainText(v value.Value) string {
	switch v.Kind() {
	case value.KindNull:
		return "null"
	case value.KindBytes:
		return base64.StdEncoding.EncodeToString([]byte(v.AsString()))
	}
	return Text(v)
}

// appendJSONString appends s, which must be valid UTF-8, as a JSON string with
// no more escapes than JSON asks for.
func appendJSONString(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendQuotedInt appends an int as a JSON string.
func appendQuotedInt(dst []byte, i int64) []byte {
	dst = append(dst, '"')
	dst = strconv.AppendInt(dst, i, 10)
	return append(dst, '"')
}
