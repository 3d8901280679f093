package encoding

import "pongofs/engine/value"

// SidecarLine is one line of a sidecar.
type SidecarLine struct {
	// Name is the file name that the line speaks of, "." for the directory.
	Name string
	// Kind is the declared type of the file, or the container kind of the
	// directory itself; KindInvalid when the line carries a key only.
	Kind value.Kind
	// Key is the whole key of a truncated name; invalid for other names.
	Key value.Value
}

// AppendSidecar appends the sidecar with these lines, in canonical order. The
// same set of lines always gives the same bytes; no lines give none.
func AppendSidecar(dst []byte, lines []SidecarLine) []byte { panic("unbuilt") }

// ParseSidecar reads a sidecar. The lines come back in the order of the file.
// The error is a *SidecarError.
func ParseSidecar(b []byte) ([]SidecarLine, error) { panic("unbuilt") }

// SidecarError says which line of a sidecar is bad and why. It unwraps to
// ErrSyntax.
type SidecarError struct {
	Line   int // from 1
	Reason string
}

// Error names the line and the cause.
func (e *SidecarError) Error() string { panic("unbuilt") }

// Unwrap returns ErrSyntax.
func (e *SidecarError) Unwrap() error { return ErrSyntax }
