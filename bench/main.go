// Command bench measures package engine beside bbolt, LMDB and a B-tree in
// memory: the same operations on the same keys, each operation a transaction of
// its own unless the row says otherwise, nothing synced to disk unless the row
// says durable, the stores taking turns so that whatever else the machine does
// hits all of them. It prints medians and ratios.
//
// It is a module of its own, so that its peers are no dependencies of pongofs.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	entries := flag.Int("entries", 100_000, "number of entries")
	rounds := flag.Int("rounds", 5, "number of rounds")
	dir := flag.String("dir", "", "directory for the stores (default the system's for temporary files)")
	only := flag.String("only", "", "measure only stores whose name contains this")
	pick := flag.String("rows", "", "measure only rows whose name contains this")
	child := flag.String("child", "", "be one of several processes (for the command itself)")
	from := flag.Int("from", 0, "first key of the process")
	count := flag.Int("count", 0, "number of keys of the process")
	flag.Parse()
	var err error
	if *child != "" {
		err = runChild(*child, *dir, *entries, *from, *count)
	} else {
		err = run(*entries, *rounds, *dir, *only, *pick)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(entries, rounds int, dir, only, pick string) error {
	dir, err := os.MkdirTemp(dir, "pongofs-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	peers := slices.DeleteFunc(openers(), func(o opener) bool { return !strings.Contains(o.name, only) })
	table := pickRows(pick)
	w := newWorkload(entries)
	// results[row][peer] has one figure for each round.
	results := make([][][]time.Duration, len(table))
	for r := range table {
		results[r] = make([][]time.Duration, len(peers))
	}
	for from, to := 0, 0; from < len(table); from = to {
		for to = from + 1; to < len(table) && table[to].beside; to++ {
		}
		for round := range rounds {
			for i := range peers {
				// Another one begins in each round.
				i = (i + round) % len(peers)
				for r := from; r < to; r++ {
					if table[r].skip(peers[i]) {
						continue
					}
					fmt.Fprintf(os.Stderr, "%s, %s, round %d of %d\n", table[r].name, peers[i].name, round+1, rounds)
					d, err := table[r].measure(w, peers[i], dir)
					if err != nil {
						return fmt.Errorf("%s: %s: %w", peers[i].name, table[r].name, err)
					}
					results[r][i] = append(results[r][i], d)
				}
			}
		}
	}
	return print(peers, table, results, entries, rounds)
}

// measure runs a row in a directory of its own.
func (r *row) measure(w *workload, o opener, dir string) (time.Duration, error) {
	home := filepath.Join(dir, "store")
	if err := os.Mkdir(home, 0o755); err != nil {
		return 0, err
	}
	d, err := r.run(w, o, home)
	return d, errors.Join(err, os.RemoveAll(home))
}

func median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// rates returns how many times as many operations as in the first row were done in the
// same time of the second, round by round.
func rates(first, second []time.Duration) (all []float64) {
	for i := range first {
		all = append(all, float64(first[i])/float64(second[i]))
	}
	return all
}

// print shows the medians, and each store's as a multiple of the first one's.
func print(peers []opener, table []row, results [][][]time.Duration, entries, rounds int) error {
	fmt.Printf("%d entries; medians of %d interleaved rounds; in brackets: as a multiple of the first column\n", entries, rounds)
	fmt.Printf("%s %s/%s, %d CPUs\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	fmt.Print("limit: a B-tree in memory; durable, with a write of two pages and a sync\n\n")
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "µs/op\t")
	for _, p := range peers {
		fmt.Fprintf(w, "%s\t", p.name)
	}
	fmt.Fprintln(w)
	for r := range table {
		fmt.Fprintf(w, "%s\t", table[r].name)
		for i := range peers {
			if len(results[r][i]) == 0 {
				fmt.Fprint(w, "-\t")
				continue
			}
			m := median(results[r][i])
			fmt.Fprintf(w, "%.2f", float64(m)/1e3)
			if i > 0 && len(results[r][0]) > 0 {
				fmt.Fprintf(w, " (%.2fx)", float64(m)/float64(median(results[r][0])))
			}
			fmt.Fprint(w, "\t")
		}
		fmt.Fprintln(w)
		if !table[r].beside || r == 0 {
			continue
		}
		fmt.Fprint(w, "times the rate of the row above\t")
		for i := range peers {
			if len(results[r][i]) == 0 {
				fmt.Fprint(w, "-\t")
			} else {
				fmt.Fprintf(w, "%.2f\t", median(rates(results[r-1][i], results[r][i])))
			}
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
