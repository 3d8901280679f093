package main

import (
	"bufio"
	"bytes"
	"testing"
	"time"

	"pongofs/engine"
)

func TestFiguresCompare(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	report := func(after time.Duration, seq uint64, free int64) figures {
		return figures{time: start.Add(after), all: []engine.Figure{{Name: "path", Value: "x"}, {Name: "sequence", Value: seq}, {Name: "free", Value: free}}}
	}
	first := report(0, 10, 5000)
	first.compare(&figures{})
	if first.rate != nil {
		t.Errorf("the first report has rates: %v", first.rate)
	}
	second := report(2*time.Second, 15, 4000)
	second.compare(&first)
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	if err := second.print(w, statsOptions{}); err != nil {
		t.Fatal(err)
	}
	_ = w.Flush()
	want := "path x\nsequence 15 +2.5/s\nfree 4000 -500.0/s\n"
	if got := b.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStatsSettle(t *testing.T) {
	tests := []struct {
		flag  string
		args  []string
		store string
		every time.Duration
		fails bool
	}{
		{"", []string{"s"}, "s", 0, false},
		{"1", []string{"s"}, "s", time.Second, false},
		{"0.25", []string{"s"}, "s", time.Second / 4, false},
		{"1", []string{"s", "5"}, "s", 5 * time.Second, false},
		{"1", []string{"5", "s"}, "s", 5 * time.Second, false},
		{"2", []string{"s", "5"}, "", 0, true},
		{"", []string{"s", "5"}, "", 0, true},
		{"1", []string{"s", "other"}, "", 0, true},
		{"NaN", []string{"s"}, "", 0, true},
		{"0", []string{"s"}, "", 0, true},
		{"-1", []string{"s"}, "", 0, true},
	}
	for _, test := range tests {
		o := statsOptions{watch: test.flag}
		store, every, err := o.settle(test.args)
		if (err != nil) != test.fails || store != test.store || every != test.every {
			t.Errorf("-w %q %q: %q, %v, %v", test.flag, test.args, store, every, err)
		}
	}
}

func TestField(t *testing.T) {
	for path, want := range map[string]string{
		"": "/", "a/b c": "a/b c", "tab\there": `"tab\there"`, `"q"`: `"\"q\""`, "bad\xff": `"bad\xff"`, "ä": "ä",
	} {
		if got := field(path); got != want {
			t.Errorf("field(%q) = %s, want %s", path, got, want)
		}
	}
}
