package check_test

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/check"
	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// image is a store file in memory.
type image []byte

// Object implements container.Space.
func (m image) Object(ref layout.Ref, kind layout.Kind) ([]byte, error) {
	off := uint64(ref)
	if off%layout.Granule != 0 || off < layout.ReservedSlabs*layout.SlabSize || off >= m.Limit() {
		return nil, layout.Corrupt("reference", ref, "outside of the store")
	}
	n := uint64(layout.ObjectGranules(m[off:])) * layout.Granule
	if k := layout.ObjectKind(m[off:]); k != kind && kind != layout.KindFree {
		return nil, layout.Corrupt("object", ref, "is of kind %d, not %d", k, kind)
	}
	if n == 0 || off%layout.SlabSize+n > layout.SlabSize {
		return nil, layout.Corrupt("object", ref, "claims %d bytes", n)
	}
	return m[off : off+n : off+n], nil
}

// Limit implements container.Bounded.
func (m image) Limit() uint64 { return uint64(len(m)) / layout.SlabSize * layout.SlabSize }

// FuzzVersion changes bytes of the objects of a small store, which get right
// checksums again or not. The law: the check comes to its end, without a panic
// on the way. Each four bytes of the input are one change: which byte (2), by
// what (1), and whether the checksum is mended (1).
func FuzzVersion(f *testing.F) {
	for _, seed := range []string{"", "\x00\x10\x01\x01", "\x01\x00\xff\x01\x02\x00\x80\x01", "\x00\x02\x01\x00", "\x05\x05\x7f\x01\x05\x06\x7f\x01"} {
		f.Add([]byte(seed))
	}
	path := forge(f, smallStore)
	b, err := os.ReadFile(path)
	require.NoError(f, err)
	rec, ok := layout.DecodeCheckpoint(b[layout.CheckpointPage(0):])
	require.True(f, ok)
	var all []object
	for kind := layout.KindRoot; kind <= layout.KindBlock; kind++ {
		all = append(all, objects(b, func(layout.Ref) bool { return true }, kind)...)
	}
	total := 0
	for _, o := range all {
		total += len(o.b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := image(append([]byte(nil), b...))
		for ; len(data) >= 4; data = data[4:] {
			at := int(binary.BigEndian.Uint16(data)) % total
			for _, o := range all {
				if at >= len(o.b) {
					at -= len(o.b)
					continue
				}
				m[o.ref+at] ^= data[2]
				if data[3]&1 != 0 {
					layout.Seal(m[o.ref : o.ref+len(o.b)])
				}
				break
			}
		}
		rep := &check.Report{}
		if err := check.Version(m, rec.Root, check.Options{NextID: rec.NextID}, rep); err != nil {
			t.Fatal(err)
		}
		for _, f := range rep.Findings {
			if strings.Contains(f.Cause, "reading it fails") {
				t.Fatalf("%+v", f)
			}
		}
	})
}

// smallStore fills a store with a little of everything, without free space.
func smallStore(f *forger) {
	large := item("large", 20, value.KindBytes)
	large.Blob, large.Size = f.blob(3*8160), 3*8160
	attr := item("attr", 21, value.KindInt)
	attr.Num, attr.Mode, attr.UID, attr.Mtime = 42, 0o600, 7, 1_700_000_000
	x, err := container.BlobCreate(f.Writer, 0, []byte("\x01\x00\x02\x00\x00\x00nyz"))
	if err != nil {
		panic(err)
	}
	attr.Xattr, attr.XattrSize = x, 9
	list := f.dir(17, 16, value.KindList, item("", 30, value.KindNull), container.Item{Kind: container.KindGap, Size: 5}, item("", 31, value.KindNull))
	list.Elements = 2
	f.put(list)
	b := container.NewBuilder(f.Writer)
	for i := range 9 {
		if _, _, err := b.Add([]container.Item{item(string(rune('a'+i)), uint64(40+i), value.KindNull)}); err != nil {
			panic(err)
		}
	}
	many := f.dir(18, 16, value.KindDict)
	if many.Body, err = b.Tree(); err != nil {
		panic(err)
	}
	many.Elements = many.Body.Count
	f.put(many)
	f.put(f.dir(16, 1, value.KindDict, attr, large, item("list", 17, value.KindList), item("many", 18, value.KindDict)))
	f.rootWith(item("sub", 16, value.KindDict))
	f.root.Containers, f.root.Entries = 7, 1+4+2+9
}

// TestSmallStoreIsClean: what FuzzVersion begins with is sound.
func TestSmallStoreIsClean(t *testing.T) {
	path := forge(t, smallStore)
	rep := look(t, path)
	require.True(t, rep.Clean(), "%+v", rep.Findings)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	_, err = s.Internals().Verify()
	require.NoError(t, err)
	require.NoError(t, s.Close())
}
