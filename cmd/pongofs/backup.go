package main

import (
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
)

type backupOptions struct {
	force bool
	json  bool
}

func newBackupCommand() *cobra.Command {
	var o backupOptions
	cmd := &cobra.Command{
		Use:   "backup [--force] STORE OUT",
		Short: "Copy a store that is in use",
		Long: `Write one consistent version of a store to the file OUT, while others go on
writing to the store. OUT is a store like any other, with everything that is
kept: types, declarations, attributes, times, ids, gaps, snapshots. It takes no more
space than what is in it.

OUT appears complete, checked and durable, or not at all. A backup that is
killed leaves a file OUT.new-XXXXXXXX, which can be removed.`,
		Example: `  pongofs backup data.pongo /mnt/backup/data.pongo`,
		Args:    usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBackup(cmd.Context(), o, cmd.OutOrStdout(), args[0], args[1])
		},
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "replace OUT if it exists and is not in use")
	cmd.Flags().BoolVar(&o.json, "json", false, "write a JSON object")
	return cmd
}

// backupJSON is what --json tells; scripts rely on the names.
type backupJSON struct {
	Out       string `json:"out"`
	Seq       uint64 `json:"seq"`
	Entries   uint64 `json:"entries"`
	FileBytes int64  `json:"file_bytes"`
	DiskBytes int64  `json:"disk_bytes"`
}

func runBackup(ctx context.Context, o backupOptions, w io.Writer, store, out string) error {
	release, err := reserveOutput(o.force, store, out)
	if err != nil {
		return err
	}
	defer release()
	var st engine.BackupStats
	var disk int64
	err = withReadableStore(store, func(s *engine.Store) error {
		info, err := os.Stat(s.Path())
		if err != nil {
			return err
		}
		fresh, f, err := newFreshFile(out, info)
		if err != nil {
			return err
		}
		defer fresh.drop()
		st, err = s.Backup(ctx, f)
		if written, statErr := f.Stat(); statErr == nil {
			disk = diskBytes(written)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", out, err)
		}
		rep, err := verifyFile(ctx, fresh.tmp)
		if err == nil && (rep.Entries != st.Entries || rep.Seq != st.Seq) {
			err = fmt.Errorf("has %d entries instead of %d", rep.Entries, st.Entries)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", out, err)
		}
		return fresh.publish(o.force)
	})
	if errors.Is(err, fs.ErrExist) {
		return errExists(out)
	}
	if err != nil {
		return err
	}
	if o.json {
		return newJSONEncoder(w).Encode(backupJSON{out, st.Seq, st.Entries, st.FileBytes, disk})
	}
	_, err = fmt.Fprintf(w, "%s: %s, version %d, %s\n", out,
		plural(st.Entries, "entry", "entries"), st.Seq, humanize.IBytes(uint64(disk)))
	return err
}

func errExists(out string) error {
	return fmt.Errorf("%s: exists already; choose another name, or replace it with --force", out)
}

// reserveOutput refuses an output that must not be replaced: an existing one
// without force, the store itself, a store that is in use. What is replaced
// stays closed to others until release.
func reserveOutput(force bool, store, out string) (release func(), err error) {
	release = func() {}
	info, err := os.Lstat(out)
	if errors.Is(err, fs.ErrNotExist) {
		return release, nil
	}
	switch {
	case err != nil:
		return release, pathError(err)
	case sameFile(store, out):
		return release, fmt.Errorf("%s: is the store itself", out)
	case !force:
		return release, errExists(out)
	case !info.Mode().IsRegular():
		return release, fmt.Errorf("%s: is not a regular file; choose another name", out)
	}
	path, err := filepath.Abs(out)
	if err != nil {
		return release, err
	}
	off, err := engine.OpenOffline(path, true, true)
	if errors.Is(err, engine.ErrBusy) {
		return release, storeError(out, err)
	}
	if err != nil {
		return release, nil // it is no store: nobody uses it as one
	}
	return func() { _ = off.Close() }, nil
}
