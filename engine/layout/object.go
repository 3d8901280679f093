package layout

import (
	"encoding/binary"
	"math/bits"
)

// ObjectKind returns the kind in the header of obj.
func ObjectKind(obj []byte) Kind { return Kind(obj[0]) }

// ObjectGranules returns the size in the header of obj.
func ObjectGranules(obj []byte) int { return int(binary.LittleEndian.Uint16(obj[2:])) }

// ObjectBirth returns the birth sequence in the header of obj.
func ObjectBirth(obj []byte) uint64 { return binary.LittleEndian.Uint64(obj[8:]) }

// ObjectSum returns the checksum in the header of obj.
func ObjectSum(obj []byte) uint32 { return binary.LittleEndian.Uint32(obj[4:]) }

// SetBirth sets the birth sequence of an unpublished object.
func SetBirth(obj []byte, seq uint64) { binary.LittleEndian.PutUint64(obj[8:], seq) }

// SetKind sets the kind of an unpublished object.
func SetKind(obj []byte, k Kind) { obj[0] = byte(k) }

// InitObject writes the header of a new object and zeroes the rest.
func InitObject(obj []byte, k Kind, birth uint64) {
	clear(obj[HeaderSize:])
	SetHeader(obj, k, birth)
}

// SetHeader writes the header of a new object.
func SetHeader(obj []byte, k Kind, birth uint64) {
	head := uint64(k) | uint64(len(obj)/Granule)<<16
	binary.LittleEndian.PutUint64(obj, head)
	binary.LittleEndian.PutUint64(obj[8:], birth)
}

// Seal stores the checksum of an object that is complete.
func Seal(obj []byte) {
	binary.LittleEndian.PutUint32(obj[4:], 0)
	binary.LittleEndian.PutUint32(obj[4:], Checksum(obj))
}

// VerifySeal reports whether the checksum of obj, which spans the whole
// object, is right.
func VerifySeal(obj []byte) bool {
	var zero [4]byte
	sum := Checksum(obj[:4])
	sum = update(sum, zero[:])
	sum = update(sum, obj[8:])
	return sum == binary.LittleEndian.Uint32(obj[4:])
}

// Root is a root record, the object that the root word refers to.
//
//	offset  size  field
//	     0    16  object header
//	    16     8  Seq         sequence number, equal to the object's birth
//	    24     8  Time        ns since the epoch of the publish
//	    32     8  IDTable     reference of the top node, 0 when empty
//	    40     4  IDHeight    height of the id table
//	    44     4  zero
//	    48     8  Entries     entries below the root container, containers too
//	    56     8  Containers  containers in the id table
//	    64     8  Snapshot    Seq of the newest snapshot that the version lists, 0 for
//	                          none; 0 in the root record of a snapshot
//	    72     8  Taken       snapshots that were ever taken
//	    80     8  Settings    sequence of the last change of the settings
//	    88     8  zero
type Root struct {
	Seq        uint64
	Time       int64
	IDTable    Ref
	IDHeight   uint32
	Entries    uint64
	Containers uint64
	Snapshot   uint64
	Taken      uint64
	Settings   uint64
}

// RootSize is the length in bytes of a root record, header included.
const RootSize = 96

// Encode writes r behind the header of obj.
func (r *Root) Encode(obj []byte) {
	binary.LittleEndian.PutUint64(obj[16:], r.Seq)
	binary.LittleEndian.PutUint64(obj[24:], uint64(r.Time))
	binary.LittleEndian.PutUint64(obj[32:], uint64(r.IDTable))
	binary.LittleEndian.PutUint32(obj[40:], r.IDHeight)
	binary.LittleEndian.PutUint64(obj[48:], r.Entries)
	binary.LittleEndian.PutUint64(obj[56:], r.Containers)
	binary.LittleEndian.PutUint64(obj[64:], r.Snapshot)
	binary.LittleEndian.PutUint64(obj[72:], r.Taken)
	binary.LittleEndian.PutUint64(obj[80:], r.Settings)
}

// DecodeRoot reads a root record.
func DecodeRoot(obj []byte) (Root, error) {
	if len(obj) < RootSize || ObjectKind(obj) != KindRoot {
		return Root{}, Corrupt("root record", 0, "wrong kind or size")
	}
	return Root{
		Seq:        binary.LittleEndian.Uint64(obj[16:]),
		Time:       int64(binary.LittleEndian.Uint64(obj[24:])),
		IDTable:    Ref(binary.LittleEndian.Uint64(obj[32:])),
		IDHeight:   binary.LittleEndian.Uint32(obj[40:]),
		Entries:    binary.LittleEndian.Uint64(obj[48:]),
		Containers: binary.LittleEndian.Uint64(obj[56:]),
		Snapshot:   binary.LittleEndian.Uint64(obj[64:]),
		Taken:      binary.LittleEndian.Uint64(obj[72:]),
		Settings:   binary.LittleEndian.Uint64(obj[80:]),
	}, nil
}

// FindFlip looks for the one bit of obj that is wrong when its checksum does
// not match: it returns the byte and the bit in it that, flipped, make it
// match, or false when there is none.
//
// A crc32c tells any two single bits of an object apart, so if one bit is wrong
// this is it. Bytes that are wrong in another way look like that once in 2^32
// for each bit of the object: for a full block, once in 65 000 times.
func FindFlip(obj []byte) (at int, mask byte, ok bool) {
	var zero [4]byte
	sum := update(update(Checksum(obj[:4]), zero[:]), obj[8:])
	syndrome := sum ^ binary.LittleEndian.Uint32(obj[4:])
	if bits.OnesCount32(syndrome) == 1 {
		i := bits.TrailingZeros32(syndrome)
		return 4 + i/8, 1 << (i % 8), true
	}
	// A checksum is linear: what a flipped bit changes in it depends on how many
	// bytes follow and on nothing else.
	var change [8]uint32
	for b := range change {
		change[b] = castagnoli[1<<b]
	}
	for i := len(obj) - 1; i >= 0 && syndrome != 0; i-- {
		for b, c := range change {
			if c == syndrome && (i < 4 || i >= 8) {
				return i, 1 << b, true
			}
			change[b] = castagnoli[byte(c)] ^ c>>8
		}
	}
	return 0, 0, false
}
