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
	if i.pending {
		if err := dropPending(tx, dir.ID); err != nil {
			return err
		}
	}
	if i.pending = len(lines) > 0; i.pending {
		c, err := tx.Make(engine.OrphansID, pendingKey(dir.ID), value.KindDict, engine.NewAttr{Mode: 0o700})
		if err != nil {
			return err
		}
		for k := range lines {
			text := encoding.AppendSidecar(nil, lines[k:k+1])
			_, err := tx.Put(c.ID, value.String(lines[k].Name), value.String(string(text)), engine.PutOptions{Declared: true})
			if err != nil {
				return err
			}
		}
	}
	return i.write(tx, dir)
}

// dropPending removes all lines that wait for files of a directory.
func dropPending(tx Tx, dir engine.ID) error {
	err := tx.RemoveAll(engine.OrphansID, pendingKey(dir))
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	return err
}

// pendingDict returns the dict in which lines wait, by the names of their files:
// a copy claims them one by one, so each must be found without the others.
func pendingDict(tx Reader, dir *engine.Entry, info sideInfo) (c engine.Entry, ok bool, err error) {
	if !info.pending {
		return c, false, nil
	}
	c, err = tx.Lookup(engine.OrphansID, pendingKey(dir.ID))
	if errors.Is(err, engine.ErrNotFound) {
		return c, false, nil
	}
	return c, err == nil && c.Kind == value.KindDict, err
}

// pendingLines returns the lines that wait for their files.
func pendingLines(tx Reader, dir *engine.Entry, info sideInfo) ([]encoding.SidecarLine, error) {
	c, ok, err := pendingDict(tx, dir, info)
	if !ok {
		return nil, err
	}
	var text []byte
	var failed error
	err = tx.Scan(c.ID, value.Value{}, true, func(e engine.Entry) bool {
		line, err := readImage(tx, &e)
		text, failed = append(text, line...), err
		return err == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	return encoding.ParseSidecar(text)
}

// pendingLine returns the line that waits for a file of that name; one without
// a name when there is none.
func pendingLine(tx Reader, dir *engine.Entry, info sideInfo, name string) (encoding.SidecarLine, error) {
	c, ok, err := pendingDict(tx, dir, info)
	if !ok {
		return encoding.SidecarLine{}, err
	}
	e, err := tx.Lookup(c.ID, value.String(name))
	if isAbsent(err) {
		return encoding.SidecarLine{}, nil
	}
	if err != nil {
		return encoding.SidecarLine{}, err
	}
	text, err := readImage(tx, &e)
	if err != nil {
		return encoding.SidecarLine{}, err
	}
	lines, err := encoding.ParseSidecar(text)
	if err != nil || len(lines) != 1 {
		return encoding.SidecarLine{}, err
	}
	return lines[0], nil
}

// donePending removes the line that has waited for a file of that name.
func (i sideInfo) donePending(tx Tx, dir *engine.Entry, name string) error {
	c, ok, err := pendingDict(tx, dir, i)
	if !ok {
		return err
	}
	if c.Count > 1 {
		return tx.Remove(c.ID, value.String(name))
	}
	return i.setPending(tx, dir, nil)
}

// sideSum is a sum of the content of a sidecar, never 0.
func sideSum(text []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(text)
	return h.Sum64() | 1
}
