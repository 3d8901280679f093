package engine

import "pongofs/engine/value"

// Collection is a handle to a collection: values of any type under keys, in
// key order, any number of them. It is valid as long as its Tx, and its methods
// are those of Tx applied to one container.
type Collection struct{ keyed }

// Root returns the collection that everything else is in: what a mount shows
// as its root directory.
func (tx *Tx) Root() Collection { return Collection{keyed{tx, RootID}} }

// Collection returns a handle to the collection id: ErrNotFound when there is
// no such container, ErrKind when it is not a collection.
func (tx *Tx) Collection(id ID) (Collection, error) {
	return Collection{keyed{tx, id}}, tx.needContainer(id, value.KindCollection)
}
