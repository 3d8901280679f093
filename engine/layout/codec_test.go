package layout

import (
	"encoding/binary"
	"errors"
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
		{"an unknown incompatible feature", func(h *Header) { h.Incompatible = 1 }, ErrVersion},
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

func TestCheckpointRoundTrip(t *testing.T) {
	page := make([]byte, PageSize)
	someCheckpoint.Encode(page)
	got, ok := DecodeCheckpoint(page)
	require.True(t, ok)
	require.Equal(t, someCheckpoint, got)
}

func TestDecodeCheckpointRejectsDamage(t *testing.T) {
	page := make([]byte, PageSize)
	_, ok := DecodeCheckpoint(page)
	require.False(t, ok, "a page never written")
	someCheckpoint.Encode(page)
	for n := range CheckpointRecord {
		_, ok := DecodeCheckpoint(page[:n])
		require.False(t, ok, "%d bytes", n)
	}
	for bit := range CheckpointRecord * 8 {
		page[bit/8] ^= 1 << (bit % 8)
		_, ok := DecodeCheckpoint(page)
		require.False(t, ok, "bit %d of byte %d", bit%8, bit/8)
		page[bit/8] ^= 1 << (bit % 8)
	}
}

// A record torn between two checkpoints at any byte is neither of them, unless
// it is one of them.
func TestDecodeCheckpointRejectsTornRecords(t *testing.T) {
	older, newer := make([]byte, CheckpointRecord), make([]byte, CheckpointRecord)
	someCheckpoint.Encode(older)
	next := someCheckpoint
	next.Seq, next.Root, next.Nonce, next.Time = next.Seq+1000, next.Root+4096, 99, next.Time+1e9
	next.Encode(newer)
	for n := range CheckpointRecord + 1 {
		torn := append(append([]byte{}, newer[:n]...), older[n:]...)
		got, ok := DecodeCheckpoint(torn)
		require.Equal(t, string(torn) == string(older) || string(torn) == string(newer), ok, "torn at %d", n)
		if ok {
			require.Contains(t, []Checkpoint{someCheckpoint, next}, got)
		}
	}
}

// What a power cut leaves of a record is told from most other damage.
func TestTornCheckpoint(t *testing.T) {
	older, newer := make([]byte, CheckpointRecord), make([]byte, CheckpointRecord)
	someCheckpoint.Encode(older)
	next := someCheckpoint
	next.Seq, next.Root, next.Nonce = next.Seq+1000, next.Root+4096, 99
	next.Encode(newer)
	for _, before := range [][]byte{older, make([]byte, CheckpointRecord)} {
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
	page := make([]byte, CheckpointRecord)
	f.Add(append([]byte(nil), page...))
	someCheckpoint.Encode(page)
	f.Add(page)
	f.Fuzz(func(t *testing.T, page []byte) {
		c, ok := DecodeCheckpoint(page)
		if !ok {
			if len(page) < CheckpointRecord {
				return
			}
			page = append([]byte(nil), page[:CheckpointRecord]...)
			binary.LittleEndian.PutUint64(page, checkpointMagic)
			binary.LittleEndian.PutUint32(page[508:], Checksum(page[:508]))
			if c, ok = DecodeCheckpoint(page); !ok {
				t.Fatal("rejected although magic and checksum are right")
			}
		}
		again := make([]byte, CheckpointRecord)
		c.Encode(again)
		if got, ok := DecodeCheckpoint(again); !ok || got != c {
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
