package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"pongofs/engine"
)

type diffOptions struct {
	all   bool
	json  bool
	quiet bool
}

func newDiffCommand() *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff [--all] STORE[:PATH] STORE[:PATH]",
		Short: "Compare two stores, or parts of them",
		Long: `Compare types and values. Each difference is one line: "- path" only in the
first, "+ path" only in the second, "~ path" different. With --all also compare
declarations, final newlines, modes, owners, times and extended attributes.

Exit status: 0 equal, 1 different, 2 trouble.`,
		Example: `  pongofs diff data.pongo copy.pongo
  pongofs diff data.pongo:scotland data.pongo:northern-ireland`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			equal, err := runDiff(cmd.Context(), o, cmd.OutOrStdout(), args[0], args[1])
			switch {
			case err != nil:
				return &exitError{2, err}
			case !equal:
				return &exitError{1, nil}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "compare everything that is kept")
	cmd.Flags().BoolVar(&o.json, "json", false, "write one JSON object a line")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "print nothing, stop at the first difference")
	return cmd
}

func runDiff(ctx context.Context, o diffOptions, out io.Writer, a, b string) (bool, error) {
	storeA, pathA := splitStorePath(a)
	storeB, pathB := splitStorePath(b)
	equal := true
	compare := func(txA, txB *engine.Tx) error {
		placeA, err := locateExisting(txA, pathA)
		if err != nil {
			return fmt.Errorf("%s: %w", storeA, err)
		}
		placeB, err := locateExisting(txB, pathB)
		if err != nil {
			return fmt.Errorf("%s: %w", storeB, err)
		}
		return buffered(out, func(w *bufio.Writer) error {
			c := &comparer{ctx: ctx, o: o, w: w, a: txA, b: txB}
			err := c.entries("", &placeA.entry, &placeB.entry)
			equal = !c.different
			if err == errStop {
				err = nil
			}
			return err
		})
	}
	// One file is opened once, and both sides are of one version.
	if sameFile(storeA, storeB) {
		err := view(storeA, func(tx *engine.Tx) error { return compare(tx, tx) })
		return equal, err
	}
	err := view(storeA, func(txA *engine.Tx) error {
		return view(storeB, func(txB *engine.Tx) error { return compare(txA, txB) })
	})
	return equal, err
}

// splitStorePath cuts STORE:PATH. A file whose name holds a colon wins.
func splitStorePath(arg string) (store, path string) {
	if _, err := os.Stat(arg); err == nil {
		return arg, ""
	}
	if i := strings.LastIndexByte(arg, ':'); i > 0 {
		for j := i; j > 0; j = strings.LastIndexByte(arg[:j], ':') {
			if _, err := os.Stat(arg[:j]); err == nil {
				return arg[:j], arg[j+1:]
			}
		}
		return arg[:i], arg[i+1:]
	}
	return arg, ""
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
