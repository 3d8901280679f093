package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"

	"pongofs/engine"
	"pongofs/engine/value"
)

// look takes from the store what the engine chose for the last operation, and
// fails when it may not be that. ids has all ids that the store has ever used.
func (m *model) look(tx *engine.Tx, ids map[engine.ID]bool) error {
	marked := m.marks
	m.marks = marks{}
	for _, set := range []struct {
		nodes           []*node
		written, newInc bool
	}{
		{marked.written, true, true},
		{marked.appended, true, false},
		{marked.kept, false, true},
		{marked.changed, false, false},
	} {
		for _, n := range set.nodes {
			e, err := n.lookup(tx)
			if err != nil {
				return fmt.Errorf("look at entry %d: %w", n.id, err)
			}
			if n.id == 0 {
				if ids[e.ID] {
					return fmt.Errorf("id %d is used again", e.ID)
				}
				ids[e.ID] = true
				n.id = e.ID
			}
			switch {
			case !set.written && e.Attr.Mtime != n.attr.Mtime:
				return fmt.Errorf("entry %d: mtime went from %d to %d", n.id, n.attr.Mtime, e.Attr.Mtime)
			case set.written && e.Attr.Mtime <= n.wtime:
				return fmt.Errorf("entry %d: mtime %d is not behind that of the last write, %d", n.id, e.Attr.Mtime, n.wtime)
			case n.inc != 0 && !set.newInc && e.Incarnation != n.inc:
				return fmt.Errorf("entry %d: incarnation went from %d to %d", n.id, n.inc, e.Incarnation)
			case n.inc != 0 && set.newInc && e.Incarnation == n.inc:
				return fmt.Errorf("entry %d: incarnation stays %d", n.id, n.inc)
			}
			n.attr.Mtime, n.attr.Ctime, n.inc = e.Attr.Mtime, e.Attr.Ctime, e.Incarnation
			if set.written {
				n.wtime = e.Attr.Mtime
			}
		}
	}
	return nil
}

func (n *node) lookup(tx *engine.Tx) (engine.Entry, error) {
	if n.parent == nil {
		return tx.Stat(n.id)
	}
	return tx.Lookup(n.parent.id, n.parent.keyOf(n))
}

// compare reads the whole store and fails where it differs from the model.
func (m *model) compare(tx *engine.Tx) error { return m.root.compare(tx) }

func (n *node) compare(tx *engine.Tx) error {
	e, err := tx.Stat(n.id)
	if err != nil {
		return fmt.Errorf("container %d: %w", n.id, err)
	}
	if err := n.compareEntry(tx, &e, value.Value{}); err != nil {
		return fmt.Errorf("container %d: %w", n.id, err)
	}
	want := n.keys()
	var got []engine.Entry
	if err := tx.Scan(n.id, value.Value{}, true, func(e engine.Entry) bool {
		got = append(got, e)
		return true
	}); err != nil {
		return fmt.Errorf("container %d: scan: %w", n.id, err)
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i == len(want):
			return fmt.Errorf("container %d: has %v, which it should not", n.id, got[i].Key)
		case i == len(got) || got[i].Key != want[i]:
			return fmt.Errorf("container %d: lacks %v", n.id, want[i])
		}
		child := n.get(want[i])
		if err := child.compareEntry(tx, &got[i], want[i]); err != nil {
			return fmt.Errorf("container %d: %v as scanned: %w", n.id, want[i], err)
		}
		e, err := tx.Lookup(n.id, want[i])
		if err == nil {
			err = child.compareEntry(tx, &e, want[i])
		}
		if err != nil {
			return fmt.Errorf("container %d: %v as looked up: %w", n.id, want[i], err)
		}
		if err := n.compareRank(tx, want[i], i); err != nil {
			return fmt.Errorf("container %d: %v: %w", n.id, want[i], err)
		}
		if child.isContainer() {
			if err := child.compare(tx); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareRank checks the rank of the entry number i in the order of Scan.
func (n *node) compareRank(tx *engine.Tx, key value.Value, i int) error {
	if n.kind == value.KindList {
		if key.Kind() != value.KindInt {
			return nil
		}
		i = int(key.AsInt())
	} else {
		rank, found, err := tx.Rank(n.id, key)
		if err != nil || !found || rank != int64(i) {
			return fmt.Errorf("rank is %d, %v, %w, not %d", rank, found, err, i)
		}
	}
	e, err := tx.At(n.id, int64(i))
	if err != nil || e.Key != key {
		return fmt.Errorf("entry at rank %d is %v, %w", i, e.Key, err)
	}
	return nil
}

// compareEntry compares what e says with n, everything but what is below.
func (n *node) compareEntry(tx *engine.Tx, e *engine.Entry, key value.Value) error {
	parent := engine.NoID
	if n.parent != nil {
		parent = n.parent.id
	}
	subdirs, count := 0, 0
	for _, k := range n.keys() {
		count++
		if n.get(k).isContainer() {
			subdirs++
		}
	}
	length := count
	if n.kind == value.KindList {
		length = len(n.list)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"parent", e.Parent, parent},
		{"key", e.Key, key},
		{"id", e.ID, n.id},
		{"kind", e.Kind, n.kind},
		{"flags", nodeFlags{e.Declared, e.NoEOL, e.Link, e.Raw}, n.nodeFlags},
		{"attributes", e.Attr, n.attr},
		{"incarnation", e.Incarnation, n.inc},
		{"has xattrs", e.HasXattr, len(n.xattrs) > 0},
		{"size", e.Size, int64(len(n.image))},
		{"count", e.Count, uint64(count)},
		{"length", e.Len, uint64(length)},
		{"subdirs", e.Subdirs, uint64(subdirs)},
	} {
		if c.got != c.want {
			return fmt.Errorf("%s is %v, should be %v", c.what, c.got, c.want)
		}
	}
	dir := e.Parent
	if !key.IsValid() {
		dir = n.id
	}
	xattrs, err := tx.Xattrs(dir, key)
	if err != nil || !maps.EqualFunc(xattrs, n.xattrs, bytes.Equal) {
		return fmt.Errorf("xattrs are %q, %w, should be %q", xattrs, err, n.xattrs)
	}
	if n.isContainer() {
		return nil
	}
	got, err := tx.Value(e)
	if want := n.value(); err != nil || got != want {
		return fmt.Errorf("value is %.100v, %w, should be %.100v", got, err, want)
	}
	if kind, err := tx.TypeOf(e); err != nil || kind != n.value().Kind() {
		return fmt.Errorf("type is %v, %w, should be %v", kind, err, n.value().Kind())
	}
	if n.hasImage() {
		image := make([]byte, len(n.image))
		if k, err := tx.ReadImage(e, image, 0); k < len(image) || !bytes.Equal(image, n.image) {
			return fmt.Errorf("image is %.100q (%d bytes, %w), should be %.100q", image, k, err, n.image)
		}
	}
	return nil
}

// sameError compares an error of the store with one of the model.
func sameError(got, want error) error {
	if want == nil && got == nil || want != nil && errors.Is(got, want) {
		return nil
	}
	return fmt.Errorf("got error %w, want %w", orNone(got), orNone(want))
}

func orNone(err error) error {
	if err == nil {
		return errors.New("none")
	}
	return err
}
