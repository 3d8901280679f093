package enginetest

import (
	"encoding/binary"
	"os"

	"pongofs/engine/container"
	"pongofs/engine/layout"
)

// Unlisted makes the store at path, which nobody has open, one of before records
// had lists: each of its checkpoints takes two syncs.
func Unlisted(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var page [layout.PageSize]byte
	if _, err := f.ReadAt(page[:], layout.HeaderOffset); err != nil {
		return err
	}
	h, err := layout.DecodeHeader(page[:])
	if err != nil {
		return err
	}
	h.Incompatible &^= layout.FeatureListed
	clear(page[:])
	h.Encode(page[:])
	_, err = f.WriteAt(page[:], layout.HeaderOffset)
	return err
}

// records calls fn for the page of every checkpoint record that was ever written.
func records(b []byte, fn func(page []byte)) {
	for i := range layout.MaxProcesses * layout.CheckpointPages {
		page := b[layout.CheckpointPage(i):][:layout.PageSize]
		if binary.LittleEndian.Uint64(page) != 0 {
			fn(page)
		}
	}
}

// sealRecords makes the checksums of every checkpoint record right, whatever
// the record says: a program that ignores them would see the same.
func sealRecords(b []byte) {
	records(b, func(page []byte) {
		if n := binary.LittleEndian.Uint32(page[64:]); n <= layout.MaxFresh {
			list := page[layout.CheckpointRecord:][:layout.FreshSize*n]
			binary.LittleEndian.PutUint32(page[68:], layout.Checksum(list))
		}
		sum := layout.CheckpointRecord - 4
		binary.LittleEndian.PutUint32(page[sum:], layout.Checksum(page[:sum]))
	})
}

// unlist makes every record a plain one.
func unlist(b []byte) {
	records(b, func(page []byte) {
		if c, ok := layout.DecodeCheckpoint(page); ok {
			c.Base, c.Fresh = 0, nil
			clear(page)
			c.Encode(page)
		}
	})
}

// newest returns the record that is the state of an image, and how many of later
// versions list something that is missing.
func newest(b []byte) (rec layout.Checkpoint, refused int) {
	var all []layout.Checkpoint
	records(b, func(page []byte) {
		if c, ok := layout.DecodeCheckpoint(page); ok {
			all = append(all, c)
		}
	})
	i, later := layout.NewestCheckpoint(all, func(c *layout.Checkpoint) bool {
		return c.Holds(int64(len(b)), func(off int64, n int) []byte { return b[off:][:n] })
	})
	if i >= 0 {
		rec = all[i]
	}
	return rec, len(later)
}

func refused(b []byte) int {
	_, n := newest(b)
	return n
}

// sealObjects makes the checksums of all objects right that the newest
// checkpoint reaches.
func sealObjects(b []byte) {
	rec, _ := newest(b)
	seen := map[layout.Ref]bool{}
	todo := []layout.Ref{rec.Root}
	for len(todo) > 0 {
		ref := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		off := uint64(ref)
		if ref == layout.Nil || seen[ref] || off%layout.Granule != 0 || off < firstSlab || off+layout.HeaderSize > uint64(len(b)) {
			continue
		}
		seen[ref] = true
		n := uint64(layout.ObjectGranules(b[off:])) * layout.Granule
		if n == 0 || off%layout.SlabSize+n > layout.SlabSize || off+n > uint64(len(b)) {
			continue
		}
		obj := b[off : off+n]
		layout.Seal(obj)
		if layout.ObjectKind(obj) == layout.KindRoot {
			if root, err := layout.DecodeRoot(obj); err == nil {
				todo = append(todo, root.IDTable)
			}
			continue
		}
		todo = append(todo, children(obj)...)
	}
}

// children returns what an object refers to. One that makes no sense, which may
// panic, has no children that the engine would come to.
func children(obj []byte) (refs []layout.Ref) {
	defer func() { _ = recover() }()
	_ = container.Children(obj, layout.ObjectKind(obj), func(ref layout.Ref, _ layout.Kind) error {
		refs = append(refs, ref)
		return nil
	})
	return refs
}
