package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"pongofs/engine"
)

func newMetaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "meta STORE [KEY [VALUE]]",
		Short: "Show or change the settings of a store",
		Long: `Show all settings, show one, or change one; "" makes it the default again. The
store keeps them, and everybody who has it open goes by them at once. In a mount
they are the files of .pongo/meta.

  chunksize  bytes by which the file grows, a multiple of 65536
  id         member of an added object that holds its key; _id
  newkey     how keys are made: uuid1, uuid4 or uuid7
  sync       true: every change is durable before it is acknowledged
  commit     how long a change stays only visible at most: 1s, 250ms; 0s: no limit`,
		Example: `  pongofs meta data.pongo
  pongofs meta data.pongo newkey uuid7`,
		Args: usageArgs(cobra.RangeArgs(1, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 3 {
				return withStore(args[0], engine.Options{}, func(s *engine.Store) error {
					return s.SetSetting(args[1], args[2])
				})
			}
			return view(args[0], func(tx *engine.Tx) error {
				return printSettings(cmd.OutOrStdout(), tx, argument(args, 1))
			})
		},
	}
}

// printSettings prints the text of a setting, or all of them.
func printSettings(out io.Writer, tx *engine.Tx, name string) error {
	if name != "" {
		text, err := tx.Setting(name)
		if err == nil {
			_, err = fmt.Fprintln(out, text)
		}
		return err
	}
	for _, name := range engine.SettingNames() {
		text, err := tx.Setting(name)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s %s\n", name, text); err != nil {
			return err
		}
	}
	return nil
}
