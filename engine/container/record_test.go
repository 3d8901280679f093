package container

import (
	"testing"

	"pgregory.net/rapid"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

func genTree() *rapid.Generator[Tree] {
	return rapid.Custom(func(t *rapid.T) Tree {
		if rapid.Bool().Draw(t, "empty") {
			return Tree{}
		}
		w := rapid.Uint32Range(1, 1<<32-1).Draw(t, "weight")
		return Tree{
			Ref:    layout.Ref(rapid.Uint64Range(1, 1<<40).Draw(t, "ref")),
			Weight: w,
			Count:  rapid.Uint64Range(uint64(w), 1<<63).Draw(t, "count"),
		}
	})
}

func genRecord() *rapid.Generator[Record] {
	return rapid.Custom(func(t *rapid.T) Record {
		r := Record{
			ID: rapid.Uint64().Draw(t, "id"), Parent: rapid.Uint64().Draw(t, "parent"),
			Kind: rapid.SampledFrom([]value.Kind{value.KindList, value.KindDict, value.KindCollection}).Draw(t, "kind"),
			Mode: rapid.Uint16().Draw(t, "mode"),
			UID:  rapid.Uint32().Draw(t, "uid"), GID: rapid.Uint32().Draw(t, "gid"),
			Mtime: rapid.Int64().Draw(t, "mtime"), Wtime: rapid.Int64().Draw(t, "wtime"), Ctime: rapid.Int64().Draw(t, "ctime"),
			Body: genTree().Draw(t, "body"), Subdirs: rapid.Uint64().Draw(t, "subdirs"),
			Xattr:     layout.Ref(rapid.Uint64().Draw(t, "xattr")),
			XattrSize: rapid.Uint32().Draw(t, "xattr size"),
		}
		r.Elements = r.Body.Count
		if r.Kind == value.KindList {
			r.Elements = rapid.Uint64Range(0, r.Body.Count).Draw(t, "elements")
			r.Names = genTree().Draw(t, "names")
		}
		return r
	})
}

func TestRecordReadsAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMem(t)
		ref := layout.Nil
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			want := genRecord().Draw(t, "record")
			var err error
			if ref, err = EncodeRecord(m, ref, &want); err != nil {
				t.Fatal(err)
			}
			got, err := ReadRecord(m, ref)
			if err != nil || got != want {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
			}
			if rapid.Bool().Draw(t, "publish") {
				m.publish()
			}
		}
		if len(m.objs) > 0 && m.bytes != len(m.object(ref).data) {
			t.Fatalf("%d bytes live", m.bytes)
		}
	})
}

func TestRecordSizes(t *testing.T) {
	m := newMem(t)
	r := Record{ID: 1, Kind: value.KindDict}
	ref, err := EncodeRecord(m, layout.Nil, &r)
	if err != nil || m.bytes != 128 {
		t.Errorf("record of a dict has %d bytes, %v", m.bytes, err)
	}
	r.Kind, r.Names = value.KindList, Tree{32, 1, 1}
	if _, err = EncodeRecord(m, ref, &r); err != nil || m.bytes != 160 {
		t.Errorf("record of a list with names has %d bytes, %v", m.bytes, err)
	}
}

func TestRecordsThatCannotBe(t *testing.T) {
	tests := map[string]Record{
		"scalar":                  {Kind: value.KindInt},
		"body without leaves":     {Kind: value.KindDict, Body: Tree{32, 0, 5}, Elements: 5},
		"leaves without body":     {Kind: value.KindDict, Body: Tree{0, 5, 5}, Elements: 5},
		"fewer entries":           {Kind: value.KindDict, Body: Tree{32, 5, 4}, Elements: 4},
		"gaps in a dict":          {Kind: value.KindDict, Body: Tree{32, 1, 4}, Elements: 3},
		"names in a collection":   {Kind: value.KindCollection, Names: Tree{32, 1, 1}},
		"more elements than list": {Kind: value.KindList, Body: Tree{32, 1, 4}, Elements: 5},
	}
	for name, r := range tests {
		obj := make([]byte, 160)
		r.encode(obj)
		if _, err := DecodeRecord(obj); !isCorrupt(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeRecord(make([]byte, 64)); !isCorrupt(err) {
		t.Errorf("short object: %v", err)
	}
}

// TestChildrenOfEveryKind holds the list of refs against what was stored.
func TestChildrenOfEveryKind(t *testing.T) {
	type child struct {
		ref  layout.Ref
		kind layout.Kind
	}
	m := newMem(t)
	key := func(i int) []byte { return intKey(i) }
	var tree Tree
	for i, it := range []Item{
		{Kind: value.KindString, Blob: 320, Size: 500},
		{Kind: value.KindString, Blob: 640, Size: layout.BlockPayload + 1},
		{Kind: value.KindBytes, Size: 1 << 20}, // all zeros
		{Kind: value.KindInt, Xattr: 960, XattrSize: 100},
		{Kind: value.KindList, ID: 5},
		{Kind: KindRootRef, Blob: 1280},
	} {
		it.Key = key(i)
		var err error
		if tree, _, err = Put(m, tree, &it); err != nil {
			t.Fatal(err)
		}
	}
	inner, err := newInner(m, Tree{32, 1, 1}, nil, Tree{64, 7, 7})
	if err != nil {
		t.Fatal(err)
	}
	outer, err := newInner(m, Tree{32, 2, 2}, nil, Tree{64, 2, 2})
	if err != nil {
		t.Fatal(err)
	}
	record, err := EncodeRecord(m, layout.Nil, &Record{
		Kind: value.KindList, Body: Tree{32, 1, 1}, Names: Tree{64, 2, 2}, Xattr: 96, XattrSize: 9,
	})
	if err != nil {
		t.Fatal(err)
	}
	low, err := IDTable{}.Put(m, 3, 320)
	if err != nil {
		t.Fatal(err)
	}
	high, err := low.Put(m, 40, 640)
	if err != nil {
		t.Fatal(err)
	}
	top, err := openIDNode(m, high.Ref, 1)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := BlobCreate(m, blobID, make([]byte, 65*layout.BlockPayload))
	if err != nil {
		t.Fatal(err)
	}
	node, err := openBlobNode(m, blob, 2, 65*layout.BlockPayload)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		ref  layout.Ref
		want []child
	}{
		{"leaf", tree.Ref, []child{
			{320, layout.KindBlock}, {640, layout.KindBlobNode}, {960, layout.KindBlock}, {1280, layout.KindRoot},
		}},
		{"node over leaves", inner.Ref, []child{{32, layout.KindLeaf}, {64, KindAny}}},
		{"node over nodes", outer.Ref, []child{{32, layout.KindInner}, {64, KindAny}}},
		{"record", record, []child{{32, layout.KindLeaf}, {64, layout.KindInner}, {96, layout.KindBlock}}},
		{"id node", top.ref(0), []child{{320, layout.KindContainer}}},
		{"upper id node", high.Ref, []child{{top.ref(0), layout.KindIDNode}, {top.ref(1), layout.KindIDNode}}},
		{"upper blob node", blob, []child{{node.ref(0), layout.KindBlobNode}, {node.ref(1), layout.KindBlobNode}}},
	}
	for _, test := range tests {
		obj, err := m.Object(test.ref, KindAny)
		if err != nil {
			t.Fatal(err)
		}
		var got []child
		err = Children(obj, layout.Kind(obj[0]), func(ref layout.Ref, kind layout.Kind) error {
			got = append(got, child{ref, kind})
			return nil
		})
		if err != nil || len(got) != len(test.want) {
			t.Errorf("%s: %v, %v; want %v", test.name, got, err, test.want)
			continue
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%s: child %d is %v, want %v", test.name, i, got[i], test.want[i])
			}
		}
		// An error of fn ends the walk and comes back.
		calls := 0
		err = Children(obj, layout.Kind(obj[0]), func(layout.Ref, layout.Kind) error {
			calls++
			return errFull
		})
		if err != errFull || calls != 1 {
			t.Errorf("%s: %v after %d calls", test.name, err, calls)
		}
	}
	for _, kind := range []layout.Kind{layout.KindFree, layout.KindRoot, layout.KindBlob, 99} {
		if err := Children(make([]byte, 64), kind, nil); !isCorrupt(err) {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
}
