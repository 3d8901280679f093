package integration

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pongofs/engine/enginetest"
)

// TestKillMount kills the server of a mount with SIGKILL while a shell writes,
// and mounts again: every write that returned is there.
func TestKillMount(t *testing.T) {
	const files = 7
	dir := newDir(t)
	store, m := newMount(t, dir)
	seed := enginetest.Seed(t)
	random := rand.New(rand.NewPCG(seed, 0))
	written, runs := 0, enginetest.Crashes(t)
	for round := range runs {
		shell := shellLoop(t, `
			i=$2
			while :; do
				i=$((i + 1))
				echo $i > "$1/f$((i % $3))" || exit 0
				echo $i >> "$1/log" || exit 0
				echo $i
			done 2>/dev/null`, m.dir, strconv.Itoa(written), strconv.Itoa(files))
		acked := written
		victim := acked + 1 + random.IntN(300)
		stdout, err := shell.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := shell.Start(); err != nil {
			t.Fatal(err)
		}
		killed := false
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if acked, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
			if acked >= victim && !killed {
				killed = true
				m.kill()
			}
		}
		// The shell's exit status depends on which of its writes was hit.
		_ = shell.Wait()
		if !killed {
			t.Fatalf("round %d: the shell stopped at %d, before the kill at %d", round, acked, victim)
		}
		m = mount(t, store, m.dir) // cleans up the dead mount
		written = checkWrites(t, m.dir, files, acked)
	}
	unmount(t, m)
	if err := enginetest.Clean(store); err != nil {
		t.Error(err)
	}
	enginetest.Report(t, "kill -9", "a mount", runs, 0, nil, false)
}

// checkWrites checks that the writes up to acked are there, and returns the
// number of the last one that is: one more may have returned to nobody.
func checkWrites(t *testing.T, dir string, files, acked int) int {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(log), "\n"), "\n")
	if len(lines) < acked || len(lines) > acked+1 {
		t.Errorf("the log has %d lines, %d were acknowledged", len(lines), acked)
	}
	for i, line := range lines {
		if line != strconv.Itoa(i+1) {
			t.Fatalf("line %d of the log is %q", i+1, line)
		}
	}
	for i := max(1, acked-files+1); i <= acked; i++ {
		got := readText(t, filepath.Join(dir, fmt.Sprintf("f%d", i%files)))
		// The write after the last acknowledged one may have happened.
		if got != strconv.Itoa(i) && got != strconv.Itoa(acked+1) {
			t.Errorf("f%d is %q, but %d was acknowledged", i%files, got, i)
		}
	}
	return len(lines)
}
