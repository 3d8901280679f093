package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pongofs/engine"
	"pongofs/engine/check"
)

// repair writes what can be read of a damaged store to a fresh file, checks
// that, and puts it in the place of the store, which stays under another name.
func repair(ctx context.Context, o checkOptions, off *engine.Offline, path string, res *checked) error {
	best, err := bestVersion(ctx, off, res.Report)
	if err != nil {
		return err
	}
	r := &repaired{Out: res.Store, Seq: off.Versions()[best].Seq}
	to := path
	if o.salvage != "" {
		r.Out, to = o.salvage, o.salvage
	}
	if best > 0 {
		r.Older = off.Versions()[best].Time.UTC().Format(time.RFC3339Nano)
	}
	fresh, rep, written, err := rewriteStore(ctx, off, best, to)
	if err != nil {
		return err
	}
	defer fresh.drop()
	r.Entries, r.Lost = written.Entries, rep.LostParts
	if o.salvage != "" {
		if err := fresh.publish(false); errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: exists already; choose another name or remove it first", r.Out)
		} else if err != nil {
			return err
		}
	} else {
		suffix, err := setAside(path)
		if err != nil {
			return err
		}
		r.Damaged = res.Store + suffix
		if err := fresh.publish(true); err != nil {
			return fmt.Errorf("%w; the damaged store is %s", err, r.Damaged)
		}
	}
	res.Repair = r
	return nil
}

// errBeyondRepair: there is no way into the store.
var errBeyondRepair = errors.New("no version can be read, so there is nothing to repair it from")

// maxCandidates is how many versions are looked at for the best one.
const maxCandidates = 16

// bestVersion returns which version to keep: the newest one that can be
// entered, unless the newest whole one before it has no fewer entries than can
// be read of it. That is so when what was written last did not reach the disk;
// when something old has decayed, the newest version has the most.
func bestVersion(ctx context.Context, off *engine.Offline, newest *check.Report) (int, error) {
	versions := off.Versions()
	best, kept := -1, uint64(0)
	for i := range versions[:min(len(versions), maxCandidates)] {
		rep := &check.Report{Limit: 1}
		if i == 0 && newest.Readable && newest.LostParts == 0 {
			return 0, nil
		}
		if err := check.Version(off, versions[i].Root, offlineOptions(ctx, off, i), rep); err != nil {
			return -1, err
		}
		switch {
		case !rep.Readable:
		case best < 0:
			best, kept = i, rep.Entries
		case rep.Clean() && rep.Entries >= kept:
			return i, nil
		}
		if best == i && rep.LostParts == 0 {
			return i, nil
		}
	}
	if best < 0 {
		return -1, errBeyondRepair
	}
	return best, nil
}

// rewriteStore writes a version of a store to a fresh file beside out, and
// checks that. It returns the report of what was read, and of what was
// written.
func rewriteStore(ctx context.Context, off *engine.Offline, version int, out string) (*freshFile, *check.Report, *check.Report, error) {
	fail := func(err error) (*freshFile, *check.Report, *check.Report, error) { return nil, nil, nil, err }
	info, err := off.File().Stat()
	if err != nil {
		return fail(err)
	}
	fresh, f, err := newFreshFile(out, info)
	if err != nil {
		return fail(err)
	}
	w, err := check.NewWriter(f, off.Header())
	if err != nil {
		fresh.drop()
		return fail(err)
	}
	rep := &check.Report{}
	err = check.Rewrite(off, off.Versions()[version].Root, offlineOptions(ctx, off, version), rep, w)
	err = errors.Join(err, w.Close())
	var written *check.Report
	if err == nil {
		written, err = verifyFile(ctx, fresh.tmp)
	}
	if err != nil {
		fresh.drop()
		return fail(err)
	}
	return fresh, rep, written, nil
}

// verifyFile checks a store file that was just written. An error means that it
// is not what it should be.
func verifyFile(ctx context.Context, name string) (*check.Report, error) {
	rep := &check.Report{}
	// Nobody uses it as a store where it lies, so any file system will do.
	off, err := engine.OpenOffline(name, false, true)
	if err != nil {
		return nil, err
	}
	check.Pages(off.File(), off.Size(), false, rep)
	if versions := off.Versions(); len(versions) > 0 {
		err = check.Version(off, versions[0].Root, offlineOptions(ctx, off, 0), rep)
	}
	if err := errors.Join(err, off.Close()); err != nil {
		return nil, err
	}
	for _, f := range rep.Findings {
		if f.Severity != check.Note {
			return nil, fmt.Errorf("the new file is not sound, so nothing was changed: %s: %s", f.Place, f.Cause)
		}
	}
	return rep, nil
}

// setAside gives a damaged store a second name, so that the first can be
// given away, and returns by what it is longer. At no moment is it without one.
func setAside(store string) (string, error) {
	for n := 1; ; n++ {
		suffix := fmt.Sprintf(".damaged-%d", n)
		name := store + suffix
		err := os.Link(store, name)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			// No hard links here: for a moment the store has the other name only.
			if _, exists := os.Lstat(name); exists == nil {
				continue
			}
			if err := os.Rename(store, name); err != nil {
				return "", err
			}
		}
		return suffix, syncDir(filepath.Dir(store))
	}
}
