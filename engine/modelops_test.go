package engine_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pongofs/engine"
	"pongofs/engine/value"
	"pongofs/gc"
)

// Random tests print the seed when they fail; -rapid.seed runs it again. The
// environment variable PONGOFS_LONG multiplies how many cases they run, and
// -rapid.checks sets it.
const longRuns = "PONGOFS_LONG"

// checkRapid runs a property on n random cases.
func checkRapid(t *testing.T, n int, property func(*rapid.T)) {
	t.Helper()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		factor, err := strconv.Atoi(os.Getenv(longRuns))
		if err != nil {
			factor = 1
		}
		require.NoError(t, f.Value.Set(strconv.Itoa(n*factor)))
		defer func() { require.NoError(t, f.Value.Set(f.DefValue)) }()
	}
	rapid.Check(t, property)
}

// op is one operation of Tx. Containers and keys are given by numbers, which
// stand for what there is when the operation runs: it means something whatever
// other operations a reduced case has left out.
type op struct {
	Name      string
	Dir, Dir2 int
	Key, Key2 int
	N         int
	Val       int
	Flags     int
}

func (o op) String() string {
	return fmt.Sprintf("%s(dir %d key %d, dir %d key %d, n %d, value %d, flags %b)",
		o.Name, o.Dir, o.Key, o.Dir2, o.Key2, o.N, o.Val, o.Flags)
}

// opNames has each operation as often in 64 as it is wanted.
var opNames = strings.Fields(strings.Repeat("Put ", 10) + strings.Repeat("Rename ", 8) + strings.Repeat("Make ", 6) +
	strings.Repeat("InsertAt ", 5) + strings.Repeat("Exchange Remove PutImage SetXattr WriteImage ", 4) +
	strings.Repeat("DeleteAt ", 3) + strings.Repeat("RemoveAll Convert SetAttr TruncateImage Declare ", 2) +
	"CompactList Fill")

func genOp() *rapid.Generator[op] {
	return rapid.Custom(func(t *rapid.T) op {
		return op{
			Name: opNames[uniform(t, 6)],
			Dir:  uniform(t, 5), Key: uniform(t, 5), Dir2: uniform(t, 5), Key2: uniform(t, 5),
			N: uniform(t, 6) - 6, Val: uniform(t, 6) % len(opValues), Flags: uniform(t, 4),
		}
	})
}

// uniform draws a number of some bits, each as likely as any other: what rapid
// draws itself is mostly small.
func uniform(t *rapid.T, bits int) int {
	n := 0
	for i := range bits {
		if rapid.Bool().Draw(t, "bit") {
			n |= 1 << i
		}
	}
	return n
}

func filler(n int) string { return strings.Repeat("0123456789abcdef", n/16+1)[:n] }

// opValues are the values that operations store: all types, and the sizes at
// which a value is kept in another way.
var opValues = []value.Value{
	value.Null(), value.Bool(true), value.Bool(false), value.Int(0), value.Int(-1 << 63), value.Int(1<<63 - 1),
	value.Float(0.1), value.DatetimeMicro(1), value.UUID(uuid.UUID{1, 2, 3}), value.String(""), value.String("a"),
	value.String("a\n"), value.String("\x00"), value.Bytes(nil), value.Bytes([]byte{0xff}), value.Bytes([]byte(filler(191))),
	value.Bytes([]byte(filler(192))), value.Bytes([]byte(filler(193))), value.String(filler(191)), value.String(filler(192)),
	value.String(filler(5000)), value.Bytes([]byte(filler(20000))), value.String(filler(70000)),
}

// opKeys are keys besides those that are there already.
var opKeys = []value.Value{
	value.String("a"), value.String("b"), value.String("c"), value.String("d"), value.String("e"),
	value.String("0"), value.String("1"), value.String("3"), value.String("11"), value.String("007"), value.String("0~"),
	value.Int(0), value.Int(1), value.Int(7), value.Null(), value.Bool(true), value.Float(1), value.String(""),
	value.UUID(uuid.UUID{4, 5}), value.Bytes([]byte("a")), value.String(filler(engine.MaxKeyBytes)), value.String(filler(900)),
}

// listKeys are keys for a list.
var listKeys = []value.Value{
	value.Int(0), value.Int(1), value.Int(2), value.Int(3), value.Int(5), value.Int(9), value.Int(-1), value.Float(1),
	value.String("a"), value.String("3~"), value.String("007"), value.Int(30), value.Int(engine.MaxListGap + 100),
}

// dir returns the id of the container number n, now and then one that does not
// exist.
func (m *model) dir(n int) engine.ID {
	all := m.containers()
	if n == 30 {
		return 1 << 40
	}
	return all[n%len(all)].id
}

// key returns the key number n for the container dir: mostly one that is there.
func (m *model) key(dir engine.ID, n int) value.Value {
	d, err := m.find(dir)
	if err != nil {
		return value.String("a")
	}
	other := opKeys
	if d.kind == value.KindList {
		other = listKeys
	}
	if keys := d.keys(); len(keys) > 0 && n%2 == 0 {
		return keys[n/2%len(keys)]
	}
	return other[n/2%len(other)]
}

// steps returns how many calls of Tx the operation consists of. Fill makes trees
// of several leaves.
func (o op) steps() int {
	if o.Name == "Fill" {
		return 20 + 10*(o.N&15)
	}
	return 1
}

// run applies one step of the operation to the store and to the model, and
// fails when their answers differ.
func (o op) run(tx *engine.Tx, m *model, step int) error {
	dir, dir2 := m.dir(o.Dir), m.dir(o.Dir2)
	var key, key2 value.Value
	if o.Name != "Fill" {
		key, key2 = m.key(dir, o.Key), m.key(dir2, o.Key2)
	}
	val := opValues[o.Val]
	bit := func(i int) bool { return o.Flags>>i&1 == 1 }
	po := engine.PutOptions{
		Declared: bit(0), NoEOL: bit(1), Link: bit(2) && val.Kind() == value.KindString,
		Exclusive: bit(3) && bit(1), KeepMtime: bit(3) && bit(2),
		New: engine.NewAttr{Mode: uint32(0o600 + o.N&7), UID: uint32(o.Key), GID: 7},
	}
	kinds := []value.Kind{value.KindDict, value.KindList, value.KindCollection}
	var got, want error
	switch o.Name {
	case "Put":
		_, got = tx.Put(dir, key, val, po)
		want = m.Put(dir, key, putContent(val, po), po)
	case "Fill":
		val := opValues[o.Val%18] // small ones
		key = value.String(filler(900)[:1+step%50] + strconv.Itoa(step*o.Key%97))
		if step%5 == 4 {
			got = tx.RemoveAll(dir, key)
			want = m.Remove(dir, key, true)
		} else {
			_, got = tx.Put(dir, key, val, po)
			want = m.Put(dir, key, putContent(val, po), po)
		}
	case "PutImage":
		kind := []value.Kind{value.KindInvalid, value.KindInvalid, value.KindString, value.KindBytes}[o.N&3]
		po.Link = false
		_, got = tx.PutImage(dir, key, kind, val.AsBytes(), po)
		want = m.Put(dir, key, imageContent(kind, val.AsBytes(), po), po)
	case "Make":
		kind := kinds[o.Flags%3]
		_, got = tx.Make(dir, key, kind, po.New)
		want = m.Make(dir, key, kind, po.New)
	case "Remove":
		got = tx.Remove(dir, key)
		want = m.Remove(dir, key, false)
	case "RemoveAll":
		got = tx.RemoveAll(dir, key)
		want = m.Remove(dir, key, true)
	case "Rename", "Exchange":
		ro := engine.RenameOptions{Exchange: o.Name == "Exchange", NoReplace: o.Name == "Rename" && bit(0) && bit(1)}
		got = tx.Rename(dir, key, dir2, key2, ro)
		want = m.Rename(dir, key, dir2, key2, ro)
	case "InsertAt":
		dir = m.aList(dir, o.Dir2)
		po.Exclusive, po.KeepMtime = false, false
		_, got = tx.InsertAt(dir, int64(o.N%8), val, po)
		want = m.InsertAt(dir, int64(o.N%8), putContent(val, po), po)
	case "DeleteAt":
		dir = m.aList(dir, o.Dir2)
		got = tx.DeleteAt(dir, int64(o.N%8))
		want = m.DeleteAt(dir, int64(o.N%8))
	case "CompactList":
		dir = m.aList(dir, o.Dir2)
		got = tx.CompactList(dir)
		want = m.CompactList(dir)
	case "Convert":
		if dir == engine.RootID {
			return nil
		}
		got = tx.Convert(dir, kinds[o.Flags%3])
		want = m.Convert(dir, kinds[o.Flags%3])
	case "SetAttr":
		if bit(3) {
			key = value.Value{}
		}
		mode, uid, mtime := uint32(o.N&0o777), uint32(o.Key2), int64(o.N-20)*1e9
		ch := engine.AttrChange{}
		if bit(0) {
			ch.Mode = &mode
		}
		if bit(1) {
			ch.UID, ch.GID = &uid, &uid
		}
		if bit(2) {
			ch.Mtime = &mtime
		}
		_, got = tx.SetAttr(dir, key, ch)
		want = m.SetAttr(dir, key, ch)
	case "SetXattr":
		if bit(2) && bit(3) {
			key = value.Value{}
		}
		name, data := "n"+strconv.Itoa(o.Key2%3), append([]byte{}, val.AsBytes()...)
		if len(data) > engine.MaxXattrBytes/4 || bit(0) && bit(1) && bit(2) {
			data = nil
		}
		got = tx.SetXattr(dir, key, name, data)
		want = m.SetXattr(dir, key, name, data)
	case "WriteImage":
		data := []byte(filler(o.N&7 + 1 + 300*(o.Flags&7)))
		off := []int64{-1, -1, 0, 0, 1, 100, 4090, 9000}[o.Key2&7]
		_, got = tx.WriteImage(dir, key, off, data)
		want = m.WriteImage(dir, key, off, data)
	case "TruncateImage":
		size := []int64{-1, 0, 1, 100, 192, 193, 4096, 9000}[o.N&7]
		_, got = tx.TruncateImage(dir, key, size)
		want = m.TruncateImage(dir, key, size)
	case "Declare":
		_, got = tx.Declare(dir, key, bit(0))
		want = m.Declare(dir, key, bit(0))
	}
	return sameError(got, want)
}

// aList returns a list, if there is one: the list number n.
func (m *model) aList(dir engine.ID, n int) engine.ID {
	var lists []engine.ID
	for _, c := range m.containers() {
		if c.kind == value.KindList {
			lists = append(lists, c.id)
		}
	}
	if len(lists) == 0 || n%8 == 7 {
		return dir
	}
	return lists[n%len(lists)]
}

// batch is one Update: operations, and how it ends.
type batch struct {
	Ops      []op
	Rollback bool // the function fails
	Conflict bool // another Update is published while the function runs
	Look     bool // the function reads everything at its end
	Collect  int  // afterwards: 0 nothing, 1 a quick collection and a look for leaks, 2 a full collection
	Reopen   bool
	Pin      int // afterwards, pin this image of those there are
}

// genBatches makes some dozens of batches.
func genBatches() *rapid.Generator[[]batch] {
	one := rapid.Custom(func(t *rapid.T) batch {
		rarely := func() bool { return uniform(t, 3) == 7 }
		return batch{
			Ops:      rapid.SliceOfN(genOp(), 1, 14).Draw(t, "ops"),
			Rollback: rarely(), Conflict: rarely(), Look: rarely(), Reopen: rarely(),
			Collect: []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2}[uniform(t, 4)],
			Pin:     uniform(t, 5) - 20,
		}
	})
	// A slice of slices, since rapid makes short ones.
	return rapid.Map(rapid.SliceOfN(rapid.SliceOfN(one, 1, 10), 1, 10), func(all [][]batch) []batch {
		return slices.Concat(all...)
	})
}

// world is a store and its model.
type world struct {
	s    *engine.Store
	m    *model
	ids  map[engine.ID]bool
	pins []pinned
	path string // of a store in a file
	held bool   // pins may have left garbage to the next full collection
}

type pinned struct {
	pin  *engine.ValuePin
	want []byte
}

// worldOptions are how stores of random tests are opened: checkpoints are made
// when the test says so.
var worldOptions = engine.Options{Commit: -1}

// newWorld makes an empty store in memory, or in a file in dir unless that is
// "".
func newWorld(dir string) (*world, error) {
	w := &world{ids: map[engine.ID]bool{}}
	var err error
	if dir == "" {
		w.s, err = engine.OpenMemory(16<<20, worldOptions)
	} else {
		w.path = filepath.Join(dir, fmt.Sprintf("%s.pongo", uuid.NewString()))
		if err = engine.Create(w.path, engine.CreateOptions{ChunkSize: engine.MinChunkSize}); err == nil {
			w.s, err = engine.Open(w.path, worldOptions)
		}
	}
	if err != nil {
		return nil, err
	}
	return w, w.s.View(func(tx *engine.Tx) error {
		e, err := tx.Stat(engine.RootID)
		w.m = newModel(engine.RootID, e.Attr)
		return err
	})
}

var errRollback = errors.New("rollback")

// apply runs ops on the store and on the model.
func (w *world) apply(tx *engine.Tx, ops []op) error {
	for i, o := range ops {
		for step := range o.steps() {
			err := o.run(tx, w.m, step)
			if err == nil {
				err = w.m.look(tx, w.ids)
			}
			if err != nil {
				return fmt.Errorf("operation %d, %v: %w", i, o, err)
			}
		}
	}
	return nil
}

// update runs one batch as an Update, on the store and on the model.
func (w *world) update(b batch) error {
	before := w.m
	tries, lost := 0, false
	err := w.s.Update(func(tx *engine.Tx) error {
		tries++
		w.m = before.clone()
		if err := w.apply(tx, b.Ops); err != nil {
			return err
		}
		if b.Look {
			if err := w.m.compare(tx); err != nil {
				return fmt.Errorf("inside the Update: %w", err)
			}
		}
		if b.Conflict && tries == 1 {
			mine := w.m
			w.m = before.clone()
			foreign := []op{{Name: "Put", Key: 1, Val: 4, Flags: 1}, {Name: "Make", Key: 3}}
			if err := w.s.Update(func(tx *engine.Tx) error { return w.apply(tx, foreign) }); err != nil {
				return fmt.Errorf("inner update: %w", err)
			}
			if err := w.s.View(func(now *engine.Tx) error {
				lost = now.Seq() != tx.Seq()
				return nil
			}); err != nil {
				return err
			}
			before, w.m = w.m, mine
		}
		if b.Rollback {
			return errRollback
		}
		return nil
	})
	if errors.Is(err, errRollback) || tries == 1 && lost {
		// That it lost and did not run again means that it had changed nothing.
		w.m = before
	}
	if errors.Is(err, errRollback) {
		return nil
	}
	return err
}

// compare reads the store as a View and compares it with the model.
func (w *world) compare() error {
	for _, p := range w.pins {
		got := make([]byte, len(p.want)+1)
		n, _ := p.pin.ReadAt(got, 0)
		if !bytes.Equal(got[:n], p.want) {
			return fmt.Errorf("pinned image is %.60q, should be %.60q", got[:n], p.want)
		}
	}
	if err := w.s.View(w.m.compare); err != nil {
		return err
	}
	st, err := w.s.Stats()
	if err != nil {
		return err
	}
	entries, containers := uint64(0), uint64(3) // meta, snapshots, orphans
	w.m.root.walk(func(n *node) {
		entries++
		if n.isContainer() {
			containers++
		}
	})
	if st.Entries != entries-1 || st.Containers != containers {
		return fmt.Errorf("statistics count %d entries and %d containers, there are %d and %d",
			st.Entries, st.Containers, entries-1, containers)
	}
	return nil
}

// pin pins the image number n.
func (w *world) pin(n int) error {
	var images []*node
	w.m.root.walk(func(e *node) {
		if e.hasImage() {
			images = append(images, e)
		}
	})
	if n < 0 || len(images) == 0 {
		return nil
	}
	e := images[n%len(images)]
	return w.s.View(func(tx *engine.Tx) error {
		entry, err := e.lookup(tx)
		if err != nil {
			return err
		}
		pin, err := tx.PinValue(&entry)
		if err == nil {
			w.pins = append(w.pins, pinned{pin, e.image})
		}
		return err
	})
}

func (w *world) unpin() error {
	var err error
	for _, p := range w.pins {
		err = errors.Join(err, p.pin.Close())
	}
	w.pins = nil
	return err
}

func (w *world) collect(how int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch how {
	case 1:
		if w.held {
			return gc.New(w.s).Quick()
		}
		// Nothing needs a full collection while nobody is killed.
		return w.noLeak()
	case 2:
		w.held = w.held || len(w.pins) > 0
		_, err := gc.New(w.s).Full(ctx)
		return err
	}
	return nil
}

// reopen closes a store that lives in a file and opens it again.
func (w *world) reopen() error {
	if w.path == "" {
		return nil
	}
	if err := w.unpin(); err != nil {
		return err
	}
	if err := w.s.Close(); err != nil {
		return err
	}
	s, err := engine.Open(w.path, worldOptions)
	w.s = s
	return err
}

// close checks the store once more, for leaks too, and closes it.
func (w *world) close() error {
	if err := w.unpin(); err != nil {
		return err
	}
	if err := w.collect(1); err != nil {
		return fmt.Errorf("before a full collection: %w", err)
	}
	if err := w.collect(2); err != nil {
		return err
	}
	if err := w.noLeak(); err != nil {
		return err
	}
	if err := w.compare(); err != nil {
		return fmt.Errorf("after the last collection: %w", err)
	}
	return w.s.Close()
}

// drop closes what a failure may have left open, so that a search for the
// smallest failing case does not fill the memory.
func (w *world) drop() {
	_ = w.unpin()
	_ = w.s.Close()
	if w.path != "" {
		_ = os.Remove(w.path)
		_ = os.Remove(w.path + "-shm")
	}
}

// noLeak verifies the store and demands that exactly what is reachable is
// allocated.
func (w *world) noLeak() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.unpin(); err != nil {
		return err
	}
	// The background of the store holds a pin now and then: that passes.
	const most = 50
	for try := 0; ; try++ {
		// What the last checkpoint holds goes with the next.
		if err := w.s.Sync(ctx); err != nil {
			return err
		}
		if err := gc.New(w.s).Quick(); err != nil {
			return err
		}
		live, err := w.s.Internals().Verify()
		if err != nil {
			return err
		}
		u := w.s.Internals().Heap().Usage()
		switch {
		case u.Objects == live.Objects && u.UsedBytes == live.Bytes:
			return nil
		case try == most:
			return fmt.Errorf("%d objects of %d bytes are allocated, %d of %d can be reached",
				u.Objects, u.UsedBytes, live.Objects, live.Bytes)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// play runs batches one after the other and checks after each.
func (w *world) play(batches []batch) error {
	for i, b := range batches {
		if err := w.update(b); err != nil {
			return fmt.Errorf("batch %d: %w", i, err)
		}
		if err := w.compare(); err != nil {
			return fmt.Errorf("after batch %d: %w", i, err)
		}
		if err := w.pin(b.Pin); err != nil {
			return fmt.Errorf("batch %d: pin: %w", i, err)
		}
		if err := w.collect(b.Collect); err != nil {
			return fmt.Errorf("batch %d: collection: %w", i, err)
		}
		if b.Reopen {
			if err := w.reopen(); err != nil {
				return fmt.Errorf("batch %d: reopen: %w", i, err)
			}
		}
	}
	return w.close()
}

// TestModelMemory and TestModelFile run random operations on a store and on a
// model of it in plain Go, several in an Update, some of which fail, some of
// which lose against another one. After each Update everything is read and
// compared; in the end the store is verified, and what is allocated must be
// what can be reached.
func TestModelMemory(t *testing.T) {
	checkRapid(t, 50, func(rt *rapid.T) {
		batches := genBatches().Draw(rt, "batches")
		w, err := newWorld("")
		require.NoError(rt, err)
		rt.Cleanup(w.drop)
		require.NoError(rt, w.play(batches))
	})
}

func TestModelFile(t *testing.T) {
	dir := t.TempDir()
	checkRapid(t, 6, func(rt *rapid.T) {
		batches := genBatches().Draw(rt, "batches")
		w, err := newWorld(dir)
		require.NoError(rt, err)
		rt.Cleanup(w.drop)
		require.NoError(rt, w.play(batches))
	})
}
