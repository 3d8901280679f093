package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"pongofs/engine"
)

type createOptions struct {
	chunkSize string
	anyFS     bool
}

func newCreateCommand() *cobra.Command {
	var o createOptions
	cmd := &cobra.Command{
		Use:   "create STORE",
		Short: "Make a new empty store",
		Long: `Make a new empty store file, readable by its owner only. A file that exists is
left alone.`,
		Example: `  pongofs create data.pongo`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCreate(cmd, o, args[0])
		},
	}
	cmd.Flags().StringVar(&o.chunkSize, "chunk-size", "16MiB", "grow the file in steps of this size")
	cmd.Flags().BoolVar(&o.anyFS, "any-fs", false, "permit file systems on which a store is not safe")
	return cmd
}

func runCreate(cmd *cobra.Command, o createOptions, store string) error {
	chunk, err := parseSize(o.chunkSize)
	if err != nil {
		return usageError(cmd, fmt.Errorf("--chunk-size: %w", err))
	}
	err = engine.Create(store, engine.CreateOptions{ChunkSize: chunk, AnyFS: o.anyFS})
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: exists already; choose another name or remove it first", store)
	}
	return storeError(store, err)
}
