package fsnode

import "time"

// maxSidecar is the length of the longest sidecar that can be written.
const maxSidecar = 64 << 20

// sideFile is a sidecar that is open for writing. What was written is applied
// when a descriptor is closed.
type sideFile struct {
	virtualText
	side  sidecar
	mtime int64 // set since the last write, 0 for none; guarded by mu
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

func (f *sideFile) write(off int64, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.put(off, p); err != nil {
		return err
	}
	f.mtime = 0
	return nil
}

func (f *sideFile) truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.resize(size); err != nil {
		return err
	}
	f.mtime = 0
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
