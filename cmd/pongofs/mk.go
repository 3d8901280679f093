package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"pongofs/engine"
	"pongofs/engine/value"
)

type mkOptions struct {
	kind    value.Kind
	parents bool
}

func newMkdictCommand() *cobra.Command {
	return newMkCommand("mkdict", value.KindDict, "Make dicts: a few named values each, sorted by key")
}

func newMklistCommand() *cobra.Command {
	return newMkCommand("mklist", value.KindList, "Make lists: values numbered 0, 1, 2 …")
}

func newMkcollCommand() *cobra.Command {
	return newMkCommand("mkcoll", value.KindCollection, "Make collections: any number of named values in a balanced tree")
}

func newMkCommand(name string, kind value.Kind, short string) *cobra.Command {
	o := mkOptions{kind: kind}
	cmd := &cobra.Command{
		Use:     name + " [-p] STORE PATH...",
		Short:   short,
		Example: fmt.Sprintf("  pongofs %s data.pongo staff", name),
		Args:    usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runMk(cmd.Context(), o, args[0], args[1:])
		},
	}
	cmd.Flags().BoolVarP(&o.parents, "parents", "p", false, "make missing dicts on the way; one that exists is fine")
	return cmd
}

func runMk(_ context.Context, o mkOptions, store string, paths []string) error {
	return update(store, func(tx *engine.Tx) error {
		for _, path := range paths {
			if o.parents {
				if err := makeParents(tx, path); err != nil {
					return err
				}
			}
			at, err := locate(tx, path)
			if err != nil {
				return err
			}
			if at.found {
				if o.parents && at.entry.Kind == o.kind {
					continue
				}
				return fmt.Errorf("%s: %w", at.path, engine.ErrExist)
			}
			if _, err := tx.Make(at.dir, at.key, o.kind, newDirAttr()); err != nil {
				return fmt.Errorf("%s: %w", at.path, err)
			}
		}
		return nil
	})
}

// makeParents makes the containers above path that are missing, as dicts.
func makeParents(tx *engine.Tx, path string) error {
	names := splitPath(path)
	for i := 1; i < len(names); i++ {
		at, err := locate(tx, joinPath(names[:i]))
		if err != nil {
			return err
		}
		if at.found {
			continue
		}
		if _, err := tx.Make(at.dir, at.key, value.KindDict, newDirAttr()); err != nil {
			return fmt.Errorf("%s: %w", at.path, err)
		}
	}
	return nil
}
