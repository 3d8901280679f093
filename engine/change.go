package engine

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// ChangeKind says what happened to an entry between two versions.
type ChangeKind uint8

const (
	// ChangeAdd is an entry that only the newer version has.
	ChangeAdd ChangeKind = iota + 1
	// ChangeRemove is an entry that only the older version has.
	ChangeRemove
	// ChangeValue is another value or type under the same key. A container is
	// changed when it has become one of another kind, which keeps its members, not
	// when they change.
	ChangeValue
	// ChangeAttr is a change of nothing but attributes: mode, owner, times,
	// extended attributes, the declaration of a type that stays the same.
	ChangeAttr
	// ChangeMove is an entry, with all that it holds, that has another place.
	ChangeMove
)

// String returns add, remove, change, attr or move.
func (k ChangeKind) String() string {
	switch k {
	case ChangeAdd:
		return "add"
	case ChangeRemove:
		return "remove"
	case ChangeValue:
		return "change"
	case ChangeAttr:
		return "attr"
	case ChangeMove:
		return "move"
	}
	return fmt.Sprintf("ChangeKind(%d)", uint8(k))
}

// Step is one step of the way to an entry: a key, and the kind of the container
// that has it. The file name of a key depends on whether that is a list.
type Step struct {
	In  value.Kind
	Key value.Value
}

// Change is one entry that differs between two versions.
type Change struct {
	Kind ChangeKind
	// Path leads to the entry in the newer version; to one that was removed, in
	// the older version. It begins where the comparison does.
	Path []Step
	// From is the path in the older version of an entry that was moved.
	From []Step
	// Old and Now are the entry in the two versions, nil where it is not. They
	// may have different ids when one value replaced another.
	Old, Now *Entry
}

// Old returns the look at the older version.
func (d *Differ) Old() *Tx { return d.old }

// Now returns the look at the newer version.
func (d *Differ) Now() *Tx { return d.now }

// Changes returns all that differs below the roots of the two versions.
//
// First come removals, members before their container, then all else in the
// order of the newer version, containers before their members. Every entry that
// was added or removed is listed, also those in a container that was added or
// removed as a whole. What was moved is one change, and below it only what
// changed besides. As an entry keeps its id when it is moved, a move is never
// guessed. One entry may have a move and a change of its value.
//
// The changes are one step, and their order is no recipe: two entries that
// changed places are two moves.
//
// Its memory is some hundred bytes for each change.
func (d *Differ) Changes() iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		old, err := d.old.Stat(RootID)
		if err != nil {
			yield(Change{}, err)
			return
		}
		now, err := d.now.Stat(RootID)
		if err != nil {
			yield(Change{}, err)
			return
		}
		d.ChangesBelow(&old, &now)(yield)
	}
}

// ChangesBelow is Changes of one entry and what is below it: old is the entry
// that some path leads to in the older version, now the one that it leads to
// in the newer, nil where there is none. What was moved between these and the
// rest of the store is added or removed.
func (d *Differ) ChangesBelow(old, now *Entry) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		w := changeWalk{d: d, tops: [2]*Entry{old, now}}
		for side, e := range w.tops {
			w.found[side] = map[ID]*finding{}
			w.inside[side] = map[ID]bool{}
			w.walked[side] = map[ID]bool{}
			if e != nil && e.IsContainer() {
				w.top[side] = e.ID
			}
		}
		if err := w.visit(nil, old, now); err != nil {
			yield(Change{}, err)
			return
		}
		if err := w.report(func(c Change) bool { return yield(c, nil) }); err != nil && !errors.Is(err, errEnough) {
			yield(Change{}, err)
		}
	}
}

// errEnough ends a report whose reader wants no more.
var errEnough = errors.New("enough")

// The two sides of a comparison.
const (
	sideOld = 0
	sideNow = 1
)

// way leads to an entry from where the walk came from, up to nil, where the
// comparison begins. Ways through the same containers share their beginnings.
type way struct {
	up  *way
	dir ID // of the container
	Step
}

// finding is an entry that one version has at a place where the other has
// none, or another one.
type finding struct {
	at        *way
	id        ID
	container bool
	// replaces is what the older version has at the place.
	replaces *finding
	// merged says that it is reported as the old value of what replaces it.
	merged bool
}

// event is what happens to one entry of the newer version.
type event struct {
	kind ChangeKind // ChangeAdd stands for a move as well
	now  *finding
}

// changeWalk finds the changes between two versions. First it walks what
// differs and notes where entries have come and gone, then it knows which of
// them are moves and reports. Notes are small: entries are read again.
type changeWalk struct {
	d      *Differ
	tops   [2]*Entry          // what the comparison is of
	top    [2]ID              // the container that it is, if any
	inside [2]map[ID]bool     // whether a container lies below it, as far as known
	found  [2]map[ID]*finding // entries without a counterpart at their place
	walked [2]map[ID]bool     // containers whose members were all noted
	gone   []*finding         // in the order of the report
	events []event
}

func (w *changeWalk) tx(side int) *Tx { return [2]*Tx{w.d.old, w.d.now}[side] }

// visit compares what the two versions have at one place.
func (w *changeWalk) visit(at *way, old, now *Entry) error {
	if old != nil && now != nil && old.ID == now.ID {
		if kind := entryChange(old, now); kind != 0 {
			w.events = append(w.events, event{kind, w.note(at, now)})
		}
		return w.inner(at, old, now)
	}
	var before *finding
	if old != nil {
		before = w.note(at, old)
		if err := w.lose(before, old); err != nil {
			return err
		}
	}
	if now == nil {
		return nil
	}
	f := w.note(at, now)
	f.replaces = before
	return w.gain(f, now)
}

func (w *changeWalk) note(at *way, e *Entry) *finding {
	return &finding{at: at, id: e.ID, container: e.IsContainer()}
}

// entryChange says how an entry has changed, 0 for not at all.
func entryChange(old, now *Entry) ChangeKind {
	switch {
	case !old.SameValue(now):
		return ChangeValue
	case old.Attr != now.Attr || old.Declared != now.Declared: // any change has its ctime
		return ChangeAttr
	}
	return 0
}

// SameValue reports whether two entries are known to have the same value and
// type without reading it: of two versions of an entry it is false only if the
// value was written in between. All containers of one kind are the same.
func (e *Entry) SameValue(o *Entry) bool {
	if e.Kind != o.Kind || e.IsContainer() {
		return e.Kind == o.Kind
	}
	a, b := &e.item, &o.item
	if e.HasImage() {
		return e.Raw == o.Raw && e.Link == o.Link && a.Size == b.Size && a.Blob == b.Blob && bytes.Equal(a.Inline, b.Inline)
	}
	return e.NoEOL == o.NoEOL && a.Num == b.Num && (e.Kind != value.KindUUID || e.Scalar == o.Scalar)
}

// inner compares the members of an entry that both versions have.
func (w *changeWalk) inner(at *way, old, now *Entry) error {
	switch {
	case !old.IsContainer() || !now.IsContainer():
		return nil
	case (old.Kind == value.KindList) != (now.Kind == value.KindList):
		// Its elements have other keys: they are found again by their ids.
		if err := w.members(sideOld, at, old, w.lose); err != nil {
			return err
		}
		return w.members(sideNow, at, now, w.gain)
	case !w.d.Touched(old.ID):
		return nil
	}
	if err := w.enter(sideNow, old.ID); err != nil {
		return err
	}
	return w.d.Members(old.ID, func(x, y *Entry) error {
		e := y
		if e == nil {
			e = x
		}
		return w.visit(&way{at, old.ID, Step{now.Kind, e.Key}}, x, y)
	})
}

// enter refuses to walk a container twice: a damaged store may have circles.
func (w *changeWalk) enter(side int, id ID) error {
	if w.walked[side][id] {
		return layout.Corrupt("container", 0, "%d is in two places", id)
	}
	w.walked[side][id] = true
	return nil
}

// members calls fn for all members of a container.
func (w *changeWalk) members(side int, at *way, dir *Entry, fn func(*finding, *Entry) error) error {
	if err := w.enter(side, dir.ID); err != nil {
		return err
	}
	const batch = 256
	var all []Entry
	for after := (value.Value{}); ; after = all[len(all)-1].Key {
		all = all[:0]
		err := w.tx(side).Scan(dir.ID, after, false, func(e Entry) bool {
			all = append(all, e)
			return len(all) < batch
		})
		if err != nil {
			return err
		}
		for i := range all {
			e := &all[i]
			if err := fn(w.note(&way{at, dir.ID, Step{dir.Kind, e.Key}}, e), e); err != nil {
				return err
			}
		}
		if len(all) < batch {
			return nil
		}
	}
}

// lose notes an entry that is not at its place any more, and its members if it
// is nowhere else.
func (w *changeWalk) lose(f *finding, e *Entry) error {
	if e.IsContainer() {
		elsewhere, err := w.isInside(sideNow, e.ID)
		if err != nil {
			return err
		}
		if !elsewhere {
			if err := w.members(sideOld, f.at, e, w.lose); err != nil {
				return err
			}
		}
	}
	w.found[sideOld][f.id] = f
	w.gone = append(w.gone, f)
	return nil
}

// gain notes an entry that was not at its place, and its members if it was
// nowhere else. What was moved is compared with what it was.
func (w *changeWalk) gain(f *finding, e *Entry) error {
	w.found[sideNow][f.id] = f
	w.events = append(w.events, event{ChangeAdd, f})
	if !e.IsContainer() {
		return nil
	}
	elsewhere, err := w.isInside(sideOld, e.ID)
	if err != nil {
		return err
	}
	if !elsewhere {
		return w.members(sideNow, f.at, e, w.gain)
	}
	was, err := w.d.old.Stat(e.ID)
	if err != nil {
		return err
	}
	return w.inner(f.at, &was, e)
}

// isInside reports whether a version has a container, at the top of the
// comparison or below.
func (w *changeWalk) isInside(side int, id ID) (bool, error) {
	var passed []ID
	inside, known := false, false
	for id != NoID && !known {
		if id == w.top[side] {
			inside = true
			break
		}
		if inside, known = w.inside[side][id]; known {
			break
		}
		w.inside[side][id] = false // ends a circle
		passed = append(passed, id)
		e, err := w.tx(side).Stat(id)
		if errors.Is(err, ErrNotFound) {
			break
		}
		if err != nil {
			return false, err
		}
		id = e.Parent
	}
	for _, id := range passed {
		w.inside[side][id] = inside
	}
	return inside, nil
}

// report reads what was noted again and hands it over; errEnough when yield
// wants no more.
func (w *changeWalk) report(yield func(Change) bool) error {
	for _, ev := range w.events {
		// A value that took the place of another one is a change of it, unless
		// one of them has moved.
		f := ev.now
		if r := f.replaces; r != nil && !f.container && !r.container &&
			w.found[sideOld][f.id] == nil && w.found[sideNow][r.id] == nil {
			r.merged = true
		}
	}
	for _, f := range w.gone {
		if f.merged || w.found[sideNow][f.id] != nil {
			continue
		}
		e, err := w.read(sideOld, f)
		if err != nil {
			return err
		}
		if !yield(Change{Kind: ChangeRemove, Path: w.path(sideOld, f.at), Old: e}) {
			return errEnough
		}
	}
	for _, ev := range w.events {
		if err := w.reportEvent(ev, yield); err != nil {
			return err
		}
	}
	return nil
}

func (w *changeWalk) reportEvent(ev event, yield func(Change) bool) (err error) {
	f := ev.now
	c := Change{Kind: ev.kind, Path: w.path(sideNow, f.at)}
	if c.Now, err = w.read(sideNow, f); err != nil {
		return err
	}
	was := f // an entry that stayed has the same place in both
	if ev.kind == ChangeAdd {
		was = w.found[sideOld][f.id]
	}
	switch {
	case was == nil && f.replaces != nil && f.replaces.merged:
		c.Kind, was = ChangeValue, f.replaces
	case was == nil:
		if !yield(c) {
			return errEnough
		}
		return nil
	case ev.kind == ChangeAdd:
		c.Kind = ChangeMove
	}
	if c.Old, err = w.read(sideOld, was); err != nil {
		return err
	}
	if c.Kind != ChangeMove {
		if !yield(c) {
			return errEnough
		}
		return nil
	}
	if !sameName(was.at, f.at) {
		c.From = w.path(sideOld, was.at)
		if !yield(c) {
			return errEnough
		}
		c.From = nil
	}
	if c.Kind = entryChange(c.Old, c.Now); c.Kind != 0 && !yield(c) {
		return errEnough
	}
	return nil
}

// sameName reports whether two places are the same one in a container, which
// may have become a list or stopped being one: that keeps the file names.
func sameName(a, b *way) bool {
	if a == nil || b == nil || a.dir != b.dir {
		return a == b
	}
	digits := func(w *way) value.Value {
		if w.In == value.KindList && w.Key.Kind() == value.KindInt {
			return value.String(strconv.FormatInt(w.Key.AsInt(), 10))
		}
		return w.Key
	}
	return digits(a) == digits(b)
}

// path returns the path of a place in one version: containers on the way may
// have been moved.
func (w *changeWalk) path(side int, at *way) []Step {
	var all []Step
	moves := 0
	for at != nil {
		all = append(all, at.Step)
		f := w.found[side][at.dir]
		if moves++; f == nil || moves > len(w.walked[sideOld])+len(w.walked[sideNow]) { // circles of a damaged store
			at = at.up
			continue
		}
		at = f.at
	}
	slices.Reverse(all)
	return all
}

// read reads a noted entry.
func (w *changeWalk) read(side int, f *finding) (*Entry, error) {
	if f.at == nil {
		return w.tops[side], nil
	}
	e, err := w.tx(side).Lookup(f.at.dir, f.at.Key)
	return &e, err
}
