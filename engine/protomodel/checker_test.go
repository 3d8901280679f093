package protomodel

import (
	"fmt"
	"slices"
	"testing"
)

// counterModel counts two counters up to 3 each; both at top is bad.
func counterModel(goals ...goal[[2]uint8]) model[[2]uint8] {
	return model[[2]uint8]{
		next: func(s [2]uint8, emit emitFunc[[2]uint8]) {
			for i := range s {
				if n := s; n[i] < 3 {
					n[i]++
					emit([...]string{"a", "b"}[i], "counts", n)
				}
			}
		},
		check: func(s [2]uint8) Invariant {
			if s == [2]uint8{2, 1} {
				return InvData
			}
			return Holds
		},
		show:  func(s [2]uint8) string { return fmt.Sprint(s) },
		goals: goals,
	}
}

func TestExploreFindsShortestTrace(t *testing.T) {
	out := explore(counterModel(), stateLimit)
	if out.Broken != InvData || out.Complete {
		t.Fatalf("got %v", out)
	}
	var who []string
	for _, step := range out.Trace {
		who = append(who, step.Actor)
	}
	if want := []string{"", "a", "a", "b"}; !slices.Equal(who, want) {
		t.Errorf("got steps of %v, want %v", who, want)
	}
	if last := out.Trace[3]; last.State != "[2 1]" || last.Action != "counts" {
		t.Errorf("got last step %v", last)
	}
}

func TestExploreSeesEveryState(t *testing.T) {
	m := counterModel(
		goal[[2]uint8]{"both reach 3", func(s [2]uint8) bool { return s == [2]uint8{3, 3} }},
		goal[[2]uint8]{"a reaches 4", func(s [2]uint8) bool { return s[0] == 4 }},
	)
	m.check = func([2]uint8) Invariant { return Holds }
	out := explore(m, stateLimit)
	if out.States != 16 || out.Steps != 24 || out.Depth != 6 || !out.Complete {
		t.Errorf("got %v", out)
	}
	if want := []string{"a reaches 4"}; !slices.Equal(out.Unmet, want) {
		t.Errorf("got unmet %v, want %v", out.Unmet, want)
	}
}

func TestExploreStopsAtLimit(t *testing.T) {
	m := counterModel()
	m.check = func([2]uint8) Invariant { return Holds }
	if out := explore(m, 4); out.Complete || out.States > 8 {
		t.Errorf("got %v", out)
	}
}
