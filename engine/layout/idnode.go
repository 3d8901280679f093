package layout

// A node of the id table (KindIDNode) maps five bits of an id to a ref:
//
//	offset  size  field
//	    16     1  Level     0: refs are container records, else nodes of Level−1
//	    17     3  reserved  zero
//	    20     4  Bitmap    bit i is set when slot i is not Nil; never zero
//	    24   8·n  Refs      one for each set bit, in order
//
// A node of Level l looks at bits 5·l to 5·l+4 of the id.
const (
	IDNodeLevelOff  = 16
	IDNodeBitmapOff = 20
	IDNodeRefsOff   = 24

	// IDNodeBits is the number of bits of an id that one node looks at.
	IDNodeBits = 5
)
