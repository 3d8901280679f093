package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

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
		Use:   "diff [--all] STORE[@SNAPSHOT][:PATH] STORE[@SNAPSHOT][:PATH]",
		Short: "Compare two stores, snapshots, or parts of them",
		Long: `Compare types and values. Each difference is one line: "- path" only in the
first, "+ path" only in the second, "~ path" different. With --all also compare
declarations, final newlines, modes, owners, times and extended attributes.

Two versions of one store are compared without reading what they share. A file
whose name is STORE@SNAPSHOT or STORE:PATH as a whole goes before.

Exit status: 0 equal, 1 different, 2 trouble.`,
		Example: `  pongofs diff data.pongo copy.pongo
  pongofs diff data.pongo:scotland data.pongo:northern-ireland
  pongofs diff data.pongo@monday data.pongo`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return diffStatus(runDiff(cmd.Context(), o, cmd.OutOrStdout(), parseSource(args[0]), parseSource(args[1])))
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *diffOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.all, "all", false, "compare everything that is kept")
	cmd.Flags().BoolVar(&o.json, "json", false, "write one JSON object a line")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "print nothing, stop at the first difference")
}

// diffStatus turns the result of a comparison into an exit status.
func diffStatus(equal bool, err error) error {
	switch {
	case err != nil:
		return &exitError{2, err}
	case !equal:
		return &exitError{1, nil}
	}
	return nil
}

func runDiff(ctx context.Context, o diffOptions, out io.Writer, sideA, sideB source) (bool, error) {
	equal := true
	compare := func(txA, txB *engine.Tx) error {
		placeA, err := locateExisting(txA, sideA.path)
		if err != nil {
			return fmt.Errorf("%s: %w", sideA.store, err)
		}
		placeB, err := locateExisting(txB, sideB.path)
		if err != nil {
			return fmt.Errorf("%s: %w", sideB.store, err)
		}
		return buffered(out, func(w *bufio.Writer) error {
			c := &comparer{ctx: ctx, o: o, w: w, a: txA, b: txB}
			if c.differ, err = engine.NewDiffer(txA, txB); err != nil && !errors.Is(err, engine.ErrKind) {
				return err
			}
			err := c.entries("", &placeA.entry, &placeB.entry)
			equal = !c.different
			if err == errStop {
				err = nil
			}
			return err
		})
	}
	// One file is opened once. Without snapshots both sides are of one version.
	if sameFile(sideA.store, sideB.store) {
		err := withReadableStore(sideA.store, func(s *engine.Store) error {
			if sideA.snapshot == "" && sideB.snapshot == "" {
				return viewSide(s, &sideA, func(tx *engine.Tx) error { return compare(tx, tx) })
			}
			return viewSide(s, &sideA, func(txA *engine.Tx) error {
				return viewSide(s, &sideB, func(txB *engine.Tx) error { return compare(txA, txB) })
			})
		})
		return equal, err
	}
	err := withReadableStore(sideA.store, func(s *engine.Store) error {
		return viewSide(s, &sideA, func(txA *engine.Tx) error {
			return withReadableStore(sideB.store, func(s *engine.Store) error {
				return viewSide(s, &sideB, func(txB *engine.Tx) error { return compare(txA, txB) })
			})
		})
	})
	return equal, err
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
