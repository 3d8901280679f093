package check

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"

	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// entries looks at the entries of one container.
type entries struct {
	*walk
	v       *visit
	names   bool // those beside the elements of a list
	subdirs uint64

	// Of a rewrite.
	trees [2]container.Tree // body and names
	kept  uint64            // elements that were written
	dirs  uint64            // containers that were written
}

// keyed reports whether the entries of the present body have keys.
func (e *entries) keyed() bool { return e.names || e.v.rec.Kind != value.KindList }

// body checks one body of the container. It returns the number of its entries
// and whether all of it could be read.
func (e *entries) body(t container.Tree) (uint64, bool) {
	keyed := e.keyed()
	n := uint64(0)
	lost := e.rep.LostParts
	var out *bodyWriter
	if e.out != nil {
		out = e.out.body(e)
	}
	e.rule = RuleBody
	e.inKey = false
	// Its callback never fails without out.
	got, err := e.survey.Body(t, keyed, func(ref layout.Ref, pos uint64, items []container.Item) error {
		start := pos
		before, broken := e.rep.Errors+e.rep.LostParts, false
		kept := items[:0]
		for i := range items {
			it := &items[i]
			at := pos
			if it.Kind == container.KindGap {
				pos += it.Size
				kept = append(kept, *it)
				continue
			}
			pos++
			if e.entry(it, at, keyed) {
				n++
				kept = append(kept, *it)
				continue
			}
			broken = true
			if !keyed {
				kept = append(kept, container.Item{Kind: container.KindGap, Size: 1})
			}
		}
		e.inKey, e.rule = false, RuleBody
		if out != nil {
			broken = broken || e.rep.Errors+e.rep.LostParts != before
			return out.leaf(ref, start, kept, !broken)
		}
		return nil
	})
	if err == nil && out != nil {
		err = out.end()
	}
	if err != nil {
		e.out.err = err
	}
	return n, got.Whole && e.rep.LostParts == lost
}

// entry checks one entry and reports whether it can be used. What can be put
// right it changes in it, which is a copy.
func (e *entries) entry(it *container.Item, pos uint64, keyed bool) bool {
	e.key, e.inKey = value.Int(int64(pos)), true
	if keyed {
		key, err := value.DecodeKey(it.Key)
		if err != nil {
			return false // the survey has said so
		}
		e.key = key
	}
	if it.Mode > 0o7777 {
		e.error(RuleItem, layout.Corrupt("entry", 0, "mode is %#o", it.Mode))
		it.Mode &= 0o7777
	}
	text := it.Kind == value.KindString || it.Kind == value.KindBytes
	if it.Flags&(container.Link|container.Raw) != 0 && it.Kind != value.KindString ||
		it.Flags&container.NoEOL != 0 && (text || it.Kind.IsContainer()) {
		e.error(RuleItem, layout.Corrupt("entry", 0, "a %v has the flags %#x", it.Kind, uint8(it.Flags)))
		it.Flags &= container.Declared
	}
	if it.Kind.IsContainer() {
		if !e.child(it) {
			return false
		}
		e.subdirs++
		e.orphan(it)
		return true
	}
	if it.Kind == container.KindRootRef {
		return e.snapshot(it)
	}
	if !e.newID(it.ID) {
		e.error(RuleItem, layout.Corrupt("entry", 0, "id %d is that of another entry, or was never given out", it.ID))
		it.ID = 0 // a rewrite gives it a new one
	}
	e.rule = RuleXattr
	if !e.xattrs(it.Xattr, it.XattrSize) {
		it.Xattr, it.XattrSize = layout.Nil, 0
	}
	e.rule = RuleValue
	if text && it.Blob != layout.Nil && !e.survey.Blob(it.Blob, it.Size) {
		return false
	}
	e.orphan(it)
	return true
}

// child checks an entry that is a container and puts that on the stack.
func (e *entries) child(it *container.Item) bool {
	if it.Xattr != layout.Nil || it.Flags != 0 && it.Flags != container.Declared {
		e.error(RuleItem, layout.Corrupt("entry", 0, "a %v has attributes of its own", it.Kind))
		it.Xattr, it.XattrSize, it.Flags = layout.Nil, 0, it.Flags&container.Declared
	}
	at := e.at.below(e.key)
	if !e.enter(it.ID, e.v.id, it.Kind, at) {
		return false
	}
	it.Kind = at.kind
	return true
}

// snapshot checks an entry that refers to a root record. The version behind it
// is looked at by itself.
func (e *entries) snapshot(it *container.Item) bool {
	if e.v.id != snapshotsID {
		e.fail(RuleSnapshot, layout.Corrupt("entry", it.Blob, "refers to a root record, but is no snapshot"))
		return false
	}
	if e.out != nil && !e.out.snapshot(it) {
		e.fail(RuleSnapshot, layout.Corrupt("entry", it.Blob, "the snapshot cannot be read"))
		return false
	}
	e.newest = max(e.newest, it.Num)
	return true
}

// pendingPrefix begins the keys under which a mount keeps the lines of sidecars
// that wait for their files, in the container of unlinked files.
const pendingPrefix = ".pongo-types/"

// orphan looks at what a mount keeps in the container of unlinked files.
func (e *entries) orphan(it *container.Item) {
	if e.v.id != orphansID {
		return
	}
	switch {
	case e.key.Kind() == value.KindString && strings.HasPrefix(e.key.AsString(), pendingPrefix):
		id, err := strconv.ParseUint(e.key.AsString()[len(pendingPrefix):], 10, 64)
		if err != nil {
			id = 0 // which is no container
		}
		e.pending = append(e.pending, pending{id, e.path()})
	case e.key.Kind() == value.KindInt && uint64(e.key.AsInt()) == it.ID && !it.Kind.IsContainer():
		if !e.o.InUse {
			e.rep.Notef(RuleUnlinked, e.path(), "a file of %d bytes was unlinked while it was open and its mount was killed; the next mount removes it", it.Size)
		}
	default:
		e.rep.Notef(RuleUnlinked, e.path(), "is no unlinked file")
	}
}

// pending are the lines of a sidecar that wait for their files.
type pending struct {
	dir  uint64
	path string
}

// forgotten looks for lines that wait in directories that are gone.
func (w *walk) forgotten() {
	for _, p := range w.pending {
		if !w.found[p.dir] && !w.lost {
			w.rep.Notef(RuleUnlinked, p.path, "lines of .pongo-types wait for files of a directory that does not exist")
		}
	}
}

// xattrs checks a set of extended attributes and reports whether it can be
// used.
func (w *walk) xattrs(ref layout.Ref, size uint32) bool {
	if ref == layout.Nil {
		if size != 0 {
			w.fail(RuleXattr, layout.Corrupt("xattrs", ref, "claim %d bytes and are nowhere", size))
		}
		return size == 0
	}
	const most = 9 * 64 << 10 // what the engine reads
	if size == 0 || size > most {
		w.fail(RuleXattr, layout.Corrupt("xattrs", ref, "claim %d bytes", size))
		return false
	}
	if !w.survey.Blob(ref, uint64(size)) {
		return false
	}
	b := make([]byte, size)
	if _, err := container.BlobReadAt(w.src, ref, uint64(size), b, 0); err != nil {
		w.fail(RuleXattr, err)
		return false
	}
	last := []byte(nil)
	for len(b) > 0 {
		n, v := 0, 0
		if len(b) >= 6 {
			n, v = int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint32(b[2:]))
		}
		if len(b) < 6 || n > 255 || v > len(b) || 6+n+v > len(b) {
			w.fail(RuleXattr, layout.Corrupt("xattrs", ref, "are cut short"))
			return false
		}
		name := b[6 : 6+n]
		if last != nil && bytes.Compare(last, name) >= 0 {
			w.error(RuleXattr, layout.Corrupt("xattrs", ref, "%q comes after %q", name, last))
		}
		last, b = name, b[6+n+v:]
	}
	return true
}

func sortedIDs(m map[uint64]layout.Ref) []uint64 { return slices.Sorted(maps.Keys(m)) }
