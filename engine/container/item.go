// Package container implements list, dict and collection bodies, large values
// and the id table as copy-on-write shapes over objects.
//
// It reads objects through a Space and makes new ones through an Editor; it
// knows neither where they lie nor how an edit is published. Trees, blobs and
// tables are values: an edit returns another one, and the old one stays readable
// until what the edit gave up is reused. Objects that the edit itself has made
// are changed in place, so a value that an edit has moved on from must not be
// used any more, unless it was published before.
//
// Reads of one version may run at any number at once; an Editor and everything
// edited through it belong to one goroutine. Slices in what is returned alias
// the objects.
//
// Damaged objects give a layout.CorruptError or, where the check would cost too
// much, an index out of range, which the engine recovers from. No damage makes a
// walk endless: weights and heights bound it, and walks that free or verify
// follow no object twice.
package container

import (
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// MaxKeyBytes is the length in bytes of the longest encoded key.
const MaxKeyBytes = 4096

// Flags are marks on an item.
type Flags uint8

// The marks.
const (
	Declared Flags = 1 << iota // somebody chose the type
	NoEOL                      // the file image lacks the final newline
	Link                       // a string that is a symbolic link
	Raw                        // an image of guessed type; Kind is KindString
)

// Item kinds beyond those of package value.
const (
	// KindGap is a run of Size absent elements in a list.
	KindGap value.Kind = 14
	// KindRootRef refers to a root record: a snapshot. Blob holds the Ref.
	KindRootRef value.Kind = 15
)

// Item is one decoded entry of a leaf. Its slices alias the object it was
// read from. What its kind has no use for is not stored and reads as zero: all
// but Size of a gap, Num of strings, and so on.
type Item struct {
	Key   []byte // encoded by value.AppendKey; empty in lists
	ID    uint64
	Kind  value.Kind
	Flags Flags

	Mode     uint16 // 07777
	UID, GID uint32
	Mtime    int64 // ns
	Wtime    int64 // Mtime of the last write; differs from Mtime after utimensat
	Ctime    int64
	// Inc is the Wtime of the last write that was not an append.
	Inc int64

	// Xattr is a blob of XattrSize bytes, Nil for none.
	Xattr     layout.Ref
	XattrSize uint32

	// Num is the payload of bool, int, datetime and float (its bits).
	Num uint64
	// Inline is the image of a small string or bytes, or the 16 bytes of a uuid.
	Inline []byte
	// Blob and Size are the image of a larger string or bytes, Blob Nil for one
	// of zeros; for an inline image Size is its length, for a gap the number of
	// absent elements. A root reference may use Size and Num as it likes.
	Blob layout.Ref
	Size uint64
}

// Space reads objects.
type Space interface {
	// Object returns the bytes of the object at ref, header included. It fails
	// with a layout.CorruptError when ref is not a plausible object of that
	// kind (range, alignment, header); KindAny accepts any. The bytes must not be
	// changed unless the object is Owned; they stay where they are while the
	// Space is in use, and have no spare capacity.
	Object(ref layout.Ref, kind layout.Kind) ([]byte, error)
}

// Editor builds new objects. Every change of a container goes through one.
type Editor interface {
	Space
	// Alloc returns a new object of at least size bytes (header included, at
	// most layout.MaxObject), header filled in, rest zero.
	Alloc(kind layout.Kind, size int) (layout.Ref, []byte, error)
	// AllocUnset is Alloc without the zeros: the caller stores every byte behind
	// the header.
	AllocUnset(kind layout.Kind, size int) (layout.Ref, []byte, error)
	// Copy returns a new object with the content of the first size bytes of obj
	// and of its kind, the rest zero, and gives up obj, which is at ref and not
	// owned. A path to a leaf is copied by it, object by object, so it is faster
	// than the three steps it stands for.
	Copy(ref layout.Ref, obj []byte, size int) (layout.Ref, []byte, error)
	// Owned reports whether this editor allocated the object at ref and has not
	// published it, so that it may be changed in place (its header aside).
	Owned(ref layout.Ref) bool
	// Free gives up an object that the edited version no longer uses. An Owned
	// one may be reused at once, any other is retired when the edit publishes.
	Free(ref layout.Ref)
	// FreeValue is Free for the blocks and nodes of a blob: id is the ID of the
	// entry whose value it is, which open handles may have pinned.
	FreeValue(ref layout.Ref, id uint64)
}
