package check_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/check"
	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// newStore makes a store with something of everything, in chunks of 2 MiB, and
// returns its path and what is in it.
func newStore(t testing.TB) (path string, want map[string]string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.pongo")
	require.NoError(t, engine.Create(path, engine.CreateOptions{ChunkSize: engine.MinChunkSize, AnyFS: true}))
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	fillStore(t, s)
	require.NoError(t, s.View(func(tx *engine.Tx) error {
		want = dump(t, tx)
		return nil
	}))
	require.NoError(t, s.Close())
	return path, want
}

func fillStore(t testing.TB, s *engine.Store) {
	t.Helper()
	attr := engine.NewAttr{Mode: 0o640, UID: 7, GID: 8}
	str := func(n int) value.Value { return value.String(strings.Repeat("0123456789abcdef", n/16+1)[:n]) }
	require.NoError(t, s.Update(func(tx *engine.Tx) error {
		put := func(dir engine.ID, key string, v value.Value, o engine.PutOptions) {
			o.New = attr
			_, err := tx.Put(dir, value.String(key), v, o)
			require.NoError(t, err)
		}
		kinds, err := tx.Make(engine.RootID, value.String("kinds"), value.KindDict, attr)
		require.NoError(t, err)
		for name, v := range map[string]value.Value{
			"null": value.Null(), "yes": value.Bool(true), "int": value.Int(-1 << 63), "float": value.Float(1.5),
			"time": value.Datetime(time.Unix(1, 5000)), "uuid": value.UUID(uuid.UUID{1, 2}), "bytes": value.Bytes([]byte{0, 1}),
			"text": value.String("hello"),
		} {
			put(kinds.ID, name, v, engine.PutOptions{Declared: true})
			put(kinds.ID, name+"-guess", v, engine.PutOptions{NoEOL: name == "int" || name == "float"})
		}
		put(kinds.ID, "link", value.String("text"), engine.PutOptions{Link: true})
		for _, n := range []int{192, 193, 8159, 8160, 8161, 100_000, 1_000_000} {
			put(kinds.ID, fmt.Sprint("large", n), str(n), engine.PutOptions{})
		}
		require.NoError(t, tx.SetXattr(kinds.ID, value.String("text"), "small", []byte("x")))
		require.NoError(t, tx.SetXattr(kinds.ID, value.String("text"), "large", []byte(strings.Repeat("y", 20_000))))
		require.NoError(t, tx.SetXattr(kinds.ID, value.Value{}, "dir", []byte("z")))

		many, err := tx.Make(engine.RootID, value.String("many"), value.KindCollection, attr)
		require.NoError(t, err)
		for i := range 2000 {
			put(many.ID, fmt.Sprintf("key%05d", i*7919%2000), value.Int(int64(i)), engine.PutOptions{})
		}
		for i := range 30 {
			_, err := tx.Put(many.ID, value.Int(int64(i)), str(i*3), engine.PutOptions{})
			require.NoError(t, err)
		}

		list, err := tx.Make(engine.RootID, value.String("list"), value.KindList, attr)
		require.NoError(t, err)
		for i := range int64(700) {
			_, err := tx.Put(list.ID, value.Int(i), value.Int(i), engine.PutOptions{New: attr})
			require.NoError(t, err)
		}
		for _, i := range []int64{0, 5, 6, 7, 300, 301, 698} {
			require.NoError(t, tx.Remove(list.ID, value.Int(i)))
		}
		_, err = tx.Put(list.ID, value.Int(5000), str(40), engine.PutOptions{})
		require.NoError(t, err)
		put(list.ID, "beside", str(300), engine.PutOptions{})

		at := many.ID
		for i := range 40 {
			sub, err := tx.Make(at, value.String(fmt.Sprint("sub", i)), value.KindDict, attr)
			require.NoError(t, err)
			put(sub.ID, "leaf", value.Int(int64(i)), engine.PutOptions{})
			at = sub.ID
		}
		_, err = tx.Put(engine.MetaID, value.String("commit"), value.String("1s"), engine.PutOptions{})
		require.NoError(t, err)
		return nil
	}))
	// More versions, so that the file has free space and old objects in it.
	for i := range 50 {
		require.NoError(t, s.Update(func(tx *engine.Tx) error {
			_, err := tx.Put(engine.RootID, value.String("again"), str(i*100), engine.PutOptions{})
			return err
		}))
	}
}

// dump returns everything that a version holds, by path.
func dump(t testing.TB, tx *engine.Tx) map[string]string {
	t.Helper()
	m := map[string]string{}
	var walk func(path string, e engine.Entry)
	walk = func(path string, e engine.Entry) {
		xattrs, err := tx.Xattrs(e.ID, value.Value{})
		require.NoError(t, err)
		m[path] = fmt.Sprintf("%d %v %+v %v subdirs %d len %d", e.ID, e.Kind, e.Attr, xattrs, e.Subdirs, e.Len)
		err = tx.Scan(e.ID, value.Value{}, true, func(c engine.Entry) bool {
			at := path + "/" + fmt.Sprint(c.Key)
			if c.IsContainer() {
				full, err := tx.Stat(c.ID)
				require.NoError(t, err)
				walk(at, full)
				return true
			}
			var err error
			m[at], err = scalarText(tx, e.ID, &c)
			require.NoError(t, err)
			return true
		})
		require.NoError(t, err, path)
	}
	for _, id := range []engine.ID{engine.RootID, engine.MetaID, engine.OrphansID} {
		e, err := tx.Stat(id)
		require.NoError(t, err)
		walk(fmt.Sprint(id), e)
	}
	return m
}

// dumpFile is dump of a store file.
func dumpFile(t testing.TB, path string) map[string]string {
	t.Helper()
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	var m map[string]string
	require.NoError(t, s.View(func(tx *engine.Tx) error {
		m = dump(t, tx)
		return nil
	}))
	require.NoError(t, s.Close())
	return m
}

// look checks a store file that nobody has open.
func look(t testing.TB, path string) *check.Report {
	t.Helper()
	off, err := engine.OpenOffline(path, false, true)
	require.NoError(t, err)
	rep := &check.Report{}
	check.Pages(off.File(), off.Size(), false, rep)
	rep.Completed(off.Completed())
	if v := off.Versions(); len(v) > 0 {
		require.NoError(t, check.Version(off, v[0].Root, check.Options{
			NextID: v[0].NextID, Allocated: off.Allocated(), AllocatedObjects: off.AllocatedObjects(),
		}, rep))
	}
	require.NoError(t, off.Close())
	return rep
}

// rewriteFile writes what can be read of a store's newest version to another
// file.
func rewriteFile(t testing.TB, path, to string) (*check.Report, error) {
	t.Helper()
	off, err := engine.OpenOffline(path, true, true)
	require.NoError(t, err)
	defer func() { require.NoError(t, off.Close()) }()
	v := off.Versions()
	require.NotEmpty(t, v)
	f, err := os.Create(to)
	require.NoError(t, err)
	w, err := check.NewWriter(f, off.Header())
	require.NoError(t, err)
	rep := &check.Report{}
	err = check.Rewrite(off, v[0].Root, check.Options{NextID: v[0].NextID}, rep, w)
	require.NoError(t, w.Close())
	return rep, err
}

// object is an object of the newest version of a store file.
type object struct {
	ref  int
	kind layout.Kind
	b    []byte // in the file image
}

// objects finds the live objects of a kind in the image of a store.
func objects(b []byte, live func(ref layout.Ref) bool, kind layout.Kind) []object {
	var all []object
	for off := layout.ReservedSlabs * layout.SlabSize; off < len(b); off += layout.Granule {
		n := layout.ObjectGranules(b[off:]) * layout.Granule
		if layout.ObjectKind(b[off:]) == kind && n > 0 && off+n <= len(b) && live(layout.Ref(off)) {
			all = append(all, object{off, kind, b[off : off+n]})
		}
	}
	return all
}

// fillStoreAgain changes a store that fillStore has filled.
func fillStoreAgain(t testing.TB, s *engine.Store) {
	t.Helper()
	for i := range 200 {
		require.NoError(t, s.Update(func(tx *engine.Tx) error {
			many, err := tx.Lookup(engine.RootID, value.String("many"))
			if err != nil {
				return err
			}
			_, err = tx.Put(many.ID, value.String(fmt.Sprintf("key%05d", i*37)), value.String("new"), engine.PutOptions{})
			return err
		}))
	}
}

// requireSubset requires that everything in got was in want, found by its id,
// with the same value. Counts of containers and lost attributes apart.
func requireSubset(t testing.TB, want, got map[string]string) {
	t.Helper()
	byID := map[string]string{}
	for _, s := range want {
		id, rest := essenceOf(s)
		byID[id] = rest
	}
	missing := len(byID)
	for path, s := range got {
		id, rest := essenceOf(s)
		if strings.HasSuffix(path, `"lost+found"`) {
			continue
		}
		was, ok := byID[id]
		require.True(t, ok, path)
		missing--
		// The containers that every store has are made anew when they are lost.
		if was != rest && !(len(id) == 1 && id < "5") {
			require.Equal(t, was, rest, path)
		}
	}
	t.Logf("%d of %d entries are lost", missing, len(byID))
}

// scalarText says all there is to say about a scalar, its id first and its
// extended attributes last.
func scalarText(tx *engine.Tx, dir engine.ID, e *engine.Entry) (string, error) {
	text := fmt.Sprint(e.Scalar)
	if e.HasImage() {
		b := make([]byte, min(e.Size, 1<<24))
		if _, err := tx.ReadImage(e, b, 0); err != nil {
			return "", err
		}
		text = fmt.Sprintf("%x", sha256.Sum256(b))
	}
	xattrs, err := tx.Xattrs(dir, e.Key)
	return fmt.Sprintf("%d %v %+v %v%v%v%v inc %d %s %v", e.ID, e.Kind, e.Attr,
		e.Declared, e.NoEOL, e.Link, e.Raw, e.Incarnation, text, xattrs), err
}

// essenceOf cuts the id off a text, and drops the extended attributes.
func essenceOf(s string) (id, rest string) {
	id, rest, _ = strings.Cut(s, " ")
	if i := strings.LastIndex(rest, " map["); i >= 0 {
		rest = rest[:i]
	}
	return id, rest
}
