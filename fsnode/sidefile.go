package fsnode

import (
	"sync"
	"syscall"
	"time"
)

// maxSidecar is the length of the longest sidecar that can be written.
const maxSidecar = 64 << 20

// sideFile is a sidecar that is open for writing. What was written is applied
// when a descriptor is closed.
type sideFile struct {
	side sidecar

	mu    sync.Mutex
	text  []byte
	dirty bool
	mtime int64 // set since the last write, 0 for none
}

func (f *sideFile) size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(len(f.text))
}

func (f *sideFile) setTime(ns int64) {
	f.mu.Lock()
	f.mtime = ns
	f.mu.Unlock()
}

func (f *sideFile) read(off int64, n int) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]byte(nil), fixedFile(f.text).read(off, n)...)
}

func (f *sideFile) write(off int64, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off > maxSidecar-int64(len(p)) {
		return syscall.EFBIG
	}
	f.text = overlay(f.text, off, p)
	f.dirty, f.mtime = true, 0
	return nil
}

func (f *sideFile) truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if size > maxSidecar {
		return syscall.EFBIG
	}
	text := make([]byte, size)
	copy(text, f.text)
	f.text = text
	f.dirty, f.mtime = f.dirty || size > 0, 0
	return nil
}

func (f *sideFile) flush() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dirty {
		return nil
	}
	mtime := f.mtime
	if mtime == 0 {
		mtime = time.Now().UnixNano()
	}
	if err := f.side.apply(f.text, mtime); err != nil {
		return err
	}
	f.dirty = false
	return nil
}

func (f *sideFile) close() error {
	err := f.flush()
	f.side.closed(f)
	return err
}
