// Command pongofs keeps typed values in a memory-mapped store file that many
// processes share, and mounts such a store as a directory tree.
//
// This package parses command lines, prints results and decides exit codes.
// What a store is belongs to package engine, what a file is to package fsnode.
// It is the only package where gc and fsnode meet.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	cmd := newRootCommand()
	cmd.SetArgs(guardNumbers(os.Args[1:]))
	err := cmd.ExecuteContext(ctx)
	stop()
	os.Exit(report(os.Stderr, err))
}

// newRootCommand returns the command tree.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "pongofs",
		Short: "A typed key-value store that is a file system",
		Long: `pongofs keeps typed values (null, bool, int, float, datetime, uuid, string,
bytes, and lists, dicts and collections of them) in one memory-mapped store
file that any number of mounts, commands and Go programs use at once.

Paths inside a store are the paths below a mount of it: KEY/KEY/INDEX.

Exit status: 0 done, 1 failed, 2 wrong usage; diff: 0 equal, 1 different,
2 trouble; check: as fsck(8); watch: 3 the version to begin with is gone.`,
		Example: `  pongofs create data.pongo
  pongofs import data.pongo bank-holidays.json
  mkdir mnt && pongofs mount data.pongo mnt
  ls mnt
  pongofs umount mnt`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError(cmd, err)
	})
	root.AddCommand(
		newCreateCommand(), newMountCommand(), newUmountCommand(),
		newLsCommand(), newTreeCommand(), newGetCommand(), newSetCommand(), newTypeCommand(),
		newMkdictCommand(), newMklistCommand(), newMkcollCommand(),
		newAppendCommand(), newInsertCommand(), newRmCommand(), newMvCommand(), newCompactListCommand(),
		newImportCommand(), newExportCommand(), newDiffCommand(), newWatchCommand(),
		newCheckCommand(), newBackupCommand(), newCompactCommand(),
		newAddCommand(), newSnapshotCommand(), newMetaCommand(),
		newGCCommand(), newSyncCommand(), newInfoCommand(), newStatsCommand(), newVersionCommand(),
	)
	return root
}
