package container

import (
	"encoding/binary"
	"math/bits"

	"pongofs/engine/layout"
)

// Used returns how many bytes of an object hold something: what is behind them
// is there because objects are made of granules, or because more was expected.
// For damaged objects it is no more than the object is long.
func Used(obj []byte, kind layout.Kind) int {
	used := len(obj)
	u16 := func(off int) int { return int(binary.LittleEndian.Uint16(obj[off:])) }
	switch kind {
	case layout.KindLeaf:
		used = u16(layout.LeafUsedOff)
	case layout.KindInner:
		used = layout.InnerSepOff + u16(layout.InnerSepLenOff)
	case layout.KindContainer:
		used = layout.RecordShortSize
		if binary.LittleEndian.Uint32(obj[layout.RecordNamesWeightOff:]) != 0 {
			used = layout.RecordSize
		}
	case layout.KindBlock:
		used = layout.BlockDataOff + int(binary.LittleEndian.Uint32(obj[layout.BlockLenOff:]))
	case layout.KindBlobNode:
		used = layout.BlobRefsOff + 8*u16(layout.BlobCountOff)
	case layout.KindIDNode:
		used = idNodeSize(bits.OnesCount32(binary.LittleEndian.Uint32(obj[layout.IDNodeBitmapOff:])))
	}
	return min(used, len(obj))
}
