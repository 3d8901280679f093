package engine_test

import (
	"bufio"
	"bytes"
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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/enginetest"
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
	"cut":    runCut,
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

// step is the i-th publish of a writer. What the store holds of a writer follows
// from how many it has made; a writer whose name begins with "grow" also writes
// large values.
func step(s *engine.Store, name string, i int) error {
	return s.Update(func(tx *engine.Tx) error {
		if err := add(tx, "total"); err != nil {
			return err
		}
		if err := add(tx, "count-"+name); err != nil {
			return err
		}
		_, err := tx.Put(engine.RootID, value.String(fmt.Sprintf("%s-%06d", name, i)), value.String(stepText(name, i)), engine.PutOptions{})
		if err == nil && i > stepsKept {
			err = tx.Remove(engine.RootID, value.String(fmt.Sprintf("%s-%06d", name, i-stepsKept)))
		}
		if err == nil && strings.HasPrefix(name, "grow") && i%largeEvery == 0 {
			_, err = tx.Put(engine.RootID, value.String(fmt.Sprintf("large-%s-%d", name, i/largeEvery%largeKept)),
				value.Bytes(largeBytes(i)), engine.PutOptions{})
		}
		return err
	})
}

const (
	stepsKept  = 50 // keys of the last publishes of a writer
	largeEvery = 5  // publishes
	largeKept  = 4  // large values
)

func stepText(name string, i int) string {
	return strings.Repeat(name+" ", 1+i%400) // some inline, some blobs
}

func largeBytes(i int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("%08d", i)), 10_000+i%5*6_000)
}

// errState is a content that no steps lead to.
var errState = errors.New("a state that never existed")

// countSteps demands a state that steps lead to, and returns how many each
// writer has made.
func countSteps(tx *engine.Tx) (map[string]int, error) {
	got := map[string]engine.Entry{}
	err := tx.Scan(engine.RootID, value.Value{}, true, func(e engine.Entry) bool {
		got[e.Key.AsString()] = e
		return true
	})
	if err != nil {
		return nil, err
	}
	counts, sum := map[string]int{}, int64(0)
	for key, e := range got {
		if name, ok := strings.CutPrefix(key, "count-"); ok {
			counts[name] = int(e.Scalar.AsInt())
			sum += e.Scalar.AsInt()
		}
	}
	total := got["total"]
	if len(counts) > 0 && total.Scalar.AsInt() != sum {
		return nil, fmt.Errorf("%w: counters sum to %d, total is %d", errState, sum, total.Scalar.AsInt())
	}
	want := map[string]string{}
	for name, n := range counts {
		for i := max(1, n-stepsKept+1); i <= n; i++ {
			want[fmt.Sprintf("%s-%06d", name, i)] = stepText(name, i)
		}
		for j := range largeKept {
			if i := n / largeEvery * largeEvery; strings.HasPrefix(name, "grow") && i-j*largeEvery > 0 {
				i -= j * largeEvery
				want[fmt.Sprintf("large-%s-%d", name, i/largeEvery%largeKept)] = string(largeBytes(i))
			}
		}
	}
	for key, text := range want {
		e, ok := got[key]
		if !ok {
			return nil, fmt.Errorf("%w: %s is missing, counters %v", errState, key, counts)
		}
		v, err := tx.Value(&e)
		if err != nil {
			return nil, err
		}
		if v.Kind() == value.KindBytes && string(v.AsBytes()) != text || v.Kind() == value.KindString && v.AsString() != text {
			return nil, fmt.Errorf("%w: %s is wrong, counters %v", errState, key, counts)
		}
	}
	if n := len(got); n != 0 && n != len(want)+len(counts)+1 {
		return nil, fmt.Errorf("%w: %d entries, should be %d", errState, n, len(want)+len(counts)+1)
	}
	return counts, nil
}

// checkSteps demands that the store holds a state that steps lead to, with at
// least as many steps of each writer as were acknowledged.
func checkSteps(s *engine.Store, acked map[string]int64) error {
	return s.View(func(tx *engine.Tx) error {
		counts, err := countSteps(tx)
		if err != nil {
			return err
		}
		for name, n := range acked {
			if int64(counts[name]) < n {
				return fmt.Errorf("lost: %d steps of %s were acknowledged, the store has %d", n, name, counts[name])
			}
		}
		return nil
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
	half  bool // in a checkpoint, as far as it has told
	done  chan struct{}
}

// startChild starts a child. It tells of each number that the child prints.
func startChild(t *testing.T, path, role string, told ...func(n int)) *child {
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
			if text := sc.Text(); text == "+" || text == "-" {
				c.mu.Lock()
				c.half = text == "+"
				c.mu.Unlock()
			}
			if n, err := strconv.Atoi(sc.Text()); err == nil {
				c.mu.Lock()
				c.acked = n
				c.mu.Unlock()
				for _, tell := range told {
					tell(n)
				}
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, s.Sync(ctx))
	require.NoError(t, gc.New(s).Quick())
	_, err := gc.New(s).Full(ctx)
	require.NoError(t, err)
	// The empty version of the collection replaced the durable root: once more,
	// so that nothing is held for the checkpoint's sake. The background of the
	// store holds a pin now and then, and a block in limbo with it: that passes.
	for try := 0; ; try++ {
		require.NoError(t, s.Sync(ctx))
		require.NoError(t, gc.New(s).Quick())
		live, err := s.Internals().Verify()
		require.NoError(t, err)
		u := s.Internals().Heap().Usage()
		if live.Objects == u.Objects && live.Bytes == u.UsedBytes {
			return
		}
		require.Less(t, try, 50, "allocated are %d objects of %d bytes, reachable %d of %d",
			u.Objects, u.UsedBytes, live.Objects, live.Bytes)
		time.Sleep(10 * time.Millisecond)
	}
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

// runBusy is a writer that makes checkpoints, slowly, so that a kill often hits
// a half-done one, until it is killed. One whose name begins with "grow" also
// collects, and makes the file grow.
func runBusy(args []string, path string) error {
	s, err := engine.Open(path, engine.Options{Commit: 5 * time.Millisecond, Collect: collect, Hook: func(point string) {
		switch point {
		case "checkpoint.announced":
			fmt.Println("+")
		case "checkpoint.synced":
			fmt.Println("-")
		}
		if enginetest.InCheckpoint(point) && rand.IntN(2) == 0 {
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		}
	}})
	if err != nil {
		return err
	}
	c := gc.New(s)
	for i := 1; ; i++ {
		if err := step(s, args[0], i); err != nil {
			return err
		}
		fmt.Println(i)
		grows := strings.HasPrefix(args[0], "grow")
		switch {
		case i%50 == 10:
			err = s.Sync(context.Background())
		case i%50 == 20 && grows:
			err = c.Quick()
		case i%50 == 30 && grows:
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			if _, err = c.Full(ctx); errors.Is(err, context.DeadlineExceeded) || errors.Is(err, gc.ErrRunning) {
				err = nil // another one collects, or somebody reads for long
			}
			cancel()
		}
		if err != nil {
			return err
		}
	}
}

// TestKillsAtRandom kills a process at a random instant, again and again, under
// several workloads: nothing that was acknowledged is missing, the state is one
// that existed, and nothing is lost of the space. Package integration has the
// workload through a mount.
func TestKillsAtRandom(t *testing.T) {
	t.Run("API writes", func(t *testing.T) { killWorkers(t, "API writes", "w", 1, 1) })
	t.Run("several processes", func(t *testing.T) { killWorkers(t, "several processes", "w", 4, 10) })
	t.Run("gc and growth", func(t *testing.T) { killWorkers(t, "gc and growth", "grow", 2, 10) })
}

// killWorkers keeps processes at work on one store and kills one of them at a
// time, and all of them every so many rounds.
func killWorkers(t *testing.T, workload, prefix string, workers, every int) {
	path := newStorePath(t)
	kills := enginetest.Crashes(t)
	acked := map[string]int64{}
	all, names := make([]*child, workers), make([]string, workers)
	started, half := 0, 0
	start := func(i int) {
		names[i] = fmt.Sprintf("%s%d", prefix, started)
		all[i] = startChild(t, path, "busy "+names[i])
		started++
	}
	end := func(i int) {
		require.NoError(t, all[i].cmd.Process.Kill())
		_ = all[i].wait()
		status, ok := all[i].cmd.ProcessState.Sys().(syscall.WaitStatus)
		require.True(t, ok && status.Signaled(), "a worker ended by itself: %v", all[i].cmd.ProcessState)
		acked[names[i]] = int64(all[i].ack())
		if all[i].half {
			half++
		}
	}
	// look checks the store beside the processes that live, if there are any.
	var failures []error
	look := func(alone bool) {
		s, err := engine.Open(path, engine.Options{})
		require.NoError(t, err)
		if err := checkSteps(s, acked); err != nil {
			failures = append(failures, err)
		}
		for name, n := range acked {
			if got := int64(count(t, s, "count-"+name)); got > n+1 {
				failures = append(failures, fmt.Errorf("%s has made %d steps and told of %d", name, got, n))
			}
		}
		if alone {
			s.Internals().CleanDead()
			requireNoLeak(t, s)
		}
		require.NoError(t, s.Close())
		if alone {
			require.NoError(t, enginetest.Clean(path))
		}
	}
	for i := range workers {
		start(i)
	}
	runs := 0
	for runs < kills {
		victim := rand.IntN(workers)
		for all[victim].ack() == 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(rand.IntN(30_000)) * time.Microsecond)
		end(victim)
		runs++
		if runs%every != 0 && runs < kills {
			look(false)
			start(victim)
			continue
		}
		for i := range workers {
			if i != victim {
				end(i)
			}
		}
		look(true)
		for i := range workers {
			if runs < kills {
				start(i)
			}
		}
	}
	enginetest.Report(t, "kill -9", workload, runs, half, failures, false)
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
				if err := checkSteps(s, nil); err != nil {
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

// requireCollected demands that background collectors find one reason to collect,
// a death, and leave nothing allocated but what is reachable. It closes the store.
func requireCollected(t *testing.T, s *engine.Store) {
	t.Helper()
	live, err := s.Internals().Verify()
	require.NoError(t, err)
	require.Greater(t, s.Internals().Heap().Usage().Objects, live.Objects, "there is no garbage")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		gc.New(s).Run(ctx, gc.Pace{Look: time.Millisecond})
	}()
	hdr := s.Internals().Header()
	require.Eventually(t, func() bool { return hdr.GCCount.Load() > 0 }, 20*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		// What the collection itself replaced goes with the next checkpoint.
		if s.Sync(context.Background()) != nil || gc.New(s).Quick() != nil {
			return false
		}
		live, err := s.Internals().Verify()
		u := s.Internals().Heap().Usage()
		return err == nil && live.Objects == u.Objects && live.Bytes == u.UsedBytes
	}, 20*time.Second, 10*time.Millisecond)
	cancel()
	<-ended
	require.EqualValues(t, 1, hdr.Deaths.Load())
	require.EqualValues(t, 1, hdr.DeathsDone.Load())
	require.EqualValues(t, 1, hdr.GCCount.Load())
	require.NoError(t, s.Close())
}

// TestUnnoticedDeathIsCollected: what a killed process leaves is collected without
// being asked for, also when nobody has noticed its death but the last one to
// close the store, or the one who gets its slot.
func TestUnnoticedDeathIsCollected(t *testing.T) {
	// start starts a child on the store, which has built an edit and stopped.
	start := func(t *testing.T, path string) *child {
		c := startChild(t, path, "hooked a publish.before-swap 3 STOP")
		require.Eventually(t, func() bool {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
			return err == nil && strings.Contains(string(b), ") T ")
		}, time.Minute, time.Millisecond)
		return c
	}
	kill := func(c *child) {
		_ = c.cmd.Process.Kill()
		_ = c.wait()
	}

	t.Run("last close", func(t *testing.T) {
		path := newStorePath(t)
		var victim atomic.Pointer[child]
		s, err := engine.Open(path, engine.Options{Commit: -1, Hook: func(point string) {
			if c := victim.Load(); c != nil && point == "checkpoint.announced" {
				victim.Store(nil)
				kill(c)
			}
		}})
		require.NoError(t, err)
		require.NoError(t, step(s, "self", 1))
		c := start(t, path)
		// The last checkpoint is made when nothing looks for the dead any more.
		victim.Store(c)
		require.NoError(t, s.Close())
		require.Nil(t, victim.Load(), "the child was not killed")

		s, err = engine.Open(path, engine.Options{Hook: func(point string) {
			if strings.HasPrefix(point, "recover") {
				t.Error("it was not closed cleanly:", point)
			}
		}})
		require.NoError(t, err)
		requireCollected(t, s)
	})

	t.Run("slot taken over", func(t *testing.T) {
		path := newStorePath(t)
		s, err := engine.Open(path, engine.Options{Commit: -1})
		require.NoError(t, err)
		require.NoError(t, step(s, "self", 1))
		kill(start(t, path))
		other, err := engine.Open(path, engine.Options{Commit: -1})
		require.NoError(t, err)
		defer other.Close()
		requireCollected(t, s)
	})
}
