package engine

import (
	"cmp"
	"fmt"
	"slices"

	"pongofs/engine/container"
	"pongofs/engine/heap"
	"pongofs/engine/layout"
	"pongofs/engine/trace"
	"pongofs/engine/value"
)

// Verify reads the newest version whole and checks every rule of the format
// that the engine relies on: checksums, the shape and order of every tree, the
// id table, the counts in records, parents; and the same of all snapshots that
// it lists. Readers and writers may go on meanwhile. It returns the live set of
// the version, snapshots included.
func (in Internals) Verify() (live *heap.LiveSet, err error) {
	s := in.s
	var named interface{ Drop() }
	var ref layout.Ref
	var root layout.Root
	err = safely(func() error {
		var err error
		named, root, ref, err = s.rootPin()
		return err
	})
	if err != nil {
		return nil, err
	}
	defer named.Drop()
	err = safely(func() error {
		tr := trace.New(s.heap, s.hdr.Slabs.Load())
		tr.Verify = true
		if err := tr.Root(ref); err != nil {
			return err
		}
		live = tr.Live()
		return s.verifyVersions(ref, root)
	})
	return live, err
}

// verifier checks a version and its snapshots one after the other. Each is
// compared with the one before, so that what they share is checked once.
type verifier struct {
	s       *Store
	ids     container.IDTable // of the version that was checked last
	counts  map[layout.Ref]uint64
	records uint64 // containers of that version
	entries uint64
}

// verifyVersions checks the newest version and all snapshots that it lists.
func (s *Store) verifyVersions(ref layout.Ref, root layout.Root) error {
	v := &verifier{s: s, counts: map[layout.Ref]uint64{}}
	if err := v.version(root); err != nil {
		return err
	}
	tx := &Tx{s: s}
	if err := tx.load(ref); err != nil {
		return err
	}
	snaps, err := tx.Snapshots()
	if err != nil {
		return err
	}
	newest := uint64(0)
	for _, snap := range snaps {
		newest = max(newest, snap.Seq)
		if snap.Seq > root.Seq || snap.Number > root.Taken {
			return layout.Corrupt("snapshot table", 0, "%q has sequence %d and number %d, the version %d and %d",
				snap.Name, snap.Seq, snap.Number, root.Seq, root.Taken)
		}
	}
	if newest != root.Snapshot {
		return layout.Corrupt("root record", ref, "says that its newest snapshot is %d, it is %d", root.Snapshot, newest)
	}
	slices.SortFunc(snaps, func(a, b Snapshot) int { return cmp.Compare(b.Seq, a.Seq) })
	for _, snap := range snaps {
		if err := v.snapshot(snap); err != nil {
			return fmt.Errorf("snapshot %q: %w", snap.Name, err)
		}
	}
	return nil
}

// snapshot checks a snapshot.
func (v *verifier) snapshot(snap Snapshot) error {
	obj, err := v.s.heap.Object(snap.ref, layout.KindRoot)
	if err != nil {
		return err
	}
	root, err := layout.DecodeRoot(obj)
	if err != nil {
		return err
	}
	if root.Seq != snap.Seq || root.Snapshot != 0 {
		return layout.Corrupt("root record", snap.ref, "of a snapshot has sequence %d and lists snapshot %d", root.Seq, root.Snapshot)
	}
	if err := v.version(root); err != nil {
		return err
	}
	ref, err := v.ids.Get(v.s.heap, uint64(SnapshotsID))
	if err != nil {
		return err
	}
	rec, err := container.ReadRecord(v.s.heap, ref)
	if err == nil && !rec.Body.Empty() {
		err = layout.Corrupt("container record", ref, "a snapshot lists snapshots")
	}
	return err
}

// version checks what differs from the version that was checked before.
func (v *verifier) version(root layout.Root) error {
	ids := container.IDTable{Ref: root.IDTable, Height: root.IDHeight}
	if err := container.VerifyIDTable(v.s.heap, ids); err != nil {
		return err
	}
	err := v.ids.Diff(v.s.heap, ids, func(id uint64, old, now layout.Ref) error {
		users := ID(id) == RootID || ID(id) >= firstFreeID
		if old != layout.Nil {
			v.records--
			if users {
				v.entries -= v.counts[old]
			}
		}
		if now == layout.Nil {
			return nil
		}
		n, known := v.counts[now]
		if !known {
			rec, err := container.ReadRecord(v.s.heap, now)
			if err != nil {
				return err
			}
			if rec.ID != id {
				return layout.Corrupt("container record", now, "has id %d, is at %d in the id table", rec.ID, id)
			}
			if n, err = v.s.verifyContainer(&rec, ids); err != nil {
				return fmt.Errorf("container %d: %w", id, err)
			}
			v.counts[now] = n
		}
		v.records++
		if users {
			v.entries += n
		}
		return nil
	})
	if err != nil {
		return err
	}
	v.ids = ids
	if v.records != root.Containers || v.entries != root.Entries {
		return layout.Corrupt("root record", 0, "counts %d containers and %d entries, there are %d and %d",
			root.Containers, root.Entries, v.records, v.entries)
	}
	return nil
}

// verifyContainer checks one container and returns the number of its entries.
func (s *Store) verifyContainer(rec *container.Record, ids container.IDTable) (uint64, error) {
	keyed := rec.Kind != value.KindList
	if err := container.VerifyTree(s.heap, rec.Body, keyed); err != nil {
		return 0, err
	}
	if err := container.VerifyTree(s.heap, rec.Names, true); err != nil {
		return 0, err
	}
	entries, elements, subdirs := uint64(0), uint64(0), uint64(0)
	each := func(it *container.Item) (bool, error) {
		if it.Kind == container.KindGap {
			return true, nil
		}
		entries++
		if (it.Kind == container.KindRootRef) != (ID(rec.ID) == SnapshotsID) {
			return false, layout.Corrupt("entry", 0, "of kind %d in container %d", it.Kind, rec.ID)
		}
		if it.Kind.IsContainer() {
			subdirs++
			ref, err := ids.Get(s.heap, it.ID)
			if err != nil {
				return false, err
			}
			if ref == layout.Nil {
				return false, layout.Corrupt("entry", 0, "refers to container %d, which does not exist", it.ID)
			}
			sub, err := container.ReadRecord(s.heap, ref)
			if err != nil {
				return false, err
			}
			if sub.Parent != rec.ID || sub.Kind != it.Kind {
				return false, layout.Corrupt("container record", ref, "is a %v in container %d, its entry says %v in %d",
					sub.Kind, sub.Parent, it.Kind, rec.ID)
			}
			return true, nil
		}
		if it.Kind == value.KindString || it.Kind == value.KindBytes {
			return true, container.VerifyBlob(s.heap, it.Blob, it.Size)
		}
		return true, nil
	}
	if err := container.Walk(s.heap, rec.Body, each); err != nil {
		return 0, err
	}
	elements = entries
	if err := container.Walk(s.heap, rec.Names, each); err != nil {
		return 0, err
	}
	if elements != rec.Elements || subdirs != rec.Subdirs {
		return 0, layout.Corrupt("container record", 0, "counts %d elements and %d containers, there are %d and %d",
			rec.Elements, rec.Subdirs, elements, subdirs)
	}
	return entries, nil
}
