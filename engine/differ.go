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
	seen := map[ID]bool{}
	err = ChangedMembers(d.old, d.now, id, func(old, now *Entry) error {
		key := value.Value{}
		for _, e := range []*Entry{old, now} {
			if e != nil {
				key = e.Key
				seen[e.ID] = true
			}
		}
		all = append(all, difference{order: value.AppendKey(nil, key), old: old, now: now})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d.addTouched(id, all, seen)
}

// ChangedContainers calls fn with the id of each container whose own members or
// attributes may differ between two versions of one store, or that is in only
// one of them. Its work is that of the differences. What an Update whose Tx is now has
// changed itself is not reported.
func ChangedContainers(old, now *Tx, fn func(id ID, was, is bool) error) (err error) {
	defer now.end(now.begin(), &err)
	if old.s != now.s {
		return fmt.Errorf("versions of different stores: %w", ErrKind)
	}
	if err := now.alone(); err != nil {
		return err
	}
	return old.ids.Diff(old.s.heap, now.ids, func(id uint64, a, b layout.Ref) error {
		now.callback = true
		err := fn(ID(id), a != layout.Nil, b != layout.Nil)
		now.callback = false
		return err
	})
}

// ChangedMembers calls fn with each member that differs between two versions of
// a container that is in both, in no particular order: old is nil when it was
// added, now when it was removed. A container in it whose members differ is not
// reported for that: its own id is (ChangedContainers). ErrKind when the
// container has become one of another kind.
func ChangedMembers(old, now *Tx, id ID, fn func(old, now *Entry) error) (err error) {
	defer now.end(now.begin(), &err)
	if err := now.alone(); err != nil {
		return err
	}
	a, err := old.open(id)
	if err != nil {
		return err
	}
	b, err := now.open(id)
	if err != nil {
		return err
	}
	// The records stay; what is opened below may take the places of a and b.
	recA, recB := a.rec, b.rec
	if (recA.Kind == value.KindList) != (recB.Kind == value.KindList) {
		return fmt.Errorf("container %d has become a %v: %w", id, recB.Kind, ErrKind)
	}
	add := func(key value.Value, x, y *container.Item) error {
		var diff difference
		for _, side := range []struct {
			tx *Tx
			it *container.Item
			to **Entry
		}{{old, x, &diff.old}, {now, y, &diff.now}} {
			if side.it == nil {
				continue
			}
			e, err := side.tx.memberOf(id, key, side.it)
			if err != nil {
				return err
			}
			*side.to = &e
		}
		now.callback = true
		err := fn(diff.old, diff.now)
		now.callback = false
		return err
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
	sp := now.s.heap
	if recA.Kind != value.KindList {
		return container.Diff(sp, recA.Body, recB.Body, keyed)
	}
	err = container.DiffList(sp, recA.Body, recB.Body, func(pos uint64, x, y *container.Item) error {
		return add(value.Int(int64(pos)), x, y)
	})
	if err != nil {
		return err
	}
	return container.Diff(sp, recA.Names, recB.Names, keyed)
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
