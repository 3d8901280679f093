package container

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// keyedModel is a body beside what it must hold.
type keyedModel struct {
	m    *mem
	t    Tree
	want map[string]Item
	old  []version // published versions
}

type version struct {
	t    Tree
	want map[string]Item
}

func newKeyedModel(t rapid.TB) *keyedModel {
	return &keyedModel{m: newMem(t), want: make(map[string]Item)}
}

func (k *keyedModel) put(t rapid.TB, it Item) {
	t.Helper()
	_, exists := k.want[string(it.Key)]
	k.want[string(it.Key)] = clone(it)
	nt, replaced, err := Put(k.m, k.t, &it)
	if err != nil || replaced != exists {
		t.Fatalf("put %q: replaced is %v, error %v", it.Key, replaced, err)
	}
	k.t = nt
}

func (k *keyedModel) del(t rapid.TB, key string) {
	t.Helper()
	_, exists := k.want[key]
	delete(k.want, key)
	nt, found, err := Delete(k.m, k.t, []byte(key))
	if err != nil || found != exists {
		t.Fatalf("delete %q: found is %v, error %v", key, found, err)
	}
	k.t = nt
}

// editAhead puts or deletes items of the keys in their order, through one
// cursor.
func (k *keyedModel) editAhead(rt *rapid.T, keys []string, items *rapid.Generator[Item]) {
	slices.Sort(keys)
	it := items.Draw(rt, "item")
	var c Cursor
	c.Open(k.m, k.t)
	for i, key := range keys {
		before := 0
		for other := range k.want {
			if other < key {
				before++
			}
		}
		_, exists := k.want[key]
		found, err := c.FindAhead([]byte(key))
		if err != nil || found != exists || c.Pos() != uint64(before) {
			rt.Fatalf("find ahead %q: %v, %v, at %d; want %v at %d", key, found, err, c.Pos(), exists, before)
		}
		switch what := rapid.IntRange(0, 3).Draw(rt, "what"); {
		case what == 0 && found:
			delete(k.want, key)
			k.t, err = c.Delete(k.m)
		case what == 1:
			// Nothing: the next search begins here all the same.
		default:
			it.Key = []byte(key)
			it.ID += uint64(i)
			k.want[key] = clone(it)
			k.t, err = c.Put(k.m, &it)
		}
		if err != nil || k.t != c.Tree() {
			rt.Fatal(err)
		}
	}
}

func (k *keyedModel) publish() {
	k.m.publish()
	k.old = append(k.old, version{k.t, maps.Clone(k.want)})
}

// check compares everything with the model.
func (k *keyedModel) check(t rapid.TB) {
	t.Helper()
	if err := VerifyTree(k.m, k.t, true); err != nil {
		t.Fatal(err)
	}
	k.m.check(k.t.root())
	for _, v := range append(k.old, version{k.t, k.want}) {
		v.check(t, k.m)
	}
}

func (v *version) check(t rapid.TB, sp Space) {
	t.Helper()
	if v.t.Count != uint64(len(v.want)) {
		t.Fatalf("count is %d, want %d", v.t.Count, len(v.want))
	}
	var keys []string
	err := Walk(sp, v.t, func(it *Item) (bool, error) {
		if want := v.want[string(it.Key)]; !sameItem(*it, want) {
			t.Fatalf("got %+v\nwant %+v", *it, want)
		}
		keys = append(keys, string(it.Key))
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(keys, slices.Sorted(maps.Keys(v.want))) {
		t.Fatalf("keys are %q", keys)
	}
}

// checkLookup compares what can be asked about one key.
func (k *keyedModel) checkLookup(t rapid.TB, key string) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(k.want))
	rank, exists := slices.BinarySearch(keys, key)
	it, found, err := Get(k.m, k.t, []byte(key))
	if err != nil || found != exists || exists && !sameItem(it, k.want[key]) {
		t.Fatalf("get %q: %v, %v", key, found, err)
	}
	n, found, err := Rank(k.m, k.t, []byte(key))
	if err != nil || found != exists || n != uint64(rank) {
		t.Fatalf("rank of %q: %d, %v, %v; want %d", key, n, found, err, rank)
	}
	it, found, err = At(k.m, k.t, uint64(rank))
	if err != nil || found != (rank < len(keys)) || found && string(it.Key) != keys[rank] {
		t.Fatalf("item %d is %q, %v, %v", rank, it.Key, found, err)
	}
	var c Cursor
	c.Open(k.m, k.t)
	stands := func(what string, ok bool, err error, rank int) {
		t.Helper()
		if err != nil || ok != (rank >= 0 && rank < len(keys)) {
			t.Fatalf("%s %q: %v, %v; rank %d of %d", what, key, ok, err, rank, len(keys))
		}
		if !ok {
			return
		}
		got, err := c.Key()
		if err != nil || string(got) != keys[rank] || c.Pos() != uint64(rank) {
			t.Fatalf("%s %q: at %q, position %d, want %d", what, key, got, c.Pos(), rank)
		}
	}
	ok, err := c.Seek([]byte(key))
	stands("seek", ok, err, rank)
	if ok {
		ok, err = c.Next()
		stands("next of", ok, err, rank+1)
		ok, err = c.Prev()
		stands("back to", ok, err, rank)
		ok, err = c.Prev()
		stands("before", ok, err, rank-1)
		ok, err = c.Next()
		stands("again", ok, err, rank)
	}
	after := rank
	if exists {
		after++
	}
	ok, err = c.SeekAfter([]byte(key))
	stands("seek after", ok, err, after)
	ok, err = c.SeekRank(uint64(rank))
	stands("seek rank", ok, err, rank)
	ok, err = c.Last()
	stands("last", ok, err, len(keys)-1)
}

// genKey draws an encoded key: often one of few, sometimes long.
func genKey() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		k := value.Int(rapid.Int64Range(-500, 500).Draw(t, "int"))
		switch rapid.IntRange(0, 9).Draw(t, "form") {
		case 0, 1:
			k = value.String(rapid.StringN(0, 20, 40).Draw(t, "string"))
		case 2:
			n := rapid.IntRange(0, MaxKeyBytes-1).Draw(t, "length")
			k = value.Bytes(bytes.Repeat([]byte{byte(n % 3)}, n))
		}
		return string(value.AppendKey(nil, k))
	})
}

func TestKeyedAgreesWithMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k := newKeyedModel(rt)
		id := uint64(0)
		item := genItem(false)
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				it := item.Draw(rt, "item")
				it.Key = []byte(genKey().Draw(rt, "key"))
				k.put(rt, it)
			},
			"put many": func(rt *rapid.T) {
				from, step := rapid.Int64Range(-500, 500).Draw(rt, "from"), rapid.Int64Range(-3, 3).Draw(rt, "step")
				it := item.Draw(rt, "item")
				for i := range rapid.Int64Range(1, 60).Draw(rt, "number") {
					id++
					it.ID = id
					it.Key = value.AppendKey(nil, value.Int(from+i*step))
					k.put(rt, it)
				}
			},
			"delete": func(rt *rapid.T) {
				k.del(rt, genKey().Draw(rt, "key"))
			},
			"delete many": func(rt *rapid.T) {
				keys := slices.Sorted(maps.Keys(k.want))
				from := rapid.IntRange(0, len(keys)).Draw(rt, "from")
				to := rapid.IntRange(from, len(keys)).Draw(rt, "to")
				for _, key := range keys[from:to] {
					k.del(rt, key)
				}
			},
			"change": func(rt *rapid.T) {
				if k.t.Empty() {
					rt.Skip("empty")
				}
				var c Cursor
				c.Open(k.m, k.t)
				if _, err := c.SeekRank(rapid.Uint64Range(0, k.t.Count-1).Draw(rt, "rank")); err != nil {
					rt.Fatal(err)
				}
				// The item aliases the leaf that Put may change in place.
				var it Item
				if err := c.Item(&it); err != nil {
					rt.Fatal(err)
				}
				it.Mtime += rapid.Int64().Draw(rt, "later")
				it.UID++
				k.want[string(it.Key)] = clone(it)
				var err error
				if k.t, err = c.Put(k.m, &it); err != nil || k.t != c.Tree() {
					rt.Fatal(err)
				}
			},
			"edit ahead": func(rt *rapid.T) {
				keys := rapid.SliceOfDistinct(genKey(), rapid.ID[string]).Draw(rt, "keys")
				k.editAhead(rt, keys, item)
			},
			"edit many ahead": func(rt *rapid.T) {
				from, step := rapid.Int64Range(-500, 500).Draw(rt, "from"), rapid.Int64Range(1, 9).Draw(rt, "step")
				var keys []string
				for i := range rapid.Int64Range(1, 60).Draw(rt, "number") {
					keys = append(keys, string(value.AppendKey(nil, value.Int(from+i*step))))
				}
				k.editAhead(rt, keys, item)
			},
			"publish": func(*rapid.T) { k.publish() },
			"look up": func(rt *rapid.T) { k.checkLookup(rt, genKey().Draw(rt, "key")) },
			"":        func(rt *rapid.T) {},
		})
		k.check(rt)
		if err := FreeTree(k.m, k.t, nil); err != nil {
			rt.Fatal(err)
		}
		k.m.check()
	})
}

// order gives the keys of a load.
type order struct {
	name string
	key  func(i, n int) int
}

var orders = []order{
	{"ascending", func(i, n int) int { return i }},
	{"descending", func(i, n int) int { return n - i }},
	{"random", func(i, n int) int { return i * 7919 % n }}, // n is no multiple of 7919
	{"two runs", func(i, n int) int { return i/2 + i%2*n }},
	{"from the middle", func(i, n int) int {
		if i%2 == 0 {
			return n + i
		}
		return n - i
	}},
}

func intKey(i int) []byte { return value.AppendKey(nil, value.Int(int64(i))) }

func plainItem(id int, key []byte, image []byte) Item {
	now := int64(1_700_000_000_000_000_000) + int64(id)*2000
	return Item{
		Key: key, ID: uint64(id), Kind: value.KindString, Mode: 0o644,
		Mtime: now, Wtime: now, Ctime: now, Inc: now, Inline: image, Size: uint64(len(image)),
	}
}

func TestKeyedLoadAndUnload(t *testing.T) {
	const n = 2000
	for _, edits := range []int{1, 7, n} { // puts per edit
		for _, o := range orders {
			t.Run(fmt.Sprintf("%s in edits of %d", o.name, edits), func(t *testing.T) {
				k := newKeyedModel(t)
				for i := range n {
					k.put(t, plainItem(i+1, intKey(o.key(i, n)), []byte("fifteen bytes .")))
					if i%edits == edits-1 {
						k.m.publish()
					}
					if i%1000 == 0 {
						k.check(t)
					}
				}
				k.check(t)
				t.Logf("%d leaves, %.1f bytes an entry", k.t.Weight, float64(k.m.bytes)/n)
				for i := range n {
					k.del(t, string(intKey(o.key(i*11%n, n))))
					if i%edits == edits-1 {
						k.m.publish()
					}
					if i%1000 == 0 {
						k.check(t)
					}
				}
				if k.t != (Tree{}) {
					t.Fatalf("tree is %+v", k.t)
				}
				k.m.check()
			})
		}
	}
}

func TestDeletionLeavesNoSmallLeaves(t *testing.T) {
	k := newKeyedModel(t)
	const n = 3000
	for i := range n {
		k.put(t, plainItem(i+1, intKey(i), []byte("fifteen bytes .")))
	}
	full := k.t.Weight
	for i := range n {
		if i%10 != 0 {
			k.del(t, string(intKey(i)))
		}
	}
	k.check(t)
	if limit := full / 3; k.t.Weight > limit {
		t.Errorf("%d leaves after deleting 9 of 10, %d before", k.t.Weight, full)
	}
}

func TestEveryFailedAllocationIsReported(t *testing.T) {
	for fail := 0; ; fail++ {
		k := newKeyedModel(t)
		for i := range 400 {
			k.put(t, plainItem(i+1, intKey(i*2), make([]byte, 100)))
		}
		k.publish()
		k.m.failing = fail
		var err error
		done := func() bool {
			nt := k.t
			for i := range 100 {
				it := plainItem(i+1, intKey(300+i), make([]byte, 150))
				if nt, _, err = Put(k.m, nt, &it); err != nil {
					return false
				}
			}
			for i := range 200 {
				if nt, _, err = Delete(k.m, nt, intKey(i*2)); err != nil {
					return false
				}
			}
			return true
		}()
		// The published version is as it was.
		k.old[0].check(t, k.m)
		if done {
			break
		}
		if err != errFull {
			t.Fatalf("failure of allocation %d gives %v", fail, err)
		}
	}
}

func TestEmptyTree(t *testing.T) {
	m := newMem(t)
	var c Cursor
	c.Open(m, Tree{})
	for name, f := range map[string]func() (bool, error){
		"first": c.First, "last": c.Last,
		"seek":       func() (bool, error) { return c.Seek([]byte("k")) },
		"seek after": func() (bool, error) { return c.SeekAfter([]byte("k")) },
		"rank":       func() (bool, error) { return c.SeekRank(0) },
	} {
		if ok, err := f(); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	if _, err := c.Next(); err == nil {
		t.Error("next from nowhere: no error")
	}
	if _, err := c.Delete(m); err == nil {
		t.Error("delete of nothing: no error")
	}
	if err := FreeTree(m, Tree{}, nil); err != nil {
		t.Error(err)
	}
	if err := VerifyTree(m, Tree{}, true); err != nil {
		t.Error(err)
	}
}

func TestSeparatorIsShortest(t *testing.T) {
	tests := []struct{ left, right, want string }{
		{"a", "b", "b"},
		{"abc", "abd", "abd"},
		{"abc", "abdef", "abd"},
		{"a", "ab", "ab"},
		{"a", "abc", "ab"},
		{"abcdef", "b", "b"},
		{"", "xyz", "x"},
	}
	for _, test := range tests {
		got := string(separator([]byte(test.left), []byte(test.right)))
		if got != test.want || got <= test.left || got > test.right {
			t.Errorf("between %q and %q: %q, want %q", test.left, test.right, got, test.want)
		}
	}
}

func TestFreeTreeSeesEveryItem(t *testing.T) {
	k := newKeyedModel(t)
	for i := range 500 {
		k.put(t, plainItem(i+1, intKey(i), nil))
	}
	seen := 0
	err := FreeTree(k.m, k.t, func(it *Item) error {
		if !bytes.Equal(it.Key, intKey(seen)) {
			t.Fatalf("item %d is %q", seen, it.Key)
		}
		seen++
		return nil
	})
	if err != nil || seen != 500 {
		t.Fatalf("%d items, %v", seen, err)
	}
	k.m.check()
}

func TestWalksOfSharedObjectsEnd(t *testing.T) {
	// A damaged body in which each node has the same child twice: 2^30 ways.
	m := newMem(t)
	it := Item{Kind: value.KindNull}
	t1, _, err := ListSet(m, Tree{}, 0, &it)
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		if t1, err = newInner(m, t1, nil, t1); err != nil {
			t.Fatal(err)
		}
	}
	if err := VerifyTree(m, t1, false); !isCorrupt(err) {
		t.Errorf("verify: %v", err)
	}
	if err := FreeTree(m, t1, nil); !isCorrupt(err) {
		t.Errorf("free: %v", err)
	}
	loop, obj, err := m.Alloc(layout.KindInner, 64)
	if err != nil {
		t.Fatal(err)
	}
	setInner(obj, Tree{loop, 1 << 20, 1 << 20}, Tree{Ref: loop})
	looped := Tree{loop, 1 << 31, 1 << 40}
	if _, _, err := Get(m, looped, []byte("x")); !isCorrupt(err) {
		t.Errorf("get: %v", err)
	}
	var c Cursor
	c.Open(m, looped)
	if _, err := c.Last(); !isCorrupt(err) {
		t.Errorf("last: %v", err)
	}
	if _, _, err := At(m, looped, 1<<39); !isCorrupt(err) {
		t.Errorf("at: %v", err)
	}
	if err := FreeTree(m, looped, nil); !isCorrupt(err) {
		t.Errorf("free: %v", err)
	}
}
