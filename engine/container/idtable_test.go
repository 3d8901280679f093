package container

import (
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pongofs/engine/layout"
)

type idModel struct {
	m    *mem
	t    IDTable
	want map[uint64]layout.Ref
	old  []idVersion
}

type idVersion struct {
	t    IDTable
	want map[uint64]layout.Ref
}

func (x *idModel) put(t rapid.TB, id uint64, ref layout.Ref) {
	t.Helper()
	nt, err := x.t.Put(x.m, id, ref)
	if err != nil {
		t.Fatal(err)
	}
	x.t = nt
	if ref == layout.Nil {
		delete(x.want, id)
	} else {
		x.want[id] = ref
	}
}

func (t IDTable) root() root { return root{t.Ref, layout.KindIDNode} }

func (x *idModel) publish() {
	x.m.publish()
	x.old = append(x.old, idVersion{x.t, maps.Clone(x.want)})
}

func (x *idModel) check(t rapid.TB) {
	t.Helper()
	if err := VerifyIDTable(x.m, x.t); err != nil {
		t.Fatal(err)
	}
	x.m.check(x.t.root())
	for _, v := range append(x.old, idVersion{x.t, x.want}) {
		var ids []uint64
		err := v.t.Walk(x.m, func(id uint64, ref layout.Ref) error {
			if v.want[id] != ref {
				t.Fatalf("id %d is at %d, want %d", id, ref, v.want[id])
			}
			ids = append(ids, id)
			return nil
		})
		if err != nil || !slices.Equal(ids, slices.Sorted(maps.Keys(v.want))) {
			t.Fatalf("ids are %v, %v", ids, err)
		}
	}
}

func TestIDTableAgreesWithMap(t *testing.T) {
	genID := rapid.OneOf(rapid.Uint64Range(0, 100), rapid.Uint64Range(0, 1<<21), rapid.Uint64())
	rapid.Check(t, func(t *rapid.T) {
		x := &idModel{m: newMem(t), want: make(map[uint64]layout.Ref)}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				x.put(t, genID.Draw(t, "id"), layout.Ref(rapid.Uint64Range(1, 1<<40).Draw(t, "ref")))
			},
			"put many": func(t *rapid.T) {
				from := genID.Draw(t, "from")
				for i := range rapid.Uint64Range(1, 100).Draw(t, "number") {
					x.put(t, from+i, layout.Ref(i+1)*layout.Granule)
				}
			},
			"remove": func(t *rapid.T) {
				id := genID.Draw(t, "id")
				if len(x.want) > 0 && rapid.Bool().Draw(t, "existing") {
					id = rapid.SampledFrom(slices.Sorted(maps.Keys(x.want))).Draw(t, "one of")
				}
				x.put(t, id, layout.Nil)
			},
			"remove all": func(t *rapid.T) {
				for _, id := range slices.Sorted(maps.Keys(x.want)) {
					x.put(t, id, layout.Nil)
				}
				if x.t != (IDTable{}) {
					t.Fatalf("empty table is %+v", x.t)
				}
			},
			"publish": func(*rapid.T) { x.publish() },
			"get": func(t *rapid.T) {
				id := genID.Draw(t, "id")
				if ref, err := x.t.Get(x.m, id); err != nil || ref != x.want[id] {
					t.Fatalf("id %d is at %d, %v; want %d", id, ref, err, x.want[id])
				}
			},
			"": func(*rapid.T) {},
		})
		x.check(t)
	})
}

func TestIDTableHeight(t *testing.T) {
	tests := []struct {
		id   uint64
		want uint32
	}{{0, 1}, {31, 1}, {32, 2}, {1023, 2}, {1024, 3}, {1<<60 - 1, 12}, {1 << 60, 13}, {math.MaxUint64, 13}}
	for _, test := range tests {
		m := newMem(t)
		table, err := IDTable{}.Put(m, test.id, 32)
		if err != nil || table.Height != test.want {
			t.Errorf("id %d: height %d, %v; want %d", test.id, table.Height, err, test.want)
		}
		if ref, err := table.Get(m, test.id); err != nil || ref != 32 {
			t.Errorf("id %d is at %d, %v", test.id, ref, err)
		}
	}
}

func TestIDTableOfSparseIDsIsSmall(t *testing.T) {
	m := newMem(t)
	var table IDTable
	var err error
	const n = 2000
	for i := range uint64(n) { // one id in twenty is a container
		if table, err = table.Put(m, i*20+5, 32); err != nil {
			t.Fatal(err)
		}
	}
	m.publish()
	if per := m.bytes / n; per > 40 {
		t.Errorf("%d bytes an id", per)
	}
	m.copied = 0
	if _, err = table.Put(m, n*20+5, 32); err != nil {
		t.Fatal(err)
	}
	if m.copied > 500 {
		t.Errorf("one change copies %d bytes", m.copied)
	}
}

func TestIDTableForgedHeight(t *testing.T) {
	m := newMem(t)
	for _, table := range []IDTable{{32, 0}, {0, 3}, {32, 14}, {32, math.MaxUint32}, {32, 2}} {
		if _, err := table.Get(m, 7); !isCorrupt(err) {
			t.Errorf("%+v: get gives %v", table, err)
		}
		if _, err := table.Put(m, 7, 64); !isCorrupt(err) {
			t.Errorf("%+v: put gives %v", table, err)
		}
		if err := VerifyIDTable(m, table); !isCorrupt(err) {
			t.Errorf("%+v: verify gives %v", table, err)
		}
	}
}
