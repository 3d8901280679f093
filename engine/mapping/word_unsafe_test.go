package mapping

import "sync/atomic"

func word(m *Mapping, off int64) *atomic.Uint32 { return (*atomic.Uint32)(m.At(off, 4)) }
