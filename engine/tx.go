package engine

import (
	"pongofs/engine/value"
)

// Tx is a look at one version of the store, and in an Update the edit of it.
// It is valid only inside the function it was given to and belongs to one
// goroutine. Everything it returns is a copy and stays valid afterwards.
//
// Methods that write fail with ErrReadOnly in a View. After an error other
// than ErrNotFound, ErrExist and the like, which change nothing, the function
// should return it: the edit is then dropped.
//
// Where a method takes a container and a key, an invalid key (the zero
// value.Value) means the container itself, as far as that makes sense.
type Tx struct {
	unbuilt struct{}
}

// Seq returns the sequence number of the version that the Tx looks at.
func (tx *Tx) Seq() uint64 { panic("unbuilt") }

// Stat describes the container id; Entry.Key is invalid, Parent is the
// container that holds it (0 for the root).
func (tx *Tx) Stat(id ID) (Entry, error) { panic("unbuilt") }

// Lookup finds the entry of a key in a container.
func (tx *Tx) Lookup(dir ID, key value.Value) (Entry, error) { panic("unbuilt") }

// Scan calls fn for the entries of dir in order, starting behind the key
// after (from the first when after is invalid), until fn returns false. Lists
// yield their elements by index, then the names beside them by key. For
// containers among the entries only ID, Kind and the flags are filled in
// unless full is set, since the rest lives in a record of its own.
func (tx *Tx) Scan(dir ID, after value.Value, full bool, fn func(Entry) bool) error {
	panic("unbuilt")
}

// ReadImage reads from the file image of e, which this Tx has returned, as
// io.ReaderAt does.
func (tx *Tx) ReadImage(e *Entry, p []byte, off int64) (int, error) { panic("unbuilt") }

// Value returns the scalar of e, which this Tx has returned: the whole string
// or bytes of an image, the guessed type evaluated.
func (tx *Tx) Value(e *Entry) (value.Value, error) { panic("unbuilt") }

// TypeOf returns the kind of e, the guess evaluated for Raw images, without
// reading more than it must.
func (tx *Tx) TypeOf(e *Entry) (value.Kind, error) { panic("unbuilt") }

// Put stores a scalar under a key: a new entry, or a new value of an existing
// one, which keeps its id and attributes. A list index at the end appends; one
// further out leaves gaps. Containers are not replaced: ErrIsContainer.
func (tx *Tx) Put(dir ID, key value.Value, v value.Value, o PutOptions) (Entry, error) {
	panic("unbuilt")
}

// PutImage is Put of a string, bytes or raw value by its file image; kind is
// KindString, KindBytes, or KindInvalid for Raw.
func (tx *Tx) PutImage(dir ID, key value.Value, kind value.Kind, image []byte, o PutOptions) (Entry, error) {
	panic("unbuilt")
}

// WriteImage writes p at off into the image of an existing string, bytes or
// raw value, zeros filling any hole; off -1 means at the end. Writing only at
// the end keeps the incarnation. NoEOL of a string follows the new image.
func (tx *Tx) WriteImage(dir ID, key value.Value, off int64, p []byte) (Entry, error) {
	panic("unbuilt")
}

// TruncateImage cuts or extends with zeros the image of an existing string,
// bytes or raw value.
func (tx *Tx) TruncateImage(dir ID, key value.Value, size int64) (Entry, error) {
	panic("unbuilt")
}

// Make creates an empty container; an existing entry is ErrExist.
func (tx *Tx) Make(dir ID, key value.Value, kind value.Kind, attr NewAttr) (Entry, error) {
	panic("unbuilt")
}

// Remove removes a scalar or an empty container. In a list it leaves a gap,
// or shortens the list at its end: no other element moves.
func (tx *Tx) Remove(dir ID, key value.Value) error { panic("unbuilt") }

// RemoveAll removes an entry with everything below it.
func (tx *Tx) RemoveAll(dir ID, key value.Value) error { panic("unbuilt") }

// Rename moves an entry with its id, value and attributes, replacing a target
// as rename(2) does: a scalar replaces a scalar, a container an empty
// container. ErrLoop when a container would move below itself.
func (tx *Tx) Rename(odir ID, okey value.Value, ndir ID, nkey value.Value, o RenameOptions) error {
	panic("unbuilt")
}

// SetAttr changes attributes of an entry, or of the container dir when key is
// invalid.
func (tx *Tx) SetAttr(dir ID, key value.Value, ch AttrChange) (Entry, error) { panic("unbuilt") }

// Declare sets or ends the declaration of a scalar's type; undeclaring a
// string or bytes makes it Raw.
func (tx *Tx) Declare(dir ID, key value.Value, declared bool) (Entry, error) { panic("unbuilt") }

// Convert changes the kind of a container where its entries allow it, keeping
// its id; ErrKind says which key does not fit.
func (tx *Tx) Convert(id ID, kind value.Kind) error { panic("unbuilt") }

// Xattrs returns the user extended attributes of an entry, names without
// "user.". The map is never nil.
func (tx *Tx) Xattrs(dir ID, key value.Value) (map[string][]byte, error) { panic("unbuilt") }

// SetXattr sets one extended attribute; a nil val removes it (ErrNoXattr when
// there is none). All of one entry together hold at most 64 KiB (ErrTooLarge).
func (tx *Tx) SetXattr(dir ID, key value.Value, name string, val []byte) error { panic("unbuilt") }

// InsertAt inserts a scalar into a list before index i (negative counts from
// the end), moving later elements up by one.
func (tx *Tx) InsertAt(list ID, i int64, v value.Value, o PutOptions) (Entry, error) {
	panic("unbuilt")
}

// DeleteAt removes element i of a list with everything below it, moving later
// elements down by one.
func (tx *Tx) DeleteAt(list ID, i int64) error { panic("unbuilt") }

// CompactList closes the gaps of a list.
func (tx *Tx) CompactList(list ID) error { panic("unbuilt") }
