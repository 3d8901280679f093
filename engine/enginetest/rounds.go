package enginetest

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// ImagesPerKill is how many images a power-cut test checks for each kill of a
// kill test, which takes longer.
const ImagesPerKill = 10

// Crashes returns how often a crash test kills in each of its workloads:
// PONGOFS_CRASH, which make crash N=… sets, or a few.
func Crashes(t testing.TB) int { return number(t, "PONGOFS_CRASH", 6) }

// Seed returns the seed of crash tests: PONGOFS_CRASH_SEED, or 1.
func Seed(t testing.TB) uint64 { return uint64(number(t, "PONGOFS_CRASH_SEED", 1)) }

func number(t testing.TB, variable string, normal int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return normal
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is not a number above 0", variable, text)
	}
	return n
}

// Report prints what a crash test has done, in the form that scripts/crash.sh
// counts, and its failures. A control must fail.
func Report(t testing.TB, kind, name string, runs, half int, failures []error, control bool) {
	t.Helper()
	inside := ""
	if half > 0 {
		inside = fmt.Sprintf(", %d in a half-done checkpoint", half)
	}
	t.Logf("crash: %s %q: %d runs, %d failures%s (seed %d)", kind, name, runs, len(failures), inside, Seed(t))
	switch {
	case !control:
		for _, err := range failures {
			t.Errorf("%s: %v", name, err)
		}
	case len(failures) == 0:
		t.Errorf("control %q: nothing was noticed in %d images", name, runs)
	default:
		t.Logf("the first one: %v", failures[0])
	}
}
