package layout

import (
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

var someHeader = Header{
	Version: FormatVersion, Compatible: 1 << 63, ReadOnly: 5,
	UUID:      [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	ChunkSize: 16 << 20, Created: 1_700_000_000_123_456_789,
}

func validHeader(t testing.TB) []byte {
	t.Helper()
	page := make([]byte, PageSize)
	someHeader.Encode(page)
	return page
}

func TestHeaderRoundTrip(t *testing.T) {
	got, err := DecodeHeader(validHeader(t))
	require.NoError(t, err)
	require.Equal(t, someHeader, got)
}

func TestDecodeHeaderRejectsTruncation(t *testing.T) {
	page := validHeader(t)
	for n := range recordSize {
		_, err := DecodeHeader(page[:n])
		require.ErrorIs(t, err, ErrNotStore, "%d bytes", n)
	}
	_, err := DecodeHeader(page[:recordSize])
	require.NoError(t, err)
}

// Every flipped bit of the record is noticed: in the magic it makes another
// kind of file, in the version another format, anywhere else damage.
func TestDecodeHeaderRejectsBitFlips(t *testing.T) {
	page := validHeader(t)
	for bit := range recordSize * 8 {
		page[bit/8] ^= 1 << (bit % 8)
		want := ErrCorrupt
		switch {
		case bit/8 < 16:
			want = ErrNotStore
		case bit/8 < 20:
			want = ErrVersion
		}
		_, err := DecodeHeader(page)
		require.ErrorIs(t, err, want, "bit %d of byte %d", bit%8, bit/8)
		page[bit/8] ^= 1 << (bit % 8)
	}
}

func TestDecodeHeaderFields(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Header)
		want   error
	}{
		{"an unknown compatible feature", func(h *Header) { h.Compatible = ^uint64(0) }, nil},
		{"an unknown read-only feature", func(h *Header) { h.ReadOnly = ^uint64(0) }, nil},
		{"an unknown incompatible feature", func(h *Header) { h.Incompatible = 1 << 63 }, ErrVersion},
		{"a version before this one", func(h *Header) { h.Version = 0 }, ErrVersion},
		{"a version after this one", func(h *Header) { h.Version = FormatVersion + 1 }, ErrVersion},
		{"the least chunk size", func(h *Header) { h.ChunkSize = SlabSize }, nil},
		{"no chunk size", func(h *Header) { h.ChunkSize = 0 }, ErrCorrupt},
		{"a negative chunk size", func(h *Header) { h.ChunkSize = -SlabSize }, ErrCorrupt},
		{"a chunk size of part of a slab", func(h *Header) { h.ChunkSize = SlabSize + PageSize }, ErrCorrupt},
	}
	for _, test := range tests {
		h := someHeader
		test.change(&h)
		page := make([]byte, PageSize)
		h.Encode(page)
		got, err := DecodeHeader(page)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
		if test.want == nil && got != h {
			t.Errorf("%s: got %+v, want %+v", test.name, got, h)
		}
	}
}

var someCheckpoint = Checkpoint{
	Seq: 1<<32 + 7, Root: 16*SlabSize + 3*Granule, NextID: 272, Slabs: 256,
	Time: 1_700_000_000_000_000_001, Nonce: 0xfeedfacecafebeef,
}

// someListed becomes durable together with three objects.
var someListed = Checkpoint{
	Seq: 1<<32 + 8, Root: 16*SlabSize + 5*Granule, NextID: 273, Slabs: 256,
	Time: 1_700_000_000_000_000_002, Nonce: 0xfeedfacecafebeed, Base: 1<<32 + 7,
	Fresh: []Fresh{{16*SlabSize + 5*Granule, 1}, {1<<40 - SlabSize, 0xffffffff}, {17 * SlabSize, 0}},
}

// fullListed lists as many objects as a record can.
func fullListed() Checkpoint {
	c := someListed
	c.Fresh = nil
	for i := range MaxFresh {
		c.Fresh = append(c.Fresh, Fresh{Ref((i + 1) << 16), uint32(i)})
	}
	return c
}

func TestCheckpointRoundTrip(t *testing.T) {
	none := someListed
	none.Fresh = nil
	for _, want := range []Checkpoint{someCheckpoint, someListed, fullListed(), none} {
		page := make([]byte, PageSize)
		want.Encode(page)
		got, ok := DecodeCheckpoint(page)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	require.LessOrEqual(t, CheckpointRecord+MaxFresh*FreshSize, PageSize)
}

func TestDecodeCheckpointRejectsDamage(t *testing.T) {
	_, ok := DecodeCheckpoint(make([]byte, PageSize))
	require.False(t, ok, "a page never written")
	for _, c := range []Checkpoint{someCheckpoint, someListed, fullListed()} {
		page := make([]byte, PageSize)
		c.Encode(page)
		for n := range c.Size() {
			_, ok := DecodeCheckpoint(page[:n])
			require.False(t, ok, "%d bytes", n)
		}
		for bit := range c.Size() * 8 {
			page[bit/8] ^= 1 << (bit % 8)
			_, ok := DecodeCheckpoint(page)
			require.False(t, ok, "bit %d of byte %d", bit%8, bit/8)
			page[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// A record torn between two checkpoints at any byte is neither of them, unless
// it is one of them.
func TestDecodeCheckpointRejectsTornRecords(t *testing.T) {
	next := someCheckpoint
	next.Seq, next.Root, next.Nonce, next.Time = next.Seq+1000, next.Root+4096, 99, next.Time+1e9
	for _, pair := range [][2]Checkpoint{{someCheckpoint, next}, {someListed, next}, {next, someListed}, {fullListed(), someListed}} {
		older, newer := make([]byte, PageSize), make([]byte, PageSize)
		pair[0].Encode(older)
		pair[1].Encode(newer)
		copy(newer[pair[1].Size():], older[pair[1].Size():]) // which is not written
		for n := range PageSize + 1 {
			torn := append(append([]byte{}, newer[:n]...), older[n:]...)
			got, ok := DecodeCheckpoint(torn)
			// What lies behind a record's own length means nothing.
			whole := [2]bool{}
			for i, page := range [][]byte{older, newer} {
				size := pair[i].Size()
				whole[i] = string(torn[:size]) == string(page[:size])
			}
			require.Equal(t, whole[0] || whole[1], ok, "torn at %d", n)
			if ok {
				require.Contains(t, pair, got)
			}
		}
	}
}

// TestHolds: a listed record holds if each object is there as it was, and not
// otherwise.
func TestHolds(t *testing.T) {
	const slabs = ReservedSlabs + 2
	file := make([]byte, slabs*SlabSize)
	object := func(off, size int, birth uint64) Fresh {
		obj := file[off : off+size]
		InitObject(obj, KindBlock, birth)
		for i := HeaderSize; i < size; i++ {
			obj[i] = byte(i * 7)
		}
		Seal(obj)
		return Fresh{Ref(off), ObjectSum(obj)}
	}
	const at = ReservedSlabs * SlabSize
	c := Checkpoint{Seq: 9, Base: 5, Slabs: slabs, Fresh: []Fresh{
		object(at, 4*Granule, 6), object(at+SlabSize-Granule, Granule, 9), object(at+2*SlabSize-MaxObject, MaxObject, 7),
	}}
	read := func(off int64, n int) []byte { return file[off : off+int64(n)] }
	require.True(t, c.Holds(int64(len(file)), read))
	require.False(t, c.Holds(int64(len(file))-1, read), "a file cut short")
	require.False(t, c.Holds(int64(len(file)), func(int64, int) []byte { return nil }), "a file that cannot be read")

	for _, f := range c.Fresh {
		n := ObjectGranules(file[f.Ref:]) * Granule
		for bit := range n * 8 {
			b := &file[int(f.Ref)+bit/8]
			*b ^= 1 << (bit % 8)
			require.False(t, c.Holds(int64(len(file)), read), "bit %d of the object at %d", bit, f.Ref)
			*b ^= 1 << (bit % 8)
		}
		old := append([]byte(nil), file[f.Ref:int(f.Ref)+n]...)
		for _, stale := range []uint64{1, c.Base, c.Base + 1, c.Seq + 1} {
			obj := file[f.Ref : int(f.Ref)+n]
			InitObject(obj, KindBlock, stale)
			Seal(obj)
			require.False(t, c.Holds(int64(len(file)), read), "another object that is whole, born at %d", stale)
		}
		copy(file[f.Ref:], old)
	}
	for _, ref := range []Ref{0, Granule, at - Granule, at + 1, slabs * SlabSize, 1 << 63, ^Ref(0) - 31, ^Ref(0)} {
		bad := c
		bad.Fresh = append([]Fresh{{ref, 0}}, c.Fresh...)
		require.False(t, bad.Holds(int64(len(file)), read), "an object at %d", ref)
	}
	for _, birth := range []uint64{c.Base, c.Seq + 1} {
		bad := c
		bad.Fresh = append([]Fresh{object(at+Granule*8, Granule, birth)}, c.Fresh...)
		require.False(t, bad.Holds(int64(len(file)), read), "an object that is whole, born at %d", birth)
	}
	require.True(t, c.Holds(int64(len(file)), read))
	plain := Checkpoint{Seq: 9, Slabs: 1 << 60}
	require.True(t, plain.Holds(0, nil), "a plain record")
}

func TestNewestCheckpoint(t *testing.T) {
	plain := func(seq uint64) Checkpoint { return Checkpoint{Seq: seq} }
	listed := func(seq, base uint64, holds bool) Checkpoint {
		c := Checkpoint{Seq: seq, Base: base}
		if holds {
			c.NextID = 1
		}
		return c
	}
	tests := []struct {
		name    string
		records []Checkpoint
		newest  int
		refused []int
	}{
		{"none", nil, -1, nil},
		{"the highest", []Checkpoint{plain(3), plain(5), plain(4)}, 1, nil},
		{"the highest, listed", []Checkpoint{plain(3), listed(5, 3, true), plain(4)}, 1, nil},
		{"the plain one of two", []Checkpoint{listed(5, 3, true), plain(5), listed(5, 4, true)}, 1, nil},
		{"the plain one, the list does not hold", []Checkpoint{listed(5, 3, false), plain(5)}, 1, nil},
		{"another list of the same version", []Checkpoint{listed(5, 3, false), listed(5, 4, true)}, 1, []int{0}},
		{"its base", []Checkpoint{plain(1), listed(5, 4, false), plain(4)}, 2, []int{1}},
		{"later than its base", []Checkpoint{plain(3), listed(5, 2, false), plain(2)}, 0, []int{1}},
		{"two that do not hold", []Checkpoint{listed(6, 4, false), listed(5, 4, false), listed(4, 1, true)}, 2, []int{0, 1}},
		{"the base is gone", []Checkpoint{listed(5, 4, false), plain(3)}, -1, []int{0}},
		{"the base does not hold", []Checkpoint{listed(5, 4, false), listed(4, 3, false), plain(2)}, -1, []int{0, 1}},
	}
	for _, test := range tests {
		newest, refused := NewestCheckpoint(test.records, func(c *Checkpoint) bool { return c.Base == 0 || c.NextID == 1 })
		require.Equal(t, test.newest, newest, test.name)
		require.Equal(t, test.refused, refused, test.name)
	}
}

// What a power cut leaves of a record is told from most other damage.
func TestTornCheckpoint(t *testing.T) {
	older, newer := make([]byte, CheckpointRecord), make([]byte, CheckpointRecord)
	someCheckpoint.Encode(older)
	next := someCheckpoint
	next.Seq, next.Root, next.Nonce = next.Seq+1000, next.Root+4096, 99
	next.Encode(newer)
	listed := make([]byte, PageSize)
	someListed.Encode(listed)
	for _, before := range [][]byte{older, make([]byte, CheckpointRecord), listed[:CheckpointRecord]} {
		for n := range CheckpointRecord + 1 {
			require.True(t, TornCheckpoint(append(append([]byte{}, newer[:n]...), before[n:]...)), "torn at %d", n)
			require.True(t, TornCheckpoint(append(append([]byte{}, before[:n]...), newer[n:]...)), "torn at %d", n)
		}
	}
	require.False(t, TornCheckpoint(newer[:CheckpointRecord-1]), "too short")
	for n := range CheckpointRecord {
		constant := n < 8 || n >= recordUsed && n < CheckpointRecord-4
		newer[n] ^= 0x80
		require.Equal(t, !constant, TornCheckpoint(newer), "a bit of byte %d", n)
		newer[n] ^= 0x80
	}
}

func TestRootRoundTrip(t *testing.T) {
	want := Root{Seq: 5, Time: -3, IDTable: 1 << 20, IDHeight: 2, Entries: 1 << 40, Containers: 4, Snapshot: 3, Taken: 7, Settings: 2}
	obj := make([]byte, RootSize)
	InitObject(obj, KindRoot, want.Seq)
	want.Encode(obj)
	got, err := DecodeRoot(obj)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, want.Seq, ObjectBirth(obj))

	for n := range RootSize {
		_, err := DecodeRoot(obj[:n])
		require.ErrorIs(t, err, ErrCorrupt, "%d bytes", n)
	}
	for k := range 256 {
		obj[0] = byte(k)
		if _, err := DecodeRoot(obj); Kind(k) == KindRoot {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrCorrupt, "kind %d", k)
		}
	}
}

func TestObjectHeader(t *testing.T) {
	obj := make([]byte, 5*Granule)
	for i := range obj {
		obj[i] = 0xcc
	}
	InitObject(obj, KindLeaf, 77)
	require.Equal(t, KindLeaf, ObjectKind(obj))
	require.Equal(t, 5, ObjectGranules(obj))
	require.Equal(t, uint64(77), ObjectBirth(obj))
	for i := HeaderSize; i < len(obj); i++ {
		require.Zero(t, obj[i], "byte %d of a new object", i)
	}
	SetKind(obj, KindFree)
	SetBirth(obj, 1<<40)
	require.Equal(t, KindFree, ObjectKind(obj))
	require.Equal(t, uint64(1<<40), ObjectBirth(obj))
	require.Equal(t, 5, ObjectGranules(obj))

	// The largest object's size fits the field.
	large := make([]byte, MaxObject)
	InitObject(large, KindBlock, 1)
	require.Equal(t, MaxObject, ObjectGranules(large)*Granule)
}

func TestSealNoticesBitFlips(t *testing.T) {
	obj := make([]byte, 3*Granule)
	InitObject(obj, KindBlock, 9)
	for i := BlockDataOff; i < len(obj); i++ {
		obj[i] = byte(i * 7)
	}
	require.False(t, VerifySeal(obj), "not sealed")
	Seal(obj)
	require.True(t, VerifySeal(obj))
	Seal(obj)
	require.True(t, VerifySeal(obj), "sealed twice")
	for bit := range len(obj) * 8 {
		obj[bit/8] ^= 1 << (bit % 8)
		require.False(t, VerifySeal(obj), "bit %d of byte %d", bit%8, bit/8)
		obj[bit/8] ^= 1 << (bit % 8)
	}
}

func TestChecksumIsCastagnoli(t *testing.T) {
	// The check value of CRC-32C in the catalogue of parametrised CRCs.
	require.Equal(t, uint32(0xe3069283), Checksum([]byte("123456789")))
}

func TestCorruptError(t *testing.T) {
	err := Corrupt("leaf", 4096, "has %d items", 3)
	require.ErrorIs(t, err, ErrCorrupt)
	require.EqualError(t, err, "store is damaged: leaf at offset 4096: has 3 items")
	var ce *CorruptError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, Ref(4096), ce.Ref)
}

// FuzzDecodeHeader: any bytes give a header that encodes to what was decoded,
// or one of three errors.
func FuzzDecodeHeader(f *testing.F) {
	f.Add(validHeader(f))
	f.Add([]byte(Magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, page []byte) {
		h, err := DecodeHeader(page)
		if err != nil {
			if !errors.Is(err, ErrNotStore) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("unexpected error %v", err)
			}
			// Past the checksum the fields themselves are tried.
			if len(page) < recordSize {
				return
			}
			page = append([]byte(nil), page[:recordSize]...)
			copy(page, Magic)
			binary.LittleEndian.PutUint32(page[16:], FormatVersion)
			binary.LittleEndian.PutUint32(page[508:], Checksum(page[:508]))
			if h, err = DecodeHeader(page); err != nil {
				if errors.Is(err, ErrNotStore) {
					t.Fatalf("unexpected error %v", err)
				}
				return
			}
		}
		if h.Version != FormatVersion || h.ChunkSize <= 0 || h.ChunkSize%SlabSize != 0 || h.Incompatible&^KnownIncompatible != 0 {
			t.Fatalf("accepted %+v", h)
		}
		again := make([]byte, recordSize)
		h.Encode(again)
		if got, err := DecodeHeader(again); err != nil || got != h {
			t.Fatalf("%+v encodes to %+v, %v", h, got, err)
		}
	})
}

// FuzzDecodeCheckpoint: what decodes encodes to what was decoded.
func FuzzDecodeCheckpoint(f *testing.F) {
	f.Add(make([]byte, CheckpointRecord))
	for _, c := range []Checkpoint{someCheckpoint, someListed, fullListed()} {
		page := make([]byte, PageSize)
		c.Encode(page)
		f.Add(page)
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		c, ok := DecodeCheckpoint(page)
		if !ok {
			// With checksums that are right it decodes, if its list is there.
			if len(page) < CheckpointRecord {
				return
			}
			page = append([]byte(nil), page...)
			binary.LittleEndian.PutUint64(page, checkpointMagic)
			if binary.LittleEndian.Uint64(page[56:]) != 0 {
				n := int(binary.LittleEndian.Uint32(page[64:]))
				if n > MaxFresh || len(page) < CheckpointRecord+n*FreshSize {
					return
				}
				binary.LittleEndian.PutUint32(page[68:], Checksum(page[CheckpointRecord:CheckpointRecord+n*FreshSize]))
			}
			binary.LittleEndian.PutUint32(page[508:], Checksum(page[:508]))
			if c, ok = DecodeCheckpoint(page); !ok {
				t.Fatal("rejected although magic and checksums are right")
			}
		}
		again := make([]byte, PageSize)
		c.Encode(again)
		if got, ok := DecodeCheckpoint(again); !ok || !reflect.DeepEqual(got, c) {
			t.Fatalf("%+v encodes to %+v, %v", c, got, ok)
		}
	})
}

// FuzzDecodeRoot: what decodes encodes to what was decoded.
func FuzzDecodeRoot(f *testing.F) {
	obj := make([]byte, RootSize)
	InitObject(obj, KindRoot, 5)
	(&Root{Seq: 5, IDTable: 1 << 20, IDHeight: 1, Containers: 4}).Encode(obj)
	f.Add(append([]byte(nil), obj...))
	f.Add(obj[:RootSize-1])
	f.Fuzz(func(t *testing.T, obj []byte) {
		r, err := DecodeRoot(obj)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("unexpected error %v", err)
			}
			return
		}
		again := make([]byte, RootSize)
		InitObject(again, KindRoot, ObjectBirth(obj))
		r.Encode(again)
		if got, err := DecodeRoot(again); err != nil || got != r {
			t.Fatalf("%+v encodes to %+v, %v", r, got, err)
		}
	})
}
