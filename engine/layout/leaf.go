package layout

// A leaf (KindLeaf) holds the entries of a container body in order, packed:
//
//	offset  size  field
//	    16     2  Count     items, at least 1
//	    18     2  Used      bytes in use from the start of the object
//	    20     2  Gaps      how many of the items are gap runs; 0 unless a list
//	    22     2  reserved  zero
//	    24     8  BaseID    ids of the items are differences from it
//	    32     8  BaseTime  modification times of the items likewise
//	    40  2·Count  Ends   where each item ends, in bytes from the first item
//	     …     …  items     one behind the other, up to Used
//
// An item is:
//
//	uvarint  length of the key, 0 in lists
//	bytes    key as value.AppendKey encodes it
//	1 byte   kind in the low four bits, flags in the high four
//	1 byte   Has bits: which of the optional fields follow
//	varint   id − BaseID; absent in gap runs, as is all that follows but the payload
//	varint   [HasMtime] mtime − BaseTime; without it mtime is 0
//	uvarint  [HasMode]  mode; without it 0777 for a link, else 0644
//	uvarint  [HasOwner] uid, then uvarint gid; without it both are 0
//	varint   [HasWtime] wtime − mtime; without it wtime is mtime
//	varint   [HasCtime] ctime − mtime; without it ctime is mtime
//	varint   [HasInc]   incarnation − wtime; without it incarnation is wtime
//	uvarint  [HasXattr] ref of the attributes in granules, uvarint their size
//	payload  by kind, to the end of the item
//
// The payload of null and of containers is empty; of bool a uvarint; of int and
// datetime a varint; of float 8 bytes, its bits; of uuid 16 bytes; of string and
// bytes the image, or with HasBlob a uvarint ref in granules and a uvarint size;
// of a gap run a uvarint length; of a root reference uvarint ref in granules,
// uvarint Size and uvarint Num. A varint is a zigzag uvarint, differences wrap.
const (
	LeafCountOff    = 16
	LeafUsedOff     = 18
	LeafGapsOff     = 20
	LeafBaseIDOff   = 24
	LeafBaseTimeOff = 32
	LeafEndsOff     = 40
)

// The bits of the second mark byte of an item.
const (
	HasMtime uint8 = 1 << iota
	HasMode
	HasOwner
	HasWtime
	HasCtime
	HasInc
	HasXattr
	HasBlob
)
