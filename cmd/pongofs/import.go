package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

type importOptions struct {
	format  string
	replace bool
	parents bool
	escape  bool
}

func newImportCommand() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import [--format FORMAT] STORE FILE [PATH]",
		Short: "Store a document",
		Long: `Store a document (- is standard input) at PATH, or the members of an object in
the root. It arrives in one step, or not at all; all its types are declared.

A key that cannot be a file name as it is, such as one that is empty or contains
a slash, is refused: whoever works with the files would not find it by its name.
With --escape-keys it is stored all the same, and appears under an escaped name.

Formats: extjson (MongoDB Extended JSON v2, plain JSON included), json (plain
JSON, "$" has no meaning), extjsonl and jsonl (the same, one value a line), yaml,
toml. Without --format the name of the file decides.`,
		Example: `  pongofs import data.pongo bank-holidays.json
  curl -s https://api.example.org/items | pongofs import --format json data.pongo - items`,
		Args: usageArgs(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runImport(cmd.Context(), o, cmd, args[0], args[1], argument(args, 2))
		},
	}
	cmd.Flags().StringVar(&o.format, "format", "", "format of FILE")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "replace what is at PATH")
	cmd.Flags().BoolVarP(&o.parents, "parents", "p", false, "make missing dicts on the way")
	cmd.Flags().BoolVar(&o.escape, "escape-keys", false, "take keys that cannot be file names as they are")
	return cmd
}

func runImport(ctx context.Context, o importOptions, cmd *cobra.Command, store, file, path string) error {
	format, err := chooseFormat(cmd, o.format, file)
	if err != nil {
		return err
	}
	source, err := openSource(cmd.InOrStdin(), file)
	if err != nil {
		return err
	}
	defer source.Close()
	return update(store, func(tx *engine.Tx) error {
		// The function runs again when another writer was faster.
		if _, err := source.Seek(0, io.SeekStart); err != nil {
			return err
		}
		top, merge, err := importTarget(tx, o, path)
		if err != nil {
			return err
		}
		b := newStoreBuilder(tx, top, merge)
		reader := &contextReader{ctx, source}
		if err := encoding.Decode(format, reader, b); err != nil {
			if b.err != nil {
				return b.err
			}
			return fmt.Errorf("%s: %w", file, err)
		}
		if b.Escaped > 0 && !o.escape {
			return fmt.Errorf("%s: %s cannot be a file name, such as %q; use --escape-keys to store it as %s",
				file, plural(b.Escaped, "key", "keys"), b.Example.AsString(), keyName(value.KindDict, b.Example))
		}
		return nil
	})
}

// importTarget returns where the document goes, and whether its members go
// into that container itself.
func importTarget(tx *engine.Tx, o importOptions, path string) (spot, bool, error) {
	if o.parents {
		if err := makeParents(tx, path); err != nil {
			return spot{}, false, err
		}
	}
	at, err := locate(tx, path)
	if err != nil {
		return spot{}, false, err
	}
	if at.isRoot() {
		if o.replace {
			err = removeEntries(tx, at.entry.ID)
		}
		return spot{dir: engine.RootID}, true, err
	}
	if at.found {
		if !o.replace {
			return spot{}, false, fmt.Errorf("%s: %w; use --replace, or another PATH", at.path, engine.ErrExist)
		}
		if err := tx.RemoveAll(at.dir, at.key); err != nil {
			return spot{}, false, err
		}
	}
	return at.spot, false, nil
}

// removeEntries empties a container.
func removeEntries(tx *engine.Tx, dir engine.ID) error {
	var keys []value.Value
	err := tx.Scan(dir, value.Value{}, false, func(e engine.Entry) bool {
		keys = append(keys, e.Key)
		return true
	})
	for _, key := range keys {
		if err != nil {
			return err
		}
		err = tx.RemoveAll(dir, key)
	}
	return err
}

// openSource opens a document so that it can be read more than once: what
// cannot be rewound is copied to a file without a name first.
func openSource(stdin io.Reader, file string) (*os.File, error) {
	reader := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, pathError(err)
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if info.Mode().IsRegular() {
			return f, nil
		}
		if info.IsDir() {
			f.Close()
			return nil, fmt.Errorf("%s: is a directory, not a document", file)
		}
		defer f.Close()
		reader = f
	}
	spool, err := os.CreateTemp("", "pongofs-import-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(spool.Name()); err != nil {
		spool.Close()
		return nil, err
	}
	if _, err := io.Copy(spool, reader); err != nil {
		spool.Close()
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return spool, nil
}

// contextReader ends with the error of a context that is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read reads from the underlying reader.
func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
