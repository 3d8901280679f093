package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binary is the program under test, built once by TestMain.
var binary string

// scratch is the directory that holds everything the tests make; mounts below
// it are ours.
var scratch string

// repo is the root of the repository.
var repo string

func TestMain(m *testing.M) {
	if os.Getenv(hookedServer) != "" {
		if err := serveHooked(os.Args[1:]); err != nil {
			os.Exit(trouble(err))
		}
		os.Exit(0)
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	var err error
	if repo, err = filepath.Abs(".."); err != nil {
		return trouble(err)
	}
	// Not t.TempDir: its removal must come after the last unmount, and must
	// not walk into a mount that is still there.
	if scratch, err = os.MkdirTemp("", "pongofs-integration-*"); err != nil {
		return trouble(err)
	}
	if scratch, err = filepath.EvalSymlinks(scratch); err != nil {
		return trouble(err)
	}
	binary = filepath.Join(scratch, "bin", "pongofs")
	build := exec.Command("go", "build", "-o", binary, "./cmd/pongofs")
	build.Dir = repo
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build
	if output, err := build.CombinedOutput(); err != nil {
		return trouble(errors.Join(fmt.Errorf("go build: %w\n%s", err, output), os.RemoveAll(scratch)))
	}
	code := m.Run()
	left, err := mountsBelow(scratch)
	if err != nil {
		return trouble(err)
	}
	for _, dir := range left {
		code = trouble(fmt.Errorf("%s is still mounted: a test does not clean up", dir))
		_ = exec.Command(binary, "umount", "--lazy", dir).Run()
	}
	if left, err = mountsBelow(scratch); err != nil || len(left) > 0 {
		return trouble(errors.Join(err, fmt.Errorf("%d mounts cannot be removed", len(left))))
	}
	if err := os.RemoveAll(scratch); err != nil {
		return trouble(err)
	}
	return code
}

func trouble(err error) int {
	fmt.Fprintln(os.Stderr, "integration:", err)
	return 1
}

// needFuse skips a test on a machine that cannot mount.
func needFuse(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("no mounts here: %v", err)
	}
}

// mountsBelow returns the mount points of all file systems below dir, the
// deepest first.
func mountsBelow(dir string) ([]string, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var dirs []string
	for line := range bytes.Lines(info) {
		fields := strings.Fields(string(line))
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			dirs = append([]string{fields[4]}, dirs...)
		}
	}
	return dirs, nil
}
