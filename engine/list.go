package engine

import (
	"errors"
	"fmt"
	"iter"

	"pongofs/engine/value"
)

// List is a handle to a list: values of any type, numbered from 0. It is valid
// as long as its Tx, and its methods are those of Tx applied to one container.
//
// Negative indexes count from the end, -1 being the last element. An index
// that is out of range is ErrNotFound, and so is a gap: a number below Len that
// has no element, left by Tx.Remove or by setting an index past the end. Names
// kept beside the elements (see Tx.Scan) are not elements and do not show here.
//
// Every operation but Compact, Index, Remove and All costs O(log n).
type List struct {
	tx *Tx
	id ID
}

// List returns a handle to the list id: ErrNotFound when there is no such
// container, ErrKind when it is not a list.
func (tx *Tx) List(id ID) (List, error) {
	return List{tx, id}, tx.needContainer(id, value.KindList)
}

// ID returns the id of the list, by which a later Tx finds it again wherever it
// has moved to.
func (l List) ID() ID { return l.id }

// Len returns one more than the highest index in use; gaps count.
func (l List) Len() (int, error) {
	e, err := l.tx.Stat(l.id)
	return int(e.Len), err
}

// position turns an index into a position, which may be n or more only when
// past is set. An error names the index.
func (l List) position(i int, past bool) (value.Value, error) {
	n, err := l.Len()
	if err != nil {
		return value.Value{}, err
	}
	at := i
	if at < 0 {
		at += n
	}
	if at < 0 || at >= n && !past {
		return value.Value{}, fmt.Errorf("index %d of %d: %w", i, n, ErrNotFound)
	}
	return value.Int(int64(at)), nil
}

// Entry returns the element at index i with its attributes.
func (l List) Entry(i int) (Entry, error) {
	at, err := l.position(i, false)
	if err != nil {
		return Entry{}, err
	}
	e, err := l.tx.Lookup(l.id, at)
	return e, atIndex(i, err)
}

// Get returns the scalar at index i, ErrIsContainer when there is a container.
func (l List) Get(i int) (value.Value, error) {
	e, err := l.Entry(i)
	if err != nil {
		return value.Value{}, err
	}
	v, err := l.tx.Value(&e)
	return v, atIndex(i, err)
}

// Dict returns the dict at index i, ErrKind when there is something else.
func (l List) Dict(i int) (Dict, error) {
	e, err := l.Entry(i)
	if err != nil {
		return Dict{}, err
	}
	return Dict{keyed{l.tx, e.ID}}, atIndex(i, needKind(&e, value.KindDict))
}

// Collection returns the collection at index i, ErrKind when there is something
// else.
func (l List) Collection(i int) (Collection, error) {
	e, err := l.Entry(i)
	if err != nil {
		return Collection{}, err
	}
	return Collection{keyed{l.tx, e.ID}}, atIndex(i, needKind(&e, value.KindCollection))
}

// List returns the list at index i, ErrKind when there is something else.
func (l List) List(i int) (List, error) {
	e, err := l.Entry(i)
	if err != nil {
		return List{}, err
	}
	return List{l.tx, e.ID}, atIndex(i, needKind(&e, value.KindList))
}

// Set stores v at index i, in place of whatever is there. As everywhere in a
// store, the index behind the last one appends, and one further out leaves gaps
// in between, at most MaxListGap (ErrTooLarge).
func (l List) Set(i int, v any) error {
	at, err := l.position(i, true)
	if err != nil {
		return err
	}
	return atIndex(i, l.tx.set(l.id, at, v))
}

// Append adds v at the end.
func (l List) Append(v any) error {
	n, err := l.Len()
	if err != nil {
		return err
	}
	return atIndex(n, l.tx.add(l.id, value.Int(int64(n)), v))
}

// Extend adds every element of a Go slice or array, or of a value.Tree that is
// a list, at the end. Gaps of the tree stay gaps.
func (l List) Extend(values any) error {
	t, err := FromGo(values)
	if err != nil {
		return err
	}
	if kind := t.Kind(); kind != value.KindList {
		return fmt.Errorf("extend by a %v: %w", kind, ErrKind)
	}
	n, err := l.Len()
	if err != nil {
		return err
	}
	for key, child := range t.Children() {
		if key.Kind() != value.KindInt {
			break // names beside the elements
		}
		at := int64(n) + key.AsInt()
		if err := l.tx.add(l.id, value.Int(at), child); err != nil {
			return atIndex(int(at), err)
		}
	}
	return t.Err()
}

// Insert stores v before index i, and later elements move up by one. Insert at
// Len appends.
func (l List) Insert(i int, v any) error {
	n, err := l.Len()
	if err != nil {
		return err
	}
	at := i
	if at < 0 {
		at += n
	}
	if at < 0 || at > n {
		return fmt.Errorf("index %d of %d: %w", i, n, ErrNotFound)
	}
	t, err := FromGo(v)
	if err != nil {
		return err
	}
	return atIndex(i, l.tx.insertTree(l.id, int64(at), t))
}

// Delete removes the element or gap at index i with everything below it, and
// later elements move down by one. Tx.Remove leaves a gap instead.
func (l List) Delete(i int) error { return l.tx.DeleteAt(l.id, int64(i)) }

// Pop is Delete that returns what it removes, as a copy in memory with
// everything that was below it. Pop(-1) takes the last element.
func (l List) Pop(i int) (value.Tree, error) {
	e, err := l.Entry(i)
	if err != nil {
		return nil, err
	}
	t, err := l.tx.Document(&e)
	if err != nil {
		return nil, atIndex(i, err)
	}
	return t, l.Delete(i)
}

// Index returns the index of the first element that is equal to v: of the same
// type and value, a container with all that is below it. ErrNotFound when there
// is none.
func (l List) Index(v any) (int, error) {
	want, err := FromGo(v)
	if err != nil {
		return 0, err
	}
	for e, err := range l.All() {
		if err != nil {
			return 0, err
		}
		same, err := l.tx.equalTree(&e, want)
		if err != nil {
			return 0, atKey(e.Key, err)
		}
		if same {
			return int(e.Key.AsInt()), nil
		}
	}
	return 0, fmt.Errorf("element %.60v: %w", v, ErrNotFound)
}

// Remove removes the first element that is equal to v, as Index finds it, and
// later elements move down by one. ErrNotFound when there is none.
func (l List) Remove(v any) error {
	i, err := l.Index(v)
	if err != nil {
		return err
	}
	return l.Delete(i)
}

// Compact closes the gaps.
func (l List) Compact() error { return l.tx.CompactList(l.id) }

// All yields the elements in order, gaps left out. Entry.Key is the index. Of a
// container among them only Key, ID and Kind are filled in; Tx.Stat has the
// rest. An error is yielded once, at the end.
//
// In an Update the loop may change the list: next is the first element behind
// the index that it was at.
func (l List) All() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for e, err := range l.tx.entries(l.id, value.Value{}, false) {
			if err == nil && e.Key.Kind() != value.KindInt {
				return // names beside the elements
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// GetPath returns the scalar that a path leads to from here: see ParsePath.
func (l List) GetPath(path string) (value.Value, error) { return l.tx.getPath(l.id, path) }

// SetPath stores v where a path leads, as Set does. All but the last step must
// exist.
func (l List) SetPath(path string, v any) error { return l.tx.SetPath(l.id, ParsePath(path), v) }

// DeletePath removes what a path leads to, with everything below it; in a list
// later elements move down.
func (l List) DeletePath(path string) error { return l.tx.DeletePath(l.id, ParsePath(path)) }

// Search yields, in order, the elements of which some value at the pattern
// below them stands in relation op to v: see ParsePattern.
func (l List) Search(pattern string, op Op, v any) iter.Seq2[Entry, error] {
	return l.tx.searchMembers(l.id, pattern, op, v)
}

// atIndex adds the index to an error that does not tell it.
func atIndex(i int, err error) error {
	if err == nil || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("index %d: %w", i, err)
}
