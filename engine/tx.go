package engine

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"pongofs/engine/container"
	"pongofs/engine/heap"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// Tx is a look at one version of the store, and in an Update the edit of it.
// It is valid only inside the function it was given to and belongs to one
// goroutine. Everything it returns is a copy and stays valid afterwards.
//
// Methods that write fail with ErrReadOnly in a View. After an error other
// than ErrNotFound, ErrExist and the like, which change nothing, the function
// should return it: the edit is then dropped.
//
// Where a method takes a container and a key, an invalid key (the zero
// value.Value) means the container itself, as far as that makes sense.
type Tx struct {
	s       *Store
	version *Version // what it looks at is kept by, nil for a short pin
	rootRef layout.Ref
	root    layout.Root
	ids     container.IDTable
	now     int64

	writable bool
	forced   bool  // publish even without a change
	broken   error // an error that left the edit half done
	callback bool  // a function of the caller runs inside a method
	crowded  bool  // space has been short in this Update
	others   bool  // other updates have changed it, see joint

	ed         edit
	cursor     container.Cursor
	containers []*openContainer
	index      map[ID]*openContainer
	indexed    int
	key        []byte // scratch for an encoded key
	bytes      []byte // scratch for the file image of a string
	dEntries   int64
	dConts     int64

	snaps snapshotEdit
}

// openContainer is a container that the transaction has looked at.
type openContainer struct {
	id      ID
	ref     layout.Ref // record in the base version, Nil if made in this Tx
	rec     container.Record
	dirty   bool
	removed bool
}

// reset points tx at the root record ref.
func (tx *Tx) reset(ref layout.Ref) error {
	obj, err := tx.s.heap.Object(ref, layout.KindRoot)
	if err != nil {
		return err
	}
	tx.root, err = layout.DecodeRoot(obj)
	if err != nil {
		return err
	}
	tx.rootRef = ref
	tx.ids = container.IDTable{Ref: tx.root.IDTable, Height: tx.root.IDHeight}
	tx.broken, tx.callback, tx.forced = nil, false, false
	tx.snaps = snapshotEdit{}
	tx.dEntries, tx.dConts = 0, 0
	tx.containers = tx.containers[:0]
	tx.indexed = 0
	clear(tx.index)
	tx.now = 0
	return nil
}

// time returns the time of the transaction, the same at each call.
func (tx *Tx) time() int64 {
	if tx.now == 0 {
		tx.now = time.Now().UnixNano()
	}
	return tx.now
}

// alone makes an edit that others have joined unpublishable, and fails: the function
// is then called again with an edit of its own. It is for what tells a version apart
// from its changes.
func (tx *Tx) alone() error {
	if !tx.others {
		return nil
	}
	return tx.fail(errJointAgain)
}

// Seq returns the sequence number of the version that the Tx looks at; in an Update,
// of the one that it changes.
func (tx *Tx) Seq() uint64 { return tx.root.Seq }

// space returns what the containers read through.
func (tx *Tx) space() container.Space {
	if tx.writable {
		return &tx.ed
	}
	return tx.s.heap
}

// open returns the container id, loading its record on first use.
func (tx *Tx) open(id ID) (*openContainer, error) {
	if c := tx.opened(id); c != nil {
		if c.removed {
			return nil, fmt.Errorf("container %d: %w", id, ErrNotFound)
		}
		return c, nil
	}
	ref, err := tx.ids.Get(tx.space(), uint64(id))
	if err != nil {
		return nil, err
	}
	if ref == layout.Nil {
		return nil, fmt.Errorf("container %d: %w", id, ErrNotFound)
	}
	c := tx.slot()
	rec, err := container.ReadRecord(tx.space(), ref)
	if err != nil {
		tx.containers = tx.containers[:len(tx.containers)-1]
		return nil, err
	}
	if rec.ID != uint64(id) {
		tx.containers = tx.containers[:len(tx.containers)-1]
		return nil, layout.Corrupt("container record", ref, "has id %d, not %d", rec.ID, id)
	}
	*c = openContainer{id: id, ref: ref, rec: rec}
	return c, nil
}

// opened finds a container that the transaction has looked at. The last few are
// searched, the others are in tx.index, which has tx.containers[:tx.indexed].
func (tx *Tx) opened(id ID) *openContainer {
	n := len(tx.containers)
	if tx.indexed > n { // some were forgotten
		clear(tx.index)
		tx.indexed = 0
	}
	if n-tx.indexed > 16 {
		if tx.index == nil {
			tx.index = map[ID]*openContainer{}
		}
		for _, c := range tx.containers[tx.indexed:] {
			tx.index[c.id] = c
		}
		tx.indexed = n
	}
	for _, c := range tx.containers[tx.indexed:] {
		if c.id == id {
			return c
		}
	}
	// The memory of one that a View has forgotten may hold another one since.
	if c := tx.index[id]; c != nil && c.id == id {
		return c
	}
	return nil
}

// slot appends an element to tx.containers, reusing the memory of an earlier
// transaction. Pointers to elements stay valid.
func (tx *Tx) slot() *openContainer {
	n := len(tx.containers)
	if n < cap(tx.containers) {
		tx.containers = tx.containers[:n+1]
		if tx.containers[n] != nil {
			return tx.containers[n]
		}
	} else {
		tx.containers = append(tx.containers, nil)
	}
	tx.containers[n] = new(openContainer)
	return tx.containers[n]
}

// edits opens a container for a change.
func (tx *Tx) edits(id ID) (*openContainer, error) {
	if !tx.writable {
		return nil, ErrReadOnly
	}
	if tx.broken != nil {
		return nil, tx.broken
	}
	if id == SnapshotsID {
		return nil, fmt.Errorf("container %d holds the snapshots: %w", id, ErrKind)
	}
	return tx.open(id)
}

// begin and end bracket every method: defer tx.end(tx.begin(), &err). A damaged
// store can make the code below panic or fault; end turns that into an error.
// Panics of the caller's own function pass.
func (tx *Tx) begin() (outer bool) {
	outer, tx.callback = tx.callback, false
	return outer
}

func (tx *Tx) end(outer bool, err *error) {
	if tx.callback { // leaving by a panic of a function that Scan was given
		return
	}
	tx.callback = outer
	if r := recover(); r != nil {
		*err = recovered(r)
		if tx.broken == nil {
			tx.broken = *err
		}
	}
}

// recovered turns what a damaged store made the engine panic with into an
// error, and panics again with anything else.
func recovered(r any) error {
	re, ok := r.(runtime.Error)
	if !ok {
		panic(r)
	}
	if fault, ok := r.(interface{ Addr() uintptr }); ok {
		return fmt.Errorf("%w: the store file cannot be read at address %#x: it was cut short or the disk failed",
			ErrIO, fault.Addr())
	}
	return layout.Corrupt("object", 0, "%v", re)
}

// fail makes the edit unusable, since an operation stopped in the middle of
// it, and returns err.
func (tx *Tx) fail(err error) error {
	if err != nil && tx.broken == nil {
		tx.broken = err
	}
	return wrap(err)
}

// wrap gives the errors of the packages below their public names.
func wrap(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, heap.ErrFull) && !errors.Is(err, ErrNoSpace):
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case errors.Is(err, container.ErrRange) && !errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}

// encodeKey encodes the key of an entry of c and says whether it names an
// element of a list, at pos.
func (tx *Tx) encodeKey(c *openContainer, key value.Value) (enc []byte, pos uint64, element bool, err error) {
	if !key.Kind().IsScalar() {
		return nil, 0, false, fmt.Errorf("key %v: %w", key, ErrKey)
	}
	if c.rec.Kind == value.KindList {
		switch key.Kind() {
		case value.KindInt:
			i := key.AsInt()
			if i < 0 {
				return nil, 0, false, fmt.Errorf("list index %d: %w", i, ErrKey)
			}
			return nil, uint64(i), true, nil
		case value.KindString:
			if _, ok := listIndex(key.AsString()); ok {
				// It would be shown under the name of an element.
				return nil, 0, false, fmt.Errorf("list key %v is an index written as a string: %w", key, ErrKey)
			}
		default:
			return nil, 0, false, fmt.Errorf("list key %v: %w", key, ErrKey)
		}
	}
	tx.key = value.AppendKey(tx.key[:0], key)
	if len(tx.key) > MaxKeyBytes {
		return nil, 0, false, fmt.Errorf("key of %d bytes: %w", len(tx.key), ErrKeyTooLong)
	}
	return tx.key, 0, false, nil
}
