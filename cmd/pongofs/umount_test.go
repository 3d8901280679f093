package main

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestPresence: the name of a mount is free as soon as the mount has ended,
// while whoever waits for its server goes on waiting; a mount that gets the
// device number of one that is about to end waits for the name.
func TestPresence(t *testing.T) {
	const name = "@pongofs-test-presence"
	start := func(ctx context.Context) *presence {
		t.Helper()
		l, err := listen(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		p := &presence{listener: l, done: make(chan struct{})}
		go p.accept()
		return p
	}
	first := start(t.Context())
	client, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := listen(short, name); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the name of a mount that lasts: %v", err)
	}
	time.AfterFunc(20*time.Millisecond, first.retire)
	second := start(t.Context())
	if err := client.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	var timeout net.Error
	if _, err := client.Read(b[:]); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("who waits is told of the end before it: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if err := client.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(b[:]); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}
