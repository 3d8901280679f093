package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"pongofs/engine/layout"
)

// Pages checks the header page and the checkpoint pages of a store file of
// size bytes, both of every pair. What a record lists is not looked at when the
// store is in use: it may be used again as soon as a later one is complete.
func Pages(r io.ReaderAt, size int64, inUse bool, rep *Report) {
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
	var records []layout.Checkpoint
	var pages, torn []int
	seqs := map[uint64]layout.Checkpoint{}
	for i := range layout.MaxProcesses * layout.CheckpointPages {
		off := layout.CheckpointPage(i)
		b := read(off)
		place := pagePlace(i)
		rec, ok := layout.DecodeCheckpoint(b)
		if !ok {
			switch record := b[:layout.CheckpointRecord]; {
			case bytes.Equal(record, make([]byte, layout.CheckpointRecord)):
			case layout.TornCheckpoint(record):
				torn = append(torn, i)
			default:
				rep.Add(Finding{
					Severity: Error, Rule: RuleCheckpoint, Place: place, Offset: uint64(off),
					Cause: "is neither empty, nor a valid record, nor one that was written in part: it was damaged",
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
		records, pages = append(records, rec), append(pages, i)
	}
	chosen, refused := layout.NewestCheckpoint(records, func(c *layout.Checkpoint) bool {
		return inUse || c.Holds(size, func(off int64, n int) []byte {
			b := make([]byte, n)
			if _, err := r.ReadAt(b, off); err != nil {
				return nil
			}
			return b
		})
	})
	for _, i := range refused {
		rep.torn++
		f := Finding{Severity: Note, Rule: RuleCheckpoint, Place: pagePlace(pages[i]), Offset: uint64(layout.CheckpointPage(pages[i]))}
		f.Cause = fmt.Sprintf("lists objects of version %d that are not all there, as a power cut leaves it; it does not count", records[i].Seq)
		if chosen < 0 {
			f.Severity = Lost
			f.Cause = fmt.Sprintf("lists objects of version %d that are not all there, and the record of version %d, which it builds on, is not there either",
				records[i].Seq, records[i].Base)
		}
		rep.Add(f)
	}
	if chosen < 0 {
		reportTorn(torn, rep)
		if len(refused) == 0 {
			rep.Add(Finding{Severity: Lost, Rule: RuleCheckpoint, Place: "checkpoint pages", Cause: "no page holds a valid record"})
		}
		return
	}
	newest, at := &records[chosen], pages[chosen]
	rep.DurableSeq = newest.Seq
	reportTorn(torn, rep)
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

func pagePlace(page int) string {
	return fmt.Sprintf("checkpoint page %d of process slot %d", page%layout.CheckpointPages, page/layout.CheckpointPages)
}

// reportTorn reports the pages whose records were written in part. While a
// record is written the other page of the pair is left alone, so that a power
// cut leaves one such page in a pair, not two; it does not count, and is used
// first by the slot's next checkpoint.
func reportTorn(pages []int, rep *Report) {
	rep.torn += len(pages)
	pairs := map[int]int{}
	for _, page := range pages {
		pairs[page/layout.CheckpointPages]++
	}
	for _, page := range pages {
		f := Finding{Rule: RuleCheckpoint, Place: pagePlace(page), Offset: uint64(layout.CheckpointPage(page))}
		if pairs[page/layout.CheckpointPages] == 1 {
			f.Severity = Note
			f.Cause = "was written in part, as a power cut leaves it; it does not count, and the slot's next checkpoint writes it anew"
		} else {
			f.Severity = Error
			f.Cause = "is no valid record, and neither is the other page of the pair: they were damaged"
		}
		rep.Add(f)
	}
}
