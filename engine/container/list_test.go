package container

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pongofs/engine/value"
)

// listModel is a list beside what it must hold: nil is a gap.
type listModel struct {
	m    *mem
	t    Tree
	want []*Item
	old  []listVersion
}

type listVersion struct {
	t    Tree
	want []*Item
}

func newListModel(t rapid.TB) *listModel { return &listModel{m: newMem(t)} }

func (l *listModel) trim() {
	for len(l.want) > 0 && l.want[len(l.want)-1] == nil {
		l.want = l.want[:len(l.want)-1]
	}
}

func (l *listModel) exists(pos uint64) bool { return pos < uint64(len(l.want)) && l.want[pos] != nil }

func (l *listModel) set(t rapid.TB, pos uint64, it Item) {
	t.Helper()
	had := l.exists(pos)
	for uint64(len(l.want)) <= pos {
		l.want = append(l.want, nil)
	}
	c := clone(it)
	l.want[pos] = &c
	nt, old, err := ListSet(l.m, l.t, pos, &it)
	if err != nil || old != had {
		t.Fatalf("set %d: old is %v, error %v", pos, old, err)
	}
	l.t = nt
}

func (l *listModel) gap(t rapid.TB, pos uint64) {
	t.Helper()
	had := l.exists(pos)
	if had {
		l.want[pos] = nil
		l.trim()
	}
	nt, old, err := ListGap(l.m, l.t, pos)
	if err != nil || old != had {
		t.Fatalf("gap %d: old is %v, error %v", pos, old, err)
	}
	l.t = nt
}

func (l *listModel) insert(t rapid.TB, pos uint64, it Item) {
	t.Helper()
	c := clone(it)
	for uint64(len(l.want)) < pos {
		l.want = append(l.want, nil)
	}
	l.want = slices.Insert(l.want, int(pos), &c)
	nt, err := ListInsert(l.m, l.t, pos, &it)
	if err != nil {
		t.Fatalf("insert %d: %v", pos, err)
	}
	l.t = nt
}

func (l *listModel) del(t rapid.TB, pos uint64) {
	t.Helper()
	had := l.exists(pos)
	if pos < uint64(len(l.want)) {
		l.want = slices.Delete(l.want, int(pos), int(pos)+1)
		l.trim()
	}
	nt, old, err := ListDelete(l.m, l.t, pos)
	if err != nil || old != had {
		t.Fatalf("delete %d: old is %v, error %v", pos, old, err)
	}
	l.t = nt
}

func (l *listModel) compact(t rapid.TB) {
	t.Helper()
	l.want = slices.DeleteFunc(l.want, func(it *Item) bool { return it == nil })
	nt, err := ListCompact(l.m, l.t)
	if err != nil {
		t.Fatal(err)
	}
	l.t = nt
}

func (l *listModel) publish() {
	l.m.publish()
	l.old = append(l.old, listVersion{l.t, slices.Clone(l.want)})
}

func (l *listModel) check(t rapid.TB) {
	t.Helper()
	if err := VerifyTree(l.m, l.t, false); err != nil {
		t.Fatal(err)
	}
	l.m.check(l.t.root())
	for _, v := range append(l.old, listVersion{l.t, l.want}) {
		v.check(t, l.m)
	}
}

func (v *listVersion) check(t rapid.TB, sp Space) {
	t.Helper()
	if v.t.Count != uint64(len(v.want)) {
		t.Fatalf("count is %d, want %d", v.t.Count, len(v.want))
	}
	var c Cursor
	var it Item
	c.Open(sp, v.t)
	at := uint64(0)
	ok, err := c.First()
	for ; ok && err == nil; ok, err = c.Next() {
		if err := c.Item(&it); err != nil {
			t.Fatal(err)
		}
		if c.Pos() != at {
			t.Fatalf("position is %d, want %d", c.Pos(), at)
		}
		if it.Kind != KindGap {
			if want := v.want[at]; want == nil || !sameItem(it, *want) {
				t.Fatalf("element %d is %+v, want %+v", at, it, want)
			}
			at++
			continue
		}
		for range it.Size {
			if v.want[at] != nil {
				t.Fatalf("element %d is missing", at)
			}
			at++
		}
	}
	if err != nil || at != uint64(len(v.want)) {
		t.Fatalf("walk ended at %d of %d: %v", at, len(v.want), err)
	}
	if v.t.Empty() {
		return
	}
	for ok, err = c.Prev(); ok && err == nil; ok, err = c.Prev() {
		if err := c.Item(&it); err != nil {
			t.Fatal(err)
		}
		at--
		if it.Kind == KindGap {
			at -= it.Size - 1
		}
		if c.Pos() != at {
			t.Fatalf("backwards position is %d, want %d", c.Pos(), at)
		}
	}
	if err != nil || at != 0 {
		t.Fatalf("backwards walk ended at %d: %v", at, err)
	}
}

func (l *listModel) checkLookup(t rapid.TB, pos uint64) {
	t.Helper()
	it, found, err := ListGet(l.m, l.t, pos)
	if err != nil || found != l.exists(pos) || found && !sameItem(it, *l.want[pos]) {
		t.Fatalf("get %d: %v, %v", pos, found, err)
	}
	var c Cursor
	c.Open(l.m, l.t)
	ok, err := c.SeekRank(pos)
	if err != nil || ok != (pos < uint64(len(l.want))) {
		t.Fatalf("seek %d: %v, %v", pos, ok, err)
	}
	if !ok {
		return
	}
	if c.Pos() != pos {
		t.Fatalf("seek %d stands at %d", pos, c.Pos())
	}
	first, last := pos, pos // of the item
	if l.want[pos] == nil {
		if err := c.Item(&it); err != nil || it.Kind != KindGap {
			t.Fatalf("at %d there is %+v, %v", pos, it, err)
		}
		first = c.Pos() - c.within
		last = first + it.Size - 1
	}
	ok, err = c.Next()
	if err != nil || ok != (last+1 < uint64(len(l.want))) || ok && c.Pos() != last+1 {
		t.Fatalf("next of %d: %v at %d, want %d", pos, ok, c.Pos(), last+1)
	}
	if ok, err = c.Prev(); err != nil || !ok || c.Pos() != first {
		t.Fatalf("back to %d: %v at %d, want %d", pos, ok, c.Pos(), first)
	}
}

func TestListAgreesWithSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newListModel(t)
		item := genItem(false)
		pos := func(t *rapid.T) uint64 {
			end := uint64(len(l.want))
			return rapid.OneOf(
				rapid.Uint64Range(0, max(end, 1)-1),
				rapid.Uint64Range(max(end, 3)-3, end+3),
				rapid.Uint64Range(0, end+300),
			).Draw(t, "position")
		}
		t.Repeat(map[string]func(*rapid.T){
			"set":    func(t *rapid.T) { l.set(t, pos(t), item.Draw(t, "item")) },
			"gap":    func(t *rapid.T) { l.gap(t, pos(t)) },
			"insert": func(t *rapid.T) { l.insert(t, pos(t), item.Draw(t, "item")) },
			"delete": func(t *rapid.T) { l.del(t, pos(t)) },
			"append many": func(t *rapid.T) {
				it := item.Draw(t, "item")
				for range rapid.IntRange(1, 80).Draw(t, "number") {
					it.ID++
					l.set(t, uint64(len(l.want)), it)
				}
			},
			"insert many": func(t *rapid.T) {
				it := item.Draw(t, "item")
				at, step := rapid.Uint64Range(0, uint64(len(l.want))).Draw(t, "at"), rapid.Uint64Range(0, 1).Draw(t, "step")
				for range rapid.IntRange(1, 40).Draw(t, "number") {
					l.insert(t, at, it)
					at += step
				}
			},
			"gap many": func(t *rapid.T) {
				from, step := pos(t), rapid.Uint64Range(1, 3).Draw(t, "step")
				for i := range rapid.Uint64Range(1, 60).Draw(t, "number") {
					l.gap(t, from+i*step)
				}
			},
			"delete many": func(t *rapid.T) {
				from := pos(t)
				for range rapid.Uint64Range(1, 60).Draw(t, "number") {
					l.del(t, from)
				}
			},
			"copy an element": func(t *rapid.T) {
				it, found, err := ListGet(l.m, l.t, pos(t))
				if err != nil {
					t.Fatal(err)
				}
				if found { // aliases the leaf
					l.insert(t, pos(t), it)
				}
			},
			"compact": func(t *rapid.T) { l.compact(t) },
			"publish": func(*rapid.T) { l.publish() },
			"look up": func(t *rapid.T) { l.checkLookup(t, pos(t)) },
			"":        func(t *rapid.T) {},
		})
		l.check(t)
		if err := FreeTree(l.m, l.t, nil); err != nil {
			t.Fatal(err)
		}
		l.m.check()
	})
}

func TestListGapsInAnyOrderLeaveNothing(t *testing.T) {
	const n = 2000
	for _, o := range orders {
		t.Run(o.name, func(t *testing.T) {
			l := newListModel(t)
			for i := range n {
				l.set(t, uint64(i), plainItem(i+1, nil, []byte("element")))
			}
			l.publish()
			for i := range 2 * n {
				l.gap(t, uint64(o.key(i%n, n)))
				if i%500 == 0 {
					l.check(t)
				}
			}
			for len(l.want) > 0 {
				l.gap(t, uint64(len(l.want)-1))
			}
			l.check(t)
			if l.t != (Tree{}) {
				t.Fatalf("tree is %+v", l.t)
			}
		})
	}
}

func TestListRestoredInAnyOrder(t *testing.T) {
	const n = 2000
	for _, o := range orders {
		t.Run(o.name, func(t *testing.T) {
			l := newListModel(t)
			for i := range n {
				l.set(t, uint64(o.key(i, n)), plainItem(i+1, nil, []byte("element")))
				if i%100 == 0 {
					l.m.publish()
				}
			}
			l.check(t)
		})
	}
}

func TestListLimits(t *testing.T) {
	m := newMem(t)
	it := Item{Kind: value.KindNull, Mode: 0o644}
	tree, _, err := ListSet(m, Tree{}, MaxListLen-1, &it)
	if err != nil || tree.Count != MaxListLen || tree.Weight != 1 {
		t.Fatalf("%+v, %v", tree, err)
	}
	if _, _, err := ListSet(m, tree, MaxListLen, &it); !errors.Is(err, ErrRange) {
		t.Errorf("set beyond the limit: %v", err)
	}
	if _, err := ListInsert(m, tree, 0, &it); !errors.Is(err, ErrRange) {
		t.Errorf("insert beyond the limit: %v", err)
	}
	if _, found, err := ListGet(m, tree, MaxListLen-2); found || err != nil {
		t.Errorf("gap is %v, %v", found, err)
	}
	if err := VerifyTree(m, tree, false); err != nil {
		t.Error(err)
	}
	if tree, err = ListCompact(m, tree); err != nil || tree.Count != 1 {
		t.Errorf("compact: %+v, %v", tree, err)
	}
	m.check(tree.root())
}
