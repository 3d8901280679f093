// Package layout says what the bytes of a store mean: headers, words, records
// and their offsets. It is the only owner of offsets; docs/format.md describes
// the same format in prose.
//
// Everything is little-endian. Objects are aligned to Granule bytes and are
// immutable once published. Offset 0 is nil.
package layout

// Ref is the position of an object: bytes from the start of the store file, a
// multiple of Granule, 0 for none.
type Ref uint64

// Nil is the Ref that refers to nothing.
const Nil Ref = 0

// Granule is the unit of allocation in bytes; objects start at multiples of it.
const Granule = 32

// SlabSize is the size in bytes and the alignment of a slab. No object
// crosses a slab boundary.
const SlabSize = 64 << 10

// MaxObject is the size in bytes of the largest object, header included.
const MaxObject = 16 << 10

// Kind is the kind of an object.
type Kind uint8

// The kinds of objects. The numbers are part of the format.
const (
	KindFree      Kind = iota
	KindRoot           // root record
	KindIDNode         // inner node of the id table
	KindContainer      // container record
	KindLeaf           // packed leaf of a container body
	KindInner          // inner node of a container body, binary
	KindBlob           // root of a large value: length and blocks
	KindBlobNode       // inner node of a large value
	KindBlock          // data block of a large value
)

// HeaderSize is the size in bytes of the header that opens each object:
//
//	offset  size  field
//	     0     1  Kind
//	     1     1  Flags     reserved, zero
//	     2     2  Granules  size of the object in units of Granule
//	     4     4  CRC       crc32c of the object with this field zero
//	     8     8  Birth     sequence of the root that publishes the object
const HeaderSize = 16
