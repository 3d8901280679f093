package encoding

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"pongofs/engine/value"
)

// SidecarLine is one line of a sidecar: what a file's name and content do not
// say about it, or the kind of the directory.
type SidecarLine struct {
	// Name is the file name that the line speaks of, "." for the directory.
	Name string
	// Kind is the declared type of the file, or the container kind of the
	// directory; KindInvalid when the line has a key only.
	Kind value.Kind
	// Key is the whole key of a truncated name, invalid for other names.
	Key value.Value
}

// sidecarSelf is the name of the line of the directory itself.
const sidecarSelf = "."

// The fields of a line.
const (
	fieldName    = "name"
	fieldNameHex = "name_hex"
	fieldType    = "type"
	fieldKey     = "key"
	fieldKeyHex  = "key_hex"
)

// AppendSidecar appends the sidecar with these lines. The same set of lines,
// in any order, always gives the same bytes, and no lines give none.
//
// Each line is a JSON object without blanks and a newline. The line of the
// directory comes first, the others follow in the bytewise order of names:
//
//	{"name":".","type":"list"}
//	{"name":"zip","type":"string"}
//	{"name_hex":"ff66","type":"int"}
//	{"name":"%=~long…~3f…","key":"long…"}
//
// A name is written in hexadecimal when it is not valid UTF-8. The key is
// EscapeKey of the key, in hexadecimal ("key_hex") when that is not valid
// UTF-8. "type" is left out when the line has a key only.
func AppendSidecar(dst []byte, lines []SidecarLine) []byte {
	sorted := slices.Clone(lines)
	slices.SortStableFunc(sorted, func(a, b SidecarLine) int {
		if self := a.Name == sidecarSelf; self != (b.Name == sidecarSelf) {
			if self {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, l := range sorted {
		dst = append(dst, '{')
		dst = appendField(dst, fieldName, fieldNameHex, l.Name)
		if l.Kind != value.KindInvalid {
			dst = append(dst, ',')
			dst = appendField(dst, fieldType, "", l.Kind.String())
		}
		if l.Key.IsValid() {
			dst = append(dst, ',')
			dst = appendField(dst, fieldKey, fieldKeyHex, EscapeKey(l.Key))
		}
		dst = append(dst, "}\n"...)
	}
	return dst
}

// appendField appends a field of a line, under the name inHex and in
// hexadecimal if text is not valid UTF-8.
func appendField(dst []byte, name, inHex, text string) []byte {
	if !utf8.ValidString(text) {
		name, text = inHex, hex.EncodeToString([]byte(text))
	}
	dst = append(appendJSONString(dst, name), ':')
	return appendJSONString(dst, text)
}

// ParseSidecar reads a sidecar. The lines come back in the order of the file,
// which may be any; blank lines mean nothing and the last newline may be
// missing. Each line must have a name and a type or key, names must be legal
// and distinct, and a key must be that of its truncated name. A file has a
// scalar type, the directory itself a container kind. The error is a
// *SidecarError.
func ParseSidecar(b []byte) ([]SidecarLine, error) {
	const bufferBytes = 4 << 10
	d := &jsonDecoder{src: newJSONSource(bytes.NewReader(b), bufferBytes, true)}
	var lines []SidecarLine
	seen := map[string]struct{}{}
	for {
		more, _ := d.src.nextLine() // memory has no read errors
		if !more {
			return lines, nil
		}
		var line SidecarLine
		err := d.document(func(d *jsonDecoder, tok json.Token) error {
			var err error
			line, err = d.sidecarLine(tok)
			return err
		})
		if err == nil {
			if _, double := seen[line.Name]; double {
				err = d.fail(ErrSyntax, fmt.Sprintf("a second line for %q", line.Name))
			}
			seen[line.Name] = struct{}{}
		}
		var doc *DocumentError
		if errors.As(err, &doc) {
			return nil, &SidecarError{Line: doc.Line, Reason: doc.Reason}
		}
		lines = append(lines, line)
	}
}

// sidecarLine reads one line from its first token.
func (d *jsonDecoder) sidecarLine(tok json.Token) (SidecarLine, error) {
	var line SidecarLine
	if tok != json.Delim('{') {
		return line, d.fail(ErrSyntax, "want an object")
	}
	for {
		tok, err := d.token()
		if err != nil {
			return line, err
		}
		if tok == json.Delim('}') {
			return line, d.checkSidecarLine(line)
		}
		field, _ := tok.(string)
		text, err := d.text(field)
		if err != nil {
			return line, err
		}
		if reason := line.set(field, text); reason != "" {
			return line, d.fail(ErrSyntax, reason)
		}
	}
}

// set sets a field and returns what is wrong with it, if anything.
func (l *SidecarLine) set(field, text string) (reason string) {
	switch field {
	case fieldNameHex, fieldKeyHex:
		b, err := hex.DecodeString(text)
		if err != nil {
			return fmt.Sprintf("%s %q is not hexadecimal", field, text)
		}
		text = string(b)
	}
	switch field {
	case fieldName, fieldNameHex:
		if l.Name != "" {
			return "a second name"
		}
		if text != sidecarSelf {
			if err := checkName(text); err != nil {
				return fmt.Sprintf("name %q: %v", text, err)
			}
			if len(text) > MaxNameBytes {
				return fmt.Sprintf("name %q: %v", text, ErrNameTooLong)
			}
		}
		l.Name = text
	case fieldType:
		if l.Kind != value.KindInvalid {
			return "a second type"
		}
		kind, ok := value.ParseKind(text)
		if !ok {
			return fmt.Sprintf("%q is not a type", text)
		}
		l.Kind = kind
	case fieldKey, fieldKeyHex:
		if l.Key.IsValid() {
			return "a second key"
		}
		key, err := UnescapeKey(text)
		if err != nil {
			return fmt.Sprintf("key %q: %v", clip(text), err)
		}
		l.Key = key
	default:
		return fmt.Sprintf("unknown field %q", field)
	}
	return ""
}

// checkSidecarLine checks that the fields of a line belong together.
func (d *jsonDecoder) checkSidecarLine(l SidecarLine) error {
	reason := ""
	switch {
	case l.Name == "":
		reason = "it has no name"
	case l.Kind == value.KindInvalid && !l.Key.IsValid():
		reason = "it has neither type nor key"
	case l.Name == sidecarSelf && l.Key.IsValid():
		reason = "the directory itself has no key here"
	case l.Name == sidecarSelf && !l.Kind.IsContainer():
		reason = fmt.Sprintf("a directory cannot be of type %v", l.Kind)
	case l.Name != sidecarSelf && l.Kind.IsContainer():
		reason = fmt.Sprintf("a file cannot be of type %v; the kind of a directory is in its own sidecar", l.Kind)
	case l.Key.IsValid() && !isLongNameOf(l.Name, l.Key):
		reason = "the key is not that of the name"
	default:
		return nil
	}
	return d.fail(ErrSyntax, reason)
}

// isLongNameOf reports whether name is the truncated name of k in a directory
// of any kind.
func isLongNameOf(name string, k value.Value) bool {
	if n, truncated := EscapeName(k); truncated && n == name {
		return true
	}
	n, truncated := EscapeListName(k)
	return truncated && n == name
}
