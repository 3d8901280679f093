package engine

import (
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"sync"

	"pongofs/engine/container"
	"pongofs/engine/epoch"
	"pongofs/engine/layout"
)

// copyMax is the size up to which a pinned image is simply copied.
const copyMax = 64 << 10

// ValuePin is one version of a file image. It may be used by several
// goroutines.
type ValuePin struct {
	s    *Store
	item container.Item
	data []byte // the whole image when it was copied

	mu sync.RWMutex // held for reading during ReadAt; Close waits
	// What holds the blocks: one of these, none when copied or closed.
	named   *epoch.Named
	version *Version
}

// PinValue keeps the present version of e's image readable after the Tx that
// returned e has ended, whatever happens to the entry. Close it. In an Update
// the image must not have been changed by the same Update.
func (tx *Tx) PinValue(e *Entry) (p *ValuePin, err error) {
	defer tx.end(tx.begin(), &err)
	if !e.HasImage() {
		return nil, fmt.Errorf("image of a value of type %v: %w", e.Kind, ErrKind)
	}
	if err := tx.alone(); err != nil {
		return nil, err
	}
	p = &ValuePin{s: tx.s, item: e.item}
	if e.Size <= copyMax || e.item.Blob == layout.Nil {
		p.data = make([]byte, e.Size)
		if n, err := readImage(tx.space(), &e.item, p.data, 0); n < len(p.data) {
			return nil, err
		}
		return p, nil
	}
	if tx.version != nil {
		// A named pin must not be made from another one (see epoch.PinRoot): the
		// version that holds the blocks stays as long as the value is used.
		if p.version, err = tx.version.use(); err != nil {
			return nil, err
		}
		tx.s.pins.add(p)
		return p, nil
	}
	// Stored while the Tx still pins the root, so there is no moment at which
	// nothing holds the blocks.
	p.named, err = tx.s.epochs.PinValue(tx.root.Seq, uint64(e.ID), e.item.Blob)
	if err != nil {
		return nil, err
	}
	tx.s.pins.add(p)
	return p, nil
}

// openSet is the set of what Close of the store has to close.
type openSet[T interface {
	comparable
	io.Closer
}] struct {
	mu  sync.Mutex
	all map[T]struct{}
}

func (o *openSet[T]) add(x T) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil {
		o.all = map[T]struct{}{}
	}
	o.all[x] = struct{}{}
}

func (o *openSet[T]) remove(x T) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, x)
}

func (o *openSet[T]) closeAll() {
	o.mu.Lock()
	all := slices.Collect(maps.Keys(o.all))
	o.mu.Unlock()
	for _, x := range all {
		_ = x.Close()
	}
}

// ReadAt reads from the pinned image as io.ReaderAt does.
func (p *ValuePin) ReadAt(b []byte, off int64) (n int, err error) {
	if p.data != nil || p.item.Size == 0 {
		if off < 0 || off >= int64(len(p.data)) {
			if len(b) == 0 {
				return 0, nil
			}
			return 0, io.EOF
		}
		n = copy(b, p.data[off:])
		if n < len(b) {
			return n, io.EOF
		}
		return n, nil
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.named == nil && p.version == nil {
		return 0, ErrClosed
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = recovered(r)
		}
	}()
	return readImage(p.s.heap, &p.item, b, off)
}

// Size returns the length of the image in bytes.
func (p *ValuePin) Size() int64 { return int64(p.item.Size) }

// Close lets the image go. It may be called more than once. Closing the store
// closes all pins.
func (p *ValuePin) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.named != nil:
		p.named.Drop()
		p.named = nil
	case p.version != nil:
		p.version.unuse()
		p.version = nil
	default:
		return nil
	}
	p.s.pins.remove(p)
	return nil
}
