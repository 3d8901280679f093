package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

// nameKey returns the key that a file name in a container stands for. In a
// list + stands for the element behind the last.
func nameKey(tx *engine.Tx, parent *engine.Entry, name string) (value.Value, error) {
	var key value.Value
	var err error
	if parent.Kind == value.KindList {
		if name == encoding.AppendName {
			return value.Int(int64(parent.Len)), nil
		}
		key, err = encoding.UnescapeListName(name)
	} else {
		key, err = encoding.UnescapeName(name)
	}
	var long *encoding.LongNameError
	if !errors.As(err, &long) {
		return key, err
	}
	key = long.Key
	err = tx.Scan(parent.ID, long.After, false, func(e engine.Entry) bool {
		if long.Match(e.Key) {
			key = e.Key
			return false
		}
		return !long.Past(e.Key)
	})
	return key, err
}

// keyName returns the file name of a key in a container of that kind.
func keyName(kind value.Kind, key value.Value) string {
	var name string
	if kind == value.KindList {
		name, _ = encoding.EscapeListName(key)
	} else {
		name, _ = encoding.EscapeName(key)
	}
	return name
}

// isEscaped reports whether the name of a string key differs from it.
func isEscaped(kind value.Kind, key value.Value) bool {
	return key.Kind() == value.KindString && keyName(kind, key) != key.AsString()
}

// joinName returns the path of a member.
func joinName(path string, kind value.Kind, key value.Value) string {
	if path == "" {
		return keyName(kind, key)
	}
	return path + "/" + keyName(kind, key)
}

func joinPath(names []string) string { return strings.Join(names, "/") }

// shownName returns the last name of a path.
func shownName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// shownPath returns a path for people; the root has none.
func shownPath(path string) string {
	if path == "" {
		return "/"
	}
	return printable(path)
}

// printable returns s, quoted when it would disturb a terminal or a line.
func printable(s string) string {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// quote returns s in quotes, cut to width characters.
func quote(s string, width int) string {
	cut := false
	if len(s) > width {
		runes := 0
		for i := range s {
			if runes == width {
				s, cut = s[:i], true
				break
			}
			runes++
		}
	}
	if cut {
		return strconv.Quote(s) + "…"
	}
	return strconv.Quote(s)
}

// summary describes an entry in one line: its type, and its value or how many
// entries it has.
func summary(tx *engine.Tx, e *engine.Entry, width int) (string, error) {
	if e.IsContainer() {
		count, err := entryCount(tx, e)
		return fmt.Sprintf("%s of %s", e.Kind, plural(count, "entry", "entries")), err
	}
	kind, err := kindOf(tx, e)
	if err != nil {
		return "", err
	}
	switch {
	case e.HasImage() && (kind == value.KindString || kind == value.KindBytes):
		// No more is read than is shown.
		buf := make([]byte, min(e.Size, int64(width+1)*utf8.UTFMax))
		if _, err := tx.ReadImage(e, buf, 0); err != nil && err != io.EOF {
			return "", err
		}
		if kind == value.KindBytes {
			return fmt.Sprintf("bytes %s, %s", quote(string(buf), width), plural(uint64(e.Size), "byte", "bytes")), nil
		}
		if e.Link {
			return "link to " + quote(string(buf), width), nil
		}
		if int64(len(buf)) == e.Size && !e.NoEOL {
			buf = buf[:len(buf)-1]
		}
		return "string " + quote(string(buf), width), nil
	case kind == value.KindNull:
		return "null", nil
	}
	v, err := valueOf(tx, e)
	return fmt.Sprintf("%s %s", kind, encoding.AppendText(nil, v)), err
}

// kindOf returns the type of an entry, the guess made for one that nobody
// declared. The engine only tells a string from bytes; what text looks like is
// known to encoding.
func kindOf(tx *engine.Tx, e *engine.Entry) (value.Kind, error) {
	if e.Raw && e.Size <= encoding.MaxInferBytes {
		v, err := guess(tx, e)
		return v.Kind(), err
	}
	return tx.TypeOf(e)
}

// valueOf returns the scalar of an entry, the guess made for one that nobody
// declared.
func valueOf(tx *engine.Tx, e *engine.Entry) (value.Value, error) {
	if e.Raw && e.Size <= encoding.MaxInferBytes {
		return guess(tx, e)
	}
	return tx.Value(e)
}

func guess(tx *engine.Tx, e *engine.Entry) (value.Value, error) {
	var buf [encoding.MaxInferBytes]byte
	if _, err := tx.ReadImage(e, buf[:e.Size], 0); err != nil && err != io.EOF {
		return value.Value{}, err
	}
	v, _ := encoding.Infer(buf[:e.Size])
	return v, nil
}

// entryCount returns the number of entries of a container, which an entry from
// a short Scan lacks.
func entryCount(tx *engine.Tx, e *engine.Entry) (uint64, error) {
	full, err := tx.Stat(e.ID)
	return full.Count, err
}

// scalarText returns the file image of a scalar that is not kept as one.
func scalarText(e *engine.Entry) []byte {
	return encoding.AppendImage(nil, e.Scalar, e.NoEOL)
}

// textSize returns the size of the file of a scalar, in bytes.
func textSize(e *engine.Entry) int64 {
	if e.HasImage() {
		return e.Size
	}
	return int64(len(scalarText(e)))
}

// convertScalar gives a scalar a type, declared, through its file content.
func convertScalar(tx *engine.Tx, at *place, kind value.Kind) error {
	v, err := valueOf(tx, &at.entry)
	if err != nil {
		return err
	}
	v, noEOL, err := encoding.ConvertImage(v, at.entry.NoEOL, kind)
	if err != nil {
		return err
	}
	_, err = tx.Put(at.dir, at.key, v, engine.PutOptions{Declared: true, NoEOL: noEOL, KeepMtime: true})
	return err
}

// plural returns a number with its noun.
func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// parseSize reads a size such as 16MiB or 65536.
func parseSize(s string) (int64, error) {
	n, err := humanize.ParseBytes(s)
	if err != nil || n > 1<<62 {
		return 0, fmt.Errorf("%s: not a size, such as 16MiB", s)
	}
	return int64(n), nil
}

// newJSONEncoder writes one JSON value a line and leaves <, > and & alone.
func newJSONEncoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}
