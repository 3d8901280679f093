package protomodel

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// skipUnderRace skips what only repeats itself, slowly, under the race
// detector: an exploration has one goroutine.
func skipUnderRace(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("one goroutine, nothing for the race detector")
	}
}

// TestProtocolsHold explores every scenario with all mends on.
func TestProtocolsHold(t *testing.T) {
	skipUnderRace(t)
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			out := s.run(AllOn)
			switch {
			case out.Broken != Holds:
				t.Errorf("%s (%s): %v", s.about, s.file, out)
			case !out.Complete:
				t.Errorf("%s: not explored to the end: %v", s.about, out)
			case len(out.Unmet) > 0:
				t.Errorf("%s: never happens: %v", s.about, out.Unmet)
			default:
				t.Logf("%s: %v", s.about, out)
			}
		})
	}
}

// TestEachMendIsNeeded switches one mend off at a time and expects the
// counterexample that its row describes. -v prints it.
func TestEachMendIsNeeded(t *testing.T) {
	skipUnderRace(t)
	byName := map[string]scenario{}
	for _, s := range scenarios() {
		byName[s.name] = s
	}
	table := mendTable()
	for m := AllOn + 1; m < mendCount; m++ {
		info := table[m]
		t.Run(info.name, func(t *testing.T) {
			out := byName[info.scenario].run(m)
			if out.Broken != info.want {
				t.Fatalf("without %q: got %q, want broken %q", info.rule, out.Broken, info.want)
			}
			if missing := shapeMissing(out, info.shape); missing != "" {
				t.Errorf("without %q: no step %q in its place; the shortest counterexample is another than\n%s\n%v",
					info.rule, missing, info.breaks, out)
			}
			t.Logf("without %q: %s\n%v", info.rule, info.breaks, out)
		})
	}
}

// shapeMissing returns the first of the texts that no step contains after the
// step that contains the one before, "" if all are there.
func shapeMissing(out Outcome, shape []string) string {
	for _, step := range out.Trace {
		if len(shape) > 0 && strings.Contains(step.Actor+": "+step.Action, shape[0]) {
			shape = shape[1:]
		}
	}
	if len(shape) > 0 {
		return shape[0]
	}
	return ""
}

// TestMendTable: every mend has a row, a scenario and its line in the package
// comment, and every scenario is there for a mend or a variation.
func TestMendTable(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
		if _, err := os.Stat(s.file); err != nil {
			t.Errorf("scenario %s: %v", s.name, err)
		}
		if !strings.Contains(string(doc), s.file) {
			t.Errorf("doc.go does not mention %s", s.file)
		}
	}
	if sorted := slices.Compact(slices.Sorted(slices.Values(names))); len(sorted) != len(names) {
		t.Error("two scenarios have the same name")
	}
	lines := strings.Split(string(doc), "\n")
	table := mendTable()
	if got, want := len(table), int(mendCount)-1; got != want {
		t.Errorf("the table has %d rows for %d mends", got, want)
	}
	for m := AllOn + 1; m < mendCount; m++ {
		info := table[m]
		if info.name == "" || info.rule == "" || info.breaks == "" || info.want == Holds || len(info.shape) == 0 {
			t.Errorf("mend %d %q: its row is incomplete", m, info.name)
		}
		if !slices.Contains(names, info.scenario) {
			t.Errorf("%v: no scenario %q", m, info.scenario)
		}
		if !slices.ContainsFunc(lines, func(line string) bool {
			return slices.Equal(strings.Fields(line), []string{"//", info.name, info.scenario})
		}) {
			t.Errorf("doc.go has no line %q", info.name+" "+info.scenario)
		}
	}
}

// TestRunsRepeat: an exploration finds the same in each run.
func TestRunsRepeat(t *testing.T) {
	build := func() Outcome { return explore(slotScenario(LeaseIncarnation), stateLimit) }
	if a, b := build().String(), build().String(); a != b {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
}
