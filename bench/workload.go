package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// row is one line of the table: a workload on a store of its own.
type row struct {
	name string
	// skip says which stores cannot do it, or for which it means nothing.
	skip func(o opener) bool
	// run returns the time of one operation.
	run func(w *workload, o opener, home string) (time.Duration, error)
	// beside says that it is measured in turns with the row before it, and that its
	// rate is printed as a multiple of that one's.
	beside bool
}

// pickRows returns the rows whose names contain pick, and those beside which they are
// measured.
func pickRows(pick string) (table []row) {
	all := rows()
	for i := range all {
		picked := strings.Contains(all[i].name, pick)
		if i+1 < len(all) && all[i+1].beside {
			picked = picked || strings.Contains(all[i+1].name, pick)
		}
		if picked {
			table = append(table, all[i])
		}
	}
	return table
}

// workload is the same for all stores: random keys, in another random order
// for each operation.
type workload struct {
	keys   []string
	random *rand.Rand
}

func newWorkload(entries int) *workload {
	w := &workload{random: rand.New(rand.NewPCG(1, 2))}
	for i := range entries {
		w.keys = append(w.keys, fmt.Sprintf("key%08d", i))
	}
	return w
}

// shuffled returns the keys in a random order.
func (w *workload) shuffled() []string {
	keys := append([]string(nil), w.keys...)
	w.random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

const (
	firstValue = "fifteen bytes.."
	otherValue = "fifteen others."
)

// filled opens a store that holds all keys, inserted a thousand at a time.
func (w *workload) filled(o opener, home string) (peer, error) {
	p, err := o.open(home, options{create: true})
	if err != nil {
		return nil, err
	}
	keys := w.shuffled()
	for len(keys) > 0 {
		n := min(1000, len(keys))
		if err := p.batch(keys[:n], firstValue); err != nil {
			return nil, err
		}
		keys = keys[n:]
	}
	return p, nil
}

// timed returns the mean time of n calls of op.
func timed(n int, op func(i int) error) (time.Duration, error) {
	runtime.GC()
	start := time.Now()
	for i := range n {
		if err := op(i); err != nil {
			return 0, err
		}
	}
	return time.Since(start) / time.Duration(n), nil
}

// onFilled is a row that does op with each key of a filled store.
func onFilled(op func(p peer, key string) error) func(*workload, opener, string) (time.Duration, error) {
	return func(w *workload, o opener, home string) (time.Duration, error) {
		p, err := w.filled(o, home)
		if err != nil {
			return 0, err
		}
		defer p.close()
		keys := w.shuffled()
		return timed(len(keys), func(i int) error { return op(p, keys[i]) })
	}
}

func get(p peer, key string) error {
	got, err := p.get(key)
	if err == nil && got != firstValue {
		err = fmt.Errorf("%s is %q", key, got)
	}
	return err
}

func rows() []row {
	all := func(opener) bool { return false }
	shared := func(o opener) bool { return !o.processes }
	durable := func(o opener) bool { return !o.disk }
	return []row{
		{name: "insert", skip: all, run: insert},
		{name: "update", skip: all, run: onFilled(func(p peer, key string) error { return p.put(key, otherValue) })},
		{name: "delete", skip: all, run: onFilled(func(p peer, key string) error { return p.del(key) })},
		{name: "set one of 1 000 keys", skip: all, run: setFew},
		{name: "append at 10 000", skip: all, run: appendTo(10_000, 10_000)},
		{name: "append at 100 000", skip: all, run: appendTo(100_000, 20_000)},
		{name: "update, 1 000 a transaction", skip: all, run: batches},
		{name: "lookup", skip: all, run: onFilled(get)},
		{name: "lookup, two threads", skip: all, run: twoReaders, beside: true},
		{name: "update, one process", skip: shared, run: processes(1)},
		{name: "update, two processes", skip: shared, run: processes(2), beside: true},
		{name: "durable insert", skip: all, run: durableInserts(1, 2000)},
		{name: "durable insert, 8 callers", skip: durable, run: durableInserts(8, 4000), beside: true},
		{name: "open and read", skip: durable, run: reopen},
	}
}

func insert(w *workload, o opener, home string) (time.Duration, error) {
	p, err := o.open(home, options{create: true})
	if err != nil {
		return 0, err
	}
	defer p.close()
	keys := w.shuffled()
	return timed(len(keys), func(i int) error { return p.put(keys[i], firstValue) })
}

// setFew updates a small container over and over.
func setFew(w *workload, o opener, home string) (time.Duration, error) {
	small := &workload{keys: w.keys[:min(1000, len(w.keys))], random: w.random}
	p, err := small.filled(o, home)
	if err != nil {
		return 0, err
	}
	defer p.close()
	keys := small.shuffled()
	return timed(50*len(keys), func(i int) error { return p.put(keys[i%len(keys)], otherValue) })
}

// appendTo appends n values to a list of some.
func appendTo(some, n int) func(*workload, opener, string) (time.Duration, error) {
	return func(_ *workload, o opener, home string) (time.Duration, error) {
		p, err := o.open(home, options{create: true})
		if err != nil {
			return 0, err
		}
		defer p.close()
		for range some {
			if err := p.push(firstValue); err != nil {
				return 0, err
			}
		}
		return timed(n, func(int) error { return p.push(firstValue) })
	}
}

// batches updates a thousand random keys in one transaction, each store by the
// call that it has for many; the time is that of one key.
func batches(w *workload, o opener, home string) (time.Duration, error) {
	p, err := w.filled(o, home)
	if err != nil {
		return 0, err
	}
	defer p.close()
	keys := w.shuffled()
	size := min(1000, len(keys))
	d, err := timed(len(keys)/size, func(i int) error { return p.batch(keys[i*size:(i+1)*size], otherValue) })
	return d / time.Duration(size), err
}

// concurrently runs n calls of op, shared out among callers, and returns the
// wall time of one.
func concurrently(callers, n int, op func(i int) error) (time.Duration, error) {
	var next atomic.Int64
	var first atomic.Pointer[error]
	var wg sync.WaitGroup
	runtime.GC()
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := op(i); err != nil {
					first.CompareAndSwap(nil, &err)
					return
				}
			}
		})
	}
	wg.Wait()
	d := time.Since(start) / time.Duration(n)
	if err := first.Load(); err != nil {
		return 0, *err
	}
	return d, nil
}

func twoReaders(w *workload, o opener, home string) (time.Duration, error) {
	p, err := w.filled(o, home)
	if err != nil {
		return 0, err
	}
	defer p.close()
	keys := w.shuffled()
	return concurrently(2, len(keys), func(i int) error { return get(p, keys[i]) })
}

// durableInserts measures inserts that are on the disk when they return.
func durableInserts(callers, n int) func(*workload, opener, string) (time.Duration, error) {
	return func(w *workload, o opener, home string) (time.Duration, error) {
		p, err := o.open(home, options{create: true, sync: true})
		if err != nil {
			return 0, err
		}
		defer p.close()
		keys := w.shuffled()
		return concurrently(callers, min(n, len(keys)), func(i int) error { return p.put(keys[i], firstValue) })
	}
}

// reopen opens a store that was closed well and reads one value.
func reopen(w *workload, o opener, home string) (time.Duration, error) {
	p, err := w.filled(o, home)
	if err != nil {
		return 0, err
	}
	if err := p.close(); err != nil {
		return 0, err
	}
	var sum time.Duration
	const times = 20
	for i := range times {
		start := time.Now()
		p, err := o.open(home, options{})
		if err != nil {
			return 0, err
		}
		if err := get(p, w.keys[i*7%len(w.keys)]); err != nil {
			return 0, err
		}
		sum += time.Since(start)
		if err := p.close(); err != nil {
			return 0, err
		}
	}
	return sum / times, nil
}

// processes lets so many processes update one store at once, each keys of its
// own, and returns the wall time of one update.
func processes(count int) func(*workload, opener, string) (time.Duration, error) {
	return func(w *workload, o opener, home string) (time.Duration, error) {
		p, err := w.filled(o, home)
		if err != nil {
			return 0, err
		}
		if err := p.close(); err != nil {
			return 0, err
		}
		exe, err := os.Executable()
		if err != nil {
			return 0, err
		}
		n := len(w.keys) / count
		var all []*child
		defer func() {
			for _, c := range all {
				c.end()
			}
		}()
		for i := range count {
			c, err := startChild(exe, "-child", o.name, "-dir", home, "-entries", strconv.Itoa(len(w.keys)),
				"-from", strconv.Itoa(i*n), "-count", strconv.Itoa(n))
			if err != nil {
				return 0, err
			}
			all = append(all, c)
		}
		for _, c := range all { // each has opened the store
			if err := c.line(); err != nil {
				return 0, err
			}
		}
		start := time.Now()
		for _, c := range all {
			if err := c.tell(); err != nil {
				return 0, err
			}
		}
		for _, c := range all { // each has done its updates
			if err := c.line(); err != nil {
				return 0, err
			}
		}
		d := time.Since(start) / time.Duration(n*count*processRounds)
		for _, c := range all {
			if err := c.end(); err != nil {
				return 0, err
			}
		}
		all = nil
		return d, nil
	}
}

// processRounds is how often each process updates its keys: the first touch of
// each page of the file by each process should not be what is measured.
const processRounds = 4

// child is a process that is told when to begin and tells when it is done, so
// that its start is not measured.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startChild(exe string, args ...string) (*child, error) {
	cmd := exec.Command(exe, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &child{cmd, in, bufio.NewReader(out)}, cmd.Start()
}

func (c *child) line() error {
	_, err := c.out.ReadString('\n')
	return err
}

func (c *child) tell() error {
	_, err := io.WriteString(c.in, "\n")
	return err
}

func (c *child) end() error {
	c.in.Close()
	return c.cmd.Wait()
}

// runChild is one of the processes of processes.
func runChild(name, home string, entries, from, count int) error {
	for _, o := range openers() {
		if o.name != name {
			continue
		}
		p, err := o.open(home, options{})
		if err != nil {
			return err
		}
		keys := newWorkload(entries).shuffled()[from : from+count]
		fmt.Println("open")
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return err
		}
		for round := range processRounds {
			value := fmt.Sprintf("fifteen other%2d", round)
			for _, key := range keys {
				if err := p.put(key, value); err != nil {
					return err
				}
			}
		}
		fmt.Println("done")
		return p.close()
	}
	return fmt.Errorf("no store %q", name)
}
