package encoding

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"pongofs/engine/value"
)

// MaxInferBytes is the length of the longest image that can be anything but a
// string or bytes: a uuid and its newline. No image of a null, bool, int,
// datetime, uuid or float is longer, so a buffer of this size takes any.
const MaxInferBytes = 37

// AppendText appends the canonical text of a scalar, without final newline.
// Two values of one kind have the same text only if they are equal.
//
//	null      nothing
//	bool      true, false
//	int       decimal
//	float     the fewest digits that read back to the same float64, always with
//	          '.' or 'e', as Python prints them: positional from 0.0001 to below
//	          1e16, else with an exponent of two or three digits (1e+16,
//	          2.5e-07); inf, -inf, nan, and nan(0x…) with all 64 bits for a NaN
//	          other than that of math.NaN
//	datetime  2024-01-02T03:04:05.000006Z; years outside 0000 to 9999 have a sign
//	          and six digits: +012024-…, -000001-…, the year before 0000
//	uuid      lower-case 8-4-4-4-12
//	string    the text
//	bytes     the bytes
//
// An invalid value and a container have no text, and nothing is appended.
func AppendText(dst []byte, v value.Value) []byte {
	switch v.Kind() {
	case value.KindBool:
		return strconv.AppendBool(dst, v.AsBool())
	case value.KindInt:
		return strconv.AppendInt(dst, v.AsInt(), 10)
	case value.KindFloat:
		return appendFloat(dst, v.AsFloat())
	case value.KindDatetime:
		return appendDatetime(dst, v.AsMicro())
	case value.KindUUID:
		return appendUUID(dst, v.AsUUID())
	case value.KindString, value.KindBytes:
		return append(dst, v.AsString()...)
	}
	return dst
}

// Text returns the canonical text of a scalar, as AppendText makes it.
func Text(v value.Value) string {
	if v.Kind() == value.KindString || v.Kind() == value.KindBytes {
		return v.AsString()
	}
	var buf [MaxInferBytes]byte
	return string(AppendText(buf[:0], v))
}

// AppendImage appends the file content of a scalar: its text and, unless noEOL
// is set or v is null or bytes, a newline.
//
// A string whose text ends in a newline should not be stored with noEOL: its
// content is that of the string without this newline, and reads back as such.
func AppendImage(dst []byte, v value.Value, noEOL bool) []byte {
	dst = AppendText(dst, v)
	if noEOL || !hasEOL(v.Kind()) {
		return dst
	}
	return append(dst, '\n')
}

// hasEOL reports whether files of this kind end in a newline that is not part
// of the value.
func hasEOL(k value.Kind) bool {
	return k != value.KindNull && k != value.KindBytes && k.IsScalar()
}

// Infer guesses the value of a file content that nobody declared. A type is
// inferred only when its canonical image is identical to the content:
// AppendImage(nil, v, noEOL) equals image. noEOL is false for null and bytes.
//
// So empty content is null, a single newline is the empty string, 007, 1e5,
// nan and null are strings, and content that is not valid UTF-8 or has a NUL
// in it is bytes, newlines included.
func Infer(image []byte) (v value.Value, noEOL bool) {
	if len(image) == 0 {
		return value.Null(), false
	}
	text, noEOL := cutEOL(image)
	if len(image) <= MaxInferBytes {
		if v := inferShort(text); v.IsValid() {
			return v, noEOL
		}
	}
	if isText(text) {
		return value.String(string(text)), noEOL
	}
	return value.Bytes(image), false
}

// GuessKind returns the kind of the value that Infer would return, without
// building it.
func GuessKind(image []byte) value.Kind {
	if len(image) == 0 {
		return value.KindNull
	}
	text, _ := cutEOL(image)
	if len(image) <= MaxInferBytes {
		if v := inferShort(text); v.IsValid() {
			return v.Kind()
		}
	}
	if isText(text) {
		return value.KindString
	}
	return value.KindBytes
}

// cutEOL splits the final newline off an image.
func cutEOL(image []byte) (text []byte, noEOL bool) {
	if n := len(image); n > 0 && image[n-1] == '\n' {
		return image[:n-1], false
	}
	return image, true
}

// isText reports whether b can be inferred as a string.
func isText(b []byte) bool {
	return bytes.IndexByte(b, 0) < 0 && utf8.Valid(b)
}

// inferShort returns the bool, int, float, datetime or uuid whose canonical
// text is text, or the invalid value. It looks at the shape first, since most
// text is none of them.
func inferShort(text []byte) value.Value {
	if len(text) == 0 {
		return value.Value{}
	}
	if len(text) == uuidLen && text[8] == '-' {
		u, st, _ := parseUUID(text)
		if st != stateOK || bytes.ContainsAny(text, "ABCDEF") {
			return value.Value{}
		}
		return value.UUID(u)
	}
	switch c := text[0]; {
	case c == 't' && string(text) == "true":
		return value.Bool(true)
	case c == 'f' && string(text) == "false":
		return value.Bool(false)
	case c == '-' || c == '+' || c >= '0' && c <= '9':
		return inferNumber(text)
	}
	return value.Value{}
}

// inferNumber is inferShort for text that begins like a number or a datetime.
func inferNumber(text []byte) value.Value {
	var other bool // a byte that neither an int nor a float has
	var float bool // a byte that a float has and an int has not
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9' || c == '-' && i == 0:
		case c == '.' || c == 'e' || c == '-' || c == '+':
			float = true
		default:
			other = true
		}
	}
	var v value.Value
	var st state
	switch {
	case other:
		if len(text) < datetimeLen || text[len(text)-1] != 'Z' {
			return value.Value{}
		}
		var us int64
		us, st, _ = parseDatetime(text)
		v = value.DatetimeMicro(us)
	case float:
		var f float64
		f, st, _ = parseFloat(text)
		v = value.Float(f)
	default:
		var i int64
		i, st, _ = parseInt(text)
		v = value.Int(i)
	}
	if st != stateOK || !isCanonical(text, v) {
		return value.Value{}
	}
	return v
}

// isCanonical reports whether text is the canonical text of v.
func isCanonical(text []byte, v value.Value) bool {
	var buf [MaxInferBytes]byte
	return string(AppendText(buf[:0], v)) == string(text)
}
