package gc_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pongofs/engine"
	"pongofs/engine/value"
	"pongofs/gc"
)

const benchEntries = 100_000

// latency is what the calls of a loop took. It keeps no list of them: a growing
// one would make the collector of Go run, and be measured.
type latency struct {
	calls, over int // all calls, and those of more than a millisecond
	worst       time.Duration
	window      atomic.Int64    // the worst since the window was closed last
	windows     []time.Duration // the worst of each window
}

// call does fn and measures it.
func (l *latency) call(fn func() error) error {
	start := time.Now()
	err := fn()
	d := time.Since(start)
	l.calls++
	if d > time.Millisecond {
		l.over++
	}
	l.worst = max(l.worst, d)
	if int64(d) > l.window.Load() {
		l.window.Store(int64(d)) // races with close alone, which then misses one
	}
	return err
}

// closeWindow ends a collection: what a host does to a machine now and then hits
// few of them, what the collector does hits all.
func (l *latency) closeWindow() {
	if w := l.window.Swap(0); len(l.windows) < cap(l.windows) {
		l.windows = append(l.windows, time.Duration(w))
	}
}

func (l *latency) report(b *testing.B, what string) {
	b.ReportMetric(float64(l.worst.Microseconds()), "µs-worst-"+what)
	slices.Sort(l.windows)
	b.ReportMetric(float64(l.windows[len(l.windows)/2].Microseconds()), "µs-median-worst-"+what)
	b.ReportMetric(float64(l.over)*1e6/float64(l.calls), what+"s-over-1ms-of-1e6")
}

// BenchmarkFull runs full collections of a store with 100 000 entries, alone,
// beside one caller who reads and writes in turns, and beside a reader and a
// writer, whose worst latencies it reports, of all and of the median collection. The runs named idle have the same
// callers without collections: what the machine does to them by itself. With two
// processors, one caller leaves one to the collector; two callers leave it none.
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
	n := 0
	read := func() error {
		n++
		return s.View(func(tx *engine.Tx) error {
			_, err := tx.Lookup(engine.RootID, key(n))
			return err
		})
	}
	m := 0
	write := func() error {
		m++
		return put(m)
	}
	beside := func(b *testing.B, callers int, collect func() error) {
		var stop atomic.Bool
		var wg sync.WaitGroup
		reads, writes := latency{windows: make([]time.Duration, 0, 1000)}, latency{windows: make([]time.Duration, 0, 1000)}
		caller := func(steps ...func() error) {
			wg.Go(func() {
				for !stop.Load() {
					for _, step := range steps {
						if err := step(); err != nil {
							b.Error(err)
							return
						}
					}
				}
			})
		}
		timedRead := func() error { return reads.call(read) }
		timedWrite := func() error { return writes.call(write) }
		if callers == 1 {
			caller(timedRead, timedWrite)
		} else {
			caller(timedRead)
			caller(timedWrite)
		}
		for b.Loop() {
			if err := collect(); err != nil {
				b.Fatal(err)
			}
			reads.closeWindow()
			writes.closeWindow()
		}
		stop.Store(true)
		wg.Wait()
		b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(b.N), "ms/collection")
		reads.report(b, "read")
		writes.report(b, "write")
	}
	rest := func() error {
		time.Sleep(40 * time.Millisecond)
		return nil
	}
	for _, callers := range []int{1, 2} {
		b.Run(fmt.Sprintf("callers=%d/busy", callers), func(b *testing.B) { beside(b, callers, full) })
		b.Run(fmt.Sprintf("callers=%d/idle", callers), func(b *testing.B) { beside(b, callers, rest) })
	}
}
