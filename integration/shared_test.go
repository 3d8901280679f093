package integration

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pongofs/engine"
	"pongofs/engine/value"
)

// visibleWithin is how soon a change must be seen by others. The design says
// a second; the rest is for a slow machine. What is stale stays so for an hour.
const visibleWithin = 30 * time.Second

// TestSharedStore lets a shell edit values through a mount while this Go
// program edits others of the same store with package engine and a second
// mount reads both: nothing is lost, nothing is torn, time never runs
// backwards, and everybody sees the others' changes soon.
func TestSharedStore(t *testing.T) {
	const rounds, counters = 400, 10
	dir := newDir(t)
	path, a := newMount(t, dir)
	b := mount(t, path, filepath.Join(dir, "b"))
	store, err := engine.Open(path, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	shared := makeDict(t, store, "shared")
	put(t, store, shared, "pair", value.String(pairText(0)))

	var writers sync.WaitGroup
	shell := shellLoop(t, `
		i=0
		while [ $i -lt $2 ]; do
			i=$((i + 1))
			echo $i > "$1/shared/shell$((i % $3))"
			echo $i >> "$1/shared/log"
		done`, a.dir, strconv.Itoa(rounds), strconv.Itoa(counters))
	writers.Go(func() {
		if output, err := shell.CombinedOutput(); err != nil {
			t.Errorf("shell: %v: %s", err, tail(string(output)))
		}
	})
	writers.Go(func() {
		for i := 1; i <= rounds; i++ {
			err := store.Update(func(tx *engine.Tx) error {
				o := engine.PutOptions{Declared: true, New: engine.NewAttr{Mode: 0o644}}
				key := value.String(fmt.Sprintf("go%d", i%counters))
				if _, err := tx.Put(shared, key, value.Int(int64(i)), o); err != nil {
					return err
				}
				_, err := tx.Put(shared, value.String("pair"), value.String(pairText(i)), o)
				return err
			})
			if err != nil {
				t.Errorf("update %d: %v", i, err)
				return
			}
		}
	})
	ended := make(chan struct{})
	go func() {
		writers.Wait()
		close(ended)
	}()
	watchShared(t, filepath.Join(b.dir, "shared"), counters, ended)

	for i := range counters {
		last := rounds - (rounds-i)%counters
		eventually(t, fmt.Sprintf("shell%d", i), func() string { return differs(filepath.Join(b.dir, "shared", fmt.Sprintf("shell%d", i)), last) })
		eventually(t, fmt.Sprintf("go%d", i), func() string { return differs(filepath.Join(a.dir, "shared", fmt.Sprintf("go%d", i)), last) })
	}
	if got := strings.Count(readText(t, filepath.Join(a.dir, "shared/log"))+"\n", "\n"); got != rounds {
		t.Errorf("the log has %d lines, want %d", got, rounds)
	}
	visibility(t, store, a.dir, b.dir)
}

// watchShared reads the shared dict through a mount until the writers have
// ended.
func watchShared(t *testing.T, dir string, counters int, ended <-chan struct{}) {
	newest := make([]int, 2*counters)
	for reads := 0; ; reads++ {
		select {
		case <-ended:
			if reads == 0 {
				t.Error("the writers ended before anything was read")
			}
			return
		default:
		}
		pair, err := os.ReadFile(filepath.Join(dir, "pair"))
		if err != nil {
			t.Errorf("pair: %v", err)
			return
		}
		number, _, _ := strings.Cut(string(pair), " ")
		if n, err := strconv.Atoi(number); err != nil || string(pair) != pairText(n)+"\n" {
			t.Errorf("a torn value of %d bytes, beginning with %.20q", len(pair), pair)
			return
		}
		for i := range newest {
			name := fmt.Sprintf("shell%d", i/2)
			if i%2 == 1 {
				name = fmt.Sprintf("go%d", i/2)
			}
			text, err := os.ReadFile(filepath.Join(dir, name))
			// A file is empty between its creation and its first write.
			if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 && newest[i] == 0 {
				continue
			}
			n, convErr := strconv.Atoi(strings.TrimSuffix(string(text), "\n"))
			if err != nil || convErr != nil {
				t.Errorf("%s: %q, %v", name, text, err)
				return
			}
			if n < newest[i] {
				t.Errorf("%s went back from %d to %d", name, newest[i], n)
				return
			}
			newest[i] = n
		}
	}
}

// pairText is a value of many blocks that shows when it is torn.
func pairText(n int) string {
	return strings.TrimSuffix(strings.Repeat(fmt.Sprintf("%d ", n), 5000), " ")
}

// visibility measures how long each party needs to see a change of another.
func visibility(t *testing.T, store *engine.Store, a, b string) {
	inStore := func() (string, error) {
		var text string
		err := store.View(func(tx *engine.Tx) error {
			e, err := tx.Lookup(engine.RootID, value.String("ping"))
			if err != nil {
				return err
			}
			v, err := tx.Value(&e)
			text = fmt.Sprint(v.AsInt())
			return err
		})
		return text, err
	}
	inMount := func(dir string) func() (string, error) {
		return func() (string, error) {
			text, err := os.ReadFile(filepath.Join(dir, "ping"))
			return strings.TrimSuffix(string(text), "\n"), err
		}
	}
	throughMount := func(dir string) func(int) {
		return func(n int) { writeText(t, filepath.Join(dir, "ping"), strconv.Itoa(n)) }
	}
	throughStore := func(n int) { put(t, store, engine.RootID, "ping", value.Int(int64(n))) }
	writers := []struct {
		name  string
		write func(int)
	}{{"mount a", throughMount(a)}, {"the Go program", throughStore}, {"mount b", throughMount(b)}}
	readers := []struct {
		name string
		read func() (string, error)
	}{{"mount a", inMount(a)}, {"the Go program", inStore}, {"mount b", inMount(b)}}
	n := 0
	for range 3 {
		for _, writer := range writers {
			n++
			writer.write(n)
			start := time.Now()
			for _, reader := range readers {
				eventually(t, reader.name+" sees what "+writer.name+" wrote", func() string {
					if got, err := reader.read(); err != nil || got != strconv.Itoa(n) {
						return fmt.Sprintf("got %q, %v, want %d", got, err, n)
					}
					return ""
				})
			}
			if took := time.Since(start); took > time.Second {
				t.Logf("a change by %s took %v to be seen by all", writer.name, took)
			}
		}
	}
}

// eventually waits until check returns nothing.
func eventually(t *testing.T, what string, check func() string) {
	t.Helper()
	for deadline := time.Now().Add(visibleWithin); ; time.Sleep(5 * time.Millisecond) {
		complaint := check()
		if complaint == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: after %v: %s", what, visibleWithin, complaint)
			return
		}
	}
}

// differs says how the content of a file differs from a number.
func differs(path string, want int) string {
	text, err := os.ReadFile(path)
	if err == nil && string(text) == fmt.Sprintf("%d\n", want) {
		return ""
	}
	return fmt.Sprintf("got %q, %v, want %d", text, err, want)
}

// shellLoop is a shell script that ends with the test at the latest.
func shellLoop(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, "sh", append([]string{"-euc", script, "sh"}, args...)...)
}

func makeDict(t *testing.T, s *engine.Store, name string) engine.ID {
	t.Helper()
	var id engine.ID
	err := s.Update(func(tx *engine.Tx) error {
		e, err := tx.Make(engine.RootID, value.String(name), value.KindDict, engine.NewAttr{Mode: 0o755})
		id = e.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func put(t *testing.T, s *engine.Store, dir engine.ID, name string, v value.Value) {
	t.Helper()
	err := s.Update(func(tx *engine.Tx) error {
		_, err := tx.Put(dir, value.String(name), v, engine.PutOptions{New: engine.NewAttr{Mode: 0o644}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
