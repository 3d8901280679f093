package main

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"pongofs/engine"
	"pongofs/engine/value"
)

type treeOptions struct {
	depth int
}

func newTreeCommand() *cobra.Command {
	var o treeOptions
	cmd := &cobra.Command{
		Use:     "tree [-L DEPTH] STORE [PATH]",
		Short:   "Show a container with everything below, types and values",
		Example: `  pongofs tree -L 2 data.pongo`,
		Args:    usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTree(cmd.Context(), o, cmd.OutOrStdout(), args[0], argument(args, 1))
		},
	}
	cmd.Flags().IntVarP(&o.depth, "depth", "L", 0, "go down only so many levels, 0 for all")
	return cmd
}

func runTree(ctx context.Context, o treeOptions, out io.Writer, store, path string) error {
	return view(store, func(tx *engine.Tx) error {
		at, err := locateExisting(tx, path)
		if err != nil {
			return err
		}
		return buffered(out, func(w *bufio.Writer) error {
			d := drawer{ctx: ctx, tx: tx, w: w, depth: o.depth}
			name := store
			if path != "" {
				name = shownName(at.path)
			}
			if err := d.line("", name, &at.entry); err != nil {
				return err
			}
			if at.entry.IsContainer() {
				if err := d.children(&at.entry, "", 1); err != nil {
					return err
				}
			}
			_, err := fmt.Fprintf(w, "\n%s, %s\n", plural(d.containers, "container", "containers"), plural(d.scalars, "value", "values"))
			return err
		})
	})
}

// drawer prints a tree and counts what it prints.
type drawer struct {
	ctx        context.Context
	tx         *engine.Tx
	w          io.Writer
	depth      int
	containers uint64
	scalars    uint64
}

// children prints the entries of a container. An entry is printed when its
// successor is known, since the last one has another branch.
func (d *drawer) children(parent *engine.Entry, indent string, level int) error {
	if d.depth > 0 && level > d.depth {
		return nil
	}
	var previous *engine.Entry
	var failed error
	draw := func(e *engine.Entry, branch, below string) error {
		if err := d.line(indent+branch, keyName(parent.Kind, e.Key), e); err != nil {
			return err
		}
		if !e.IsContainer() {
			return nil
		}
		return d.children(e, indent+below, level+1)
	}
	err := d.tx.Scan(parent.ID, value.Value{}, true, func(e engine.Entry) bool {
		if failed = d.ctx.Err(); failed == nil && previous != nil {
			failed = draw(previous, "├── ", "│   ")
		}
		previous = &e
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	if previous != nil {
		return draw(previous, "└── ", "    ")
	}
	return nil
}

func (d *drawer) line(indent, name string, e *engine.Entry) error {
	text, err := summary(d.tx, e, 60)
	if err != nil {
		return err
	}
	if e.IsContainer() {
		d.containers++
	} else {
		d.scalars++
	}
	_, err = fmt.Fprintf(d.w, "%s%s  %s\n", indent, printable(name), text)
	return err
}
