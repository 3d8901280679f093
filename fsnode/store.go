package fsnode

import (
	"context"
	"fmt"
	"io"

	"pongofs/engine"
	"pongofs/engine/value"
)

// Store is what fsnode needs of a store. FromEngine makes one of an
// *engine.Store.
type Store interface {
	// View calls fn with the newest version.
	View(fn func(Tx) error) error
	// Update calls fn, perhaps several times, and publishes what it did in one
	// step when it returns nil.
	Update(fn func(Tx) error) error
	// Pin keeps the image of e readable after tx, which has returned e.
	Pin(tx Tx, e *engine.Entry) (Pin, error)
	// Sync makes durable what was published before the call.
	Sync(ctx context.Context) error
	// Changed is the sequence of the newest version; it is cheap.
	Changed() uint64
	// Stats returns the figures of the store.
	Stats() (engine.Stats, error)
}

// Pin is one version of a file image that stays readable until Close.
type Pin interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Reader is the reading half of Tx.
type Reader interface {
	Seq() uint64
	Stat(id engine.ID) (engine.Entry, error)
	Lookup(dir engine.ID, key value.Value) (engine.Entry, error)
	Scan(dir engine.ID, after value.Value, full bool, fn func(engine.Entry) bool) error
	ReadImage(e *engine.Entry, p []byte, off int64) (int, error)
	TypeOf(e *engine.Entry) (value.Kind, error)
	Xattrs(dir engine.ID, key value.Value) (map[string][]byte, error)
}

// Writer is the writing half of Tx.
type Writer interface {
	Put(dir engine.ID, key value.Value, v value.Value, o engine.PutOptions) (engine.Entry, error)
	PutImage(dir engine.ID, key value.Value, kind value.Kind, image []byte, o engine.PutOptions) (engine.Entry, error)
	WriteImage(dir engine.ID, key value.Value, off int64, p []byte) (engine.Entry, error)
	TruncateImage(dir engine.ID, key value.Value, size int64) (engine.Entry, error)
	Make(dir engine.ID, key value.Value, kind value.Kind, attr engine.NewAttr) (engine.Entry, error)
	Remove(dir engine.ID, key value.Value) error
	RemoveAll(dir engine.ID, key value.Value) error
	Rename(odir engine.ID, okey value.Value, ndir engine.ID, nkey value.Value, o engine.RenameOptions) error
	SetAttr(dir engine.ID, key value.Value, ch engine.AttrChange) (engine.Entry, error)
	Declare(dir engine.ID, key value.Value, declared bool) (engine.Entry, error)
	Convert(id engine.ID, kind value.Kind) error
	SetXattr(dir engine.ID, key value.Value, name string, val []byte) error
}

// Tx is a look at one version of the store, and in an Update the edit of it.
// The methods are those of engine.Tx, which has their description.
type Tx interface {
	Reader
	Writer
}

// FromEngine returns s as a Store.
func FromEngine(s *engine.Store) Store { return engineStore{s} }

type engineStore struct{ *engine.Store }

func (s engineStore) View(fn func(Tx) error) error {
	return s.Store.View(func(tx *engine.Tx) error { return fn(tx) })
}

func (s engineStore) Update(fn func(Tx) error) error {
	return s.Store.Update(func(tx *engine.Tx) error { return fn(tx) })
}

func (s engineStore) Pin(tx Tx, e *engine.Entry) (Pin, error) {
	etx, ok := tx.(*engine.Tx)
	if !ok {
		return nil, fmt.Errorf("pin: transaction of another store: %T", tx)
	}
	p, err := etx.PinValue(e)
	if err != nil {
		return nil, err
	}
	return p, nil
}
