package check

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// Rewrite checks the version at ref as Version does, and writes what can be
// read of it, and of its snapshots, to w: leaf by leaf, so that nothing that
// is whole is changed but for where it lies. Ids, types, declarations,
// attributes, times and gaps are kept. Containers whose entries are lost go to
// a dict "lost+found" in the root. What is lost is in rep.
//
// The objects that versions share they share in w as well.
func Rewrite(src Source, ref layout.Ref, o Options, rep *Report, w *Writer) error {
	from := newMended(src)
	out := &rewrite{
		w: w, src: from, nextID: max(o.NextID, firstFreeID),
		leaves: map[layout.Ref][]container.Tree{}, blobs: map[layout.Ref]layout.Ref{},
		roots: map[layout.Ref]layout.Ref{},
	}
	v := versions{src: from, o: o, rep: rep, out: out}
	return safely(func() error {
		out.share = len(v.find(ref)) > 1
		v.run(ref)
		switch root, ok := out.roots[ref]; {
		case out.err != nil:
			return out.err
		case !ok:
			return layout.Corrupt("root record", ref, "cannot be read")
		default:
			return w.Finish(root, v.newest.root.Seq, out.nextID)
		}
	})
}

// rewrite writes versions, one after the other.
type rewrite struct {
	w      *Writer
	src    Source
	err    error // the first one
	nextID uint64

	// Where objects that several versions share were written to; not kept when
	// there is one version.
	share  bool
	leaves map[layout.Ref][]container.Tree
	blobs  map[layout.Ref]layout.Ref
	roots  map[layout.Ref]layout.Ref

	// The version being written.
	root       layout.Ref // in the source
	ids        container.IDTable
	written    map[uint64]bool
	containers uint64
	entries    uint64
	top        container.Record // of the root container
	lostFound  uint64           // id, 0 when there is none
	strays     []container.Item
}

// begin begins with the version of a walk whose id table was read.
func (r *rewrite) begin(w *walk) {
	r.root = w.ref
	r.w.SetBirth(w.root.Seq)
	r.ids, r.written = container.IDTable{}, map[uint64]bool{}
	r.containers, r.entries, r.lostFound, r.strays = 0, 0, 0, nil
	r.top = container.Record{ID: rootID, Kind: value.KindCollection, Mode: 0o755, Mtime: w.root.Time, Wtime: w.root.Time, Ctime: w.root.Time}
	for id := range w.records {
		if id < maxID {
			r.nextID = max(r.nextID, id+1)
		}
	}
}

func (r *rewrite) newID() uint64 {
	r.nextID++
	return r.nextID - 1
}

// put writes a container record.
func (r *rewrite) put(rec *container.Record) error {
	ref, err := container.EncodeRecord(r.w, layout.Nil, rec)
	if err != nil {
		return err
	}
	r.ids, err = r.ids.Put(r.w, rec.ID, ref)
	r.written[rec.ID] = true
	r.containers++
	return err
}

// container writes a container whose bodies are written.
func (r *rewrite) container(v *visit, e *entries) {
	if r.err != nil {
		return
	}
	rec := v.rec
	rec.Body, rec.Names, rec.Elements, rec.Subdirs = e.trees[0], e.trees[1], e.kept, e.dirs
	if rec.Xattr, r.err = r.blob(rec.Xattr, uint64(rec.XattrSize)); r.err != nil {
		return
	}
	if rec.Kind != value.KindList {
		rec.Names = container.Tree{}
	}
	if v.id == rootID || v.id >= firstFreeID {
		r.entries += rec.Elements + rec.Names.Count
	}
	if v.id == rootID {
		r.top = rec // it is written last: it may get an entry more
		return
	}
	r.err = r.put(&rec)
}

// blob copies a blob, once for all versions.
func (r *rewrite) blob(ref layout.Ref, size uint64) (layout.Ref, error) {
	if ref == layout.Nil {
		return layout.Nil, nil
	}
	if to, ok := r.blobs[ref]; ok {
		return to, nil
	}
	to, err := container.CopyBlob(r.w, r.src, ref, size)
	if err == nil && r.share {
		r.blobs[ref] = to
	}
	return to, err
}

// snapshot puts the new root record of a snapshot into its entry. It reports
// false when that version could not be written.
func (r *rewrite) snapshot(it *container.Item) bool {
	to, ok := r.roots[it.Blob]
	it.Blob = to
	return ok
}

// stray enters a container whose entry is lost, to be found in lost+found.
func (r *rewrite) stray(w *walk, id, parent uint64, at *place) {
	if !w.enter(id, parent, value.KindInvalid, at) {
		return
	}
	if r.lostFound == 0 {
		r.lostFound = r.newID()
	}
	v := &w.stack[len(w.stack)-1]
	v.rec.Parent = r.lostFound
	r.strays = append(r.strays, container.Item{
		Key: value.AppendKey(nil, value.Int(int64(id))), ID: id, Kind: v.rec.Kind, Mode: 0o644,
	})
}

// finish writes what belongs to the whole version.
func (r *rewrite) finish(w *walk) error {
	if err := r.giveStrays(); err != nil {
		return err
	}
	if err := r.put(&r.top); err != nil {
		return err
	}
	for _, s := range systemPlaces[1:] {
		if r.written[s.id] {
			continue
		}
		now := w.root.Time
		if err := r.put(&container.Record{ID: s.id, Kind: value.KindDict, Mode: 0o755, Mtime: now, Wtime: now, Ctime: now}); err != nil {
			return err
		}
	}
	ref, obj, err := r.w.Alloc(layout.KindRoot, layout.RootSize)
	if err != nil {
		return err
	}
	root := w.root
	root.IDTable, root.IDHeight = r.ids.Ref, r.ids.Height
	root.Entries, root.Containers = r.entries, r.containers
	root.Snapshot = w.newest
	root.Encode(obj)
	r.roots[r.root] = ref
	return nil
}

// giveStrays makes the dict of the containers that have lost their entries.
func (r *rewrite) giveStrays() error {
	if len(r.strays) == 0 {
		return nil
	}
	// The body of the root is changed in place below, so that nobody else may
	// have its leaves.
	clear(r.leaves)
	now := time.Now().UnixNano()
	dir := container.Record{
		ID: r.lostFound, Parent: rootID, Kind: value.KindDict, Mode: 0o700, UID: r.top.UID, GID: r.top.GID,
		Mtime: now, Wtime: now, Ctime: now, Elements: uint64(len(r.strays)), Subdirs: uint64(len(r.strays)),
	}
	var err error
	for i := range r.strays {
		if dir.Body, _, err = container.Put(r.w, dir.Body, &r.strays[i]); err != nil {
			return err
		}
	}
	for n := 1; ; n++ {
		name := "lost+found"
		if n > 1 {
			name = fmt.Sprintf("lost+found-%d", n)
		}
		key := value.AppendKey(nil, value.String(name))
		if _, taken, err := container.Get(r.w, r.top.Body, key); err != nil {
			return err
		} else if taken {
			continue
		}
		it := container.Item{Key: key, ID: dir.ID, Kind: dir.Kind, Mode: 0o644}
		if r.top.Body, _, err = container.Put(r.w, r.top.Body, &it); err != nil {
			return err
		}
		break
	}
	r.top.Elements++
	r.top.Subdirs++
	r.entries += 1 + dir.Elements
	return r.put(&dir)
}

// bodyWriter writes one body of a container.
type bodyWriter struct {
	r *rewrite
	e *entries
	b *container.Builder
}

func (r *rewrite) body(e *entries) *bodyWriter {
	return &bodyWriter{r: r, e: e, b: container.NewBuilder(r.w)}
}

// leaf writes the items of the leaf at ref, which belong to the position start
// on. same reports that they are all of it, unchanged.
func (b *bodyWriter) leaf(ref layout.Ref, start uint64, items []container.Item, same bool) error {
	r := b.r
	if r.err != nil {
		return r.err
	}
	if n := b.b.Count(); !b.e.keyed() && start > n {
		b.b.Gap(start - n) // elements that are lost: the others keep their places
	}
	for i := range items {
		if items[i].Kind == container.KindGap {
			continue
		}
		if !b.e.names {
			b.e.kept++
		}
		if items[i].Kind.IsContainer() {
			b.e.dirs++
		}
	}
	if leaves, ok := r.leaves[ref]; ok && same && b.b.CanShare() {
		return b.b.Share(leaves)
	}
	var err error
	for i := range items {
		it := &items[i]
		if it.Kind == container.KindGap {
			continue
		}
		if it.ID == 0 && it.Kind != container.KindRootRef {
			it.ID = r.newID()
		}
		if it.Xattr, err = r.blob(it.Xattr, uint64(it.XattrSize)); err != nil {
			return err
		}
		if it.Kind == value.KindString || it.Kind == value.KindBytes {
			if it.Blob, err = r.blob(it.Blob, it.Size); err != nil {
				return err
			}
		}
	}
	leaves, alike, err := b.b.Add(items)
	if err == nil && r.share && same && alike {
		r.leaves[ref] = slices.Clone(leaves)
	}
	return err
}

// end makes the inner nodes.
func (b *bodyWriter) end() (err error) {
	i := 0
	if b.e.names {
		i = 1
	}
	if b.r.err != nil {
		return b.r.err
	}
	b.e.trees[i], err = b.b.Tree()
	return errors.Join(b.r.err, err)
}
