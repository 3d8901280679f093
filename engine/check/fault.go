package check

import (
	"runtime/debug"

	"pongofs/engine/layout"
)

// stopped is what a walk panics with when its caller wants it to end: nothing
// of it is of use then.
type stopped struct{ err error }

// safely runs fn, turning the faults of a file that was cut, and whatever else
// damage may do, into an error.
func safely(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case stopped:
			err = r.err
		default:
			err = layout.Corrupt("store", 0, "reading it fails: %v", r)
		}
	}()
	return fn()
}
