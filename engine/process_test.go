package engine_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
	"pongofs/gc"
)

// A test process that finds this variable set is a child: it does what the
// value says on the store named by the second variable, and exits.
const (
	childRole  = "PONGOFS_TEST_ROLE"
	childStore = "PONGOFS_TEST_STORE"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := runChild(role, os.Getenv(childStore)); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// roles are further roles of child processes, by their first word.
var roles = map[string]func(args []string, path string) error{
	"hooked": runHooked,
	"busy":   runBusy,
}

// budget returns how often a test does something: n, unless the environment
// variable says otherwise.
func budget(t *testing.T, variable string, n int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return n
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, variable)
	return n
}

// runChild is what a child process does. Role is "writer NAME COUNT": it makes
// COUNT publishes (0: until killed), each of which adds one to a counter of
// its own and to the shared one, and stores one new key; it prints the number
// of each publish that has returned.
func runChild(role, path string) error {
	f := strings.Fields(role)
	if run, ok := roles[f[0]]; ok {
		return run(f[1:], path)
	}
	s, err := engine.Open(path, engine.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	switch f[0] {
	case "writer":
		n, err := strconv.Atoi(f[2])
		if err != nil {
			return err
		}
		for i := 1; n == 0 || i <= n; i++ {
			if err := step(s, f[1], i); err != nil {
				return err
			}
			fmt.Println(i)
		}
		return nil
	}
	return fmt.Errorf("unknown role %q", role)
}

func add(tx *engine.Tx, key string) error {
	k := value.String(key)
	e, err := tx.Lookup(engine.RootID, k)
	n := int64(0)
	if err == nil {
		n = e.Scalar.AsInt()
	}
	_, err = tx.Put(engine.RootID, k, value.Int(n+1), engine.PutOptions{Declared: true})
	return err
}

func step(s *engine.Store, name string, i int) error {
	return s.Update(func(tx *engine.Tx) error {
		if err := add(tx, "total"); err != nil {
			return err
		}
		if err := add(tx, "count-"+name); err != nil {
			return err
		}
		text := strings.Repeat(name+" ", 1+i%400) // some inline, some blobs
		_, err := tx.Put(engine.RootID, value.String(fmt.Sprintf("%s-%06d", name, i)), value.String(text), engine.PutOptions{})
		if err == nil && i > 50 {
			err = tx.Remove(engine.RootID, value.String(fmt.Sprintf("%s-%06d", name, i-50)))
		}
		return err
	})
}

func count(t *testing.T, s *engine.Store, key string) int {
	t.Helper()
	n := 0
	require.NoError(t, s.View(func(tx *engine.Tx) error {
		e, err := tx.Lookup(engine.RootID, value.String(key))
		if err == nil {
			n = int(e.Scalar.AsInt())
		}
		return nil
	}))
	return n
}

type child struct {
	cmd   *exec.Cmd
	mu    sync.Mutex
	acked int
	done  chan struct{}
}

func startChild(t *testing.T, path, role string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0]), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), childRole+"="+role, childStore+"="+path)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	go func() {
		defer close(c.done)
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			if n, err := strconv.Atoi(sc.Text()); err == nil {
				c.mu.Lock()
				c.acked = n
				c.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
	})
	return c
}

func (c *child) ack() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked
}

func (c *child) wait() error {
	<-c.done
	return c.cmd.Wait()
}

// requireNoLeak collects and then demands that exactly what is reachable is
// allocated.
func requireNoLeak(t *testing.T, s *engine.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(t, s.Sync(ctx))
	require.NoError(t, gc.New(s).Quick())
	_, err := gc.New(s).Full(ctx)
	require.NoError(t, err)
	// The empty version of the collection replaced the durable root: once more,
	// so that nothing is held for the checkpoint's sake.
	require.NoError(t, s.Sync(ctx))
	require.NoError(t, gc.New(s).Quick())
	live, err := s.Internals().Verify()
	require.NoError(t, err)
	u := s.Internals().Heap().Usage()
	require.Equal(t, live.Objects, u.Objects, "allocated objects are not the reachable ones")
	require.Equal(t, live.Bytes, u.UsedBytes)
}

func newStorePath(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.pongo")
	require.NoError(t, engine.Create(path, engine.CreateOptions{ChunkSize: engine.MinChunkSize}))
	return path
}

func TestProcessesLoseNoUpdate(t *testing.T) {
	path := newStorePath(t)
	const n = 2000
	var all []*child
	for i := range 3 {
		all = append(all, startChild(t, path, fmt.Sprintf("writer p%d %d", i, n)))
	}
	s, err := engine.Open(path, engine.Options{})
	require.NoError(t, err)
	for i := 1; i <= n; i++ {
		require.NoError(t, step(s, "self", i))
	}
	for _, c := range all {
		require.NoError(t, c.wait())
	}
	require.Equal(t, 4*n, count(t, s, "total"))
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

func TestKilledProcessLosesNothing(t *testing.T) {
	path := newStorePath(t)
	rounds := 12
	acked := map[string]int{}
	for round := range rounds {
		var all []*child
		for i := range 3 {
			all = append(all, startChild(t, path, fmt.Sprintf("writer r%d-%d 0", round, i)))
		}
		for all[0].ack() < 20 && all[1].ack() < 20 && all[2].ack() < 20 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		for i, c := range all {
			require.NoError(t, c.cmd.Process.Kill())
			_ = c.wait()
			acked[fmt.Sprintf("r%d-%d", round, i)] = c.ack()
		}
		s, err := engine.Open(path, engine.Options{})
		require.NoError(t, err)
		total := 0
		for name, n := range acked {
			got := count(t, s, "count-"+name)
			require.GreaterOrEqual(t, got, n, "an acknowledged update of %s is missing", name)
			total += got
		}
		require.Equal(t, total, count(t, s, "total"))
		requireNoLeak(t, s)
		require.NoError(t, s.Close())
	}
}

// runBusy is a writer that also makes checkpoints, collects and makes the file
// grow, until it is killed.
func runBusy(args []string, path string) error {
	s, err := engine.Open(path, engine.Options{Commit: 5 * time.Millisecond})
	if err != nil {
		return err
	}
	c := gc.New(s)
	for i := 1; ; i++ {
		if err := step(s, args[0], i); err != nil {
			return err
		}
		fmt.Println(i)
		switch i % 50 {
		case 10:
			err = s.Sync(context.Background())
		case 20:
			err = c.Quick()
		case 30:
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			if _, err = c.Full(ctx); errors.Is(err, context.DeadlineExceeded) || errors.Is(err, gc.ErrRunning) {
				err = nil // another one collects, or somebody reads for long
			}
			cancel()
		case 40:
			err = s.Update(func(tx *engine.Tx) error {
				return tx.Root().Set("large-"+args[0], make([]byte, 300_000+i))
			})
		}
		if err != nil {
			return err
		}
	}
}

// TestKillsAtRandom keeps four processes at work on one store and kills one of
// them at a random instant, again and again, sometimes all: nothing that was
// acknowledged is missing, and nothing is lost of the space.
func TestKillsAtRandom(t *testing.T) {
	path := newStorePath(t)
	kills := budget(t, "PONGOFS_KILLS", 12)
	const workers = 4
	acked := map[string]int{}
	var all [workers]*child
	var names [workers]string
	started := 0
	start := func(i int) {
		names[i] = fmt.Sprintf("w%d", started)
		all[i] = startChild(t, path, "busy "+names[i])
		started++
	}
	end := func(i int) {
		require.NoError(t, all[i].cmd.Process.Kill())
		_ = all[i].wait()
		status, ok := all[i].cmd.ProcessState.Sys().(syscall.WaitStatus)
		require.True(t, ok && status.Signaled(), "a worker ended by itself: %v", all[i].cmd.ProcessState)
		acked[names[i]] = all[i].ack()
	}
	look := func() {
		s, err := engine.Open(path, engine.Options{})
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		total := 0
		for name, n := range acked {
			got := count(t, s, "count-"+name)
			require.GreaterOrEqual(t, got, n, "an acknowledged update of %s is missing", name)
			require.LessOrEqual(t, got, n+1, name)
			total += got
		}
		require.Equal(t, total, count(t, s, "total"))
		s.Internals().CleanDead()
		requireNoLeak(t, s)
	}
	for i := range workers {
		start(i)
	}
	for n := range kills {
		victim := rand.IntN(workers)
		for all[victim].ack() == 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(rand.IntN(30_000)) * time.Microsecond)
		end(victim)
		if n%25 == 11 || n == kills-1 {
			for i := range workers {
				if i != victim {
					end(i)
				}
			}
			look()
			for i := range workers {
				start(i)
			}
			continue
		}
		start(victim)
	}
	for i := range workers {
		end(i)
	}
	look()
}

func TestGoroutinesLoseNoUpdate(t *testing.T) {
	s, err := engine.OpenMemory(64<<20, engine.Options{})
	require.NoError(t, err)
	const n, writers = 500, 4
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 1; i <= n; i++ {
				if err := step(s, fmt.Sprintf("g%d", w), i); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := s.View(func(tx *engine.Tx) error {
					sum, total := int64(0), int64(0)
					err := tx.Scan(engine.RootID, value.Value{}, false, func(e engine.Entry) bool {
						switch k := e.Key.AsString(); {
						case k == "total":
							total = e.Scalar.AsInt()
						case strings.HasPrefix(k, "count-"):
							sum += e.Scalar.AsInt()
						}
						return true
					})
					if err == nil && sum != total {
						err = fmt.Errorf("counters sum to %d, total is %d", sum, total)
					}
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	close(stop)
	readers.Wait()
	require.Equal(t, n*writers, count(t, s, "total"))
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

// TestSurvivorCleansUp kills writers while another process goes on: their pins
// and leases must go, their published updates stay, and one full collection
// must free what they had allocated.
func TestSurvivorCleansUp(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{})
	require.NoError(t, err)
	self := 0
	total := 0
	for round := range 8 {
		var all []*child
		for i := range 2 {
			all = append(all, startChild(t, path, fmt.Sprintf("writer s%d-%d 0", round, i)))
		}
		for all[0].ack() < 20 || all[1].ack() < 20 {
			self++
			require.NoError(t, step(s, "self", self))
		}
		for i, c := range all {
			require.NoError(t, c.cmd.Process.Kill())
			_ = c.wait()
			name := fmt.Sprintf("s%d-%d", round, i)
			got := count(t, s, "count-"+name)
			require.GreaterOrEqual(t, got, c.ack())
			total += got
		}
		require.Equal(t, total+self, count(t, s, "total"))
		s.Internals().CleanDead()
		st, err := s.Stats()
		require.NoError(t, err)
		require.Equal(t, 1, st.Processes)
		require.Zero(t, st.Pins)
		requireNoLeak(t, s)
	}
	require.NoError(t, s.Close())
}
