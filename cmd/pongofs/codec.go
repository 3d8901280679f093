package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"pongofs/encoding"
	"pongofs/engine/value"
)

// formatNames lists the formats for help texts and errors.
func formatNames() string {
	names := make([]string, 0, 6)
	for _, f := range encoding.Formats() {
		names = append(names, f.String())
	}
	return strings.Join(names, ", ")
}

// chooseFormat returns the format that a flag names, else the one that the
// name of the file says. A name without a suffix means Extended JSON.
func chooseFormat(cmd *cobra.Command, name, file string) (encoding.Format, error) {
	if name != "" {
		format, err := encoding.ParseFormat(name)
		if err != nil {
			return 0, usageError(cmd, fmt.Errorf("--format %s: not a format (%s)", name, formatNames()))
		}
		return format, nil
	}
	switch suffix := strings.ToLower(filepath.Ext(file)); suffix {
	case ".json", "":
		// Extended JSON is plain JSON with a meaning for some objects.
		return encoding.FormatExtJSON, nil
	case ".jsonl", ".ndjson":
		return encoding.FormatExtJSONL, nil
	case ".yaml", ".yml":
		return encoding.FormatYAML, nil
	case ".toml":
		return encoding.FormatTOML, nil
	default:
		return 0, usageError(cmd, fmt.Errorf("%s: the suffix %s names no format; add --format (%s)", file, suffix, formatNames()))
	}
}

// encodeOneLine writes a value as Extended JSON in one line.
func encodeOneLine(w io.Writer, tree value.Tree) error {
	_, err := encoding.Encode(encoding.FormatExtJSON, w, tree, encoding.EncodeOptions{})
	return err
}

// pathError drops the name of the system call: "FILE: cause".
func pathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}
