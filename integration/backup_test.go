package integration

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pongofs/engine/enginetest"
)

// TestKillBackup kills backups and compactions with SIGKILL at some moment:
// there is a whole result, or none, and the store is as it was.
func TestKillBackup(t *testing.T) {
	dir := newDir(t)
	store, out := filepath.Join(dir, "store.pongo"), filepath.Join(dir, "out.pongo")
	pongofs(t, "create", store)
	pongofs(t, "import", store, filepath.Join(repo, "data", "event100.json"), "events")
	pongofs(t, "backup", store, filepath.Join(dir, "reference.pongo"))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	whole := 0
	for range max(5, enginetest.Crashes(t)/5) {
		for _, args := range [][]string{{"backup", store, out}, {"compact", store}} {
			cmd := exec.Command(binary, args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(random.IntN(200_000)) * time.Microsecond)
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			result := args[len(args)-1]
			if _, err := os.Stat(result); errors.Is(err, fs.ErrNotExist) && result == out {
				continue
			}
			whole++
			if got := pongofs(t, "check", result); !strings.Contains(got, ": clean; ") {
				t.Errorf("after a killed %s check says %q", args[0], got)
			}
			if got := pongofs(t, "diff", "--all", result, filepath.Join(dir, "reference.pongo")); got != "" {
				t.Errorf("after a killed %s: %.200s", args[0], got)
			}
			if result == out {
				if err := os.Remove(out); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Logf("%d whole results", whole)
}
