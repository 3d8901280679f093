package engine

import (
	"time"

	"pongofs/engine/container"
	"pongofs/engine/value"
)

// ID identifies a value for its whole life and is never reused: a container
// keeps it when it moves, an entry keeps it when its value changes or when it
// is renamed. IDs serve as inode numbers.
type ID uint64

// The containers that exist in every store.
const (
	// NoID is no container.
	NoID ID = 0
	// RootID is the collection that users see as the root.
	RootID ID = 1
	// MetaID is the dict of settings.
	MetaID ID = 2
	// SnapshotsID is the dict of snapshots.
	SnapshotsID ID = 3
	// OrphansID is a dict from entry id (int key) to entries that have lost
	// their name but are still open somewhere.
	OrphansID ID = 4

	firstFreeID ID = 16
)

// Attr holds the file attributes of a value. Times are nanoseconds since the
// epoch; Mode has permission and set-id bits only (07777).
type Attr struct {
	Mode     uint32
	UID, GID uint32
	Mtime    int64
	Ctime    int64
}

// ModTime returns Mtime as a time.
func (a Attr) ModTime() time.Time { return time.Unix(0, a.Mtime) }

// NewAttr holds the attributes that a value gets at its creation.
type NewAttr struct {
	Mode     uint32
	UID, GID uint32
}

// AttrChange says which attributes to set; nil fields stay. Ctime becomes the
// time of the change in any case.
type AttrChange struct {
	Mode  *uint32
	UID   *uint32
	GID   *uint32
	Mtime *int64 // kept verbatim until the next write
}

// Entry describes one value under its name, as of the root that its
// transaction looks at.
//
// A scalar is in one of two forms. Null, bool, int, datetime, uuid and float
// carry the value in Scalar. String and bytes are kept as their file image:
// for a string its text and a final newline unless NoEOL, for bytes the bytes;
// Size is the length of the image and ReadImage reads it. Raw marks an image
// that nobody declared: it is a string if it is valid UTF-8 without NUL, else
// bytes, evaluated when asked (Tx.Value, Tx.TypeOf); Kind is then KindString.
type Entry struct {
	// Parent and Key name the entry. Key is an int for an element of a list, a
	// string for a name kept beside the elements. Key is invalid when the
	// entry was found by its id.
	Parent ID
	Key    value.Value

	ID   ID
	Kind value.Kind
	Attr Attr

	// Declared says that somebody chose the type, so that writes keep it.
	Declared bool
	// NoEOL says that the file image of a value in Scalar lacks the final
	// newline. Images show themselves whether they have one.
	NoEOL bool
	// Link marks a string that is a symbolic link; its image is the target,
	// without newline.
	Link bool
	// Raw marks an image whose type is guessed from its bytes.
	Raw bool
	// HasXattr says that user xattrs are set.
	HasXattr bool

	// Scalar is the value when Kind is none of string, bytes and containers.
	Scalar value.Value
	// Size is the length in bytes of the file image of a string or bytes.
	Size int64
	// Incarnation changes with every change of the value except an append.
	Incarnation uint64

	// Count is the number of entries of a container: of a list, the elements
	// that are not gaps, and the names beside them.
	Count uint64
	// Len is one more than the highest index of a list that is in use, else
	// equal to Count.
	Len uint64
	// Subdirs is the number of containers directly in a container.
	Subdirs uint64

	item container.Item
}

// IsContainer reports whether the entry holds other entries.
func (e *Entry) IsContainer() bool { return e.Kind.IsContainer() }

// HasImage reports whether the value is kept as its file image.
func (e *Entry) HasImage() bool {
	return e.Kind == value.KindString || e.Kind == value.KindBytes
}

// PutOptions says how a value is stored.
type PutOptions struct {
	// Declared makes the type binding for later writes.
	Declared bool
	// NoEOL stores the mark that the file image lacks the final newline.
	NoEOL bool
	// Link makes a string value a symbolic link.
	Link bool
	// New holds the attributes of an entry that does not exist yet.
	New NewAttr
	// Exclusive makes an existing entry ErrExist.
	Exclusive bool
	// KeepMtime leaves the modification time of an existing entry alone.
	KeepMtime bool
}

// RenameOptions modifies Tx.Rename.
type RenameOptions struct {
	// NoReplace makes an existing target ErrExist.
	NoReplace bool
	// Exchange swaps the two entries, which must both exist.
	Exchange bool
}
