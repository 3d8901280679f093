package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"pongofs/engine"
)

func TestQuote(t *testing.T) {
	tests := []struct {
		s, want string
	}{
		{"", `""`},
		{"abcd", `"abcd"`},
		{"abcde", `"abcd"…`},
		{"äöüß", `"äöüß"`},
		{"äöüße", `"äöüß"…`},
		{"a\nb", `"a\nb"`},
		{"\xff", `"\xff"`},
	}
	for _, test := range tests {
		if got := quote(test.s, 4); got != test.want {
			t.Errorf("quote(%q) = %s, want %s", test.s, got, test.want)
		}
	}
}

func TestSplitPath(t *testing.T) {
	tests := []struct {
		path, want string
	}{
		{"", ""},
		{"/", ""},
		{".", ""},
		{"a", "a"},
		{"/a//b/", "a|b"},
		{"a/./b/../c", "a|c"},
		{"../a", "a"},
		{"a b/%2F", "a b|%2F"},
	}
	for _, test := range tests {
		if got := strings.Join(splitPath(test.path), "|"); got != test.want {
			t.Errorf("splitPath(%q) = %q, want %q", test.path, got, test.want)
		}
	}
}

func TestParseSource(t *testing.T) {
	dir := t.TempDir()
	plain, colon, at := filepath.Join(dir, "s.pongo"), filepath.Join(dir, "s:2.pongo"), filepath.Join(dir, "u@h.pongo")
	for _, name := range []string{plain, colon, at} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		arg                   string
		store, snapshot, path string
	}{
		{plain, plain, "", ""},
		{plain + ":a/b", plain, "", "a/b"},
		{plain + ":a:b", plain, "", "a:b"},
		{plain + ":a@b", plain, "", "a@b"},
		{colon, colon, "", ""},
		{colon + ":x", colon, "", "x"},
		{"missing:x", "missing", "", "x"},
		{"missing", "missing", "", ""},
		{"missing@x", "missing@x", "", ""},
		// Which colon begins the path is for the store to say.
		{plain + "@monday", plain, "monday", ""},
		{plain + "@12:30:a/b", plain, "12:30:a/b", ""},
		{at, at, "", ""},
		{at + "@x", at, "x", ""},
		{at + ":a@b", at, "", "a@b"},
	}
	for _, test := range tests {
		got := parseSource(test.arg)
		if got.store != test.store || got.snapshot != test.snapshot || got.path != test.path {
			t.Errorf("parseSource(%s) = %+v", test.arg, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"65536": 65536, "16MiB": 16 << 20, "1GiB": 1 << 30} {
		if got, err := parseSize(text); got != want || err != nil {
			t.Errorf("parseSize(%s) = %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1e99"} {
		if _, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) succeeds", text)
		}
	}
}

func TestReport(t *testing.T) {
	tests := []struct {
		err  error
		code int
		text string
	}{
		{nil, 0, ""},
		{errors.New("x: broken"), 1, "pongofs: x: broken\n"},
		{errors.New("two\nlines"), 1, "pongofs: two lines\n"},
		{&exitError{1, nil}, 1, ""},
		{&exitError{2, errors.New("trouble")}, 2, "pongofs: trouble\n"},
		{
			storeError("s.pongo", &fs.PathError{Op: "open", Path: "/x/s.pongo", Err: errors.New("why")}),
			1, "pongofs: s.pongo: why\n",
		},
		{
			storeError("s.pongo", fmt.Errorf("a/b: %w", engine.ErrNotFound)),
			1, "pongofs: s.pongo: a/b: not found\n",
		},
		{
			storeError("s.pongo", engine.ErrNotStore),
			1, "pongofs: s.pongo: not a pongofs store; check the file name, or make a store with pongofs create\n",
		},
	}
	for _, test := range tests {
		var out bytes.Buffer
		if code := report(&out, test.err); code != test.code || out.String() != test.text {
			t.Errorf("report(%v) = %d, %q, want %d, %q", test.err, code, out.String(), test.code, test.text)
		}
	}
}

// TestHelp holds what every command owes its users: a sentence, an example,
// and an argument check that makes wrong usage exit status 2.
func TestHelp(t *testing.T) {
	root := newRootCommand()
	for _, cmd := range append(root.Commands(), root) {
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s: has no short help or no example", cmd.Name())
		}
		if cmd.Args == nil {
			t.Errorf("%s: does not check its arguments", cmd.Name())
		}
		tooMany := append(make([]string, 0, 10), "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
		if !takesMany(cmd) {
			var exit *exitError
			want := exitUsage
			if cmd.Name() == "check" {
				want = fsckUsage
			}
			if err := cmd.Args(cmd, tooMany); cmd != root && (!errors.As(err, &exit) || exit.code != want) {
				t.Errorf("%s: ten arguments are %v", cmd.Name(), err)
			}
		}
	}
}

func takesMany(cmd *cobra.Command) bool { return strings.Contains(cmd.Use, "...") }
