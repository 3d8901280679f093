package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"pongofs/engine"
	"pongofs/engine/value"
)

// The linearizability tests run a few operations at once and ask porcupine
// whether there is an order of them, one after the other and none before it was
// called or after it has returned, in which every answer is right.

// linState is the part of a store that they use: two members of a dict, two of
// a collection, and a list. 0 stands for a member that is not there.
type linState struct {
	Members [4]int64
	List    string // the elements, each with a comma behind it
}

type linInput struct {
	Op   string
	A, B int   // members
	V    int64 // value to store
}

type linOutput struct {
	OK    bool     // it was there, was added, was moved
	V     int64    // what was read, or the index of what was appended
	State linState // what a look at everything has seen
}

var linOps = []string{"get", "put", "add", "count", "delete", "move", "swap", "transfer", "append", "pop", "all", "list"}

// linStep is what an operation does, and answers, when it runs alone.
func linStep(s linState, in linInput) (linState, linOutput) {
	m := &s.Members
	switch in.Op {
	case "get":
		return s, linOutput{OK: m[in.A] != 0, V: m[in.A]}
	case "put":
		m[in.A] = in.V
		return s, linOutput{OK: true}
	case "add": // set if absent
		if m[in.A] != 0 {
			return s, linOutput{}
		}
		m[in.A] = in.V
		return s, linOutput{OK: true}
	case "count":
		m[in.A]++
		return s, linOutput{OK: true, V: m[in.A]}
	case "delete":
		ok := m[in.A] != 0
		m[in.A] = 0
		return s, linOutput{OK: ok}
	case "move":
		if m[in.A] == 0 {
			return s, linOutput{}
		}
		if in.A != in.B {
			m[in.B], m[in.A] = m[in.A], 0
		}
		return s, linOutput{OK: true}
	case "swap":
		if m[in.A] == 0 || m[in.B] == 0 {
			return s, linOutput{}
		}
		m[in.A], m[in.B] = m[in.B], m[in.A]
		return s, linOutput{OK: true}
	case "transfer": // one from A to B, in one Update
		if m[in.A] < 2 || m[in.B] == 0 {
			return s, linOutput{}
		}
		m[in.A]--
		m[in.B]++
		return s, linOutput{OK: true}
	case "append":
		n := int64(0)
		for _, c := range s.List {
			if c == ',' {
				n++
			}
		}
		s.List += strconv.FormatInt(in.V, 10) + ","
		return s, linOutput{OK: true, V: n}
	case "pop": // the first
		for i, c := range s.List {
			if c == ',' {
				v, _ := strconv.ParseInt(s.List[:i], 10, 64)
				s.List = s.List[i+1:]
				return s, linOutput{OK: true, V: v}
			}
		}
		return s, linOutput{}
	case "all":
		return s, linOutput{OK: true, State: s}
	case "list":
		return s, linOutput{OK: true, State: linState{List: s.List}}
	}
	panic("unknown operation " + in.Op)
}

func linModel(start linState) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return start },
		Step: func(state, in, out any) (bool, any) {
			next, want := linStep(state.(linState), in.(linInput))
			return want == out.(linOutput), next
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
	}
}

func linSetup(s *engine.Store) error {
	return s.Update(func(tx *engine.Tx) error {
		_, err := tx.Root().NewDict("dict")
		if err == nil {
			_, err = tx.Root().NewCollection("coll")
		}
		if err == nil {
			_, err = tx.Root().NewList("list")
		}
		return err
	})
}

// linPlace returns where member i is.
func linPlace(tx *engine.Tx, i int) (engine.ID, value.Value, error) {
	name := "dict"
	if i >= 2 {
		name = "coll"
	}
	e, err := tx.Root().Entry(name)
	return e.ID, value.String(strconv.Itoa(i)), err
}

func linGet(tx *engine.Tx, i int) (int64, error) {
	dir, key, err := linPlace(tx, i)
	if err != nil {
		return 0, err
	}
	e, err := tx.Lookup(dir, key)
	if errors.Is(err, engine.ErrNotFound) {
		return 0, nil
	}
	return e.Scalar.AsInt(), err
}

func linSet(tx *engine.Tx, i int, v int64) error {
	dir, key, err := linPlace(tx, i)
	if err != nil {
		return err
	}
	_, err = tx.Put(dir, key, value.Int(v), engine.PutOptions{Declared: true})
	return err
}

func linAll(tx *engine.Tx) (st linState, err error) {
	for i := range st.Members {
		if st.Members[i], err = linGet(tx, i); err != nil {
			return st, err
		}
	}
	l, err := tx.Root().List("list")
	if err != nil {
		return st, err
	}
	for e, err := range l.All() {
		if err != nil {
			return st, err
		}
		st.List += strconv.FormatInt(e.Scalar.AsInt(), 10) + ","
	}
	return st, nil
}

// linDo runs an operation on the store.
func linDo(s *engine.Store, in linInput) (out linOutput, err error) {
	run := s.Update
	if in.Op == "get" || in.Op == "all" || in.Op == "list" {
		run = s.View
	}
	return out, run(func(tx *engine.Tx) (err error) {
		out, err = linDoTx(tx, in)
		return err
	})
}

func linDoTx(tx *engine.Tx, in linInput) (linOutput, error) {
	dir, key, err := linPlace(tx, in.A)
	if err != nil {
		return linOutput{}, err
	}
	dir2, key2, err := linPlace(tx, in.B)
	if err != nil {
		return linOutput{}, err
	}
	list, err := tx.Root().List("list")
	if err != nil {
		return linOutput{}, err
	}
	switch in.Op {
	case "get":
		v, err := linGet(tx, in.A)
		return linOutput{OK: v != 0, V: v}, err
	case "put":
		return linOutput{OK: true}, linSet(tx, in.A, in.V)
	case "add":
		_, err := tx.Put(dir, key, value.Int(in.V), engine.PutOptions{Declared: true, Exclusive: true})
		return linAnswer(err, engine.ErrExist)
	case "count":
		v, err := linGet(tx, in.A)
		if err == nil {
			err = linSet(tx, in.A, v+1)
		}
		return linOutput{OK: true, V: v + 1}, err
	case "delete":
		return linAnswer(tx.Remove(dir, key), engine.ErrNotFound)
	case "move":
		return linAnswer(tx.Rename(dir, key, dir2, key2, engine.RenameOptions{}), engine.ErrNotFound)
	case "swap":
		return linAnswer(tx.Rename(dir, key, dir2, key2, engine.RenameOptions{Exchange: true}), engine.ErrNotFound)
	case "transfer":
		from, err := linGet(tx, in.A)
		if err != nil {
			return linOutput{}, err
		}
		if err := linSet(tx, in.A, from-1); err != nil {
			return linOutput{}, err
		}
		to, err := linGet(tx, in.B)
		if err != nil {
			return linOutput{}, err
		}
		if in.A == in.B {
			to = from - 1
		}
		if from < 2 || to == 0 {
			return linOutput{}, errRollback // after a change, to see it undone
		}
		return linOutput{OK: true}, linSet(tx, in.B, to+1)
	case "append":
		n, err := list.Len()
		if err == nil {
			err = list.Append(in.V)
		}
		return linOutput{OK: true, V: int64(n)}, err
	case "pop":
		v, err := list.Get(0)
		if errors.Is(err, engine.ErrNotFound) {
			return linOutput{}, nil
		}
		if err == nil {
			err = list.Delete(0)
		}
		return linOutput{OK: true, V: v.AsInt()}, err
	case "all":
		st, err := linAll(tx)
		return linOutput{OK: true, State: st}, err
	case "list":
		st, err := linAll(tx)
		return linOutput{OK: true, State: linState{List: st.List}}, err
	}
	panic("unknown operation " + in.Op)
}

// linAnswer makes an answer of an error that may happen.
func linAnswer(err, no error) (linOutput, error) {
	if errors.Is(err, no) {
		return linOutput{}, nil
	}
	return linOutput{OK: err == nil}, err
}

// linClient runs n operations and returns its part of the history.
func linClient(s *engine.Store, client, n int, rng *rand.Rand) ([]porcupine.Operation, error) {
	var history []porcupine.Operation
	for range n {
		in := linInput{
			Op: linOps[rng.IntN(len(linOps))], A: rng.IntN(4), B: rng.IntN(4), V: 1 + rng.Int64N(9),
		}
		call := monotonic()
		out, err := linDo(s, in)
		if err != nil && !errors.Is(err, errRollback) {
			return nil, fmt.Errorf("%+v: %w", in, err)
		}
		history = append(history, porcupine.Operation{
			ClientId: client, Input: in, Call: call, Output: out, Return: monotonic(),
		})
	}
	return history, nil
}

// monotonic returns a time in ns that processes can compare.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// linCheck asks porcupine about a history that began at a state.
func linCheck(t *testing.T, start linState, history []porcupine.Operation) {
	t.Helper()
	model := linModel(start)
	result, info := porcupine.CheckOperationsVerbose(model, history, time.Minute)
	if result == porcupine.Ok {
		return
	}
	if result == porcupine.Unknown {
		t.Log("porcupine found no answer in time")
		return
	}
	path := filepath.Join(os.TempDir(), t.Name()+".html")
	if err := porcupine.VisualizePath(model, info, path); err != nil {
		t.Log(err)
	}
	for _, op := range history {
		t.Logf("client %d %d..%d: %s", op.ClientId, op.Call-history[0].Call, op.Return-history[0].Call,
			model.DescribeOperation(op.Input, op.Output))
	}
	t.Fatalf("from %+v: no order explains these answers; a picture is in %s", start, path)
}

// jostle makes the process lose its turn now and then between the atomic steps
// of the engine.
func jostle(string) {
	switch rand.IntN(8) {
	case 0:
		runtime.Gosched()
	case 1:
		time.Sleep(time.Microsecond)
	}
}

// linRounds returns how many rounds a test runs.
func linRounds(n int) int {
	if f, err := strconv.Atoi(os.Getenv(longRuns)); err == nil {
		return n * f
	}
	return n
}

func TestLinearizableGoroutines(t *testing.T) {
	t.Run("one by one", func(t *testing.T) {
		linearGoroutines(t, linRounds(150), engine.Options{Commit: time.Millisecond, Hook: jostle})
	})
	t.Run("joint edits", func(t *testing.T) {
		linearGoroutines(t, linRounds(100), engine.Options{Commit: -1, SyncEach: true, MapHooks: slowDisk(), Hook: jostle})
	})
}

func linearGoroutines(t *testing.T, rounds int, o engine.Options) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s, err := engine.OpenMemory(32<<20, o)
	require.NoError(t, err)
	require.NoError(t, linSetup(s))
	for round := range rounds {
		start := linNow(t, s)
		var mu sync.Mutex
		var history []porcupine.Operation
		var wg sync.WaitGroup
		for client := range 4 {
			wg.Go(func() {
				part, err := linClient(s, client, 8, rand.New(rand.NewPCG(seed, uint64(round*4+client))))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				history = append(history, part...)
			})
		}
		wg.Wait()
		linCheck(t, start, history)
	}
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}

func linNow(t *testing.T, s *engine.Store) (st linState) {
	t.Helper()
	require.NoError(t, s.View(func(tx *engine.Tx) (err error) {
		st, err = linAll(tx)
		return err
	}))
	return st
}

// linArgs are what a process of TestLinearizableProcesses is told.
type linArgs struct {
	Path, Out           string // the store; where the history goes, as JSON lines
	Client, Rounds, Ops int
	Seed                uint64
}

// linRecord is one operation in the history of a process.
type linRecord struct {
	Round        int
	In           linInput
	Out          linOutput
	Call, Return int64
}

// linProcess is a process of TestLinearizableProcesses.
func linProcess(args linArgs) error {
	f, err := os.Create(args.Out)
	if err != nil {
		return err
	}
	s, err := engine.Open(args.Path, engine.Options{Commit: 2 * time.Millisecond, Hook: jostle})
	if err != nil {
		return err
	}
	out := json.NewEncoder(f)
	for round := 1; round <= args.Rounds; round++ {
		if err := linBump(s, "ready"); err != nil {
			return err
		}
		if err := linWait(s, "go", int64(round)); err != nil {
			return err
		}
		history, err := linClient(s, args.Client, args.Ops, rand.New(rand.NewPCG(args.Seed, uint64(round*8+args.Client))))
		if err != nil {
			return err
		}
		for _, op := range history {
			r := linRecord{round, op.Input.(linInput), op.Output.(linOutput), op.Call, op.Return}
			if err := out.Encode(r); err != nil {
				return err
			}
		}
	}
	return errors.Join(s.Close(), f.Close())
}

// linBump adds one to a counter in the root.
func linBump(s *engine.Store, name string) error {
	return s.Update(func(tx *engine.Tx) error { return add(tx, name) })
}

// linWait waits until a counter in the root has reached n.
func linWait(s *engine.Store, name string, n int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for {
		now, seq := int64(0), uint64(0)
		if err := s.View(func(tx *engine.Tx) error {
			seq = tx.Seq()
			if e, err := tx.Lookup(engine.RootID, value.String(name)); err == nil {
				now = e.Scalar.AsInt()
			}
			return nil
		}); err != nil || now >= n {
			return err
		}
		if _, err := s.WaitChange(ctx, seq); err != nil {
			return fmt.Errorf("waiting for %s to reach %d, it is %d: %w", name, n, now, err)
		}
	}
}

func TestLinearizableProcesses(t *testing.T) {
	const clients, ops = 3, 6
	rounds := linRounds(40)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: 2 * time.Millisecond})
	require.NoError(t, err)
	require.NoError(t, linSetup(s))

	var children []*exec.Cmd
	var outs []string
	for client := range clients {
		out := filepath.Join(t.TempDir(), "history")
		children = append(children, startHelper(t, "linear", linArgs{
			Path: path, Out: out, Client: client, Rounds: rounds, Ops: ops, Seed: seed,
		}))
		outs = append(outs, out)
	}
	// The children begin each round together, and this process joins in.
	starts := make([]linState, rounds+1)
	histories := make([][]porcupine.Operation, rounds+1)
	for round := 1; round <= rounds; round++ {
		require.NoError(t, linWait(s, "ready", int64(round*clients)))
		starts[round] = linNow(t, s)
		require.NoError(t, linBump(s, "go"))
		histories[round], err = linClient(s, clients, ops, rand.New(rand.NewPCG(seed, uint64(round*8+clients))))
		require.NoError(t, err)
	}
	for _, cmd := range children {
		require.NoError(t, cmd.Wait())
	}
	for client, out := range outs {
		f, err := os.Open(out)
		require.NoError(t, err)
		for dec := json.NewDecoder(f); dec.More(); {
			var r linRecord
			require.NoError(t, dec.Decode(&r))
			histories[r.Round] = append(histories[r.Round], porcupine.Operation{
				ClientId: client, Input: r.In, Output: r.Out, Call: r.Call, Return: r.Return,
			})
		}
		require.NoError(t, f.Close())
	}
	for round := 1; round <= rounds; round++ {
		require.Len(t, histories[round], (clients+1)*ops)
		linCheck(t, starts[round], histories[round])
	}
	requireNoLeak(t, s)
	require.NoError(t, s.Close())
}
