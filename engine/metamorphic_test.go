package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pongofs/engine"
	"pongofs/engine/value"
)

// variant is a way to run the same operations. What is read afterwards must not
// depend on it.
type variant struct {
	file    bool // in a file, else on the Go heap
	collect int  // after each Update, as world.collect has it
	reopen  bool // close and open the store after each Update
}

func (v variant) String() string {
	return fmt.Sprintf("file %v, collection %d, reopen %v", v.file, v.collect, v.reopen)
}

var variants = []variant{
	{},
	{collect: 2},
	{file: true},
	{file: true, collect: 1},
	{file: true, collect: 2},
	{file: true, reopen: true},
	{file: true, collect: 2, reopen: true},
}

// TestMetamorphic runs the same random operations with a collection never or
// after each Update, with the store closed never or after each, in memory and
// in a file. What a reader sees after each Update must be the same, ids and
// times aside.
func TestMetamorphic(t *testing.T) {
	dir := t.TempDir()
	checkRapid(t, 3, func(rt *rapid.T) {
		batches := genBatches().Draw(rt, "batches")
		var want []string
		for i, v := range variants {
			got, err := v.run(dir, batches)
			require.NoError(rt, err, "%v", v)
			if i == 0 {
				want = got
			}
			for n := range want {
				require.Equal(rt, want[n], got[n], "after batch %d: %v differs from %v", n, v, variants[0])
			}
		}
	})
}

// run returns what there is to read after each batch.
func (v variant) run(dir string, batches []batch) ([]string, error) {
	if !v.file {
		dir = ""
	}
	w, err := newWorld(dir)
	if err != nil {
		return nil, err
	}
	defer w.drop()
	var dumps []string
	for i, b := range batches {
		if err := w.update(b); err != nil {
			return nil, fmt.Errorf("batch %d: %w", i, err)
		}
		if err := w.collect(v.collect); err != nil {
			return nil, err
		}
		if v.reopen {
			if err := w.reopen(); err != nil {
				return nil, err
			}
		}
		var d strings.Builder
		if err := w.s.View(func(tx *engine.Tx) error { return dumpTree(tx, &d, engine.RootID, "") }); err != nil {
			return nil, fmt.Errorf("after batch %d: %w", i, err)
		}
		dumps = append(dumps, d.String())
	}
	return dumps, w.collect(2)
}

// dumpTree writes everything below a container but ids and times.
func dumpTree(tx *engine.Tx, d *strings.Builder, id engine.ID, indent string) error {
	c, err := tx.Stat(id)
	if err != nil {
		return err
	}
	xattrs, err := tx.Xattrs(id, value.Value{})
	if err != nil {
		return err
	}
	fmt.Fprintf(d, "%s %o %d:%d, %d entries, length %d, %d containers", c.Kind, c.Attr.Mode, c.Attr.UID, c.Attr.GID,
		c.Count, c.Len, c.Subdirs)
	dumpTreeXattrs(d, xattrs)
	var entries []engine.Entry
	if err := tx.Scan(id, value.Value{}, false, func(e engine.Entry) bool {
		entries = append(entries, e)
		return true
	}); err != nil {
		return err
	}
	for _, e := range entries {
		fmt.Fprintf(d, "%s%v: ", indent, e.Key)
		if e.IsContainer() {
			if err := dumpTree(tx, d, e.ID, indent+"\t"); err != nil {
				return err
			}
			continue
		}
		v, err := tx.Value(&e)
		if err != nil {
			return err
		}
		xattrs, err := tx.Xattrs(id, e.Key)
		if err != nil {
			return err
		}
		fmt.Fprintf(d, "%v %o %d:%d, declared %v, no eol %v, link %v, raw %v", v, e.Attr.Mode, e.Attr.UID, e.Attr.GID,
			e.Declared, e.NoEOL, e.Link, e.Raw)
		dumpTreeXattrs(d, xattrs)
	}
	return nil
}

func dumpTreeXattrs(d *strings.Builder, m map[string][]byte) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(d, ", %s=%q", name, m[name])
	}
	d.WriteByte('\n')
}
