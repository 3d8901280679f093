package encoding

import (
	"strings"
	"unicode/utf8"

	"pongofs/engine/value"
)

// docPath is where a decoder or encoder is in a document.
type docPath []pathStep

// pathStep is the way from a container to one of its entries.
type pathStep struct {
	key  value.Value
	list bool // key is the index of an element
}

// String returns the names of the steps joined by slashes, "" for the document
// itself: the path that the value has as a file.
func (p docPath) String() string {
	var b strings.Builder
	for i, step := range p {
		if i > 0 {
			b.WriteByte('/')
		}
		escape := EscapeName
		if step.list {
			escape = EscapeListName
		}
		name, _ := escape(step.key)
		b.WriteString(name)
	}
	return b.String()
}

// shortPath cuts the middle out of a long path, for messages.
func shortPath(path string) string {
	const side = 100
	if len(path) <= 2*side {
		return path
	}
	head, tail := side, len(path)-side
	for head > 0 && !utf8.RuneStart(path[head]) {
		head--
	}
	for tail < len(path) && !utf8.RuneStart(path[tail]) {
		tail++
	}
	return path[:head] + "…" + path[tail:]
}
