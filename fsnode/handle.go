package fsnode

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// handleTable gives numbers to open files or directories.
type handleTable[T any] struct {
	mu   *sync.RWMutex
	byFh map[uint64]T
	last *uint64
}

func newHandleTable[T any]() handleTable[T] {
	return handleTable[T]{mu: new(sync.RWMutex), byFh: make(map[uint64]T), last: new(uint64)}
}

// add returns a number for h, never 0.
func (t handleTable[T]) add(h T) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	*t.last++
	t.byFh[*t.last] = h
	return *t.last
}

// get returns the handle of a number, the zero T when there is none.
func (t handleTable[T]) get(fh uint64) T {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byFh[fh]
}

// remove takes a handle out of the table and returns it.
func (t handleTable[T]) remove(fh uint64) T {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.byFh[fh]
	delete(t.byFh, fh)
	return h
}

// len returns the number of handles.
func (t handleTable[T]) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byFh)
}

// fileHandle is an open file. Descriptors made by dup and fork share it.
type fileHandle struct {
	n        *node
	readable bool
	writable bool
	pid      uint32 // who opened it
	again    bool   // an open that was told to look the name up again has come back
	host     *node  // whose inode it is open on in the kernel, if that is not n
	file     openFile

	// mu is held during each read, write, truncation, flush and release
	// through the handle; it comes before n.loc. It guards what follows.
	mu    sync.Mutex
	ver   version
	seq   sequence
	trunc bool   // O_TRUNC was asked for and nothing was written since; see truncates
	base  base   // what O_TRUNC has found
	kill  bool   // the next publish clears the set-id bits
	draft *draft // text of a declared scalar that is being written
	// refused says that a write through the handle was refused, so that its
	// release need not say it again.
	refused bool
	// changed says that the file was made or written through the handle, so
	// that a line of the sidecar may have waited for it.
	changed bool

	// n.mu guards the state of the handle in activity.stage.
	cut       bool          // it is staged for a truncation
	overtaken bool          // another handle has published the truncation
	flushed   bool          // some descriptor was closed since it was staged
	waited    bool          // somebody has waited in vain since then
	settled   chan struct{} // closed when the handle leaves the stage
	size      int64         // of the file as the handle sees it
}

// openFile is an open virtual file; nil in handles of the store.
type openFile interface {
	// read returns what lies at off, up to n bytes.
	read(off int64, n int) []byte
	write(off int64, p []byte) error
	truncate(size int64) error
	// flush applies what was written, when a descriptor is closed.
	flush() error
	// close is the last call.
	close() error
}

// base says which image a handle began with.
type base struct {
	inc  uint64 // incarnation
	size int64
}

// settleTime is how long a request waits for a handle that was closed with a
// truncation still staged: its release is on the way.
const settleTime = 10 * time.Millisecond

// stageHandle says that h has a truncation or draft that is not published, and
// that the file is size bytes long as h sees it.
//
// Preconditions: h.mu is held, or nobody else knows h yet.
func (n *node) stageHandle(h *fileHandle, size int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h.size, h.cut = size, h.trunc
	if h.settled != nil {
		return
	}
	h.settled = make(chan struct{})
	h.flushed, h.waited = false, false
	a := n.active()
	a.stage = append(a.stage, h)
	n.staged.Add(1)
}

// unstageHandle says that h has nothing left to publish.
func (n *node) unstageHandle(h *fileHandle) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h.settled != nil {
		n.unstage(h)
	}
}

// unstage is unstageHandle of one that is staged.
//
// Preconditions: n.mu is held.
func (n *node) unstage(h *fileHandle) {
	close(h.settled)
	h.settled = nil
	for i, other := range n.act.stage {
		if other == h {
			n.act.stage = append(n.act.stage[:i], n.act.stage[i+1:]...)
			break
		}
	}
	n.staged.Add(-1)
}

// noteFlush notes that a descriptor of h was closed.
func (n *node) noteFlush(h *fileHandle) {
	n.mu.Lock()
	h.flushed, h.waited = true, false
	n.mu.Unlock()
}

// wasFlushed reports whether a descriptor of h was closed since it was staged.
func (n *node) wasFlushed(h *fileHandle) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return h.flushed
}

// settle waits a moment for handles whose descriptors may all be closed to be
// released, unless the caller is the one who uses them. It reports whether it
// waited.
func (fs *fileSystem) settle(n *node, pid uint32) bool {
	if n.staged.Load() == 0 {
		return false
	}
	var waits []*fileHandle
	var chans []chan struct{}
	n.mu.Lock()
	for _, h := range n.active().stage {
		if h.flushed && !h.waited {
			waits = append(waits, h)
			chans = append(chans, h.settled)
		}
	}
	n.mu.Unlock()
	if len(waits) == 0 {
		return false
	}
	timeout := time.NewTimer(settleTime)
	defer timeout.Stop()
	for _, c := range chans {
		select {
		case <-c:
		case <-timeout.C:
			n.mu.Lock()
			for _, h := range waits {
				h.waited = true
			}
			n.mu.Unlock()
			return true
		}
	}
	return true
}

// stagedSize returns the size of the file as a caller sees it who has staged
// something through handle h; or, when h is not known or has nothing staged,
// through any handle that the process of thread pid has opened. Then a draft counts
// only if h is not known, a truncation always.
func (n *node) stagedSize(h *fileHandle, pid uint32) (int64, bool) {
	if n.staged.Load() == 0 {
		return 0, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	stage := n.active().stage
	if h != nil && slices.Contains(stage, h) {
		return h.size, true
	}
	counts := func(s *fileHandle) bool { return h == nil || s.cut }
	for _, s := range stage {
		if counts(s) && s.pid == pid {
			return s.size, true
		}
	}
	// Another thread of the process that opened it.
	group := uint32(0)
	for _, s := range stage {
		if !counts(s) {
			continue
		}
		if group == 0 {
			group = threadGroup(pid)
		}
		if group != 0 && threadGroup(s.pid) == group {
			return s.size, true
		}
	}
	return 0, false
}

// threadGroup returns the process id of a thread, 0 when it is gone. It reads
// /proc, so it is for rare cases.
func threadGroup(tid uint32) uint32 {
	if tid == 0 {
		return 0
	}
	b, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(tid), 10) + "/status")
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(b), "\nTgid:")
	if !ok {
		return 0
	}
	line, _, _ := strings.Cut(rest, "\n")
	pid, err := strconv.ParseUint(strings.TrimSpace(line), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(pid)
}

// fileFlags returns the FOPEN flags of an open file: section 12 of DESIGN.md
// has the table.
func fileFlags(writable bool) uint32 {
	if writable {
		return fuse.FOPEN_DIRECT_IO
	}
	return fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH
}
