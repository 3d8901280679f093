package fsnode

import (
	"sync"
	"sync/atomic"
	"time"
)

// latecomers are the threads whose open(2) or stat(2) has come by a stale name and
// was told to look it up again: the kernel does that once, and the second answer
// counts.
type latecomers struct {
	some atomic.Int32 // len(tids)
	mu   sync.Mutex
	tids map[uint32]time.Time // when they were told
}

// againTime is how long after it was told so a thread looks again.
const againTime = time.Second

// has reports whether a thread was told to look again.
func (l *latecomers) has(tid uint32) bool {
	if l.some.Load() == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	told, ok := l.tids[tid]
	return ok && time.Since(told) < againTime
}

// set notes that a thread is told to look again, or that it has.
func (l *latecomers) set(tid uint32, late bool) {
	if !late && l.some.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tids == nil || len(l.tids) > 1<<12 {
		l.tids = map[uint32]time.Time{}
	}
	if late {
		l.tids[tid] = time.Now()
	} else {
		delete(l.tids, tid)
	}
	l.some.Store(int32(len(l.tids)))
}
