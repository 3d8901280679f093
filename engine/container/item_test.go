package container

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// itemKinds are the kinds that an element or entry may have.
var itemKinds = []value.Kind{
	value.KindNull, value.KindBool, value.KindInt, value.KindDatetime, value.KindUUID, value.KindFloat,
	value.KindBytes, value.KindString, value.KindList, value.KindDict, value.KindCollection, KindRootRef,
}

// genRef draws a ref.
func genRef() *rapid.Generator[layout.Ref] {
	return rapid.Map(rapid.Uint64Range(0, 1<<57), func(v uint64) layout.Ref {
		return layout.Ref(v * layout.Granule)
	})
}

// genItem draws an item without key and without blobs, unless blobs is set.
func genItem(blobs bool) *rapid.Generator[Item] {
	return rapid.Custom(func(t *rapid.T) Item {
		it := Item{
			ID:    rapid.Uint64().Draw(t, "id"),
			Kind:  rapid.SampledFrom(itemKinds).Draw(t, "kind"),
			Flags: Flags(rapid.IntRange(0, 15).Draw(t, "flags")),
		}
		if rapid.Bool().Draw(t, "times") {
			it.Mtime = rapid.Int64().Draw(t, "mtime")
		}
		it.Mode = defaultMode(it.Flags)
		it.Wtime, it.Ctime, it.Inc = it.Mtime, it.Mtime, it.Mtime
		if rapid.Bool().Draw(t, "attr") {
			it.Mode = rapid.Uint16().Draw(t, "mode")
			it.UID = rapid.Uint32().Draw(t, "uid")
			it.GID = rapid.Uint32().Draw(t, "gid")
			it.Wtime = rapid.Int64().Draw(t, "wtime")
			it.Ctime = rapid.Int64().Draw(t, "ctime")
			it.Inc = rapid.Int64().Draw(t, "inc")
		}
		if blobs && rapid.Bool().Draw(t, "xattr") {
			it.Xattr = genRef().Draw(t, "xattr ref")
			it.XattrSize = rapid.Uint32().Draw(t, "xattr size")
		}
		switch it.Kind {
		case value.KindBool:
			it.Num = rapid.Uint64Range(0, 1).Draw(t, "num")
		case value.KindInt, value.KindDatetime, value.KindFloat:
			it.Num = rapid.Uint64().Draw(t, "num")
		case value.KindUUID:
			it.Inline = rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid")
		case value.KindBytes, value.KindString:
			if blobs && rapid.Bool().Draw(t, "blob") {
				it.Blob = genRef().Draw(t, "blob ref")
				it.Size = rapid.Uint64Range(1, MaxBlob).Draw(t, "blob size")
				break
			}
			it.Inline = rapid.SliceOfN(rapid.Byte(), 0, InlineMax).Draw(t, "inline")
			it.Size = uint64(len(it.Inline))
		case KindRootRef:
			if blobs {
				it.Blob = genRef().Draw(t, "root ref")
			}
			it.Size = rapid.Uint64().Draw(t, "size")
			it.Num = rapid.Uint64().Draw(t, "num")
		}
		return it
	})
}

// normal returns it with empty slices nil, for comparisons.
func normal(it Item) Item {
	if len(it.Key) == 0 {
		it.Key = nil
	}
	if len(it.Inline) == 0 {
		it.Inline = nil
	}
	return it
}

// clone returns it with slices of its own.
func clone(it Item) Item {
	it.Key, it.Inline = bytes.Clone(it.Key), bytes.Clone(it.Inline)
	return normal(it)
}

func sameItem(a, b Item) bool { return reflect.DeepEqual(normal(a), normal(b)) }

func TestItemDecodesToWhatWasEncoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		it := genItem(true).Draw(t, "item")
		if rapid.Bool().Draw(t, "keyed") {
			it.Key = rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "key")
		} else if rapid.Bool().Draw(t, "gap") {
			it = Item{Kind: KindGap, Size: rapid.Uint64Range(1, MaxListLen).Draw(t, "length")}
		}
		if err := checkItem(&it); err != nil {
			t.Fatalf("%+v: %v", it, err)
		}
		baseID, baseTime := rapid.Uint64().Draw(t, "base id"), rapid.Int64().Draw(t, "base time")
		b := appendItem(nil, &it, baseID, baseTime)
		var got Item
		if !decodeItem(&got, b, baseID, baseTime) || !sameItem(got, it) {
			t.Fatalf("got %+v, want %+v", got, it)
		}
		if want := uint64(1); it.Kind != KindGap && spanOf(b) != want || it.Kind == KindGap && spanOf(b) != it.Size {
			t.Fatalf("span is %d", spanOf(b))
		}
		if kindOf(b) != it.Kind || !bytes.Equal(keyOf(b), it.Key) || !wellFormed(b) {
			t.Fatalf("kind %v, key %q", kindOf(b), keyOf(b))
		}
	})
}

func TestItemsThatCannotBeStored(t *testing.T) {
	long := make([]byte, MaxKeyBytes+1)
	tests := map[string]Item{
		"no kind":             {},
		"unknown kind":        {Kind: 13},
		"long key":            {Kind: value.KindNull, Key: long},
		"long image":          {Kind: value.KindBytes, Inline: long[:InlineMax+1], Size: InlineMax + 1},
		"size of image":       {Kind: value.KindBytes, Inline: long[:3], Size: 4},
		"image beside blob":   {Kind: value.KindBytes, Inline: long[:3], Size: 3, Blob: 32},
		"empty blob":          {Kind: value.KindString, Blob: 32},
		"blob beyond maximum": {Kind: value.KindString, Blob: 32, Size: MaxBlob + 1},
		"short uuid":          {Kind: value.KindUUID, Inline: long[:15]},
		"empty gap":           {Kind: KindGap},
		"flags":               {Kind: value.KindNull, Flags: 16},
		"bool of two":         {Kind: value.KindBool, Num: 2},
	}
	for name, it := range tests {
		if err := checkItem(&it); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestItemSizes(t *testing.T) {
	tests := []struct {
		name string
		it   Item
		want int
	}{
		{"element null", Item{Kind: value.KindNull, ID: 100, Mode: 0o644}, 4},
		{"gap", Item{Kind: KindGap, Size: 1}, 4},
		{"11-byte key, 16-byte image, time within 2 s", Item{
			Key: []byte("\x08key12345678"), Kind: value.KindString, ID: 90_000, Mode: 0o644,
			Mtime: 1e9, Wtime: 1e9, Ctime: 1e9, Inc: 1e9, Inline: make([]byte, 16), Size: 16,
		}, 1 + 12 + 2 + 3 + 5 + 16},
	}
	for _, test := range tests {
		if got := len(appendItem(nil, &test.it, 50, 0)); got != test.want {
			t.Errorf("%s: %d bytes, want %d", test.name, got, test.want)
		}
	}
}
