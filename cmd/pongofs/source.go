package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"pongofs/engine"
)

// source is what a command reads: a store, or a snapshot of it, or a part of
// either.
type source struct {
	store    string
	snapshot string // "" for the newest version
	path     string

	// cut says that snapshot may hold a path behind a colon, which names of
	// snapshots may have as well: the store decides.
	cut bool
}

// parseStore cuts STORE@SNAPSHOT. A file whose name holds an @ goes before.
func parseStore(arg string) source {
	if exists(arg) {
		return source{store: arg}
	}
	for i := strings.LastIndexByte(arg, '@'); i > 0; i = strings.LastIndexByte(arg[:i], '@') {
		if exists(arg[:i]) {
			return source{store: arg[:i], snapshot: arg[i+1:]}
		}
	}
	return source{store: arg}
}

// parseSource cuts STORE[@SNAPSHOT][:PATH].
func parseSource(arg string) source {
	if from := parseStore(arg); from.snapshot != "" {
		from.cut = true
		return from
	}
	if exists(arg) {
		return source{store: arg}
	}
	i := strings.LastIndexByte(arg, ':')
	if i <= 0 {
		return source{store: arg}
	}
	for j := i; j > 0; j = strings.LastIndexByte(arg[:j], ':') {
		if exists(arg[:j]) {
			return source{store: arg[:j], path: arg[j+1:]}
		}
	}
	return source{store: arg[:i], path: arg[i+1:]}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// viewSide runs fn on the version that a source names. It may take its time:
// the version is kept, without holding up the reuse of what is written later.
// When it returns, the source's path is settled.
func viewSide(s *engine.Store, from *source, fn func(*engine.Tx) error) error {
	v, err := openSide(s, from)
	if err != nil {
		return err
	}
	defer v.Close()
	return v.View(fn)
}

// openSide keeps the version that a source names.
func openSide(s *engine.Store, from *source) (*engine.Version, error) {
	if from.snapshot == "" {
		return s.OpenVersion()
	}
	for name, path := from.snapshot, ""; ; {
		v, err := s.OpenSnapshot(name)
		if err == nil {
			from.snapshot, from.path, from.cut = name, path, false
			return v, nil
		}
		i := strings.LastIndexByte(name, ':')
		if !errors.Is(err, engine.ErrNotFound) || !from.cut || i <= 0 {
			if errors.Is(err, engine.ErrNotFound) {
				err = noSnapshot(name, from.store)
			}
			return nil, err
		}
		name, path = from.snapshot[:i], from.snapshot[i+1:]
	}
}

func noSnapshot(name, store string) error {
	return fmt.Errorf("no snapshot %q; see pongofs snapshot ls %s", name, store)
}
