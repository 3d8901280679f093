package engine

import (
	"fmt"
	"strconv"
	"strings"

	"pongofs/engine/value"
)

// Path leads from a container to a value, one key for each step. In a list a
// step is an int, or a string that is a decimal number; negative ones count
// from the end. In a dict or collection it is the key itself, the string "5"
// and the int 5 being different.
//
// The zero value.Value is no key: in a pattern it stands for every key.
type Path []value.Value

// ParsePath reads a path of names with slashes between them, such as
// "users/ada/tags/-1". Every name becomes a string key; empty names are left
// out, so "" leads to the container itself. Keys that are not strings, are
// empty or hold a slash need a Path.
func ParsePath(s string) Path {
	var p Path
	for name := range strings.SplitSeq(s, "/") {
		if name != "" {
			p = append(p, value.String(name))
		}
	}
	return p
}

// ParsePattern is ParsePath of a pattern: a name "*" stands for every key.
func ParsePattern(s string) Path {
	p := ParsePath(s)
	for i, k := range p {
		if k == value.String("*") {
			p[i] = value.Value{}
		}
	}
	return p
}

// String returns the path as ParsePattern reads it; keys that it cannot read
// are written as value.Value.GoString writes them.
func (p Path) String() string {
	var b strings.Builder
	for i, k := range p {
		if i > 0 {
			b.WriteByte('/')
		}
		switch s := k.AsString(); {
		case !k.IsValid():
			b.WriteByte('*')
		case k.Kind() == value.KindString && s != "" && s != "*" && !strings.Contains(s, "/"):
			b.WriteString(s)
		default:
			b.WriteString(k.GoString())
		}
	}
	return b.String()
}

// Resolve returns the entry that a path leads to from a container: the
// container itself for an empty path. It is ErrNotFound when a step leads
// nowhere and ErrNotContainer when one leads through a scalar. The error names
// the path up to there.
func (tx *Tx) Resolve(at ID, p Path) (Entry, error) {
	e, err := tx.Stat(at)
	for i, step := range p {
		if err != nil {
			return Entry{}, pathError(p[:i], err)
		}
		if !e.IsContainer() {
			return Entry{}, pathError(p[:i], ErrNotContainer)
		}
		e, err = tx.step(&e, step)
	}
	return e, pathError(p, err)
}

// step looks up one step of a path in the container dir.
func (tx *Tx) step(dir *Entry, step value.Value) (Entry, error) {
	key, err := stepKey(dir, step)
	if err != nil {
		return Entry{}, err
	}
	return tx.Lookup(dir.ID, key)
}

// stepKey turns a step of a path into a key of the container dir.
func stepKey(dir *Entry, step value.Value) (value.Value, error) {
	if dir.Kind != value.KindList {
		return step, nil
	}
	i := step.AsInt()
	switch step.Kind() {
	case value.KindInt:
	case value.KindString:
		n, err := strconv.ParseInt(step.AsString(), 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != step.AsString() {
			return value.Value{}, fmt.Errorf("list index %.60v: %w", step, ErrKey)
		}
		i = n
	default:
		return value.Value{}, fmt.Errorf("list index %.60v: %w", step, ErrKey)
	}
	if i < 0 {
		i += int64(dir.Len)
	}
	if i < 0 {
		return value.Value{}, ErrNotFound
	}
	return value.Int(i), nil
}

// getPath returns the scalar that a path leads to.
func (tx *Tx) getPath(at ID, path string) (value.Value, error) {
	p := ParsePath(path)
	e, err := tx.Resolve(at, p)
	if err != nil {
		return value.Value{}, err
	}
	v, err := tx.Value(&e)
	return v, pathError(p, err)
}

// SetPath stores v, as FromGo takes it, where a path leads, in place of
// whatever is there. All but the last step must lead to containers. Errors are
// those of Resolve; an empty path is ErrKey.
func (tx *Tx) SetPath(at ID, p Path, v any) error {
	dir, key, err := tx.lastStep(at, p)
	if err != nil {
		return err
	}
	return pathError(p, tx.set(dir.ID, key, v))
}

// DeletePath removes what a path leads to, with everything below it. Errors are
// those of Resolve; an empty path is ErrKey. In a list later elements move
// down.
func (tx *Tx) DeletePath(at ID, p Path) error {
	dir, key, err := tx.lastStep(at, p)
	switch {
	case err != nil:
		return err
	case dir.Kind == value.KindList:
		return pathError(p, tx.DeleteAt(dir.ID, key.AsInt()))
	}
	return pathError(p, tx.RemoveAll(dir.ID, key))
}

// lastStep returns the container that a path ends in, and the key there.
func (tx *Tx) lastStep(at ID, p Path) (dir Entry, key value.Value, err error) {
	if len(p) == 0 {
		return dir, key, fmt.Errorf("empty path: %w", ErrKey)
	}
	last := len(p) - 1
	if dir, err = tx.Resolve(at, p[:last]); err != nil {
		return dir, key, err
	}
	if !dir.IsContainer() {
		return dir, key, pathError(p[:last], ErrNotContainer)
	}
	key, err = stepKey(&dir, p[last])
	return dir, key, pathError(p, err)
}

// pathError adds the path to an error.
func pathError(p Path, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%.200s: %w", "/"+p.String(), err)
}
