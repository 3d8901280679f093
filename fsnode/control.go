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
	dirs  []controlSub
}

// controlSub is a directory in .pongo.
type controlSub struct {
	name string
	id   uint64
	dir  virtualDir
}

// The inode numbers of the directories in .pongo; its files have the ones
// behind controlIDs, those of .pongo/meta the ones behind metaID.
const (
	snapshotsID = controlIDs + 1<<10
	metaID      = controlIDs + 2<<10
)

// controlFile is a read-only file in .pongo whose text is made when it is
// opened.
type controlFile struct {
	name string
	text func() (string, error)
}

func newControlDir(fs *fileSystem) controlDir {
	return controlDir{
		fs: fs,
		files: []controlFile{
			{"errors", fs.refused.text},
			{"stats", fs.statsText},
			{"pins", fs.pinsText},
		},
		dirs: []controlSub{
			{"meta", metaID, metaDir{fs}},
			{"snapshots", snapshotsID, snapshotsDir{fs}},
		},
	}
}

func (c controlDir) attr(a *fuse.Attr) error {
	fillVirtual(a, syscall.S_IFDIR|0o555, 2+uint32(len(c.dirs)), 0)
	return nil
}

func (controlDir) parent() uint64 { return uint64(engine.RootID) }

func (controlDir) path() string { return "/.pongo" }

func (c controlDir) child(name string) (virtual, uint64) {
	for i, f := range c.files {
		if f.name == name {
			return f, controlIDs + 1 + uint64(i)
		}
	}
	for _, d := range c.dirs {
		if d.name == name {
			return d.dir, d.id
		}
	}
	return nil, 0
}

func (c controlDir) list() []string {
	var names []string
	for _, f := range c.files {
		names = append(names, f.name)
	}
	for _, d := range c.dirs {
		names = append(names, d.name)
	}
	return names
}

func (f controlFile) attr(a *fuse.Attr) error {
	text, err := f.text()
	if err != nil {
		return err
	}
	fillVirtual(a, syscall.S_IFREG|0o444, 1, len(text))
	return nil
}

func (controlFile) parent() uint64 { return controlIDs }

func (f controlFile) path() string { return "/.pongo/" + f.name }

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
	caches := 0
	if fs.follow.cache {
		caches = 1
	}
	for _, f := range append(st.Figures(), []engine.Figure{
		{Name: "mount_caches", Value: caches},
		{Name: "mount_nodes", Value: fs.nodes.len()},
		{Name: "mount_open_files", Value: fs.files.len()},
		{Name: "mount_open_directories", Value: fs.dirs.len()},
		{Name: "mount_refused_writes", Value: fs.refused.total()},
		{Name: "mount_now_versions", Value: fs.frozens.len()},
		{Name: "mount_lookups", Value: fs.lookups.Load()},
		{Name: "mount_getattrs", Value: fs.getattrs.Load()},
		{Name: "mount_followed_sequence", Value: fs.follow.followed()},
		{Name: "mount_notifications_pending", Value: fs.follow.notes.pending()},
		{Name: "mount_follow_rounds", Value: fs.follow.rounds.Load()},
		{Name: "mount_follow_rounds_full", Value: fs.follow.full.Load()},
		{Name: "mount_notified_names", Value: fs.follow.notes.names.Load()},
		{Name: "mount_notified_attributes", Value: fs.follow.notes.attrs.Load()},
		{Name: "mount_notified_pages", Value: fs.follow.notes.pages.Load()},
	}...) {
		fmt.Fprintf(&b, "%s %v\n", f.Name, f.Value)
	}
	return b.String(), nil
}

// pinsText is .pongo/pins: who holds which version of the store, the oldest
// first: kind, process, sequence, since when, and what.
func (fs *fileSystem) pinsText() (string, error) {
	all, err := fs.store.Holders()
	if err != nil {
		return "", err
	}
	uses := fs.frozens.uses()
	if seq, ok := fs.follow.pinned(); ok {
		uses[seq] = append(uses[seq], "what the mount has followed others to")
	}
	var b strings.Builder
	for _, h := range all {
		pid, since, what := "-", "-", "-"
		if h.PID != 0 {
			pid = fmt.Sprint(h.PID)
		}
		if !h.Time.IsZero() {
			since = stamp(h.Time)
		}
		switch {
		case h.Name != "":
			what = quotePath(h.Name)
		case h.ID != 0:
			what = fmt.Sprint("inode=", uint64(h.ID))
		case h.Kind == "version" && h.PID == os.Getpid() && len(uses[h.Seq]) > 0:
			what, uses[h.Seq] = uses[h.Seq][0], uses[h.Seq][1:]
		}
		fmt.Fprintf(&b, "%s %s %d %s %s\n", h.Kind, pid, h.Seq, since, what)
	}
	return b.String(), nil
}
