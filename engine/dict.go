package engine

import "pongofs/engine/value"

// Dict is a handle to a dict: values of any type under keys, in key order. It
// is valid as long as its Tx, and its methods are those of Tx applied to one
// container.
//
// Dicts and collections have the same methods. A dict is meant for the named
// parts of one thing, a collection for many things of one sort: it can
// generate keys, see Collection.Add.
type Dict struct{ keyed }

// Dict returns a handle to the dict id: ErrNotFound when there is no such
// container, ErrKind when it is not a dict. Dict(MetaID) has the settings of
// the store.
func (tx *Tx) Dict(id ID) (Dict, error) {
	return Dict{keyed{tx, id}}, tx.needContainer(id, value.KindDict)
}
