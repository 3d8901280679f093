package fsnode

import (
	"errors"
	"math"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

// selfName is the name in a sidecar's line of the directory itself.
const selfName = "."

// makeSidecar makes the sidecar of a directory.
func makeSidecar(tx Reader, dir *engine.Entry) (sideContent, error) {
	info, err := readSideInfo(tx, dir)
	if err != nil {
		return sideContent{}, err
	}
	lines, changed, err := sideLines(tx, dir)
	if err != nil {
		return sideContent{}, err
	}
	waiting, err := pendingLines(tx, dir, info)
	if err != nil {
		return sideContent{}, err
	}
	if len(waiting) > 0 {
		has := make(map[string]bool, len(lines))
		for _, l := range lines {
			has[l.Name] = true
		}
		for _, l := range waiting {
			if !has[l.Name] {
				lines = append(lines, l)
			}
		}
	}
	c := sideContent{text: encoding.AppendSidecar(nil, lines), info: info, dir: dir.Attr}
	c.mtime = info.mtime
	if c.mtime == math.MinInt64 || info.sum != 0 && info.sum != sideSum(c.text) {
		c.mtime = max(changed, dir.Attr.Mtime)
	}
	return c, nil
}

// sideLines returns the lines that the entries of a directory need, and when
// the last of these entries was changed.
func sideLines(tx Reader, dir *engine.Entry) (lines []encoding.SidecarLine, changed int64, err error) {
	changed = math.MinInt64
	if dir.Kind != usualKind(dir.ID) {
		lines = append(lines, encoding.SidecarLine{Name: selfName, Kind: dir.Kind})
	}
	var failed error
	err = tx.Scan(dir.ID, value.Value{}, false, func(e engine.Entry) bool {
		l, ok, err := sideLine(tx, dir.Kind, &e)
		if err != nil {
			failed = err
			return false
		}
		if ok {
			lines = append(lines, l)
			changed = max(changed, e.Attr.Ctime)
		}
		return true
	})
	return lines, changed, errors.Join(err, failed)
}

// sideLine returns the line that an entry needs, if any.
func sideLine(tx Reader, dirKind value.Kind, e *engine.Entry) (encoding.SidecarLine, bool, error) {
	var l encoding.SidecarLine
	name, truncated := nameOf(dirKind, e.Key)
	l.Name = name
	if truncated && e.Key != value.String(name) {
		l.Key = e.Key
	}
	shows, err := showsType(tx, e)
	if err != nil {
		return l, false, err
	}
	if !shows {
		l.Kind = e.Kind
	}
	return l, l.Key.IsValid() || l.Kind != value.KindInvalid, nil
}

// showsType reports whether the bytes of e look like the type that it has, so
// that nothing is lost when its declaration is.
func showsType(tx Reader, e *engine.Entry) (bool, error) {
	if e.IsContainer() || !e.Declared || e.Link {
		return true, nil
	}
	var buf [encoding.MaxInferBytes]byte
	if !e.HasImage() {
		return encoding.GuessKind(encoding.AppendImage(buf[:0], e.Scalar, e.NoEOL)) == e.Kind, nil
	}
	if e.Size <= int64(len(buf)) {
		b := buf[:e.Size]
		_, err := readImageAt(tx, e, b, 0)
		return encoding.GuessKind(b) == e.Kind, err
	}
	// Longer ones are string or bytes, as a raw image would be.
	raw := *e
	raw.Raw = true
	kind, err := tx.TypeOf(&raw)
	return kind == e.Kind, err
}

// applySidecar makes a directory what the lines say: its kind, the types of
// its files, and the keys behind truncated names. Values whose type the lines
// do not mention are what they look like. Lines whose file does not exist, or
// does not fit, wait for it.
func applySidecar(tx Tx, dir *engine.Entry, lines []encoding.SidecarLine, info sideInfo) error {
	byName := make(map[string]encoding.SidecarLine, len(lines))
	for _, l := range lines {
		byName[l.Name] = l
	}
	kind := usualKind(dir.ID)
	if self, ok := byName[selfName]; ok {
		kind = self.Kind
	}
	if kind != dir.Kind {
		if err := tx.Convert(dir.ID, kind); err != nil {
			return err
		}
	}
	old, _, err := sideLines(tx, &engine.Entry{ID: dir.ID, Kind: kind})
	if err != nil {
		return err
	}
	for _, l := range old {
		if l.Kind == value.KindInvalid || l.Name == selfName || byName[l.Name].Kind != value.KindInvalid {
			continue
		}
		if err := undeclareName(tx, dir.ID, kind, l.Name); err != nil {
			return err
		}
	}
	var waiting []encoding.SidecarLine
	for _, l := range lines {
		if l.Name == selfName {
			continue
		}
		done, err := applyLine(tx, dir.ID, kind, l)
		if err != nil {
			return err
		}
		if !done {
			waiting = append(waiting, l)
		}
	}
	now, err := tx.Stat(dir.ID)
	if err != nil {
		return err
	}
	mtime := info.mtime
	if err := info.setPending(tx, &now, waiting); err != nil {
		return err
	}
	if now, err = tx.Stat(dir.ID); err != nil {
		return err
	}
	c, err := makeSidecar(tx, &now)
	if err != nil {
		return err
	}
	c.info.mtime, c.info.sum = mtime, sideSum(c.text)
	return c.info.write(tx, &now)
}

// undeclareName ends the declaration of a file.
func undeclareName(tx Tx, dir engine.ID, kind value.Kind, name string) error {
	key, err := keyOf(tx, dir, kind, name)
	if err != nil {
		return err
	}
	e, err := tx.Lookup(dir, key)
	if err != nil || e.IsContainer() {
		return err
	}
	return undeclare(tx, &e)
}

// applyLine does what a line says. It reports false when the file does not
// exist or its text is no value of the type.
func applyLine(tx Tx, dir engine.ID, kind value.Kind, l encoding.SidecarLine) (bool, error) {
	key, err := keyOf(tx, dir, kind, l.Name)
	if err != nil {
		return false, nil // a name of pongofs itself: nothing can have it
	}
	e, err := tx.Lookup(dir, key)
	if isAbsent(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if l.Key.IsValid() && l.Key != key {
		if err := tx.Rename(dir, key, dir, l.Key, engine.RenameOptions{NoReplace: true}); err != nil {
			return false, err
		}
		if e, err = tx.Lookup(dir, l.Key); err != nil {
			return false, err
		}
	}
	if l.Kind == value.KindInvalid {
		return true, nil
	}
	if e.IsContainer() || e.Link {
		return false, nil
	}
	if e.Declared && e.Kind == l.Kind {
		return true, nil
	}
	err = declare(tx, &e, l.Kind)
	var text *encoding.TextError
	if errors.As(err, &text) {
		return false, nil
	}
	return err == nil, err
}

// dropSidecar removes the lines that wait, before their directory goes.
func dropSidecar(tx Tx, dir *engine.Entry) error {
	info, err := readSideInfo(tx, dir)
	if err != nil || !info.pending {
		return err
	}
	return dropPending(tx, dir.ID)
}

// waitingLine returns the line that waits for a file of that name; one without
// a name when there is none.
func waitingLine(tx Reader, dir *engine.Entry, name string) (encoding.SidecarLine, sideInfo, error) {
	if !dir.HasXattr {
		return encoding.SidecarLine{}, sideInfo{}, nil
	}
	info, err := readSideInfo(tx, dir)
	if err != nil {
		return encoding.SidecarLine{}, info, err
	}
	line, err := pendingLine(tx, dir, info, name)
	return line, info, err
}

// claimLine applies the line that waits for the file of a name in dir, if there
// is one and it fits.
func claimLine(tx Tx, dir *engine.Entry, name string) error {
	line, info, err := waitingLine(tx, dir, name)
	if err != nil {
		return err
	}
	if line.Name == "" {
		return errUnchanged
	}
	done, err := applyLine(tx, dir.ID, dir.Kind, line)
	if err != nil {
		return err
	}
	if !done {
		return errUnchanged
	}
	now, err := tx.Stat(dir.ID)
	if err != nil {
		return err
	}
	return info.donePending(tx, &now, name)
}

// waitingKey returns the key that a waiting line tells for a truncated name.
func waitingKey(tx Reader, dir *engine.Entry, name string) (value.Value, error) {
	line, _, err := waitingLine(tx, dir, name)
	return line.Key, err
}
