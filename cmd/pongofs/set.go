package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

type setOptions struct {
	kind    string
	parents bool
}

func newSetCommand() *cobra.Command {
	var o setOptions
	cmd := &cobra.Command{
		Use:   "set [-t TYPE] STORE PATH [VALUE]",
		Short: "Store a scalar",
		Long: `Store a scalar as "echo VALUE > PATH" in a mount would: a declared entry keeps
its type, any other gets the type that the text looks like. With -t the value
gets that type and keeps it. Without VALUE the bytes come from standard input.

In a list the name + appends.

Types: null, bool, int, float, datetime, uuid, string, bytes.`,
		Example: `  pongofs set data.pongo age 42
  pongofs set -t string data.pongo zip 07030
  pongofs set data.pongo photo < photo.jpg`,
		Args: usageArgs(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			image := []byte(nil)
			if len(args) == 3 {
				image = append([]byte(args[2]), '\n')
			} else {
				var err error
				if image, err = io.ReadAll(cmd.InOrStdin()); err != nil {
					return fmt.Errorf("standard input: %w", err)
				}
			}
			return runSet(cmd.Context(), o, cmd, args[0], args[1], image)
		},
	}
	cmd.Flags().StringVarP(&o.kind, "type", "t", "", "declare this type")
	cmd.Flags().BoolVarP(&o.parents, "parents", "p", false, "make missing dicts on the way")
	return cmd
}

func runSet(_ context.Context, o setOptions, cmd *cobra.Command, store, path string, image []byte) error {
	kind, err := scalarKindFlag(cmd, o.kind)
	if err != nil {
		return err
	}
	return update(store, func(tx *engine.Tx) error {
		if o.parents {
			if err := makeParents(tx, path); err != nil {
				return err
			}
		}
		at, err := locate(tx, path)
		if err != nil {
			return err
		}
		if at.found && at.entry.IsContainer() {
			return fmt.Errorf("%s: is a %s; remove it first, or set an entry of it", at.path, at.entry.Kind)
		}
		if err := storeImage(tx, &at, kind, image); err != nil {
			return fmt.Errorf("%s: %w", at.path, err)
		}
		return nil
	})
}

// scalarKindFlag reads the value of a flag that names a type of scalar;
// KindInvalid when the flag is not given.
func scalarKindFlag(cmd *cobra.Command, name string) (value.Kind, error) {
	if name == "" {
		return value.KindInvalid, nil
	}
	kind, ok := value.ParseKind(name)
	if !ok || !kind.IsScalar() {
		return 0, usageError(cmd, fmt.Errorf("--type %s: not a type of scalar (null, bool, int, float, datetime, uuid, string, bytes)", name))
	}
	return kind, nil
}

// storeImage stores what a file with these bytes means: as the given kind,
// declared; as the declared kind of the entry that is there; or undeclared.
func storeImage(tx *engine.Tx, at *place, kind value.Kind, image []byte) error {
	o := engine.PutOptions{New: newFileAttr(), Declared: true}
	if kind == value.KindInvalid && at.found && at.entry.Declared {
		kind = at.entry.Kind
	}
	if kind == value.KindInvalid {
		return storeGuess(tx, at, image)
	}
	v, noEOL, err := encoding.ParseDeclared(kind, image)
	if err != nil {
		return err
	}
	o.NoEOL = noEOL
	_, err = tx.Put(at.dir, at.key, v, o)
	return err
}

// storeGuess stores bytes that nobody declared, in the type they look like.
func storeGuess(tx *engine.Tx, at *place, image []byte) error {
	v, noEOL := encoding.Infer(image)
	o := engine.PutOptions{New: newFileAttr(), NoEOL: noEOL}
	if v.Kind() == value.KindString || v.Kind() == value.KindBytes {
		o.NoEOL = !bytes.HasSuffix(image, []byte("\n"))
		_, err := tx.PutImage(at.dir, at.key, value.KindInvalid, image, o)
		return err
	}
	_, err := tx.Put(at.dir, at.key, v, o)
	return err
}
