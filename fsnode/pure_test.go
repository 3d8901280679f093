package fsnode

import (
	"math"
	"strings"
	"testing"

	"pongofs/engine"
	"pongofs/engine/value"
)

func TestUnixNanoSaturates(t *testing.T) {
	tests := []struct {
		sec, nsec, want int64
	}{
		{0, 0, 0},
		{1, 5, 1_000_000_005},
		{-1, 999_999_999, -1},
		{math.MaxInt64, 0, math.MaxInt64},
		{math.MinInt64, 0, math.MinInt64},
	}
	for _, test := range tests {
		if got := unixNano(test.sec, test.nsec); got != test.want {
			t.Errorf("unixNano(%d, %d) = %d, want %d", test.sec, test.nsec, got, test.want)
		}
	}
}

func TestWithoutSetID(t *testing.T) {
	for mode, want := range map[uint32]uint32{
		0o4755: 0o755, 0o6755: 0o755, 0o2755: 0o755, 0o2745: 0o2745, 0o1777: 0o1777, 0o6644: 0o2644,
	} {
		if got := withoutSetID(mode); got != want {
			t.Errorf("withoutSetID(%o) = %o, want %o", mode, got, want)
		}
	}
}

func TestOverlay(t *testing.T) {
	for _, test := range []struct {
		old  string
		off  int64
		data string
		want string
	}{
		{"", 0, "", ""},
		{"abc", 1, "X", "aXc"},
		{"abc", 2, "XY", "abXY"},
		{"a", 3, "X", "a\x00\x00X"},
	} {
		if got := string(overlay([]byte(test.old), test.off, []byte(test.data))); got != test.want {
			t.Errorf("overlay(%q, %d, %q) = %q, want %q", test.old, test.off, test.data, got, test.want)
		}
	}
}

// TestNamesKeepTheirNumbers lists a directory again and again while names come
// and go, as READDIR does when the kernel asks for a position a second time.
func TestNamesKeepTheirNumbers(t *testing.T) {
	d := &dirHandle{}
	list := func(prev int, names ...string) []int {
		var numbers []int
		for _, name := range names {
			prev = d.number(prev, value.String(name))
			numbers = append(numbers, prev)
		}
		return numbers
	}
	first := list(-1, "a", "b", "c", "d")
	for i, n := range first {
		if n != i {
			t.Errorf("name %d has number %d", i, n)
		}
	}
	if again := list(1, "c", "d"); again[0] != 2 || again[1] != 3 {
		t.Errorf("the same names got other numbers: %v", again)
	}
	changed := list(0, "b2", "c", "d")
	for i, n := range changed {
		if n < 4 {
			t.Errorf("name %d behind a new one took number %d of another", i, n)
		}
	}
	if k, err := value.DecodeKey(d.key(2)); err != nil || k != value.String("c") {
		t.Errorf("position 2 is %v, %v", k, err)
	}
	if k, err := value.DecodeKey(d.key(changed[0])); err != nil || k != value.String("b2") {
		t.Errorf("position %d is %v, %v", changed[0], k, err)
	}
}

func TestOtherKey(t *testing.T) {
	for _, test := range []struct{ key, want value.Value }{
		{value.Int(7), value.String("7")},
		{value.String("7"), value.Int(7)},
		{value.String("007"), value.Value{}},
		{value.Bool(true), value.Value{}},
	} {
		if got := otherKey(test.key); got != test.want {
			t.Errorf("otherKey(%v) = %v, want %v", test.key, got, test.want)
		}
	}
}

func TestRefusalsKeepTheLast(t *testing.T) {
	var r refusals
	for i := range maxRefusals + 10 {
		r.add(refusal{ino: uint64(i), path: "/a b", reason: "because"})
	}
	text, err := r.text()
	if n := strings.Count(text, "\n"); err != nil || n != maxRefusals {
		t.Errorf("%d lines, %v", n, err)
	}
	if !strings.Contains(text, `"/a b" because`) {
		t.Errorf("a path with a blank is not quoted: %q", text[:80])
	}
	if r.of(3) != "" || r.of(maxRefusals) != "because" || r.total() != maxRefusals+10 {
		t.Errorf("of(3) = %q, of(%d) = %q, total %d", r.of(3), maxRefusals, r.of(maxRefusals), r.total())
	}
	r.accepted(maxRefusals)
	if r.of(maxRefusals) != "" {
		t.Error("the reason is there after a write that went well")
	}
}

func TestUsualKind(t *testing.T) {
	if usualKind(engine.RootID) != value.KindCollection || usualKind(99) != value.KindDict {
		t.Error("the root is a collection and other directories are dicts")
	}
}
