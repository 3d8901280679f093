package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os/signal"
	"reflect"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pongofs/engine"
)

type statsOptions struct {
	watch string // seconds between two reports, "" for one report
	count int
	json  bool
}

func newStatsCommand() *cobra.Command {
	var o statsOptions
	cmd := &cobra.Command{
		Use:   "stats STORE [-w [SECONDS]]",
		Short: "Show the figures of a store, again and again",
		Long: `Show the figures of a store that cost nothing to find out, a name and a value on
each line, as .pongo/stats in a mount does. pongofs info has more, and reads the
whole store for it.

With -w they are shown every SECONDS (1 by default) until interrupted. Each
report begins with a line of the time, and from the second on a third field
says by how much a number has grown or shrunk per second since the one before:
that of "sequence" is the number of changes per second, by everybody.`,
		Example: `  pongofs stats data.pongo
  pongofs stats data.pongo -w
  pongofs stats data.pongo -w 10 --json`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, every, err := o.settle(args)
			if err != nil {
				return usageError(cmd, err)
			}
			signal.Ignore(syscall.SIGPIPE) // a closed pipe is an end
			ctx, stop := untilClosed(cmd.Context(), cmd.OutOrStdout())
			defer stop()
			return runStats(ctx, o, cmd.OutOrStdout(), store, every)
		},
	}
	cmd.Flags().StringVarP(&o.watch, "watch", "w", "", "show them every `SECONDS`")
	cmd.Flags().Lookup("watch").NoOptDefVal = defaultEvery
	cmd.Flags().IntVarP(&o.count, "count", "n", 0, "with -w: end after `N` reports")
	cmd.Flags().BoolVar(&o.json, "json", false, "write one JSON object a report")
	return cmd
}

// defaultEvery is the number of seconds of -w without one.
const defaultEvery = "1"

// settle tells the store from the seconds: a flag whose value may be left out
// has to be written -w=10 for the parser, people write -w 10.
func (o *statsOptions) settle(args []string) (store string, every time.Duration, err error) {
	store = args[0]
	if len(args) == 2 {
		if o.watch != defaultEvery {
			return "", 0, errors.New("one store at a time")
		}
		o.watch = args[1]
		if _, err := strconv.ParseFloat(store, 64); err == nil && !exists(store) {
			store, o.watch = args[1], args[0]
		}
	}
	if o.count < 0 || o.count > 0 && o.watch == "" {
		return "", 0, errors.New("-n is the number of reports of -w")
	}
	if o.watch == "" {
		return store, 0, nil
	}
	seconds, err := strconv.ParseFloat(o.watch, 64)
	if err != nil || !(seconds >= 0.001 && seconds <= 1e6) {
		return "", 0, fmt.Errorf("-w %s: not a number of seconds from 0.001 on", o.watch)
	}
	return store, time.Duration(seconds * float64(time.Second)), nil
}

func runStats(ctx context.Context, o statsOptions, out io.Writer, store string, every time.Duration) error {
	open := withReadableStore
	if every > 0 {
		// Opened read-only it would keep everybody from writing, to watch that.
		open = func(path string, fn func(*engine.Store) error) error { return withStore(path, engine.Options{}, fn) }
	}
	err := open(store, func(s *engine.Store) error {
		var last figures
		for n := 1; ; n++ {
			now, err := newFigures(s, store, &last)
			if err != nil {
				return err
			}
			if err := buffered(out, func(w *bufio.Writer) error { return now.print(w, o) }); err != nil {
				return err
			}
			if every == 0 || n == o.count {
				return nil
			}
			last = now
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(every):
			}
		}
	})
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// figures are the figures at one moment, with how they have changed since
// another one.
type figures struct {
	time time.Time
	all  []engine.Figure
	rate []float64 // per second, one for each; NaN for what has none
}

// newFigures takes the figures of a store, and compares them with those before,
// if there are.
func newFigures(s *engine.Store, path string, before *figures) (figures, error) {
	st, err := s.Stats()
	st.Path = path
	f := figures{time: time.Now(), all: st.Figures()}
	f.compare(before)
	return f, err
}

func (f *figures) compare(before *figures) {
	if len(before.all) != len(f.all) {
		return
	}
	seconds := f.time.Sub(before.time).Seconds()
	for i := range f.all {
		a, b := number(before.all[i].Value), number(f.all[i].Value)
		f.rate = append(f.rate, (b-a)/seconds)
	}
}

// number returns an integer of any type, NaN for anything else.
func number(v any) float64 {
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return float64(r.Int())
	case r.CanUint():
		return float64(r.Uint())
	}
	return math.NaN()
}

// statsJSON is one line of --json; scripts rely on the names, those of the
// figures included.
type statsJSON struct {
	Time    time.Time          `json:"time"`
	Figures map[string]any     `json:"figures"`
	Rates   map[string]float64 `json:"per_second,omitempty"`
}

func (f *figures) print(w *bufio.Writer, o statsOptions) error {
	if o.json {
		line := statsJSON{f.time.UTC(), map[string]any{}, map[string]float64{}}
		for i, one := range f.all {
			line.Figures[one.Name] = one.Value
			if f.rate != nil && !math.IsNaN(f.rate[i]) {
				line.Rates[one.Name] = f.rate[i]
			}
		}
		return newJSONEncoder(w).Encode(line)
	}
	if o.watch != "" {
		fmt.Fprintf(w, "time %s\n", f.time.UTC().Format(time.RFC3339Nano))
	}
	for i, one := range f.all {
		fmt.Fprintf(w, "%s %v", one.Name, one.Value)
		if f.rate != nil && !math.IsNaN(f.rate[i]) {
			fmt.Fprintf(w, " %+.1f/s", f.rate[i])
		}
		if err := w.WriteByte('\n'); err != nil {
			return err
		}
	}
	return nil
}
