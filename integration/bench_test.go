package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkManyFiles makes 100 000 files in one directory of a mount, each as
// echo N > FILE does, and reports the cost of a file at the beginning and at
// the end, the size of the store and the memory of the server. The cost should
// not depend on how many files there are. It is a report, not a test: run it
// with -benchtime 1x.
func BenchmarkManyFiles(b *testing.B) {
	const files, thousand = 100_000, 1000
	for _, kind := range []string{"dict", "collection", "list"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				dir := newDir(b)
				store, m := newMount(b, dir)
				pongofs(b, "mk"+strings.Replace(kind, "collection", "coll", 1), store, "many")
				many := filepath.Join(m.dir, "many")
				times := make([]time.Duration, files)
				start := time.Now()
				for i := range files {
					begin := time.Now()
					writeText(b, filepath.Join(many, strconv.Itoa(i)), strconv.Itoa(i))
					times[i] = time.Since(begin)
				}
				all := time.Since(start)
				// Medians, which a busy machine disturbs least.
				b.ReportMetric(micro(median(times[:thousand])), "µs/file-first-1000")
				b.ReportMetric(micro(median(times[files-thousand:])), "µs/file-last-1000")
				b.ReportMetric(micro(all)/files, "µs/file")
				b.ReportMetric(float64(residentBytes(b, m))/(1<<20), "MiB-server")
				start = time.Now()
				entries, err := os.ReadDir(many)
				// A list and a collection have a sidecar.
				if err != nil || len(entries) != files && len(entries) != files+1 {
					b.Fatalf("%d entries, %v", len(entries), err)
				}
				b.ReportMetric(micro(time.Since(start))/files, "µs/name-listed")
				unmount(b, m)
				info, err := os.Stat(store)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(info.Size())/(1<<20), "MiB-store")
			}
		})
	}
}

func median(times []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(times))[len(times)/2]
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// residentBytes returns how much memory the server of a mount has in use,
// without the pages of the store file, which are the kernel's cache.
func residentBytes(b *testing.B, m *mounted) int64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.server.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib << 10
		}
	}
	b.Fatal("no RssAnon in /proc/PID/status")
	return 0
}
