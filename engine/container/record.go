package container

import (
	"encoding/binary"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// Record is what a container is, apart from its entries.
type Record struct {
	ID, Parent          uint64 // Parent is the id of the container that holds it
	Kind                value.Kind
	Mode                uint16 // 07777
	UID, GID            uint32
	Mtime, Wtime, Ctime int64 // ns
	// Body holds the entries, the elements of a list by position.
	Body Tree
	// Elements counts the entries of Body that are not gaps.
	Elements uint64
	// Subdirs counts the containers directly in this one.
	Subdirs uint64
	// Names holds the entries beside the elements of a list, by key.
	Names Tree
	// Xattr is a blob of XattrSize bytes, Nil for none.
	Xattr     layout.Ref
	XattrSize uint32
}

// ReadRecord reads the container record at ref.
func ReadRecord(sp Space, ref layout.Ref) (Record, error) {
	obj, err := sp.Object(ref, layout.KindContainer)
	if err != nil {
		return Record{}, err
	}
	rec, err := decodeRecord(ref, obj)
	if err == nil {
		err = rec.fits(sp, ref)
	}
	return rec, err
}

// Bounded is a Space that knows how much it holds at most.
type Bounded interface {
	// Limit returns the number of bytes in which all objects lie.
	Limit() uint64
}

// leastLeaf is the size in bytes of the smallest leaf.
const leastLeaf = 2 * layout.Granule

// fits reports a record that claims more leaves than the store has room for.
// Walks go by the recorded weights, so a forged one would make them walk the
// same few objects for hours.
func (r *Record) fits(sp Space, ref layout.Ref) error {
	b, ok := sp.(Bounded)
	if !ok {
		return nil
	}
	if weight := uint64(r.Body.Weight) + uint64(r.Names.Weight); weight > b.Limit()/leastLeaf {
		return layout.Corrupt("container record", ref, "claims %d leaves in a store of %d bytes", weight, b.Limit())
	}
	return nil
}

// DecodeRecord decodes a KindContainer object. An error has no Ref.
func DecodeRecord(obj []byte) (Record, error) { return decodeRecord(layout.Nil, obj) }

func decodeRecord(ref layout.Ref, obj []byte) (Record, error) {
	if len(obj) < layout.RecordShortSize {
		return Record{}, layout.Corrupt("container record", ref, "%d bytes are too few", len(obj))
	}
	u32 := func(off int) uint32 { return binary.LittleEndian.Uint32(obj[off:]) }
	u64 := func(off int) uint64 { return binary.LittleEndian.Uint64(obj[off:]) }
	r := Record{
		ID:     u64(layout.RecordIDOff),
		Parent: u64(layout.RecordParentOff),
		Kind:   value.Kind(obj[layout.RecordKindOff]),
		Mode:   binary.LittleEndian.Uint16(obj[layout.RecordModeOff:]),
		UID:    u32(layout.RecordUIDOff),
		GID:    u32(layout.RecordGIDOff),
		Mtime:  int64(u64(layout.RecordMtimeOff)),
		Wtime:  int64(u64(layout.RecordWtimeOff)),
		Ctime:  int64(u64(layout.RecordCtimeOff)),
		Body: Tree{
			Ref:    layout.Ref(u64(layout.RecordBodyOff)),
			Weight: u32(layout.RecordBodyWeightOff),
			Count:  u64(layout.RecordBodyCountOff),
		},
		Elements:  u64(layout.RecordElementsOff),
		Subdirs:   u64(layout.RecordSubdirsOff),
		Xattr:     layout.Ref(u64(layout.RecordXattrOff)),
		XattrSize: u32(layout.RecordXattrSizeOff),
	}
	if weight := u32(layout.RecordNamesWeightOff); weight > 0 {
		if len(obj) < layout.RecordSize {
			return Record{}, layout.Corrupt("container record", ref, "%d bytes are too few", len(obj))
		}
		r.Names = Tree{
			Ref:    layout.Ref(u64(layout.RecordNamesOff)),
			Weight: weight,
			Count:  u64(layout.RecordNamesCountOff),
		}
	}
	return r, r.check(ref)
}

// check reports what cannot be in a record of a container.
func (r *Record) check(ref layout.Ref) error {
	switch {
	case !r.Kind.IsContainer():
		return layout.Corrupt("container record", ref, "kind is %v", r.Kind)
	case !r.Body.plausible() || !r.Names.plausible():
		return layout.Corrupt("container record", ref, "body is %+v, names are %+v", r.Body, r.Names)
	case r.Kind != value.KindList && (r.Elements != r.Body.Count || !r.Names.Empty()),
		r.Elements > r.Body.Count:
		return layout.Corrupt("container record", ref, "%d elements and %d names in a %v of %d",
			r.Elements, r.Names.Count, r.Kind, r.Body.Count)
	}
	return nil
}

// plausible reports whether the figures of t fit each other.
func (t Tree) plausible() bool {
	if t.Ref == layout.Nil {
		return t == Tree{}
	}
	return t.Weight > 0 && t.Count >= uint64(t.Weight)
}

// EncodeRecord stores r in place of the record at old (Nil for a new one),
// which it changes in place or gives up, and returns where it is.
func EncodeRecord(ed Editor, old layout.Ref, r *Record) (layout.Ref, error) {
	size := layout.RecordShortSize
	if !r.Names.Empty() {
		size = layout.RecordSize
	}
	if old != layout.Nil && ed.Owned(old) {
		obj, err := ed.Object(old, layout.KindContainer)
		if err != nil {
			return old, err
		}
		if size <= len(obj) {
			r.encode(obj)
			return old, nil
		}
	}
	ref, obj, err := ed.Alloc(layout.KindContainer, size)
	if err != nil {
		return old, err
	}
	r.encode(obj)
	if old != layout.Nil {
		ed.Free(old)
	}
	return ref, nil
}

func (r *Record) encode(obj []byte) {
	u32 := func(off int, v uint32) { binary.LittleEndian.PutUint32(obj[off:], v) }
	u64 := func(off int, v uint64) { binary.LittleEndian.PutUint64(obj[off:], v) }
	u64(layout.RecordIDOff, r.ID)
	u64(layout.RecordParentOff, r.Parent)
	obj[layout.RecordKindOff] = byte(r.Kind)
	binary.LittleEndian.PutUint16(obj[layout.RecordModeOff:], r.Mode)
	u32(layout.RecordUIDOff, r.UID)
	u32(layout.RecordGIDOff, r.GID)
	u32(layout.RecordBodyWeightOff, r.Body.Weight)
	u64(layout.RecordMtimeOff, uint64(r.Mtime))
	u64(layout.RecordWtimeOff, uint64(r.Wtime))
	u64(layout.RecordCtimeOff, uint64(r.Ctime))
	u64(layout.RecordBodyOff, uint64(r.Body.Ref))
	u64(layout.RecordBodyCountOff, r.Body.Count)
	u64(layout.RecordElementsOff, r.Elements)
	u64(layout.RecordSubdirsOff, r.Subdirs)
	u64(layout.RecordXattrOff, uint64(r.Xattr))
	u32(layout.RecordXattrSizeOff, r.XattrSize)
	u32(layout.RecordNamesWeightOff, r.Names.Weight)
	if !r.Names.Empty() {
		u64(layout.RecordNamesOff, uint64(r.Names.Ref))
		u64(layout.RecordNamesCountOff, r.Names.Count)
	}
}
