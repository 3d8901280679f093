package integration

import (
	"bufio"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// posixDirVariable tells a copy of this test where to run one case that is
// known to fail.
const posixDirVariable = "PONGOFS_POSIX_DIR"

// TestPosix runs go-fuse's POSIX cases on a mount. Those in testdata/known.txt
// must fail, so that the list stays true.
func TestPosix(t *testing.T) {
	_, m := newMount(t, newDir(t))
	known := readKnown(t)
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		dir := filepath.Join(m.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			if known[name] == "" {
				posixtest.All[name](t, dir)
				return
			}
			// A case fails by way of testing.T, so it fails somewhere else.
			cmd := exec.Command(os.Args[0], "-test.run", "^TestPosixKnown$/^"+name+"$")
			cmd.Env = append(os.Environ(), posixDirVariable+"="+dir)
			if output, err := cmd.CombinedOutput(); err == nil {
				t.Errorf("passes, so it does not belong in known.txt:\n%s", output)
			}
		})
	}
	for name := range known {
		if posixtest.All[name] == nil {
			t.Errorf("known.txt: there is no case %s", name)
		}
	}
}

// TestPosixKnown runs one case in a directory that the environment names.
func TestPosixKnown(t *testing.T) {
	dir := os.Getenv(posixDirVariable)
	if dir == "" {
		t.Skip("runs as a child of TestPosix only")
	}
	name := filepath.Base(dir)
	t.Run(name, func(t *testing.T) { posixtest.All[name](t, dir) })
}

// readKnown returns the reason for each case that is known to fail.
func readKnown(t *testing.T) map[string]string {
	file, err := os.Open("testdata/known.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	known := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, ": ")
		if !ok {
			t.Fatalf("known.txt: %q: want NAME: REASON", line)
		}
		known[name] = reason
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return known
}
