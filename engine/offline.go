package engine

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

// Offline is a store file that no process has open: what check, repair and
// compact work on. Unlike Open, opening it changes nothing, and it opens
// however damaged the file is. It belongs to one goroutine.
type Offline struct {
	s         *Store
	slabs     uint64
	size      int64
	header    error // what is wrong with the header page
	versions  []OfflineVersion
	clean     bool
	unclean   string
	completed uint64
}

// OfflineVersion is a version that a store file says it has.
type OfflineVersion struct {
	Root   layout.Ref
	Seq    uint64
	NextID uint64
	Time   time.Time
	// Published reports that the version is the newest one of a store whose
	// processes were killed: it is known from the shm file and not from a
	// checkpoint.
	Published bool
}

// OpenOffline opens a store file that nobody else has open, or ErrBusy. While
// it is open nobody can write to the store; with exclusive, nobody can open
// it. A file without a trace of a store is ErrNotStore.
func OpenOffline(path string, exclusive, anyFS bool) (o *Offline, err error) {
	flag := os.O_RDONLY
	if exclusive {
		flag = os.O_RDWR // for the locks
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	header, headerErr := readHeader(f, anyFS)
	if errors.Is(headerErr, ErrVersion) && !headerSealed(f) {
		// Damage that looks like another format.
		headerErr = fmt.Errorf("%w: %w", ErrNotStore, headerErr)
	}
	if headerErr != nil && !errors.Is(headerErr, ErrCorrupt) && !errors.Is(headerErr, ErrNotStore) {
		return nil, errors.Join(headerErr, f.Close())
	}
	m, err := mapping.OpenFile(f, reserveStore, reserveMin, true)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s := newStore(path, header, m, Options{ReadOnly: true})
	o = &Offline{s: s, header: headerErr}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
			o = nil
		}
	}()
	if err := o.lock(exclusive); err != nil {
		return o, err
	}
	if o.size, err = m.Size(); err != nil {
		return o, err
	}
	if m.Reserved() < reserveStore {
		// What this process cannot map is not missing from the store. (No store is
		// longer than reserveStore: what a longer file has behind that is damage.)
		if err := s.fits(uint64(o.size) / layout.SlabSize); err != nil {
			return o, err
		}
	}
	o.slabs = uint64(min(o.size, m.Reserved())) / layout.SlabSize
	if o.slabs >= layout.ReservedSlabs {
		err = safely(o.look)
	}
	if err == nil && headerErr != nil && len(o.versions) == 0 && errors.Is(headerErr, ErrNotStore) {
		err = headerErr
	}
	return o, err
}

// headerSealed reports whether the header page has a right checksum.
func headerSealed(f *os.File) bool {
	var page [layout.PageSize]byte
	_, err := f.ReadAt(page[:], layout.HeaderOffset)
	return err == nil && layout.HeaderSealed(page[:])
}

// lock keeps others out, or reports who is in.
func (o *Offline) lock(exclusive bool) error {
	m, path := o.s.store, o.s.path
	if exclusive {
		if ok, err := m.LockWait(mapping.LockGate, 1, 2*time.Second); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%s: %w: a process is opening or closing it", path, ErrBusy))
		}
		if inUse, err := m.Locked(mapping.LockReaders, 1); err != nil || inUse {
			return errors.Join(err, fmt.Errorf("%s: %w: a process has it open read-only", path, ErrBusy))
		}
	} else {
		if ok, err := m.TryShare(mapping.LockReaders, 1); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%s: %w", path, ErrBusy))
		}
		if inUse, err := m.Locked(mapping.LockGate, 1); err != nil || inUse {
			return errors.Join(err, fmt.Errorf("%s: %w: a process is opening or closing it", path, ErrBusy))
		}
	}
	if inUse, err := m.Locked(mapping.LockSlots, layout.MaxProcesses); err != nil || inUse {
		return errors.Join(err, fmt.Errorf("%s: %w: a process has it open", path, ErrBusy))
	}
	if same, err := samePath(path, m.File()); err != nil || !same {
		return errors.Join(err, fmt.Errorf("%s: %w: the file was replaced", path, ErrBusy))
	}
	return nil
}

// look finds the versions, newest first.
func (o *Offline) look() error {
	newest, _, newestErr := o.s.newestCheckpoint()
	durable := uint64(0)
	for i := range layout.MaxProcesses * layout.CheckpointPages {
		c, ok := o.s.checkpointAt(i)
		if !ok || newestErr == nil && c.Seq > newest.Seq {
			continue // those do not hold
		}
		durable = max(durable, c.Seq)
		o.versions = append(o.versions, OfflineVersion{Root: c.Root, Seq: c.Seq, NextID: c.NextID, Time: time.Unix(0, c.Time)})
	}
	slices.SortStableFunc(o.versions, func(a, b OfflineVersion) int { return cmp.Compare(b.Seq, a.Seq) })
	if o.header != nil || len(o.versions) == 0 {
		return nil
	}
	shm, why, err := o.s.oldShm()
	if shm == nil {
		o.unclean = why
		if err != nil {
			o.unclean = "the shm file cannot be read"
		}
		return nil
	}
	o.s.attach(shm)
	o.completed = o.s.hdr.Completed.Load()
	hdr := o.s.hdr
	seq := max(hdr.SeqHint.Load(), hdr.Completed.Load(), durable)
	switch {
	case hdr.Poison.Load() != 0:
		o.unclean = "a sync had failed"
	case newestErr != nil || !announced(o.s.view, newest.Nonce):
		o.unclean = "the shm file does not know the newest checkpoint"
	case hdr.Slabs.Load() > o.slabs:
		o.unclean = "the file is shorter than its shm file says"
	case hdr.Clean.Load() == 1 && hdr.Completed.Load() == newest.Seq && layout.Ref(hdr.Root.Load()) == newest.Root:
		o.clean = true
	default:
		o.unclean = "the last process that had it open was killed, or left space unaccounted for"
		ref := layout.Ref(hdr.Root.Load())
		root, err := o.root(ref)
		if err == nil && root.Seq >= seq && ref != newest.Root {
			o.versions = slices.Insert(o.versions, 0, OfflineVersion{
				Root: ref, Seq: root.Seq, NextID: hdr.NextID.Load(), Time: time.Unix(0, root.Time), Published: true,
			})
		}
	}
	return nil
}

func (o *Offline) root(ref layout.Ref) (layout.Root, error) {
	obj, err := o.Object(ref, layout.KindRoot)
	if err != nil {
		return layout.Root{}, err
	}
	return layout.DecodeRoot(obj)
}

// Versions returns the versions that the file says it has, newest first. The
// ones before the newest may have been overwritten since.
func (o *Offline) Versions() []OfflineVersion { return o.versions }

// Object implements container.Space, over the whole file.
func (o *Offline) Object(ref layout.Ref, kind layout.Kind) ([]byte, error) {
	off := uint64(ref)
	if off%layout.Granule != 0 || off < layout.ReservedSlabs*layout.SlabSize || off >= o.Limit() {
		return nil, layout.Corrupt("reference", ref, "outside of the store")
	}
	head := o.s.store.Bytes(int64(off), layout.HeaderSize)
	n := uint64(layout.ObjectGranules(head)) * layout.Granule
	if k := layout.ObjectKind(head); k != kind && kind != layout.KindFree {
		return nil, layout.Corrupt("object", ref, "is of kind %d, not %d", k, kind)
	}
	if n == 0 || off%layout.SlabSize+n > layout.SlabSize {
		return nil, layout.Corrupt("object", ref, "claims %d bytes", n)
	}
	return o.s.store.Bytes(int64(off), int64(n)), nil
}

// Limit implements container.Bounded.
func (o *Offline) Limit() uint64 { return o.slabs * layout.SlabSize }

// Allocated returns what the shm file says about which objects are allocated,
// nil when it says nothing: only after a clean close does it hold as it is.
func (o *Offline) Allocated() func(layout.Ref) bool {
	if !o.clean {
		return nil
	}
	return o.s.heap.Allocated
}

// AllocatedObjects is how many objects the shm file says are allocated, after a
// clean close.
func (o *Offline) AllocatedObjects() int64 {
	if !o.clean {
		return 0
	}
	return o.s.heap.Usage().Objects
}

// Unclean says why the next opening has to recover the store, "" if it need
// not.
func (o *Offline) Unclean() string { return o.unclean }

// Completed is the sequence of the last checkpoint that the processes of this
// session have completed, 0 when that is not known.
func (o *Offline) Completed() uint64 { return o.completed }

// File returns the open file, for its header and checkpoint pages.
func (o *Offline) File() *os.File { return o.s.store.File() }

// Size returns the length of the file in bytes.
func (o *Offline) Size() int64 { return o.size }

// Header returns the header, and a new one in place of one that is damaged.
func (o *Offline) Header() layout.Header {
	if o.header == nil {
		return o.s.header
	}
	// What can be read of it is better than nothing, if it makes sense.
	var page [layout.PageSize]byte
	h := newHeader(DefaultChunkSize)
	if _, err := o.File().ReadAt(page[:], layout.HeaderOffset); err == nil && !bytes.Equal(page[48:64], make([]byte, 16)) {
		copy(h.UUID[:], page[48:64])
	}
	return h
}

// Close lets others use the store again.
func (o *Offline) Close() error { return o.s.unmap() }
