package container

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

func isCorrupt(err error) bool { return errors.Is(err, layout.ErrCorrupt) }

// guard runs f as the engine does at its surface: an index out of range is a
// damaged object.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			re, ok := p.(runtime.Error)
			if !ok || !strings.Contains(re.Error(), "out of range") {
				panic(p)
			}
			err = fmt.Errorf("%w: %w", layout.ErrCorrupt, re)
		}
	}()
	return f()
}

// damaged is a small store with everything in it.
type damaged struct {
	m        *mem
	keyed    Tree
	list     Tree
	ids      IDTable
	blob     layout.Ref
	blobSize uint64
	record   layout.Ref
}

func newDamaged(t testing.TB) *damaged {
	d := &damaged{m: newMem(t), blobSize: 70 * layout.BlockPayload}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for i := range 120 {
		it := plainItem(i+1, intKey(i*7), make([]byte, 20+i%100))
		d.keyed, _, err = Put(d.m, d.keyed, &it)
		must(err)
		it.Key = nil
		d.list, _, err = ListSet(d.m, d.list, uint64(i*3-i%3), &it)
		must(err)
		d.ids, err = d.ids.Put(d.m, uint64(i*i), layout.Ref(i+1)*layout.Granule)
		must(err)
	}
	d.blob, _, err = BlobWriteAt(d.m, blobID, layout.Nil, 0, make([]byte, 100), d.blobSize-100)
	must(err)
	d.blob, _, err = BlobWriteAt(d.m, blobID, d.blob, d.blobSize, make([]byte, 9000), 5000)
	must(err)
	r := Record{ID: 1, Kind: value.KindList, Body: d.list, Elements: 120, Names: d.keyed}
	d.record, err = EncodeRecord(d.m, layout.Nil, &r)
	must(err)
	d.m.publish()
	d.m.lax = true
	return d
}

// use does what there is to do, and returns what went wrong, if that is
// not corruption.
func (d *damaged) use(rnd *rand.Rand) error {
	n := rnd.IntN(900)
	it := plainItem(n, intKey(n), make([]byte, 30))
	element := it
	element.Key = nil
	var c Cursor
	var at Item
	cursor := func(t Tree, move func() (bool, error)) error {
		c.Open(d.m, t)
		ok, err := move()
		for i := 0; ok && err == nil && i < 50; i++ {
			if err = c.Item(&at); err == nil {
				ok, err = c.Next()
			}
		}
		for i := 0; err == nil && c.ref != layout.Nil && i < 50; i++ {
			if ok, err = c.Prev(); !ok {
				break
			}
		}
		return err
	}
	blobBuf := make([]byte, 20000)
	key := intKey(n)
	for i, op := range []func() error{
		func() error { _, _, err := Get(d.m, d.keyed, key); return err },
		func() error { _, _, err := Rank(d.m, d.keyed, key); return err },
		func() error { _, _, err := At(d.m, d.keyed, uint64(n)); return err },
		func() error { return cursor(d.keyed, func() (bool, error) { return c.Seek(key) }) },
		func() error { return cursor(d.keyed, c.Last) },
		func() error { return cursor(d.list, func() (bool, error) { return c.SeekRank(uint64(n) % 357) }) },
		func() error { return VerifyTree(d.m, d.keyed, true) },
		func() error { return VerifyTree(d.m, d.list, false) },
		func() error { return VerifyIDTable(d.m, d.ids) },
		func() error { return VerifyBlob(d.m, d.blob, d.blobSize) },
		func() error { _, err := ReadRecord(d.m, d.record); return err },
		func() error { _, err := d.ids.Get(d.m, uint64(n)); return err },
		func() error { return d.ids.Walk(d.m, func(uint64, layout.Ref) error { return nil }) },
		func() error {
			_, err := BlobReadAt(d.m, d.blob, d.blobSize, blobBuf, uint64(n)*700)
			if err == io.EOF {
				err = nil
			}
			return err
		},
		func() error { _, _, err := Put(d.m, d.keyed, &it); return err },
		func() error {
			var err error
			t := d.keyed
			for i := 0; i < 40 && err == nil; i++ {
				t, _, err = Delete(d.m, t, intKey((n/7+i)*7))
			}
			return err
		},
		func() error {
			c.Open(d.m, d.keyed)
			var err error
			for i := 0; i < 40 && err == nil; i++ {
				more := it
				more.Key = intKey(n/2 + 11*i)
				var found bool
				if found, err = c.FindAhead(more.Key); err != nil {
					break
				}
				if found && i%3 == 0 {
					_, err = c.Delete(d.m)
				} else {
					_, err = c.Put(d.m, &more)
				}
			}
			return err
		},
		func() error { _, _, err := ListSet(d.m, d.list, uint64(n)%357, &element); return err },
		func() error { _, err := ListInsert(d.m, d.list, uint64(n)%357, &element); return err },
		func() error { _, _, err := ListGap(d.m, d.list, uint64(n)%357); return err },
		func() error { _, _, err := ListDelete(d.m, d.list, uint64(n)%357); return err },
		func() error { _, err := ListCompact(d.m, d.list); return err },
		func() error { _, err := d.ids.Put(d.m, uint64(n), 32); return err },
		func() error { _, err := d.ids.Put(d.m, uint64(n%30)*uint64(n%30), layout.Nil); return err },
		func() error {
			_, _, err := BlobWriteAt(d.m, blobID, d.blob, d.blobSize, blobBuf, uint64(n)*700)
			return err
		},
		func() error {
			_, err := BlobTruncate(d.m, blobID, d.blob, d.blobSize, uint64(n)*600)
			return err
		},
		func() error { return FreeTree(d.m, d.keyed, func(*Item) error { return nil }) },
		func() error { return FreeTree(d.m, d.list, nil) },
		func() error { return BlobFree(d.m, blobID, d.blob, d.blobSize) },
	} {
		if err := guard(op); err != nil && !isCorrupt(err) && !errors.Is(err, ErrRange) {
			return fmt.Errorf("operation %d: %w", i, err)
		}
	}
	for i := range d.m.objs {
		if o := &d.m.objs[i]; o.was != nil {
			err := guard(func() error {
				return Children(o.data, layout.Kind(o.data[0]), func(layout.Ref, layout.Kind) error { return nil })
			})
			if err != nil && !isCorrupt(err) {
				return fmt.Errorf("children: %w", err)
			}
		}
	}
	return nil
}

// TestDamageIsAnErrorOrOtherData damages published objects in many ways. What
// is then done ends, with corruption at worst.
func TestDamageIsAnErrorOrOtherData(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		d := newDamaged(t)
		for range 1 + rnd.IntN(3) {
			o := &d.m.objs[rnd.IntN(len(d.m.objs))]
			at := layout.HeaderSize + rnd.IntN(min(len(o.data)-layout.HeaderSize, 100))
			switch rnd.IntN(4) {
			case 0:
				o.data[at] ^= 1 << rnd.IntN(8)
			case 1:
				o.data[at] = byte(rnd.Uint32())
			case 2: // another plausible ref
				at = at / 8 * 8
				binary.LittleEndian.PutUint64(o.data[at:], uint64(1+rnd.IntN(len(d.m.objs)))*layout.Granule)
			case 3:
				binary.LittleEndian.PutUint16(o.data[at/2*2:], uint16(rnd.Uint32()))
			}
		}
		if err := d.use(rnd); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzObject reads any bytes as an object of any kind. Nothing but an index
// out of range and CorruptError may come of it, and what can be read can be
// written and read again.
func FuzzObject(f *testing.F) {
	d := newDamaged(f)
	for i := range d.m.objs {
		if o := &d.m.objs[i]; o.state == memPublished && len(o.data) < 2000 {
			f.Add(o.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < layout.HeaderSize {
			return
		}
		m := newMem(t)
		m.lax = true
		ref, obj, err := m.Alloc(layout.Kind(data[0]), min(len(data), layout.MaxObject))
		if err != nil {
			t.Fatal(err)
		}
		copy(obj, data)
		m.publish()
		check := func(what string, f func() error) bool {
			err := guard(f)
			if err != nil && !isCorrupt(err) && !errors.Is(err, ErrRange) {
				t.Fatalf("%s: %v", what, err)
			}
			return err == nil
		}
		check("children", func() error {
			return Children(obj, layout.Kind(obj[0]), func(layout.Ref, layout.Kind) error { return nil })
		})
		check("id table", func() error { return VerifyIDTable(m, IDTable{ref, 1 + uint32(data[0])%4}) })
		check("blob", func() error { return VerifyBlob(m, ref, 100_000) })
		check("record", func() error {
			r, err := ReadRecord(m, ref)
			if err != nil {
				return err
			}
			to, err := EncodeRecord(m, layout.Nil, &r)
			if err != nil {
				return err
			}
			if again, err := ReadRecord(m, to); err != nil || again != r {
				t.Fatalf("got %+v, %v; want %+v", again, err, r)
			}
			return nil
		})
		check("inner node", func() error { return VerifyTree(m, Tree{ref, 5, 100}, true) })
		if layout.Kind(obj[0]) != layout.KindLeaf || len(obj) < layout.LeafEndsOff {
			return
		}
		count := uint64(0)
		check("leaf", func() error {
			l, err := openLeaf(ref, obj)
			if err != nil {
				return err
			}
			count = l.span(0, l.n)
			return nil
		})
		leaf := Tree{ref, 1, count}
		for _, keyed := range []bool{true, false} {
			ok := check("verify", func() error { return VerifyTree(m, leaf, keyed) })
			key := intKey(int(data[len(data)-1]))
			it := plainItem(1, key, nil)
			check("get", func() error { _, _, err := Get(m, leaf, key); return err })
			check("put", func() error { _, _, err := Put(m, leaf, &it); return err })
			check("delete", func() error { _, _, err := Delete(m, leaf, key); return err })
			it.Key = nil
			check("set", func() error { _, _, err := ListSet(m, leaf, uint64(data[0]), &it); return err })
			check("gap", func() error { _, _, err := ListGap(m, leaf, uint64(data[0])); return err })
			check("compact", func() error { _, err := ListCompact(m, leaf); return err })
			if ok {
				writeAgain(t, m, leaf, keyed)
			}
		}
	})
}

// writeAgain stores the items of a sound tree in another one.
func writeAgain(t *testing.T, m *mem, from Tree, keyed bool) {
	var to Tree
	pos := uint64(0)
	err := Walk(m, from, func(it *Item) (bool, error) {
		var err error
		switch {
		case keyed:
			to, _, err = Put(m, to, it)
		case it.Kind == KindGap:
			pos += it.Size
		default:
			to, _, err = ListSet(m, to, pos, it)
			pos++
		}
		return true, err
	})
	if err != nil || to.Count != from.Count {
		t.Fatalf("%d entries of %d: %v", to.Count, from.Count, err)
	}
	if err := VerifyTree(m, to, keyed); err != nil {
		t.Fatal(err)
	}
	var a, b Cursor
	var x, y Item
	a.Open(m, from)
	b.Open(m, to)
	okA, errA := a.First()
	okB, errB := b.First()
	for okA && okB {
		if errA, errB = a.Item(&x), b.Item(&y); errA != nil || errB != nil || !sameItem(x, y) {
			t.Fatalf("%v, %v: got %+v, want %+v", errA, errB, y, x)
		}
		okA, errA = a.Next()
		okB, errB = b.Next()
	}
	if okA != okB || errA != nil || errB != nil {
		t.Fatal(okA, okB, errA, errB)
	}
}
