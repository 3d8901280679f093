package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"pongofs/engine"
	"pongofs/engine/value"
)

// errStop ends a comparison whose result is known.
var errStop = errors.New("stop")

// comparer walks two trees side by side in the order of their keys and prints
// what differs. It keeps one batch of entries for each level.
type comparer struct {
	ctx       context.Context
	o         diffOptions
	w         io.Writer
	a, b      *engine.Tx
	different bool
	// differ knows what two versions of one store share; nil for two stores.
	differ *engine.Differ
}

// entries compares two entries and everything below them.
func (c *comparer) entries(path string, a, b *engine.Entry) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if a.IsContainer() != b.IsContainer() || a.IsContainer() && a.Kind != b.Kind {
		return c.changed(path, a, b)
	}
	if !a.IsContainer() {
		same, err := c.sameScalar(a, b)
		if err != nil {
			return err
		}
		if !same {
			if err := c.changed(path, a, b); err != nil {
				return err
			}
		}
	}
	if c.o.all {
		if err := c.attributes(path, a, b); err != nil {
			return err
		}
	}
	if !a.IsContainer() {
		return nil
	}
	return c.members(path, a, b)
}

// members compares the members of two containers of one kind.
func (c *comparer) members(path string, a, b *engine.Entry) error {
	if c.differ != nil && a.ID == b.ID {
		return c.sharedMembers(path, a)
	}
	left := &cursor{tx: c.a, dir: a.ID, full: c.o.all}
	right := &cursor{tx: c.b, dir: b.ID, full: c.o.all}
	for {
		x, err := left.peek()
		if err != nil {
			return err
		}
		y, err := right.peek()
		if err != nil {
			return err
		}
		order := 0
		switch {
		case x == nil && y == nil:
			return nil
		case y == nil:
			order = -1
		case x == nil:
			order = 1
		default:
			order = bytes.Compare(value.AppendKey(nil, x.Key), value.AppendKey(nil, y.Key))
		}
		switch {
		case order < 0:
			err = c.lone("removed", "-", joinName(path, a.Kind, x.Key), c.a, x)
			left.next()
		case order > 0:
			err = c.lone("added", "+", joinName(path, b.Kind, y.Key), c.b, y)
			right.next()
		default:
			err = c.entries(joinName(path, a.Kind, x.Key), x, y)
			left.next()
			right.next()
		}
		if err != nil {
			return err
		}
	}
}

// sharedMembers is members of one container in two versions of its store.
func (c *comparer) sharedMembers(path string, dir *engine.Entry) error {
	if !c.differ.Touched(dir.ID) {
		return nil
	}
	return c.differ.Members(dir.ID, func(x, y *engine.Entry) error {
		switch {
		case y == nil:
			return c.lone("removed", "-", joinName(path, dir.Kind, x.Key), c.a, x)
		case x == nil:
			return c.lone("added", "+", joinName(path, dir.Kind, y.Key), c.b, y)
		}
		return c.entries(joinName(path, dir.Kind, x.Key), x, y)
	})
}

// sameScalar compares type and value. Large images are compared piece by piece.
func (c *comparer) sameScalar(a, b *engine.Entry) (bool, error) {
	kindA, err := kindOf(c.a, a)
	if err != nil {
		return false, err
	}
	kindB, err := kindOf(c.b, b)
	if err != nil {
		return false, err
	}
	if kindA != kindB || a.Link != b.Link {
		return false, nil
	}
	const small = 1 << 16
	if a.HasImage() && b.HasImage() && (a.Size > small || b.Size > small) {
		return c.sameImage(a, b, kindA)
	}
	valueA, err := valueOf(c.a, a)
	if err != nil {
		return false, err
	}
	valueB, err := valueOf(c.b, b)
	return valueA == valueB, err
}

func (c *comparer) sameImage(a, b *engine.Entry, kind value.Kind) (bool, error) {
	sizeA, sizeB := a.Size, b.Size
	if kind == value.KindString {
		// The final newline belongs to the file, not to the value.
		if !a.NoEOL && !a.Link {
			sizeA--
		}
		if !b.NoEOL && !b.Link {
			sizeB--
		}
	}
	if sizeA != sizeB {
		return false, nil
	}
	var bufA, bufB [1 << 16]byte
	for off := int64(0); off < sizeA; {
		n := int(min(sizeA-off, int64(len(bufA))))
		if _, err := c.a.ReadImage(a, bufA[:n], off); err != nil && err != io.EOF {
			return false, err
		}
		if _, err := c.b.ReadImage(b, bufB[:n], off); err != nil && err != io.EOF {
			return false, err
		}
		if !bytes.Equal(bufA[:n], bufB[:n]) {
			return false, nil
		}
		off += int64(n)
	}
	return true, nil
}

// attributes compares what --all adds.
func (c *comparer) attributes(path string, a, b *engine.Entry) error {
	fields := []struct {
		name string
		a, b any
	}{
		{"declared", a.Declared || a.IsContainer(), b.Declared || b.IsContainer()},
		{"noeol", a.NoEOL, b.NoEOL},
		{"mode", fmt.Sprintf("%04o", a.Attr.Mode), fmt.Sprintf("%04o", b.Attr.Mode)},
		{"uid", a.Attr.UID, b.Attr.UID},
		{"gid", a.Attr.GID, b.Attr.GID},
		{"mtime", stamp(a), stamp(b)},
	}
	for _, f := range fields {
		if f.a == f.b {
			continue
		}
		if err := c.attribute(path, f.name, f.a, f.b); err != nil {
			return err
		}
	}
	if !a.HasXattr && !b.HasXattr {
		return nil
	}
	attrsA, err := entryXattrs(c.a, a)
	if err != nil {
		return err
	}
	attrsB, err := entryXattrs(c.b, b)
	if err != nil {
		return err
	}
	names := maps.Clone(attrsA)
	maps.Copy(names, attrsB)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		// What the mount keeps for itself, such as the times of a sidecar.
		if strings.HasPrefix(name, "pongo.") {
			continue
		}
		x, inA := attrsA[name]
		y, inB := attrsB[name]
		if inA == inB && bytes.Equal(x, y) {
			continue
		}
		if err := c.attribute(path, "user."+name, quoteOrNone(x, inA), quoteOrNone(y, inB)); err != nil {
			return err
		}
	}
	return nil
}

func stamp(e *engine.Entry) string {
	return e.Attr.ModTime().UTC().Format(time.RFC3339Nano)
}

func quoteOrNone(b []byte, there bool) string {
	if !there {
		return "none"
	}
	return quote(string(b), 60)
}

func entryXattrs(tx *engine.Tx, e *engine.Entry) (map[string][]byte, error) {
	if e.IsContainer() {
		return tx.Xattrs(e.ID, value.Value{})
	}
	return tx.Xattrs(e.Parent, e.Key)
}

// differenceJSON is one line of --json; scripts rely on the names. Values are
// canonical Extended JSON.
type differenceJSON struct {
	Path      string `json:"path"`
	Change    string `json:"change"` // added, removed, changed or attribute
	Attribute string `json:"attribute,omitempty"`
	Old       any    `json:"old,omitempty"`
	New       any    `json:"new,omitempty"`
}

// sideJSON is one side of a changed value.
type sideJSON struct {
	Type    string          `json:"type"`
	Value   json.RawMessage `json:"value,omitempty"`
	Entries *uint64         `json:"entries,omitempty"`
}

// changed reports a value whose type or content differs.
func (c *comparer) changed(path string, a, b *engine.Entry) error {
	return c.line(func() error {
		if c.o.json {
			x, err := side(c.a, a)
			if err != nil {
				return err
			}
			y, err := side(c.b, b)
			if err != nil {
				return err
			}
			return newJSONEncoder(c.w).Encode(differenceJSON{Path: path, Change: "changed", Old: x, New: y})
		}
		x, err := summary(c.a, a, diffWidth)
		if err != nil {
			return err
		}
		y, err := summary(c.b, b, diffWidth)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.w, "~ %s: %s -> %s\n", shownPath(path), x, y)
		return err
	})
}

// diffWidth is how many characters of a string a line of diff shows.
const diffWidth = 200

// lone reports an entry that is on one side only.
func (c *comparer) lone(change, sign, path string, tx *engine.Tx, e *engine.Entry) error {
	return c.line(func() error {
		if c.o.json {
			only, err := side(tx, e)
			if err != nil {
				return err
			}
			d := differenceJSON{Path: path, Change: change}
			if change == "added" {
				d.New = only
			} else {
				d.Old = only
			}
			return newJSONEncoder(c.w).Encode(d)
		}
		text, err := summary(tx, e, diffWidth)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.w, "%s %s: %s\n", sign, shownPath(path), text)
		return err
	})
}

func (c *comparer) attribute(path, name string, a, b any) error {
	return c.line(func() error {
		if c.o.json {
			return newJSONEncoder(c.w).Encode(differenceJSON{Path: path, Change: "attribute", Attribute: name, Old: a, New: b})
		}
		_, err := fmt.Fprintf(c.w, "~ %s: %s %v -> %v\n", shownPath(path), name, a, b)
		return err
	})
}

// line notes that there is a difference and prints it unless --quiet.
func (c *comparer) line(print func() error) error {
	c.different = true
	if c.o.quiet {
		return errStop
	}
	return print()
}

func side(tx *engine.Tx, e *engine.Entry) (sideJSON, error) {
	kind, err := kindOf(tx, e)
	if err != nil {
		return sideJSON{}, err
	}
	s := sideJSON{Type: kind.String()}
	if e.IsContainer() {
		count, err := entryCount(tx, e)
		s.Entries = &count
		return s, err
	}
	var text bytes.Buffer
	if err := encodeOneLine(&text, newStoreTree(tx, *e)); err != nil {
		return sideJSON{}, err
	}
	s.Value = text.Bytes()
	return s, nil
}

// cursor reads the entries of a container in batches, so that two of them can
// be walked side by side.
type cursor struct {
	tx    *engine.Tx
	dir   engine.ID
	full  bool
	batch []engine.Entry
	after value.Value
	end   bool
}

// batchSize is the number of entries that a cursor holds.
const batchSize = 256

// peek returns the present entry, nil at the end.
func (c *cursor) peek() (*engine.Entry, error) {
	if len(c.batch) == 0 && !c.end {
		err := c.tx.Scan(c.dir, c.after, c.full, func(e engine.Entry) bool {
			c.batch = append(c.batch, e)
			return len(c.batch) < batchSize
		})
		if err != nil {
			return nil, err
		}
		c.end = len(c.batch) < batchSize
		if n := len(c.batch); n > 0 {
			c.after = c.batch[n-1].Key
		}
	}
	if len(c.batch) == 0 {
		return nil, nil
	}
	return &c.batch[0], nil
}

// next moves to the next entry.
func (c *cursor) next() { c.batch = c.batch[1:] }
