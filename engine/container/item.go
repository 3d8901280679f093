// Package container implements list, dict and collection bodies, large values
// and the id table as copy-on-write shapes over objects.
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
// read from.
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
	// Blob and Size are the image of a larger string or bytes; for an inline
	// image Size is its length, for a gap the number of absent elements.
	Blob layout.Ref
	Size uint64
}

// Space reads objects.
type Space interface {
	// Object returns the bytes of the object at ref, header included. It fails
	// with a layout.CorruptError when ref is not a plausible object of that
	// kind (range, alignment, header). The bytes must not be changed unless the
	// object is Owned.
	Object(ref layout.Ref, kind layout.Kind) ([]byte, error)
}

// Editor builds new objects. Every change of a container goes through one.
type Editor interface {
	Space
	// Alloc returns a new object of at least size bytes (header included, at
	// most layout.MaxObject), header filled in, rest zero.
	Alloc(kind layout.Kind, size int) (layout.Ref, []byte, error)
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
