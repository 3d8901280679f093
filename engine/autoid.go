package engine

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"pongofs/engine/value"
)

// Settings of generated keys, members of the dict MetaID.
const (
	metaID     = "id"     // the member of an added dict that holds its key
	metaNewKey = "newkey" // how keys are made: uuid1, uuid4 or uuid7
)

const defaultIDMember = "_id"

// SetNewKey makes Collection.Add take its keys from fn, which returns a scalar,
// instead of making them as the setting newkey says. It holds for this process
// and this Store; nil ends it. It may be called at any time.
//
// fn may be called by several goroutines at once, and again for the same value
// when an Update runs again.
func (s *Store) SetNewKey(fn func() value.Value) {
	if fn == nil {
		s.newKeyFunc.Store(nil)
		return
	}
	s.newKeyFunc.Store(&fn)
}

// Add stores v under a key of its own and returns the key.
//
// The key is generated: a version 1 UUID unless the setting newkey says uuid4
// or uuid7, of which uuid7 keeps values in the order in which they are added. A
// dict also gets the key as its member "_id", or whatever the setting id says;
// if it has that member already, it is the key, and ErrExist says that it is
// in use.
func (c Collection) Add(v any) (value.Value, error) {
	t, err := FromGo(v)
	if err != nil {
		return value.Value{}, err
	}
	member := ""
	if t.Kind() == value.KindDict {
		st, err := c.tx.Settings()
		if err != nil {
			return value.Value{}, err
		}
		member = st.ID
		own, err := memberKey(t, member)
		if err != nil {
			return value.Value{}, err
		}
		if own.IsValid() {
			return own, atKey(own, c.tx.add(c.id, own, t))
		}
	}
	newKey, err := c.tx.newKey()
	if err != nil {
		return value.Value{}, err
	}
	for range 16 {
		var key value.Value
		if key, err = newKey(); err != nil {
			return value.Value{}, fmt.Errorf("new key: %w", err)
		}
		if !key.Kind().IsScalar() {
			return value.Value{}, fmt.Errorf("new key %v: %w", key, ErrKey)
		}
		err = atKey(key, c.tx.addWithID(c.id, key, t, member))
		if !errors.Is(err, ErrExist) {
			return key, err
		}
	}
	return value.Value{}, err
}

// addWithID stores t under a key that is not in use, and the key in t as its
// member of a name unless that is "".
func (tx *Tx) addWithID(dir ID, key value.Value, t value.Tree, member string) error {
	if err := tx.makeTree(dir, key, t); err != nil || member == "" {
		return err
	}
	e, err := tx.Lookup(dir, key)
	if err != nil {
		return tx.fail(err)
	}
	return tx.fail(tx.add(e.ID, value.String(member), key))
}

// memberKey returns the member of a dict by which it is to be stored, the zero
// value.Value when there is none.
func memberKey(t value.Tree, name string) (value.Value, error) {
	for k, child := range t.Children() {
		if k != value.String(name) {
			continue
		}
		if kind := child.Kind(); !kind.IsScalar() {
			return value.Value{}, fmt.Errorf("member %q as key: is a %v: %w", name, kind, ErrKey)
		}
		return child.Scalar()
	}
	return value.Value{}, t.Err()
}

// newKey returns what generates keys.
func (tx *Tx) newKey() (func() (value.Value, error), error) {
	if fn := tx.s.newKeyFunc.Load(); fn != nil {
		return func() (value.Value, error) { return (*fn)(), nil }, nil
	}
	st, err := tx.Settings()
	if err != nil {
		return nil, err
	}
	generate := uuid.NewUUID
	switch st.NewKey {
	case "uuid4":
		generate = uuid.NewRandom
	case "uuid7":
		generate = uuid.NewV7
	}
	return func() (value.Value, error) {
		u, err := generate()
		return value.UUID(u), err
	}, nil
}
