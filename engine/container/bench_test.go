package container

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// arena is an Editor that costs little: objects are pieces of slabs of their
// size, kept by size when they are freed, retired ones at the next publish.
type arena struct {
	buf     []byte
	top     int // start of the first slab not in use
	free    [layout.MaxObject/layout.Granule + 1][]layout.Ref
	slabs   [layout.MaxObject/layout.Granule + 1]struct{ next, end int }
	retired []layout.Ref
	seq     uint64

	live, copied, allocs int
}

func newArena(size int) *arena {
	return &arena{buf: make([]byte, size), top: layout.SlabSize, seq: 1}
}

func (a *arena) Object(ref layout.Ref, kind layout.Kind) ([]byte, error) {
	if ref%layout.Granule != 0 || ref == layout.Nil || ref >= layout.Ref(a.top) {
		return nil, layout.Corrupt("object", ref, "out of range")
	}
	hdr := a.buf[ref:]
	n := layout.ObjectGranules(hdr) * layout.Granule
	if kind != KindAny && layout.Kind(hdr[0]) != kind || n == 0 {
		return nil, layout.Corrupt("object", ref, "kind is %d, not %d", hdr[0], kind)
	}
	return hdr[:n:n], nil
}

func (a *arena) Alloc(kind layout.Kind, size int) (layout.Ref, []byte, error) {
	ref, obj, err := a.AllocUnset(kind, size)
	if err == nil {
		clear(obj[layout.HeaderSize:])
	}
	return ref, obj, err
}

func (a *arena) Copy(ref layout.Ref, obj []byte, size int) (layout.Ref, []byte, error) {
	to, dst, err := a.AllocUnset(layout.ObjectKind(obj), size)
	if err != nil {
		return ref, obj, err
	}
	n := copy(dst[layout.HeaderSize:], obj[layout.HeaderSize:size])
	clear(dst[layout.HeaderSize+n:])
	a.Free(ref)
	return to, dst, nil
}

func (a *arena) AllocUnset(kind layout.Kind, size int) (layout.Ref, []byte, error) {
	g := (size + layout.Granule - 1) / layout.Granule
	var ref layout.Ref
	if list := a.free[g]; len(list) > 0 {
		ref, a.free[g] = list[len(list)-1], list[:len(list)-1]
	} else {
		s := &a.slabs[g]
		if s.next+g*layout.Granule > s.end {
			if a.top == len(a.buf) {
				return layout.Nil, nil, errFull
			}
			s.next, s.end = a.top, a.top+layout.SlabSize
			a.top = s.end
		}
		ref = layout.Ref(s.next)
		s.next += g * layout.Granule
	}
	n := g * layout.Granule
	obj := a.buf[ref : int(ref)+n : int(ref)+n]
	layout.SetHeader(obj, kind, a.seq)
	a.live += n
	a.copied += n
	a.allocs++
	return ref, obj, nil
}

func (a *arena) Owned(ref layout.Ref) bool { return layout.ObjectBirth(a.buf[ref:]) == a.seq }

func (a *arena) Free(ref layout.Ref) {
	g := layout.ObjectGranules(a.buf[ref:])
	a.live -= g * layout.Granule
	if a.Owned(ref) {
		a.free[g] = append(a.free[g], ref)
		return
	}
	a.retired = append(a.retired, ref)
}

func (a *arena) FreeValue(ref layout.Ref, _ uint64) { a.Free(ref) }

func (a *arena) publish() {
	a.seq++
	for _, ref := range a.retired {
		g := layout.ObjectGranules(a.buf[ref:])
		a.free[g] = append(a.free[g], ref)
	}
	a.retired = a.retired[:0]
}

const benchEntries = 100_000

// benchKey returns the 11-byte string key of entry i.
func benchKey(i int) []byte {
	return value.AppendKey(nil, value.String(fmt.Sprintf("%011d", uint64(i)*0x9e3779b97f4a7c15%100_000_000_000)))
}

// loaded is the tree of the benchmarks that leave it as large as it is.
var loaded struct {
	a    *arena
	t    Tree
	keys [][]byte
}

// loadedTree returns it, and its keys in random order, which lie one behind the
// other in memory, so that finding them costs nothing.
func loadedTree(tb testing.TB) (*arena, *Tree, [][]byte) {
	if loaded.a == nil {
		loaded.a, loaded.t, loaded.keys = benchTree(tb, benchEntries, 1)
		flat := make([]byte, 0, benchEntries*16)
		for i, j := range rand.New(rand.NewPCG(3, 4)).Perm(benchEntries) {
			if i < j {
				loaded.keys[i], loaded.keys[j] = loaded.keys[j], loaded.keys[i]
			}
		}
		for i, key := range loaded.keys {
			flat = append(flat, key...)
			loaded.keys[i] = flat[len(flat)-len(key):]
		}
	}
	return loaded.a, &loaded.t, loaded.keys
}

// benchTree is a body of n entries with 11-byte string keys and 15-byte
// values, put in random order, perEdit in one edit.
func benchTree(tb testing.TB, n, perEdit int) (*arena, Tree, [][]byte) {
	a := newArena(64 << 20)
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	var t Tree
	var err error
	for i, key := range keys {
		it := plainItem(i+16, key, benchImage)
		if t, _, err = Put(a, t, &it); err != nil {
			tb.Fatal(err)
		}
		if i%perEdit == perEdit-1 {
			a.publish()
		}
	}
	a.publish()
	return a, t, keys
}

// TestBytesPerEntry holds the size of a large body: 100 000 entries with
// 11-byte keys and 16-byte images within 8 MiB, ids, times and all.
func TestBytesPerEntry(t *testing.T) {
	for _, perEdit := range []int{1, benchEntries} {
		a, tree, _ := benchTree(t, benchEntries, perEdit)
		t.Logf("%d in one edit: %.1f bytes an entry, %d leaves", perEdit, float64(a.live)/benchEntries, tree.Weight)
		if a.live > 8<<20 {
			t.Errorf("%d in one edit: %d bytes live, more than 8 MiB", perEdit, a.live)
		}
		if a.live > 65*benchEntries {
			t.Errorf("%d in one edit: %d bytes live, more than 65 an entry", perEdit, a.live)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	a, t, keys := loadedTree(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, found, err := Get(a, *t, keys[i%len(keys)]); !found || err != nil {
			b.Fatal(found, err)
		}
		i++
	}
}

// benchEdits measures one of perEdit operations in an edit, at random keys.
func benchEdits(b *testing.B, perEdit int, op func(a *arena, t *Tree, i int, key []byte) error) {
	a, t, keys := loadedTree(b)
	a.copied, a.allocs = 0, 0
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := op(a, t, i, keys[i%len(keys)]); err != nil {
			b.Fatal(err)
		}
		if i++; i%perEdit == 0 {
			a.publish()
		}
	}
	a.publish()
	b.ReportMetric(float64(a.copied)/float64(i), "copied/op")
	b.ReportMetric(float64(a.allocs)/float64(i), "objects/op")
}

var benchImage = []byte("fifteen bytes..\n")

func benchPut(a *arena, t *Tree, i int, key []byte) (err error) {
	it := plainItem(i+1_000_000, key, benchImage)
	*t, _, err = Put(a, *t, &it)
	return err
}

func BenchmarkPut(b *testing.B) { benchEdits(b, 1, benchPut) }

// BenchmarkPutThousand measures one entry of an edit of a thousand.
func BenchmarkPutThousand(b *testing.B) { benchEdits(b, 1000, benchPut) }

// BenchmarkDeletePut measures a deletion and an insertion, an edit each.
func BenchmarkDeletePut(b *testing.B) {
	benchEdits(b, 1, func(a *arena, t *Tree, i int, key []byte) (err error) {
		if *t, _, err = Delete(a, *t, key); err != nil {
			return err
		}
		a.publish()
		return benchPut(a, t, i, key)
	})
}

// BenchmarkLoad measures an entry of a load in one edit.
func BenchmarkLoad(b *testing.B) {
	for _, o := range []string{"ascending", "random"} {
		b.Run(o, func(b *testing.B) {
			keys := make([][]byte, benchEntries)
			for i := range keys {
				keys[i] = value.AppendKey(nil, value.String(fmt.Sprintf("%011d", i)))
				if o == "random" {
					keys[i] = benchKey(i)
				}
			}
			b.ReportAllocs()
			var a *arena
			var t Tree
			var err error
			i := 0
			for b.Loop() {
				if i%benchEntries == 0 {
					b.StopTimer()
					a, t = newArena(64<<20), Tree{}
					b.StartTimer()
				}
				it := plainItem(i%benchEntries, keys[i%benchEntries], benchImage)
				if t, _, err = Put(a, t, &it); err != nil {
					b.Fatal(err)
				}
				i++
			}
			b.ReportMetric(float64(a.copied)/float64((i-1)%benchEntries+1), "copied/op")
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	a, t, _ := loadedTree(b)
	var c Cursor
	var it Item
	c.Open(a, *t)
	b.ReportAllocs()
	ok := false
	for b.Loop() {
		var err error
		if ok {
			ok, err = c.Next()
		}
		if !ok && err == nil {
			ok, err = c.First()
		}
		if err != nil || c.Item(&it) != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkListGet(b *testing.B) {
	a := newArena(64 << 20)
	var t Tree
	var err error
	for i := range benchEntries {
		it := plainItem(i+16, nil, benchImage)
		if t, _, err = ListSet(a, t, uint64(i), &it); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		if _, found, err := ListGet(a, t, i*7919%benchEntries); !found || err != nil {
			b.Fatal(found, err)
		}
		i++
	}
}

func BenchmarkIDTableGet(b *testing.B) {
	a := newArena(64 << 20)
	var t IDTable
	var err error
	for i := range uint64(benchEntries) {
		if t, err = t.Put(a, i*10, 32); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		if ref, err := t.Get(a, i*7919%benchEntries*10); ref != 32 || err != nil {
			b.Fatal(ref, err)
		}
		i++
	}
}
