package fsnode

import (
	"errors"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
	"pongofs/engine/value"
)

// Positions in a directory stream: behind ".", behind "..", and behind the
// name with that number among those that the handle has handed out.
const (
	posDot    = 1
	posDotDot = 2
	posNames  = 3       // behind name 0
	posLast   = 1 << 62 // behind the sidecar, which comes last
)

// dirHandle is an open directory. It remembers the keys of the names that it
// has handed out, so that a listing goes on behind a name whatever has been
// added or removed meanwhile, and so that seekdir finds every position again.
type dirHandle struct {
	n *node

	mu   sync.Mutex
	keys []byte   // encoded keys, one behind the other
	ends []uint32 // where they end
	more int      // names that were handed out in another order than before
	side bool     // a listed entry has something to say in the sidecar
	wait bool     // the sidecar has lines that wait for their files
	kind value.Kind

	names []string // of snapshots, when n is their directory
}

// key returns the key of name i.
//
// Preconditions: d.mu is held.
func (d *dirHandle) key(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = d.ends[i-1]
	}
	return d.keys[from:d.ends[i]]
}

// number returns the number of the name with that key, given that the name
// handed out before it has number prev (-1 for none). Names that are handed
// out again in the same order keep their numbers.
//
// Preconditions: d.mu is held.
func (d *dirHandle) number(prev int, key value.Value) int {
	var buf [64]byte
	enc := value.AppendKey(buf[:0], key)
	if prev+1 < len(d.ends) && string(d.key(prev+1)) == string(enc) {
		return prev + 1
	}
	if prev+1 < len(d.ends) || d.more > 0 {
		d.more++
	}
	d.keys = append(d.keys, enc...)
	d.ends = append(d.ends, uint32(len(d.keys)))
	return len(d.ends) - 1
}

// rewind prepares for a new listing. Positions stay good, as long as that does
// not need too much memory in a directory that changes all the time.
//
// Preconditions: d.mu is held.
func (d *dirHandle) rewind() {
	const tooMany = 10000
	if d.more > tooMany {
		d.keys, d.ends, d.more = d.keys[:0], d.ends[:0], 0
	}
	d.side = false
}

// OpenDir opens a directory.
func (fs *fileSystem) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := fs.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(errStale)
	}
	if !n.dir {
		return fuse.ENOTDIR
	}
	if n.frozen != nil {
		if err := n.frozen.open(); err != nil {
			return fs.status("opendir", n, err)
		}
		out.OpenFlags = fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE
	}
	fs.nodes.opened(n)
	out.Fh = fs.dirs.add(&dirHandle{n: n})
	return fuse.OK
}

// ReleaseDir closes a directory.
func (fs *fileSystem) ReleaseDir(in *fuse.ReleaseIn) {
	if d := fs.dirs.remove(in.Fh); d != nil {
		if d.n.frozen != nil {
			d.n.frozen.close()
		}
		if fs.nodes.closed(d.n) {
			fs.rest(d.n)
		}
	}
}

// ReadDir lists names.
func (fs *fileSystem) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return fs.list(in, func(e fuse.DirEntry, _ *listed) bool { return out.AddDirEntry(e) }, false)
}

// ReadDirPlus lists names and looks each of them up.
func (fs *fileSystem) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return fs.list(in, func(e fuse.DirEntry, l *listed) bool {
		o := out.AddDirLookupEntry(e)
		if o == nil {
			return false
		}
		switch {
		case l == nil: // "." and "..", which the kernel does not look up
		case l.virtual != nil:
			// A lookup that fails leaves the entry without a node.
			if err := fs.lookupVirtual(l.virtual, l.id, o); err != nil {
				*o = fuse.EntryOut{}
			}
		case l.frozen != nil:
			if err := l.frozen.fill(o, l.entry); err != nil {
				*o = fuse.EntryOut{}
			} else if l.entry.ID == engine.RootID {
				o.SetEntryTimeout(0) // a snapshot, which may be dropped
			}
		default:
			n := fs.nodes.remember(l.entry, l.seq)
			fs.fillEntry(o, n, l.entry, l.seq, l.name)
		}
		return true
	}, true)
}

// listed is an entry of a listing.
type listed struct {
	name string
	key  value.Value
	id   uint64
	mode uint32
	pos  uint64

	entry   *engine.Entry // if it is to be looked up
	seq     uint64
	virtual virtual
	frozen  *frozen // the version that the entry is in, nil for the newest
}

// list hands the names behind a position to add until that returns false.
func (fs *fileSystem) list(in *fuse.ReadIn, add func(fuse.DirEntry, *listed) bool, plus bool) fuse.Status {
	d := fs.dirs.get(in.Fh)
	if d == nil {
		return fuse.EBADF
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	pos := in.Offset
	if pos == 0 {
		d.rewind()
		if !add(fuse.DirEntry{Name: ".", Ino: d.n.id, Mode: syscall.S_IFDIR, Off: posDot}, nil) {
			return fuse.OK
		}
		pos = posDot
	}
	if pos == posDot {
		if !add(fuse.DirEntry{Name: "..", Ino: fs.parentID(d.n), Mode: syscall.S_IFDIR, Off: posDotDot}, nil) {
			return fuse.OK
		}
		pos = posDotDot
	}
	if dir, ok := d.n.virtual.(snapshotsDir); ok {
		return fs.status("readdir", d.n, fs.listSnapshots(d, dir, pos, plus, add))
	}
	if d.n.virtual != nil {
		return fs.listVirtual(d.n, pos, add)
	}
	if pos >= posLast {
		return fuse.OK
	}
	if pos-posDotDot > uint64(len(d.ends)) {
		return fuse.EINVAL
	}
	page, end, err := fs.page(d, int(pos-posNames), int(in.Size), plus)
	if errors.Is(err, errStale) {
		return fuse.OK // removed while it was open: empty
	}
	if err != nil {
		return fs.status("readdir", d.n, err)
	}
	for i := range page {
		l := &page[i]
		e := fuse.DirEntry{Name: l.name, Ino: l.id, Mode: l.mode, Off: l.pos}
		if !add(e, l) {
			return fuse.OK
		}
	}
	if !end {
		return fuse.OK
	}
	return fs.listSidecar(d, add)
}

// direntBytes is the space in a reply that a name takes, at least; with its
// attributes, plusBytes more.
const (
	direntBytes = 24
	plusBytes   = 128
)

// page returns the entries behind name prev that fit into a reply of size
// bytes, and whether they are the last ones.
//
// Preconditions: d.mu is held.
func (fs *fileSystem) page(d *dirHandle, prev, size int, plus bool) (page []listed, end bool, err error) {
	each := direntBytes + 16
	if plus {
		each += plusBytes
	}
	page = make([]listed, 0, size/each)
	var after value.Value
	if prev >= 0 {
		if after, err = value.DecodeKey(d.key(prev)); err != nil {
			return nil, false, err
		}
	}
	err = fs.view(d.n, func(tx Tx, dir *engine.Entry) error {
		page, end = page[:0], true
		seq := tx.Seq()
		rest := size
		d.kind = dir.Kind
		if dir.HasXattr {
			info, err := readSideInfo(tx, dir)
			if err != nil {
				return err
			}
			d.wait = info.pending
		}
		var failed error
		err := tx.Scan(dir.ID, after, plus, func(e engine.Entry) bool {
			name, truncated := nameOf(dir.Kind, e.Key)
			rest -= direntBytes + len(name)
			if plus {
				rest -= plusBytes
			}
			if rest < 0 {
				end = false
				return false
			}
			if d.side = d.side || truncated; !d.side {
				shows, err := showsType(tx, &e)
				if err != nil {
					failed = err
					return false
				}
				d.side = !shows
			}
			l := listed{name: name, key: e.Key, id: uint64(e.ID), mode: fileMode(&e), seq: seq, frozen: d.n.frozen}
			if l.frozen != nil {
				l.id = l.frozen.ino(e.ID)
			}
			if plus {
				l.entry = &e
			}
			page = append(page, l)
			return true
		})
		return errors.Join(err, failed)
	})
	if err != nil {
		return nil, false, err
	}
	for i := range page {
		prev = d.number(prev, page[i].key)
		page[i].pos = posNames + uint64(prev)
	}
	return page, end, nil
}

// parentID returns the inode number of "..".
func (fs *fileSystem) parentID(n *node) uint64 {
	if n.virtual != nil {
		return n.virtual.parent()
	}
	if n.frozen != nil && n.eid == engine.RootID {
		return snapshotsID
	}
	id := n.id
	err := fs.view(n, func(_ Tx, e *engine.Entry) error {
		switch {
		case n.frozen != nil:
			id = n.frozen.ino(e.Parent)
		case e.Parent != 0:
			id = uint64(e.Parent)
		}
		return nil
	})
	if err != nil {
		return n.id
	}
	return id
}
