package container

import (
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// counting counts the objects that are read.
type counting struct {
	Space
	reads int
}

func (c *counting) Object(ref layout.Ref, kind layout.Kind) ([]byte, error) {
	c.reads++
	return c.Space.Object(ref, kind)
}

// difference is what Diff reports.
type difference struct {
	key      string
	pos      uint64
	old, now *Item
}

func copyOf(it *Item) *Item {
	if it == nil {
		return nil
	}
	c := clone(*it)
	return &c
}

func sameChange(a, b difference) bool {
	same := func(x, y *Item) bool { return x == nil && y == nil || x != nil && y != nil && sameItem(*x, *y) }
	return a.key == b.key && a.pos == b.pos && same(a.old, b.old) && same(a.now, b.now)
}

func checkDiff(t rapid.TB, sp Space, old, now version) {
	t.Helper()
	var got, want []difference
	err := Diff(sp, old.t, now.t, func(old, now *Item) error {
		c := difference{old: copyOf(old), now: copyOf(now)}
		if old != nil {
			c.key = string(old.Key)
		} else {
			c.key = string(now.Key)
		}
		got = append(got, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	keys := slices.Concat(slices.Collect(maps.Keys(old.want)), slices.Collect(maps.Keys(now.want)))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		a, inA := old.want[key]
		b, inB := now.want[key]
		switch {
		case inA && inB && !sameItem(a, b):
			want = append(want, difference{key: key, old: &a, now: &b})
		case inA && !inB:
			want = append(want, difference{key: key, old: &a})
		case inB && !inA:
			want = append(want, difference{key: key, now: &b})
		}
	}
	if !slices.EqualFunc(got, want, sameChange) {
		t.Fatalf("got %d changes, want %d\n%+v\n%+v", len(got), len(want), got, want)
	}
}

func TestDiffAgreesWithMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKeyedModel(t)
		item := genItem(false)
		put := func(t *rapid.T, key string) {
			it := item.Draw(t, "item")
			it.Key = []byte(key)
			k.put(t, it)
		}
		for i := range rapid.IntRange(0, 300).Draw(t, "entries") {
			k.put(t, plainItem(i+1, intKey(i-200), nil))
		}
		k.publish()
		for range rapid.IntRange(1, 4).Draw(t, "versions") {
			for range rapid.IntRange(0, 20).Draw(t, "changes") {
				key := genKey().Draw(t, "key")
				if rapid.Bool().Draw(t, "delete") {
					k.del(t, key)
				} else {
					put(t, key)
				}
			}
			k.publish()
		}
		all := append(k.old, version{})
		a := rapid.SampledFrom(all).Draw(t, "old")
		b := rapid.SampledFrom(all).Draw(t, "now")
		checkDiff(t, k.m, a, b)
	})
}

func TestDiffListAgreesWithSlices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newListModel(t)
		item := genItem(false)
		for i := range rapid.Uint64Range(0, 200).Draw(t, "elements") {
			l.set(t, i*2, plainItem(int(i)+1, nil, nil))
		}
		l.publish()
		for range rapid.IntRange(0, 10).Draw(t, "changes") {
			pos := rapid.Uint64Range(0, uint64(len(l.want))+5).Draw(t, "position")
			switch rapid.IntRange(0, 3).Draw(t, "change") {
			case 0:
				l.set(t, pos, item.Draw(t, "item"))
			case 1:
				l.gap(t, pos)
			case 2:
				l.insert(t, pos, item.Draw(t, "item"))
			case 3:
				l.del(t, pos)
			}
		}
		l.publish()
		old, now := l.old[0], l.old[1]
		if rapid.Bool().Draw(t, "back") {
			old, now = now, old
		}
		var got, want []difference
		err := DiffList(l.m, old.t, now.t, func(pos uint64, old, now *Item) error {
			got = append(got, difference{pos: pos, old: copyOf(old), now: copyOf(now)})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		at := func(v listVersion, i int) *Item {
			if i < len(v.want) {
				return v.want[i]
			}
			return nil
		}
		for i := range max(len(old.want), len(now.want)) {
			a, b := at(old, i), at(now, i)
			if (a != nil || b != nil) && (a == nil || b == nil || !sameItem(*a, *b)) {
				want = append(want, difference{pos: uint64(i), old: a, now: b})
			}
		}
		if !slices.EqualFunc(got, want, sameChange) {
			t.Fatalf("got %d changes, want %d\n%+v\n%+v", len(got), len(want), got, want)
		}
	})
}

func TestDiffReadsOnlyWhatChanged(t *testing.T) {
	a, old, keys := benchTree(t, 10_000, 10_000)
	sp := &counting{Space: a}
	now := old
	var err error
	for i, key := range keys[:3] {
		it := plainItem(i+1_000_000, key, nil)
		if i == 1 {
			now, _, err = Delete(a, now, key)
		} else {
			now, _, err = Put(a, now, &it)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	changes := 0
	count := func(old, now *Item) error { changes++; return nil }
	if err := Diff(sp, old, now, count); err != nil || changes != 3 {
		t.Fatalf("%d changes, %v", changes, err)
	}
	if sp.reads > 200 {
		t.Errorf("%d objects read for 3 changes in %d leaves", sp.reads, old.Weight)
	}
	sp.reads = 0
	if err := Diff(sp, now, now, count); err != nil || sp.reads > 0 {
		t.Errorf("%d objects read for none, %v", sp.reads, err)
	}
}

func TestDiffStopsAtAnError(t *testing.T) {
	k := newKeyedModel(t)
	for i := range 100 {
		k.put(t, plainItem(i+1, intKey(i), nil))
	}
	for _, trees := range [][2]Tree{{k.t, {}}, {{}, k.t}} {
		calls := 0
		err := Diff(k.m, trees[0], trees[1], func(_, _ *Item) error { calls++; return errFull })
		if err != errFull || calls != 1 {
			t.Errorf("%v after %d calls", err, calls)
		}
	}
}

func TestIDTableDiffAgreesWithMaps(t *testing.T) {
	genID := rapid.OneOf(rapid.Uint64Range(0, 100), rapid.Uint64Range(0, 1<<21), rapid.Uint64())
	rapid.Check(t, func(t *rapid.T) {
		x := &idModel{m: newMem(t), want: make(map[uint64]layout.Ref)}
		x.publish()
		for range 3 {
			for range rapid.IntRange(0, 30).Draw(t, "changes") {
				id := genID.Draw(t, "id")
				if len(x.want) > 0 && rapid.Bool().Draw(t, "existing") {
					id = rapid.SampledFrom(slices.Sorted(maps.Keys(x.want))).Draw(t, "one of")
				}
				x.put(t, id, layout.Ref(rapid.Uint64Range(0, 5).Draw(t, "ref"))*layout.Granule)
			}
			x.publish()
		}
		a := rapid.SampledFrom(x.old).Draw(t, "old")
		b := rapid.SampledFrom(x.old).Draw(t, "now")
		got := make(map[uint64][2]layout.Ref)
		last, first := uint64(0), true
		err := a.t.Diff(x.m, b.t, func(id uint64, old, now layout.Ref) error {
			if !first && id <= last {
				t.Fatalf("id %d after %d", id, last)
			}
			last, first = id, false
			got[id] = [2]layout.Ref{old, now}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := make(map[uint64][2]layout.Ref)
		for _, m := range []map[uint64]layout.Ref{a.want, b.want} {
			for id := range m {
				if a.want[id] != b.want[id] {
					want[id] = [2]layout.Ref{a.want[id], b.want[id]}
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestWalksOfSharedIDNodesEnd(t *testing.T) {
	m := newMem(t)
	ref := layout.Ref(32)
	for level := range uint32(maxIDHeight) {
		up, n, err := newIDNode(m, level, math.MaxUint32)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n.count() {
			n.setRef(i, ref)
		}
		ref = up
	}
	table := IDTable{ref, maxIDHeight}
	nothing := func(uint64, layout.Ref) error { return nil }
	if err := table.Walk(m, nothing); !isCorrupt(err) {
		t.Errorf("walk: %v", err)
	}
	if err := (IDTable{}).Diff(m, table, func(uint64, layout.Ref, layout.Ref) error { return nil }); !isCorrupt(err) {
		t.Errorf("diff: %v", err)
	}
	if err := VerifyIDTable(m, table); !isCorrupt(err) {
		t.Errorf("verify: %v", err)
	}
}

func TestItemEqualSeesEveryField(t *testing.T) {
	base := Item{
		Key: []byte("k"), ID: 1, Kind: value.KindString, Flags: Raw, Mode: 0o600, UID: 1, GID: 2, Mtime: 3, Wtime: 4,
		Ctime: 5, Inc: 6, Xattr: 32, XattrSize: 7, Num: 8, Inline: []byte("i"), Blob: 64, Size: 9,
	}
	if other := clone(base); !base.Equal(&other) {
		t.Error("an item differs from its copy")
	}
	for i, edit := range []func(*Item){
		func(it *Item) { it.Key = []byte("l") }, func(it *Item) { it.ID++ }, func(it *Item) { it.Kind++ },
		func(it *Item) { it.Flags++ }, func(it *Item) { it.Mode++ }, func(it *Item) { it.UID++ },
		func(it *Item) { it.GID++ }, func(it *Item) { it.Mtime++ }, func(it *Item) { it.Wtime++ },
		func(it *Item) { it.Ctime++ }, func(it *Item) { it.Inc++ }, func(it *Item) { it.Xattr++ },
		func(it *Item) { it.XattrSize++ }, func(it *Item) { it.Num++ }, func(it *Item) { it.Inline = nil },
		func(it *Item) { it.Blob++ }, func(it *Item) { it.Size++ },
	} {
		other := clone(base)
		edit(&other)
		if base.Equal(&other) {
			t.Errorf("change %d goes unnoticed", i)
		}
	}
}
