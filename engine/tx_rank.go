package engine

import (
	"fmt"

	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// Rank returns the number of entries of a dict or collection whose keys are
// smaller than key, and whether there is an entry of that key. ErrKind for a
// list.
func (tx *Tx) Rank(dir ID, key value.Value) (rank int64, found bool, err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.open(dir)
	if err != nil {
		return 0, false, err
	}
	if c.rec.Kind == value.KindList {
		return 0, false, fmt.Errorf("rank in a list: %w", ErrKind)
	}
	enc, _, _, err := tx.encodeKey(c, key)
	if err != nil {
		return 0, false, err
	}
	n, found, err := container.Rank(tx.space(), c.rec.Body, enc)
	return int64(n), found, err
}

// At returns the entry of a dict or collection that has rank entries before it
// in key order, and of a list the element at index rank. A negative rank counts
// from the end. ErrNotFound when there are not so many, and for a gap. Of a
// container all fields are filled in.
func (tx *Tx) At(dir ID, rank int64) (e Entry, err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.open(dir)
	if err != nil {
		return Entry{}, err
	}
	n, at := int64(c.rec.Body.Count), rank
	if at < 0 {
		at += n
	}
	if at < 0 || at >= n {
		return Entry{}, fmt.Errorf("entry %d of %d: %w", rank, n, ErrNotFound)
	}
	it, found, err := container.At(tx.space(), c.rec.Body, uint64(at))
	if err != nil {
		return Entry{}, err
	}
	if !found || it.Kind == container.KindGap {
		return Entry{}, fmt.Errorf("entry %d of %d: %w", rank, n, ErrNotFound)
	}
	key := value.Int(at)
	if c.rec.Kind != value.KindList {
		if key, err = value.DecodeKey(it.Key); err != nil {
			return Entry{}, layout.Corrupt("leaf", c.rec.Body.Ref, "holds a key that does not decode")
		}
	}
	return tx.memberOf(dir, key, &it)
}
