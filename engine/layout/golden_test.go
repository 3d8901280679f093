package layout

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var updateGolden = flag.Bool("update", false, "rewrite the golden file instead of comparing with it")

// TestLayoutGolden compares every constant, record and struct of the format
// with testdata/layout.golden. A difference is a change of the format: it
// needs a new version, see docs/format.md.
func TestLayoutGolden(t *testing.T) {
	var b strings.Builder
	for _, group := range constants {
		fmt.Fprintf(&b, "%s\n", group.title)
		for _, c := range group.list {
			fmt.Fprintf(&b, "  %-22s %v\n", c.name, c.value)
		}
		b.WriteByte('\n')
	}
	for _, r := range records {
		fmt.Fprintf(&b, "record %s\n  offset  size  field\n", r.name)
		fields := probe(t, r.size, r.encode, r.value)
		for _, f := range fields {
			fmt.Fprintf(&b, "  %6d  %4d  %s\n", f.offset, f.size, f.name)
		}
		b.WriteByte('\n')
	}
	for _, s := range []any{ShmHeader{}, ProcSlot{}, Announcement{}, NamedPin{}, SlabDesc{}} {
		typ := reflect.TypeOf(s)
		fmt.Fprintf(&b, "struct %s, %d bytes\n  offset  size  field\n", typ.Name(), typ.Size())
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Name != "_" {
				fmt.Fprintf(&b, "  %6d  %4d  %s\n", f.Offset, f.Type.Size(), f.Name)
			}
		}
		b.WriteByte('\n')
	}
	got := strings.TrimRight(b.String(), "\n") + "\n"

	path := filepath.Join("testdata", "layout.golden")
	if *updateGolden {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Errorf("line %d differs: got %q, want %q", i+1, at(g, i), at(w, i))
		}
	}
	t.Error("the format has changed: docs/format.md says what that takes; then run the test with -update")
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}

type constant struct {
	name  string
	value any
}

var constants = []struct {
	title string
	list  []constant
}{
	{"units", []constant{
		{"Granule", Granule},
		{"SlabSize", SlabSize},
		{"MaxObject", MaxObject},
		{"HeaderSize", HeaderSize},
		{"PageSize", PageSize},
	}},
	{"start of the file", []constant{
		{"FormatVersion", FormatVersion},
		{"Magic", fmt.Sprintf("%q", Magic)},
		{"HeaderOffset", HeaderOffset},
		{"SessionOffset", SessionOffset},
		{"CheckpointOffset", CheckpointOffset},
		{"CheckpointPages", CheckpointPages},
		{"MaxProcesses", MaxProcesses},
		{"ReservedSlabs", ReservedSlabs},
		{"CheckpointRecord", CheckpointRecord},
		{"FreshSize", FreshSize},
		{"MaxFresh", MaxFresh},
		{"checkpointMagic", fmt.Sprintf("%#x", uint64(checkpointMagic))},
		{"FeatureSnapshots", FeatureSnapshots},
		{"FeatureListed", FeatureListed},
		{"KnownReadOnly", KnownReadOnly},
		{"KnownIncompatible", KnownIncompatible},
	}},
	{"kinds of objects", []constant{
		{"KindFree", KindFree},
		{"KindRoot", KindRoot},
		{"KindIDNode", KindIDNode},
		{"KindContainer", KindContainer},
		{"KindLeaf", KindLeaf},
		{"KindInner", KindInner},
		{"KindBlob", KindBlob},
		{"KindBlobNode", KindBlobNode},
		{"KindBlock", KindBlock},
	}},
	{"id node", []constant{
		{"IDNodeLevelOff", IDNodeLevelOff},
		{"IDNodeBitmapOff", IDNodeBitmapOff},
		{"IDNodeRefsOff", IDNodeRefsOff},
		{"IDNodeBits", IDNodeBits},
	}},
	{"container record", []constant{
		{"RecordIDOff", RecordIDOff},
		{"RecordParentOff", RecordParentOff},
		{"RecordKindOff", RecordKindOff},
		{"RecordModeOff", RecordModeOff},
		{"RecordUIDOff", RecordUIDOff},
		{"RecordGIDOff", RecordGIDOff},
		{"RecordBodyWeightOff", RecordBodyWeightOff},
		{"RecordMtimeOff", RecordMtimeOff},
		{"RecordWtimeOff", RecordWtimeOff},
		{"RecordCtimeOff", RecordCtimeOff},
		{"RecordBodyOff", RecordBodyOff},
		{"RecordBodyCountOff", RecordBodyCountOff},
		{"RecordElementsOff", RecordElementsOff},
		{"RecordSubdirsOff", RecordSubdirsOff},
		{"RecordXattrOff", RecordXattrOff},
		{"RecordXattrSizeOff", RecordXattrSizeOff},
		{"RecordNamesWeightOff", RecordNamesWeightOff},
		{"RecordNamesOff", RecordNamesOff},
		{"RecordNamesCountOff", RecordNamesCountOff},
		{"RecordShortSize", RecordShortSize},
		{"RecordSize", RecordSize},
	}},
	{"leaf", []constant{
		{"LeafCountOff", LeafCountOff},
		{"LeafUsedOff", LeafUsedOff},
		{"LeafGapsOff", LeafGapsOff},
		{"LeafBaseIDOff", LeafBaseIDOff},
		{"LeafBaseTimeOff", LeafBaseTimeOff},
		{"LeafEndsOff", LeafEndsOff},
		{"HasMtime", HasMtime},
		{"HasMode", HasMode},
		{"HasOwner", HasOwner},
		{"HasWtime", HasWtime},
		{"HasCtime", HasCtime},
		{"HasInc", HasInc},
		{"HasXattr", HasXattr},
		{"HasBlob", HasBlob},
	}},
	{"inner node", []constant{
		{"InnerLeftOff", InnerLeftOff},
		{"InnerRightOff", InnerRightOff},
		{"InnerLeftCountOff", InnerLeftCountOff},
		{"InnerLeftWeightOff", InnerLeftWeightOff},
		{"InnerSepLenOff", InnerSepLenOff},
		{"InnerSepOff", InnerSepOff},
	}},
	{"large values", []constant{
		{"BlockLenOff", BlockLenOff},
		{"BlockDataOff", BlockDataOff},
		{"BlockPayload", BlockPayload},
		{"BlobLevelOff", BlobLevelOff},
		{"BlobCountOff", BlobCountOff},
		{"BlobRefsOff", BlobRefsOff},
		{"BlobFanout", BlobFanout},
	}},
	{"shm file", []constant{
		{"ShmMagic", fmt.Sprintf("%#x", uint64(ShmMagic))},
		{"ShmHeaderSize", ShmHeaderSize},
		{"ShmSlots", ShmSlots},
		{"ShmNamedPins", ShmNamedPins},
		{"ShmHints", ShmHints},
		{"ShmSlabs", ShmSlabs},
		{"MaxSlabs", MaxSlabs},
		{"NamedPins", NamedPins},
		{"PinWords", PinWords},
		{"AnnounceWords", AnnounceWords},
		{"ProcSlotSize", ProcSlotSize},
		{"NamedPinSize", NamedPinSize},
		{"SlabDescSize", SlabDescSize},
		{"SlabWords", SlabWords},
		{"SlabReserved", fmt.Sprintf("%#x", SlabReserved)},
		{"PinFree", PinFree},
		{"PinRoot", PinRoot},
		{"PinValue", PinValue},
	}},
}

// records are the structs that are encoded field by field; the golden file has
// the places where each field really goes.
var records = []struct {
	name   string
	size   int
	value  any
	encode func(v any, b []byte)
}{
	{"Header", recordSize, &Header{}, func(v any, b []byte) { v.(*Header).Encode(b) }},
	{"Checkpoint", recordSize, &plainCheckpoint{}, func(v any, b []byte) {
		c := v.(*plainCheckpoint)
		(&Checkpoint{Seq: c.Seq, Root: c.Root, NextID: c.NextID, Slabs: c.Slabs, Time: c.Time, Nonce: c.Nonce, Base: c.Base}).Encode(b)
	}},
	{"Checkpoint, first of Fresh", PageSize, &Fresh{}, func(v any, b []byte) {
		(&Checkpoint{Base: 1, Fresh: []Fresh{*v.(*Fresh), {}}}).Encode(b)
	}},
	{"Root", RootSize, &Root{}, func(v any, b []byte) { v.(*Root).Encode(b) }},
	{"object header", HeaderSize, &objectHeader{}, func(v any, b []byte) {
		h := v.(*objectHeader)
		SetKind(b, h.Kind)
		SetBirth(b, h.Birth)
	}},
}

// plainCheckpoint is a Checkpoint without what has no fixed length.
type plainCheckpoint struct {
	Seq    uint64
	Root   Ref
	NextID uint64
	Slabs  uint64
	Time   int64
	Nonce  uint64
	Base   uint64
}

type objectHeader struct {
	Kind  Kind
	Birth uint64
}

type field struct {
	name         string
	offset, size int
}

// probe finds out which bytes each field of a struct is encoded to, by setting
// it to ones and looking what changes. Checksums change with everything and
// are found as what all fields have in common.
func probe(t *testing.T, size int, encode func(any, []byte), v any) []field {
	t.Helper()
	val := reflect.ValueOf(v).Elem()
	base := make([]byte, size)
	encode(v, base)
	changes := map[int]int{}
	touched := make([][]int, val.NumField())
	for i := range val.NumField() {
		f := val.Field(i)
		old := reflect.New(f.Type()).Elem()
		old.Set(f)
		fillOnes(f)
		b := make([]byte, size)
		encode(v, b)
		f.Set(old)
		for k := range b {
			if b[k] != base[k] {
				touched[i] = append(touched[i], k)
				changes[k]++
			}
		}
	}
	var fields []field
	for i := range val.NumField() {
		own := slices.DeleteFunc(touched[i], func(k int) bool { return changes[k] > 1 })
		require.NotEmpty(t, own, "field %s is not encoded", val.Type().Field(i).Name)
		n := own[len(own)-1] - own[0] + 1
		require.Len(t, own, n, "field %s is scattered", val.Type().Field(i).Name)
		fields = append(fields, field{val.Type().Field(i).Name, own[0], n})
	}
	slices.SortFunc(fields, func(a, b field) int { return a.offset - b.offset })
	for i := 1; i < len(fields); i++ {
		require.GreaterOrEqual(t, fields[i].offset, fields[i-1].offset+fields[i-1].size, "fields overlap")
	}
	return fields
}

func fillOnes(f reflect.Value) {
	switch f.Kind() {
	case reflect.Array:
		for i := range f.Len() {
			fillOnes(f.Index(i))
		}
	case reflect.Int64:
		f.SetInt(-1)
	default:
		f.SetUint(1<<f.Type().Bits() - 1)
	}
}

// TestStartOfFile checks that what lies before the objects does not overlap.
func TestStartOfFile(t *testing.T) {
	last := int64(HeaderOffset)
	for _, off := range []int64{SessionOffset, CheckpointPage(0)} {
		require.Equal(t, last+PageSize, off)
		last = off
	}
	for i := 1; i < MaxProcesses*CheckpointPages; i++ {
		require.Equal(t, CheckpointPage(i-1)+PageSize, CheckpointPage(i))
	}
	end := CheckpointPage(MaxProcesses*CheckpointPages-1) + PageSize
	require.LessOrEqual(t, end, int64(ReservedSlabs*SlabSize))
	require.Zero(t, SlabSize%Granule)
	require.LessOrEqual(t, MaxObject, SlabSize)
}

// TestShmRegions checks that the tables of a shm file do not overlap.
func TestShmRegions(t *testing.T) {
	require.LessOrEqual(t, ShmHeaderSize, ShmSlots)
	require.LessOrEqual(t, ShmSlots+MaxProcesses*ProcSlotSize, ShmNamedPins)
	require.LessOrEqual(t, ShmNamedPins+NamedPins*NamedPinSize, ShmHints)
	require.LessOrEqual(t, ShmHints+MaxSlabs/8, ShmSlabs)
	require.Equal(t, int64(ShmSlabs), ShmBytes(0))
	for _, n := range []uint64{1, 12, 13, 256, MaxSlabs} {
		b := ShmBytes(n)
		require.Zero(t, b%PageSize)
		require.GreaterOrEqual(t, b, int64(ShmSlabs)+int64(n)*SlabDescSize)
		require.Less(t, b, int64(ShmSlabs)+int64(n)*SlabDescSize+PageSize)
	}
}

func TestMagicShowsDamageByTextTransfers(t *testing.T) {
	require.Len(t, Magic, 16)
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) },
		func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) },
		func(b []byte) []byte { return bytes.ReplaceAll(b, []byte{0}, nil) },
		func(b []byte) []byte { return bytes.ToValidUTF8(b, []byte("?")) },
	} {
		_, err := DecodeHeader(damage(validHeader(t)))
		require.ErrorIs(t, err, ErrNotStore)
	}
}
