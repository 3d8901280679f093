package layout

// An inner node (KindInner) of a container body has two children:
//
//	offset  size  field
//	    16     8  Left        ref of the left child
//	    24     8  Right       ref of the right child
//	    32     8  LeftCount   entries below Left; in lists positions
//	    40     4  LeftWeight  leaves below Left; 1 means that Left is a leaf
//	    44     2  SepLen      length of the separator; 0 in lists
//	    46  SepLen  Separator   all keys below Left < Separator <= all keys below Right
//
// The totals of a node stand in its parent, those of the whole body in the
// container record. The parent's total less LeftCount and LeftWeight gives the
// figures of Right.
const (
	InnerLeftOff       = 16
	InnerRightOff      = 24
	InnerLeftCountOff  = 32
	InnerLeftWeightOff = 40
	InnerSepLenOff     = 44
	InnerSepOff        = 46
)
