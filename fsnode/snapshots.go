package fsnode

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
)

// nowName is the name in .pongo/snapshots that is the newest version.
const nowName = "now"

// snapshotsDir is .pongo/snapshots: mkdir takes a snapshot, rmdir drops it. Each
// is a directory with the whole tree in it. `now`, which no listing shows, is
// another version for each process that looks it up.
type snapshotsDir struct{ fs *fileSystem }

func (snapshotsDir) attr(a *fuse.Attr) error {
	fillVirtual(a, syscall.S_IFDIR|0o755, 2, 0)
	return nil
}

func (snapshotsDir) parent() uint64 { return controlIDs }

func (snapshotsDir) path() string { return "/.pongo/snapshots" }

// child returns nothing: what is in the directory are nodes of frozen versions.
func (snapshotsDir) child(string) (virtual, uint64) { return nil, 0 }

func (snapshotsDir) list() []string { return nil }

// lookup is Lookup in the directory.
func (d snapshotsDir) lookup(pid uint32, name string, out *fuse.EntryOut) error {
	if name == nowName {
		f, err := d.fs.frozens.nowOf(d.fs, pid)
		if err != nil {
			return err
		}
		// The next process that asks gets another one.
		return d.show(f, out)
	}
	if engine.CheckSnapshotName(name) != nil {
		return engine.ErrNotFound
	}
	var snap engine.Snapshot
	var seq uint64
	err := d.fs.store.View(func(tx Tx) error {
		var err error
		seq = tx.Seq()
		snap, err = tx.FindSnapshot(name)
		return err
	})
	if err != nil {
		return err
	}
	f, err := d.fs.frozens.ofSnapshot(d.fs, &snap)
	if err != nil {
		return err
	}
	if err := d.show(f, out); err != nil {
		return err
	}
	if d.fs.follow.isBase(seq) {
		out.SetEntryTimeout(d.fs.opts.EntryTimeout)
	}
	return nil
}

// show fills in the reply for the root of a frozen version. The kernel does not
// keep the name.
func (d snapshotsDir) show(f *frozen, out *fuse.EntryOut) error {
	e, err := f.root()
	if errors.Is(err, errStale) {
		err = engine.ErrNotFound
	}
	if err != nil {
		return err
	}
	if err := f.fill(out, &e); err != nil {
		return err
	}
	out.SetEntryTimeout(0)
	return nil
}

// mkdir takes a snapshot. It is durable when mkdir(2) returns. An interrupt is
// EINTR as long as the snapshot does not exist: one that does, and the error
// that says it was not made, would contradict each other.
func (d snapshotsDir) mkdir(cancel <-chan struct{}, name string, out *fuse.EntryOut) error {
	if name == nowName {
		return engine.ErrExist
	}
	snap, err := d.fs.store.Snapshot(cancelContext{cancel}, name)
	if err != nil {
		return err
	}
	f, err := d.fs.frozens.ofSnapshot(d.fs, &snap)
	if err != nil {
		return err
	}
	return d.show(f, out)
}

// rmdir drops a snapshot. Files of it that are open stay readable. An interrupt
// counts as in mkdir.
func (d snapshotsDir) rmdir(cancel <-chan struct{}, name string) error {
	if name == nowName {
		return syscall.EPERM
	}
	if engine.CheckSnapshotName(name) != nil {
		return engine.ErrNotFound
	}
	snap, err := d.fs.store.FindSnapshot(name)
	if err != nil {
		return err
	}
	if err := d.fs.store.DropSnapshot(cancelContext{cancel}, name); err != nil {
		return err
	}
	d.fs.frozens.dropped(frozenPrefix(false, snap.Number))
	return nil
}

// names returns what a listing shows.
func (d snapshotsDir) names() ([]string, error) {
	all, err := d.fs.store.Snapshots()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	return names, nil
}

// listSnapshots lists the directory behind a position. The names are those of
// the beginning of the listing, so that one that is dropped meanwhile moves none.
func (fs *fileSystem) listSnapshots(d *dirHandle, dir snapshotsDir, pos uint64, plus bool, add func(fuse.DirEntry, *listed) bool) error {
	if pos == posDotDot {
		names, err := dir.names()
		if err != nil {
			return err
		}
		d.names = names
	}
	added := false
	for i := int(pos - posDotDot); i < len(d.names); i++ {
		l, name, err := fs.listedSnapshot(d.names[i], plus)
		if errors.Is(err, engine.ErrNotFound) || errors.Is(err, errStale) {
			continue
		}
		if err != nil && added {
			// An error now would take back the lookups of what was added, which are
			// counted. The next request begins here.
			return nil
		}
		if err != nil {
			return err
		}
		e := fuse.DirEntry{
			Name: name, Ino: l.frozen.ino(engine.RootID), Mode: syscall.S_IFDIR, Off: posNames + uint64(i),
		}
		if !add(e, l) {
			break
		}
		added = true
	}
	return nil
}

// listedSnapshot returns a snapshot for a listing, and its name.
func (fs *fileSystem) listedSnapshot(name string, plus bool) (*listed, string, error) {
	snap, err := fs.store.FindSnapshot(name)
	if err != nil {
		return nil, "", err
	}
	f, err := fs.frozens.ofSnapshot(fs, &snap)
	if err != nil {
		return nil, "", err
	}
	l := &listed{frozen: f}
	if plus {
		root, err := f.root()
		if err != nil {
			return nil, "", err
		}
		l.entry = &root
	}
	return l, snap.Name, nil
}

// process identifies a process for as long as the machine runs.
type process struct {
	pid   uint32
	start string // in clock ticks since the machine was started
}

// processOf returns the process that a thread belongs to, as far as it can be
// told: one of a foreign pid namespace has no number here.
func processOf(tid uint32) process {
	pid := threadGroup(tid)
	if pid == 0 {
		pid = tid
	}
	return process{pid, startTime(pid)}
}

// The fields of /proc/PID/stat as proc(5) numbers them.
const (
	parentField = 4
	startField  = 22
)

// statField returns a field of /proc/PID/stat behind the second, "" when the
// process is gone.
func statField(pid uint32, field int) string {
	b, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return ""
	}
	// The second field, the name, may hold anything; it ends at the last bracket.
	const second = 2
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < field-second {
		return ""
	}
	return fields[field-second-1]
}

func procFile(pid uint32, name string) string {
	return "/proc/" + strconv.FormatUint(uint64(pid), 10) + "/" + name
}

// startTime returns when a process was started, "" when it is gone.
func startTime(pid uint32) string { return statField(pid, startField) }

// parent returns the process that has started this one, or has inherited it.
func (p process) parent() process {
	pid, err := strconv.ParseUint(statField(p.pid, parentField), 10, 32)
	if err != nil {
		return process{}
	}
	return process{uint32(pid), startTime(uint32(pid))}
}

// worksInNow reports whether the working directory of a process is in a now: of
// any mount, so it is only a hint. It reads the name that the kernel has for it,
// and asks no file system.
func (p process) worksInNow() bool {
	cwd, err := os.Readlink(procFile(p.pid, "cwd"))
	return err == nil && strings.Contains(cwd+"/", "/"+encoding.ControlName+"/snapshots/"+nowName+"/")
}

func (p process) alive() bool { return p.start != "" && startTime(p.pid) == p.start }

// frozens are the frozen versions that a mount shows.
type frozens struct {
	mu    sync.Mutex
	snaps map[uint64]*frozen // by prefix
	nows  map[process]*frozen
	last  uint64 // number of the newest now
}

// nowOf returns what now is for the process of a thread: the version that was
// the newest when the process first asked. One that was started with its working
// directory in the now of another has that one, so that it sees under the path
// of its working directory what is in it: shells compare the two.
func (fz *frozens) nowOf(fs *fileSystem, tid uint32) (*frozen, error) {
	p := processOf(tid)
	fz.mu.Lock()
	defer fz.mu.Unlock()
	if f := fz.nows[p]; f != nil {
		return f, nil
	}
	if fz.nows == nil {
		fz.nows = map[process]*frozen{}
	}
	if len(fz.nows) > 0 && p.worksInNow() {
		const maxDepth = 64
		for q, depth := p.parent(), 0; q.start != "" && depth < maxDepth; q, depth = q.parent(), depth+1 {
			if f := fz.nows[q]; f != nil {
				fz.nows[p] = f
				return f, nil
			}
		}
	}
	v, err := fs.store.KeepNewest()
	if err != nil {
		return nil, err
	}
	fz.last++
	f := &frozen{
		fs: fs, prefix: frozenPrefix(true, fz.last), seq: v.Seq(), held: v, used: time.Now(),
	}
	fz.nows[p] = f
	return f, nil
}

// ofSnapshot returns the frozen version of a snapshot.
func (fz *frozens) ofSnapshot(fs *fileSystem, snap *engine.Snapshot) (*frozen, error) {
	prefix := frozenPrefix(false, snap.Number)
	fz.mu.Lock()
	defer fz.mu.Unlock()
	f := fz.snaps[prefix]
	if f != nil && f.seq == snap.Seq {
		return f, nil
	}
	// Numbers repeat after frozenNumbers snapshots. The kernel may still know
	// nodes of the other one, which must not become those of this one.
	if n := fs.nodes.get(prefix | uint64(engine.RootID)); n != nil && n.frozen.seq != snap.Seq {
		return nil, engine.ErrBusy
	}
	f = &frozen{fs: fs, prefix: prefix, name: snap.Name, seq: snap.Seq}
	if fz.snaps == nil {
		fz.snaps = map[uint64]*frozen{}
	}
	fz.snaps[prefix] = f
	return f, nil
}

// dropped lets go what is kept of a snapshot that was dropped.
func (fz *frozens) dropped(prefix uint64) {
	fz.mu.Lock()
	f := fz.snaps[prefix]
	delete(fz.snaps, prefix)
	fz.mu.Unlock()
	if f != nil {
		f.dropped()
	}
}

// snapshots returns those that the kernel may know.
func (fz *frozens) snapshots() []*frozen {
	fz.mu.Lock()
	defer fz.mu.Unlock()
	return slices.Collect(maps.Values(fz.snaps))
}

// len returns how many versions are kept for now.
func (fz *frozens) len() int {
	fz.mu.Lock()
	defer fz.mu.Unlock()
	return len(fz.nows)
}

// uses says what for the mount keeps versions, by their sequences.
func (fz *frozens) uses() map[uint64][]string {
	fz.mu.Lock()
	defer fz.mu.Unlock()
	all := map[uint64][]string{}
	users := map[*frozen]string{}
	for p, f := range fz.nows {
		users[f] += " " + strconv.FormatUint(uint64(p.pid), 10)
	}
	for f, pids := range users {
		all[f.seq] = append(all[f.seq], "now of process"+pids)
	}
	for _, f := range fz.snaps {
		if f.isHeld() {
			all[f.seq] = append(all[f.seq], "open files in snapshot "+quotePath(f.name))
		}
	}
	return all
}

// reap gives up what nobody needs any more: the now of a process that has ended
// and has no file open, not before it is a while old; versions of snapshots in
// which no file is open. With all set, everything. It reports whether the last
// now has gone.
func (fz *frozens) reap(all bool) bool {
	fz.mu.Lock()
	defer fz.mu.Unlock()
	some := len(fz.nows) > 0
	alive := map[*frozen]bool{}
	for p, f := range fz.nows {
		if !all && p.alive() {
			alive[f] = true
		}
	}
	for p, f := range fz.nows {
		if all || !alive[f] && f.rest(false) {
			f.rest(all)
			delete(fz.nows, p)
		}
	}
	// They stay known, since nodes of them are: it takes few bytes.
	for _, f := range fz.snaps {
		f.rest(all)
	}
	return some && len(fz.nows) == 0
}

// reapFrozens reaps until stop is closed.
func (fs *fileSystem) reapFrozens(stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			fs.frozens.reap(true)
			return
		case <-tick.C:
		}
		if fs.frozens.reap(false) && fs.server != nil {
			// Let the kernel forget the nodes of all that has been now. No request
			// is waited for: nothing is open there.
			fs.server.EntryNotify(snapshotsID, nowName)
		}
	}
}
