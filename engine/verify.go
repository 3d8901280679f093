package engine

import (
	"fmt"

	"pongofs/engine/container"
	"pongofs/engine/heap"
	"pongofs/engine/layout"
	"pongofs/engine/trace"
	"pongofs/engine/value"
)

// Verify reads the newest version whole and checks every rule of the format
// that the engine relies on: checksums, the shape and order of every tree, the
// id table, the counts in records, parents. Readers and writers may go on
// meanwhile. It returns the live set of the version.
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
		return s.verifyRoot(root)
	})
	return live, err
}

func (s *Store) verifyRoot(root layout.Root) error {
	ids := container.IDTable{Ref: root.IDTable, Height: root.IDHeight}
	if err := container.VerifyIDTable(s.heap, ids); err != nil {
		return err
	}
	containers, entries := uint64(0), uint64(0)
	err := ids.Walk(s.heap, func(id uint64, ref layout.Ref) error {
		containers++
		rec, err := container.ReadRecord(s.heap, ref)
		if err != nil {
			return err
		}
		if rec.ID != id {
			return layout.Corrupt("container record", ref, "has id %d, is at %d in the id table", rec.ID, id)
		}
		n, err := s.verifyContainer(&rec, ids)
		if err != nil {
			return fmt.Errorf("container %d: %w", id, err)
		}
		if ID(id) == RootID || ID(id) >= firstFreeID {
			entries += n
		}
		return nil
	})
	if err != nil {
		return err
	}
	if containers != root.Containers || entries != root.Entries {
		return layout.Corrupt("root record", 0, "counts %d containers and %d entries, there are %d and %d",
			root.Containers, root.Entries, containers, entries)
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
