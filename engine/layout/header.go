package layout

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The pages at the start of a store file.
const (
	// PageSize is the unit in which the start of the file is laid out.
	PageSize = 4096
	// HeaderOffset is where the header page lies.
	HeaderOffset = 0
	// SessionOffset is the page that holds the nonce of the present session.
	SessionOffset = PageSize
	// CheckpointOffset is the first checkpoint page; each process slot has
	// CheckpointPages of them.
	CheckpointOffset = 2 * PageSize
	// CheckpointPages is the number of checkpoint pages of a process slot.
	CheckpointPages = 2
	// MaxProcesses is the number of process slots.
	MaxProcesses = 126
	// ReservedSlabs is the number of slabs at the start of the file that hold
	// these pages instead of objects.
	ReservedSlabs = 16
)

// FormatVersion is the version of the format that this package reads and
// writes.
const FormatVersion = 1

// Magic opens every store file. Its last bytes show damage by text transfers.
const Magic = "pongofs\x00\r\n\x1a\n\x00\xff\xfe\x01"

var (
	// ErrNotStore reports a file that does not begin as a store does.
	ErrNotStore = errors.New("not a pongofs store")
	// ErrVersion reports a format or an incompatible feature that this program
	// does not know.
	ErrVersion = errors.New("unsupported store format")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func update(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }

// Checksum returns the crc32c of b.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Header is the first page of a store file. It is written once.
//
//	offset  size  field
//	     0    16  Magic
//	    16     4  Version        FormatVersion
//	    20     4  zero
//	    24     8  Compatible     feature bits: unknown ones may be ignored
//	    32     8  ReadOnly       feature bits: unknown ones permit only reading
//	    40     8  Incompatible   feature bits: unknown ones forbid opening
//	    48    16  UUID           of the store
//	    64     8  ChunkSize      growth step in bytes at creation
//	    72     8  Created        ns since the epoch
//	    80   428  zero
//	   508     4  CRC            crc32c of bytes 0 to 507
type Header struct {
	Version      uint32
	Compatible   uint64
	ReadOnly     uint64
	Incompatible uint64
	UUID         [16]byte
	ChunkSize    int64
	Created      int64
}

// The feature bits, in ascending order for each of the three words.
const (
	// FeatureSnapshots is a ReadOnly bit: root records have Snapshot, Taken and
	// Settings, and container 3 may list snapshots. A program that does not know
	// them would reuse what only a snapshot holds. Create sets it.
	FeatureSnapshots = 1 << 0

	// FeatureListed is an Incompatible bit: a checkpoint record may list objects
	// that reach the disk in the same sync as it. A program that does not know the
	// list would trust a record some of whose objects never got there. Create sets
	// it.
	FeatureListed = 1 << 0
)

// The feature bits that this program knows.
const (
	KnownReadOnly     = FeatureSnapshots
	KnownIncompatible = FeatureListed
)

const recordSize = 512 // of header and checkpoint records: one sector

// Encode writes h into page, which is at least 512 bytes of zeros.
func (h *Header) Encode(page []byte) {
	copy(page, Magic)
	binary.LittleEndian.PutUint32(page[16:], h.Version)
	binary.LittleEndian.PutUint64(page[24:], h.Compatible)
	binary.LittleEndian.PutUint64(page[32:], h.ReadOnly)
	binary.LittleEndian.PutUint64(page[40:], h.Incompatible)
	copy(page[48:64], h.UUID[:])
	binary.LittleEndian.PutUint64(page[64:], uint64(h.ChunkSize))
	binary.LittleEndian.PutUint64(page[72:], uint64(h.Created))
	binary.LittleEndian.PutUint32(page[508:], Checksum(page[:508]))
}

// DecodeHeader reads a header page. A file that is no store is ErrNotStore, a
// store of another format ErrVersion, a damaged header ErrCorrupt.
func DecodeHeader(page []byte) (Header, error) {
	var h Header
	if len(page) < recordSize || string(page[:16]) != Magic {
		return h, ErrNotStore
	}
	h.Version = binary.LittleEndian.Uint32(page[16:])
	if h.Version != FormatVersion {
		return h, fmt.Errorf("%w: the store has format %d, this program reads format %d",
			ErrVersion, h.Version, FormatVersion)
	}
	if !HeaderSealed(page) {
		return h, Corrupt("header", 0, "checksum does not match")
	}
	h.Compatible = binary.LittleEndian.Uint64(page[24:])
	h.ReadOnly = binary.LittleEndian.Uint64(page[32:])
	h.Incompatible = binary.LittleEndian.Uint64(page[40:])
	copy(h.UUID[:], page[48:64])
	h.ChunkSize = int64(binary.LittleEndian.Uint64(page[64:]))
	h.Created = int64(binary.LittleEndian.Uint64(page[72:]))
	if unknown := h.Incompatible &^ KnownIncompatible; unknown != 0 {
		return h, fmt.Errorf("%w: the store uses features %#x, which this program does not know",
			ErrVersion, unknown)
	}
	if h.ChunkSize < SlabSize || h.ChunkSize%SlabSize != 0 {
		return h, Corrupt("header", 0, "chunk size %d is not a multiple of %d", h.ChunkSize, SlabSize)
	}
	return h, nil
}

// HeaderSealed reports whether the checksum of a header page of at least 512
// bytes is right, whatever else is in it.
func HeaderSealed(page []byte) bool {
	return binary.LittleEndian.Uint32(page[508:]) == Checksum(page[:508])
}
