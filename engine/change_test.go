package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// pathText writes a path the way the tests compare it.
func pathText(steps []engine.Step) string {
	var b strings.Builder
	for _, s := range steps {
		in := "keyed"
		if s.In == value.KindList {
			in = "list"
		}
		fmt.Fprintf(&b, "/%s:%v", in, s.Key)
	}
	return b.String()
}

// placed is an entry with everything that says where and what it is.
type placed struct {
	path   string
	parent engine.ID
	key    value.Value
	kind   value.Kind
	text   string
}

// place is what tells whether an entry was moved.
func (p *placed) place() string {
	if p.key.Kind() == value.KindInt { // of an element: names are digits
		return fmt.Sprintf("%d %d", p.parent, p.key.AsInt())
	}
	return fmt.Sprintf("%d %s", p.parent, p.key.AsString())
}

// readPlaced reads an entry and all below it, by their ids.
func readPlaced(t *testing.T, tx *engine.Tx, at *engine.Entry, path string, all map[engine.ID]placed) {
	t.Helper()
	require.NoError(t, tx.Scan(at.ID, value.Value{}, true, func(e engine.Entry) bool {
		p := placed{
			path: path + pathText([]engine.Step{{In: at.Kind, Key: e.Key}}), parent: at.ID, key: e.Key, kind: e.Kind,
		}
		if e.IsContainer() {
			readPlaced(t, tx, &e, p.path, all)
		} else {
			v, err := tx.Value(&e)
			require.NoError(t, err)
			p.text = v.String()
		}
		all[e.ID] = p
		return true
	}))
}

// wantChanges compares two versions that were read whole.
func wantChanges(a, b map[engine.ID]placed) []string {
	var want []string
	replaced := map[string]engine.ID{} // scalars that are gone, by their place
	for id, x := range a {
		if _, stays := b[id]; !stays && !x.kind.IsContainer() {
			replaced[x.place()] = id
		}
	}
	merged := map[engine.ID]bool{}
	for id, y := range b {
		x, was := a[id]
		switch before, hit := replaced[y.place()]; {
		case !was && hit && !y.kind.IsContainer():
			merged[before] = true
			want = append(want, "change "+y.path)
			continue
		case !was:
			want = append(want, "add "+y.path)
			continue
		case x.place() != y.place():
			want = append(want, "move "+x.path+" "+y.path)
		}
		if x.kind != y.kind || x.text != y.text {
			want = append(want, "change "+y.path)
		}
	}
	for id, x := range a {
		if _, stays := b[id]; !stays && !merged[id] {
			want = append(want, "remove "+x.path)
		}
	}
	slices.Sort(want)
	return want
}

// gotChanges collects what the engine says, but for attributes, and checks the
// entries and the order.
func gotChanges(t *testing.T, d *engine.Differ, old, now *engine.Entry) []string {
	t.Helper()
	got := []string{}
	removals := true
	seen := map[string]bool{}
	for c, err := range d.ChangesBelow(old, now) {
		require.NoError(t, err)
		line := c.Kind.String()
		if c.Kind == engine.ChangeMove {
			line += " " + pathText(c.From)
		}
		line += " " + pathText(c.Path)
		require.Equal(t, c.Kind != engine.ChangeRemove, c.Now != nil, line)
		require.Equal(t, c.Kind != engine.ChangeAdd, c.Old != nil, line)
		if c.Kind == engine.ChangeMove {
			require.Equal(t, c.Old.ID, c.Now.ID, line)
		}
		if c.Kind == engine.ChangeRemove {
			require.True(t, removals, "%s: removals come first", line)
			if n := len(c.Path); n > 0 {
				require.False(t, seen[pathText(c.Path[:n-1])], "%s: members go before their container", line)
			}
			seen[pathText(c.Path)] = true
		} else {
			if removals {
				removals = false
				clear(seen)
			}
			require.False(t, seen[pathText(c.Path)+"/"], "%s: containers come before their members", line)
			for n := range c.Path {
				seen[pathText(c.Path[:n])+"/"] = true
			}
		}
		if c.Kind != engine.ChangeAttr {
			got = append(got, line)
		}
	}
	slices.Sort(got)
	return got
}

// readBelow reads what is at a key of the root, the root itself for the invalid
// key, and all below it; nil when there is nothing.
func readBelow(t *testing.T, tx *engine.Tx, key value.Value) (top *engine.Entry, all map[engine.ID]placed) {
	t.Helper()
	e, err := tx.Stat(engine.RootID)
	if key.IsValid() {
		e, err = tx.Lookup(engine.RootID, key)
	}
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	require.NoError(t, err)
	all = map[engine.ID]placed{}
	self := placed{kind: e.Kind, key: value.String("")}
	if e.IsContainer() {
		readPlaced(t, tx, &e, "", all)
	} else {
		v, err := tx.Value(&e)
		require.NoError(t, err)
		self.text = v.String()
	}
	all[e.ID] = self
	return &e, all
}

// TestChangesAgainstModel compares the changes between two versions, of the whole
// store and of what is below one key, with what reading both whole tells.
func TestChangesAgainstModel(t *testing.T) {
	kinds := map[string]int{}
	changeRounds(t, 10, 150, 10, func(round int, old, now *engine.Tx) {
		keys := map[string]value.Value{"": {}} // the root, and what is in it
		for _, tx := range []*engine.Tx{old, now} {
			require.NoError(t, tx.Scan(engine.RootID, value.Value{}, false, func(e engine.Entry) bool {
				keys[e.Key.String()] = e.Key
				return true
			}))
		}
		for name, key := range keys {
			d, err := engine.NewDiffer(old, now)
			require.NoError(t, err)
			oldTop, a := readBelow(t, old, key)
			nowTop, b := readBelow(t, now, key)
			want := wantChanges(a, b)
			require.ElementsMatch(t, want, gotChanges(t, d, oldTop, nowTop), "round %d, below %q", round, name)
			for _, line := range want {
				kind, _, _ := strings.Cut(line, " ")
				kinds[kind]++
			}
		}
	})
	for _, kind := range []string{"add", "remove", "change", "move"} {
		require.Greater(t, kinds[kind], 30, "the random work has all kinds: %v", kinds)
	}
}

// TestChangesOfAttributes sets what is no value.
func TestChangesOfAttributes(t *testing.T) {
	s := newMemory(t)
	mustUpdate(t, s, func(tx *engine.Tx) {
		require.NoError(t, tx.Root().Set("a", 1))
		require.NoError(t, tx.Root().Set("b", strings.Repeat("large ", 20_000)))
	})
	v, err := s.OpenVersion()
	require.NoError(t, err)
	defer v.Close()
	mode := uint32(0o600)
	mustUpdate(t, s, func(tx *engine.Tx) {
		for _, key := range []string{"a", "b"} {
			_, err := tx.SetAttr(engine.RootID, value.String(key), engine.AttrChange{Mode: &mode})
			require.NoError(t, err)
		}
	})
	between(t, s, v, func(old, now *engine.Tx) {
		d, err := engine.NewDiffer(old, now)
		require.NoError(t, err)
		got := map[string]string{}
		for c, err := range d.Changes() {
			require.NoError(t, err)
			if len(c.Path) > 0 { // the root has another ctime
				got[pathText(c.Path)] = c.Kind.String()
			}
		}
		require.Equal(t, map[string]string{"/keyed:\"a\"": "attr", "/keyed:\"b\"": "attr"}, got)
		for range d.Changes() {
			break // an early end is no error
		}
	})
}
