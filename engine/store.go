package engine

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"pongofs/engine/epoch"
	"pongofs/engine/heap"
	"pongofs/engine/layout"
	"pongofs/engine/mapping"
	"pongofs/engine/value"
)

// Store is an open store file. All methods may be called by any number of
// goroutines at once; other processes may have the same file open.
type Store struct {
	path     string
	header   layout.Header
	readOnly bool
	syncEach bool
	commit   time.Duration
	hook     func(point string)
	collect  func() error

	store  *mapping.Mapping
	shm    *mapping.Mapping
	view   layout.Shm
	hdr    *layout.ShmHeader
	heap   *heap.Heap
	epochs *epoch.Epochs
	slot   int
	// competed is when an edit of this process has last waited for others.
	competed atomic.Int64
	token    uint64

	ckpt   checkpointer
	joints joints
	ids    idLease
	pins   openSet[*ValuePin]
	kept   openSet[*Version]
	txs    sync.Pool
	stop   context.CancelFunc
	worker sync.WaitGroup

	known      atomic.Pointer[knownSettings]
	newKeyFunc atomic.Pointer[func() value.Value] // see SetNewKey

	cleaning sync.Mutex // held while slots of the dead are cleaned

	closed  atomic.Bool
	closing sync.Once
	doors   [16]door
}

// door counts calls under way; see enter. The counters are spread
// over cache lines so that readers do not share one.
type door struct {
	n atomic.Int64
	_ [56]byte
}

// Options modifies Open. The zero value is a sensible default.
type Options struct {
	// ReadOnly opens without writing anything, not even a process slot; it
	// excludes writers while it lasts (ErrBusy).
	ReadOnly bool
	// Commit is the longest time that a published change stays only visible
	// before a checkpoint makes it durable; 0 means the store's setting (1 s),
	// negative means only on Sync and Close.
	Commit time.Duration
	// SyncEach makes every publish durable before Update returns.
	SyncEach bool
	// AnyFS permits file systems on which the store is not safe.
	AnyFS bool
	// Collect is called when the store is full, to run a full collection.
	// Package gc provides it. Without it Update returns ErrNoSpace.
	Collect func(*Store) error
	// Hook is called at named points between the atomic steps of the engine;
	// crash tests stop or kill the process there.
	Hook func(point string)
	// MapHooks lets tests make system calls fail.
	MapHooks *mapping.Hooks
}

// defaultCommit is the commit interval of a store that sets none.
const defaultCommit = time.Second

// enter counts the caller in, or reports that the store is closed. Close waits
// until everybody has left, so that the files stay mapped meanwhile.
func (s *Store) enter() (*door, error) {
	d := &s.doors[rand.Uint32()%uint32(len(s.doors))]
	d.n.Add(1)
	if s.closed.Load() {
		d.leave()
		return nil, ErrClosed
	}
	return d, nil
}

func (d *door) leave() { d.n.Add(-1) }

// pin makes a short pin in an open store. Close waits for it to end.
func (s *Store) pin() (epoch.Pin, error) {
	d, err := s.enter()
	if err != nil {
		return epoch.Pin{}, err
	}
	defer d.leave()
	return s.epochs.Pin(), nil
}

func (s *Store) inside() int64 {
	n := int64(0)
	for i := range s.doors {
		n += s.doors[i].n.Load()
	}
	return n
}

func (s *Store) at(point string) {
	if s.hook != nil {
		s.hook(point)
	}
}

func monotonicMicro() int64 { return mapping.MonotonicMicro() }

func (s *Store) getTx() *Tx {
	if tx, ok := s.txs.Get().(*Tx); ok {
		return tx
	}
	return &Tx{s: s}
}

func (s *Store) putTx(tx *Tx) {
	if cap(tx.containers) > 256 || cap(tx.ed.built) > 1<<16 {
		return // a large one: leave its memory to the collector
	}
	s.txs.Put(tx)
}

// Path returns the path that the store was opened by.
func (s *Store) Path() string { return s.path }

// Changed reports the sequence of the newest version, or a little less than it
// while a publish is under way. It only grows.
func (s *Store) Changed() uint64 { return s.hdr.SeqHint.Load() }

// WaitChange waits until the newest version is newer than seq, at most until
// ctx is done, and returns its sequence.
//
// The wake-up is a hint: a publisher may be killed or stopped before it, even
// before it has raised the sequence hint. So the wait ends by itself every
// waitTime, and then the root word is asked, which says what is published. Whoever
// finds the hint behind raises it, as the publisher would have done.
func (s *Store) WaitChange(ctx context.Context, seq uint64) (uint64, error) {
	const waitTime = 20 * time.Millisecond
	d, err := s.enter()
	if err != nil {
		return 0, err
	}
	defer d.leave()
	s.hdr.Waiters.Add(1)
	defer s.hdr.Waiters.Add(^uint32(0))
	for {
		gen := s.hdr.Gen.Load()
		if now := s.hdr.SeqHint.Load(); now > seq {
			return now, nil
		}
		if s.closed.Load() {
			return 0, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return s.hdr.SeqHint.Load(), err
		}
		mapping.FutexWait(&s.hdr.Gen, gen, waitTime)
		if s.hdr.SeqHint.Load() <= seq {
			s.epochs.Advance(s.newestSeq())
		}
	}
}

// idLease hands out ids from a range that the process took from the store.
type idLease struct {
	mu   sync.Mutex
	next uint64
	end  uint64
}

// idBatch is how many ids a process takes at once.
const idBatch = 256

// newID returns an id that nobody has or had. The ids of a range that a
// process did not use are lost, which costs nothing.
func (s *Store) newID() ID {
	l := &s.ids
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == l.end {
		l.end = s.hdr.NextID.Add(idBatch)
		l.next = l.end - idBatch
	}
	l.next++
	return ID(l.next - 1)
}

// Stats are the figures of a store at one moment.
type Stats struct {
	UUID       string
	Path       string
	Seq        uint64 // newest version
	DurableSeq uint64 // version of the last completed checkpoint
	FileBytes  int64  // length of the store file
	UsedBytes  int64  // about: allocated objects, those awaiting reuse included
	LimboBytes int64  // replaced objects of this process awaiting reuse
	ChunkSize  int64
	Objects    int64  // allocated objects
	Entries    uint64 // entries below the root
	Containers uint64 // containers, the root included
	Processes  int    // processes that have the store open
	Pins       int    // short pins of all processes
	NamedPins  int
	Snapshots  uint64
	// Collections counts full collections since the first process opened it.
	Collections uint64
	FreeDisk    int64 // bytes free on the disk that holds the store
	TotalDisk   int64
	Poisoned    bool
}
