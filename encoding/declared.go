package encoding

import (
	"bytes"
	"unicode/utf8"

	"pongofs/engine/value"
)

// MaxDeclaredBytes is the length of the longest file content that is accepted
// for a declared null, bool, int, datetime, uuid or float, blanks included.
const MaxDeclaredBytes = 4096

// blanks are the bytes that may stand around the text of a declared type.
const blanks = " \t\n\v\f\r"

// ParseDeclared reads file content as a value of a declared type. The error is
// a *TextError.
//
// A string takes any bytes, one final newline cut off, and bytes take all of
// them. The other types take their canonical text and more, with blanks (space
// and \t \n \v \f \r) around it, up to MaxDeclaredBytes in all:
//
//	null      nothing but blanks
//	bool      any case
//	int       a plus sign, leading zeros
//	float     any decimal, with or without fraction and exponent (5, .5, 5.,
//	          1E3), rounded to the nearest float64; inf, infinity and nan in
//	          any case and with a sign
//	datetime  RFC 3339 with a blank or t for T, fewer or more digits of a second
//	          (those behind the sixth are cut off), z or an offset +02:00,
//	          +0200 or +02 for Z
//	uuid      any case
//
// noEOL reports that the content does not end in a newline; it is false for
// null and bytes. The content that the file then has is AppendImage(nil, v,
// noEOL): canonical text, with a final newline if one was written.
func ParseDeclared(kind value.Kind, image []byte) (v value.Value, noEOL bool, err error) {
	switch kind {
	case value.KindBytes:
		return value.Bytes(image), false, nil
	case value.KindString:
		text, noEOL := cutEOL(image)
		return value.String(string(text)), noEOL, nil
	}
	v, st, reason := parseShort(kind, bytes.Trim(image, blanks))
	if len(image) > MaxDeclaredBytes {
		st, reason = stateSyntax, reasonTooLong
	}
	if st != stateOK {
		return value.Value{}, false, textError(kind, image, st, reason)
	}
	if kind == value.KindNull {
		return v, false, nil
	}
	_, noEOL = cutEOL(image)
	return v, noEOL, nil
}

// CheckPrefix reports why file content, as written so far, can no longer
// become a value of a type whatever is appended: a *TextError, nil when it
// can. If ParseDeclared accepts an image, CheckPrefix accepts each prefix of
// it, the empty one included.
func CheckPrefix(kind value.Kind, image []byte) error {
	if kind == value.KindBytes || kind == value.KindString {
		return nil
	}
	if len(image) > MaxDeclaredBytes {
		return textError(kind, image, stateSyntax, reasonTooLong)
	}
	text := bytes.TrimLeft(image, blanks)
	if len(text) == 0 && kind.IsScalar() {
		return nil
	}
	whole := bytes.TrimRight(text, blanks)
	_, st, reason := parseShort(kind, whole)
	switch st {
	case stateOK:
		return nil
	case statePartial, stateRangePartial:
		// A blank ends the text, except the one inside a datetime.
		if len(whole) == len(text) {
			return nil
		}
		if kind == value.KindDatetime {
			if _, st, _ := parseDatetime(text); st == statePartial {
				return nil
			}
		}
	}
	return textError(kind, image, st, reason)
}

// CanBecome reports whether file content, as written so far, can become a
// value of a type by appending: whether CheckPrefix returns nil.
func CanBecome(kind value.Kind, image []byte) bool {
	return CheckPrefix(kind, image) == nil
}

// Convert converts a scalar to another type through its text: int 42 becomes
// string "42" and back. String and bytes become each other with the same
// content. The error is a *TextError. To change the type of an existing file,
// use ConvertImage.
func Convert(v value.Value, to value.Kind) (value.Value, error) {
	text := AppendText(nil, v)
	if to == value.KindString {
		// Nothing is cut off: a newline at the end belongs to the value.
		return value.String(string(text)), nil
	}
	w, _, err := ParseDeclared(to, text)
	return w, err
}

// ConvertImage converts a scalar to another type through its file content, so
// that string, bytes and raw content keep every byte of their file: it is what
// setting the type of an existing file does. noEOL is the mark of v, the
// returned one that of the result.
func ConvertImage(v value.Value, noEOL bool, to value.Kind) (value.Value, bool, error) {
	return ParseDeclared(to, AppendImage(nil, v, noEOL))
}

const reasonTooLong = "it is too long"

// parseShort reads text without blanks around it as a value of any kind but
// string and bytes.
func parseShort(kind value.Kind, text []byte) (value.Value, state, string) {
	if len(text) == 0 && kind != value.KindNull && kind.IsScalar() {
		return value.Value{}, statePartial, "it is empty"
	}
	switch kind {
	case value.KindNull:
		if len(text) > 0 {
			return value.Value{}, stateSyntax, "null is an empty file"
		}
		return value.Null(), stateOK, ""
	case value.KindBool:
		b, st, reason := parseBool(text)
		return value.Bool(b), st, reason
	case value.KindInt:
		i, st, reason := parseInt(text)
		return value.Int(i), st, reason
	case value.KindFloat:
		f, st, reason := parseFloat(text)
		return value.Float(f), st, reason
	case value.KindDatetime:
		us, st, reason := parseDatetime(text)
		return value.DatetimeMicro(us), st, reason
	case value.KindUUID:
		u, st, reason := parseUUID(text)
		return value.UUID(u), st, reason
	}
	return value.Value{}, stateSyntax, "values of that type have no text"
}

// textError makes the error for text in a state other than stateOK.
func textError(kind value.Kind, image []byte, st state, reason string) *TextError {
	err := ErrSyntax
	if st == stateRange || st == stateRangePartial {
		err = ErrRange
	}
	return &TextError{Kind: kind, Text: excerpt(image), Reason: reason, Err: err}
}

// excerpt returns the beginning of text for a message.
func excerpt(text []byte) string {
	const limit = 64
	text = bytes.Trim(text[:min(len(text), MaxDeclaredBytes)], blanks)
	if len(text) <= limit {
		return string(text)
	}
	cut := limit
	for cut > limit-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return string(text[:cut]) + "…"
}
