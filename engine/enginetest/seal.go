package enginetest

import (
	"encoding/binary"

	"pongofs/engine/container"
	"pongofs/engine/layout"
)

// sealRecords makes the checksum of every checkpoint record right, whatever
// the record says: a program that ignores the checksum would see the same.
func sealRecords(b []byte) {
	for i := range layout.MaxProcesses * layout.CheckpointPages {
		page := b[layout.CheckpointPage(i):]
		record := page[:layout.CheckpointRecord]
		if binary.LittleEndian.Uint64(record) == 0 {
			continue // never written
		}
		binary.LittleEndian.PutUint32(record[layout.CheckpointRecord-4:], layout.Checksum(record[:layout.CheckpointRecord-4]))
	}
}

// sealObjects makes the checksums of all objects right that the newest
// checkpoint reaches.
func sealObjects(b []byte) {
	var newest layout.Checkpoint
	for i := range layout.MaxProcesses * layout.CheckpointPages {
		if c, ok := layout.DecodeCheckpoint(b[layout.CheckpointPage(i):][:layout.CheckpointRecord]); ok && c.Seq > newest.Seq {
			newest = c
		}
	}
	seen := map[layout.Ref]bool{}
	todo := []layout.Ref{newest.Root}
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
