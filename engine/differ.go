package engine

import (
	"bytes"
	"fmt"
	"slices"

	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// Differ finds what differs between two versions of one store. What both share
// it passes over, so its work is that of the differences, and of finding the
// names of the containers that lead to them. It belongs to one goroutine and
// is valid as long as both Tx are.
type Differ struct {
	old, now *Tx
	changed  [2]map[ID]ID // touched containers of each version, and their parents
}

// NewDiffer compares the versions that two Tx look at: ErrKind when they are of
// different stores. Neither may have changed anything.
func NewDiffer(old, now *Tx) (d *Differ, err error) {
	defer now.end(now.begin(), &err)
	if old.s != now.s {
		return nil, fmt.Errorf("versions of different stores: %w", ErrKind)
	}
	d = &Differ{old: old, now: now, changed: [2]map[ID]ID{{}, {}}}
	err = old.ids.Diff(old.s.heap, now.ids, func(id uint64, a, b layout.Ref) error {
		if a != layout.Nil {
			if err := d.touch(0, ID(id)); err != nil {
				return err
			}
		}
		if b != layout.Nil {
			return d.touch(1, ID(id))
		}
		return nil
	})
	return d, err
}

// touch marks a container of a version, and what it lies in.
func (d *Differ) touch(side int, id ID) error {
	tx := [2]*Tx{d.old, d.now}[side]
	for id != NoID {
		if _, known := d.changed[side][id]; known {
			return nil
		}
		ref, err := tx.ids.Get(tx.s.heap, uint64(id))
		if err != nil {
			return err
		}
		if ref == layout.Nil {
			return layout.Corrupt("id table", tx.ids.Ref, "lacks container %d, in which others are", id)
		}
		rec, err := container.ReadRecord(tx.s.heap, ref)
		if err != nil {
			return err
		}
		d.changed[side][id] = ID(rec.Parent)
		id = ID(rec.Parent)
	}
	return nil
}

// Touched reports whether a container that is in both versions, or anything
// below it, may differ.
func (d *Differ) Touched(id ID) bool {
	_, old := d.changed[0][id]
	_, now := d.changed[1][id]
	return old || now
}

// difference is a member that may differ.
type difference struct {
	order    []byte
	old, now *Entry
}

// Members calls fn for each member of a container that is in both versions, a
// list in both or in none, that differs or below which something may differ, in order: old is
// nil when it was added, now when it was removed.
func (d *Differ) Members(id ID, fn func(old, now *Entry) error) error {
	all, err := d.members(id)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b difference) int { return bytes.Compare(a.order, b.order) })
	for i := range all {
		if err := fn(all[i].old, all[i].now); err != nil {
			return err
		}
	}
	return nil
}

func (d *Differ) members(id ID) (all []difference, err error) {
	defer d.now.end(d.now.begin(), &err)
	a, err := d.old.open(id)
	if err != nil {
		return nil, err
	}
	b, err := d.now.open(id)
	if err != nil {
		return nil, err
	}
	// The records stay; what is opened below may take the places of a and b.
	recA, recB := a.rec, b.rec
	if (recA.Kind == value.KindList) != (recB.Kind == value.KindList) {
		return nil, fmt.Errorf("container %d has become a %v: %w", id, recB.Kind, ErrKind)
	}
	seen := map[ID]bool{}
	add := func(key value.Value, x, y *container.Item) error {
		diff := difference{order: value.AppendKey(nil, key)}
		for _, side := range []struct {
			tx *Tx
			it *container.Item
			to **Entry
		}{{d.old, x, &diff.old}, {d.now, y, &diff.now}} {
			if side.it == nil {
				continue
			}
			e, err := side.tx.memberOf(id, key, side.it)
			if err != nil {
				return err
			}
			seen[e.ID] = true
			*side.to = &e
		}
		all = append(all, diff)
		return nil
	}
	keyed := func(x, y *container.Item) error {
		it := x
		if it == nil {
			it = y
		}
		key, err := value.DecodeKey(bytes.Clone(it.Key))
		if err != nil {
			return err
		}
		return add(key, x, y)
	}
	sp := d.now.s.heap
	if recA.Kind == value.KindList {
		err = container.DiffList(sp, recA.Body, recB.Body, func(pos uint64, x, y *container.Item) error {
			return add(value.Int(int64(pos)), x, y)
		})
		if err == nil {
			err = container.Diff(sp, recA.Names, recB.Names, keyed)
		}
	} else {
		err = container.Diff(sp, recA.Body, recB.Body, keyed)
	}
	if err != nil {
		return nil, err
	}
	return d.addTouched(id, all, seen)
}

// memberOf describes an item of a container.
func (tx *Tx) memberOf(dir ID, key value.Value, it *container.Item) (Entry, error) {
	e := tx.entryOf(dir, key, it)
	if e.IsContainer() {
		sub, err := tx.open(e.ID)
		if err != nil {
			return e, damaged(err)
		}
		e.fillContainer(sub)
	}
	return e, nil
}

// addTouched adds the members whose entries are the same, but which are
// touched containers. Records say in which container they are, not under which
// name, so the entries are walked until all are found.
func (d *Differ) addTouched(id ID, all []difference, seen map[ID]bool) ([]difference, error) {
	want := 0
	for child, parent := range d.changed[1] {
		if _, both := d.changed[0][child]; both && parent == id && !seen[child] {
			want++
		}
	}
	if want == 0 {
		return all, nil
	}
	var failed error
	err := d.now.Scan(id, value.Value{}, false, func(e Entry) bool {
		if !e.IsContainer() || seen[e.ID] || !d.Touched(e.ID) {
			return true
		}
		diff := difference{order: value.AppendKey(nil, e.Key)}
		for _, side := range []struct {
			tx *Tx
			to **Entry
		}{{d.old, &diff.old}, {d.now, &diff.now}} {
			at, err := side.tx.Lookup(id, e.Key)
			if err != nil {
				failed = err
				return false
			}
			*side.to = &at
		}
		all = append(all, diff)
		want--
		return want > 0
	})
	if err != nil {
		return nil, err
	}
	return all, failed
}
