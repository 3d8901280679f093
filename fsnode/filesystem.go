package fsnode

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
)

// fileSystem answers the requests of one mount.
type fileSystem struct {
	// constant after Mount
	store *patientStore
	opts  Options
	log   *slog.Logger

	server kernel // set by Init

	nodes   nodeTable
	files   handleTable[*fileHandle]
	dirs    handleTable[*dirHandle]
	refused refusals
	sides   sideStates
	control controlDir
	frozens frozens
	late    latecomers // of open(2)
	asked   latecomers // of stat(2)
	follow  *follower

	lookups, getattrs atomic.Uint64 // requests, for statsText
}

func newFileSystem(store Store, opts Options) *fileSystem {
	fs := &fileSystem{
		store: &patientStore{Store: store},
		opts:  opts,
		log:   opts.Logger,
		nodes: newNodeTable(),
		files: newHandleTable[*fileHandle](),
		dirs:  newHandleTable[*dirHandle](),
	}
	fs.control = newControlDir(fs)
	fs.follow = newFollower(fs)
	fs.nodes.dropped = fs.follow.forgot
	return fs
}

// String names the file system.
func (fs *fileSystem) String() string { return fs.opts.Name }

// SetDebug is not used: MountOptions.Debug says it.
func (fs *fileSystem) SetDebug(bool) {}

// Init is called when the kernel has said what it can do.
func (fs *fileSystem) Init(s *fuse.Server) { fs.server = s }

// OnUnmount is called after the last request.
func (fs *fileSystem) OnUnmount() {}

// Forget takes back lookups.
func (fs *fileSystem) Forget(nodeid, nlookup uint64) { fs.nodes.forget(nodeid, nlookup) }

// Lookup finds the node of a name in a directory.
func (fs *fileSystem) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	fs.lookups.Add(1)
	dir := fs.nodes.get(in.NodeId)
	if dir == nil {
		return fuse.Status(errStale)
	}
	if len(name) > encoding.MaxNameBytes {
		return fuse.Status(syscall.ENAMETOOLONG)
	}
	if dir.frozen != nil {
		return fs.status("lookup", dir, fs.lookupFrozen(dir, name, out))
	}
	if d, ok := dir.virtual.(snapshotsDir); ok {
		return fs.status("lookup", dir, d.lookup(in.Pid, name, out))
	}
	if v, id := fs.virtualChild(dir, name); v != nil {
		if h, ok := v.(virtualHider); ok && h.isHiddenFrom(in.Pid) {
			return fuse.ENOENT
		}
		return fs.status("lookup", dir, fs.lookupVirtual(v, id, out))
	}
	if dir.virtual != nil {
		return fuse.ENOENT
	}
	e, seq, err := fs.lookupEntry(dir.eid, name)
	if err == nil && !e.IsContainer() {
		if n := fs.nodes.get(uint64(e.ID)); n != nil && fs.settle(n, in.Pid) {
			e, seq, err = fs.lookupEntry(dir.eid, name)
		}
	}
	if err != nil {
		if isAbsent(err) {
			fs.overtake(fileName{dir.id, name}, 0)
			fs.follow.notes.answers(fileName{dir.id, name}, in.Pid, 0)
		}
		fs.late.set(in.Pid, false)
		fs.asked.set(in.Pid, false)
		return fs.status("lookup", dir, err)
	}
	n := fs.nodes.remember(&e, seq)
	fs.overtake(fileName{dir.id, name}, n.id)
	fs.fillEntry(out, n, &e, seq, name)
	fs.follow.notes.answers(fileName{dir.id, name}, in.Pid, n.id)
	if size, ok := n.stagedSize(nil, in.Pid); ok {
		setSize(&out.Attr, size)
		out.SetAttrTimeout(0)
	}
	return fuse.OK
}

// overtake makes the kernel ask for the attributes of the node that it takes a name
// for, if the reply to a LOOKUP says that it stands for another node, or for 0,
// nothing. The notifier tells the kernel, too, but later: who has seen that the
// name is gone must not find that the file still has it.
func (fs *fileSystem) overtake(at fileName, id uint64) {
	for _, old := range fs.follow.takenFor(at) {
		if old == id {
			continue
		}
		if n := fs.nodes.get(old); n != nil {
			fs.expireAttr(n)
		}
	}
}

// lookupEntry finds the entry of a name, and the version it was found in.
func (fs *fileSystem) lookupEntry(dir engine.ID, name string) (e engine.Entry, seq uint64, err error) {
	err = fs.store.View(func(tx Tx) error {
		var err error
		e, err = lookup(tx, dir, name)
		seq = tx.Seq()
		return err
	})
	if isAbsent(err) || errors.Is(err, encoding.ErrBadName) {
		err = engine.ErrNotFound
	}
	return e, seq, err
}

// Readlink returns the target of a symbolic link.
func (fs *fileSystem) Readlink(_ <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	n := fs.nodes.get(in.NodeId)
	if n == nil {
		return nil, fuse.Status(errStale)
	}
	if n.virtual != nil {
		return nil, fuse.EINVAL
	}
	var link []byte
	err := fs.view(n, func(tx Tx, e *engine.Entry) error {
		if !e.Link {
			return syscall.EINVAL
		}
		var err error
		link, err = readImage(tx, e)
		return err
	})
	if errors.Is(err, errStale) {
		if v, ok := n.copyGhost(); ok {
			return v.data, fuse.OK
		}
	}
	return link, fs.status("readlink", n, err)
}

// StatFs returns the size of the disk and the number of entries.
func (fs *fileSystem) StatFs(_ <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	st, err := fs.store.Stats()
	if err != nil {
		return fs.status("statfs", fs.nodes.get(in.NodeId), err)
	}
	const bsize = 4096
	out.Bsize, out.Frsize = bsize, bsize
	out.NameLen = encoding.MaxNameBytes
	used := max(st.UsedBytes, 0)
	free := max(st.FileBytes-st.UsedBytes, 0) + st.FreeDisk
	out.Blocks = uint64(used+free) / bsize
	out.Bfree = uint64(free) / bsize
	out.Bavail = out.Bfree
	// An entry takes some hundred bytes.
	const entryBytes = 128
	out.Ffree = uint64(free) / entryBytes
	out.Files = st.Entries + 1 + out.Ffree
	return fuse.OK
}

// Lseek is left to the kernel: without it every byte counts as data.
func (fs *fileSystem) Lseek(<-chan struct{}, *fuse.LseekIn, *fuse.LseekOut) fuse.Status {
	return fuse.ENOSYS
}

// CopyFileRange is left to the kernel, which reads and writes.
func (fs *fileSystem) CopyFileRange(<-chan struct{}, *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

// Access is the kernel's: the mount has default_permissions.
func (fs *fileSystem) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.ENOSYS }

// Statx is answered by GetAttr.
func (fs *fileSystem) Statx(<-chan struct{}, *fuse.StatxIn, *fuse.StatxOut) fuse.Status {
	return fuse.ENOSYS
}

// Ioctl knows no command.
func (fs *fileSystem) Ioctl(_ <-chan struct{}, _ *fuse.IoctlIn, _ []byte, _ *fuse.IoctlOut, _ []byte) fuse.Status {
	return fuse.Status(syscall.ENOTTY)
}

// GetLk is the kernel's: locks hold within one mount.
func (fs *fileSystem) GetLk(<-chan struct{}, *fuse.LkIn, *fuse.LkOut) fuse.Status {
	return fuse.ENOSYS
}

// SetLk is the kernel's.
func (fs *fileSystem) SetLk(<-chan struct{}, *fuse.LkIn) fuse.Status { return fuse.ENOSYS }

// SetLkw is the kernel's.
func (fs *fileSystem) SetLkw(<-chan struct{}, *fuse.LkIn) fuse.Status { return fuse.ENOSYS }
