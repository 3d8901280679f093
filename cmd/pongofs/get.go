package main

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"pongofs/engine"
)

type getOptions struct {
	json bool
}

func newGetCommand() *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get STORE PATH",
		Short: "Print a scalar as its file shows it",
		Long: `Print the bytes that a file of the mounted store holds. With --json, print the
value as canonical MongoDB Extended JSON, which also works for containers.`,
		Example: `  pongofs get data.pongo scotland/events/0/title`,
		Args:    usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runGet(cmd.Context(), o, cmd.OutOrStdout(), args[0], args[1])
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "write Extended JSON")
	return cmd
}

func runGet(_ context.Context, o getOptions, out io.Writer, store, path string) error {
	return view(store, func(tx *engine.Tx) error {
		at, err := locateExisting(tx, path)
		if err != nil {
			return err
		}
		return buffered(out, func(w *bufio.Writer) error {
			if o.json {
				return encodeOneLine(w, newStoreTree(tx, at.entry))
			}
			if at.entry.IsContainer() {
				return fmt.Errorf("%s: is a %s; use pongofs ls or pongofs export", at.path, at.entry.Kind)
			}
			return writeImage(w, tx, &at.entry)
		})
	})
}

// writeImage copies the file image of a scalar to w, a piece at a time.
func writeImage(w io.Writer, tx *engine.Tx, e *engine.Entry) error {
	if !e.HasImage() {
		_, err := w.Write(scalarText(e))
		return err
	}
	_, err := io.Copy(w, io.NewSectionReader(imageReader{tx, e}, 0, e.Size))
	return err
}

// imageReader is the image of an entry as an io.ReaderAt.
type imageReader struct {
	tx    *engine.Tx
	entry *engine.Entry
}

// ReadAt reads from the image.
func (r imageReader) ReadAt(p []byte, off int64) (int, error) {
	return r.tx.ReadImage(r.entry, p, off)
}
