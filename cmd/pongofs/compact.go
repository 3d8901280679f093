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

func newCompactCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "compact STORE",
		Short: "Make a store file as small as it can be",
		Long: `Write a store that nobody uses to a fresh file without free space, check that,
and put it in the place of the old one. Everything is kept: types, declarations,
attributes, times, ids, gaps, snapshots.

While it runs there are two files on the disk; killed, it leaves STORE as it was
and perhaps a file STORE.new-XXXXXXXX, which can be removed.`,
		Example: `  pongofs compact data.pongo`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCompact(cmd.Context(), asJSON, cmd.OutOrStdout(), args[0])
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write a JSON object")
	return cmd
}

// compactJSON is what --json tells; scripts rely on the names.
type compactJSON struct {
	BytesBefore int64  `json:"bytes_before"`
	BytesAfter  int64  `json:"bytes_after"`
	DiskBefore  int64  `json:"disk_bytes_before"`
	DiskAfter   int64  `json:"disk_bytes_after"`
	Entries     uint64 `json:"entries"`
}

func runCompact(ctx context.Context, asJSON bool, out io.Writer, store string) error {
	if info, err := os.Stat(store); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: no such store", store)
	} else if err == nil && info.IsDir() {
		return fmt.Errorf("%s: is a directory, not a store file", store)
	}
	// The name that is replaced is that of the file, not of a link to it.
	path, err := filepath.EvalSymlinks(store)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return pathError(err)
	}
	off, err := openSettled(path)
	if err != nil {
		return storeError(store, err)
	}
	st, err := compact(ctx, off, path)
	if err := errors.Join(err, off.Close()); err != nil {
		return storeError(store, err)
	}
	if asJSON {
		return newJSONEncoder(out).Encode(st)
	}
	size := func(n int64) string { return humanize.IBytes(uint64(n)) }
	_, err = fmt.Fprintf(out, "%s: %s before, %s after (%d and %d bytes); %s\n", store,
		size(st.DiskBefore), size(st.DiskAfter), st.DiskBefore, st.DiskAfter, plural(st.Entries, "entry", "entries"))
	return err
}

// openSettled opens a store that nobody uses, of which everything is durable.
func openSettled(path string) (*engine.Offline, error) {
	for range 2 {
		off, err := engine.OpenOffline(path, true, false)
		if err != nil {
			return nil, err
		}
		if v := off.Versions(); len(v) == 0 || !v[0].Published {
			return off, nil
		}
		// Its processes were killed. Opening it saves what they had published.
		if err := off.Close(); err != nil {
			return nil, err
		}
		if err := withStore(path, engine.Options{}, func(*engine.Store) error { return nil }); err != nil {
			return nil, err
		}
	}
	return nil, engine.ErrBusy
}

func compact(ctx context.Context, off *engine.Offline, path string) (compactJSON, error) {
	var st compactJSON
	before, err := off.File().Stat()
	if err != nil {
		return st, err
	}
	if len(off.Versions()) == 0 {
		return st, fmt.Errorf("%w: no valid checkpoint; see pongofs check", engine.ErrCorrupt)
	}
	fresh, rep, written, err := rewriteStore(ctx, off, 0, path)
	if err != nil {
		return st, err
	}
	defer fresh.drop()
	if !rep.Clean() || rep.Entries != written.Entries || rep.Containers != written.Containers {
		return st, fmt.Errorf("it is damaged, so it was left alone; see pongofs check: %w", engine.ErrCorrupt)
	}
	after, err := os.Stat(fresh.tmp)
	if err != nil {
		return st, err
	}
	st = compactJSON{before.Size(), after.Size(), diskBytes(before), diskBytes(after), rep.Entries}
	return st, fresh.publish(true)
}
