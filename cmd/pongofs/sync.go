package main

import (
	"github.com/spf13/cobra"

	"pongofs/engine"
)

func newSyncCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sync STORE",
		Short: "Make everything that is visible survive a power loss",
		Long: `Wait until everything written before, by whatever process, is on the disk.
sync(1) and syncfs(2) do not reach a mounted store; this command and fsync(2)
do.`,
		Example: `  pongofs sync data.pongo`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(args[0], engine.Options{}, func(s *engine.Store) error {
				return s.Sync(cmd.Context())
			})
		},
	}
}
