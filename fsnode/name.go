package fsnode

import (
	"errors"
	"strings"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

// nameOf returns the file name of a key in a container of some kind.
func nameOf(kind value.Kind, key value.Value) (name string, truncated bool) {
	if kind == value.KindList {
		return encoding.EscapeListName(key)
	}
	return encoding.EscapeName(key)
}

// keyOf returns the key of a file name in a container of some kind. A name of
// the form %=~PREFIX~HASH is looked for among the keys of the container.
func keyOf(tx Reader, dir engine.ID, kind value.Kind, name string) (value.Value, error) {
	var key value.Value
	var err error
	if kind == value.KindList {
		key, err = encoding.UnescapeListName(name)
	} else {
		key, err = encoding.UnescapeName(name)
	}
	if err == nil {
		return key, nil
	}
	var long *encoding.LongNameError
	if !errors.As(err, &long) {
		return value.Value{}, err
	}
	found := long.Key
	err = tx.Scan(dir, long.After, false, func(e engine.Entry) bool {
		if long.Match(e.Key) {
			found = e.Key
			return false
		}
		return !long.Past(e.Key)
	})
	if err != nil {
		return value.Value{}, err
	}
	return found, nil
}

// kindMatters reports whether the key of a name depends on whether the
// directory is a list.
func kindMatters(name string) bool {
	c := name[0]
	return c == '%' || c == '+' || c >= '0' && c <= '9'
}

// lookup finds the entry of a file name in a container. A reserved name is
// not found.
func lookup(tx Reader, dir engine.ID, name string) (engine.Entry, error) {
	if name == "" {
		return engine.Entry{}, engine.ErrNotFound
	}
	kind := value.KindDict
	if kindMatters(name) {
		d, err := tx.Stat(dir)
		if err != nil {
			return engine.Entry{}, err
		}
		kind = d.Kind
	}
	key, err := keyOf(tx, dir, kind, name)
	if errors.Is(err, encoding.ErrReservedName) {
		err = engine.ErrNotFound
	}
	if err != nil {
		return engine.Entry{}, err
	}
	return tx.Lookup(dir, key)
}

// target returns the key under which a new entry of that name goes. In a list,
// "+" is the element behind the last one if appends is set, else invalid.
func target(tx Reader, dir *engine.Entry, name string, appends bool) (value.Value, error) {
	if dir.Kind == value.KindList && name == encoding.AppendName {
		if !appends {
			return value.Value{}, engine.ErrKey
		}
		return value.Int(int64(dir.Len)), nil
	}
	key, err := keyOf(tx, dir.ID, dir.Kind, name)
	if err != nil || !strings.HasPrefix(name, longNameMark) || key != value.String(name) {
		return key, err
	}
	// A truncated name of a key that does not exist yet: the sidecar may know it.
	known, err := waitingKey(tx, dir, name)
	if err == nil && known.IsValid() {
		key = known
	}
	return key, err
}

// longNameMark begins the names that do not hold their whole key.
const longNameMark = "%=~"
