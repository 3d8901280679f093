package encoding

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"pongofs/engine/value"
)

// encodeTOML writes a dict with TOML's own types: a datetime as an offset
// datetime, ints, floats with inf and nan, lists as arrays. A uuid becomes a
// string, bytes base64, a collection a table, and a symbolic link its target.
// TOML has no null, and so none for gaps either: both are errors.
func encodeTOML(w *walker, out io.Writer, t value.Tree) error {
	if k := t.Kind(); k != value.KindDict && k != value.KindCollection {
		return w.fail(ErrUnsupported, "a TOML document is a table: want a dict or collection")
	}
	v, err := tomlValue(w, t)
	if err != nil {
		return err
	}
	enc := toml.NewEncoder(out)
	enc.Indent = ""
	return enc.Encode(v)
}

// tomlValue builds what the library encodes.
func tomlValue(w *walker, t value.Tree) (any, error) {
	switch t.Kind() {
	case value.KindList:
		list := []any{}
		err := w.elements(t, func() error {
			return w.fail(ErrUnsupported, "TOML has no null for the gap in the list")
		}, func(c value.Tree) error {
			v, err := tomlValue(w, c)
			list = append(list, v)
			return err
		})
		return list, err
	case value.KindDict, value.KindCollection:
		if t.Kind() == value.KindCollection {
			w.lose(LossCollection)
		}
		table := map[string]any{}
		var names memberNames
		err := w.members(t, func(k value.Value, c value.Tree) error {
			name, err := names.name(w, k)
			if err != nil {
				return err
			}
			if !utf8.ValidString(name) {
				return w.fail(ErrUnsupported, "the key is not valid UTF-8, which TOML cannot write")
			}
			table[name], err = tomlValue(w, c)
			return err
		})
		return table, err
	}
	v, err := w.scalar(t)
	if err != nil {
		return nil, err
	}
	if t.Link() {
		w.lose(LossLink)
	}
	return tomlScalar(w, v)
}

func tomlScalar(w *walker, v value.Value) (any, error) {
	switch v.Kind() {
	case value.KindNull:
		return nil, w.fail(ErrUnsupported, "TOML has no null")
	case value.KindBool:
		return v.AsBool(), nil
	case value.KindInt:
		return v.AsInt(), nil
	case value.KindFloat:
		if f := v.AsFloat(); math.IsNaN(f) && math.Float64bits(f) != nanBits {
			w.lose(LossNaN)
			return math.NaN(), nil
		}
		return v.AsFloat(), nil
	case value.KindDatetime:
		if t := v.AsDatetime(); t.Year() >= 0 && t.Year() <= 9999 {
			return t, nil
		}
	case value.KindString:
		if !utf8.ValidString(v.AsString()) {
			return nil, w.fail(ErrUnsupported, "the string is not valid UTF-8, which TOML cannot write")
		}
		return v.AsString(), nil
	}
	w.loseType(v.Kind())
	return plainText(v), nil
}

// decodeTOML reads a TOML document. Offset datetimes are datetimes; local
// dates, times and datetimes are no instants and become strings.
func decodeTOML(r io.Reader, b value.Builder) error {
	d := &memoryDecoder{format: FormatTOML, b: b}
	data, err := d.readAll(r)
	if err != nil {
		return err
	}
	if err := d.scanTOML(data); err != nil {
		return err
	}
	var table map[string]any
	if err := toml.Unmarshal(data, &table); err != nil {
		var parse toml.ParseError
		if errors.As(err, &parse) {
			return d.fail(parse.Position.Line, ErrSyntax, parse.Message)
		}
		return d.fail(0, ErrSyntax, strings.TrimPrefix(err.Error(), "toml: "))
	}
	if table == nil {
		table = map[string]any{}
	}
	return d.tomlValue(table)
}

// scanTOML finds what the library must not see: tables or arrays that nest so
// deeply that it would run out of stack, since it calls itself for each, and
// empty keys where it drops values around them (BurntSushi/toml pull request
// 492). It knows as much of the grammar as this needs.
func (d *memoryDecoder) scanTOML(data []byte) error {
	line, depth, braces, dots := 1, 0, 0, 0
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case '\n':
			line++
			dots = 0
		case '#':
			for i+1 < len(data) && data[i+1] != '\n' {
				i++
			}
		case '"', '\'':
			n, lines := tomlStringLen(data[i:])
			i += n - 1
			line += lines
			if n == 2 && isMisreadKey(data[i+1:], braces > 0) {
				return d.fail(line, ErrUnsupported, "an empty key here is more than the TOML library can read")
			}
		case '[', '{':
			depth++
			dots = 0
			if c == '{' {
				braces++
			}
		case ']', '}':
			depth = max(depth-1, 0)
			dots = 0
			if c == '}' {
				braces = max(braces-1, 0)
			}
		case '=', ',':
			dots = 0
		case '.':
			dots++
		}
		if depth > MaxDepth || dots > MaxDepth {
			return d.fail(line, ErrTooDeep, reasonTooDeep)
		}
	}
	return nil
}

// isMisreadKey reports whether the empty string before rest is a key that the
// library misreads: one in an inline table or with more parts, or whose value
// is an array or an inline table.
func isMisreadKey(rest []byte, inline bool) bool {
	const blanks = " \t"
	rest = bytes.TrimLeft(rest, blanks)
	if len(rest) == 0 || rest[0] != '=' {
		return len(rest) > 0 && rest[0] == '.'
	}
	rest = bytes.TrimLeft(rest[1:], blanks)
	return inline || len(rest) > 0 && (rest[0] == '[' || rest[0] == '{')
}

// tomlStringLen returns the length of the string that data begins with and
// the number of newlines in it.
func tomlStringLen(data []byte) (n, lines int) {
	quote := data[0]
	long := len(data) >= 3 && data[1] == quote && data[2] == quote
	i := 1
	if long {
		i = 3
	}
	for ; i < len(data); i++ {
		switch c := data[i]; {
		case c == '\\' && quote == '"':
			i++
		case c == '\n':
			if !long {
				return i, lines // an error, which the library reports
			}
			lines++
		case c == quote && !long:
			return i + 1, lines
		case c == quote && i+2 < len(data) && data[i+1] == quote && data[i+2] == quote:
			// Up to two more quotes belong to the string.
			for i += 3; i < len(data) && data[i] == quote; i++ {
			}
			return i, lines
		}
	}
	return len(data), lines
}

// tomlValue feeds a value that the library has built.
func (d *memoryDecoder) tomlValue(v any) error {
	switch v := v.(type) {
	case map[string]any:
		if err := d.begin(0, value.KindDict); err != nil {
			return err
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if err := d.key(0, value.String(k)); err != nil {
				return err
			}
			if err := d.tomlValue(v[k]); err != nil {
				return err
			}
		}
		return d.end(0)
	case []map[string]any:
		return tomlList(d, v)
	case []any:
		return tomlList(d, v)
	case string:
		return d.built(0, d.b.Scalar(value.String(v)))
	case bool:
		return d.built(0, d.b.Scalar(value.Bool(v)))
	case int64:
		return d.built(0, d.b.Scalar(value.Int(v)))
	case float64:
		if math.IsNaN(v) {
			v = math.NaN()
		}
		return d.built(0, d.b.Scalar(value.Float(v)))
	case time.Time:
		return d.built(0, d.b.Scalar(tomlTime(v)))
	}
	return d.fail(0, ErrUnsupported, "a store has no values of this type")
}

// tomlList feeds a list.
func tomlList[T any](d *memoryDecoder, list []T) error {
	if err := d.begin(0, value.KindList); err != nil {
		return err
	}
	for i, c := range list {
		d.at(i)
		if err := d.tomlValue(c); err != nil {
			return err
		}
	}
	return d.end(0)
}

// tomlTime returns the value of a date or time. The library marks those
// without offset by the name of their time zone.
func tomlTime(t time.Time) value.Value {
	switch t.Location().String() {
	case "datetime-local":
		return value.String(t.Format("2006-01-02T15:04:05.999999999"))
	case "date-local":
		return value.String(t.Format(time.DateOnly))
	case "time-local":
		return value.String(t.Format("15:04:05.999999999"))
	}
	return value.Datetime(t)
}
