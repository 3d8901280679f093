package fsnode

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"strconv"
	"strings"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

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
