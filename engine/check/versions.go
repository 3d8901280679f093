package check

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

const (
	// maxVisits bounds the objects of all versions together, as a multiple of
	// those that the file has room for: a forged store may list any number of
	// snapshots.
	maxVisits = 256
	// maxVersions bounds the snapshots that are looked at.
	maxVersions = 1 << 16
)

// Version checks the version whose root record is at ref, and the snapshots
// that it lists, and adds what it finds to rep. An error means that it did not
// get to the end.
//
// Preconditions: the version is pinned, or nobody writes to the store.
func Version(src Source, ref layout.Ref, o Options, rep *Report) error {
	v := versions{src: newMended(src), o: o, rep: rep}
	err := safely(func() error {
		v.run(ref)
		v.allocated()
		return nil
	})
	if errors.Is(err, layout.ErrCorrupt) {
		text, _ := cause(err)
		rep.Add(Finding{Severity: Lost, Rule: RuleLength, Place: "file", Cause: text})
		err = nil
	}
	return err
}

// versions is a version and the snapshots in it.
type versions struct {
	src *mended
	o   Options
	rep *Report
	out *rewrite // nil unless it is written anew

	newest *walk
	live   *cover // the objects of all versions, when they are compared with what is allocated
	count  int64
}

// version is one of them.
type version struct {
	ref  layout.Ref
	seq  uint64
	name string // of the snapshot, "" for the newest version
}

// run walks all versions. A version is born after the snapshots that it lists,
// so in a rewrite the older ones come first.
func (v *versions) run(ref layout.Ref) {
	all := v.find(ref)
	if v.out != nil {
		slices.SortStableFunc(all[1:], func(a, b version) int { return cmp.Compare(a.seq, b.seq) })
		all = append(all[1:], all[0])
	}
	budget := maxVisits * int64(v.src.Limit()/64)
	for i := range all {
		at := &all[i]
		if at.name != "" && v.rep.Objects > budget {
			v.rep.Notef(RuleSnapshot, ".pongo/snapshots", "%d snapshots were not checked: they are more than can be", len(all)-i)
			if v.out == nil {
				break
			}
			continue
		}
		w := newWalk(v.src, v.o, v.rep, v.out)
		if at.name != "" {
			w.label = at.name + "/"
		}
		w.run(at.ref)
		v.rep.Versions++
		v.collect(w)
		if at.name == "" {
			v.newest = w
			v.rep.Readable = w.readable
			v.rep.Seq, v.rep.Containers, v.rep.Entries = w.root.Seq, w.containers, w.entries
		}
	}
}

// collect remembers the objects of a version.
func (v *versions) collect(w *walk) {
	if v.o.Allocated == nil {
		return
	}
	if v.live == nil {
		v.live = newCover()
	}
	w.cover.each(func(ref layout.Ref) {
		if !v.live.has(ref) {
			v.live.add(ref, layout.Granule)
			v.count++
		}
	})
}

// allocated compares what is reachable with what is allocated. What is
// reachable must be allocated at any time; the opposite holds when nobody has
// the store open, apart from what killed processes have left.
func (v *versions) allocated() {
	if v.live == nil {
		return
	}
	missing, first := 0, layout.Nil
	v.live.each(func(ref layout.Ref) {
		if !v.o.Allocated(ref) {
			missing++
			first = ref
		}
	})
	if missing > 0 {
		v.rep.Add(Finding{
			Severity: Error, Rule: RuleAllocation, Place: "allocator", Offset: uint64(first),
			Cause: fmt.Sprintf("%d objects are in use but not allocated, and may be overwritten", missing),
		})
	}
	if extra := v.o.AllocatedObjects - v.count; !v.o.InUse && extra > 0 && v.rep.LostParts == 0 {
		v.rep.Notef(RuleAllocation, "allocator", "%d allocated objects are not in use", extra)
	}
}

// find returns the version at ref and all that it lists, directly or through
// others. What cannot be read it leaves out: the walk reports it.
func (v *versions) find(ref layout.Ref) []version {
	all := []version{{ref: ref}}
	src := newMended(v.src.Source) // what is put right here is reported by the walk
	seen := map[layout.Ref]bool{ref: true}
	for i := 0; i < len(all) && len(all) < maxVersions; i++ {
		w := newWalk(src, v.o, &Report{Limit: 1}, nil)
		if w.rootAt(all[i].ref) != nil {
			continue
		}
		all[i].seq = w.root.Seq
		at, err := container.IDTable{Ref: w.root.IDTable, Height: w.root.IDHeight}.Get(src, snapshotsID)
		if err != nil || at == layout.Nil {
			continue
		}
		w.at = &place{}
		rec, err := w.survey.Record(at)
		if err != nil || rec.Body.Empty() {
			continue
		}
		_, _ = w.survey.Body(rec.Body, true, func(_ layout.Ref, _ uint64, items []container.Item) error {
			for i := range items {
				it := &items[i]
				if it.Kind != container.KindRootRef || it.Blob == layout.Nil || seen[it.Blob] || len(all) >= maxVersions {
					continue
				}
				key, err := value.DecodeKey(it.Key)
				if err != nil {
					continue
				}
				seen[it.Blob] = true
				all = append(all, version{ref: it.Blob, name: ".pongo/snapshots/" + w.o.Name(value.KindDict, key)})
			}
			return nil
		})
	}
	return all
}
