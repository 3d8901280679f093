package layout

// A block (KindBlock) holds a piece of a large value:
//
//	offset  size  field
//	    16     4  Len       bytes of data, at most BlockPayload
//	    20    12  reserved  zero
//	    32   Len  Data
//
// Bytes of the piece beyond Len are zeros.
const (
	BlockLenOff  = 16
	BlockDataOff = 32

	// BlockPayload is the number of bytes of a value in a full block.
	BlockPayload = 8192 - BlockDataOff
)

// A blob node (KindBlobNode) refers to the pieces of a value that is larger
// than BlockPayload:
//
//	offset  size  field
//	    16     1  Level     1: children are blocks, else nodes of Level−1
//	    17     1  reserved  zero
//	    18     2  Count     refs that follow, 1 to BlobFanout
//	    20     4  reserved  zero
//	    24  8·Count  Refs   child i holds the i-th part, Nil is zeros
//
// A part is BlockPayload·BlobFanout^(Level−1) bytes. Children past Count are
// Nil.
const (
	BlobLevelOff = 16
	BlobCountOff = 18
	BlobRefsOff  = 24

	// BlobFanout is the largest number of children of a blob node.
	BlobFanout = 64
)
