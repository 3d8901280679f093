package engine_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

var updateDocs = flag.Bool("update", false, "rewrite the examples in docs/format.md")

const formatDoc = "../docs/format.md"

// TestFormatExamples makes the stores of the worked examples in docs/format.md
// and compares what the text shows of them, byte for byte. What is random in a
// store (ids, times, nonces, the owner) is replaced by fixed figures first, and
// the checksums are made right again.
//
// It reads the file without the packages that wrote it, so it is also a second
// opinion on what the text says.
func TestFormatExamples(t *testing.T) {
	examples := []struct {
		name string
		make func(t *testing.T, path string)
		show func(d *dump)
	}{
		{"empty store", func(*testing.T, string) {}, func(d *dump) {
			d.header()
			d.session()
			d.checkpoints()
			d.tree()
		}},
		{"store with a dict that holds an int", func(t *testing.T, path string) {
			s, err := engine.Open(path, engine.Options{Commit: -1})
			require.NoError(t, err)
			require.NoError(t, s.Update(func(tx *engine.Tx) error {
				e, err := tx.Make(engine.RootID, value.String("d"), value.KindDict, engine.NewAttr{Mode: 0o755})
				if err != nil {
					return err
				}
				_, err = tx.Put(e.ID, value.String("n"), value.Int(42), engine.PutOptions{
					Declared: true, New: engine.NewAttr{Mode: 0o644},
				})
				return err
			}))
			require.NoError(t, s.Close())
		}, func(d *dump) {
			d.session()
			d.checkpoints()
			d.tree()
		}},
		{"record with a list", func(t *testing.T, path string) {
			s, err := engine.Open(path, engine.Options{Commit: -1})
			require.NoError(t, err)
			require.NoError(t, s.Update(func(tx *engine.Tx) error {
				_, err := tx.Put(engine.RootID, value.String("n"), value.Int(42), engine.PutOptions{})
				return err
			}))
			require.NoError(t, s.Sync(context.Background()))
			img, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, s.Close())
			require.NoError(t, os.WriteFile(path, img, 0o600))
		}, func(d *dump) {
			d.checkpoint(int(d.newest()-pageOf(0)) / layout.PageSize)
		}},
	}
	doc, err := os.ReadFile(formatDoc)
	require.NoError(t, err)
	for _, example := range examples {
		path := filepath.Join(t.TempDir(), "example.pongo")
		require.NoError(t, engine.Create(path, engine.CreateOptions{ChunkSize: engine.MinChunkSize, AnyFS: true}))
		example.make(t, path)
		img, err := os.ReadFile(path)
		require.NoError(t, err)
		d := &dump{t: t, img: img}
		d.normalize()
		example.show(d)

		begin := fmt.Sprintf("<!-- begin: %s -->\n```text\n", example.name)
		const end = "```\n<!-- end -->"
		_, rest, ok := strings.Cut(string(doc), begin)
		require.True(t, ok, "%s has no place for the example %q", formatDoc, example.name)
		old, _, ok := strings.Cut(rest, end)
		require.True(t, ok, "the example %q has no end", example.name)
		if *updateDocs {
			doc = []byte(strings.Replace(string(doc), begin+old+end, begin+d.out.String()+end, 1))
			continue
		}
		got, want := strings.Split(d.out.String(), "\n"), strings.Split(old, "\n")
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Errorf("example %q, line %d:\n got %s\nwant %s", example.name, i+1,
					strings.Join(got[min(i, len(got)):min(i+1, len(got))], ""), strings.Join(want[min(i, len(want)):min(i+1, len(want))], ""))
				break
			}
		}
	}
	if *updateDocs {
		require.NoError(t, os.WriteFile(formatDoc, doc, 0o644))
	}
}

// dump shows parts of a store file.
type dump struct {
	t   *testing.T
	img []byte
	out strings.Builder

	at uint64 // where the next line begins
}

func (d *dump) u16(off uint64) uint16 { return binary.LittleEndian.Uint16(d.img[off:]) }
func (d *dump) u32(off uint64) uint32 { return binary.LittleEndian.Uint32(d.img[off:]) }
func (d *dump) u64(off uint64) uint64 { return binary.LittleEndian.Uint64(d.img[off:]) }

func (d *dump) put64(off, v uint64) { binary.LittleEndian.PutUint64(d.img[off:], v) }
func (d *dump) put32(off uint64, v uint32) {
	binary.LittleEndian.PutUint32(d.img[off:], v)
}

func (d *dump) title(format string, args ...any) {
	if d.out.Len() > 0 {
		d.out.WriteByte('\n')
	}
	fmt.Fprintf(&d.out, format+"\n", args...)
}

// field shows the next n bytes, 16 on a line, and what they mean.
func (d *dump) field(n uint64, format string, args ...any) {
	note := fmt.Sprintf(format, args...)
	for n > 0 {
		k := min(n, 16)
		line := fmt.Sprintf("%08x  %-48s %s", d.at, fmt.Sprintf("% x", d.img[d.at:d.at+k]), note)
		d.out.WriteString(strings.TrimRight(line, " ") + "\n")
		d.at, n, note = d.at+k, n-k, ""
	}
}

// zeros shows that the bytes up to an offset are zero.
func (d *dump) zeros(to uint64) {
	require.Equal(d.t, make([]byte, to-d.at), d.img[d.at:to], "reserved bytes from %#x to %#x", d.at, to)
	if n := to - d.at; n > 16 {
		fmt.Fprintf(&d.out, "%08x  %-48s %d zeros\n", d.at, "00 …", n)
		d.at = to
	} else if n > 0 {
		d.field(n, "zero")
	}
}

func stamp(ns uint64) string { return time.Unix(0, int64(ns)).UTC().Format(time.RFC3339) }

const checkpointPages = 252

func pageOf(i int) uint64 { return 0x2000 + uint64(i)*0x1000 }

// valid reports whether checkpoint page i holds a whole record.
func (d *dump) valid(i int) bool {
	p := pageOf(i)
	return string(d.img[p:p+8]) == "pongpkt1" && d.u32(p+508) == layout.Checksum(d.img[p:p+508])
}

func (d *dump) newest() (page uint64) {
	best := -1
	for i := range checkpointPages {
		if d.valid(i) && (best < 0 || d.u64(pageOf(i)+8) > d.u64(pageOf(best)+8)) {
			best = i
		}
	}
	require.GreaterOrEqual(d.t, best, 0)
	return pageOf(best)
}

func (d *dump) header() {
	d.title("Header page")
	d.at = 0
	d.field(16, "Magic")
	d.field(4, "Version %d", d.u32(16))
	d.field(4, "zero")
	d.field(8, "Compatible: no features")
	require.Equal(d.t, uint64(layout.FeatureSnapshots), d.u64(32))
	d.field(8, "ReadOnly: bit 0, snapshots")
	require.Equal(d.t, uint64(layout.FeatureListed), d.u64(40))
	d.field(8, "Incompatible: bit 0, lists in checkpoint records")
	d.field(16, "UUID")
	d.field(8, "ChunkSize %d", d.u64(64))
	d.field(8, "Created %s", stamp(d.u64(72)))
	d.zeros(508)
	d.field(4, "CRC of bytes 0 to 507")
	h, err := layout.DecodeHeader(d.img)
	require.NoError(d.t, err)
	require.Equal(d.t, d.u64(64), uint64(h.ChunkSize))
	require.Equal(d.t, make([]byte, 4096-512), d.img[512:4096])
}

func (d *dump) session() {
	d.title("Session page")
	d.at = 0x1000
	if d.u64(0x1000) == 0 {
		d.field(8, "Session: the store was never opened")
	} else {
		d.field(8, "Session: what the shm file must repeat")
	}
	d.zeros(0x2000)
}

func (d *dump) checkpoints() {
	for i := range checkpointPages {
		if p := pageOf(i); !d.valid(i) {
			require.Equal(d.t, make([]byte, 4096), d.img[p:p+4096], "checkpoint page %d", i)
			continue
		}
		d.checkpoint(i)
	}
}

func (d *dump) checkpoint(i int) {
	newest := d.newest()
	p := pageOf(i)
	note := ""
	if p == newest {
		note = ", the newest"
	}
	d.title("Checkpoint page %d, of process slot %d%s", i, i/2, note)
	d.at = p
	d.field(8, "magic %q", d.img[p:p+8])
	d.field(8, "Seq %s", seqText(d.u64(p+8)))
	d.field(8, "Root %#x", d.u64(p+16))
	d.field(8, "NextID %d", d.u64(p+24))
	d.field(8, "Slabs %d", d.u64(p+32))
	d.field(8, "Time %s", stamp(d.u64(p+40)))
	d.field(8, "Nonce")
	rec, ok := layout.DecodeCheckpoint(d.img[p:])
	require.True(d.t, ok)
	require.Equal(d.t, rec.Base, d.u64(p+56))
	if rec.Base != 0 {
		d.field(8, "Base %s", seqText(rec.Base))
		require.Equal(d.t, uint32(len(rec.Fresh)), d.u32(p+64))
		d.field(4, "Count %d", len(rec.Fresh))
		d.field(4, "FreshCRC, of bytes 512 to %d", rec.Size()-1)
	}
	d.zeros(p + 508)
	d.field(4, "CRC of bytes 0 to 507")
	if rec.Base != 0 {
		for _, f := range rec.Fresh {
			require.Equal(d.t, uint64(f.Ref), d.u64(d.at))
			d.field(12, "Ref %#x, CRC of the %s", uint64(f.Ref), strings.ToLower(kindNames[layout.Kind(d.img[f.Ref])]))
		}
	}
	require.Equal(d.t, layout.Ref(d.u64(p+16)), rec.Root)
}

func seqText(seq uint64) string {
	if seq>>32 > 0 {
		return fmt.Sprintf("%d·2³² + %d", seq>>32, uint32(seq))
	}
	return fmt.Sprint(seq)
}

// each calls fn for every object that the newest checkpoint reaches, parents
// first.
func (d *dump) each(fn func(ref uint64)) {
	var walk func(ref uint64)
	walk = func(ref uint64) {
		if ref == 0 {
			return
		}
		fn(ref)
		switch layout.Kind(d.img[ref]) {
		case layout.KindRoot:
			walk(d.u64(ref + 32))
		case layout.KindIDNode:
			n := uint64(0)
			for bitmap := d.u32(ref + 20); bitmap != 0; bitmap &= bitmap - 1 {
				walk(d.u64(ref + 24 + 8*n))
				n++
			}
		case layout.KindContainer:
			walk(d.u64(ref + 72))
		case layout.KindLeaf:
		default:
			d.t.Fatalf("object of kind %d at %#x", d.img[ref], ref)
		}
	}
	walk(d.u64(d.newest() + 16))
}

func (d *dump) object(ref uint64) []byte {
	n := 32 * uint64(d.u16(ref+2))
	require.Zero(d.t, ref%32)
	require.GreaterOrEqual(d.t, ref, uint64(16*65536))
	require.LessOrEqual(d.t, ref%65536+n, uint64(65536))
	return d.img[ref : ref+n]
}

// normalize replaces what differs from run to run.
func (d *dump) normalize() {
	var times []uint64 // places of times
	timeAt := func(off uint64) { times = append(times, off) }
	for i := range 16 {
		d.img[48+i] = byte(i * 0x11)
	}
	timeAt(72)
	if d.u64(0x1000) != 0 {
		d.put64(0x1000, 0x5e551015e551015e)
	}
	var pages []int
	for i := range checkpointPages {
		if d.valid(i) {
			pages = append(pages, i)
			timeAt(pageOf(i) + 40)
			d.put64(pageOf(i)+48, 0x1111111111111111*uint64(len(pages)))
		}
	}
	newest := d.u64(pageOf(pages[0]) + 8)
	for _, i := range pages {
		newest = max(newest, d.u64(pageOf(i)+8))
	}
	seal := func(i int) {
		p := pageOf(i)
		if d.u64(p+56) != 0 {
			list := d.img[p+512:][:12*d.u32(p+64)]
			for f := 0; f < len(list); f += 12 {
				copy(list[f+8:f+12], d.img[binary.LittleEndian.Uint64(list[f:])+4:])
			}
			d.put32(p+68, layout.Checksum(list))
		}
		d.put32(p+508, layout.Checksum(d.img[p:p+508]))
	}
	for _, i := range pages {
		seal(i)
	}
	d.each(func(ref uint64) {
		require.True(d.t, layout.VerifySeal(d.object(ref)), "checksum of the object at %#x", ref)
		switch layout.Kind(d.img[ref]) {
		case layout.KindRoot:
			timeAt(ref + 24)
		case layout.KindContainer:
			d.put64(ref+36, 0) // owner
			timeAt(ref + 48)
			timeAt(ref + 56)
			timeAt(ref + 64)
		case layout.KindLeaf:
			timeAt(ref + 32)
		}
	})
	var distinct []uint64
	for _, off := range times {
		distinct = append(distinct, d.u64(off))
	}
	slices.Sort(distinct)
	distinct = slices.Compact(distinct)
	start := uint64(time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	for _, off := range times {
		i, _ := slices.BinarySearch(distinct, d.u64(off))
		d.put64(off, start+uint64(i)*1e9)
	}
	d.put32(508, layout.Checksum(d.img[:508]))
	for _, i := range pages {
		seal(i)
	}
	d.each(func(ref uint64) { layout.Seal(d.object(ref)) })
	for _, i := range pages {
		seal(i) // with the checksums in its list
	}
}

var kindNames = map[layout.Kind]string{
	layout.KindRoot: "Root record", layout.KindIDNode: "Id node",
	layout.KindContainer: "Container record", layout.KindLeaf: "Leaf",
}

// tree shows the objects of the newest version. Of the containers that every
// store has it shows the root only, the others are like it.
func (d *dump) tree() {
	d.each(func(ref uint64) {
		kind := layout.Kind(d.img[ref])
		if id := d.u64(ref + 16); kind == layout.KindContainer && id > 1 && id < 16 {
			require.Equal(d.t, byte(value.KindDict), d.img[ref+32])
			require.Zero(d.t, d.u64(ref+72))
			return
		}
		size := uint64(len(d.object(ref)))
		d.title("%s at %#x, %d bytes", kindNames[kind], ref, size)
		d.at = ref
		require.Zero(d.t, d.img[ref+1], "flags of the object at %#x", ref)
		d.field(16, "Kind %d, Granules %d, CRC, Birth %s", kind, d.u16(ref+2), seqText(d.u64(ref+8)))
		switch kind {
		case layout.KindRoot:
			d.root(ref)
		case layout.KindIDNode:
			d.idNode(ref)
		case layout.KindContainer:
			d.container(ref)
		case layout.KindLeaf:
			d.leaf(ref)
		}
		d.zeros(ref + size)
	})
}

func (d *dump) root(ref uint64) {
	d.field(8, "Seq %s", seqText(d.u64(ref+16)))
	d.field(8, "Time %s", stamp(d.u64(ref+24)))
	d.field(8, "IDTable %#x", d.u64(ref+32))
	d.field(4, "IDHeight %d", d.u32(ref+40))
	d.field(4, "zero")
	d.field(8, "Entries %d", d.u64(ref+48))
	d.field(8, "Containers %d", d.u64(ref+56))
	d.field(8, "Snapshot %d", d.u64(ref+64))
	d.field(8, "Taken %d", d.u64(ref+72))
	d.field(8, "Settings %d", d.u64(ref+80))
	require.Equal(d.t, d.u64(ref+8), d.u64(ref+16), "birth and sequence of the root")
	require.Equal(d.t, d.u64(d.newest()+8), d.u64(ref+16), "sequence of the checkpoint and of its root")
}

func (d *dump) idNode(ref uint64) {
	d.field(1, "Level %d", d.img[ref+16])
	d.field(3, "zero")
	var ids []string
	for bitmap, i := d.u32(ref+20), 0; i < 32; i++ {
		if bitmap>>i&1 != 0 {
			ids = append(ids, fmt.Sprint(i))
		}
	}
	d.field(4, "Bitmap: slots %s", strings.Join(ids, ", "))
	for i, id := range ids {
		d.field(8, "slot %s: %#x", id, d.u64(ref+24+8*uint64(i)))
	}
}

func (d *dump) container(ref uint64) {
	id := d.u64(ref + 16)
	d.field(8, "ID %d", id)
	d.field(8, "Parent %d", d.u64(ref+24))
	d.field(1, "Kind %d, %v", d.img[ref+32], value.Kind(d.img[ref+32]))
	d.field(1, "zero")
	d.field(2, "Mode %#o", d.u16(ref+34))
	d.field(4, "UID %d", d.u32(ref+36))
	d.field(4, "GID %d", d.u32(ref+40))
	d.field(4, "BodyWeight %d", d.u32(ref+44))
	d.field(8, "Mtime %s", stamp(d.u64(ref+48)))
	d.field(8, "Wtime %s", stamp(d.u64(ref+56)))
	d.field(8, "Ctime %s", stamp(d.u64(ref+64)))
	d.field(8, "Body %#x", d.u64(ref+72))
	d.field(8, "BodyCount %d", d.u64(ref+80))
	d.field(8, "Elements %d", d.u64(ref+88))
	d.field(8, "Subdirs %d", d.u64(ref+96))
	d.field(8, "Xattr: none")
	d.field(4, "XattrSize")
	d.field(4, "NamesWeight")
	rec, err := container.DecodeRecord(d.object(ref))
	require.NoError(d.t, err)
	require.Equal(d.t, id, rec.ID)
	require.Equal(d.t, d.u64(ref+72), uint64(rec.Body.Ref))
}

func (d *dump) leaf(ref uint64) {
	n, used := uint64(d.u16(ref+16)), uint64(d.u16(ref+18))
	baseID := d.u64(ref + 24)
	d.field(2, "Count %d", n)
	d.field(2, "Used %d", used)
	d.field(2, "Gaps %d", d.u16(ref+20))
	d.field(2, "zero")
	d.field(8, "BaseID %d", baseID)
	d.field(8, "BaseTime %s", stamp(d.u64(ref+32)))
	for i := range n {
		d.field(2, "item %d ends at %d", i, d.u16(ref+40+2*i))
	}
	area := ref + 40 + 2*n
	for i := range n {
		d.item(area+uint64(d.u16(ref+40+2*i)), baseID)
	}
	require.Equal(d.t, ref+used, d.at)
}

// uvarint shows the next field of an item.
func (d *dump) uvarint(note func(v uint64) string) uint64 {
	v, n := binary.Uvarint(d.img[d.at:])
	require.Positive(d.t, n)
	d.field(uint64(n), "%s", note(v))
	return v
}

func zigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func (d *dump) item(end, baseID uint64) {
	length := d.uvarint(func(v uint64) string { return fmt.Sprintf("key of %d bytes", v) })
	key := d.img[d.at : d.at+length]
	require.Equal(d.t, byte(value.KindString), key[0])
	decoded, err := value.DecodeKey(bytes.Clone(key))
	require.NoError(d.t, err)
	d.field(length, "a string: %q", decoded.AsString())
	kind, flags := value.Kind(d.img[d.at]&15), container.Flags(d.img[d.at]>>4)
	require.Equal(d.t, container.Declared, flags)
	d.field(1, "kind %d, %v; flag 1, declared", kind, kind)
	require.Equal(d.t, layout.HasMtime, d.img[d.at])
	d.field(1, "Has: mtime only")
	d.uvarint(func(v uint64) string { return fmt.Sprintf("id %d: BaseID + %d", baseID+uint64(zigzag(v)), zigzag(v)) })
	d.uvarint(func(v uint64) string { return fmt.Sprintf("mtime: BaseTime + %d", zigzag(v)) })
	if kind == value.KindInt {
		d.uvarint(func(v uint64) string { return fmt.Sprintf("payload: %d", zigzag(v)) })
	}
	require.Equal(d.t, end, d.at)
}
