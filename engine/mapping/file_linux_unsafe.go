package mapping

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OpenFile maps f shared, reserving up to reserve bytes of address space. When
// the address space is limited (RLIMIT_AS) it reserves less, at least min
// bytes. The Mapping owns f and closes it.
func OpenFile(f *os.File, reserve, min int64, readOnly bool) (*Mapping, error) {
	prot := unix.PROT_READ
	if !readOnly {
		prot |= unix.PROT_WRITE
	}
	for size := reserve; ; size /= 2 {
		p, err := unix.MmapPtr(int(f.Fd()), 0, nil, uintptr(size), prot, unix.MAP_SHARED|unix.MAP_NORESERVE)
		if err == nil {
			if err = roomLeft(); err != nil {
				err = errors.Join(err, unix.MunmapPtr(p, uintptr(size)))
			}
		}
		if err != nil {
			if errors.Is(err, unix.ENOMEM) && size/2 >= min {
				continue
			}
			if errors.Is(err, unix.ENOMEM) {
				err = fmt.Errorf("%w: the address space of this process is limited: raise the limit to 4 GiB or more (ulimit -v)",
					unix.ENOMEM)
			}
			return nil, fmt.Errorf("map %s: %w", f.Name(), err)
		}
		// Without this a write to one page dirties a whole large folio, and a
		// sync writes a megabyte for it. It is advice: failure costs speed only.
		_ = madvise(p, size, unix.MADV_RANDOM)
		_ = madvise(p, size, unix.MADV_DONTFORK)
		return &Mapping{base: p, reserved: size, file: f, readOnly: readOnly}, nil
	}
}

// roomLeft fails when a mapping has left too little address space for the rest
// of the process, which would end at its next allocation.
func roomLeft() error {
	const room = 256 << 20
	p, err := unix.MmapPtr(-1, 0, nil, room, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return err
	}
	return unix.MunmapPtr(p, room)
}

func madvise(p unsafe.Pointer, n int64, advice int) error {
	return unix.Madvise(unsafe.Slice((*byte)(p), n), advice)
}

// Close unmaps the memory and closes the file. No access may follow.
func (m *Mapping) Close() error {
	if m.file == nil {
		m.heap = nil
		return nil
	}
	err := unix.MunmapPtr(m.base, uintptr(m.reserved))
	m.base = nil
	return errors.Join(err, m.file.Close())
}

// Allocate makes sure that the file has disk space for n bytes from off, so
// that storing to them cannot fault for want of space. It may be called by
// several processes for the same range.
func (m *Mapping) Allocate(off, n int64) error {
	if off < 0 || n < 0 || off > m.reserved-n {
		return fmt.Errorf("allocate %d bytes at %d: %w", n, off, unix.ENOSPC)
	}
	if m.hooks != nil && m.hooks.Allocate != nil {
		if err := m.hooks.Allocate(off, n); err != nil {
			return err
		}
	}
	if m.file == nil {
		return nil
	}
	for {
		err := unix.Fallocate(int(m.file.Fd()), 0, off, n)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("allocate %d bytes at %d of %s: the file system cannot promise space: %w",
				n, off, m.file.Name(), err)
		}
		if err != nil {
			return fmt.Errorf("allocate %d bytes at %d of %s: %w", n, off, m.file.Name(), err)
		}
		return nil
	}
}

// Punch gives the disk space of n bytes from off back; they read as zeros.
func (m *Mapping) Punch(off, n int64) error {
	if m.file == nil {
		clear(m.Bytes(off, n))
		return nil
	}
	return unix.Fallocate(int(m.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// Sync makes everything stored so far durable (fdatasync).
func (m *Mapping) Sync() error {
	if m.hooks != nil && m.hooks.Sync != nil {
		if err := m.hooks.Sync(); err != nil {
			return err
		}
	}
	if m.file == nil {
		return nil
	}
	for {
		err := unix.Fdatasync(int(m.file.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// WriteAt stores p at off, as a write of the file.
func (m *Mapping) WriteAt(p []byte, off int64) error {
	if m.hooks != nil && m.hooks.WriteAt != nil {
		if err := m.hooks.WriteAt(p, off); err != nil {
			return err
		}
	}
	if m.file == nil {
		copy(m.Bytes(off, int64(len(p))), p)
		return nil
	}
	_, err := m.file.WriteAt(p, off)
	return err
}

// DropCache asks the kernel to forget the cached pages of the file, so that
// the next read shows what the disk holds.
func (m *Mapping) DropCache() error {
	if m.file == nil {
		return nil
	}
	_ = madvise(m.base, m.reserved, unix.MADV_DONTNEED)
	return unix.Fadvise(int(m.file.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// Size returns the present length of the file in bytes.
func (m *Mapping) Size() (int64, error) {
	if m.file == nil {
		return m.reserved, nil
	}
	info, err := m.file.Stat()
	if err != nil {
		return 0, err
	}
	runtime.KeepAlive(m)
	return info.Size(), nil
}

// Allocated returns how many bytes of disk the file occupies.
func (m *Mapping) Allocated() (int64, error) {
	if m.file == nil {
		return m.reserved, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(m.file.Fd()), &st); err != nil {
		return 0, err
	}
	return st.Blocks * 512, nil
}

// DiskSpace returns the free and total bytes of the file system that holds
// the file.
func (m *Mapping) DiskSpace() (free, total int64, err error) {
	if m.file == nil {
		return m.reserved, m.reserved, nil
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(m.file.Fd()), &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * st.Frsize, int64(st.Blocks) * st.Frsize, nil
}
