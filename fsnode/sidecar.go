package fsnode

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

// sidecar is the file .pongo-types of a directory. It says what a copy of the
// directory by names, contents and modes alone would lose: declared types that
// the bytes do not show, that the directory is a list or collection, and long
// keys. Its content is made of the directory when it is read, and writing it
// changes the directory; only its attributes are stored, see sideInfo.
type sidecar struct {
	fs  *fileSystem
	dir *node
}

// hideTime is how long a sidecar stays away after it was unlinked.
const hideTime = 10 * time.Second

// sideStates is what this mount knows of the sidecars of directories. Entries
// are few: hidden ones, ones being written, and some content made lately.
type sideStates struct {
	mu    sync.Mutex
	dir   map[engine.ID]*sideState
	limit int // how many to have before the idle ones are looked for
}

// sideState is the state of one sidecar in this mount.
type sideState struct {
	hidden  time.Time // until then there is none
	maker   uint32    // process that has made the directory
	fresh   time.Time // until then the maker may take it for empty
	writers []*sideFile
	seq     uint64 // version of the store that made is from, 0 for none
	made    sideContent
}

// sideContent is a sidecar as the store has it.
type sideContent struct {
	text  []byte
	mtime int64
	info  sideInfo
	dir   engine.Attr
}

// minSideStates is how many directories are remembered at least.
const minSideStates = 64

// with calls fn with the state of a directory.
func (s *sideStates) with(dir engine.ID, fn func(*sideState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.dir[dir]
	if st == nil {
		if s.dir == nil {
			s.dir = map[engine.ID]*sideState{}
		}
		if len(s.dir) >= max(s.limit, minSideStates) {
			now := time.Now()
			for id, old := range s.dir {
				if len(old.writers) == 0 && now.After(old.hidden) && now.After(old.fresh) {
					delete(s.dir, id)
				}
			}
			s.limit = 2 * len(s.dir)
		}
		st = &sideState{}
		s.dir[dir] = st
	}
	fn(st)
}

// isHidden reports whether the sidecar was unlinked a moment ago.
func (s *sideStates) isHidden(dir engine.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.dir[dir]
	return st != nil && time.Now().Before(st.hidden)
}

// made notes that a process has made a directory.
func (s *sideStates) made(dir engine.ID, pid uint32) {
	s.with(dir, func(st *sideState) { st.maker, st.fresh = pid, time.Now().Add(hideTime) })
}

// isFreshFor reports whether a process takes the directory for empty, having
// made it a moment ago. cp -a fills it, extended attributes included, and
// then wants to create the sidecar exclusively.
func (s *sideStates) isFreshFor(dir engine.ID, pid uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.dir[dir]
	return st != nil && st.maker == pid && pid != 0 && len(st.writers) == 0 && time.Now().Before(st.fresh)
}

// parent is the directory that the sidecar speaks of.
func (s sidecar) parent() uint64 { return s.dir.id }

// content returns the sidecar as of the newest version.
func (s sidecar) content() (sideContent, error) {
	var c sideContent
	seq := s.fs.store.Changed()
	known := false
	s.fs.sides.with(s.dir.eid, func(st *sideState) {
		if st.seq == seq && seq != 0 {
			c, known = st.made, true
		}
	})
	if known {
		return c, nil
	}
	err := s.fs.view(s.dir, func(tx Tx, dir *engine.Entry) error {
		var err error
		seq = tx.Seq()
		c, err = makeSidecar(tx, dir)
		return err
	})
	if errors.Is(err, errStale) {
		err = engine.ErrNotFound
	}
	if err == nil && len(c.text) < smallImage {
		s.fs.sides.with(s.dir.eid, func(st *sideState) { st.seq, st.made = seq, c })
	}
	return c, err
}

// attr describes the sidecar, if there is one.
func (s sidecar) attr(a *fuse.Attr) error {
	size := int64(-1)
	s.fs.sides.with(s.dir.eid, func(st *sideState) {
		for _, w := range st.writers {
			size = max(size, w.size())
		}
	})
	if size < 0 && s.fs.sides.isHidden(s.dir.eid) {
		return engine.ErrNotFound
	}
	c, err := s.content()
	if err != nil {
		return err
	}
	if size < 0 && len(c.text) == 0 {
		return engine.ErrNotFound
	}
	a.Mode = syscall.S_IFREG | c.info.mode
	a.Uid, a.Gid = c.info.uid, c.info.gid
	a.Nlink = 1
	a.Blksize = blockSize
	setSize(a, max(size, int64(len(c.text))))
	if size >= 0 {
		setSize(a, size)
	}
	setTimes(a, c.mtime, c.mtime)
	return nil
}

// open opens the sidecar with the content that it has now.
func (s sidecar) open(flags uint32) (openFile, error) {
	c, err := s.content()
	if err != nil {
		return nil, err
	}
	if flags&syscall.O_ACCMODE == syscall.O_RDONLY && flags&syscall.O_TRUNC == 0 {
		return fixedFile(c.text), nil
	}
	f := &sideFile{side: s}
	if flags&syscall.O_TRUNC == 0 {
		f.text = append(f.text, c.text...)
	}
	s.fs.sides.with(s.dir.eid, func(st *sideState) {
		st.hidden, st.fresh = time.Time{}, time.Time{}
		st.writers = append(st.writers, f)
	})
	return f, nil
}

// isHiddenFrom reports whether a process is told that there is no sidecar.
func (s sidecar) isHiddenFrom(pid uint32) bool { return s.fs.sides.isFreshFor(s.dir.eid, pid) }

// create makes a sidecar where there is none, or opens the one there is.
func (s sidecar) create(in *fuse.CreateIn) (openFile, error) {
	var a fuse.Attr
	err := s.attr(&a)
	if err == nil && in.Flags&syscall.O_EXCL != 0 && !s.isHiddenFrom(in.Pid) {
		return nil, syscall.EEXIST
	}
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return nil, err
	}
	f, err := s.open(in.Flags | syscall.O_TRUNC)
	if err != nil {
		return nil, err
	}
	err = s.edit(func(info *sideInfo) {
		info.mode, info.uid, info.gid = in.Mode&0o777, in.Uid, in.Gid
		info.mtime, info.sum = time.Now().UnixNano(), 0
	})
	if err != nil {
		s.closed(f.(*sideFile))
	}
	return f, err
}

// closed forgets an open file.
func (s sidecar) closed(f *sideFile) {
	s.fs.sides.with(s.dir.eid, func(st *sideState) {
		for i, w := range st.writers {
			if w == f {
				st.writers = append(st.writers[:i], st.writers[i+1:]...)
				break
			}
		}
	})
}

// remove hides the sidecar for a while. It changes no type: tar, git and cp
// unlink and create again.
func (s sidecar) remove() error {
	var a fuse.Attr
	if err := s.attr(&a); err != nil {
		return err
	}
	err := s.fs.update(s.dir, func(tx Tx, dir *engine.Entry) error {
		info, err := readSideInfo(tx, dir)
		if err != nil {
			return err
		}
		if !info.pending {
			return errUnchanged
		}
		return info.setPending(tx, dir, nil)
	})
	if err != nil {
		return err
	}
	s.fs.sides.with(s.dir.eid, func(st *sideState) { st.hidden = time.Now().Add(hideTime) })
	return nil
}

// setAttr changes mode, owner and time.
func (s sidecar) setAttr(in *fuse.SetAttrIn) error {
	ch := attrChange(in)
	s.fs.sides.with(s.dir.eid, func(st *sideState) {
		for _, w := range st.writers {
			if ch.Mtime != nil {
				w.setTime(*ch.Mtime)
			}
		}
	})
	return s.edit(func(info *sideInfo) {
		if ch.Mode != nil {
			info.mode = *ch.Mode & 0o777
		}
		if ch.UID != nil {
			info.uid = *ch.UID
		}
		if ch.GID != nil {
			info.gid = *ch.GID
		}
		if ch.Mtime != nil {
			info.mtime = *ch.Mtime
		}
	})
}

// edit changes the stored attributes. The time holds for the present content.
func (s sidecar) edit(fn func(*sideInfo)) error {
	return s.fs.update(s.dir, func(tx Tx, dir *engine.Entry) error {
		c, err := makeSidecar(tx, dir)
		if err != nil {
			return err
		}
		info := c.info
		info.mtime, info.sum = c.mtime, sideSum(c.text)
		fn(&info)
		return info.write(tx, dir)
	})
}

// apply makes text the content of the sidecar.
func (s sidecar) apply(text []byte, mtime int64) error {
	lines, err := encoding.ParseSidecar(text)
	if err != nil {
		return err
	}
	err = s.fs.update(s.dir, func(tx Tx, dir *engine.Entry) error {
		info, err := readSideInfo(tx, dir)
		if err != nil {
			return err
		}
		info.mtime = mtime
		return applySidecar(tx, dir, lines, info)
	})
	if err == nil {
		s.applied()
	}
	return err
}

// applied is called when lines were applied: the entries may have other keys.
func (s sidecar) applied() {
	s.fs.sides.with(s.dir.eid, func(st *sideState) { st.hidden = time.Time{} })
	s.fs.rekey(s.dir.eid)
}

// replace implements rename onto the sidecar, as rsync does it.
func (s sidecar) replace(tx Tx, src *engine.Entry) error {
	if imageSize(src) > maxSidecar {
		return syscall.EFBIG
	}
	text, err := readImage(tx, src)
	if err != nil {
		return err
	}
	lines, err := encoding.ParseSidecar(text)
	if err != nil {
		return err
	}
	if err := tx.Remove(src.Parent, src.Key); err != nil {
		return err
	}
	dir, err := tx.Stat(s.dir.eid)
	if err != nil {
		return err
	}
	info, err := readSideInfo(tx, &dir)
	if err != nil {
		return err
	}
	info.mode, info.uid, info.gid = src.Attr.Mode&0o777, src.Attr.UID, src.Attr.GID
	info.mtime = src.Attr.Mtime
	return applySidecar(tx, &dir, lines, info)
}

// maxSidecar is the length of the longest sidecar that can be written.
const maxSidecar = 64 << 20

// sideFile is a sidecar that is open for writing. What was written is applied
// when a descriptor is closed.
type sideFile struct {
	side sidecar

	mu    sync.Mutex
	text  []byte
	dirty bool
	mtime int64 // set since the last write, 0 for none
}

func (f *sideFile) size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(len(f.text))
}

func (f *sideFile) setTime(ns int64) {
	f.mu.Lock()
	f.mtime = ns
	f.mu.Unlock()
}

func (f *sideFile) read(off int64, n int) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]byte(nil), fixedFile(f.text).read(off, n)...)
}

func (f *sideFile) write(off int64, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off > maxSidecar-int64(len(p)) {
		return syscall.EFBIG
	}
	f.text = overlay(f.text, off, p)
	f.dirty, f.mtime = true, 0
	return nil
}

func (f *sideFile) truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if size > maxSidecar {
		return syscall.EFBIG
	}
	text := make([]byte, size)
	copy(text, f.text)
	f.text = text
	f.dirty, f.mtime = f.dirty || size > 0, 0
	return nil
}

func (f *sideFile) flush() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dirty {
		return nil
	}
	mtime := f.mtime
	if mtime == 0 {
		mtime = time.Now().UnixNano()
	}
	if err := f.side.apply(f.text, mtime); err != nil {
		f.side.fs.noteRefusal(f.side.dir, 0, err)
		return err
	}
	f.dirty = false
	return nil
}

func (f *sideFile) close() error {
	err := f.flush()
	f.side.closed(f)
	return err
}

// listSidecar ends a listing with the sidecar, if there is one.
func (fs *fileSystem) listSidecar(d *dirHandle, add func(fuse.DirEntry, *listed) bool) fuse.Status {
	if !d.side && d.kind == usualKind(d.n.eid) && !d.wait || fs.sides.isHidden(d.n.eid) {
		return fuse.OK
	}
	v := sidecar{fs, d.n}
	var a fuse.Attr
	if err := v.attr(&a); err != nil {
		return fuse.OK
	}
	id := sidecarIDs | d.n.id
	add(fuse.DirEntry{Name: encoding.SidecarName, Ino: id, Mode: a.Mode, Off: posLast}, &listed{virtual: v, id: id})
	return fuse.OK
}

// sideXattr is the hidden attribute of a directory that holds its sideInfo.
const sideXattr = "pongo.sidecar"

// sideInfo is what the store keeps of a sidecar beside its content: an
// attribute of the directory, numbers as unsigned varints.
type sideInfo struct {
	mode, uid, gid uint32
	mtime          int64
	sum            uint64 // of the content that mtime is good for; 0: any
	pending        bool   // lines are kept for files that do not exist yet
}

// readSideInfo returns what the store has, or what a new sidecar would get.
func readSideInfo(tx Reader, dir *engine.Entry) (sideInfo, error) {
	info := sideInfo{mode: dir.Attr.Mode & 0o666, uid: dir.Attr.UID, gid: dir.Attr.GID, mtime: math.MinInt64}
	if !dir.HasXattr {
		return info, nil
	}
	all, err := tx.Xattrs(dir.ID, value.Value{})
	if err != nil {
		return info, err
	}
	b, ok := all[sideXattr]
	if !ok {
		return info, nil
	}
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[max(n, 0):]
		return v
	}
	info.mode, info.uid, info.gid = uint32(next()), uint32(next()), uint32(next())
	info.mtime = int64(next())
	info.sum = next()
	info.pending = next() != 0
	return info, nil
}

// write stores the attribute.
func (i sideInfo) write(tx Tx, dir *engine.Entry) error {
	var b []byte
	pending := uint64(0)
	if i.pending {
		pending = 1
	}
	for _, v := range []uint64{uint64(i.mode), uint64(i.uid), uint64(i.gid), uint64(i.mtime), i.sum, pending} {
		b = binary.AppendUvarint(b, v)
	}
	return tx.SetXattr(dir.ID, value.Value{}, sideXattr, b)
}

// pendingKey is where the lines of a directory wait for their files, among the
// orphans.
func pendingKey(dir engine.ID) value.Value {
	return value.String(encoding.SidecarName + "/" + strconv.FormatUint(uint64(dir), 10))
}

// isStrayPending reports whether lines are kept under key for a directory that
// does not exist any more.
func isStrayPending(tx Reader, key value.Value) bool {
	id, ok := strings.CutPrefix(key.AsString(), encoding.SidecarName+"/")
	if !ok {
		return key.Kind() == value.KindString
	}
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return true
	}
	_, err = tx.Stat(engine.ID(n))
	return errors.Is(err, engine.ErrNotFound)
}

// setPending stores the lines that wait, and the attribute.
func (i sideInfo) setPending(tx Tx, dir *engine.Entry, lines []encoding.SidecarLine) error {
	key := pendingKey(dir.ID)
	if len(lines) == 0 {
		if i.pending {
			if err := tx.Remove(engine.OrphansID, key); err != nil && !errors.Is(err, engine.ErrNotFound) {
				return err
			}
		}
		i.pending = false
		return i.write(tx, dir)
	}
	_, err := tx.PutImage(engine.OrphansID, key, value.KindInvalid, encoding.AppendSidecar(nil, lines), engine.PutOptions{})
	if err != nil {
		return err
	}
	i.pending = true
	return i.write(tx, dir)
}

// pendingLines returns the lines that wait for their files.
func pendingLines(tx Reader, dir *engine.Entry, info sideInfo) ([]encoding.SidecarLine, error) {
	if !info.pending {
		return nil, nil
	}
	e, err := tx.Lookup(engine.OrphansID, pendingKey(dir.ID))
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, err := readImage(tx, &e)
	if err != nil {
		return nil, err
	}
	return encoding.ParseSidecar(text)
}

// sideSum is a sum of the content of a sidecar, never 0.
func sideSum(text []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(text)
	return h.Sum64() | 1
}
