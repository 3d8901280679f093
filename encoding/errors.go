package encoding

import (
	"errors"
	"fmt"
	"strings"

	"pongofs/engine/value"
)

// The causes that callers tell apart.
var (
	// ErrSyntax: bytes are not the text of a value of the wanted type, or not
	// a sidecar, or not a document of the format. EINVAL at the file system.
	ErrSyntax = errors.New("invalid text")
	// ErrRange: the text is well formed but the value does not fit its type.
	// ERANGE at the file system.
	ErrRange = errors.New("out of range")

	// ErrBadName: a name that no file can have: empty, ".", "..", or with a
	// slash or NUL in it.
	ErrBadName = errors.New("not a file name")
	// ErrNameTooLong: a name of more than MaxNameBytes.
	ErrNameTooLong = errors.New("name is too long")
	// ErrReservedName: a name that pongofs itself uses (ControlName,
	// SidecarName, and in lists AppendName) and that no key has.
	ErrReservedName = errors.New("name is reserved")

	// ErrTooDeep: a document or tree nests deeper than MaxDepth.
	ErrTooDeep = errors.New("nested too deeply")
	// ErrUnsupported: the format has no way to write the value.
	ErrUnsupported = errors.New("not representable in this format")
)

// TextError says why text is not a value of a type. It unwraps to ErrSyntax
// or ErrRange.
type TextError struct {
	Kind   value.Kind // the wanted type
	Text   string     // the text, cut to an excerpt when it is long
	Reason string     // what is wrong with it, for people
	Err    error      // ErrSyntax or ErrRange
}

// Error names the text, the type and the reason.
func (e *TextError) Error() string {
	return fmt.Sprintf("%q is not a value of type %s: %s", e.Text, e.Kind, e.Reason)
}

// Unwrap returns ErrSyntax or ErrRange.
func (e *TextError) Unwrap() error { return e.Err }

// DocumentError says what is wrong with a document, and where.
type DocumentError struct {
	Format Format
	Line   int    // in the text read, from 1; 0 when encoding or not known
	Offset int64  // in bytes of the text read, -1 when encoding or not known
	Path   string // names as EscapeName makes them, joined by slashes; "" is the document
	Reason string // for people
	Err    error  // ErrSyntax and the like, or the error of the reader, the builder or the tree
}

// Error names the format, the place, the path and the reason.
func (e *DocumentError) Error() string {
	var b strings.Builder
	b.WriteString(e.Format.String())
	switch {
	case e.Line > 0:
		fmt.Fprintf(&b, " line %d", e.Line)
	case e.Offset >= 0:
		fmt.Fprintf(&b, " offset %d", e.Offset)
	}
	if e.Path != "" {
		fmt.Fprintf(&b, ", at %s", showPath(e.Path))
	}
	b.WriteString(": ")
	b.WriteString(e.Reason)
	return b.String()
}

// Unwrap returns the cause.
func (e *DocumentError) Unwrap() error { return e.Err }

// SidecarError says which line of a sidecar is bad and why. It unwraps to
// ErrSyntax.
type SidecarError struct {
	Line   int // from 1
	Reason string
}

// Error names the line and the cause.
func (e *SidecarError) Error() string {
	return fmt.Sprintf("%s line %d: %s", SidecarName, e.Line, e.Reason)
}

// Unwrap returns ErrSyntax.
func (e *SidecarError) Unwrap() error { return ErrSyntax }
