package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"pongofs/engine"
)

func newSnapshotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot create|ls|rm|diff STORE [NAME...]",
		Short: "Keep versions of a store by name",
		Long: `Keep versions of a store by name. Taking a snapshot costs the same whatever the
size of the store; it takes up what is replaced afterwards. In a mount they are
the directories of .pongo/snapshots: mkdir takes one, rmdir drops it. Commands
that read take STORE@NAME for a store.`,
		Example: `  pongofs snapshot create data.pongo monday
  pongofs snapshot ls data.pongo
  pongofs snapshot diff data.pongo monday
  pongofs export data.pongo@monday > monday.json
  pongofs snapshot rm data.pongo monday`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError(cmd, fmt.Errorf("unknown command %q", args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSnapshotCreateCommand(), newSnapshotLsCommand(), newSnapshotRmCommand(), newSnapshotDiffCommand())
	return cmd
}

func newSnapshotCreateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "create STORE NAME...",
		Short:   "Take a snapshot",
		Long:    `Take a snapshot of the newest version. It is durable when the command ends.`,
		Example: `  pongofs snapshot create data.pongo monday`,
		Args:    usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(args[0], engine.Options{}, func(s *engine.Store) error {
				for _, name := range args[1:] {
					if _, err := s.Snapshot(cmd.Context(), name); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func newSnapshotRmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rm STORE NAME...",
		Short: "Drop snapshots",
		Long: `Drop snapshots. What only they held is free after the next full collection,
which a mount starts by itself; pongofs gc does it at once.`,
		Example: `  pongofs snapshot rm data.pongo monday`,
		Args:    usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(args[0], engine.Options{}, func(s *engine.Store) error {
				for _, name := range args[1:] {
					if err := s.DropSnapshot(cmd.Context(), name); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// snapshotJSON is one line of --json; scripts rely on the names.
type snapshotJSON struct {
	Name   string    `json:"name"`
	Time   time.Time `json:"time"`
	Seq    uint64    `json:"seq"`
	Number uint64    `json:"number"`
	Bytes  int64     `json:"bytes"`
}

func newSnapshotLsCommand() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "ls STORE",
		Short: "List snapshots",
		Long: `List the snapshots of a store: when each was taken, how many bytes only it holds
(what dropping it would free), and its name.`,
		Example: `  pongofs snapshot ls data.pongo`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withReadableStore(args[0], func(s *engine.Store) error {
				return listSnapshots(cmd.OutOrStdout(), s, json)
			})
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "write one JSON object a line")
	return cmd
}

func listSnapshots(out io.Writer, s *engine.Store, json bool) error {
	all, err := s.Snapshots()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, snap := range all {
		bytes, err := s.SnapshotBytes(snap.Name)
		if err != nil {
			return err
		}
		if json {
			err = newJSONEncoder(out).Encode(snapshotJSON{snap.Name, snap.Time.UTC(), snap.Seq, snap.Number, bytes})
		} else {
			_, err = fmt.Fprintf(w, "%s\t%s\t%s\n",
				snap.Time.UTC().Format(time.RFC3339), humanize.IBytes(uint64(max(bytes, 0))), snap.Name)
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

func newSnapshotDiffCommand() *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff [--all] STORE OLD [NEW]",
		Short: "Compare a snapshot with another one, or with the newest version",
		Long: `Compare two snapshots of a store, or a snapshot with the newest version, as
pongofs diff does. The cost is that of the differences.

Exit status: 0 equal, 1 different, 2 trouble.`,
		Example: `  pongofs snapshot diff data.pongo monday tuesday`,
		Args:    usageArgs(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			old := source{store: args[0], snapshot: args[1]}
			now := source{store: args[0], snapshot: argument(args, 2)}
			return diffStatus(runDiff(cmd.Context(), o, cmd.OutOrStdout(), old, now))
		},
	}
	o.addFlags(cmd)
	return cmd
}
