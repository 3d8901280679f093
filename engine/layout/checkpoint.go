package layout

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// checkpointMagic opens each checkpoint record.
const checkpointMagic = 0x31746b70676e6f70 // "pongpkt1"

// Checkpoint is a durable state of the store.
//
//	offset  size  field
//	     0     8  magic
//	     8     8  Seq       sequence of the root
//	    16     8  Root      reference of the root record
//	    24     8  NextID    no id in the root is as large
//	    32     8  Slabs     length of the file in slabs when the root was taken
//	    40     8  Time      ns since the epoch
//	    48     8  Nonce     random, to recognise the record
//	    56     8  Base      0, or sequence of a checkpoint completed before
//	    64     4  Count     length of Fresh, 0 if Base is
//	    68     4  FreshCRC  crc32c of the encoded Fresh, 0 if Base is
//	    72   436  zero
//	   508     4  CRC       crc32c of bytes 0 to 507
//	   512  12·n  Fresh     not there if Base is 0
//
// A plain record, with Base 0, is written when all objects of its version are
// durable. A listed one becomes durable together with those of its objects that
// were born after Base, which are Fresh: a power cut may leave it without some of
// them, and then it does not count.
type Checkpoint struct {
	Seq    uint64
	Root   Ref
	NextID uint64
	Slabs  uint64
	Time   int64
	Nonce  uint64
	Base   uint64
	Fresh  []Fresh
}

// Fresh is an object that a checkpoint record lists.
//
//	offset  size  field
//	     0     8  Ref
//	     8     4  CRC   that of the object
type Fresh struct {
	Ref Ref
	CRC uint32
}

const (
	// CheckpointRecord is the length in bytes of an encoded Checkpoint without
	// Fresh.
	CheckpointRecord = recordSize
	// FreshSize is the length in bytes of an encoded Fresh.
	FreshSize = 12
	// MaxFresh is how many objects a record may list.
	MaxFresh = (PageSize - CheckpointRecord) / FreshSize

	// recordUsed is where the reserved bytes of a record begin.
	recordUsed = 72
)

// Size returns the length of the encoded record in bytes.
func (c *Checkpoint) Size() int { return CheckpointRecord + FreshSize*len(c.Fresh) }

// Encode writes c into page, which is at least Size bytes of zeros.
func (c *Checkpoint) Encode(page []byte) {
	binary.LittleEndian.PutUint64(page[0:], checkpointMagic)
	binary.LittleEndian.PutUint64(page[8:], c.Seq)
	binary.LittleEndian.PutUint64(page[16:], uint64(c.Root))
	binary.LittleEndian.PutUint64(page[24:], c.NextID)
	binary.LittleEndian.PutUint64(page[32:], c.Slabs)
	binary.LittleEndian.PutUint64(page[40:], uint64(c.Time))
	binary.LittleEndian.PutUint64(page[48:], c.Nonce)
	if c.Base != 0 {
		list := page[CheckpointRecord:c.Size()]
		for i, f := range c.Fresh {
			binary.LittleEndian.PutUint64(list[FreshSize*i:], uint64(f.Ref))
			binary.LittleEndian.PutUint32(list[FreshSize*i+8:], f.CRC)
		}
		binary.LittleEndian.PutUint64(page[56:], c.Base)
		binary.LittleEndian.PutUint32(page[64:], uint32(len(c.Fresh)))
		binary.LittleEndian.PutUint32(page[68:], Checksum(list))
	}
	binary.LittleEndian.PutUint32(page[508:], Checksum(page[:508]))
}

// DecodeCheckpoint reads a checkpoint record from its page and reports whether it
// is whole. A page never written, or torn, is not. Whether the objects are there
// that the record lists is another question, see Holds.
func DecodeCheckpoint(page []byte) (Checkpoint, bool) {
	var c Checkpoint
	if len(page) < recordSize || binary.LittleEndian.Uint64(page) != checkpointMagic ||
		binary.LittleEndian.Uint32(page[508:]) != Checksum(page[:508]) {
		return c, false
	}
	c.Seq = binary.LittleEndian.Uint64(page[8:])
	c.Root = Ref(binary.LittleEndian.Uint64(page[16:]))
	c.NextID = binary.LittleEndian.Uint64(page[24:])
	c.Slabs = binary.LittleEndian.Uint64(page[32:])
	c.Time = int64(binary.LittleEndian.Uint64(page[40:]))
	c.Nonce = binary.LittleEndian.Uint64(page[48:])
	c.Base = binary.LittleEndian.Uint64(page[56:])
	if c.Base == 0 {
		return c, true
	}
	n := int(binary.LittleEndian.Uint32(page[64:]))
	if n > MaxFresh || len(page) < CheckpointRecord+FreshSize*n {
		return Checkpoint{}, false
	}
	list := page[CheckpointRecord : CheckpointRecord+FreshSize*n]
	if binary.LittleEndian.Uint32(page[68:]) != Checksum(list) {
		return Checkpoint{}, false
	}
	for i := range n {
		c.Fresh = append(c.Fresh, Fresh{
			Ref: Ref(binary.LittleEndian.Uint64(list[FreshSize*i:])),
			CRC: binary.LittleEndian.Uint32(list[FreshSize*i+8:]),
		})
	}
	return c, true
}

// Holds reports whether everything that a listed record says to have become
// durable with it is in a file of size bytes: the length that it claims, and each
// object, of the birth and with the checksum that the record was written for.
// read returns n bytes at an offset within the file, nil if it cannot. A plain
// record holds always.
func (c *Checkpoint) Holds(size int64, read func(off int64, n int) []byte) bool {
	if c.Base == 0 {
		return true
	}
	slabs := uint64(max(size, 0)) / SlabSize
	if c.Slabs > slabs {
		return false
	}
	for _, f := range c.Fresh {
		off := uint64(f.Ref)
		if off%Granule != 0 || off < ReservedSlabs*SlabSize || off >= slabs*SlabSize {
			return false
		}
		head := read(int64(off), HeaderSize)
		if head == nil {
			return false
		}
		n := uint64(ObjectGranules(head)) * Granule
		if birth := ObjectBirth(head); birth <= c.Base || birth > c.Seq ||
			n == 0 || off%SlabSize+n > SlabSize || ObjectSum(head) != f.CRC {
			return false
		}
		if obj := read(int64(off), int(n)); obj == nil || !VerifySeal(obj) {
			return false
		}
	}
	return true
}

// NewestCheckpoint returns the index of the record that is the state of the
// store, -1 if there is none: the one of the highest sequence that holds, of two
// the plain one. refused are those of higher sequences, which do not hold.
//
// A record that does not hold may be passed over only for one that it builds on,
// or a later one: what still older ones need may have been used again.
func NewestCheckpoint(records []Checkpoint, holds func(*Checkpoint) bool) (newest int, refused []int) {
	order := make([]int, len(records))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := &records[a], &records[b]
		return cmp.Or(cmp.Compare(y.Seq, x.Seq), cmp.Compare(min(x.Base, 1), min(y.Base, 1)), cmp.Compare(a, b))
	})
	least := uint64(0)
	for _, i := range order {
		c := &records[i]
		if c.Seq < least {
			break
		}
		if holds(c) {
			return i, refused
		}
		refused = append(refused, i)
		least = max(least, c.Base)
	}
	return -1, refused
}

// TornCheckpoint reports whether a record that DecodeCheckpoint refuses can be
// what a power cut leaves of a write over an older record or over zeros: each
// byte is of one or of the other. That tells of the bytes that are the same in
// all records only; the others may have any value.
func TornCheckpoint(page []byte) bool {
	if len(page) < recordSize {
		return false
	}
	var magic [8]byte
	binary.LittleEndian.PutUint64(magic[:], checkpointMagic)
	for i, b := range page[:recordSize-4] {
		switch {
		case b == 0:
		case i < len(magic) && b == magic[i]:
		case i >= len(magic) && i < recordUsed:
		default:
			return false
		}
	}
	return true
}

// CheckpointPage returns the offset of checkpoint page i, 0 ≤ i <
// MaxProcesses*CheckpointPages.
func CheckpointPage(i int) int64 { return CheckpointOffset + int64(i)*PageSize }
