package fsnode

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// kernel is what a notifier needs of a *fuse.Server.
type kernel interface {
	EntryNotify(parent uint64, name string) fuse.Status
	DeleteNotify(parent, child uint64, name string) fuse.Status
	InodeNotify(node uint64, off, length int64) fuse.Status
}

// notifier takes back what the kernel was told, on goroutines of its own.
//
// In the kernel a notification may have to wait for requests. To drop a name
// takes the lock of the directory, which the kernel holds while it waits for the
// answer to a LOOKUP, a listing, a CREATE or an FSYNC there; to drop pages waits
// for those that are being read. So no request ever waits for a notifier: what is
// to be told is queued, with no limit but that of what the kernel knows, since a
// fact is queued once.
//
// The work is cut into jobs, one for each directory, so that a directory whose
// lock is held for long holds up only itself; up to maxNotifiers of them.
type notifier struct {
	to  kernel
	log *slog.Logger

	mu      sync.Mutex
	jobs    map[jobKey]*job
	order   []jobKey // of jobs that are not under way
	active  map[jobKey]*job
	workers int
	closed  bool
	idle    sync.WaitGroup

	names, attrs, pages atomic.Uint64 // sent
}

// maxNotifiers is how many goroutines notify at once. One that waits for a lock
// in the kernel takes a thread.
const maxNotifiers = 8

// jobKey says what the parts of a job have in common: a directory whose lock
// they need, or the file whose pages they drop.
type jobKey struct {
	node  uint64
	pages bool
}

// job is what is to be told of one directory: names that it lost, or whose file
// is another one, and files that are found in it and have changed.
type job struct {
	names []lostName
	lost  map[string][]uint64 // the nodes of names by name
	nodes []uint64
	// told has, of lost names that the kernel has asked for since, what each thread
	// was told: a node, or 0 for nothing.
	told map[string]map[uint32]uint64
}

// lostName is a name to drop.
type lostName struct {
	name string
	node uint64 // what the kernel found under it
	gone bool   // it is a directory that is nowhere else
}

// dropName queues that at does not stand for a node any more.
func (q *notifier) dropName(at fileName, node uint64, gone bool) {
	q.add(jobKey{node: at.dir}, func(j *job) {
		j.names = append(j.names, lostName{at.name, node, gone})
		if j.lost == nil {
			j.lost = map[string][]uint64{}
		}
		j.lost[at.name] = append(j.lost[at.name], node)
		delete(j.told, at.name)
	})
}

// dropAttrs queues that a node which the kernel finds in dir has changed; 0 when
// it finds it nowhere.
func (q *notifier) dropAttrs(dir, node uint64) {
	q.add(jobKey{node: dir}, func(j *job) { j.nodes = append(j.nodes, node) })
}

// dropPages queues that the pages of a node have changed.
func (q *notifier) dropPages(node uint64) {
	q.add(jobKey{node: node, pages: true}, func(*job) {})
}

func (q *notifier) add(key jobKey, fn func(*job)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	if q.jobs == nil {
		q.jobs, q.active = map[jobKey]*job{}, map[jobKey]*job{}
	}
	j := q.jobs[key]
	if j == nil {
		j = &job{}
		q.jobs[key] = j
		if q.active[key] == nil {
			q.order = append(q.order, key)
		}
	}
	fn(j)
	if len(q.order) > 0 && q.workers < maxNotifiers {
		q.workers++
		q.idle.Add(1)
		go q.work()
	}
}

// work does jobs until none is left.
func (q *notifier) work() {
	defer q.idle.Done()
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.order) > 0 && !q.closed {
		key := q.order[0]
		q.order = q.order[1:]
		j := q.jobs[key]
		delete(q.jobs, key)
		q.active[key] = j
		q.mu.Unlock()
		q.do(key, j)
		q.mu.Lock()
		delete(q.active, key)
		if q.jobs[key] != nil {
			q.order = append(q.order, key)
		}
	}
	q.workers--
}

// pending returns the number of jobs that are not done.
func (q *notifier) pending() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs) + len(q.active)
}

// busy reports whether something is to be told, or being told, about names of a
// directory.
func (q *notifier) busy(dir uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.about(dir)) > 0
}

// about returns what is to be told about names of a directory and what is being
// told.
//
// Preconditions: q.mu is held.
func (q *notifier) about(dir uint64) []*job {
	var jobs []*job
	for _, m := range []map[jobKey]*job{q.jobs, q.active} {
		if j := m[jobKey{node: dir}]; j != nil {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// tells reports whether it is to be told, or being told, that a name does not stand
// for what the kernel takes it for, as far as a thread knows that it does not
// stand for id, 0 for nothing. What other threads were told since says nothing: one
// that walks a path asks for a name while another one, with the lock of the
// directory, goes by what was cached.
func (q *notifier) tells(at fileName, pid uint32, id uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range q.about(at.dir) {
		if told, ok := j.told[at.name][pid]; ok && told == id {
			continue
		}
		if j.lost[at.name] != nil {
			return true
		}
	}
	return false
}

// losers returns the nodes of which it is to be told, or being told, that they have
// lost a name.
func (q *notifier) losers(at fileName) (nodes []uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range q.about(at.dir) {
		nodes = append(nodes, j.lost[at.name]...)
	}
	return nodes
}

// answers notes that a thread has asked for a name and is told that it stands for
// id, 0 for nothing: it takes it for nothing else then.
func (q *notifier) answers(at fileName, pid uint32, id uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range q.about(at.dir) {
		if j.lost[at.name] == nil {
			continue
		}
		if j.told == nil {
			j.told = map[string]map[uint32]uint64{}
		}
		if j.told[at.name] == nil {
			j.told[at.name] = map[uint32]uint64{}
		}
		j.told[at.name][pid] = id
	}
}

// close ends the work: what is queued is not told any more. It returns when the
// last notification has.
func (q *notifier) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.idle.Wait()
}

// noName is a name that no directory has.
const noName = "/"

// do does one job.
//
// Names come first: each takes the lock of the directory, so after it every
// reply that was on its way to the directory has been taken in, and what it has
// brought is found: the name, and for dropAttrs the inode. Where there are none,
// a name that does not exist serves as well. A reply that is on its way to an
// inode that exists needs no lock: the kernel drops attributes that it asked for
// before the notification.
func (q *notifier) do(key jobKey, j *job) {
	if key.pages {
		q.pages.Add(1)
		q.sent(q.to.InodeNotify(key.node, 0, 0))
		return
	}
	for _, l := range j.names {
		q.names.Add(1)
		if l.gone {
			q.sent(q.to.DeleteNotify(key.node, l.node, l.name))
		} else {
			q.sent(q.to.EntryNotify(key.node, l.name))
		}
	}
	if len(j.names) == 0 && key.node != 0 {
		q.sent(q.to.EntryNotify(key.node, noName))
	}
	const attrsOnly = -1
	for _, l := range j.names {
		q.attrs.Add(1)
		q.sent(q.to.InodeNotify(l.node, attrsOnly, 0))
	}
	for _, n := range j.nodes {
		q.attrs.Add(1)
		q.sent(q.to.InodeNotify(n, attrsOnly, 0))
	}
}

// sent notes what the kernel says: that it does not know the name or node is the
// usual answer to what is needless, and that a directory which is gone is still in
// use. After the end of the mount there is nobody to tell.
func (q *notifier) sent(st fuse.Status) {
	switch st {
	case fuse.OK, fuse.ENOENT, fuse.ENODEV, fuse.Status(syscall.ENOTCONN):
	default:
		q.log.Debug("notification", slog.Any("status", st))
	}
}
