package fsnode

import (
	"context"
	"errors"
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
	// WaitChange waits for a version newer than seq, at most until ctx is done.
	WaitChange(ctx context.Context, seq uint64) (uint64, error)
	// ChangedContainers and ChangedMembers find what differs between versions
	// that two Tx look at.
	ChangedContainers(old, now Tx, fn func(id engine.ID, was, is bool) error) error
	ChangedMembers(old, now Tx, id engine.ID, fn func(old, now *engine.Entry) error) error
	// Stats returns the figures of the store.
	Stats() (engine.Stats, error)
	// Holders returns who holds which version.
	Holders() ([]engine.Holder, error)

	// Snapshots returns all snapshots by name, FindSnapshot one of them.
	Snapshots() ([]engine.Snapshot, error)
	FindSnapshot(name string) (engine.Snapshot, error)
	// Snapshot and DropSnapshot return when they are durable. ctx ends them only
	// before anything is published.
	Snapshot(ctx context.Context, name string) (engine.Snapshot, error)
	DropSnapshot(ctx context.Context, name string) error
	// ViewSnapshot calls fn with the version of a snapshot.
	ViewSnapshot(name string, fn func(Tx) error) error
	// KeepSnapshot and KeepNewest keep a version until it is closed.
	KeepSnapshot(name string) (Version, error)
	KeepNewest() (Version, error)

	// Setting returns the text of a setting, SetSetting changes it durably.
	Setting(name string) (string, error)
	SetSetting(name, text string) error
}

// Version is one version of the store that stays readable until Close.
type Version interface {
	io.Closer
	Seq() uint64
	View(fn func(Tx) error) error
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
	Snapshots() ([]engine.Snapshot, error)
	FindSnapshot(name string) (engine.Snapshot, error)
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

// engineTx returns the engine's own transaction.
func engineTx(tx Tx) (*engine.Tx, error) {
	if t, ok := tx.(*engine.Tx); ok {
		return t, nil
	}
	return nil, fmt.Errorf("transaction of another store: %T", tx)
}

func (s engineStore) ChangedContainers(old, now Tx, fn func(id engine.ID, was, is bool) error) error {
	a, errOld := engineTx(old)
	b, errNow := engineTx(now)
	if err := errors.Join(errOld, errNow); err != nil {
		return err
	}
	return engine.ChangedContainers(a, b, fn)
}

func (s engineStore) ChangedMembers(old, now Tx, id engine.ID, fn func(old, now *engine.Entry) error) error {
	a, errOld := engineTx(old)
	b, errNow := engineTx(now)
	if err := errors.Join(errOld, errNow); err != nil {
		return err
	}
	return engine.ChangedMembers(a, b, id, fn)
}

func (s engineStore) Pin(tx Tx, e *engine.Entry) (Pin, error) {
	etx, err := engineTx(tx)
	if err != nil {
		return nil, err
	}
	p, err := etx.PinValue(e)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (s engineStore) ViewSnapshot(name string, fn func(Tx) error) error {
	return s.Store.ViewSnapshot(name, func(tx *engine.Tx) error { return fn(tx) })
}

func (s engineStore) KeepSnapshot(name string) (Version, error) {
	return keep(s.OpenSnapshot(name))
}

func (s engineStore) KeepNewest() (Version, error) { return keep(s.OpenVersion()) }

func (s engineStore) Setting(name string) (text string, err error) {
	err = s.Store.View(func(tx *engine.Tx) error {
		text, err = tx.Setting(name)
		return err
	})
	return text, err
}

func keep(v *engine.Version, err error) (Version, error) {
	if err != nil {
		return nil, err
	}
	return engineVersion{v}, nil
}

type engineVersion struct{ *engine.Version }

func (v engineVersion) View(fn func(Tx) error) error {
	return v.Version.View(func(tx *engine.Tx) error { return fn(tx) })
}
