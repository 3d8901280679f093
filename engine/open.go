package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pongofs/engine/epoch"
	"pongofs/engine/heap"
	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

const (
	reserveStore = 1 << 40 // address space for the store file
	reserveMin   = 1 << 28
	// gatePatience is how long an opener waits for another one. Opening after a
	// crash traces the whole store, so it may take a while.
	gatePatience = 60 * time.Second
)

// Open opens an existing store.
//
// It is ErrNotStore or ErrVersion for a file that this program cannot read,
// ErrBusy when the store is in use in a way that excludes this opening, and
// ErrCorrupt when no durable version can be read.
func Open(path string, o Options) (*Store, error) {
	if o.ReadOnly {
		return openReadOnly(path, o)
	}
	for range 100 {
		s, err := open(path, o)
		if !errors.Is(err, errMoved) {
			return s, err
		}
	}
	return nil, fmt.Errorf("%s: %w: the file is replaced again and again", path, ErrBusy)
}

// errMoved reports that the path names another file than the one that was
// opened, so that everything must be looked at again.
var errMoved = errors.New("store file was replaced")

// shmPath returns the path of the shm file of a store.
func shmPath(path string) string { return path + "-shm" }

// mapStore opens and maps a store file, to read it only if o says so. The Store
// has no shm yet.
func mapStore(path string, o Options) (*Store, error) {
	flag := os.O_RDWR
	if o.ReadOnly {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	header, err := readHeader(f, o.AnyFS)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	m, err := mapping.OpenFile(f, reserveStore, reserveMin, o.ReadOnly)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return newStore(path, header, m, o), nil
}

func open(path string, o Options) (s *Store, err error) {
	s, err = mapStore(path, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.unmap())
			s = nil
		}
	}()
	m := s.store
	m.SetHooks(o.MapHooks)
	if unknown := s.header.ReadOnly &^ layout.KnownReadOnly; unknown != 0 {
		return s, fmt.Errorf("%s: %w: it uses features %#x, which this program can only read: open it read-only",
			path, ErrVersion, unknown)
	}

	ok, err := m.LockWait(mapping.LockGate, 1, gatePatience)
	if err != nil {
		return s, err
	}
	if !ok {
		return s, fmt.Errorf("%s: %w: another process has been opening or closing it for %v", path, ErrBusy, gatePatience)
	}
	defer func() { _ = m.Unlock(mapping.LockGate, 1) }()
	if same, err := samePath(path, m.File()); err != nil || !same {
		return s, errors.Join(err, errMoved)
	}
	if busy, err := m.Locked(mapping.LockReaders, 1); err != nil {
		return s, err
	} else if busy {
		return s, fmt.Errorf("%s: %w: a process has it open read-only", path, ErrBusy)
	}
	inUse, err := m.Locked(mapping.LockSlots, layout.MaxProcesses)
	if err != nil {
		return s, err
	}
	if inUse {
		err = s.join()
	} else {
		err = s.start()
	}
	if err != nil {
		return s, err
	}
	if err := s.claimSlot(); err != nil {
		if errors.Is(err, ErrBusy) {
			err = fmt.Errorf("%s: %w: %d processes have it open, the most possible", path, err, layout.MaxProcesses)
		}
		return s, err
	}
	s.hdr.Clean.Store(0)
	s.run()
	return s, nil
}

// newStore returns a Store on a mapped store file, without shm.
func newStore(path string, header layout.Header, m *mapping.Mapping, o Options) *Store {
	s := &Store{
		path: path, header: header, store: m, readOnly: o.ReadOnly, syncEach: o.SyncEach,
		commit: o.Commit, hook: o.Hook,
	}
	if o.Collect != nil {
		s.collect = func() error { return o.Collect(s) }
	}
	return s
}

// attach connects the store with a mapped shm.
func (s *Store) attach(shm *mapping.Mapping) {
	s.shm = shm
	s.view = layout.NewShm(shm.Base(), shm.Reserved())
	s.hdr = s.view.Header()
	s.heap = heap.New(heap.Config{
		Store: s.store, Shm: shm, View: s.view, ChunkSize: s.header.ChunkSize, Hook: s.hook,
	})
}

// run starts what an open store needs once it has its slot.
func (s *Store) run() {
	s.heap.SetOwner(s.token)
	s.epochs = epoch.New(epoch.Config{
		Shm: s.view, Slot: s.slot, Token: s.token,
		Free: func(ref layout.Ref, granules int) {
			if !s.heap.Free(ref, granules) {
				panic(fmt.Sprintf("engine: block at %d was freed twice", uint64(ref)))
			}
		},
	})
	if s.readOnly {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.worker.Add(1)
	go s.work(ctx)
}

// readHeader reads and checks the header page of f without mapping it.
func readHeader(f *os.File, anyFS bool) (layout.Header, error) {
	info, err := f.Stat()
	if err != nil {
		return layout.Header{}, err
	}
	if !info.Mode().IsRegular() {
		return layout.Header{}, fmt.Errorf("%s: %w: it is not a regular file", f.Name(), ErrNotStore)
	}
	var page [layout.PageSize]byte
	if _, err := f.ReadAt(page[:], layout.HeaderOffset); err != nil && !errors.Is(err, io.EOF) {
		return layout.Header{}, err
	}
	h, err := layout.DecodeHeader(page[:])
	if err != nil {
		return h, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if info.Size() < layout.ReservedSlabs*layout.SlabSize {
		return h, fmt.Errorf("%s: %w", f.Name(),
			layout.Corrupt("file", 0, "is %d bytes long, too short for a store: it was cut", info.Size()))
	}
	if !anyFS {
		if err := mapping.CheckFS(f); err != nil {
			return h, err
		}
	}
	return h, nil
}

// samePath reports whether path still names the file that f is.
func samePath(path string, f *os.File) (bool, error) {
	a, err := f.Stat()
	if err != nil {
		return false, err
	}
	b, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(a, b), err
}

// mapShm maps an open shm file and reads its identity.
func mapShm(f *os.File, storeSize int64) (*mapping.Mapping, error) {
	reserve := layout.ShmBytes(uint64(storeSize) / layout.SlabSize)
	return mapping.OpenFile(f, reserve, layout.ShmSlabs+layout.SlabDescSize, false)
}

// cutShort is what shmGood says of a shm file that is smaller than it claims.
const cutShort = "it was cut short"

// shmGood says why the shm in hdr does not belong to the store, "" if it does.
func (s *Store) shmGood(hdr *layout.ShmHeader, size int64) (string, error) {
	if size < layout.ShmSlabs || hdr.Magic != layout.ShmMagic || hdr.Version != layout.FormatVersion {
		return "it is not a shm file of this format", nil
	}
	boot, err := mapping.BootID()
	if err != nil {
		return "", err
	}
	dev, ino, err := mapping.Identity(s.store.File())
	if err != nil {
		return "", err
	}
	switch {
	case hdr.BootID != boot:
		return "the machine was restarted", nil
	case hdr.UUID != s.header.UUID:
		return "it belongs to another store", nil
	case hdr.Dev != dev || hdr.Ino != ino:
		return "the store file was copied or moved to another file system", nil
	case hdr.Session != s.session():
		return "it belongs to another session", nil
	case size < layout.ShmBytes(hdr.Slabs.Load()):
		return cutShort, nil
	}
	return "", nil
}

// session returns the nonce in the session page of the store file.
func (s *Store) session() uint64 {
	return leUint64(s.store.Bytes(layout.SessionOffset, 8))
}

// join attaches to the shm of a store that other processes have open.
func (s *Store) join() error {
	f, err := os.OpenFile(shmPath(s.path), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("%s: %w: it is open under another name, or its shm file was deleted: %w",
			s.path, ErrBusy, err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	shm, err := mapShm(f, s.store.Reserved())
	if err != nil {
		return errors.Join(err, f.Close())
	}
	why, err := "it is not a shm file", error(nil)
	for range 3 {
		if info.Size() < layout.ShmSlabs {
			break
		}
		why, err = s.shmGood(layout.NewShm(shm.Base(), shm.Reserved()).Header(), info.Size())
		if err != nil || why != cutShort {
			break
		}
		// It may have grown since its size was taken.
		if info, err = f.Stat(); err != nil {
			break
		}
	}
	if err == nil && why != "" {
		err = fmt.Errorf("%s: %w: processes have it open, but not through the shm file beside it: %s; "+
			"use the same path as they do", s.path, ErrBusy, why)
	}
	if err != nil {
		return errors.Join(err, shm.Close())
	}
	s.attach(shm)
	if s.hdr.Poison.Load() != 0 {
		return fmt.Errorf("%s: %w", s.path, ErrPoisoned)
	}
	return s.fits(s.hdr.Slabs.Load())
}

// fits reports whether n slabs can be mapped by this process, whose address
// space may be limited.
func (s *Store) fits(n uint64) error {
	if room := uint64(s.store.Reserved()) / layout.SlabSize; n > room {
		return fmt.Errorf("%s: it is %d bytes long, this process can map %d: raise its limit of address space (ulimit -v)",
			s.path, n*layout.SlabSize, s.store.Reserved())
	}
	return nil
}

// unmap closes the files. Nothing of the store may be in use.
func (s *Store) unmap() error {
	var err error
	if s.shm != nil {
		err = s.shm.Close()
		s.shm = nil
	}
	return errors.Join(err, s.store.Close())
}

// Close makes everything durable and closes the store. Calls under way are
// waited for. Only the first Close does something.
func (s *Store) Close() (err error) {
	s.closing.Do(func() { err = s.close() })
	return err
}

func (s *Store) close() error {
	s.closed.Store(true)
	if s.stop != nil {
		s.stop()
		mapping.FutexWake(&s.hdr.Gen)
	}
	s.worker.Wait()
	s.pins.closeAll()
	s.kept.closeAll()
	for s.inside() > 0 || s.ownPins() > 0 {
		time.Sleep(100 * time.Microsecond)
	}
	s.pins.closeAll() // those that a View made meanwhile
	s.kept.closeAll()
	if s.readOnly {
		return s.unmap()
	}
	gate, err := s.store.LockWait(mapping.LockGate, 1, gatePatience)
	var cerr error
	if s.hdr.Poison.Load() != 0 {
		cerr = ErrPoisoned
	} else {
		cerr = s.checkpoint(plain)
	}
	s.emptyLimbo()
	err = errors.Join(err, cerr)
	if !gate {
		// Somebody is stopped in the gate. Our slot's lock goes with the file, and
		// the next opener cleans the slot.
		return errors.Join(err, s.unmap())
	}
	err = errors.Join(err, s.releaseSlot())
	others, lerr := s.store.Locked(mapping.LockSlots, layout.MaxProcesses)
	if lerr == nil && !others && cerr == nil && s.store.File() != nil {
		s.finish()
	}
	err = errors.Join(err, lerr, s.store.Unlock(mapping.LockGate, 1))
	return errors.Join(err, s.unmap())
}

// emptyLimbo frees what may be reused now that the last checkpoint has been
// made, waiting a moment for readers. What is still held then is lost until a
// full collection.
func (s *Store) emptyLimbo() {
	for range 20 {
		s.epochs.Drain(true)
		if s.epochs.LimboBytes() == 0 {
			return
		}
		time.Sleep(250 * time.Microsecond)
	}
	s.hdr.Lost.Add(s.epochs.LimboBytes())
}

// lostMax is how much may be lost before a store is worth tracing.
const lostMax = 16 << 20

// finish marks the shm as complete when the last process has closed the store,
// so that the next open need not trace. The caller holds the gate.
func (s *Store) finish() {
	for i := range int(s.hdr.SlotHigh.Load()) {
		s.cleanDeadSlot(i) // nobody alive holds a slot, and the own one was released
	}
	if s.hdr.Lost.Load() > lostMax {
		return // the next open traces, and finds the lost space
	}
	root, _, err := s.readRoot()
	if err == nil && root.Seq == s.hdr.Completed.Load() {
		s.hdr.Clean.Store(1)
	}
}

func (s *Store) ownPins() int {
	n := 0
	p := s.view.Slot(s.slot)
	for w := range p.Pins {
		if p.Pins[w].Load() != 0 {
			n++
		}
	}
	return n
}

// syncDir makes the names in the directory of path durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
