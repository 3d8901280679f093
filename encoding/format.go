package encoding

import (
	"io"

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

// String returns the name that users type, such as "extjson".
func (f Format) String() string { panic("unbuilt") }

// Formats returns all formats, the default first.
func Formats() []Format { panic("unbuilt") }

// ParseFormat is the inverse of String and knows a few other names, such as
// "yml". The error lists the names.
func ParseFormat(name string) (Format, error) { panic("unbuilt") }

// EncodeOptions modifies Encode.
type EncodeOptions struct {
	// Indent is what a level is indented by; "" writes JSON in one line. Other
	// formats than JSON ignore it.
	Indent string
}

// Encode writes t as one document and a final newline. The report says what
// the format could not keep. Errors of encoding are *DocumentError and name
// the path; errors of w and t are returned wrapped.
func Encode(f Format, w io.Writer, t value.Tree, o EncodeOptions) (Report, error) {
	panic("unbuilt")
}

// Decode reads one document, to the end of r, and feeds it to b. Errors are
// *DocumentError, name the place and the path, and unwrap to ErrSyntax,
// ErrRange, ErrTooDeep, or the error of r or b.
func Decode(f Format, r io.Reader, b value.Builder) error { panic("unbuilt") }

// Report says what an encoded document does not keep.
type Report struct {
	// Losses has one entry for each sort of loss that occurred, none when the
	// document is lossless.
	Losses []Loss
}

// Loss is one sort of loss.
type Loss struct {
	What  LossKind
	Count int64  // how often it occurred
	Path  string // where it occurred first
}

// String describes the loss in a sentence, for people.
func (l Loss) String() string { panic("unbuilt") }

// LossKind is a sort of loss.
type LossKind uint8

// The sorts of loss.
const (
	LossUUID         LossKind = iota + 1 // uuid became a string
	LossDatetime                         // datetime became a string
	LossBytes                            // bytes became a base64 string
	LossKey                              // a key that is not a string became one
	LossMemberKey                        // keys of a dict or collection were left out
	LossCollection                       // collection became a dict
	LossLink                             // symbolic link became a string
	LossGap                              // gap in a list became null
	LossName                             // a name beside the elements of a list was left out
	LossTextEncoding                     // a string that is not UTF-8 became bytes
)

// DocumentError says what is wrong with a document, and where.
type DocumentError struct {
	Format Format
	Line   int    // in the text read, from 1; 0 when not known or when encoding
	Offset int64  // in bytes of the text read, -1 when not known
	Path   string // names as EscapeName makes them, joined by slashes; "" is the document
	Reason string // for people
	Err    error
}

// Error names the format, the place, the path and the reason.
func (e *DocumentError) Error() string { panic("unbuilt") }

// Unwrap returns the cause.
func (e *DocumentError) Unwrap() error { return e.Err }
