package check

import (
	"errors"
	"fmt"
	"math"

	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// The containers that every store has, and the first id of the others.
const (
	rootID      = 1
	metaID      = 2
	snapshotsID = 3
	orphansID   = 4
	firstFreeID = 16
	maxID       = 1 << 62 // no store gets there
)

// systemPlaces are the labels of the containers that no entry refers to.
var systemPlaces = []struct {
	id    uint64
	label string
}{{rootID, ""}, {metaID, ".pongo/meta"}, {snapshotsID, ".pongo/snapshots"}, {orphansID, "unlinked files"}}

// Source is a store file to look at.
type Source interface {
	container.Space
	container.Bounded
}

// Options modifies a check.
type Options struct {
	// Name returns the file name of a key in a container of that kind.
	Name func(kind value.Kind, key value.Value) string
	// NextID is larger than every id, 0 when it is not known.
	NextID uint64
	// InUse reports that processes have the store open: what they still need is
	// not garbage.
	InUse bool
	// Allocated says whether the allocator has an object at a ref, and
	// AllocatedObjects how many it has; nil when it is not known.
	Allocated        func(ref layout.Ref) bool
	AllocatedObjects int64
	// Stop ends the check, or the rewrite, with the error that it returns. It is
	// called now and then; nil for never.
	Stop func() error
}

// walk looks at one version of a store, from its root record to the last
// block.
type walk struct {
	src    *mended
	o      Options
	rep    *Report
	cover  *cover
	ids    idSet
	survey container.Survey
	out    *rewrite // what is read goes there as well, unless it is nil

	ref     layout.Ref // of the root record
	root    layout.Root
	records map[uint64]layout.Ref // of containers that no entry has led to yet
	rescued map[uint64]layout.Ref // of containers that the id table has lost
	found   map[uint64]bool       // containers that were visited
	stack   []visit
	pending []pending
	label   string // what stands before all paths

	readable   bool // the root record is
	lost       bool // something is
	idsWhole   bool
	containers uint64
	entries    uint64
	newest     uint64 // sequence of the newest snapshot that the version lists

	at    *place // the container being looked at
	key   value.Value
	inKey bool   // key says which entry of it
	rule  string // what is being read
}

// visit is a container that waits for its turn.
type visit struct {
	id, parent uint64
	ref        layout.Ref
	rec        container.Record
	at         *place
}

func newWalk(src *mended, o Options, rep *Report, out *rewrite) *walk {
	if o.Name == nil {
		o.Name = plainName
	}
	w := &walk{src: src, o: o, rep: rep, cover: newCover(), ids: idSet{}, out: out, found: map[uint64]bool{}}
	w.survey = container.Survey{Space: src, Admit: w.admit, Damaged: w.damaged}
	return w
}

// admit keeps what is not a sound object of this version out of the walk.
func (w *walk) admit(ref layout.Ref, obj []byte) ([]byte, error) {
	w.rep.Objects++
	w.rep.Bytes += int64(len(obj))
	if w.o.Stop != nil && w.rep.Objects%1024 == 0 {
		if err := w.o.Stop(); err != nil {
			panic(stopped{err})
		}
	}
	if w.cover.has(ref) {
		return nil, &ruleError{RuleReferrer, layout.Corrupt("object", ref, "has two referrers")}
	}
	if !layout.VerifySeal(obj) {
		if obj = w.src.mend(ref, obj); obj == nil {
			return nil, &ruleError{RuleObject, layout.Corrupt("object", ref, "checksum does not match")}
		}
		w.error(RuleObject, layout.Corrupt("object", ref, "one bit is wrong; with it put right, the checksum matches"))
	}
	switch birth := layout.ObjectBirth(obj); {
	case birth > w.root.Seq:
		return nil, &ruleError{RuleObject, layout.Corrupt("object", ref, "was born at %d, after its root of %d", birth, w.root.Seq)}
	case !w.cover.add(ref, len(obj)):
		return nil, &ruleError{RuleOverlap, layout.Corrupt("object", ref, "shares bytes with another")}
	}
	return obj, nil
}

// rootAt reads the root record of a version.
func (w *walk) rootAt(ref layout.Ref) error {
	obj, err := w.src.Object(ref, layout.KindRoot)
	if err != nil {
		return err
	}
	if len(obj) < layout.RootSize {
		return layout.Corrupt("root record", ref, "%d bytes are too few", len(obj))
	}
	w.ref, w.root.Seq = ref, math.MaxUint64 // it is born in its own version
	if obj, err = w.admit(ref, obj); err != nil {
		return err
	}
	if w.root, err = layout.DecodeRoot(obj); err != nil {
		return err
	}
	if w.root.Seq == 0 || layout.ObjectBirth(obj) != w.root.Seq {
		return layout.Corrupt("root record", ref, "has sequence %d and birth %d", w.root.Seq, layout.ObjectBirth(obj))
	}
	return nil
}

// run walks the version. It reports false when there is no way in.
func (w *walk) run(ref layout.Ref) bool {
	if err := w.rootAt(ref); err != nil {
		w.fail(RuleRoot, err)
		return false
	}
	w.readable = true
	w.records = map[uint64]layout.Ref{}
	w.rule = RuleIDTable
	w.at = &place{label: w.label + "id table"}
	w.idsWhole = w.survey.IDs(container.IDTable{Ref: w.root.IDTable, Height: w.root.IDHeight},
		func(id uint64, ref layout.Ref) { w.records[id] = ref })
	listed := uint64(len(w.records))
	if w.out != nil {
		w.out.begin(w)
	}
	ok := true
	for i := len(systemPlaces) - 1; i >= 0; i-- {
		s := systemPlaces[i]
		at := &place{label: w.label + s.label}
		if !w.enter(s.id, 0, value.KindInvalid, at) && s.id == rootID {
			ok = false
		}
	}
	w.drain()
	w.strays()
	w.forgotten()
	if w.out != nil && w.out.err == nil {
		w.out.err = w.out.finish(w)
	}
	if w.idsWhole && listed != w.root.Containers || !w.lost && w.entries != w.root.Entries {
		w.at, w.inKey = &place{label: w.label + "root record"}, false
		w.error(RuleCount, layout.Corrupt("root record", ref, "counts %d containers and %d entries, there are %d and %d",
			w.root.Containers, w.root.Entries, listed, w.entries))
	}
	if !w.lost && w.newest != w.root.Snapshot {
		w.at, w.inKey = &place{label: w.label + "root record"}, false
		w.error(RuleSnapshot, layout.Corrupt("root record", ref, "says that the newest snapshot is of sequence %d, it is of %d",
			w.root.Snapshot, w.newest))
	}
	return ok
}

// enter puts the container id on the stack, if its record can be read. kind is
// what its entry says of it, if it has one.
func (w *walk) enter(id, parent uint64, kind value.Kind, at *place) bool {
	was, wasIn := w.at, w.inKey
	w.at, w.inKey = at, false
	defer func() { w.at, w.inKey = was, wasIn }()
	if w.found[id] {
		w.fail(RuleReferrer, layout.Corrupt("container", 0, "%d has two entries, or lies in itself", id))
		return false
	}
	ref, ok := w.records[id]
	if !ok {
		if ref = w.rescue(id, parent); ref == layout.Nil {
			w.fail(RuleIDTable, layout.Corrupt("container", 0, "%d is not in the id table", id))
			return false
		}
		w.error(RuleIDTable, layout.Corrupt("container", ref, "%d is not in the id table, but its record was found", id))
	}
	w.rule = RuleRecord
	rec, err := w.survey.Record(ref)
	if err == nil && id >= maxID {
		err = layout.Corrupt("container record", ref, "id %d was never given out", id)
	}
	if err == nil && rec.ID != id {
		err = layout.Corrupt("container record", ref, "has id %d, is at %d in the id table", rec.ID, id)
	}
	delete(w.records, id)
	if err != nil {
		w.fail(RuleRecord, err)
		return false
	}
	w.found[id] = true
	if id >= firstFreeID && !w.newID(id) {
		w.error(RuleIDTable, layout.Corrupt("container record", ref, "id %d is that of another entry, or was never given out", id))
	}
	if rec.Parent != parent || kind != value.KindInvalid && rec.Kind != kind {
		w.error(RuleRecord, layout.Corrupt("container record", ref, "is a %v in container %d, its entry says %v in %d",
			rec.Kind, rec.Parent, kind, parent))
		rec.Parent = parent
	}
	if rec.Mode > 0o7777 {
		w.error(RuleRecord, layout.Corrupt("container record", ref, "mode is %#o", rec.Mode))
		rec.Mode &= 0o7777
	}
	at.kind = rec.Kind
	w.stack = append(w.stack, visit{id, parent, ref, rec, at})
	return true
}

// newID reports whether id was given out and no other entry has it.
func (w *walk) newID(id uint64) bool {
	return w.ids.add(id) && id >= firstFreeID && (w.o.NextID == 0 || id < w.o.NextID)
}

func (w *walk) drain() {
	for len(w.stack) > 0 {
		v := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		w.container(&v)
	}
}

// container checks a container and all its entries.
func (w *walk) container(v *visit) {
	w.at, w.inKey = v.at, false
	if v.rec.Kind != value.KindList && !v.rec.Names.Empty() {
		w.error(RuleRecord, layout.Corrupt("container record", v.ref, "a %v has names beside its entries", v.rec.Kind))
	}
	e := entries{walk: w, v: v}
	elements, whole := e.body(v.rec.Body)
	e.names = true
	names, namesWhole := e.body(v.rec.Names)
	w.at, w.inKey, w.rule = v.at, false, RuleXattr
	if !w.xattrs(v.rec.Xattr, v.rec.XattrSize) {
		v.rec.Xattr, v.rec.XattrSize = layout.Nil, 0
	}
	if whole && namesWhole && (elements != v.rec.Elements || e.subdirs != v.rec.Subdirs) {
		w.error(RuleCount, layout.Corrupt("container record", v.ref, "counts %d elements and %d containers, there are %d and %d",
			v.rec.Elements, v.rec.Subdirs, elements, e.subdirs))
	}
	w.containers++
	if v.id == rootID || v.id >= firstFreeID {
		w.entries += elements + names
	}
	if w.out != nil {
		w.out.container(v, &e)
	}
}

// strays looks at the containers that no entry led to. Their entries were lost
// with what held them, or the store is forged.
func (w *walk) strays() {
	if len(w.records) == 0 {
		return
	}
	order := sortedIDs(w.records)
	// Those first whose parents are not strays themselves: they lead to the others.
	for _, anyParent := range []bool{false, true} {
		for _, id := range order {
			ref, still := w.records[id]
			if !still {
				continue
			}
			parent := w.parentOf(ref)
			if _, strayToo := w.records[parent]; strayToo && !anyParent {
				continue
			}
			at := &place{label: fmt.Sprintf("%scontainer %d", w.label, id)}
			w.at, w.inKey = at, false
			w.error(RuleReferrer, layout.Corrupt("container record", ref, "has no entry that leads to it"))
			if w.out != nil {
				w.out.stray(w, id, parent, at)
			} else {
				w.enter(id, parent, value.KindInvalid, at)
			}
			w.drain()
		}
	}
}

// parentOf returns what the record at ref says of its parent, 0 when it cannot
// be read.
func (w *walk) parentOf(ref layout.Ref) uint64 {
	rec, err := container.ReadRecord(w.src, ref)
	if err != nil {
		return 0
	}
	return rec.Parent
}

// damaged reports what a survey has found.
func (w *walk) damaged(d *container.Damage) {
	rule := w.rule
	var r *ruleError
	if errors.As(d.Err, &r) {
		rule = r.rule
	}
	severity := Error
	if d.Lost {
		severity, w.lost = Lost, true
	}
	text, offset := cause(d.Err)
	f := Finding{Severity: severity, Rule: rule, Place: w.path(), Offset: offset, Cause: text}
	if d.Lost && rule != RuleXattr {
		f.Cause += w.extent(d)
		if w.rule == RuleBody {
			f.Entries = max(d.Count, 1)
		}
	}
	w.rep.Add(f)
}

// extent says which entries a damage takes away.
func (w *walk) extent(d *container.Damage) string {
	switch w.rule {
	case RuleIDTable:
		return fmt.Sprintf("; the containers with ids %d to %d are not found", d.Pos, d.Pos+max(d.Count, 1)-1)
	case RuleValue:
		return fmt.Sprintf("; bytes %d to %d of the value are lost", d.Pos, d.Pos+max(d.Count, 1)-1)
	case RuleBody:
	default:
		return ""
	}
	if w.at.kind == value.KindList && d.Lo == nil && d.Hi == nil {
		return fmt.Sprintf("; lost are the elements %d to %d", d.Pos, d.Pos+max(d.Count, 1)-1)
	}
	text := fmt.Sprintf("; lost are about %d entries", max(d.Count, 1))
	if key, err := value.DecodeKey(d.Lo); err == nil && d.Lo != nil {
		text += fmt.Sprintf(" from %q on", w.o.Name(value.KindDict, key))
	}
	if key, err := value.DecodeKey(d.Hi); err == nil && d.Hi != nil {
		text += fmt.Sprintf(" before %q", w.o.Name(value.KindDict, key))
	}
	return text
}

// path returns where the walk is.
func (w *walk) path() string {
	if w.rep.full() {
		return "" // it will not be shown
	}
	if w.inKey {
		return w.at.below(w.key).path(w.o.Name)
	}
	return w.at.path(w.o.Name)
}

func (w *walk) error(rule string, err error) { w.add(Error, rule, err) }

// fail reports that what is being looked at is lost.
func (w *walk) fail(rule string, err error) {
	w.lost = true
	w.add(Lost, rule, err)
}

func (w *walk) add(s Severity, rule string, err error) {
	var r *ruleError
	if errors.As(err, &r) {
		rule = r.rule
	}
	text, offset := cause(err)
	at := "root record"
	if w.at != nil {
		at = w.path()
	}
	f := Finding{Severity: s, Rule: rule, Place: at, Offset: offset, Cause: text}
	if s == Lost {
		f.Entries = 1
	}
	w.rep.Add(f)
}
