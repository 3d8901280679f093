package engine

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"pongofs/engine/value"
)

// Op is a relation between a stored scalar and another one.
type Op uint8

// The relations. Numbers compare by their value, whether int or float; a NaN
// is equal to nothing. Other values compare with those of their own type only,
// in the order of keys: between types nothing is equal, less or greater, only
// not equal.
const (
	OpEqual Op = iota + 1
	OpNotEqual
	OpLess
	OpLessEqual
	OpGreater
	OpGreaterEqual
)

var opNames = [...]string{
	OpEqual: "=", OpNotEqual: "!=", OpLess: "<", OpLessEqual: "<=", OpGreater: ">", OpGreaterEqual: ">=",
}

// String returns the relation as ParseOp reads it.
func (op Op) String() string {
	if op >= OpEqual && int(op) < len(opNames) {
		return opNames[op]
	}
	return "?"
}

// ParseOp reads =, ==, !=, <, <=, > or >=.
func ParseOp(s string) (Op, bool) {
	if s == "==" {
		return OpEqual, true
	}
	for op := OpEqual; op <= OpGreaterEqual; op++ {
		if opNames[op] == s {
			return op, true
		}
	}
	return 0, false
}

// Holds reports whether a stands in relation op to b.
func (op Op) Holds(a, b value.Value) bool {
	c, ok := compareScalars(a, b)
	switch op {
	case OpEqual:
		return ok && c == 0
	case OpNotEqual:
		return !ok || c != 0
	case OpLess:
		return ok && c < 0
	case OpLessEqual:
		return ok && c <= 0
	case OpGreater:
		return ok && c > 0
	case OpGreaterEqual:
		return ok && c >= 0
	}
	return false
}

// compareScalars compares a with b; ok is false when neither comes first and
// they are not equal.
func compareScalars(a, b value.Value) (c int, ok bool) {
	switch ak, bk := a.Kind(), b.Kind(); {
	case ak == value.KindFloat && bk == value.KindFloat:
		x, y := a.AsFloat(), b.AsFloat()
		return cmp.Compare(x, y), x == x && y == y
	case ak == value.KindInt && bk == value.KindFloat:
		return compareIntFloat(a.AsInt(), b.AsFloat())
	case ak == value.KindFloat && bk == value.KindInt:
		c, ok = compareIntFloat(b.AsInt(), a.AsFloat())
		return -c, ok
	case ak == bk && ak.IsScalar():
		return value.Compare(a, b), true
	}
	return 0, false
}

// compareIntFloat compares without rounding either number.
func compareIntFloat(i int64, f float64) (int, bool) {
	switch {
	case f != f:
		return 0, false
	case f >= -math.MinInt64:
		return -1, true
	case f < math.MinInt64:
		return 1, true
	}
	whole := math.Trunc(f)
	if c := cmp.Compare(i, int64(whole)); c != 0 {
		return c, true
	}
	return cmp.Compare(whole, f), true
}

// Match is one result of a search.
type Match struct {
	// Path leads from where the search began to the entry.
	Path  Path
	Entry Entry
}

// Search yields every entry below a container that a pattern leads to and for
// which match returns true, in the order of the keys. In the pattern, the zero
// value.Value stands for every key of a container; names beside the elements
// of a list are left out. What the pattern does not lead to is no error. Every
// value that the pattern leads to is read. An error, also one of match, is
// yielded once, at the end.
//
// Match gets scalars and containers; see Relation for the usual one.
func (tx *Tx) Search(at ID, pattern Path, match func(*Entry) (bool, error)) iter.Seq2[Match, error] {
	return func(yield func(Match, error) bool) {
		s := search{tx: tx, pattern: pattern, match: match, yield: yield}
		e, err := tx.Stat(at)
		if err == nil {
			_, err = s.below(&e, 0)
		}
		if err != nil && !s.stopped {
			yield(Match{}, err)
		}
	}
}

// Relation returns a function for Search that holds for scalars in relation op
// to v, never for containers. A value that nobody declared counts as the
// string or bytes that it is in the store, see Tx.Value.
func (tx *Tx) Relation(op Op, v value.Value) func(*Entry) (bool, error) {
	return func(e *Entry) (bool, error) {
		if e.IsContainer() {
			return false, nil
		}
		got, err := tx.Value(e)
		return err == nil && op.Holds(got, v), err
	}
}

// search is the state of one Search.
type search struct {
	tx      *Tx
	pattern Path
	match   func(*Entry) (bool, error)
	yield   func(Match, error) bool
	path    Path
	stopped bool // yield wants no more
}

// below searches what the pattern from step n on leads to below the container
// dir. It returns false when the search is over.
func (s *search) below(dir *Entry, n int) (more bool, err error) {
	if n == len(s.pattern) || !dir.IsContainer() {
		return true, nil
	}
	defer s.tx.forget(len(s.tx.containers))
	if step := s.pattern[n]; step.IsValid() {
		// The entry may lack the length of a list.
		full, err := s.tx.Stat(dir.ID)
		if err != nil {
			return false, pathError(s.path, err)
		}
		key, err := stepKey(&full, step)
		if err != nil {
			return true, nil // no key of this list
		}
		e, err := s.tx.Lookup(dir.ID, key)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrKey) || errors.Is(err, ErrKeyTooLong) {
			return true, nil
		}
		if err != nil {
			return false, pathError(append(s.path, key), err)
		}
		return s.visit(&e, n+1)
	}
	for e, err := range s.tx.entries(dir.ID, value.Value{}, false) {
		if err != nil {
			return false, pathError(s.path, err)
		}
		if dir.Kind == value.KindList && e.Key.Kind() != value.KindInt {
			break // names beside the elements
		}
		if more, err := s.visit(&e, n+1); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// visit searches at an entry that n steps of the pattern have led to.
func (s *search) visit(e *Entry, n int) (more bool, err error) {
	s.path = append(s.path, e.Key)
	defer func() { s.path = s.path[:len(s.path)-1] }()
	if n < len(s.pattern) {
		return s.below(e, n)
	}
	hit, err := s.match(e)
	if err != nil {
		return false, pathError(s.path, err)
	}
	if hit && !s.yield(Match{Path: slices.Clone(s.path), Entry: *e}, nil) {
		s.stopped = true
		return false, nil
	}
	return true, nil
}

// searchMembers yields the members of at of which something below matches.
func (tx *Tx) searchMembers(at ID, pattern string, op Op, v any) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		want, ok, err := scalarFromGo(v)
		if err == nil && !ok {
			err = fmt.Errorf("search for a value of the Go type %T: %w", v, ErrKind)
		}
		if err != nil {
			yield(Entry{}, err)
			return
		}
		inner := ParsePattern(pattern)
		match := tx.Relation(op, want)
		one := func(e *Entry) (bool, error) {
			if len(inner) == 0 {
				return match(e)
			}
			if !e.IsContainer() {
				return false, nil
			}
			defer tx.forget(len(tx.containers))
			for _, err := range tx.Search(e.ID, inner, match) {
				return err == nil, err // the first match is enough
			}
			return false, nil
		}
		for m, err := range tx.Search(at, Path{value.Value{}}, one) {
			if !yield(m.Entry, err) {
				return
			}
		}
	}
}
