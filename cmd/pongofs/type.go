package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"pongofs/engine"
	"pongofs/engine/value"
)

type typeOptions struct {
	undeclare bool
	json      bool
}

func newTypeCommand() *cobra.Command {
	var o typeOptions
	cmd := &cobra.Command{
		Use:   "type STORE PATH [NEWTYPE]",
		Short: "Print, change or declare a type",
		Long: `Print the type of an entry. With NEWTYPE convert it through its text (int 42
becomes string "42") and declare the type, so that later writes must keep it;
a container becomes a list, dict or collection if its entries allow it.`,
		Example: `  pongofs type data.pongo age
  pongofs type data.pongo age string`,
		Args: usageArgs(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 3 || o.undeclare {
				return runTypeChange(cmd.Context(), o, cmd, args[0], args[1], argument(args, 2))
			}
			return runType(cmd.Context(), o, cmd.OutOrStdout(), args[0], args[1])
		},
	}
	cmd.Flags().BoolVar(&o.undeclare, "undeclare", false, "let later writes choose the type again")
	cmd.Flags().BoolVar(&o.json, "json", false, "write a JSON object that also says whether the type is declared")
	return cmd
}

func runType(_ context.Context, o typeOptions, out io.Writer, store, path string) error {
	return view(store, func(tx *engine.Tx) error {
		at, err := locateExisting(tx, path)
		if err != nil {
			return err
		}
		kind, err := kindOf(tx, &at.entry)
		if err != nil {
			return err
		}
		if o.json {
			return newJSONEncoder(out).Encode(struct {
				Path     string `json:"path"`
				Type     string `json:"type"`
				Declared bool   `json:"declared"`
			}{at.path, kind.String(), at.entry.Declared})
		}
		_, err = fmt.Fprintln(out, kind)
		return err
	})
}

func runTypeChange(_ context.Context, o typeOptions, cmd *cobra.Command, store, path, name string) error {
	kind, ok := value.ParseKind(name)
	switch {
	case o.undeclare && name != "":
		return usageError(cmd, fmt.Errorf("--undeclare takes no NEWTYPE"))
	case !o.undeclare && !ok:
		return usageError(cmd, fmt.Errorf("%s: not a type", name))
	}
	return update(store, func(tx *engine.Tx) error {
		at, err := locateExisting(tx, path)
		if err != nil {
			return err
		}
		if o.undeclare {
			if at.entry.IsContainer() {
				return fmt.Errorf("%s: is a %s; only types of scalars are declared", at.path, at.entry.Kind)
			}
			_, err = tx.Declare(at.dir, at.key, false)
		} else {
			err = convert(tx, &at, kind)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", at.path, err)
		}
		return nil
	})
}

// convert gives an entry another type.
func convert(tx *engine.Tx, at *place, kind value.Kind) error {
	if at.entry.IsContainer() != kind.IsContainer() {
		present, err := kindOf(tx, &at.entry)
		if err != nil {
			return err
		}
		return fmt.Errorf("is a %s, which cannot become a %s", present, kind)
	}
	if kind.IsContainer() {
		return tx.Convert(at.entry.ID, kind)
	}
	return convertScalar(tx, at, kind)
}
