package mapping

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	futexWait = 0 // not private: waiters are in other processes
	futexWake = 1
)

// FutexWait sleeps until word is woken, while it holds old, at most for d. It
// may return early at any time: callers look at the word again.
func FutexWait(word *atomic.Uint32, old uint32, d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait,
		uintptr(old), uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// FutexWake wakes all who wait for word.
func FutexWake(word *atomic.Uint32) {
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake,
		1<<30, 0, 0, 0)
}

// Yield lets other threads run on this processor. A goroutine that waits in a
// loop needs it beside runtime.Gosched: the kernel may have put the thread of the
// goroutine that it waits for on the same processor, and leaves it there.
func Yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// Sleep sleeps for a time below a millisecond. The thread sleeps, and not only the
// goroutine: time.Sleep takes a whole millisecond in a process that has nothing
// else to run, since the runtime then waits in epoll_wait.
func Sleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil)
}
