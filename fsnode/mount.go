package fsnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Options modifies Mount. The zero value is a sensible default.
type Options struct {
	// Name is the type of the file system behind "fuse.", "pongofs" by default.
	Name string
	// FsName is the source of the mount as df and mount show it, Name by
	// default.
	FsName string
	// AllowOther lets users other than the mounting one in.
	AllowOther bool
	// ReadOnly makes every change EROFS.
	ReadOnly bool
	// Fusermount mounts through fusermount3 even for root.
	Fusermount bool
	// EntryTimeout and AttrTimeout are how long the kernel may believe names and
	// attributes, an hour by default. It is told when they change.
	EntryTimeout, AttrTimeout time.Duration
	// Strict makes the kernel ask each time, whatever the timeouts say: so a change
	// from outside this mount is seen at once, not some milliseconds later.
	Strict bool
	// Flags are further mount flags, such as syscall.MS_NOEXEC.
	Flags uintptr
	// Debug logs every request at level debug.
	Debug bool
	// Logger gets the messages, slog.Default by default.
	Logger *slog.Logger
}

// withDefaults returns o with its zero values filled in.
func (o Options) withDefaults() Options {
	const timeout = time.Hour
	if o.Name == "" {
		o.Name = "pongofs"
	}
	if o.FsName == "" {
		o.FsName = o.Name
	}
	if o.EntryTimeout == 0 {
		o.EntryTimeout = timeout
	}
	if o.AttrTimeout == 0 {
		o.AttrTimeout = timeout
	}
	if o.Strict {
		o.EntryTimeout, o.AttrTimeout = 0, 0
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// maxWrite is the longest read or write in one request, in bytes.
const maxWrite = 1 << 20

// capabilities are what the kernel is asked for beside go-fuse's defaults.
// Not among them: WRITEBACK_CACHE and PARALLEL_DIRECT_WRITES, with which sizes
// and times would be the kernel's, and CACHE_SYMLINKS.
const capabilities = fuse.CAP_ATOMIC_O_TRUNC |
	fuse.CAP_DIRECT_IO_ALLOW_MMAP |
	fuse.CAP_HANDLE_KILLPRIV_V2 |
	fuse.CAP_READDIRPLUS_AUTO

// mountOptions returns what go-fuse needs to know.
func (o *Options) mountOptions() *fuse.MountOptions {
	mo := &fuse.MountOptions{
		Name:              o.Name,
		FsName:            o.FsName,
		AllowOther:        o.AllowOther,
		Debug:             o.Debug,
		Logger:            slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		MaxWrite:          maxWrite,
		ExtraCapabilities: capabilities,
		// Every open counts, and no file is backed by another.
		DisabledCapabilities: fuse.CAP_NO_OPEN_SUPPORT | fuse.CAP_PASSTHROUGH,
		DisableSplice:        true,
		// The kernel checks permissions against what we say of mode and owner.
		Options: []string{"default_permissions"},
	}
	if os.Geteuid() == 0 && !o.Fusermount {
		mo.DirectMountStrict = true
		mo.DirectMountFlags = syscall.MS_NOSUID | syscall.MS_NODEV | o.Flags
		if o.ReadOnly {
			mo.DirectMountFlags |= syscall.MS_RDONLY
		}
		return mo
	}
	mo.Options = append(mo.Options, "nosuid", "nodev")
	if o.ReadOnly {
		mo.Options = append(mo.Options, "ro")
	}
	if o.Flags&syscall.MS_NOEXEC != 0 {
		mo.Options = append(mo.Options, "noexec")
	}
	return mo
}

// Server serves one mount.
type Server struct {
	fuse *fuse.Server
	fs   *fileSystem
	dir  string
	done chan struct{}
}

// Mount mounts store at dir and serves it until it is unmounted. It returns
// when the mount answers. The store stays open: close it after Wait.
func Mount(dir string, store Store, o Options) (*Server, error) {
	caches := !o.Strict
	release := kernelRelease()
	o.Strict = o.Strict || overtakes(release)
	o = o.withDefaults()
	if caches && o.Strict {
		o.Logger.Warn("this kernel cannot be told of changes reliably: it caches no names and attributes, as with strict",
			slog.String("release", release))
	}
	fs := newFileSystem(store, o)
	mo := o.mountOptions()
	mo.PanicHandler = fs.recovered
	if !o.ReadOnly {
		if err := fs.removeOrphans(); err != nil {
			return nil, fmt.Errorf("mount %s: remove orphans: %w", dir, err)
		}
	}
	server, err := fuse.NewServer(fs, dir, mo)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	s := &Server{fuse: server, fs: fs, dir: dir, done: make(chan struct{})}
	fs.follow.start(server)
	go func() {
		defer close(s.done)
		ctx, stop := context.WithCancel(context.Background())
		var helpers sync.WaitGroup
		helpers.Go(func() { fs.reapFrozens(ctx.Done()) })
		helpers.Go(func() { fs.follow.run(ctx) })
		server.Serve()
		stop()
		helpers.Wait()
	}()
	if err := server.WaitMount(); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", dir, err), s.Unmount())
	}
	return s, nil
}

// Wait returns when the mount has ended and every request is answered.
func (s *Server) Wait() { <-s.done }

// Unmount ends the mount. It fails with EBUSY while files are open or a
// process has its working directory there.
func (s *Server) Unmount() error {
	if err := s.fuse.Unmount(); err != nil {
		return fmt.Errorf("unmount %s: %w", s.dir, err)
	}
	s.Wait()
	return nil
}

// recovered is called when a request panics: the request fails, the mount goes
// on.
func (fs *fileSystem) recovered(p any) fuse.Status {
	fs.log.Error("request panicked", slog.Any("panic", p), slog.String("stack", stack()))
	return fuse.EIO
}

// stack returns where the panic happened.
func stack() string {
	const size = 16 << 10
	buf := make([]byte, size)
	return strings.TrimSpace(string(buf[:runtime.Stack(buf, false)]))
}
