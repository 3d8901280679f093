package encoding

import (
	"strconv"
	"strings"
	"unicode"
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

// showPath returns a path for a message: quoted if it could upset a terminal,
// and without its middle if it is long.
func showPath(path string) string {
	const side = 100
	if len(path) > 2*side {
		head, tail := side, len(path)-side
		for head > 0 && !utf8.RuneStart(path[head]) {
			head--
		}
		for tail < len(path) && !utf8.RuneStart(path[tail]) {
			tail++
		}
		path = path[:head] + "…" + path[tail:]
	}
	for _, r := range path {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return strconv.Quote(path)
		}
	}
	return path
}
