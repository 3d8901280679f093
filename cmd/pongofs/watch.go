package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pongofs/engine"
)

// exitGone is the exit status of watch when it cannot begin where it is told.
const exitGone = 3

type watchOptions struct {
	from   uint64
	once   bool
	count  int
	all    bool
	json   bool
	values bool
}

func newWatchCommand() *cobra.Command {
	var o watchOptions
	cmd := &cobra.Command{
		Use:   "watch STORE[@SNAPSHOT] [PATH]",
		Short: "Print what changes in a store",
		Long: `Print what anybody changes in a store, or in PATH of it, until interrupted. Each
change is a line of fields with tabs between them:

  TIME SEQUENCE CHANGE OLD-TYPE NEW-TYPE PATH [OLD-PATH]

CHANGE is add, remove, change (of value or type), or move; with --all also attr
(of mode, owner, times, extended attributes, declaration). A type that there is
not is "-". OLD-PATH is where a moved entry was. PATH need not exist; what is
moved into or out of it is added or removed.

What is compared are versions of the whole store. Several that were published
in quick succession, or while the reader of the output was slow, count as one
step: SEQUENCE and TIME are those of its last version, and what came and went
within it is not shown. The lines of one step belong together: paths in them
are those after the step, but for what was removed and for OLD-PATH. No version
is passed over between two steps, and the store holds no more than two versions
for the watch, whatever its reader does.

It begins with the newest version, with a snapshot, or with --from SEQUENCE:
that can be the newest version, or one that a snapshot shows, else it is gone.
With --json the first line and the one behind each step have the sequence that
the output is complete up to: {"version":SEQUENCE}. A reader that must miss
nothing when it is started again takes a snapshot before it stops and begins
with that; it sees again what came between the snapshot and its stop.

Exit status: 0 interrupted, or the reader of the output has gone, or --once or
--count is done; 1 failed, 2 wrong usage, 3 the version to begin with is gone.`,
		Example: `  pongofs watch data.pongo
  pongofs watch data.pongo staff --json
  pongofs watch data.pongo@monday --once
  pongofs watch data.pongo --from 4711 --count 10`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			from := parseStore(args[0])
			switch {
			case from.snapshot != "" && o.from != 0:
				return usageError(cmd, errors.New("a snapshot and --from are two beginnings"))
			case o.values && !o.json:
				return usageError(cmd, errors.New("--values needs --json"))
			case cmd.Flags().Changed("from") && o.from == 0:
				return usageError(cmd, errors.New("--from 0: versions begin with 1"))
			case cmd.Flags().Changed("count") && o.count <= 0:
				return usageError(cmd, errors.New("--count must be positive"))
			}
			// A closed pipe is an end, not a death by signal with the store open.
			signal.Ignore(syscall.SIGPIPE)
			ctx, stop := untilClosed(cmd.Context(), cmd.OutOrStdout())
			defer stop()
			return runWatch(ctx, o, cmd.OutOrStdout(), cmd.ErrOrStderr(), from, argument(args, 1))
		},
	}
	cmd.Flags().Uint64Var(&o.from, "from", 0, "begin with the version of this `SEQUENCE`")
	cmd.Flags().BoolVar(&o.once, "once", false, "print what has changed up to now, do not wait")
	cmd.Flags().IntVar(&o.count, "count", 0, "end after `N` changes")
	cmd.Flags().BoolVar(&o.all, "all", false, "print changes of attributes, too")
	cmd.Flags().BoolVar(&o.json, "json", false, "write one JSON object a line")
	cmd.Flags().BoolVar(&o.values, "values", false, "with --json: old and new values, not only their types")
	return cmd
}

// changeJSON is one line of --json; scripts rely on the names. Old and New are
// types, or with --values what diff --json writes.
type changeJSON struct {
	Seq    uint64    `json:"seq"`
	OldSeq uint64    `json:"old_seq"`
	Time   time.Time `json:"time"`
	Change string    `json:"change"`
	Path   string    `json:"path"`
	From   string    `json:"from,omitempty"`
	Old    any       `json:"old,omitempty"`
	New    any       `json:"new,omitempty"`
}

// versionJSON says up to where the lines before it are complete.
type versionJSON struct {
	Version uint64    `json:"version"`
	Time    time.Time `json:"time"`
}

func runWatch(ctx context.Context, o watchOptions, out, notes io.Writer, from source, path string) error {
	return withStore(from.store, engine.Options{}, func(s *engine.Store) error {
		start := o.from
		if from.snapshot != "" {
			snap, err := s.FindSnapshot(from.snapshot)
			if errors.Is(err, engine.ErrNotFound) {
				return &exitError{exitGone, noSnapshot(from.snapshot, from.store)}
			}
			if err != nil {
				return err
			}
			start = snap.Seq
		}
		f := &feed{ctx: ctx, o: o, names: splitPath(path), store: from.store, notes: notes}
		err := s.Watch(ctx, start, func(d *engine.Differ) error {
			return buffered(out, func(w *bufio.Writer) error {
				f.w = w
				return f.step(d)
			})
		})
		switch {
		case errors.Is(err, engine.ErrNotFound) && !f.begun:
			return &exitError{exitGone, fmt.Errorf("%s: %s", from.store, whyGone(start, s.Changed(), from.store))}
		case errors.Is(err, syscall.EPIPE):
			return nil
		case err == errStop || errors.Is(err, context.Canceled):
			f.note("watched %s up to version %d", from.store, f.complete)
			return nil
		}
		return err
	})
}

// whyGone tells why a feed cannot begin with a version, and what to do.
func whyGone(seq, newest uint64, store string) string {
	if seq > newest {
		return fmt.Sprintf("version %d is none of this store, whose newest is %d; read it anew, then watch --from %d",
			seq, newest, newest)
	}
	return fmt.Sprintf("version %d is gone: it is not the newest, %d, and no snapshot shows it; "+
		"read the store anew, then watch --from %d, or begin with a snapshot: pongofs snapshot ls %s",
		seq, newest, newest, store)
}

// feed prints changes.
type feed struct {
	ctx      context.Context
	o        watchOptions
	names    []string // of the path that is watched
	store    string
	w        *bufio.Writer
	notes    io.Writer
	begun    bool
	printed  int
	complete uint64 // the version up to which all is printed
}

func (f *feed) note(format string, args ...any) {
	if !f.o.json {
		fmt.Fprintf(f.notes, format+"\n", args...)
	}
}

// step prints what differs between two versions.
func (f *feed) step(d *engine.Differ) error {
	if !f.begun {
		f.begun, f.complete = true, d.Old().Seq()
		f.note("watching %s from version %d", f.store, f.complete)
		if err := f.mark(d.Old()); err != nil {
			return err
		}
	}
	old, err := findEntry(d.Old(), f.names)
	if err != nil {
		return err
	}
	now, err := findEntry(d.Now(), f.names)
	if err != nil {
		return err
	}
	any := false
	for c, err := range d.ChangesBelow(old, now) {
		if err == nil {
			err = f.ctx.Err()
		}
		if err == nil && (c.Kind != engine.ChangeAttr || f.o.all) {
			if f.o.count > 0 && f.printed == f.o.count {
				return errStop
			}
			any = true
			f.printed++
			err = f.change(d, &c)
		}
		if err != nil {
			return err
		}
	}
	f.complete = d.Now().Seq()
	if any {
		if err := f.mark(d.Now()); err != nil {
			return err
		}
	}
	if f.o.once || f.o.count > 0 && f.printed == f.o.count {
		return errStop
	}
	return nil
}

// mark says that everything up to a version is printed.
func (f *feed) mark(tx *engine.Tx) error {
	if !f.o.json {
		return nil
	}
	return newJSONEncoder(f.w).Encode(versionJSON{tx.Seq(), tx.Time().UTC()})
}

// findEntry finds what is at a path, nil when nothing is.
func findEntry(tx *engine.Tx, names []string) (*engine.Entry, error) {
	at, err := locate(tx, joinPath(names))
	if errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrNotContainer) || err == nil && !at.found {
		return nil, nil
	}
	return &at.entry, err
}

func (f *feed) change(d *engine.Differ, c *engine.Change) error {
	line := changeJSON{
		Seq: d.Now().Seq(), OldSeq: d.Old().Seq(), Time: d.Now().Time().UTC(), Change: c.Kind.String(), Path: f.path(c.Path),
	}
	if c.Kind == engine.ChangeMove {
		line.From = f.path(c.From)
	}
	types := [2]string{"-", "-"}
	for i, side := range []struct {
		tx *engine.Tx
		e  *engine.Entry
		to *any
	}{{d.Old(), c.Old, &line.Old}, {d.Now(), c.Now, &line.New}} {
		if side.e == nil {
			continue
		}
		one, err := f.side(side.tx, side.e)
		if err != nil {
			return err
		}
		*side.to = one
		if s, ok := one.(string); ok {
			types[i] = s
		}
	}
	if f.o.json {
		return newJSONEncoder(f.w).Encode(line)
	}
	_, err := fmt.Fprintf(f.w, "%s\t%d\t%s\t%s\t%s\t%s", line.Time.Format(time.RFC3339Nano), line.Seq, line.Change, types[0], types[1], field(line.Path))
	if err == nil && c.Kind == engine.ChangeMove {
		_, err = fmt.Fprintf(f.w, "\t%s", field(line.From))
	}
	if err == nil {
		err = f.w.WriteByte('\n')
	}
	return err
}

// side is what a line tells of an entry: its type, with --values more.
func (f *feed) side(tx *engine.Tx, e *engine.Entry) (any, error) {
	if f.o.values {
		return side(tx, e)
	}
	if e.Link {
		return "link", nil
	}
	kind, err := kindOf(tx, e)
	return kind.String(), err
}

// path returns the path from the root of the store.
func (f *feed) path(steps []engine.Step) string {
	path := joinPath(f.names)
	for _, s := range steps {
		path = joinName(path, s.In, s.Key)
	}
	return path
}

// field is shownPath for fields that programs read: what begins with a quote is
// always quoted.
func field(path string) string {
	if strings.HasPrefix(path, `"`) {
		return strconv.Quote(path)
	}
	return shownPath(path)
}
