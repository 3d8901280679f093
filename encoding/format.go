package encoding

import (
	"fmt"
	"io"
	"strings"

	"pongofs/engine/value"
)

// Format is a document format.
type Format uint8

// The formats. The zero Format is the default.
const (
	// FormatExtJSON is canonical MongoDB Extended JSON v2; lossless.
	FormatExtJSON Format = iota
	// FormatJSON is plain JSON; lossy.
	FormatJSON
	// FormatJSONL is plain JSON, one document a line; lossy.
	FormatJSONL
	// FormatExtJSONL is Extended JSON, one document a line.
	FormatExtJSONL
	// FormatYAML is YAML 1.2; lossy, for documents that fit in memory.
	FormatYAML
	// FormatTOML is TOML 1.0; lossy, for documents that fit in memory.
	FormatTOML
)

// MaxDepth is how many containers may lie in one another in a document.
const MaxDepth = 1000

var formatNames = [...]string{
	FormatExtJSON:  "extjson",
	FormatJSON:     "json",
	FormatJSONL:    "jsonl",
	FormatExtJSONL: "extjsonl",
	FormatYAML:     "yaml",
	FormatTOML:     "toml",
}

// formatAliases are other names of formats.
var formatAliases = map[string]Format{
	"ejson":  FormatExtJSON,
	"ndjson": FormatJSONL,
	"yml":    FormatYAML,
}

// String returns the name that users type, such as "extjson".
func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return fmt.Sprintf("format(%d)", uint8(f))
}

// Formats returns all formats, the default first.
func Formats() []Format {
	fs := make([]Format, len(formatNames))
	for i := range fs {
		fs[i] = Format(i)
	}
	return fs
}

// ParseFormat is the inverse of String and knows a few other names: ejson,
// ndjson, yml. The error lists the names.
func ParseFormat(name string) (Format, error) {
	for f, s := range formatNames {
		if s == name {
			return Format(f), nil
		}
	}
	if f, ok := formatAliases[name]; ok {
		return f, nil
	}
	return 0, fmt.Errorf("format %q: %w: want one of %s", name, ErrSyntax, strings.Join(formatNames[:], ", "))
}

// EncodeOptions modifies Encode.
type EncodeOptions struct {
	// Indent is what a level is indented by; "" writes JSON in one line. Other
	// formats than JSON and Extended JSON ignore it.
	Indent string
}

// Encode writes t as one document and a final newline, entries in the order of
// Children. The report says what
// the format could not keep. Errors of encoding are *DocumentError, name the
// path, and unwrap to ErrUnsupported, ErrTooDeep, or the error of t; an error
// of w is returned as it is. After an error w has the beginning of a document.
//
// JSON and its relatives stream: memory does not grow with the document. YAML
// and TOML build it first.
func Encode(f Format, w io.Writer, t value.Tree, o EncodeOptions) (Report, error) {
	e := &walker{format: f}
	var err error
	switch f {
	case FormatExtJSON:
		err = encodeJSON(e, w, t, o.Indent, (*jsonEncoder).extended)
	case FormatJSON:
		err = encodeJSON(e, w, t, o.Indent, (*jsonEncoder).plain)
	case FormatJSONL:
		err = encodeLines(e, w, t, (*jsonEncoder).plain)
	case FormatExtJSONL:
		err = encodeLines(e, w, t, (*jsonEncoder).extended)
	case FormatYAML:
		err = encodeYAML(e, w, t)
	case FormatTOML:
		err = encodeTOML(e, w, t)
	default:
		err = e.fail(ErrUnsupported, "no such format")
	}
	return e.report(), err
}

// Decode reads one document, to the end of r, and feeds it to b. Errors are
// *DocumentError, name the place and the path, and unwrap to ErrSyntax,
// ErrRange, ErrTooDeep, or the error of r or b. After an error b has the
// beginning of a document.
//
// JSON and its relatives stream. YAML and TOML documents are read whole and may
// have MaxMemoryBytes.
func Decode(f Format, r io.Reader, b value.Builder) error {
	switch f {
	case FormatExtJSON:
		return decodeJSON(f, r, b, (*jsonDecoder).extended)
	case FormatJSON:
		return decodeJSON(f, r, b, (*jsonDecoder).plain)
	case FormatJSONL:
		return decodeLines(f, r, b, (*jsonDecoder).plain)
	case FormatExtJSONL:
		return decodeLines(f, r, b, (*jsonDecoder).extended)
	case FormatYAML:
		return decodeYAML(r, b)
	case FormatTOML:
		return decodeTOML(r, b)
	}
	return &DocumentError{Format: f, Offset: -1, Reason: "no such format", Err: ErrUnsupported}
}
