package check

import (
	"strings"

	"pongofs/engine/value"
)

// place is a container on the way down from the root, for messages.
type place struct {
	up    *place
	label string // of the top, the same all the way down; "" for the root
	kind  value.Kind
	key   value.Value // under which up holds it
}

// longest is how many bytes of a path are shown at most, about.
const longest = 4096

// below returns the place of an entry of p.
func (p *place) below(key value.Value) *place { return &place{up: p, label: p.label, key: key} }

// path returns the path of p for people. A very deep one is shortened in the
// middle.
func (p *place) path(name func(value.Kind, value.Value) string) string {
	var names []string
	at, size := p, 0
	for ; at.up != nil && size < longest; at = at.up {
		s := name(at.up.kind, at.key)
		names = append(names, s)
		size += len(s) + 1
	}
	cut := at.up != nil
	var b strings.Builder
	b.WriteString(p.label)
	if cut {
		b.WriteString("/…")
	}
	for i := len(names) - 1; i >= 0; i-- {
		if b.Len() > 0 {
			b.WriteByte('/')
		}
		b.WriteString(names[i])
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// plainName shows a key when the caller has no better name for it.
func plainName(_ value.Kind, key value.Value) string {
	if key.Kind() == value.KindString {
		return key.AsString()
	}
	return key.String()
}
