package main

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"pongofs/encoding"
	"pongofs/engine"
)

type exportOptions struct {
	format  string
	output  string
	compact bool
}

func newExportCommand() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export [--format FORMAT] STORE [PATH]",
		Short: "Write a document",
		Long: `Write one consistent version of the value at PATH, or of the whole store.

Formats: extjson (canonical MongoDB Extended JSON v2, which loses nothing; the
default), json (plain, loses types), extjsonl and jsonl (a list, one element a
line), yaml, toml. What a format loses is said on standard error.`,
		Example: `  pongofs export data.pongo > data.json
  pongofs export --format yaml data.pongo scotland/events/0`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExport(cmd.Context(), o, cmd, args[0], argument(args, 1))
		},
	}
	cmd.Flags().StringVar(&o.format, "format", "", "format of the output (default extjson, or what the name after -o says)")
	cmd.Flags().BoolVar(&o.compact, "compact", false, "write JSON in one line")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "write this file, which appears when it is complete")
	return cmd
}

func runExport(_ context.Context, o exportOptions, cmd *cobra.Command, store, path string) error {
	format, err := chooseFormat(cmd, o.format, o.output)
	if err != nil {
		return err
	}
	indent := "  "
	if o.compact {
		indent = ""
	}
	return view(store, func(tx *engine.Tx) error {
		at, err := locateExisting(tx, path)
		if err != nil {
			return err
		}
		var report encoding.Report
		write := func(out io.Writer) error {
			return buffered(out, func(w *bufio.Writer) error {
				var err error
				tree := newStoreTree(tx, at.entry)
				report, err = encoding.Encode(format, w, tree, encoding.EncodeOptions{Indent: indent})
				return err
			})
		}
		if o.output == "" {
			err = write(cmd.OutOrStdout())
		} else {
			err = writeFile(o.output, write)
		}
		if err != nil {
			return err
		}
		for _, loss := range report.Losses {
			fmt.Fprintf(cmd.ErrOrStderr(), "pongofs: note: %s\n", loss)
		}
		return nil
	})
}

// writeFile makes or replaces a file in one step.
func writeFile(name string, write func(io.Writer) error) error {
	file, err := renameio.NewPendingFile(name, renameio.WithPermissions(0o666), renameio.WithExistingPermissions())
	if err != nil {
		return pathError(err)
	}
	defer file.Cleanup()
	if err := write(file); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return file.CloseAtomicallyReplace()
}
