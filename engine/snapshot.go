package engine

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/trace"
	"pongofs/engine/value"
)

// Snapshot describes a snapshot: a version of the whole store under a name,
// kept across restarts until it is dropped.
type Snapshot struct {
	Name string
	// Seq is the sequence of the version that was the first to list it. What it
	// shows is the version before.
	Seq uint64
	// Number says how many snapshots the store had had with it. No other
	// snapshot of the store ever has it.
	Number uint64
	Time   time.Time // when it was taken

	ref layout.Ref // its root record
}

// MaxSnapshotName is the length in bytes of the longest name of a snapshot.
const MaxSnapshotName = 255

// CheckSnapshotName reports why a snapshot cannot have a name: it is a file
// name, and STORE@NAME on command lines. "now" is what mounts call the newest
// version. The error is ErrKey.
func CheckSnapshotName(name string) error {
	bad := func(why string) error { return fmt.Errorf("snapshot name %q: %s: %w", name, why, ErrKey) }
	switch {
	case name == "":
		return bad("it is empty")
	case len(name) > MaxSnapshotName:
		return fmt.Errorf("snapshot name of %d bytes: %w", len(name), ErrKeyTooLong)
	case name == "." || name == ".." || name == "now":
		return bad("it is reserved")
	case strings.ContainsAny(name, "/@"):
		return bad("it holds / or @")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return bad("it holds control characters or is no UTF-8")
	}
	return nil
}

// snapshotEdit is what an edit does to the table of snapshots.
type snapshotEdit struct {
	newest  uint64 // of the new version's table, when changed
	changed bool
	taken   uint64
}

// Snapshot takes a snapshot of the newest version and returns when it is
// durable. Its cost does not depend on the size of the store: a name and a root
// record. ErrExist when the name is taken.
//
// The end of ctx, whose error it returns then, ends what comes before the
// snapshot is published: waiting for other writers and for space. What is
// published has happened, so making it durable is not given up. After any other
// error than those and ErrKey the snapshot may exist without being durable.
//
// # How a snapshot holds what it needs
//
// The snapshot table is container 3: a dict from names to root records. The
// root record of a snapshot is not that of the version itself, but a copy whose
// own table is empty. So what a snapshot reaches never depends on what has
// become of older ones, and tracing, which comes to objects by any way, needs
// no rule for old tables.
//
// Let c be the sequence of the version that lists the snapshot first. Beside a
// few objects that only it refers to, it reaches objects of version c-1, born
// before c; of those, the ones that version c has replaced lead to the table
// and are not among them. When a version r drops such an object, born at b < c,
// while the snapshot is listed, then the object is not retired: it is left to
// the full collection. As all listed snapshots are older than r, comparing b
// with the newest of them says all, and the root record has that: no table is
// read.
//
// The invariant: an object in limbo, born at b and retired at r, is reached by
// no version outside [b, r), neither directly nor through a snapshot that the
// version lists. For if version p listed a snapshot that reaches the object,
// then c <= p, and the snapshot was dropped in a version d with p < d. It was not
// listed any more when the object was retired, so d <= r (or c = r, but what
// version c replaces the snapshot does not reach). With b < c that puts p into
// [b, r), where the rule of reuse looks for it: as a checkpoint, completed or
// announced, as a named pin, or covered by a short one.
//
// So nothing needs to be remembered of dropped snapshots. One that comes back
// when the power fails, because the drop was not durable, finds everything that
// it reaches: the checkpoint that lists it has protected it like its own.
func (s *Store) Snapshot(ctx context.Context, name string) (Snapshot, error) {
	if err := CheckSnapshotName(name); err != nil {
		return Snapshot{}, err
	}
	var snap Snapshot
	err := s.changeSnapshots(ctx, func(tx *Tx) error {
		var err error
		snap, err = tx.takeSnapshot(name)
		return err
	})
	return snap, err
}

// DropSnapshot drops a snapshot and returns when that is durable. What it alone
// held is free after the next full collection. Versions that are open stay.
// ErrNotFound when there is none of that name. ctx is that of Snapshot.
func (s *Store) DropSnapshot(ctx context.Context, name string) error {
	err := s.changeSnapshots(ctx, func(tx *Tx) error { return tx.dropSnapshot(name) })
	if err == nil {
		s.hdr.Dropped.Add(1)
	}
	return err
}

func (s *Store) changeSnapshots(ctx context.Context, fn func(tx *Tx) error) error {
	if s.header.ReadOnly&layout.FeatureSnapshots == 0 {
		return fmt.Errorf("%s: %w: the store was made by a program without snapshots: export it and import it into a new one",
			s.path, ErrVersion)
	}
	d, err := s.enter()
	if err != nil {
		return err
	}
	defer d.leave()
	seq, err := s.update(func(tx *Tx) error {
		if err := ctx.Err(); err != nil { // looked at before each attempt
			return err
		}
		return fn(tx)
	})
	if err != nil {
		return err
	}
	s.at("snapshot.published")
	return s.syncTo(context.WithoutCancel(ctx), seq, false)
}

// Snapshots returns all snapshots in the order of their names.
func (s *Store) Snapshots() (all []Snapshot, err error) {
	err = s.View(func(tx *Tx) error {
		all, err = tx.Snapshots()
		return err
	})
	return all, err
}

// FindSnapshot returns the snapshot of a name, ErrNotFound when there is none.
func (s *Store) FindSnapshot(name string) (snap Snapshot, err error) {
	err = s.View(func(tx *Tx) error {
		snap, err = tx.snapshot(name)
		return err
	})
	return snap, err
}

// ViewSnapshot calls fn with a look at a snapshot. Like a View it should be
// short: OpenSnapshot has one that may last. ErrNotFound when there is none of
// that name.
func (s *Store) ViewSnapshot(name string, fn func(*Tx) error) error {
	return s.View(func(tx *Tx) error {
		snap, err := tx.snapshot(name)
		if err != nil {
			return err
		}
		if err := tx.load(snap.ref); err != nil {
			return err
		}
		return fn(tx)
	})
}

// SnapshotBytes returns how many bytes only this snapshot holds: what dropping
// it would free. It walks what differs between the snapshot, the one before and
// the one after it (or the newest version).
func (s *Store) SnapshotBytes(name string) (n int64, err error) {
	// What the newest version lists stays as long as the version does.
	v, err := s.OpenVersion()
	if err != nil {
		return 0, err
	}
	defer v.Close()
	err = v.View(func(tx *Tx) error {
		snap, err := tx.snapshot(name)
		if err != nil {
			return err
		}
		all, err := tx.Snapshots()
		if err != nil {
			return err
		}
		// An object is in all versions from its birth until it is retired. So the
		// snapshot shares with others what the one before it has, which was born no
		// later than that was taken, and what the one after it has.
		before, after, next := uint64(0), v.ref, ^uint64(0)
		for _, other := range all {
			if other.Seq < snap.Seq {
				before = max(before, other.Seq)
			}
			if other.Seq > snap.Seq && other.Seq < next {
				after, next = other.ref, other.Seq
			}
		}
		return safely(func() error {
			n, err = s.heldAlone(snap.ref, after, before)
			return err
		})
	})
	return n, err
}

// heldAlone returns the size of what root reaches and other does not, of the
// objects born after a sequence.
func (s *Store) heldAlone(root, other layout.Ref, born uint64) (int64, error) {
	tr := trace.New(s.heap, s.hdr.Slabs.Load())
	tr.Above = born
	tr.Flat = true
	if err := tr.Root(other); err != nil {
		return 0, err
	}
	shared := tr.Live().Bytes
	if err := tr.Root(root); err != nil {
		return 0, err
	}
	return tr.Live().Bytes - shared, nil
}

// Snapshots returns the snapshots that the version lists, in the order of their
// names. A snapshot itself lists none.
func (tx *Tx) Snapshots() (all []Snapshot, err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.open(SnapshotsID)
	if err != nil {
		return nil, err
	}
	err = container.Walk(tx.space(), c.rec.Body, func(it *container.Item) (bool, error) {
		snap, err := snapshotOf(it)
		all = append(all, snap)
		return true, err
	})
	return all, err
}

// snapshotOf decodes an item of the snapshot table.
func snapshotOf(it *container.Item) (Snapshot, error) {
	key, err := value.DecodeKey(it.Key)
	if err != nil || key.Kind() != value.KindString || it.Kind != container.KindRootRef || it.Blob == layout.Nil {
		return Snapshot{}, layout.Corrupt("snapshot table", 0, "holds an entry of kind %d under the key %v", it.Kind, key)
	}
	return Snapshot{
		Name: key.AsString(), Seq: it.Num, Number: it.Size, Time: time.Unix(0, it.Mtime), ref: it.Blob,
	}, nil
}

// FindSnapshot returns the snapshot of a name that the version lists,
// ErrNotFound when there is none.
func (tx *Tx) FindSnapshot(name string) (Snapshot, error) { return tx.snapshot(name) }

// snapshot finds a snapshot in the table of the version.
func (tx *Tx) snapshot(name string) (snap Snapshot, err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.open(SnapshotsID)
	if err != nil {
		return snap, err
	}
	it, ok, err := container.Get(tx.space(), c.rec.Body, value.AppendKey(nil, value.String(name)))
	if err != nil {
		return snap, err
	}
	if !ok {
		return snap, fmt.Errorf("snapshot %q: %w", name, ErrNotFound)
	}
	it.Key = value.AppendKey(nil, value.String(name))
	return snapshotOf(&it)
}

// keeper is an editor that gives up nothing: what it replaces belongs to the
// version that the edit is based on, and is that one's to give up.
type keeper struct{ *edit }

// Free does nothing.
func (keeper) Free(layout.Ref) {}

// FreeValue does nothing.
func (keeper) FreeValue(layout.Ref, uint64) {}

// takeSnapshot lists the version that the edit is based on. Nothing else may be
// done in the same edit.
func (tx *Tx) takeSnapshot(name string) (snap Snapshot, err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.open(SnapshotsID)
	if err != nil {
		return snap, err
	}
	key := value.AppendKey(nil, value.String(name))
	if _, ok, err := container.Get(&tx.ed, c.rec.Body, key); err != nil || ok {
		if ok {
			err = fmt.Errorf("snapshot %q: %w", name, ErrExist)
		}
		return snap, err
	}
	// The root record of the snapshot: this version with an empty table.
	ed := keeper{&tx.ed}
	empty := c.rec
	empty.Body, empty.Elements = container.Tree{}, 0
	rec, err := container.EncodeRecord(ed, layout.Nil, &empty)
	if err != nil {
		return snap, tx.fail(err)
	}
	ids, err := tx.ids.Put(ed, uint64(SnapshotsID), rec)
	if err != nil {
		return snap, tx.fail(err)
	}
	ref, obj, err := tx.ed.Alloc(layout.KindRoot, layout.RootSize)
	if err != nil {
		return snap, tx.fail(err)
	}
	root := tx.root
	root.Seq = tx.ed.birth
	root.IDTable, root.IDHeight = ids.Ref, ids.Height
	root.Snapshot = 0
	root.Encode(obj)

	snap = Snapshot{Name: name, Seq: tx.ed.birth, Number: tx.root.Taken + 1, Time: time.Unix(0, tx.time()), ref: ref}
	item := tx.newItem(container.KindRootRef, NewAttr{})
	item.Key, item.Blob, item.Num, item.Size = key, ref, snap.Seq, snap.Number
	body, _, err := container.Put(&tx.ed, c.rec.Body, &item)
	if err != nil {
		return snap, tx.fail(err)
	}
	c.rec.Body, c.rec.Elements = body, body.Count
	tx.touch(c)
	tx.snaps = snapshotEdit{newest: snap.Seq, changed: true, taken: 1}
	return snap, nil
}

// dropSnapshot takes a snapshot off the table. Its objects are the full
// collection's: which of them other versions need cannot be told from here.
func (tx *Tx) dropSnapshot(name string) (err error) {
	snap, err := tx.snapshot(name)
	if err != nil {
		return err
	}
	defer tx.end(tx.begin(), &err)
	tx.makesSpace()
	c, err := tx.open(SnapshotsID)
	if err != nil {
		return err
	}
	body, _, err := container.Delete(&tx.ed, c.rec.Body, value.AppendKey(nil, value.String(name)))
	if err != nil {
		return tx.fail(err)
	}
	c.rec.Body, c.rec.Elements = body, body.Count
	tx.touch(c)
	tx.snaps = snapshotEdit{newest: tx.root.Snapshot, changed: true}
	if snap.Seq == tx.root.Snapshot {
		tx.snaps.newest = 0
		err = container.Walk(&tx.ed, body, func(it *container.Item) (bool, error) {
			tx.snaps.newest = max(tx.snaps.newest, it.Num)
			return true, nil
		})
	}
	return tx.fail(err)
}

// listSnapshots sets what the root record of the new version says of snapshots.
func (tx *Tx) listSnapshots(next *layout.Root) error {
	if tx.snaps.changed {
		next.Snapshot = tx.snaps.newest
		next.Taken += tx.snaps.taken
	}
	if next.Snapshot >= next.Seq && tx.snaps.taken == 0 {
		return layout.Corrupt("root record", tx.rootRef, "lists a snapshot of sequence %d", next.Snapshot)
	}
	return nil
}

// retire hands over what the published version does not use any more, except
// for what a snapshot may reach: that is left to the full collection.
//
// A snapshot that this edit has taken reaches nothing that the edit replaced,
// and one that it dropped is listed only by versions that the rule of reuse
// looks for; see Snapshot. So what both the old and the new table list counts.
func (tx *Tx) retire() {
	newest := tx.root.Snapshot
	if tx.snaps.changed {
		newest = min(newest, tx.snaps.newest)
	}
	retired := tx.ed.retired
	if newest > 0 {
		retired = retired[:0]
		for _, x := range tx.ed.retired {
			if x.Birth >= newest {
				retired = append(retired, x)
			}
		}
	}
	tx.s.epochs.Retire(retired, tx.ed.birth)
}
