package engine

import (
	"context"
	"time"
)

// Store is an open store file. All methods may be called by any number of
// goroutines at once; other processes may have the same file open.
type Store struct {
	unbuilt struct{}
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
}

// CreateOptions modifies Create.
type CreateOptions struct {
	// ChunkSize is the growth step in bytes, a multiple of 64 KiB, 16 MiB by
	// default.
	ChunkSize int64
	// AnyFS permits file systems on which the store is not safe.
	AnyFS bool
}

// Create makes a new empty store at path, mode 0600. An existing file is
// fs.ErrExist and stays as it is.
func Create(path string, o CreateOptions) error { panic("unbuilt") }

// Open opens an existing store.
func Open(path string, o Options) (*Store, error) { panic("unbuilt") }

// Close makes everything durable and closes the store.
func (s *Store) Close() error { panic("unbuilt") }

// Sync makes everything published before the call durable. Callers that wait
// together share one checkpoint.
func (s *Store) Sync(ctx context.Context) error { panic("unbuilt") }

// View calls fn with a look at the newest version, which stays the same while
// fn runs. A View should be short: it holds up the reuse of memory.
func (s *Store) View(fn func(*Tx) error) error { panic("unbuilt") }

// Update calls fn with an edit of the newest version and publishes it in one
// step when fn returns nil. When another writer was faster, fn is called again
// on the newer version, so it must have no side effects that it cannot repeat.
func (s *Store) Update(fn func(*Tx) error) error { panic("unbuilt") }

// Changed reports the sequence of the newest version. It only grows.
func (s *Store) Changed() uint64 { panic("unbuilt") }

// WaitChange waits until the newest version is newer than seq, at most until
// ctx is done, and returns its sequence.
func (s *Store) WaitChange(ctx context.Context, seq uint64) (uint64, error) { panic("unbuilt") }

// PinValue keeps the present version of e's image readable after the Tx that
// returned e has ended, whatever happens to the entry. Close it.
func (tx *Tx) PinValue(e *Entry) (*ValuePin, error) { panic("unbuilt") }

// ValuePin is one version of a file image. It may be used by several
// goroutines.
type ValuePin struct{ unbuilt struct{} }

// ReadAt reads from the pinned image as io.ReaderAt does.
func (p *ValuePin) ReadAt(b []byte, off int64) (int, error) { panic("unbuilt") }

// Size returns the length of the image in bytes.
func (p *ValuePin) Size() int64 { panic("unbuilt") }

// Close lets the image go. It may be called more than once.
func (p *ValuePin) Close() error { panic("unbuilt") }

// Stats are the figures of a store at one moment.
type Stats struct {
	UUID       string
	Path       string
	Seq        uint64 // newest version
	DurableSeq uint64 // version of the last completed checkpoint
	FileBytes  int64  // length of the store file
	UsedBytes  int64  // allocated objects, those awaiting reuse included
	LimboBytes int64  // replaced objects of this process awaiting reuse
	ChunkSize  int64
	Entries    uint64 // entries below the root
	Containers uint64 // containers, the root included
	Processes  int    // processes that have the store open
	Pins       int    // short pins of all processes
	NamedPins  int
	FreeDisk   int64 // bytes free on the disk that holds the store
	TotalDisk  int64
}

// Stats returns the present figures.
func (s *Store) Stats() (Stats, error) { panic("unbuilt") }
