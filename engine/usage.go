package engine

import (
	"time"

	"pongofs/engine/layout"
	"pongofs/engine/trace"
)

// Usage is what a store holds and what of its file that takes. The file is
// reserved pages, live objects, garbage (what waits for reuse included) and
// free space.
type Usage struct {
	Live     KindUsage            // all that the newest version and the snapshots reach
	ByKind   map[string]KindUsage // the same by kind of object
	Garbage  int64                // bytes of objects that nothing reaches any more
	Free     int64                // bytes of the file without objects
	Reserved int64                // bytes of header and checkpoints

	// LastGC is the last full collection; its Time is zero if there was
	// none since the store was opened by its first process.
	LastGC GCRun
}

// KindUsage is what objects of one kind take.
type KindUsage struct {
	Objects  int64
	Bytes    int64 // Rounding included
	Rounding int64 // bytes at the ends of objects that hold nothing
}

// GCRun is what a full collection did.
type GCRun struct {
	Count uint64 // of collections so far
	Time  time.Time
	Freed int64 // bytes
	Took  time.Duration
}

// kindNames are the names of the kinds of object, as docs/format.md has them.
var kindNames = map[layout.Kind]string{
	layout.KindRoot:      "root",
	layout.KindIDNode:    "id node",
	layout.KindContainer: "container record",
	layout.KindInner:     "inner node",
	layout.KindLeaf:      "leaf",
	layout.KindBlobNode:  "blob node",
	layout.KindBlock:     "block",
}

// Usage follows every reference from the newest root, which takes some
// milliseconds for each 100 000 entries. Others may read and write meanwhile;
// what they free or allocate meanwhile may be counted or not.
func (s *Store) Usage() (Usage, error) {
	var u Usage
	in := s.Internals()
	leave, err := in.Enter()
	if err != nil {
		return u, err
	}
	defer leave()
	named, _, ref, err := in.PinNewest()
	if err != nil {
		return u, err
	}
	defer named.Drop()
	err = safely(func() error {
		tracer := trace.New(s.heap, s.hdr.Slabs.Load())
		if err := tracer.Root(ref); err != nil {
			return err
		}
		u.ByKind = map[string]KindUsage{}
		for kind, k := range tracer.ByKind {
			if k.Objects == 0 {
				continue
			}
			one := KindUsage{k.Objects, k.Bytes, k.Bytes - k.Used}
			u.ByKind[kindNames[layout.Kind(kind)]] = one
			u.Live.Objects += one.Objects
			u.Live.Bytes += one.Bytes
			u.Live.Rounding += one.Rounding
		}
		allocated := u.Live.Bytes
		if !s.readOnly { // else nobody has said what is allocated
			allocated = max(allocated, s.heap.Usage().UsedBytes)
		}
		u.Garbage = allocated - u.Live.Bytes
		u.Reserved = layout.ReservedSlabs * layout.SlabSize
		u.Free = int64(s.hdr.Slabs.Load())*layout.SlabSize - u.Reserved - allocated
		return nil
	})
	u.LastGC = GCRun{
		Count: s.hdr.GCCount.Load(), Freed: int64(s.hdr.GCFreed.Load()), Took: time.Duration(s.hdr.GCNanos.Load()),
	}
	if ns := s.hdr.GCTime.Load(); ns != 0 {
		u.LastGC.Time = time.Unix(0, int64(ns))
	}
	return u, err
}
