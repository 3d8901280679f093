package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"pongofs/engine"
	"pongofs/engine/value"
)

type rmOptions struct {
	recursive bool
	force     bool
	shift     bool
}

func newRmCommand() *cobra.Command {
	var o rmOptions
	cmd := &cobra.Command{
		Use:   "rm [-rf] STORE PATH...",
		Short: "Remove entries",
		Long: `Remove scalars and empty containers, with -r containers with everything below.
All of them go in one step, or none does. In a list the other elements keep
their numbers; with --shift later elements move down by one.`,
		Example: `  pongofs rm data.pongo age
  pongofs rm --shift data.pongo todo/0`,
		Args: usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRm(cmd.Context(), o, args[0], args[1:])
		},
	}
	cmd.Flags().BoolVarP(&o.recursive, "recursive", "r", false, "remove containers with everything below")
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "a missing entry is no error")
	cmd.Flags().BoolVar(&o.shift, "shift", false, "move later elements of the list down")
	return cmd
}

func runRm(_ context.Context, o rmOptions, store string, paths []string) error {
	return update(store, func(tx *engine.Tx) error {
		for _, path := range paths {
			at, err := locateExisting(tx, path)
			if o.force && errors.Is(err, engine.ErrNotFound) {
				continue
			}
			if err == nil {
				err = remove(tx, o, &at)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func remove(tx *engine.Tx, o rmOptions, at *place) error {
	if at.isRoot() {
		return fmt.Errorf("%s: the root cannot be removed", at.path)
	}
	var err error
	switch {
	case at.entry.IsContainer() && at.entry.Count > 0 && !o.recursive:
		return fmt.Errorf("%s: %w; remove it with everything below by rm -r", at.path, engine.ErrNotEmpty)
	case o.shift && (at.parent != value.KindList || at.key.Kind() != value.KindInt):
		return fmt.Errorf("%s: is not an element of a list, so --shift has no meaning", at.path)
	case o.shift:
		err = tx.DeleteAt(at.dir, at.key.AsInt())
	case o.recursive:
		err = tx.RemoveAll(at.dir, at.key)
	default:
		err = tx.Remove(at.dir, at.key)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", at.path, err)
	}
	return nil
}
