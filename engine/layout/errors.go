package layout

import (
	"errors"
	"fmt"
)

// ErrCorrupt is what every CorruptError unwraps to.
var ErrCorrupt = errors.New("store is damaged")

// CorruptError says which object violates the format, and how.
type CorruptError struct {
	What   string // such as "leaf"
	Ref    Ref
	Reason string
}

// Error names the object, its offset and the rule it breaks.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("store is damaged: %s at offset %d: %s", e.What, uint64(e.Ref), e.Reason)
}

// Unwrap returns ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// Corrupt returns a CorruptError.
func Corrupt(what string, ref Ref, format string, args ...any) error {
	return &CorruptError{What: what, Ref: ref, Reason: fmt.Sprintf(format, args...)}
}
