package main

import (
	"fmt"
	"iter"

	"pongofs/engine"
	"pongofs/engine/value"
)

// storeTree is a value in a store with everything below it, read as it is
// walked: the value.Tree that encoders read. It is valid inside the View or
// Update of its Tx.
type storeTree struct {
	tx    *engine.Tx
	entry engine.Entry
	err   *error // shared by the whole tree, so that no error is lost
}

// newStoreTree returns the tree at e, an entry that tx has returned.
func newStoreTree(tx *engine.Tx, e engine.Entry) *storeTree {
	return &storeTree{tx: tx, entry: e, err: new(error)}
}

// Kind returns the kind of the value, guessed types evaluated. The root shows
// as a dict: it is a collection in every store, so that no document has to say
// it, and a document that was imported there comes out as it went in.
func (t *storeTree) Kind() value.Kind {
	if t.entry.ID == engine.RootID {
		return value.KindDict
	}
	kind, err := kindOf(t.tx, &t.entry)
	if err != nil {
		t.fail(err)
		return value.KindNull
	}
	return kind
}

// Scalar returns the value of a scalar.
func (t *storeTree) Scalar() (value.Value, error) { return valueOf(t.tx, &t.entry) }

// Link reports whether the value is a symbolic link.
func (t *storeTree) Link() bool { return t.entry.Link }

// Children yields the members in the order of the container.
func (t *storeTree) Children() iter.Seq2[value.Value, value.Tree] {
	return func(yield func(value.Value, value.Tree) bool) {
		err := t.tx.Scan(t.entry.ID, value.Value{}, false, func(e engine.Entry) bool {
			return yield(e.Key, &storeTree{tx: t.tx, entry: e, err: t.err})
		})
		if err != nil {
			t.fail(err)
		}
	}
}

// Err returns the first error met anywhere in the tree.
func (t *storeTree) Err() error { return *t.err }

func (t *storeTree) fail(err error) {
	if *t.err == nil {
		*t.err = err
	}
}

// storeBuilder puts a document into a store as it is decoded: the
// value.Builder that decoders feed. Scalars are declared.
type storeBuilder struct {
	tx   *engine.Tx
	file engine.NewAttr
	dir  engine.NewAttr

	// top is where the document goes. With merge, its members go into that
	// container itself.
	top   spot
	merge bool

	stack   []frame
	err     error
	Values  uint64 // scalars and containers stored
	Escaped uint64 // keys whose file name differs from them
	Example value.Value
}

// spot is a place for a value: a key in a container.
type spot struct {
	dir engine.ID
	key value.Value
}

// frame is a container that is being filled.
type frame struct {
	id   engine.ID
	kind value.Kind
	key  value.Value // of the next member; invalid for the next element of a list
	next int64       // index of the next element of a list
}

// newStoreBuilder returns a builder that stores a document at top.
func newStoreBuilder(tx *engine.Tx, top spot, merge bool) *storeBuilder {
	return &storeBuilder{tx: tx, file: newFileAttr(), dir: newDirAttr(), top: top, merge: merge}
}

// Scalar stores a scalar as the next value.
func (b *storeBuilder) Scalar(v value.Value) error {
	return b.put(v, engine.PutOptions{Declared: true, Exclusive: true, New: b.file})
}

// Link stores a symbolic link as the next value.
func (b *storeBuilder) Link(target string) error {
	return b.put(value.String(target), engine.PutOptions{Link: true, Exclusive: true, New: b.file})
}

func (b *storeBuilder) put(v value.Value, o engine.PutOptions) error {
	if b.err != nil {
		return b.err
	}
	if len(b.stack) == 0 && b.merge {
		return b.fail(fmt.Errorf("the document is a single %s and needs a name: add a PATH", v.Kind()))
	}
	at, err := b.place()
	if err != nil {
		return b.fail(err)
	}
	if _, err := b.tx.Put(at.dir, at.key, v, o); err != nil {
		return b.fail(err)
	}
	b.Values++
	return nil
}

// Begin starts a container as the next value.
func (b *storeBuilder) Begin(kind value.Kind) error {
	if b.err != nil {
		return b.err
	}
	if len(b.stack) == 0 && b.merge {
		if kind == value.KindList {
			return b.fail(fmt.Errorf("the document is a list and needs a name: add a PATH"))
		}
		b.stack = append(b.stack, frame{id: b.top.dir, kind: kind})
		return nil
	}
	at, err := b.place()
	if err != nil {
		return b.fail(err)
	}
	e, err := b.tx.Make(at.dir, at.key, kind, b.dir)
	if err != nil {
		return b.fail(err)
	}
	b.Values++
	b.stack = append(b.stack, frame{id: e.ID, kind: kind})
	return nil
}

// Key names the next value of a dict or collection, or one beside the elements
// of a list.
func (b *storeBuilder) Key(k value.Value) error {
	if b.err != nil {
		return b.err
	}
	top := &b.stack[len(b.stack)-1]
	top.key = k
	if isEscaped(top.kind, k) {
		b.Escaped++
		if !b.Example.IsValid() {
			b.Example = k
		}
	}
	return nil
}

// Gap leaves out one element of a list.
func (b *storeBuilder) Gap() error {
	if b.err != nil {
		return b.err
	}
	b.stack[len(b.stack)-1].next++
	return nil
}

// End ends the container that Begin started last.
func (b *storeBuilder) End() error {
	if b.err != nil {
		return b.err
	}
	b.stack = b.stack[:len(b.stack)-1]
	return nil
}

// place returns where the next value goes.
func (b *storeBuilder) place() (spot, error) {
	if len(b.stack) == 0 {
		return b.top, nil
	}
	top := &b.stack[len(b.stack)-1]
	if top.kind == value.KindList && !top.key.IsValid() {
		top.next++
		return spot{top.id, value.Int(top.next - 1)}, nil
	}
	at := spot{top.id, top.key}
	if top.kind == value.KindList {
		top.key = value.Value{}
	}
	return at, nil
}

// fail records the first error, with the path of keys at which it happened.
func (b *storeBuilder) fail(err error) error {
	where := ""
	for _, f := range b.stack {
		where += "/" + f.label()
	}
	if where != "" {
		err = fmt.Errorf("%s: %w", where[1:], err)
	}
	b.err = err
	return err
}

// label returns the name of the member that the frame is at.
func (f *frame) label() string {
	if f.kind == value.KindList {
		return keyName(f.kind, value.Int(f.next-1))
	}
	return keyName(f.kind, f.key)
}
