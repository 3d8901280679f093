package fsnode

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

// maxRefusals is how many refused writes are remembered.
const maxRefusals = 256

// refusal is a write that the declared type of a file did not allow.
type refusal struct {
	at     time.Time
	pid    uint32
	ino    uint64
	path   string
	reason string
}

// refusals remembers the last refused writes: .pongo/errors and
// user.pongo.error show them.
type refusals struct {
	some atomic.Bool // whether reasons may hold something

	mu      sync.Mutex
	last    []refusal         // the oldest first
	reasons map[uint64]string // of the files whose last write was refused
	count   uint64
}

// add remembers r.
func (r *refusals) add(ref refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.last) == maxRefusals {
		delete(r.reasons, r.last[0].ino)
		r.last = append(r.last[:0], r.last[1:]...)
	}
	if r.reasons == nil {
		r.reasons = map[uint64]string{}
	}
	r.last = append(r.last, ref)
	r.reasons[ref.ino] = ref.reason
	r.count++
	r.some.Store(true)
}

// of returns why the last write to a file was refused, "" when it was not.
func (r *refusals) of(ino uint64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reasons[ino]
}

// accepted notes that a write to a file went well.
func (r *refusals) accepted(ino uint64) {
	if !r.some.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.reasons, ino)
	r.some.Store(len(r.reasons) > 0)
}

// total returns how many writes were refused since the mount.
func (r *refusals) total() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// text is the content of .pongo/errors: time, pid, path and reason a line. A
// path with blanks in it is quoted.
func (r *refusals) text() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, l := range r.last {
		fmt.Fprintf(&b, "%s %d %s %s\n", stamp(l.at), l.pid, quotePath(l.path), l.reason)
	}
	return b.String(), nil
}

// stamp writes a time in a file of .pongo.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// quotePath quotes a path that would not be one word of a line.
func quotePath(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return strconv.Quote(path)
	}
	return path
}

// noteRefusal notes how a write to n ended: it remembers err if that says that
// the type of n refuses it.
func (fs *fileSystem) noteRefusal(n *node, pid uint32, err error) {
	if n == nil {
		return
	}
	if side, ok := n.virtual.(sidecar); ok {
		n = side.dir // which getfattr reaches
	}
	if err == nil {
		fs.refused.accepted(n.id)
		return
	}
	var text *encoding.TextError
	var misfit *misfitError
	var side *encoding.SidecarError
	var setting *engine.SettingError
	if !errors.As(err, &text) && !errors.As(err, &misfit) && !errors.As(err, &side) && !errors.As(err, &setting) {
		return
	}
	fs.refused.add(refusal{
		at: time.Now(), pid: pid, ino: n.id,
		path: fs.path(n), reason: strings.ReplaceAll(err.Error(), "\n", " "),
	})
}

// path returns the path of n below the mountpoint, as far as it is known. It is
// for messages.
func (fs *fileSystem) path(n *node) string {
	const maxDepth = 4096
	if n.virtual != nil {
		return n.virtual.path()
	}
	var parts []string
	for depth := 0; n != nil && n.id != uint64(engine.RootID) && depth < maxDepth; depth++ {
		n.loc.RLock()
		parent, key := n.parent, n.key
		n.loc.RUnlock()
		name, _ := encoding.EscapeName(key)
		if key.Kind() == value.KindInt {
			name, _ = encoding.EscapeListName(key)
		}
		parts = append(parts, name)
		n = fs.nodes.get(uint64(parent))
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return "/" + strings.Join(parts, "/")
}
