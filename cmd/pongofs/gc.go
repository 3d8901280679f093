package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"pongofs/engine"
	"pongofs/gc"
)

func newGCCommand() *cobra.Command {
	var asJSON bool
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "gc STORE",
		Short: "Collect garbage that killed processes have left",
		Long: `Run a full collection beside whatever else uses the store. Replaced values are
reused without it; it frees what processes that were killed had allocated.`,
		Example: `  pongofs gc data.pongo`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), patience)
			defer cancel()
			var st gc.Stats
			err := withStore(args[0], engine.Options{}, func(s *engine.Store) (err error) {
				st, err = gc.New(s).Full(ctx)
				if errors.Is(err, context.DeadlineExceeded) {
					return fmt.Errorf("a reader of an older version did not end within %v; is a process stopped? %w", patience, err)
				}
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(st)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "live %d objects, %s; freed %d objects, %s; %v\n",
				st.Live, humanize.IBytes(uint64(st.LiveBytes)), st.Freed, humanize.IBytes(uint64(st.FreedBytes)),
				(st.Wait + st.Mark + st.Sweep).Round(time.Microsecond))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object, times in nanoseconds")
	cmd.Flags().DurationVar(&patience, "patience", 30*time.Second, "how long to wait for readers of older versions")
	return cmd
}

// collectFull is what a full store calls to find free space.
func collectFull(s *engine.Store) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := gc.New(s).Full(ctx)
	return err
}

// collectInBackground collects while a mount is served. stop waits for it.
func collectInBackground(s *engine.Store, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		gc.New(s).Run(ctx, gc.Pace{Log: log})
	}()
	return func() {
		cancel()
		<-done
	}
}
