package encoding

import (
	"fmt"

	"pongofs/engine/value"
)

// Report says what an encoded document does not keep.
type Report struct {
	// Losses has one entry for each sort of loss that occurred, in the order of
	// LossKind; none when the document is lossless.
	Losses []Loss
}

// Loss is one sort of loss.
type Loss struct {
	What  LossKind
	Count int64  // how often it occurred
	Path  string // where it occurred first, as in DocumentError
}

// String describes the loss in a sentence, for people.
func (l Loss) String() string {
	where := ""
	if l.Path != "" {
		where = ", the first at " + showPath(l.Path)
	}
	return fmt.Sprintf("%s: %d%s", l.What, l.Count, where)
}

// LossKind is a sort of loss.
type LossKind uint8

// The sorts of loss.
const (
	LossUUID         LossKind = iota + 1 // a uuid became a string
	LossDatetime                         // a datetime became a string
	LossBytes                            // bytes became a string in base64
	LossKey                              // a key that is not a string became one
	LossMemberKey                        // the key of a dict's or collection's member was left out
	LossCollection                       // a collection became a dict
	LossLink                             // a symbolic link became a string
	LossGap                              // a gap in a list became null
	LossName                             // a name beside the elements of a list was left out
	LossTextEncoding                     // a string that is not UTF-8 became bytes
	LossNaN                              // a NaN lost its bits
)

var lossNames = [...]string{
	LossUUID:         "uuids became strings",
	LossDatetime:     "datetimes became strings",
	LossBytes:        "bytes became strings in base64",
	LossKey:          "keys that are not strings became strings",
	LossMemberKey:    "keys of members were left out",
	LossCollection:   "collections became dicts",
	LossLink:         "symbolic links became strings",
	LossGap:          "gaps in lists became null",
	LossName:         "names beside the elements of lists were left out",
	LossTextEncoding: "strings that are not UTF-8 became bytes",
	LossNaN:          "NaNs lost their bits",
}

// String describes the sort of loss.
func (k LossKind) String() string {
	if k == 0 || int(k) >= len(lossNames) {
		return fmt.Sprintf("loss(%d)", uint8(k))
	}
	return lossNames[k]
}

// walker is what the encoders share: where they are and what was lost.
type walker struct {
	format Format
	path   docPath
	losses [len(lossNames)]Loss
}

// lose counts a loss at the present path.
func (w *walker) lose(what LossKind) {
	l := &w.losses[what]
	if l.Count == 0 {
		*l = Loss{What: what, Path: w.path.String()}
	}
	l.Count++
}

func (w *walker) report() Report {
	var r Report
	for _, l := range w.losses {
		if l.Count > 0 {
			r.Losses = append(r.Losses, l)
		}
	}
	return r
}

// fail makes the error for the value at the present path.
func (w *walker) fail(err error, reason string) error {
	return &DocumentError{Format: w.format, Offset: -1, Path: w.path.String(), Reason: reason, Err: err}
}

// scalar returns the value of a scalar tree.
func (w *walker) scalar(t value.Tree) (value.Value, error) {
	v, err := t.Scalar()
	if err != nil {
		return value.Value{}, w.fail(err, err.Error())
	}
	return v, nil
}

// members calls fn for each member of a dict or collection.
func (w *walker) members(t value.Tree, fn func(k value.Value, c value.Tree) error) error {
	return w.children(t, false, fn)
}

// elements calls elem for each element of a list and gap for each absent one
// before the last.
func (w *walker) elements(t value.Tree, gap func() error, elem func(c value.Tree) error) error {
	var next int64
	return w.children(t, true, func(k value.Value, c value.Tree) error {
		if k.Kind() != value.KindInt {
			w.lose(LossName)
			return nil
		}
		for ; next < k.AsInt(); next++ {
			w.path[len(w.path)-1].key = value.Int(next)
			w.lose(LossGap)
			if err := gap(); err != nil {
				return err
			}
		}
		w.path[len(w.path)-1].key = k
		next++
		return elem(c)
	})
}

// children calls fn for each child, the path leading to it.
func (w *walker) children(t value.Tree, list bool, fn func(k value.Value, c value.Tree) error) error {
	if len(w.path) >= MaxDepth {
		return w.fail(ErrTooDeep, reasonTooDeep)
	}
	w.path = append(w.path, pathStep{list: list})
	for k, c := range t.Children() {
		w.path[len(w.path)-1].key = k
		if err := fn(k, c); err != nil {
			return err
		}
	}
	w.path = w.path[:len(w.path)-1]
	if err := t.Err(); err != nil {
		return w.fail(err, err.Error())
	}
	return nil
}

// keyGuard sees that the keys of one dict or collection stay distinct in a
// format that writes some keys as others.
type keyGuard struct {
	// written holds the keys as written, but not those strings that are written
	// as they are. Strings come last in key order, so it stays empty in most
	// dicts.
	written map[value.Value]struct{}
}

// check takes the key at the present path, in key order, and what a reader of
// the format gets for it.
func (g *keyGuard) check(w *walker, k, written value.Value) error {
	if _, taken := g.written[written]; taken {
		return w.fail(ErrUnsupported, fmt.Sprintf("two keys would both be written as %q", plainText(written)))
	}
	if written != k || k.Kind() != value.KindString {
		if g.written == nil {
			g.written = map[value.Value]struct{}{}
		}
		g.written[written] = struct{}{}
	}
	return nil
}

// memberNames gives the members of one dict or collection names that are
// strings, for formats without other keys.
type memberNames struct{ guard keyGuard }

// name returns the name of the key at the present path: the text of the key,
// "null" for null, base64 for bytes.
func (m *memberNames) name(w *walker, k value.Value) (string, error) {
	if k.Kind() != value.KindString {
		w.lose(LossKey)
	}
	name := plainText(k)
	return name, m.guard.check(w, k, value.String(name))
}
