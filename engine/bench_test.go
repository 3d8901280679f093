package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"pongofs/engine/value"
)

const benchEntries = 100_000

func benchKeys() []value.Value {
	keys := make([]value.Value, benchEntries)
	for i := range keys {
		keys[i] = value.String(fmt.Sprintf("key%08d", i))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bench.pongo")
	if err := Create(path, CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	s, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			b.Error(err)
		}
	})
	return s
}

func fillBench(b *testing.B, s *Store, keys []value.Value, v value.Value) {
	b.Helper()
	for _, k := range keys {
		err := s.Update(func(tx *Tx) error {
			_, err := tx.Put(RootID, k, v, PutOptions{Declared: true, New: NewAttr{Mode: 0o644}})
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInsert(b *testing.B) {
	keys := benchKeys()
	for b.Loop() {
		b.StopTimer()
		s := benchStore(b)
		b.StartTimer()
		fillBench(b, s, keys, value.String("fifteen bytes.."))
		b.StopTimer()
		st, _ := s.Stats()
		b.ReportMetric(float64(st.UsedBytes)/(1<<20), "MiB-used")
		b.ReportMetric(float64(st.FileBytes)/(1<<20), "MiB-file")
		if err := s.Close(); err != nil { // its addresses are needed for the next
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEntries, "ns/insert")
}

func BenchmarkLookup(b *testing.B) {
	keys := benchKeys()
	s := benchStore(b)
	fillBench(b, s, keys, value.String("fifteen bytes.."))
	i := 0
	for b.Loop() {
		err := s.View(func(tx *Tx) error {
			_, err := tx.Lookup(RootID, keys[i%len(keys)])
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkUpdate(b *testing.B) {
	keys := benchKeys()
	s := benchStore(b)
	fillBench(b, s, keys, value.String("fifteen bytes.."))
	i := 0
	for b.Loop() {
		err := s.Update(func(tx *Tx) error {
			_, err := tx.Put(RootID, keys[i%len(keys)], value.Int(int64(i)), PutOptions{Declared: true})
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkBatch updates a thousand keys in random order in one transaction.
func BenchmarkBatch(b *testing.B) {
	const size = 1000
	keys := benchKeys()
	s := benchStore(b)
	fillBench(b, s, keys, value.String("fifteen bytes.."))
	i := 0
	for b.Loop() {
		err := s.Update(func(tx *Tx) error {
			for range size {
				if _, err := tx.Put(RootID, keys[i%len(keys)], value.String("fifteen others."), PutOptions{Declared: true}); err != nil {
					return err
				}
				i++
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/key")
}

// BenchmarkOpen opens stores of several sizes. After a crash, with the shm file
// gone as after a power loss, opening reads the whole store: the time should be
// proportional to the number of entries. After a clean close it should not
// depend on it. It is a report, not a test: run it with -benchtime 5x.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		path := filepath.Join(b.TempDir(), "bench.pongo")
		if err := Create(path, CreateOptions{}); err != nil {
			b.Fatal(err)
		}
		filled := false
		fill := func(b *testing.B) {
			if filled {
				return
			}
			filled = true
			s := openBench(b, path)
			for i := 0; i < n; i += 1000 {
				err := s.Update(func(tx *Tx) error {
					for k := i; k < min(n, i+1000); k++ {
						o := PutOptions{Declared: true, New: NewAttr{Mode: 0o644}}
						if _, err := tx.Put(RootID, value.String(fmt.Sprintf("key%08d", k)), value.String("fifteen bytes.."), o); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
		open := func(b *testing.B, before func() error) {
			fill(b)
			for b.Loop() {
				b.StopTimer()
				if err := before(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				s := openBench(b, path)
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			seconds := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(seconds, "s/open")
			b.ReportMetric(seconds*1e9/float64(n), "ns/entry")
			b.ReportMetric(0, "ns/op") // the same in another unit
		}
		b.Run(fmt.Sprintf("crash/%d", n), func(b *testing.B) {
			open(b, func() error { return os.Remove(shmPath(path)) })
		})
		b.Run(fmt.Sprintf("clean/%d", n), func(b *testing.B) {
			open(b, func() error { return nil })
		})
	}
}

func openBench(b *testing.B, path string) *Store {
	b.Helper()
	s, err := Open(path, Options{Commit: -1})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkDurable inserts from one goroutine or several, each of which waits
// until its insert is on the disk. Those that wait together share a checkpoint.
func BenchmarkDurable(b *testing.B) {
	for _, callers := range []int{1, 2, 8, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "bench.pongo")
			if err := Create(path, CreateOptions{}); err != nil {
				b.Fatal(err)
			}
			var checkpoints atomic.Int64
			s, err := Open(path, Options{Commit: -1, SyncEach: true, Hook: func(point string) {
				if point == "checkpoint.announced" {
					checkpoints.Add(1)
				}
			}})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			keys := benchKeys()
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for {
						i := int(next.Add(1)) - 1
						if i >= b.N {
							return
						}
						err := s.Update(func(tx *Tx) error {
							_, err := tx.Put(RootID, keys[i%len(keys)], value.Int(int64(i)), PutOptions{Declared: true})
							return err
						})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/float64(checkpoints.Load()), "updates/checkpoint")
		})
	}
}

// BenchmarkPutAll updates each of the keys once, a thousand in random order in one
// transaction, in a store that was just filled the same way.
func BenchmarkPutAll(b *testing.B) {
	const size = 1000
	keys := benchKeys()
	members := make([]Member, size)
	lap := func(s *Store, v value.Value) {
		for at := 0; at < len(keys); at += size {
			for i, key := range keys[at : at+size] {
				members[i] = Member{Key: key, Value: v}
			}
			err := s.Update(func(tx *Tx) error { return tx.PutAll(RootID, members, PutOptions{Declared: true}) })
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		b.StopTimer()
		s := benchStore(b)
		lap(s, value.String("fifteen bytes.."))
		rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		b.StartTimer()
		lap(s, value.String("fifteen others."))
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEntries, "ns/key")
}
