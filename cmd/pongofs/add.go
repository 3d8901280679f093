package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

type addOptions struct {
	format string
}

func newAddCommand() *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "add [--format FORMAT] STORE COLLECTION",
		Short: "Store a document under a key of its own",
		Long: `Store the document on standard input in a collection under a new key, and print
the name that the key has in paths. Keys are UUIDs, made as the setting newkey
says. An object also gets its key as its member "_id", or whatever the setting id
says; if it has that member already, that is the key. See pongofs meta.`,
		Example: `  echo '{"name": "Ada"}' | pongofs add data.pongo people`,
		Args:    usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAdd(cmd.Context(), o, cmd, args[0], args[1])
		},
	}
	cmd.Flags().StringVar(&o.format, "format", "", "format of the document, as for import")
	return cmd
}

func runAdd(ctx context.Context, o addOptions, cmd *cobra.Command, store, path string) error {
	const stdin = "-"
	format, err := chooseFormat(cmd, o.format, stdin)
	if err != nil {
		return err
	}
	var doc value.Document
	if err := encoding.Decode(format, &contextReader{ctx, cmd.InOrStdin()}, &doc); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	tree, err := doc.Tree()
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	var key value.Value
	err = update(store, func(tx *engine.Tx) error {
		at, err := locateContainer(tx, path)
		if err != nil {
			return err
		}
		collection, err := tx.Collection(at.entry.ID)
		if err != nil {
			return fmt.Errorf("%s: is a %s, not a collection; make one with pongofs mkcoll", at.path, at.entry.Kind)
		}
		key, err = collection.Add(tree)
		return err
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(cmd.OutOrStdout(), keyName(value.KindCollection, key)+"\n")
	return err
}
