// Command bench measures package engine beside bbolt and LMDB: the same
// operations on the same keys, each operation a transaction of its own, nothing
// synced to disk, the stores taking turns so that whatever else the machine
// does hits all of them. It prints medians and ratios.
//
// It is a module of its own, so that its peers are no dependencies of pongofs.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// peer is a store under measurement. All methods but close are one
// transaction.
type peer interface {
	put(key, value string) error
	get(key string) (string, error)
	del(key string) error
	push(value string) error
	close() error
}

// opener makes a new empty store in a directory.
type opener struct {
	name string
	open func(dir string) (peer, error)
}

func openers() []opener {
	return []opener{
		{"pongofs collection", openCollection},
		{"pongofs dict", openDict},
		{"bbolt", openBolt},
		{"lmdb", openLMDB},
	}
}

func main() {
	entries := flag.Int("entries", 100_000, "number of entries")
	rounds := flag.Int("rounds", 5, "number of rounds")
	dir := flag.String("dir", "", "directory for the stores (default the system's for temporary files)")
	only := flag.String("only", "", "measure only stores whose name contains this")
	flag.Parse()
	if err := run(*entries, *rounds, *dir, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(entries, rounds int, dir, only string) error {
	dir, err := os.MkdirTemp(dir, "pongofs-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	peers := slices.DeleteFunc(openers(), func(o opener) bool { return !strings.Contains(o.name, only) })
	w := newWorkload(entries)
	// results[peer][step] has one figure for each round.
	results := make([]map[string][]time.Duration, len(peers))
	sizes := make([]int64, len(peers))
	for i := range results {
		results[i] = map[string][]time.Duration{}
	}
	for round := range rounds {
		for i := range peers {
			// Another one begins in each round.
			i = (i + round) % len(peers)
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, rounds, peers[i].name)
			home := filepath.Join(dir, fmt.Sprintf("%d-%d", i, round))
			if err := os.Mkdir(home, 0o755); err != nil {
				return err
			}
			times, size, err := w.measure(peers[i], home)
			if err != nil {
				return fmt.Errorf("%s: %w", peers[i].name, err)
			}
			for step, d := range times {
				results[i][step] = append(results[i][step], d)
			}
			sizes[i] = size
			if err := os.RemoveAll(home); err != nil {
				return err
			}
		}
	}
	return print(peers, results, sizes, entries, rounds)
}

// steps are the measured operations in order.
var steps = []string{"insert", "lookup", "update", "delete", "append"}

// workload is the same for all stores: random keys, in another random order
// for each operation.
type workload struct {
	keys   []string
	orders map[string][]int
}

func newWorkload(entries int) *workload {
	random := rand.New(rand.NewPCG(1, 2))
	w := &workload{orders: map[string][]int{}}
	for i := range entries {
		w.keys = append(w.keys, fmt.Sprintf("key-%08d", i))
	}
	for _, step := range steps {
		w.orders[step] = random.Perm(entries)
	}
	return w
}

// measure runs all steps on a new store and returns the time of one operation
// of each, and the size of the files when everything has been inserted.
func (w *workload) measure(o opener, home string) (map[string]time.Duration, int64, error) {
	p, err := o.open(home)
	if err != nil {
		return nil, 0, err
	}
	defer p.close()
	operations := map[string]func(i int) error{
		"insert": func(i int) error { return p.put(w.keys[i], fmt.Sprintf("value %010d", i)) },
		"lookup": func(i int) error {
			got, err := p.get(w.keys[i])
			if err == nil && got != fmt.Sprintf("value %010d", i) {
				err = fmt.Errorf("%s is %q", w.keys[i], got)
			}
			return err
		},
		"update": func(i int) error { return p.put(w.keys[i], fmt.Sprintf("other %010d", i)) },
		"delete": func(i int) error { return p.del(w.keys[i]) },
		"append": func(i int) error { return p.push(fmt.Sprintf("value %010d", i)) },
	}
	times := map[string]time.Duration{}
	var size int64
	for _, step := range steps {
		runtime.GC()
		start := time.Now()
		for _, i := range w.orders[step] {
			if err := operations[step](i); err != nil {
				return nil, 0, fmt.Errorf("%s: %w", step, err)
			}
		}
		times[step] = time.Since(start) / time.Duration(len(w.keys))
		if step == "insert" {
			if size, err = diskUsage(home); err != nil {
				return nil, 0, err
			}
		}
	}
	return times, size, nil
}

// diskUsage returns the length of all files in a directory.
func diskUsage(dir string) (int64, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			return 0, err
		}
		sum += info.Size()
	}
	return sum, nil
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

// print shows the medians, and each store's as a multiple of the first one's.
func print(peers []opener, results []map[string][]time.Duration, sizes []int64, entries, rounds int) error {
	fmt.Printf("%d entries, one publish for each operation, nothing synced; medians of %d interleaved rounds\n", entries, rounds)
	fmt.Printf("%s %s/%s, %d CPUs\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "µs/op\t")
	for _, p := range peers {
		fmt.Fprintf(w, "%s\t", p.name)
	}
	fmt.Fprintln(w)
	for _, step := range steps {
		fmt.Fprintf(w, "%s\t", step)
		base := median(results[0][step])
		for i := range peers {
			m := median(results[i][step])
			fmt.Fprintf(w, "%.2f", float64(m)/1e3)
			if i > 0 {
				fmt.Fprintf(w, " (%.2fx)", float64(m)/float64(base))
			}
			fmt.Fprint(w, "\t")
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "MiB of files\t")
	for i := range peers {
		fmt.Fprintf(w, "%.1f\t", float64(sizes[i])/(1<<20))
	}
	fmt.Fprintln(w)
	return w.Flush()
}
