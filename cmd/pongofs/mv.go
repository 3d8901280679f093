package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"pongofs/engine"
)

type mvOptions struct {
	noReplace bool
}

func newMvCommand() *cobra.Command {
	var o mvOptions
	cmd := &cobra.Command{
		Use:   "mv STORE FROM TO",
		Short: "Move or rename an entry",
		Long: `Give an entry another name or place; it keeps its value, type and times. A
scalar replaces a scalar. If TO is a container, FROM moves into it under its own
name.`,
		Example: `  pongofs mv data.pongo draft final`,
		Args:    usageArgs(cobra.ExactArgs(3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runMv(cmd.Context(), o, args[0], args[1], args[2])
		},
	}
	cmd.Flags().BoolVarP(&o.noReplace, "no-replace", "n", false, "fail when TO exists")
	return cmd
}

func runMv(_ context.Context, o mvOptions, store, from, to string) error {
	return update(store, func(tx *engine.Tx) error {
		source, err := locateExisting(tx, from)
		if err != nil {
			return err
		}
		if source.isRoot() {
			return fmt.Errorf("%s: the root cannot be moved", source.path)
		}
		target, err := locate(tx, to)
		if err != nil {
			return err
		}
		if target.found && target.entry.IsContainer() && !o.noReplace {
			names := splitPath(from)
			into := joinPath(append(splitPath(to), names[len(names)-1]))
			if target, err = locate(tx, into); err != nil {
				return err
			}
		}
		err = moveEntry(tx, &source, &target, engine.RenameOptions{NoReplace: o.noReplace})
		if err != nil {
			return fmt.Errorf("%s to %s: %w", source.path, target.path, err)
		}
		return nil
	})
}

// moveEntry renames source to target. A declared target asks its type of the
// source, as rename(2) in a mount does.
func moveEntry(tx *engine.Tx, source, target *place, o engine.RenameOptions) error {
	if target.found && target.entry.Declared && !source.entry.Declared && !source.entry.IsContainer() {
		if err := convertScalar(tx, source, target.entry.Kind); err != nil {
			return err
		}
	}
	return tx.Rename(source.dir, source.key, target.dir, target.key, o)
}
