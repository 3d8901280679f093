package engine

import (
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"

	"pongofs/engine/value"
)

// maxNesting is how deep documents may nest that are copied as a whole, so that
// one that contains itself, in Go memory or in a damaged store, is an error.
const maxNesting = 10_000

// tooDeep reports a document nested deeper than maxNesting.
func tooDeep() error {
	return fmt.Errorf("containers nested deeper than %d: %w", maxNesting, ErrTooLarge)
}

// insideError is an error that happened inside a document.
type insideError struct {
	keys []value.Value // that lead there, the last first
	err  error
}

// inside adds a key to an error. What a document of ten thousand levels says
// must not cost the square of that.
func inside(key value.Value, err error) error {
	if e, ok := err.(*insideError); ok {
		e.keys = append(e.keys, key)
		return e
	}
	return &insideError{[]value.Value{key}, err}
}

func (e *insideError) Error() string {
	p := slices.Clone(e.keys[max(0, len(e.keys)-20):])
	slices.Reverse(p)
	more := ""
	if len(p) < len(e.keys) {
		more = "/..."
	}
	return fmt.Sprintf("at %.200s%s: %v", Path(p), more, e.err)
}

func (e *insideError) Unwrap() error { return e.err }

// set stores v, as FromGo takes it, under a key in place of whatever is there.
func (tx *Tx) set(dir ID, key value.Value, v any) error {
	s, ok, err := scalarFromGo(v)
	if err != nil {
		return err
	}
	if ok {
		_, err := tx.Put(dir, key, s, PutOptions{Declared: true, New: tx.apiAttr(dir, apiFileMode)})
		if !errors.Is(err, ErrIsContainer) {
			return err
		}
	}
	t, err := FromGo(v)
	if err != nil {
		return err
	}
	return tx.setTree(dir, key, t)
}

// add stores v under a key that is not in use; else ErrExist.
func (tx *Tx) add(dir ID, key value.Value, v any) error {
	t, err := FromGo(v)
	if err != nil {
		return err
	}
	return tx.makeTree(dir, key, t)
}

// setTree is set of a tree.
func (tx *Tx) setTree(dir ID, key value.Value, t value.Tree) error {
	old, err := tx.Lookup(dir, key)
	switch {
	case errors.Is(err, ErrNotFound):
		return tx.makeTree(dir, key, t)
	case err != nil:
		return err
	case !t.Kind().IsContainer() && !old.IsContainer():
		return tx.putTree(dir, key, t, PutOptions{})
	}
	parent, err := tx.Stat(dir)
	if err != nil {
		return err
	}
	if parent.Kind == value.KindList && key.Kind() == value.KindInt {
		// Removing the last element of a list would take the gaps before it away.
		if err := tx.insertTree(dir, key.AsInt(), t); err != nil {
			return err
		}
		return tx.fail(tx.DeleteAt(dir, key.AsInt()+1))
	}
	if err := tx.RemoveAll(dir, key); err != nil {
		return err
	}
	return tx.fail(tx.makeTree(dir, key, t))
}

// putTree is Put of a tree that is a scalar or link.
func (tx *Tx) putTree(dir ID, key value.Value, t value.Tree, o PutOptions) error {
	v, err := t.Scalar()
	if err != nil {
		return err
	}
	o.Link = t.Link()
	o.Declared = !o.Link
	_, err = tx.Put(dir, key, v, o)
	return err
}

// makeTree stores a tree under a key that is not in use; else ErrExist.
func (tx *Tx) makeTree(dir ID, key value.Value, t value.Tree) error {
	begun, err := tx.buildTree(dir, key, t, 0)
	if begun {
		err = tx.fail(err) // there is half a document
	}
	return err
}

// buildTree reports whether an error has left anything behind.
func (tx *Tx) buildTree(dir ID, key value.Value, t value.Tree, depth int) (begun bool, err error) {
	kind := t.Kind()
	if !kind.IsContainer() {
		return false, tx.putTree(dir, key, t, PutOptions{Exclusive: true, New: tx.apiAttr(dir, apiFileMode)})
	}
	if depth == maxNesting {
		return false, tooDeep()
	}
	e, err := tx.Make(dir, key, kind, tx.apiAttr(dir, apiDirMode))
	if err != nil {
		return false, err
	}
	for k, child := range t.Children() {
		if _, err := tx.buildTree(e.ID, k, child, depth+1); err != nil {
			return true, inside(k, err)
		}
	}
	return true, t.Err()
}

// insertTree stores a tree before position i of a list, at most its length.
func (tx *Tx) insertTree(list ID, i int64, t value.Tree) error {
	e, err := tx.Stat(list)
	if err != nil {
		return err
	}
	if i == int64(e.Len) {
		return tx.makeTree(list, value.Int(i), t)
	}
	v, link := value.Null(), t.Link()
	if !t.Kind().IsContainer() {
		if v, err = t.Scalar(); err != nil {
			return err
		}
	}
	o := PutOptions{Declared: !link, Link: link, New: tx.apiAttr(list, apiFileMode)}
	if _, err := tx.InsertAt(list, i, v, o); err != nil || !t.Kind().IsContainer() {
		return err
	}
	// The null has made room; there are elements behind, so it leaves a gap.
	if err := tx.Remove(list, value.Int(i)); err != nil {
		return tx.fail(err)
	}
	return tx.fail(tx.makeTree(list, value.Int(i), t))
}

// Copy feeds the value of e, an entry that this Tx has returned, with
// everything below it to b. Gaps of lists are fed as such; names beside the
// elements are left out. Attributes and declarations are not part of a value.
func (tx *Tx) Copy(e *Entry, b value.Builder) error {
	c := copier{tx: tx, b: b}
	return c.copy(e, 0)
}

// copier is the state of one Copy. In a damaged store a container may be in
// several places, or in itself: seen has those that were met.
type copier struct {
	tx   *Tx
	b    value.Builder
	seen map[ID]struct{}
}

func (c *copier) copy(e *Entry, depth int) error {
	if !e.IsContainer() {
		v, err := c.tx.Value(e)
		switch {
		case err != nil:
			return err
		case e.Link:
			return c.b.Link(v.AsString())
		}
		return c.b.Scalar(v)
	}
	if depth == maxNesting {
		return tooDeep()
	}
	if _, again := c.seen[e.ID]; again {
		return fmt.Errorf("%w: container %d is in two places", ErrCorrupt, e.ID)
	}
	if c.seen == nil {
		c.seen = map[ID]struct{}{}
	}
	c.seen[e.ID] = struct{}{}
	if err := c.b.Begin(e.Kind); err != nil {
		return err
	}
	defer c.tx.forget(len(c.tx.containers))
	next := int64(0)
	for m, err := range c.tx.entries(e.ID, value.Value{}, false) {
		if err != nil {
			return err
		}
		if e.Kind == value.KindList && m.Key.Kind() == value.KindInt {
			for ; next < m.Key.AsInt(); next++ {
				if err := c.b.Gap(); err != nil {
					return err
				}
			}
			next++
		} else if err := c.b.Key(m.Key); err != nil {
			return err
		}
		if err := c.copy(&m, depth+1); err != nil {
			return inside(m.Key, err)
		}
	}
	return c.b.End()
}

// Document returns the value of e, an entry that this Tx has returned, with
// everything below it as a copy in memory, valid for ever. See Copy.
func (tx *Tx) Document(e *Entry) (value.Tree, error) {
	var d value.Document
	if err := tx.Copy(e, &d); err != nil {
		return nil, err
	}
	return d.Tree()
}

// equalTree reports whether the value of e is equal to t.
func (tx *Tx) equalTree(e *Entry, t value.Tree) (bool, error) {
	if e.IsContainer() || t.Kind().IsContainer() {
		if e.Kind != t.Kind() {
			return false, nil
		}
		d, err := tx.Document(e)
		if err != nil {
			return false, err
		}
		_, same := value.Equal(d, t)
		return same, nil
	}
	want, err := t.Scalar()
	if err != nil {
		return false, err
	}
	if e.HasImage() && e.Size > int64(len(want.AsString()))+1 {
		return false, nil // without reading a large value
	}
	v, err := tx.Value(e)
	return v == want, err
}

// forget closes the containers that a View has opened since n were open, so
// that walking a large tree stays quick. Nothing may refer to them any more.
func (tx *Tx) forget(n int) {
	if !tx.writable {
		tx.containers = tx.containers[:min(n, len(tx.containers))]
	}
}

// entries yields the entries of dir behind after in the order of Scan; with
// from set, the entry of key after itself is the first. An error is yielded
// once, at the end.
//
// A View walks along. In an Update each step seeks anew, so that the body of
// the loop may change dir.
func (tx *Tx) entries(dir ID, after value.Value, from bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		// iter.Pull runs this on a goroutine of its own.
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		if from && after.IsValid() {
			e, err := tx.Lookup(dir, after)
			if err == nil && !yield(e, nil) {
				return
			}
			if err != nil && !errors.Is(err, ErrNotFound) {
				yield(Entry{}, err)
				return
			}
		}
		if !tx.writable {
			stopped := false
			err := tx.Scan(dir, after, false, func(e Entry) bool {
				defer tx.forget(len(tx.containers))
				stopped = !yield(e, nil)
				return !stopped
			})
			if err != nil && !stopped {
				yield(Entry{}, err)
			}
			return
		}
		for {
			var e Entry
			found := false
			err := tx.Scan(dir, after, false, func(next Entry) bool {
				e, found = next, true
				return false
			})
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !found || !yield(e, nil) {
				return
			}
			after = e.Key
		}
	}
}
