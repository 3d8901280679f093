package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

func newAppendCommand() *cobra.Command {
	var o setOptions
	cmd := &cobra.Command{
		Use:     "append [-t TYPE] STORE LIST VALUE...",
		Short:   "Append scalars to a list",
		Example: `  pongofs append data.pongo todo "water the plants"`,
		Args:    usageArgs(cobra.MinimumNArgs(3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAppend(cmd.Context(), o, cmd, args[0], args[1], args[2:])
		},
	}
	cmd.Flags().StringVarP(&o.kind, "type", "t", "", "declare this type")
	return cmd
}

func runAppend(_ context.Context, o setOptions, cmd *cobra.Command, store, path string, values []string) error {
	kind, err := scalarKindFlag(cmd, o.kind)
	if err != nil {
		return err
	}
	return update(store, func(tx *engine.Tx) error {
		list, err := locateList(tx, path)
		if err != nil {
			return err
		}
		for i, text := range values {
			at := place{spot: spot{list.entry.ID, value.Int(int64(list.entry.Len) + int64(i))}}
			if err := storeImage(tx, &at, kind, append([]byte(text), '\n')); err != nil {
				return fmt.Errorf("%s: %w", list.path, err)
			}
		}
		return nil
	})
}

func newInsertCommand() *cobra.Command {
	var o setOptions
	cmd := &cobra.Command{
		Use:   "insert [-t TYPE] STORE LIST INDEX VALUE",
		Short: "Insert a scalar into a list, moving later elements up",
		Long: `Insert a scalar before the element INDEX of a list, so that it and all later
elements move up by one. A negative INDEX counts from the end.`,
		Example: `  pongofs insert data.pongo todo 0 "get up"`,
		Args:    usageArgs(cobra.ExactArgs(4)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runInsert(cmd.Context(), o, cmd, args)
		},
	}
	cmd.Flags().StringVarP(&o.kind, "type", "t", "", "declare this type")
	return cmd
}

func runInsert(_ context.Context, o setOptions, cmd *cobra.Command, args []string) error {
	kind, err := scalarKindFlag(cmd, o.kind)
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return usageError(cmd, fmt.Errorf("%s: not an index", args[2]))
	}
	image := append([]byte(args[3]), '\n')
	declared := kind != value.KindInvalid
	v, noEOL := encoding.Infer(image)
	if declared {
		if v, noEOL, err = encoding.ParseDeclared(kind, image); err != nil {
			return err
		}
	}
	return update(args[0], func(tx *engine.Tx) error {
		list, err := locateList(tx, args[1])
		if err != nil {
			return err
		}
		o := engine.PutOptions{Declared: declared, NoEOL: noEOL, New: newFileAttr()}
		if _, err := tx.InsertAt(list.entry.ID, index, v, o); err != nil {
			return fmt.Errorf("%s: index %d: %w", list.path, index, err)
		}
		return nil
	})
}

func newCompactListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "compact-list STORE LIST",
		Short:   "Close the gaps of a list, moving later elements down",
		Example: `  pongofs compact-list data.pongo todo`,
		Args:    usageArgs(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			return update(args[0], func(tx *engine.Tx) error {
				list, err := locateList(tx, args[1])
				if err != nil {
					return err
				}
				if err := tx.CompactList(list.entry.ID); err != nil {
					return fmt.Errorf("%s: %w", list.path, err)
				}
				return nil
			})
		},
	}
}

// locateList finds a list.
func locateList(tx *engine.Tx, path string) (place, error) {
	at, err := locateContainer(tx, path)
	if err == nil && at.entry.Kind != value.KindList {
		err = fmt.Errorf("%s: is a %s, not a list", at.path, at.entry.Kind)
	}
	return at, err
}
