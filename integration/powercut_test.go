package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pongofs/engine"
	"pongofs/engine/enginetest"
	"pongofs/engine/value"
	"pongofs/gc"
)

// cutFiles is how many files the edits of TestPowerCutMount replace in turn.
const cutFiles = 7

// cutText is what edit i writes, a value of one block or of several.
func cutText(i int) string { return strings.Repeat(fmt.Sprintf("%d ", i), 1+i%9*900) }

// cutEdit is the i-th edit through a mount: a line at the end of a log, a file
// that is replaced by rename, and a directory that comes and goes.
func cutEdit(dir string, log *os.File, i int) error {
	if _, err := fmt.Fprintf(log, "%d\n", i); err != nil {
		return err
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.WriteFile(tmp, []byte(cutText(i)), 0o644); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, fmt.Sprintf("f%d", i%cutFiles))); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("d%d", i)), 0o755); err != nil {
		return err
	}
	if i > cutFiles {
		return os.Remove(filepath.Join(dir, fmt.Sprintf("d%d", i-cutFiles)))
	}
	return nil
}

// checkEdits demands that a store holds what is there after some step of the
// edits, no older than acked edits.
func checkEdits(s *engine.Store, acked int64) error {
	return s.View(func(tx *engine.Tx) error {
		texts, dirs := map[string]string{}, map[string]bool{}
		var bad error
		err := tx.Scan(engine.RootID, value.Value{}, true, func(e engine.Entry) bool {
			if e.IsContainer() {
				dirs[e.Key.AsString()] = true
				return true
			}
			v, err := tx.Value(&e)
			if err != nil {
				bad = err
			}
			texts[e.Key.AsString()] = v.AsString()
			if v.Kind() != value.KindString {
				texts[e.Key.AsString()] = fmt.Sprint(v)
			}
			return err == nil
		})
		if err := errors.Join(err, bad); err != nil {
			return err
		}
		n := 0
		if log, ok := texts["log"]; ok && log != "" {
			lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
			for i, line := range lines {
				if line != fmt.Sprint(i+1) {
					return fmt.Errorf("line %d of the log is %.20q", i+1, line)
				}
			}
			n = len(lines)
		}
		if int64(n) < acked {
			return fmt.Errorf("lost: %d edits were acknowledged, the log has %d", acked, n)
		}
		// Of edit n any number of steps may have been made, in their order.
		name := func(i int) string { return fmt.Sprintf("f%d", i%cutFiles) }
		for i := max(1, n-cutFiles+1); i < n; i++ {
			if texts[name(i)] != cutText(i) {
				return fmt.Errorf("after %d edits %s is %.20q…", n, name(i), texts[name(i)])
			}
			if !dirs[fmt.Sprintf("d%d", i)] {
				return fmt.Errorf("after %d edits directory d%d is missing", n, i)
			}
		}
		old := ""
		if n > cutFiles {
			old = cutText(n - cutFiles)
		}
		renamed, made := n > 0 && texts[name(n)] == cutText(n), dirs[fmt.Sprintf("d%d", n)]
		removed := !dirs[fmt.Sprintf("d%d", n-cutFiles)]
		switch {
		case n > 0 && !renamed && texts[name(n)] != old:
			return fmt.Errorf("edit %d: %s is %.20q…", n, name(n), texts[name(n)])
		case made && !renamed, n > cutFiles && removed && !made:
			return fmt.Errorf("edit %d: a later step is there without an earlier one", n)
		case acked > 0 && int64(n) == acked && (!made || n > cutFiles && !removed):
			return fmt.Errorf("lost: edit %d was acknowledged, its last step is missing", n)
		}
		return nil
	})
}

// TestPowerCutMount cuts the power at random moments while files are edited
// through a mount: each image opens with what was there after some step, and
// nothing is missing that fsync(2) has acknowledged.
func TestPowerCutMount(t *testing.T) {
	dir := newDir(t)
	store := filepath.Join(dir, "store.pongo")
	if err := engine.Create(store, engine.CreateOptions{ChunkSize: engine.MinChunkSize}); err != nil {
		t.Fatal(err)
	}
	checks := enginetest.Checks{
		Path: filepath.Join(dir, "cut.pongo"),
		Work: func(s *engine.Store) error {
			return s.Update(func(tx *engine.Tx) error {
				return tx.Root().Set("after", strings.Repeat("x", 100_000))
			})
		},
		Collect: func(s *engine.Store) error {
			_, err := gc.New(s).Full(context.Background())
			return err
		},
	}
	images := enginetest.ImagesPerKill * enginetest.Crashes(t)
	cut := enginetest.NewPowerCut(enginetest.NewDisk(store, enginetest.NoFault, enginetest.Seed(t)), images, 20,
		func(image enginetest.Image) error {
			c := checks
			c.State = func(s *engine.Store) error { return checkEdits(s, image.Acked["shell"]) }
			return c.CheckImage(image)
		})
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { cut.Serve(l) })
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	m := startHooked(t, store, filepath.Join(dir, "mnt"), "cut", socket)
	log, err := os.OpenFile(filepath.Join(m.dir, "log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; cut.More(); i++ {
		err := cutEdit(m.dir, log, i)
		if err == nil && i%3 == 0 {
			if err = log.Sync(); err == nil {
				cut.Ack("shell", int64(i))
			}
		}
		if err != nil {
			cut.Fail(err)
			break
		}
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if said := m.end(t); said != "" {
		t.Errorf("the server: %s", said)
	}
	images, half, failures := cut.Result()
	enginetest.Report(t, "power cut", "a mount", images, half, failures, false)
	if half == 0 {
		t.Error("no image is of a checkpoint that was half done")
	}
	if err := enginetest.Clean(store); err != nil {
		t.Error(err)
	}
}
