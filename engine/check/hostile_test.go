package check_test

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/check"
	"pongofs/engine/container"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// budget is how many damaged stores a test looks at; PONGOFS_HOSTILE=N for
// more (make hostile).
func budget(t *testing.T, few int) int {
	if s := os.Getenv("PONGOFS_HOSTILE"); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		return n
	}
	return few
}

// within fails the test when fn takes too long.
func within(t *testing.T, d time.Duration, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("%s takes more than %v", what, d)
	}
}

// tolerable reports whether err is what a damaged store may give.
func tolerable(err error) bool {
	return errors.Is(err, engine.ErrCorrupt) || errors.Is(err, engine.ErrNotStore) || errors.Is(err, engine.ErrVersion) ||
		errors.Is(err, engine.ErrIO) || errors.Is(err, engine.ErrNotFound) || errors.Is(err, io.EOF)
}

// readAll reads everything in a store that can be read and compares scalars
// with want by their ids, unless that is nil. It reads at most so many entries:
// a forged store may have a list of 2^48 gaps or a value of as many zeros.
func readAll(t *testing.T, s *engine.Store, want map[string]string) {
	const most = 200_000
	byID := map[string]string{}
	for _, v := range want {
		id, rest := essenceOf(v)
		byID[id] = rest
	}
	n := 0
	err := s.View(func(tx *engine.Tx) error {
		stack := []engine.ID{engine.RootID, engine.MetaID, engine.OrphansID}
		for len(stack) > 0 && n < most {
			id := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			var entries []engine.Entry
			err := tx.Scan(id, value.Value{}, true, func(e engine.Entry) bool {
				n++
				entries = append(entries, e)
				return n < most
			})
			if err != nil && !tolerable(err) {
				return err
			}
			for i := range entries {
				e := &entries[i]
				if e.IsContainer() {
					stack = append(stack, e.ID)
					continue
				}
				text, err := scalarText(tx, id, e)
				if err != nil {
					if !tolerable(err) {
						return err
					}
					continue
				}
				gotID, got := essenceOf(text)
				if was, ok := byID[gotID]; want != nil && (!ok || was != got) {
					t.Errorf("entry %v is %s, was %s", e.Key, got, was)
				}
			}
		}
		return nil
	})
	if err != nil && !tolerable(err) {
		t.Errorf("reading a damaged store: %v", err)
	}
}

// tryStore opens, reads, checks and rewrites a store that may be damaged in
// any way. With want, whatever is read must be right.
func tryStore(t *testing.T, path string, want map[string]string) (rep *check.Report) {
	t.Helper()
	// Without writing; small values are read without their checksums here.
	s, err := engine.Open(path, engine.Options{ReadOnly: true})
	if err == nil {
		readAll(t, s, nil)
		require.NoError(t, s.Close())
	} else {
		require.True(t, tolerable(err), "%v", err)
	}

	to := path + ".to"
	defer os.Remove(to)
	off, err := engine.OpenOffline(path, true, true)
	if err != nil {
		require.True(t, tolerable(err), "%v", err)
		return nil
	}
	rep = &check.Report{}
	check.Pages(off.File(), off.Size(), false, rep)
	if v := off.Versions(); len(v) > 0 {
		require.NoError(t, check.Version(off, v[0].Root, check.Options{NextID: v[0].NextID}, rep))
		f, err := os.Create(to)
		require.NoError(t, err)
		w, err := check.NewWriter(f, off.Header())
		require.NoError(t, err)
		err = check.Rewrite(off, v[0].Root, check.Options{NextID: v[0].NextID}, &check.Report{}, w)
		require.NoError(t, w.Close())
		if err == nil {
			after := look(t, to)
			require.True(t, after.Clean(), "after a rewrite: %+v\nbefore: %+v", after.Findings, rep.Findings)
			if want != nil {
				requireSubset(t, want, dumpFile(t, to))
			}
			_ = os.Remove(to + "-shm")
		} else {
			require.True(t, tolerable(err), "%v", err)
		}
	}
	require.NoError(t, off.Close())

	// For writing: everything is verified first.
	s, err = engine.Open(path, engine.Options{Commit: -1})
	if err == nil {
		readAll(t, s, want)
		_ = s.Close()
	} else {
		require.True(t, tolerable(err), "%v", err)
	}
	if err := os.Remove(path + "-shm"); err != nil {
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	return rep
}

// TestBitFlips flips one bit of what is in use in a store, again and again:
// whoever reads it gets an error or what was there.
func TestBitFlips(t *testing.T) {
	path, want := newStore(t)
	live := liveSet(t, path)
	require.NoError(t, os.Remove(path+"-shm"))
	image, err := os.ReadFile(path)
	require.NoError(t, err)
	var places []int // where a byte means something
	for i := range layout.CheckpointPage(4) {
		places = append(places, int(i))
	}
	for kind := layout.KindRoot; kind <= layout.KindBlock; kind++ {
		for _, o := range objects(image, live, kind) {
			weight := 1
			if kind != layout.KindBlock && kind != layout.KindLeaf {
				weight = 8 // there are few of these
			}
			for range weight {
				for i := range o.b {
					places = append(places, o.ref+i)
				}
			}
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	silent := 0
	for range budget(t, 40) {
		at, bit := places[random.IntN(len(places))], byte(1)<<random.IntN(8)
		image[at] ^= bit
		require.NoError(t, os.WriteFile(path, image, 0o600))
		image[at] ^= bit
		within(t, 30*time.Second, "a flipped bit", func() {
			rep := tryStore(t, path, want)
			if at >= layout.ReservedSlabs*layout.SlabSize && (rep == nil || rep.Clean()) {
				silent++
				t.Errorf("check finds nothing wrong with byte %d flipped by %#x", at, bit)
			}
		})
		if t.Failed() {
			t.Fatalf("byte %d flipped by %#x", at, bit)
		}
	}
}

// TestManyBitFlips flips many bits at once, and cuts the file.
func TestManyBitFlips(t *testing.T) {
	path, _ := newStore(t)
	require.NoError(t, os.Remove(path+"-shm"))
	image, err := os.ReadFile(path)
	require.NoError(t, err)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range budget(t, 40) / 4 {
		b := append([]byte(nil), image...)
		for range 1 << random.IntN(12) {
			b[random.IntN(len(b))] ^= 1 << random.IntN(8)
		}
		if random.IntN(4) == 0 {
			b = b[:random.IntN(len(b))]
		}
		require.NoError(t, os.WriteFile(path, b, 0o600))
		within(t, 30*time.Second, "a store with many flipped bits", func() { tryStore(t, path, nil) })
		if t.Failed() {
			t.FailNow()
		}
	}
}

// forger makes stores that are what no program writes, with right checksums.
type forger struct {
	t testing.TB
	*check.Writer
	ids  container.IDTable
	root layout.Root
}

// forge makes a store at path; edit puts what it likes into the containers, of
// which those that it leaves out are made empty.
func forge(t testing.TB, edit func(f *forger)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "forged.pongo")
	file, err := os.Create(path)
	require.NoError(t, err)
	w, err := check.NewWriter(file, layout.Header{UUID: [16]byte{1}, ChunkSize: engine.MinChunkSize})
	require.NoError(t, err)
	f := &forger{t: t, Writer: w, root: layout.Root{Entries: 1, Containers: 5}}
	f.SetBirth(7)
	f.root.Seq = 7
	edit(f)
	for id := uint64(1); id <= 4; id++ {
		kind := value.KindDict
		if id == 1 {
			kind = value.KindCollection
		}
		if ref, err := f.ids.Get(w, id); err == nil && ref == layout.Nil {
			f.put(&container.Record{ID: id, Kind: kind, Mode: 0o755})
		}
	}
	if f.root.IDTable == layout.Nil {
		f.root.IDTable, f.root.IDHeight = f.ids.Ref, f.ids.Height
	}
	ref, obj, err := f.Alloc(layout.KindRoot, layout.RootSize)
	require.NoError(t, err)
	f.root.Encode(obj)
	require.NoError(t, w.Finish(ref, f.root.Seq, 1000))
	require.NoError(t, w.Close())
	return path
}

// put writes a container record with whatever it says.
func (f *forger) put(rec *container.Record) {
	f.t.Helper()
	ref, err := container.EncodeRecord(f.Writer, layout.Nil, rec)
	require.NoError(f.t, err)
	f.ids, err = f.ids.Put(f.Writer, rec.ID, ref)
	require.NoError(f.t, err)
}

// dir returns a record whose body holds the items.
func (f *forger) dir(id, parent uint64, kind value.Kind, items ...container.Item) *container.Record {
	f.t.Helper()
	b := container.NewBuilder(f.Writer)
	rec := &container.Record{ID: id, Parent: parent, Kind: kind, Mode: 0o755}
	if len(items) > 0 {
		_, _, err := b.Add(items)
		require.NoError(f.t, err)
	}
	var err error
	rec.Body, err = b.Tree()
	require.NoError(f.t, err)
	rec.Elements = rec.Body.Count
	for i := range items {
		if items[i].Kind.IsContainer() {
			rec.Subdirs++
		}
	}
	return rec
}

func (f *forger) blob(n int) layout.Ref {
	ref, err := container.BlobCreate(f.Writer, 0, make([]byte, n))
	require.NoError(f.t, err)
	return ref
}

func item(key string, id uint64, kind value.Kind) container.Item {
	it := container.Item{ID: id, Kind: kind, Mode: 0o644}
	if key != "" {
		it.Key = value.AppendKey(nil, value.String(key))
	}
	return it
}

// rootWith makes the root container hold one more thing.
func (f *forger) rootWith(items ...container.Item) {
	f.put(f.dir(1, 0, value.KindCollection, items...))
}

// TestForgedStructures looks at stores with structures that have no end or no
// sense.
func TestForgedStructures(t *testing.T) {
	tests := []struct {
		name string
		edit func(f *forger)
	}{
		{"container in itself", func(f *forger) {
			f.put(f.dir(16, 16, value.KindDict, item("x", 16, value.KindDict)))
			f.rootWith(item("a", 16, value.KindDict))
		}},
		{"cycle of two containers", func(f *forger) {
			f.put(f.dir(16, 17, value.KindDict, item("x", 17, value.KindDict)))
			f.put(f.dir(17, 16, value.KindDict, item("x", 16, value.KindDict)))
			f.rootWith(item("a", 3, value.KindInt))
		}},
		{"root in the root", func(f *forger) { f.rootWith(item("a", 1, value.KindCollection)) }},
		{"container that does not exist", func(f *forger) { f.rootWith(item("a", 1<<63, value.KindDict)) }},
		{"two entries of one id", func(f *forger) {
			f.rootWith(item("a", 16, value.KindInt), item("b", 16, value.KindInt))
		}},
		{"id beyond the next", func(f *forger) { f.rootWith(item("a", 1<<40, value.KindInt)) }},
		{"inner nodes that share their children", func(f *forger) {
			rec := f.dir(16, 1, value.KindList, item("", 20, value.KindInt))
			rec.Body = f.shared(rec.Body, 31)
			rec.Elements = rec.Body.Count
			f.put(rec)
			f.rootWith(item("a", 16, value.KindList))
		}},
		{"inner nodes 100 000 deep", func(f *forger) {
			rec := f.dir(16, 1, value.KindList, item("", 20, value.KindInt))
			for i := range 100_000 {
				leaf := f.dir(0, 0, value.KindList, item("", uint64(i)+1000, value.KindInt)).Body
				rec.Body = f.inner(leaf, rec.Body)
			}
			rec.Elements = rec.Body.Count
			f.put(rec)
			f.rootWith(item("a", 16, value.KindList))
		}},
		{"leaf inside of a block", func(f *forger) {
			rec := f.dir(16, 1, value.KindDict, item("x", 20, value.KindInt))
			leaf, err := f.Object(rec.Body.Ref, layout.KindLeaf)
			require.NoError(f.t, err)
			layout.Seal(leaf)
			blob := f.blob(4096)
			block, err := f.Object(blob, layout.KindBlock)
			require.NoError(f.t, err)
			copy(block[layout.BlockDataOff:], leaf)
			rec.Body.Ref = blob + layout.BlockDataOff
			f.put(rec)
			value := item("v", 21, value.KindBytes)
			value.Blob, value.Size = blob, 4096
			f.rootWith(item("a", 16, 10), value)
		}},
		{"blob of 2^48 zeros", func(f *forger) {
			it := item("a", 16, value.KindBytes)
			it.Size = 1 << 48
			f.rootWith(it)
		}},
		{"blob longer than its blocks may be", func(f *forger) {
			it := item("a", 16, value.KindBytes)
			it.Blob, it.Size = f.blob(200), 1<<47
			f.rootWith(it)
		}},
		{"blob node that is its own child", func(f *forger) {
			it := item("a", 16, value.KindBytes)
			it.Blob, it.Size = f.blob(3*8160), 3*8160
			obj, err := f.Object(it.Blob, layout.KindBlobNode)
			require.NoError(f.t, err)
			binary.LittleEndian.PutUint64(obj[layout.BlobRefsOff:], uint64(it.Blob))
			f.rootWith(it)
		}},
		{"xattrs of 4 GiB", func(f *forger) {
			it := item("a", 16, value.KindInt)
			it.Xattr, it.XattrSize = f.blob(100), 1<<32-1
			f.rootWith(it)
		}},
		{"xattrs that are none", func(f *forger) {
			it := item("a", 16, value.KindInt)
			it.Xattr, it.XattrSize = f.blob(101), 101
			f.rootWith(it)
		}},
		{"list of 2^48 gaps", func(f *forger) {
			rec := f.dir(16, 1, value.KindList, container.Item{Kind: container.KindGap, Size: 1<<48 - 2}, item("", 20, value.KindInt))
			rec.Elements = 1
			f.put(rec)
			f.rootWith(item("a", 16, value.KindList))
		}},
		{"counts of 2^63", func(f *forger) {
			rec := f.dir(16, 1, value.KindDict, item("x", 20, value.KindInt))
			rec.Body.Count, rec.Elements, rec.Subdirs = 1<<63, 1<<63, 1<<63
			f.put(rec)
			f.rootWith(item("a", 16, value.KindDict))
			f.root.Entries, f.root.Containers = 1<<63, 1<<63
		}},
		{"weight of 2^32-1", func(f *forger) {
			rec := f.dir(16, 1, value.KindDict, item("x", 20, value.KindInt))
			rec.Body.Weight = 1<<32 - 1
			f.put(rec)
			f.rootWith(item("a", 16, value.KindDict))
		}},
		{"id table of 13 levels", func(f *forger) {
			f.put(f.dir(1<<62+1, 1, value.KindDict))
			f.rootWith(item("a", 1<<62+1, value.KindDict))
		}},
		{"id table that is a leaf", func(f *forger) {
			f.root.IDTable, f.root.IDHeight = f.dir(16, 1, value.KindDict, item("x", 20, value.KindInt)).Body.Ref, 3
		}},
		{"id table of height 2^31", func(f *forger) {
			f.rootWith()
			f.root.IDTable, f.root.IDHeight = f.ids.Ref, 1<<31
		}},
		{"containers 100 000 deep", func(f *forger) {
			const n = 100_000
			for i := uint64(0); i < n; i++ {
				var items []container.Item
				if i < n-1 {
					items = []container.Item{item("x", 17+i, value.KindDict)}
				}
				parent := 15 + i
				if i == 0 {
					parent = 1
				}
				f.put(f.dir(16+i, parent, value.KindDict, items...))
			}
			f.rootWith(item("a", 16, value.KindDict))
		}},
		{"snapshot outside of its container", func(f *forger) {
			it := item("a", 16, container.KindRootRef)
			it.Blob = f.dir(16, 1, value.KindDict, item("x", 20, value.KindInt)).Body.Ref
			f.rootWith(it)
		}},
		{"snapshot that is a leaf", func(f *forger) {
			it := item("a", 16, container.KindRootRef)
			it.Blob = f.dir(16, 1, value.KindDict, item("x", 20, value.KindInt)).Body.Ref
			f.put(f.dir(3, 0, value.KindDict, it))
		}},
		{"key that is none", func(f *forger) {
			it := item("", 16, value.KindInt)
			it.Key = []byte{200, 1, 2}
			f.rootWith(it)
		}},
		{"list with keys, dict without", func(f *forger) {
			f.put(f.dir(16, 1, value.KindList, item("x", 20, value.KindInt)))
			f.put(f.dir(17, 1, value.KindDict, item("", 21, value.KindInt)))
			f.rootWith(item("a", 16, value.KindList), item("b", 17, value.KindDict))
		}},
		{"the root is a list", func(f *forger) { f.put(f.dir(1, 0, value.KindList, item("", 16, value.KindInt))) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := forge(t, test.edit)
			within(t, time.Minute, test.name, func() {
				rep := tryStore(t, path, nil)
				require.NotNil(t, rep)
				require.False(t, rep.Clean(), "check finds nothing wrong")
				require.LessOrEqual(t, len(rep.Findings), 1000)
			})
		})
	}
}

// inner makes an inner node of a list over two bodies.
func (f *forger) inner(left, right container.Tree) container.Tree {
	f.t.Helper()
	ref, obj, err := f.Alloc(layout.KindInner, layout.InnerSepOff)
	require.NoError(f.t, err)
	binary.LittleEndian.PutUint64(obj[layout.InnerLeftOff:], uint64(left.Ref))
	binary.LittleEndian.PutUint64(obj[layout.InnerRightOff:], uint64(right.Ref))
	binary.LittleEndian.PutUint64(obj[layout.InnerLeftCountOff:], left.Count)
	binary.LittleEndian.PutUint32(obj[layout.InnerLeftWeightOff:], left.Weight)
	return container.Tree{Ref: ref, Weight: left.Weight + right.Weight, Count: left.Count + right.Count}
}

// shared makes n levels of inner nodes, each with one child twice: 2^n leaves
// that are all the same.
func (f *forger) shared(t container.Tree, n int) container.Tree {
	for range n {
		t = f.inner(t, t)
	}
	return t
}
