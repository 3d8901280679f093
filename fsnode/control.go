package fsnode

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
)

// controlDir is .pongo: a directory in the root that no listing shows.
type controlDir struct {
	fs    *fileSystem
	files []controlFile
}

// controlFile is a read-only file in .pongo whose text is made when it is
// opened.
type controlFile struct {
	name string
	text func() (string, error)
}

func newControlDir(fs *fileSystem) controlDir {
	return controlDir{fs, []controlFile{
		{"errors", fs.refused.text},
		{"stats", fs.statsText},
	}}
}

func (controlDir) attr(a *fuse.Attr) error {
	a.Mode = syscall.S_IFDIR | 0o555
	a.Nlink = 2
	a.Uid, a.Gid = uint32(os.Getuid()), uint32(os.Getgid())
	virtualTimes(a)
	return nil
}

func (controlDir) parent() uint64 { return uint64(engine.RootID) }

func (c controlDir) child(name string) (virtual, uint64) {
	for i, f := range c.files {
		if f.name == name {
			return f, controlIDs + 1 + uint64(i)
		}
	}
	return nil, 0
}

func (c controlDir) list() []string {
	names := make([]string, len(c.files))
	for i, f := range c.files {
		names[i] = f.name
	}
	return names
}

func (f controlFile) attr(a *fuse.Attr) error {
	text, err := f.text()
	if err != nil {
		return err
	}
	a.Mode = syscall.S_IFREG | 0o444
	a.Nlink = 1
	a.Uid, a.Gid = uint32(os.Getuid()), uint32(os.Getgid())
	setSize(a, int64(len(text)))
	virtualTimes(a)
	return nil
}

func (controlFile) parent() uint64 { return controlIDs }

func (f controlFile) open(flags uint32) (openFile, error) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return nil, syscall.EACCES
	}
	text, err := f.text()
	return fixedFile(text), err
}

// statsText is .pongo/stats: one "name value" a line.
func (fs *fileSystem) statsText() (string, error) {
	st, err := fs.store.Stats()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, l := range []struct {
		name  string
		value any
	}{
		{"uuid", st.UUID},
		{"path", st.Path},
		{"sequence", st.Seq},
		{"durable_sequence", st.DurableSeq},
		{"file_bytes", st.FileBytes},
		{"used_bytes", st.UsedBytes},
		{"limbo_bytes", st.LimboBytes},
		{"chunk_bytes", st.ChunkSize},
		{"entries", st.Entries},
		{"containers", st.Containers},
		{"processes", st.Processes},
		{"pins", st.Pins},
		{"named_pins", st.NamedPins},
		{"disk_free_bytes", st.FreeDisk},
		{"disk_total_bytes", st.TotalDisk},
		{"mount_nodes", fs.nodes.len()},
		{"mount_open_files", fs.files.len()},
		{"mount_open_directories", fs.dirs.len()},
		{"mount_refused_writes", fs.refused.total()},
	} {
		fmt.Fprintf(&b, "%s %v\n", l.name, l.value)
	}
	return b.String(), nil
}
