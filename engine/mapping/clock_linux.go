package mapping

import "golang.org/x/sys/unix"

// MonotonicMicro returns the microseconds of the clock that all processes of
// this machine share and that never jumps.
func MonotonicMicro() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Sec*1e6 + ts.Nsec/1e3
}
