package engine

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"pongofs/engine/epoch"
	"pongofs/engine/layout"
)

// Version is one version of the store that stays readable until Close: a look
// that may last, unlike a View. It holds exactly the memory that this version
// uses, so writers go on reusing what was born later. It ends with the process:
// what shall last longer is a snapshot.
//
// It may be used by any number of goroutines. Closing the store closes it.
type Version struct {
	s    *Store
	seq  uint64
	ref  layout.Ref
	name string // of the snapshot that it is of, if any

	mu     sync.Mutex
	named  *epoch.Named // nil when nobody can use it any more
	users  int          // Views and pinned values that need it
	closed bool
}

// OpenVersion keeps the newest version.
func (s *Store) OpenVersion() (*Version, error) {
	return s.openVersion(func(*Tx) (string, error) { return "", nil })
}

// OpenSnapshot keeps the version of a snapshot, even if the snapshot is dropped
// meanwhile. ErrNotFound when there is none of that name.
func (s *Store) OpenSnapshot(name string) (*Version, error) {
	return s.openVersion(func(tx *Tx) (string, error) {
		snap, err := tx.snapshot(name)
		if err != nil {
			return "", err
		}
		return name, tx.load(snap.ref)
	})
}

// openVersion keeps the version that find leaves its Tx at, and whose snapshot's
// name it returns, if it is one.
//
// The named pin is made under the short pin of the View, which protects the
// snapshot as well: the version it looks at lists it.
func (s *Store) openVersion(find func(tx *Tx) (name string, err error)) (v *Version, err error) {
	err = s.View(func(tx *Tx) error {
		name, err := find(tx)
		if err != nil {
			return err
		}
		named, err := s.epochs.PinRoot(tx.root.Seq, tx.rootRef)
		if errors.Is(err, epoch.ErrPins) {
			return fmt.Errorf("%w: %w", ErrBusy, err)
		}
		if err != nil {
			return err
		}
		v = &Version{s: s, seq: tx.root.Seq, ref: tx.rootRef, name: name, named: named}
		s.kept.add(v)
		return nil
	})
	return v, err
}

// Seq returns the sequence of the version; that of a snapshot is the one that
// its taking has published.
func (v *Version) Seq() uint64 { return v.seq }

// View calls fn with a look at the version. It may last.
func (v *Version) View(fn func(*Tx) error) error {
	d, err := v.s.enter()
	if err != nil {
		return err
	}
	defer d.leave()
	if _, err := v.use(); err != nil {
		return err
	}
	defer v.unuse()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))

	tx := v.s.getTx()
	tx.writable, tx.version = false, v
	defer v.s.putTx(tx)
	if err := tx.load(v.ref); err != nil {
		return err
	}
	return fn(tx)
}

// Close lets the version go as soon as no View and no pinned value needs it. It
// may be called more than once.
func (v *Version) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	v.drop()
	return nil
}

// use counts a user; ErrClosed after Close.
func (v *Version) use() (*Version, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, ErrClosed
	}
	v.users++
	return v, nil
}

func (v *Version) unuse() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.users--
	v.drop()
}

// drop ends the pin when it is due.
//
// Preconditions: v.mu is held.
func (v *Version) drop() {
	if v.closed && v.users == 0 && v.named != nil {
		v.named.Drop()
		v.named = nil
		v.s.kept.remove(v)
		v.leave()
	}
}

// leave asks for a collection when the version was the last that held what a
// dropped snapshot needed: that is in no limbo.
func (v *Version) leave() {
	if v.name == "" || v.s.readOnly {
		return
	}
	snap, err := v.s.FindSnapshot(v.name)
	if errors.Is(err, ErrNotFound) || err == nil && snap.Seq != v.seq {
		v.s.hdr.Dropped.Add(1)
	}
}
