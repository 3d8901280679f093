package main

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"pongofs/engine"
	"pongofs/engine/value"
)

// place is where a path inside a store leads: an entry, or the spot where one
// can be made.
type place struct {
	spot
	path   string       // as it is shown
	parent value.Kind   // kind of the container that spot.dir is
	entry  engine.Entry // valid when found
	found  bool
}

// isRoot reports whether the place is the root itself.
func (p *place) isRoot() bool { return p.found && p.entry.ID == engine.RootID && !p.key.IsValid() }

// splitPath cuts a path inside a store into names. "" and "/" are the root.
func splitPath(p string) []string {
	p = strings.Trim(path.Clean("/"+p), "/")
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

// locate follows a path. All but the last name must exist and be containers.
func locate(tx *engine.Tx, p string) (place, error) {
	names := splitPath(p)
	root, err := tx.Stat(engine.RootID)
	if err != nil {
		return place{}, err
	}
	at := place{spot: spot{dir: engine.RootID}, path: "/", entry: root, found: true}
	for i, name := range names {
		shown := strings.Join(names[:i+1], "/")
		if !at.found {
			return place{}, fmt.Errorf("%s: %w", at.path, engine.ErrNotFound)
		}
		if !at.entry.IsContainer() {
			kind, err := kindOf(tx, &at.entry)
			if err != nil {
				return place{}, err
			}
			return place{}, &describedError{fmt.Sprintf("%s: is a %s, so it holds no %s", at.path, kind, name), engine.ErrNotContainer}
		}
		parent := at.entry
		key, err := nameKey(tx, &parent, name)
		if err != nil {
			return place{}, fmt.Errorf("%s: %w", shown, err)
		}
		at = place{spot: spot{parent.ID, key}, path: shown, parent: parent.Kind}
		at.entry, err = tx.Lookup(parent.ID, key)
		if err == nil {
			at.found = true
			// A lookup may leave out the record of a container.
			if at.entry.IsContainer() {
				full, err := tx.Stat(at.entry.ID)
				if err != nil {
					return place{}, err
				}
				full.Parent, full.Key = parent.ID, key
				at.entry = full
			}
		} else if !errors.Is(err, engine.ErrNotFound) {
			return place{}, fmt.Errorf("%s: %w", shown, err)
		}
	}
	return at, nil
}

// locateExisting is locate for an entry that must be there.
func locateExisting(tx *engine.Tx, p string) (place, error) {
	at, err := locate(tx, p)
	if err == nil && !at.found {
		err = fmt.Errorf("%s: %w", at.path, engine.ErrNotFound)
	}
	return at, err
}

// locateContainer is locate for a container that must be there.
func locateContainer(tx *engine.Tx, p string) (place, error) {
	at, err := locateExisting(tx, p)
	if err == nil && !at.entry.IsContainer() {
		err = fmt.Errorf("%s: %w", at.path, engine.ErrNotContainer)
	}
	return at, err
}
