package value

import "iter"

// Tree is a value with everything below it, read lazily: what an encoder
// reads. A Tree is valid as long as its source says (for a store: inside the
// View that made it).
type Tree interface {
	// Kind returns the kind of the value.
	Kind() Kind
	// Scalar returns the value itself when Kind is a scalar kind.
	Scalar() (Value, error)
	// Link reports whether a string value is a symbolic link.
	Link() bool
	// Children yields the members of a container in order. Keys of list
	// elements are ints; gaps are not yielded, so indexes may jump. Names kept
	// beside the elements of a list are yielded after them, with string keys.
	// An error ends the sequence and is returned by Err.
	Children() iter.Seq2[Value, Tree]
	// Err returns the first error that ended Children early, if any.
	Err() error
}

// Builder receives a document in order: what a decoder feeds. For each value
// in turn either Scalar, Link, or Begin … End is called; inside a dict or
// collection Key comes before each value, inside a list values follow each
// other (Gap for an absent element), and behind them a string Key before each
// value that is kept beside the elements.
//
// After an error every further call returns it.
type Builder interface {
	Scalar(v Value) error
	Link(target string) error
	Begin(kind Kind) error
	Key(k Value) error
	Gap() error
	End() error
}
