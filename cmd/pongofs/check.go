package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"pongofs/engine"
	"pongofs/engine/check"
)

// The exit codes of fsck(8).
const (
	fsckClean     = 0
	fsckCorrected = 1
	fsckErrors    = 4
	fsckFailed    = 8
	fsckUsage     = 16
)

type checkOptions struct {
	repair  bool
	salvage string
	json    bool
}

func newCheckCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [--repair | --salvage OUT] STORE",
		Short: "Look for damage, and repair it",
		Long: `Hold a store against every rule of its format: checksums, the shape and order of
every tree, counts, references, the allocator. Nothing is changed. A store that
is in use is checked in one version while others go on writing.

With --repair, a store that nobody uses is written anew from what can be read
of it. Nothing is destroyed: the damaged file stays as STORE.damaged-1 (or -2
…). What is lost is named. Containers whose names are lost are found in
lost+found. With --salvage, the store is left alone and OUT gets what can be
read.

Exit status, as fsck(8): 0 clean, 1 errors corrected, 4 errors left, 8 could not
be checked, 16 wrong usage.`,
		Example: `  pongofs check data.pongo
  pongofs check --repair data.pongo
  pongofs check --json data.pongo | jq .findings`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := usageArgs(cobra.ExactArgs(1))(cmd, args); err != nil {
				return &exitError{fsckUsage, err}
			}
			if o.repair && o.salvage != "" {
				return &exitError{fsckUsage, usageError(cmd, errors.New("--repair and --salvage exclude each other"))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			code, err := runCheck(cmd.Context(), o, cmd.OutOrStdout(), args[0])
			if err != nil {
				return &exitError{fsckFailed, checkError(args[0], err)}
			}
			if code != fsckClean {
				return &exitError{code, nil}
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{fsckUsage, usageError(cmd, err)}
	})
	cmd.Flags().BoolVar(&o.repair, "repair", false, "repair what is damaged; the store must not be in use")
	cmd.Flags().StringVar(&o.salvage, "salvage", "", "write what can be read to this file")
	cmd.Flags().BoolVar(&o.json, "json", false, "write a JSON object")
	return cmd
}

// checkError describes why a store could not be checked. That it is damaged
// is no such reason.
func checkError(store string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: no such file", store)
	}
	return storeError(store, err)
}

// checked is what a check tells; with --json, scripts rely on the names.
type checked struct {
	Store string `json:"store"`
	// State is "clean", "damaged" or "repaired".
	State string `json:"state"`
	// InUse: other processes had the store open.
	InUse bool `json:"in_use"`
	*check.Report
	Repair *repaired `json:"repair,omitempty"`
}

// repaired is what a repair did.
type repaired struct {
	Out     string `json:"out"`               // where the sound store is
	Damaged string `json:"damaged,omitempty"` // where the damaged one is
	Seq     uint64 `json:"seq"`               // of the version that was kept
	Older   string `json:"older,omitempty"`   // its time, when it is not the newest
	Entries uint64 `json:"entries"`
	Lost    int    `json:"lost"`
}

func runCheck(ctx context.Context, o checkOptions, out io.Writer, store string) (int, error) {
	if info, err := os.Stat(store); err != nil {
		return 0, err
	} else if info.IsDir() {
		return 0, fmt.Errorf("%s: is a directory, not a store file", store)
	} else if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s: is not a regular file", store)
	}
	// What is replaced is the file, not a link to it.
	path, err := filepath.EvalSymlinks(store)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return 0, err
	}
	res := checked{Store: store, Report: &check.Report{Findings: []check.Finding{}}}
	off, err := engine.OpenOffline(path, o.repair, false)
	switch {
	case errors.Is(err, engine.ErrBusy) && !o.repair && o.salvage == "":
		res.InUse = true
		err = checkOnline(ctx, store, res.Report)
	case err == nil:
		err = checkOffline(ctx, o, off, path, &res)
		err = errors.Join(err, off.Close())
	}
	if err != nil {
		return 0, err
	}
	code := fsckClean
	res.State = "clean"
	switch {
	case res.Repair != nil && o.repair:
		res.State, code = "repaired", fsckCorrected
	case !res.Clean():
		res.State, code = "damaged", fsckErrors
	}
	if res.Repair != nil { // it has been carried out
		for i := range res.Findings {
			res.Findings[i].Remedy = ""
		}
	}
	if o.json {
		return code, newJSONEncoder(out).Encode(&res)
	}
	return code, buffered(out, func(w *bufio.Writer) error { return printCheck(w, &res) })
}

// checkOnline checks the newest version of a store that others use, while they
// go on.
func checkOnline(ctx context.Context, store string, rep *check.Report) error {
	return withStore(store, engine.Options{Commit: -1}, func(s *engine.Store) error {
		f, err := os.Open(s.Path())
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		in := s.Internals()
		completed := in.Header().Completed.Load()
		check.Pages(f, info.Size(), true, rep)
		rep.Completed(completed)
		named, _, ref, err := in.PinNewest()
		if err != nil {
			return err
		}
		defer named.Drop()
		return check.Version(in.Heap(), ref, check.Options{
			Name: keyName, InUse: true, Stop: ctx.Err,
			// After the pin: larger than every id of the version.
			NextID:    in.Header().NextID.Load(),
			Allocated: in.Heap().Allocated,
		}, rep)
	})
}

// checkOffline checks a store that nobody uses, and repairs it if that was
// asked for.
func checkOffline(ctx context.Context, o checkOptions, off *engine.Offline, store string, res *checked) error {
	rep := res.Report
	check.Pages(off.File(), off.Size(), false, rep)
	rep.Completed(off.Completed())
	versions := off.Versions()
	if len(versions) > 0 {
		if why := off.Unclean(); why != "" {
			rep.Notef(check.RuleCheckpoint, "file", "the next opening takes the newest version and rebuilds the allocator: %s", why)
		}
		if err := check.Version(off, versions[0].Root, offlineOptions(ctx, off, 0), rep); err != nil {
			return err
		}
		if versions[0].Published && !rep.Clean() {
			rep.Notef(check.RuleCheckpoint, "file", "the newest version had not reached a checkpoint")
		}
	}
	if rep.Clean() && o.salvage == "" || !o.repair && o.salvage == "" {
		return nil
	}
	err := repair(ctx, o, off, store, res)
	if errors.Is(err, errBeyondRepair) {
		rep.Add(check.Finding{Severity: check.Lost, Rule: check.RuleRoot, Place: "file", Cause: err.Error(), Remedy: "restore it from a backup"})
		return nil
	}
	return err
}

// offlineOptions are the options of a check of version i.
func offlineOptions(ctx context.Context, off *engine.Offline, i int) check.Options {
	o := check.Options{Name: keyName, Stop: ctx.Err, NextID: off.Versions()[i].NextID}
	if i == 0 {
		o.Allocated, o.AllocatedObjects = off.Allocated(), off.AllocatedObjects()
	}
	return o
}

// printCheck prints a line for each finding, and one that sums up.
func printCheck(w io.Writer, res *checked) error {
	for i := range res.Findings {
		f := &res.Findings[i]
		where := ""
		if f.Offset != 0 {
			where = fmt.Sprintf(" (offset %d)", f.Offset)
		}
		remedy := ""
		if f.Remedy != "" {
			remedy = "; " + f.Remedy
		}
		fmt.Fprintf(w, "%s: %s: %s%s%s\n", f.Severity, printable(f.Place), printable(f.Cause), where, remedy)
	}
	if res.More > 0 {
		fmt.Fprintf(w, "and %d more findings\n", res.More)
	}
	if r := res.Repair; r != nil {
		if r.Older != "" {
			fmt.Fprintf(w, "%s: kept is the version of %s, which is whole\n", res.Store, r.Older)
		}
		if r.Damaged != "" {
			fmt.Fprintf(w, "%s: the damaged file is kept as %s\n", res.Store, r.Damaged)
		}
		_, err := fmt.Fprintf(w, "%s: written anew with %s; %s lost\n", r.Out,
			plural(r.Entries, "entry", "entries"), plural(uint64(r.Lost), "part", "parts"))
		return err
	}
	state := "clean"
	if !res.Clean() {
		state = fmt.Sprintf("damaged: %s, %s lost",
			plural(uint64(res.Errors), "error", "errors"), plural(uint64(res.LostParts), "part", "parts"))
	}
	_, err := fmt.Fprintf(w, "%s: %s; %s in %s, %s in %s; version %d\n", res.Store, state,
		plural(res.Entries, "entry", "entries"), plural(res.Containers, "container", "containers"),
		humanize.IBytes(uint64(res.Bytes)), plural(uint64(res.Objects), "object", "objects"), res.Seq)
	return err
}
