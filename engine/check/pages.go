package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"pongofs/engine/layout"
)

// Pages checks the header page and the checkpoint pages of a store file of
// size bytes, both of every pair.
func Pages(r io.ReaderAt, size int64, rep *Report) {
	var page [layout.PageSize]byte
	read := func(off int64) []byte {
		clear(page[:])
		if _, err := r.ReadAt(page[:], off); err != nil && !errors.Is(err, io.EOF) {
			rep.Add(Finding{Severity: Lost, Rule: RuleLength, Place: "file", Offset: uint64(off), Cause: err.Error()})
		}
		return page[:]
	}
	if _, err := layout.DecodeHeader(read(layout.HeaderOffset)); err != nil {
		text, _ := cause(err)
		rep.Add(Finding{Severity: Error, Rule: RuleHeader, Place: "header page", Cause: text})
	}
	if size < layout.ReservedSlabs*layout.SlabSize || size%layout.SlabSize != 0 {
		rep.Add(Finding{
			Severity: Error, Rule: RuleLength, Place: "file",
			Cause: fmt.Sprintf("is %d bytes long, not a multiple of %d that holds the first pages", size, layout.SlabSize),
		})
	}
	var newest layout.Checkpoint
	at := -1
	seqs := map[uint64]layout.Checkpoint{}
	for i := range layout.MaxProcesses * layout.CheckpointPages {
		off := layout.CheckpointPage(i)
		b := read(off)
		place := fmt.Sprintf("checkpoint page %d of process slot %d", i%layout.CheckpointPages, i/layout.CheckpointPages)
		rec, ok := layout.DecodeCheckpoint(b)
		if !ok {
			// A record is one sector, so that a power loss leaves the old or the new
			// one. It takes a disk without that to get here by itself.
			if !bytes.Equal(b[:layout.CheckpointRecord], make([]byte, layout.CheckpointRecord)) {
				rep.Add(Finding{
					Severity: Error, Rule: RuleCheckpoint, Place: place, Offset: uint64(off),
					Cause: "is neither empty nor a valid record: it was damaged, or written in part",
				})
			}
			continue
		}
		if twin, again := seqs[rec.Seq]; again && twin.Root != rec.Root {
			rep.Add(Finding{
				Severity: Error, Rule: RuleCheckpoint, Place: place, Offset: uint64(off),
				Cause: fmt.Sprintf("gives version %d another root record than a second page does", rec.Seq),
			})
		}
		seqs[rec.Seq] = rec
		if at < 0 || rec.Seq > newest.Seq {
			newest, at = rec, i
		}
	}
	if at < 0 {
		rep.Add(Finding{Severity: Lost, Rule: RuleCheckpoint, Place: "checkpoint pages", Cause: "no page holds a valid record"})
		return
	}
	if newest.Slabs <= layout.ReservedSlabs || newest.Slabs > uint64(size)/layout.SlabSize {
		rep.Add(Finding{
			Severity: Error, Rule: RuleLength, Place: "file",
			Cause: fmt.Sprintf("is %d bytes long, its newest checkpoint needs %d slabs of %d bytes", size, newest.Slabs, layout.SlabSize),
		})
	}
	if newest.NextID < firstFreeID || newest.NextID > maxID {
		rep.Add(Finding{
			Severity: Error, Rule: RuleCheckpoint, Place: "checkpoint pages", Offset: uint64(layout.CheckpointPage(at)),
			Cause: fmt.Sprintf("the next id is %d", newest.NextID),
		})
	}
}
