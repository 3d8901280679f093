package engine

import (
	"encoding/binary"
	"runtime/debug"
)

// safely runs fn, turning the faults and panics of a damaged store file into
// errors.
func safely(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = recovered(r)
		}
	}()
	return fn()
}

func putUint64(b []byte, v uint64) { binary.LittleEndian.PutUint64(b, v) }
