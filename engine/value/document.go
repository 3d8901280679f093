package value

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// ErrBuild reports calls of a Builder in an order that makes no document.
var ErrBuild = errors.New("builder called out of order")

// ErrDuplicateKey reports a key that a dict or collection has already.
var ErrDuplicateKey = errors.New("duplicate key")

// Document is a Builder that keeps one document in memory, for tests and for
// small conversions. The zero Document is empty and ready for use. It belongs
// to one goroutine until it is complete.
//
// As in a store, the entries of a dict or collection are in key order,
// whatever the order they come in, and gaps at the end of a list are dropped.
type Document struct {
	root *node
	open []*node // containers begun and not ended, outermost first
	err  error
}

// node is one value of a Document. It is a Tree.
type node struct {
	kind    Kind
	scalar  Value
	link    bool
	entries []entry
	// key is the key given for the next entry; in a list, next is its index.
	key  Value
	next int64
}

type entry struct {
	key  Value
	node *node
}

var _ Builder = (*Document)(nil)

// Tree returns the document, which must be complete. It is valid for ever and
// may be read by any number of goroutines.
func (d *Document) Tree() (Tree, error) {
	if d.err != nil {
		return nil, d.err
	}
	if d.root == nil || len(d.open) > 0 {
		return nil, fmt.Errorf("%w: the document is not complete", ErrBuild)
	}
	return d.root, nil
}

// Scalar adds a scalar.
func (d *Document) Scalar(v Value) error {
	if !v.Kind().IsScalar() {
		return d.fail("%w: %v is not a scalar", ErrBuild, v)
	}
	return d.add(&node{kind: v.Kind(), scalar: v})
}

// Link adds a symbolic link.
func (d *Document) Link(target string) error {
	return d.add(&node{kind: KindString, scalar: String(target), link: true})
}

// Begin adds a container, and what follows until End goes into it.
func (d *Document) Begin(kind Kind) error {
	if !kind.IsContainer() {
		return d.fail("%w: a %v is not a container", ErrBuild, kind)
	}
	n := &node{kind: kind}
	if err := d.add(n); err != nil {
		return err
	}
	d.open = append(d.open, n)
	return nil
}

// Key sets the key of the next value.
func (d *Document) Key(k Value) error {
	top := d.top()
	if top == nil || top.kind == KindList && k.Kind() != KindString || top.key.IsValid() || !k.Kind().IsScalar() {
		return d.fail("%w: key %v", ErrBuild, k)
	}
	top.key = k
	return nil
}

// Gap adds an absent element to a list.
func (d *Document) Gap() error {
	top := d.top()
	if top == nil || top.kind != KindList {
		return d.fail("%w: a gap outside a list", ErrBuild)
	}
	top.next++
	return d.err
}

// End ends the container begun last.
func (d *Document) End() error {
	top := d.top()
	if top == nil || top.key.IsValid() {
		return d.fail("%w: end", ErrBuild)
	}
	d.open = d.open[:len(d.open)-1]
	slices.SortFunc(top.entries, func(a, b entry) int { return Compare(a.key, b.key) })
	for i := 1; i < len(top.entries); i++ {
		if top.entries[i].key == top.entries[i-1].key {
			return d.fail("%w: %v", ErrDuplicateKey, top.entries[i].key)
		}
	}
	return nil
}

// top returns the container that is open, nil for none or after an error.
func (d *Document) top() *node {
	if len(d.open) == 0 || d.err != nil {
		return nil
	}
	return d.open[len(d.open)-1]
}

// add puts n where the next value belongs.
func (d *Document) add(n *node) error {
	top := d.top()
	switch {
	case d.err != nil:
		return d.err
	case top == nil:
		if d.root != nil {
			return d.fail("%w: a second value", ErrBuild)
		}
		d.root = n
	case top.kind == KindList && !top.key.IsValid():
		top.entries = append(top.entries, entry{Int(top.next), n})
		top.next++
	case !top.key.IsValid():
		return d.fail("%w: a value without key", ErrBuild)
	default:
		top.entries = append(top.entries, entry{top.key, n})
		top.key = Value{}
	}
	return nil
}

// fail makes an error that every further call returns.
func (d *Document) fail(format string, args ...any) error {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
	return d.err
}

func (n *node) Kind() Kind             { return n.kind }
func (n *node) Scalar() (Value, error) { return n.scalar, nil }
func (n *node) Link() bool             { return n.link }
func (n *node) Err() error             { return nil }

func (n *node) Children() iter.Seq2[Value, Tree] {
	return func(yield func(Value, Tree) bool) {
		for _, e := range n.entries {
			if !yield(e.key, e.node) {
				return
			}
		}
	}
}

// Equal reports whether two trees hold the same values of the same types under
// the same keys. If not, path names the first difference: the keys that lead
// to it, as GoString writes them, each behind a slash. A tree that cannot be
// read differs from every other.
func Equal(a, b Tree) (path string, equal bool) {
	// A stack of its own lets documents nest as deep as they like.
	stack := []pair{{a: a, b: b}}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !p.sameValue() {
			return p.path(), false
		}
		if !p.a.Kind().IsContainer() {
			continue
		}
		as, bs := children(p.a), children(p.b)
		if p.a.Err() != nil || p.b.Err() != nil {
			return p.path(), false
		}
		for i := range max(len(as), len(bs)) {
			if i >= len(as) {
				return pair{up: &p, key: bs[i].key}.path(), false
			}
			if i >= len(bs) || as[i].key != bs[i].key {
				return pair{up: &p, key: as[i].key}.path(), false
			}
			as[i].b, as[i].up = bs[i].a, &p
		}
		slices.Reverse(as)
		stack = append(stack, as...)
	}
	return "", true
}

// pair is two trees to compare and how they were reached.
type pair struct {
	a, b Tree
	up   *pair // nil at the top
	key  Value // in up
}

// sameValue compares everything but the children.
func (p pair) sameValue() bool {
	if p.a.Kind() != p.b.Kind() || p.a.Link() != p.b.Link() {
		return false
	}
	if p.a.Kind().IsContainer() {
		return true
	}
	av, aErr := p.a.Scalar()
	bv, bErr := p.b.Scalar()
	return aErr == nil && bErr == nil && av == bv
}

func (p pair) path() string {
	var keys []string
	for q := &p; q.up != nil; q = q.up {
		keys = append(keys, "/"+q.key.GoString())
	}
	slices.Reverse(keys)
	return strings.Join(keys, "")
}

// children returns the children of t, each as the first tree of a pair.
func children(t Tree) []pair {
	var ps []pair
	for k, c := range t.Children() {
		ps = append(ps, pair{a: c, key: k})
	}
	return ps
}
