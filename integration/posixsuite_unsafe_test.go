package integration

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawSetgroups sets the further groups of this thread alone.
func rawSetgroups(groups []uint32) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
