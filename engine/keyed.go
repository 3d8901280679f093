package engine

import (
	"errors"
	"fmt"
	"iter"

	"pongofs/engine/value"
)

// Mode bits of entries that the handles make. Their owner is that of the
// container they are made in.
const (
	apiFileMode = 0o644
	apiDirMode  = 0o755
)

// keyed is what Dict and Collection have in common.
//
// Keys and values are Go values as FromGo takes them. A key is a scalar: the
// string "55", the int 55 and the float 55.0 are three different keys.
type keyed struct {
	tx *Tx
	id ID
}

// ID returns the id of the container, by which a later Tx finds it again
// wherever it has moved to.
func (k keyed) ID() ID { return k.id }

// Len returns the number of entries.
func (k keyed) Len() (int, error) {
	e, err := k.tx.Stat(k.id)
	return int(e.Count), err
}

// Has reports whether there is an entry of that key.
func (k keyed) Has(key any) (bool, error) {
	_, err := k.Entry(key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Entry returns what is stored under a key with its attributes, ErrNotFound
// when there is nothing.
func (k keyed) Entry(key any) (Entry, error) {
	kv, err := keyFromGo(key)
	if err != nil {
		return Entry{}, err
	}
	e, err := k.tx.Lookup(k.id, kv)
	return e, atKey(kv, err)
}

// Get returns the scalar under a key: ErrNotFound when there is nothing,
// ErrIsContainer when there is a container.
func (k keyed) Get(key any) (value.Value, error) {
	e, err := k.Entry(key)
	if err != nil {
		return value.Value{}, err
	}
	v, err := k.tx.Value(&e)
	return v, atKey(e.Key, err)
}

// Dict returns the dict under a key: ErrNotFound when there is nothing,
// ErrKind when there is something else.
func (k keyed) Dict(key any) (Dict, error) {
	e, err := k.Entry(key)
	if err != nil {
		return Dict{}, err
	}
	return Dict{keyed{k.tx, e.ID}}, atKey(e.Key, needKind(&e, value.KindDict))
}

// Collection returns the collection under a key, with errors as for Dict.
func (k keyed) Collection(key any) (Collection, error) {
	e, err := k.Entry(key)
	if err != nil {
		return Collection{}, err
	}
	return Collection{keyed{k.tx, e.ID}}, atKey(e.Key, needKind(&e, value.KindCollection))
}

// List returns the list under a key, with errors as for Dict.
func (k keyed) List(key any) (List, error) {
	e, err := k.Entry(key)
	if err != nil {
		return List{}, err
	}
	return List{k.tx, e.ID}, atKey(e.Key, needKind(&e, value.KindList))
}

// NewDict makes an empty dict under a key that is not in use; else ErrExist.
func (k keyed) NewDict(key any) (Dict, error) {
	id, err := k.make(key, value.KindDict)
	return Dict{keyed{k.tx, id}}, err
}

// NewCollection makes an empty collection under a key that is not in use; else
// ErrExist.
func (k keyed) NewCollection(key any) (Collection, error) {
	id, err := k.make(key, value.KindCollection)
	return Collection{keyed{k.tx, id}}, err
}

// NewList makes an empty list under a key that is not in use; else ErrExist.
func (k keyed) NewList(key any) (List, error) {
	id, err := k.make(key, value.KindList)
	return List{k.tx, id}, err
}

func (k keyed) make(key any, kind value.Kind) (ID, error) {
	kv, err := keyFromGo(key)
	if err != nil {
		return NoID, err
	}
	e, err := k.tx.Make(k.id, kv, kind, k.tx.apiAttr(k.id, apiDirMode))
	return e.ID, atKey(kv, err)
}

// Set stores v under a key, in place of whatever is there: a scalar takes a new
// value and keeps its id and attributes, a container goes with everything
// below it.
func (k keyed) Set(key, v any) error {
	kv, err := keyFromGo(key)
	if err != nil {
		return err
	}
	return atKey(kv, k.tx.set(k.id, kv, v))
}

// SetDefault stores v under a key unless there is something already, and
// reports whether it did.
func (k keyed) SetDefault(key, v any) (added bool, err error) {
	kv, err := keyFromGo(key)
	if err != nil {
		return false, err
	}
	switch err := k.tx.add(k.id, kv, v); {
	case errors.Is(err, ErrExist):
		return false, nil
	default:
		return err == nil, atKey(kv, err)
	}
}

// Update sets every member of a Go map, or of a value.Tree that is a dict or
// collection, as Set does. Entries of other keys stay. Many scalars take less
// time than as many Sets: see Tx.PutAll, also for errors.
func (k keyed) Update(members any) error {
	t, err := FromGo(members)
	if err != nil {
		return err
	}
	if kind := t.Kind(); kind != value.KindDict && kind != value.KindCollection {
		return fmt.Errorf("update with a %v: %w", kind, ErrKind)
	}
	u := updater{keyed: k, o: PutOptions{Declared: true, New: k.tx.apiAttr(k.id, apiFileMode)}}
	for key, child := range t.Children() {
		if err = u.set(key, child); err != nil {
			break
		}
	}
	if err == nil {
		err = u.flush()
	}
	if err == nil {
		err = t.Err()
	}
	if u.changed {
		err = k.tx.fail(err) // some of the members are there
	}
	return err
}

// updater is one Update.
type updater struct {
	keyed
	o       PutOptions
	scalars []Member // to be stored
	bytes   int      // in strings among them
	changed bool
}

// A tree may be larger than memory, so that only so much of it is gathered.
const (
	updateMembers = 1024
	updateBytes   = 1 << 20
)

func (u *updater) set(key value.Value, child value.Tree) error {
	if child.Kind().IsContainer() || child.Link() {
		if err := u.flush(); err != nil { // a tree may name a key again
			return err
		}
		err := u.tx.set(u.id, key, child)
		u.changed = u.changed || err == nil
		return atKey(key, err)
	}
	v, err := child.Scalar()
	if err != nil {
		return atKey(key, err)
	}
	u.scalars = append(u.scalars, Member{key, v})
	if k := v.Kind(); k == value.KindString || k == value.KindBytes {
		u.bytes += len(v.AsString())
	}
	if len(u.scalars) == updateMembers || u.bytes >= updateBytes {
		return u.flush()
	}
	return nil
}

// flush stores what was gathered.
func (u *updater) flush() error {
	if len(u.scalars) == 0 {
		return nil
	}
	changed, err := u.tx.putAll(u.id, u.scalars, u.o, func(m Member) error { return u.tx.set(u.id, m.Key, m.Value) })
	u.changed = u.changed || changed
	u.scalars, u.bytes = u.scalars[:0], 0
	return err
}

// Delete removes the entry of a key with everything below it, ErrNotFound when
// there is none.
func (k keyed) Delete(key any) error {
	kv, err := keyFromGo(key)
	if err != nil {
		return err
	}
	return atKey(kv, k.tx.RemoveAll(k.id, kv))
}

// Pop is Delete that returns what it removes, as a copy in memory with
// everything that was below it.
func (k keyed) Pop(key any) (value.Tree, error) {
	e, err := k.Entry(key)
	if err != nil {
		return nil, err
	}
	t, err := k.tx.Document(&e)
	if err != nil {
		return nil, atKey(e.Key, err)
	}
	return t, atKey(e.Key, k.tx.RemoveAll(k.id, e.Key))
}

// All yields the entries in key order: by kind first (null, bool, int,
// datetime, uuid, float, bytes, string), then by value. Of a container among
// them only Key, ID and Kind are filled in; Tx.Stat has the rest. An error is
// yielded once, at the end.
//
// In an Update the loop may change the container: an entry is met if it is
// there when its turn comes.
func (k keyed) All() iter.Seq2[Entry, error] { return k.Range(value.Value{}, value.Value{}) }

// Keys yields the keys in order, as All does.
func (k keyed) Keys() iter.Seq2[value.Value, error] {
	return func(yield func(value.Value, error) bool) {
		for e, err := range k.All() {
			if !yield(e.Key, err) {
				return
			}
		}
	}
}

// Range yields the entries whose keys are at least from and smaller than to,
// in order, as All does. The zero value.Value is no bound.
func (k keyed) Range(from, to any) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lo, err := boundFromGo(from)
		hi, herr := boundFromGo(to)
		if err = errors.Join(err, herr); err != nil {
			yield(Entry{}, err)
			return
		}
		for e, err := range k.tx.entries(k.id, lo, true) {
			if err == nil && hi.IsValid() && value.Compare(e.Key, hi) >= 0 {
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// Rank returns the number of entries whose keys are smaller than key, and
// whether there is an entry of that key. It costs O(log n).
func (k keyed) Rank(key any) (rank int, found bool, err error) {
	kv, err := keyFromGo(key)
	if err != nil {
		return 0, false, err
	}
	r, found, err := k.tx.Rank(k.id, kv)
	return int(r), found, atKey(kv, err)
}

// At returns the entry that has rank entries before it in key order; a negative
// rank counts from the end, -1 being the last. It costs O(log n).
func (k keyed) At(rank int) (Entry, error) { return k.tx.At(k.id, int64(rank)) }

// GetPath returns the scalar that a path leads to from here: see ParsePath.
func (k keyed) GetPath(path string) (value.Value, error) { return k.tx.getPath(k.id, path) }

// SetPath stores v where a path leads, as Set does. All but the last step must
// exist.
func (k keyed) SetPath(path string, v any) error { return k.tx.SetPath(k.id, ParsePath(path), v) }

// DeletePath removes what a path leads to, with everything below it; in a list
// later elements move down.
func (k keyed) DeletePath(path string) error { return k.tx.DeletePath(k.id, ParsePath(path)) }

// Search yields, in order, the members of which some value at the pattern
// below them stands in relation op to v. The pattern is relative to each
// member: users.Search("address/*/city", OpEqual, "Bern"). See ParsePattern.
func (k keyed) Search(pattern string, op Op, v any) iter.Seq2[Entry, error] {
	return k.tx.searchMembers(k.id, pattern, op, v)
}

// atKey adds the key to an error.
func atKey(key value.Value, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("key %.60v: %w", key, err)
}

// needKind fails with ErrKind unless e is of a kind.
func needKind(e *Entry, kind value.Kind) error {
	if e.Kind != kind {
		return fmt.Errorf("is a %v, not a %v: %w", e.Kind, kind, ErrKind)
	}
	return nil
}

// needContainer fails unless id is a container of a kind.
func (tx *Tx) needContainer(id ID, kind value.Kind) error {
	e, err := tx.Stat(id)
	if err == nil {
		err = needKind(&e, kind)
		if err != nil {
			err = fmt.Errorf("container %d %w", id, err)
		}
	}
	return err
}

// apiAttr returns the attributes of what a handle makes in dir. An id that does
// not exist is left to the operation that follows.
func (tx *Tx) apiAttr(dir ID, mode uint32) (a NewAttr) {
	var err error
	defer tx.end(tx.begin(), &err)
	a.Mode = mode
	c, err := tx.open(dir)
	if err == nil {
		a.UID, a.GID = c.rec.UID, c.rec.GID
	}
	return a
}
