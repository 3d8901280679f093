package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"pongofs/engine"
	"pongofs/engine/value"
)

type lsOptions struct {
	long bool
	json bool
}

func newLsCommand() *cobra.Command {
	var o lsOptions
	cmd := &cobra.Command{
		Use:   "ls [-l] STORE [PATH]",
		Short: "List the entries of a container",
		Long: `List the names of a container's entries in its order, one a line; of a scalar,
its own name. With -l also the type (* when declared), the size (bytes of the
file, or number of entries) and the modification time.`,
		Example: `  pongofs ls -l data.pongo scotland/events/0`,
		Args:    usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLs(cmd.Context(), o, cmd.OutOrStdout(), args[0], argument(args, 1))
		},
	}
	cmd.Flags().BoolVarP(&o.long, "long", "l", false, "show type, size and time")
	cmd.Flags().BoolVar(&o.json, "json", false, "write one JSON object a line")
	return cmd
}

// argument returns args[i], "" when there is none.
func argument(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

func runLs(ctx context.Context, o lsOptions, out io.Writer, store, path string) error {
	return view(store, func(tx *engine.Tx) error {
		at, err := locateExisting(tx, path)
		if err != nil {
			return err
		}
		return buffered(out, func(w *bufio.Writer) error {
			list := newLister(o, w)
			if !at.entry.IsContainer() {
				return list.finish(list.add(tx, &at.entry, shownName(at.path)))
			}
			var failed error
			err := tx.Scan(at.entry.ID, value.Value{}, o.long || o.json, func(e engine.Entry) bool {
				if failed = ctx.Err(); failed == nil {
					failed = list.add(tx, &e, keyName(at.entry.Kind, e.Key))
				}
				return failed == nil
			})
			if failed != nil {
				err = failed
			}
			return list.finish(err)
		})
	})
}

// lister prints entries in the form that the options choose.
type lister struct {
	o    lsOptions
	w    io.Writer
	tabs *tabwriter.Writer
	json *json.Encoder
}

func newLister(o lsOptions, w io.Writer) *lister {
	l := &lister{o: o, w: w}
	if o.json {
		l.json = newJSONEncoder(w)
	} else if o.long {
		l.tabs = tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	}
	return l
}

// entryJSON is what --json tells about an entry; scripts rely on the names.
type entryJSON struct {
	Name     string    `json:"name"`
	Type     string    `json:"type"`
	Declared bool      `json:"declared,omitempty"`
	Link     bool      `json:"link,omitempty"`
	Size     *int64    `json:"size,omitempty"`
	Entries  *uint64   `json:"entries,omitempty"`
	ID       uint64    `json:"id"`
	Mode     string    `json:"mode"`
	UID      uint32    `json:"uid"`
	GID      uint32    `json:"gid"`
	Mtime    time.Time `json:"mtime"`
}

func (l *lister) add(tx *engine.Tx, e *engine.Entry, name string) error {
	if !l.o.long && !l.o.json {
		_, err := fmt.Fprintln(l.w, printable(name))
		return err
	}
	kind, err := kindOf(tx, e)
	if err != nil {
		return err
	}
	var size int64
	if !e.IsContainer() {
		size = textSize(e)
	}
	if l.o.json {
		row := entryJSON{
			Name: name, Type: kind.String(), Declared: e.Declared, Link: e.Link, ID: uint64(e.ID),
			Mode: fmt.Sprintf("%04o", e.Attr.Mode), UID: e.Attr.UID, GID: e.Attr.GID, Mtime: e.Attr.ModTime().UTC(),
		}
		if e.IsContainer() {
			row.Entries = &e.Count
		} else {
			row.Size = &size
		}
		return l.json.Encode(row)
	}
	label := kind.String()
	if e.Declared && !e.IsContainer() {
		label += "*"
	}
	if e.Link {
		label = "link"
	}
	amount := fmt.Sprintf("%d B", size)
	if e.IsContainer() {
		amount = plural(e.Count, "entry", "entries")
	}
	_, err = fmt.Fprintf(l.tabs, "%s\t%s\t%s\t%s\n", label, amount, e.Attr.ModTime().Format("2006-01-02 15:04:05"), printable(name))
	return err
}

func (l *lister) finish(err error) error {
	if l.tabs != nil {
		if flushErr := l.tabs.Flush(); err == nil {
			err = flushErr
		}
	}
	return err
}
