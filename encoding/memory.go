package encoding

import (
	"io"

	"pongofs/engine/value"
)

// MaxMemoryBytes is the size of the largest YAML or TOML document that is
// read, since those are built in memory, with many times their size.
const MaxMemoryBytes = 16 << 20

// memoryDecoder feeds a builder from a document that a library has built.
type memoryDecoder struct {
	format Format
	b      value.Builder
	path   docPath
}

// readAll reads a whole document.
func (d *memoryDecoder) readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxMemoryBytes+1))
	if err != nil {
		return nil, d.fail(0, err, err.Error())
	}
	if len(data) > MaxMemoryBytes {
		return nil, d.fail(0, ErrRange, "the document has more than 16 MiB; JSON and Extended JSON have no limit")
	}
	return data, nil
}

// fail makes the error for the present path; line 0 is not known.
func (d *memoryDecoder) fail(line int, err error, reason string) error {
	return &DocumentError{Format: d.format, Line: line, Offset: -1, Path: d.path.String(), Reason: reason, Err: err}
}

// built passes on the error of a call of the builder.
func (d *memoryDecoder) built(line int, err error) error {
	if err == nil {
		return nil
	}
	return d.fail(line, err, err.Error())
}

// begin begins a container and makes room for its keys in the path.
func (d *memoryDecoder) begin(line int, kind value.Kind) error {
	if len(d.path) >= MaxDepth {
		return d.fail(line, ErrTooDeep, reasonTooDeep)
	}
	if err := d.built(line, d.b.Begin(kind)); err != nil {
		return err
	}
	d.path = append(d.path, pathStep{list: kind == value.KindList})
	return nil
}

// end ends a container.
func (d *memoryDecoder) end(line int) error {
	d.path = d.path[:len(d.path)-1]
	return d.built(line, d.b.End())
}

// at says which element of a list comes next.
func (d *memoryDecoder) at(i int) { d.path[len(d.path)-1].key = value.Int(int64(i)) }

// key begins a member of a dict.
func (d *memoryDecoder) key(line int, k value.Value) error {
	d.path[len(d.path)-1].key = k
	return d.built(line, d.b.Key(k))
}
