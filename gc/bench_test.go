package gc_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pongofs/engine"
	"pongofs/engine/value"
	"pongofs/gc"
)

const benchEntries = 100_000

// latency is what the calls of a loop took.
type latency struct {
	all   []time.Duration
	worst time.Duration
}

// during calls fn until stop is set.
func (l *latency) during(stop *atomic.Bool, fn func() error) error {
	for !stop.Load() {
		start := time.Now()
		if err := fn(); err != nil {
			return err
		}
		d := time.Since(start)
		l.worst = max(l.worst, d)
		l.all = append(l.all, d)
	}
	return nil
}

// over returns how many calls of a million took longer than d.
func (l *latency) over(d time.Duration) float64 {
	n := 0
	for _, one := range l.all {
		if one > d {
			n++
		}
	}
	return float64(n) * 1e6 / float64(len(l.all))
}

// BenchmarkFull runs full collections of a store with 100 000 entries, alone,
// and beside a reader and a writer, whose worst latencies it reports. The runs
// named idle have the same reader and writer without collections: what the
// machine does to them by itself.
func BenchmarkFull(b *testing.B) {
	path := filepath.Join(b.TempDir(), "bench.pongo")
	if err := engine.Create(path, engine.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	s, err := engine.Open(path, engine.Options{Commit: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	key := func(i int) value.Value { return value.String(fmt.Sprintf("key%08d", i*7919%benchEntries)) }
	put := func(i int) error {
		return s.Update(func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, key(i), value.Int(int64(i)), engine.PutOptions{})
			return err
		})
	}
	for i := range benchEntries {
		if err := put(i); err != nil {
			b.Fatal(err)
		}
	}
	full := func() error {
		_, err := gc.New(s).Full(context.Background())
		return err
	}
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			if err := full(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(b.N), "ms/collection")
	})
	beside := func(b *testing.B, collect func() error) {
		var stop atomic.Bool
		var wg sync.WaitGroup
		var reads, writes latency
		n := 0
		wg.Go(func() {
			if err := reads.during(&stop, func() error {
				n++
				return s.View(func(tx *engine.Tx) error {
					_, err := tx.Lookup(engine.RootID, key(n))
					return err
				})
			}); err != nil {
				b.Error(err)
			}
		})
		m := 0
		wg.Go(func() {
			if err := writes.during(&stop, func() error {
				m++
				return put(m)
			}); err != nil {
				b.Error(err)
			}
		})
		for b.Loop() {
			if err := collect(); err != nil {
				b.Fatal(err)
			}
		}
		stop.Store(true)
		wg.Wait()
		b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(b.N), "ms/collection")
		b.ReportMetric(float64(reads.worst.Microseconds()), "µs-worst-read")
		b.ReportMetric(float64(writes.worst.Microseconds()), "µs-worst-write")
		b.ReportMetric(reads.over(time.Millisecond), "reads-over-1ms-of-1e6")
		b.ReportMetric(writes.over(time.Millisecond), "writes-over-1ms-of-1e6")
	}
	b.Run("busy", func(b *testing.B) { beside(b, full) })
	b.Run("idle", func(b *testing.B) {
		beside(b, func() error {
			time.Sleep(40 * time.Millisecond)
			return nil
		})
	})
}
