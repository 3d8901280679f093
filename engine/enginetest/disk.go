// Package enginetest simulates what a power cut leaves of a store file.
//
// A Disk knows what a disk would hold for sure: the image at the last completed
// sync. A PowerCut builds images from it with any of the sectors changed since
// while a workload runs, in this process or in others, and hands each to a
// check. It is for tests only.
package enginetest

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"sync"

	"pongofs/engine/layout"
)

// Fault is what a Disk does wrong on purpose, so that a test can show that it
// would be noticed.
type Fault int

// The faults.
const (
	// NoFault is a disk that keeps its word.
	NoFault Fault = iota
	// NoFirstSync leaves out the sync of a checkpoint before its record is
	// written.
	NoFirstSync
	// NoSecondSync leaves out the one after it.
	NoSecondSync
	// SwappedSyncs makes the record durable before the data.
	SwappedSyncs
	// NoRecordChecksum builds images as a program sees them that does not look
	// at the checksums of checkpoint records: all of them are right.
	NoRecordChecksum
	// NoObjectChecksum leaves out the first sync, and all checksums of objects
	// are right.
	NoObjectChecksum
	// NoList builds images as a program sees them that does not look for what the
	// records list: all of them are plain.
	NoList
)

// PlainFaults names the faults that show in a store of plain records, each of
// which is written after a sync of its own (see Unlisted).
var PlainFaults = map[string]Fault{
	"first sync left out": NoFirstSync, "second sync left out": NoSecondSync, "syncs swapped": SwappedSyncs,
	"record checksum ignored": NoRecordChecksum, "object checksums ignored": NoObjectChecksum,
}

// ListedFaults names the faults that show where records list what became durable
// with them.
var ListedFaults = map[string]Fault{
	"only sync left out": NoSecondSync, "record checksums ignored": NoRecordChecksum, "lists ignored": NoList,
}

// Image is what a power cut has left.
type Image struct {
	Bytes []byte
	// Acked is what had been acknowledged as durable before, by writer.
	Acked map[string]int64
	// Snapshots says of snapshots whether they must be there: what was
	// acknowledged last, of those that were being neither taken nor dropped.
	Snapshots map[string]bool
	// Half says that a checkpoint was half done.
	Half bool
	// Torn is how many checkpoint records were written in part.
	Torn int
	// Refused is how many whole records of later versions than that of the image
	// list something that is missing.
	Refused int
}

// content is what the file held at some moment.
type content struct {
	b []byte
	// begun is how many syncs had begun before it was taken.
	begun int
}

// Disk is what the disk under a store file holds. All methods may be called at
// once.
type Disk struct {
	path  string
	fault Fault

	mu     sync.Mutex
	random *rand.Rand
	begun  int // syncs so far, the running ones included
	// base is what the last sync made durable: the content when it began.
	base content
	// between are some contents since: sectors that were written more than once
	// may be on the disk with one of the earlier contents.
	between []content
	acked   map[string]int64
	// snapshots are as in Image.
	snapshots map[string]bool
	// at is the step of its checkpoint that each process is at.
	at map[string]string
}

// NewDisk returns the disk below the file at path.
func NewDisk(path string, fault Fault, seed uint64) *Disk {
	return &Disk{
		path: path, fault: fault, random: rand.New(rand.NewPCG(seed, 77)),
		acked: map[string]int64{}, snapshots: map[string]bool{}, at: map[string]string{},
	}
}

// Ack notes that a sync which covers everything of a writer up to number n has
// returned.
func (d *Disk) Ack(writer string, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acked[writer] = max(d.acked[writer], n)
}

// DoubtSnapshot notes that somebody begins to take or to drop a snapshot: until
// AckSnapshot, it may be there or not.
func (d *Disk) DoubtSnapshot(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.snapshots, name)
}

// AckSnapshot notes that taking a snapshot has returned, or with there not set,
// dropping it: both are durable then.
func (d *Disk) AckSnapshot(name string, there bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.snapshots[name] = there
}

// roll returns true once in n times.
func (d *Disk) roll(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n) == 0
}

// step notes at which step of its checkpoint a process is.
func (d *Disk) step(process, point string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at[process] = point
}

// aside reports whether a cut would miss the moment at which the fault of the
// disk does harm: when the record is written and not known to be durable.
func (d *Disk) aside(process, point string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault != NoFault && d.fault != NoSecondSync &&
		(point != "sync" && point != "checkpoint.written" || d.at[process] != "checkpoint.written")
}

// remember keeps the present content as one that sectors may have, now and
// then.
func (d *Disk) remember() error {
	const most = 3
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.between) == most || d.random.IntN(4) != 0 {
		return nil
	}
	b, err := os.ReadFile(d.path)
	d.between = append(d.between, content{b, d.begun})
	return err
}

// sync is one sync of a process. What it makes durable is what was stored
// before it began; it is durable when the sync ends. During is called when it
// has begun and not ended.
func (d *Disk) sync(process string, during func()) error {
	d.mu.Lock()
	at := d.at[process]
	d.begun++
	number := d.begun
	d.mu.Unlock()
	first, second := at == "checkpoint.announced", at == "checkpoint.written"
	leaveOut := first && (d.fault == NoFirstSync || d.fault == NoObjectChecksum || d.fault == SwappedSyncs) ||
		second && d.fault == NoSecondSync
	if leaveOut {
		during()
		return nil
	}
	b, err := os.ReadFile(d.path)
	if err != nil {
		return err
	}
	if second && d.fault == SwappedSyncs {
		d.mu.Lock()
		copy(d.base.b[layout.CheckpointOffset:firstSlab], b[layout.CheckpointOffset:firstSlab])
		d.mu.Unlock()
	}
	during()
	d.mu.Lock()
	defer d.mu.Unlock()
	if number < d.base.begun {
		return nil // one that began later has ended
	}
	d.base = content{b, number}
	kept := d.between[:0]
	for _, s := range d.between {
		if s.begun >= number {
			kept = append(kept, s)
		}
	}
	d.between = kept
	return nil
}

// firstSlab is where the pages at the start of the file end.
const firstSlab = layout.ReservedSlabs * layout.SlabSize

// cut builds an image as a power cut at this moment may leave it, false when
// there has been no sync. Nothing becomes durable and nothing is acknowledged
// meanwhile; what is stored meanwhile may be in it, as on a real disk.
func (d *Disk) cut() (image Image, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.base.b == nil {
		return image, false, nil
	}
	now, err := os.ReadFile(d.path)
	if err != nil {
		return image, false, err
	}
	r := d.random
	contents := [][]byte{now, now, now}
	for _, s := range d.between {
		contents = append(contents, s.b)
	}
	image = Image{Bytes: bytes.Clone(d.base.b), Acked: maps.Clone(d.acked), Snapshots: maps.Clone(d.snapshots)}
	for _, at := range d.at {
		image.Half = image.Half || at != "checkpoint.synced"
	}
	// The length is the old one or a later one.
	if n := len(contents[r.IntN(len(contents))]); len(image.Bytes) < n && r.IntN(2) == 0 {
		image.Bytes = append(image.Bytes, make([]byte, n-len(image.Bytes))...)
	}
	sector := []int{512, 4096}[r.IntN(2)]
	share := []float64{0.02, 0.3, 0.5, 0.9, 0.99, 1}[r.IntN(6)]
	if d.fault == NoObjectChecksum {
		// The record is there and little else is missing, so that the rest makes
		// sense.
		sector, share, contents = 512, 0.99, contents[:1]
	}
	torn := d.fault == NoRecordChecksum || d.fault != NoObjectChecksum && r.IntN(3) == 0
	for off := 0; off+sector <= len(image.Bytes); off += sector {
		from := contents[r.IntN(len(contents))]
		if share == 1 {
			from = now
		}
		if off+sector > len(from) || bytes.Equal(from[off:off+sector], image.Bytes[off:off+sector]) {
			continue
		}
		isRecord := off >= layout.CheckpointOffset && off < firstSlab
		// The worst is a record without its data, or data without the record.
		if isRecord && d.fault != NoObjectChecksum && r.IntN(2) == 0 || !isRecord && r.Float64() >= share {
			continue
		}
		if torn && isRecord {
			image.Torn++
			// The record has a checksum of its own, so that it does not depend on
			// sectors being written whole.
			for word := off; word < off+sector; word += 8 {
				if r.IntN(2) == 0 {
					copy(image.Bytes[word:word+8], from[word:])
				}
			}
			continue
		}
		copy(image.Bytes[off:], from[off:off+sector])
	}
	switch d.fault {
	case NoRecordChecksum:
		sealRecords(image.Bytes)
	case NoObjectChecksum:
		sealObjects(image.Bytes)
	case NoList:
		unlist(image.Bytes)
	}
	image.Refused = refused(image.Bytes)
	return image, true, nil
}
