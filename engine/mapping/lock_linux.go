package mapping

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The byte ranges that are locked on a store file. They lie far behind any
// data. Open file description locks are used throughout: they belong to the
// open file, so they end with the process that holds them, at any kind of
// death, and closing another descriptor of the same file does not drop them as
// it does with POSIX record locks.
const (
	lockBase = 1 << 62
	// LockGate is held while a process opens or closes the store.
	LockGate = lockBase
	// LockReaders is held shared by read-only openers, and exclusively tested
	// by writers.
	LockReaders = lockBase + 1
	// LockSlots is the first of the bytes of the process slots.
	LockSlots = lockBase + 4096
)

// TryLock takes an exclusive lock on n bytes from off, or reports false when
// another open file holds a lock there.
func (m *Mapping) TryLock(off, n int64) (bool, error) {
	return setLock(m.file, unix.F_WRLCK, off, n)
}

// TryShare takes a shared lock on n bytes from off.
func (m *Mapping) TryShare(off, n int64) (bool, error) {
	return setLock(m.file, unix.F_RDLCK, off, n)
}

// Unlock gives up locks on n bytes from off.
func (m *Mapping) Unlock(off, n int64) error {
	_, err := setLock(m.file, unix.F_UNLCK, off, n)
	return err
}

// Locked reports whether another open file holds a lock in n bytes from off
// that an exclusive lock would conflict with.
func (m *Mapping) Locked(off, n int64) (bool, error) {
	if m.file == nil {
		return false, nil
	}
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: off, Len: n}
	if err := unix.FcntlFlock(m.file.Fd(), unix.F_OFD_GETLK, &lk); err != nil {
		return false, fmt.Errorf("test lock of %s: %w", m.file.Name(), err)
	}
	return lk.Type != unix.F_UNLCK, nil
}

func setLock(f *os.File, kind int16, off, n int64) (bool, error) {
	if f == nil {
		return true, nil
	}
	lk := unix.Flock_t{Type: kind, Whence: 0, Start: off, Len: n}
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
			return false, nil
		default:
			return false, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

// LockWait is TryLock repeated until it succeeds or the time is over, when it
// reports false. It polls, so that it can give up: F_OFD_SETLKW cannot.
func (m *Mapping) LockWait(off, n int64, patience time.Duration) (bool, error) {
	deadline := time.Now().Add(patience)
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 5*time.Millisecond) {
		ok, err := m.TryLock(off, n)
		if ok || err != nil {
			return ok, err
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		time.Sleep(wait)
	}
}
