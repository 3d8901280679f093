// Command bench measures package engine beside bbolt, LMDB and a B-tree in
// memory: the same operations on the same keys, each operation a transaction of
// its own unless the row says otherwise, nothing synced to disk unless the row
// says durable, the stores taking turns so that whatever else the machine does
// hits all of them. It prints medians and ratios.
//
// It is a module of its own, so that its peers are no dependencies of pongofs.
package main

import (
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
	table := slices.DeleteFunc(rows(), func(r row) bool { return !strings.Contains(r.name, pick) })
	w := newWorkload(entries)
	// results[row][peer] has one figure for each round.
	results := make([][][]time.Duration, len(table))
	for r := range table {
		results[r] = make([][]time.Duration, len(peers))
		for round := range rounds {
			fmt.Fprintf(os.Stderr, "%s, round %d of %d\n", table[r].name, round+1, rounds)
			for i := range peers {
				// Another one begins in each round.
				i = (i + round) % len(peers)
				if table[r].skip(peers[i]) {
					continue
				}
				home := filepath.Join(dir, "store")
				if err := os.Mkdir(home, 0o755); err != nil {
					return err
				}
				d, err := table[r].run(w, peers[i], home)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", peers[i].name, table[r].name, err)
				}
				results[r][i] = append(results[r][i], d)
				if err := os.RemoveAll(home); err != nil {
					return err
				}
			}
		}
	}
	return print(peers, table, results, entries, rounds)
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

// print shows the medians, and each store's as a multiple of the first one's.
func print(peers []opener, table []row, results [][][]time.Duration, entries, rounds int) error {
	fmt.Printf("%d entries; medians of %d interleaved rounds; in brackets: as a multiple of the first column\n", entries, rounds)
	fmt.Printf("%s %s/%s, %d CPUs\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
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
	}
	return w.Flush()
}
