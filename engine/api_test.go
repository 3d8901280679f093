package engine_test

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

// newMemory returns a store in memory that is verified, and searched for
// leaks, when the test ends.
func newMemory(t *testing.T) *engine.Store {
	t.Helper()
	s, err := engine.OpenMemory(32<<20, engine.Options{Commit: -1})
	require.NoError(t, err)
	t.Cleanup(func() {
		if !t.Failed() {
			requireNoLeak(t, s)
		}
		require.NoError(t, s.Close())
	})
	return s
}

// mustUpdate runs fn in an Update that must succeed.
func mustUpdate(t *testing.T, s *engine.Store, fn func(*engine.Tx)) {
	t.Helper()
	require.NoError(t, s.Update(func(tx *engine.Tx) error {
		fn(tx)
		return nil
	}))
}

func mustView(t *testing.T, s *engine.Store, fn func(*engine.Tx)) {
	t.Helper()
	require.NoError(t, s.View(func(tx *engine.Tx) error {
		fn(tx)
		return nil
	}))
}

// inBoth runs fn in a View and in an Update.
func inBoth(t *testing.T, s *engine.Store, fn func(*testing.T, *engine.Tx)) {
	t.Helper()
	t.Run("View", func(t *testing.T) { mustView(t, s, func(tx *engine.Tx) { fn(t, tx) }) })
	t.Run("Update", func(t *testing.T) { mustUpdate(t, s, func(tx *engine.Tx) { fn(t, tx) }) })
}

// keysOf collects the keys of entries as Go values.
func keysOf(t *testing.T, entries iter.Seq2[engine.Entry, error]) []any {
	t.Helper()
	keys := []any{}
	for e, err := range entries {
		require.NoError(t, err)
		keys = append(keys, goValue(e.Key))
	}
	return keys
}

func goValue(v value.Value) any {
	switch v.Kind() {
	case value.KindInt:
		return int(v.AsInt())
	case value.KindString:
		return v.AsString()
	}
	return v
}

// goOf returns a container as Go values, ints as int64.
func goOf(t *testing.T, tx *engine.Tx, id engine.ID) any {
	t.Helper()
	e, err := tx.Stat(id)
	require.NoError(t, err)
	d, err := tx.Document(&e)
	require.NoError(t, err)
	v, err := engine.ToGo(d)
	require.NoError(t, err)
	return v
}

func int64s(values ...int64) []any {
	all := []any{}
	for _, v := range values {
		all = append(all, v)
	}
	return all
}

func TestKeyed(t *testing.T) {
	s := newMemory(t)
	mustUpdate(t, s, func(tx *engine.Tx) {
		root := tx.Root()
		d, err := root.NewDict("d")
		require.NoError(t, err)
		_, err = root.NewCollection("d")
		require.ErrorIs(t, err, engine.ErrExist)
		_, err = root.List("d")
		require.ErrorIs(t, err, engine.ErrKind)
		_, err = root.Dict("x")
		require.ErrorIs(t, err, engine.ErrNotFound)

		require.NoError(t, d.Set("a", 1))
		require.NoError(t, d.Set(55, "int key"))
		require.NoError(t, d.Set("55", "string key"))
		n, err := d.Len()
		require.NoError(t, err)
		require.Equal(t, 3, n)
		v, err := d.Get(55)
		require.NoError(t, err)
		require.Equal(t, value.String("int key"), v)
		_, err = d.Get("b")
		require.ErrorIs(t, err, engine.ErrNotFound)
		_, err = root.Get("d")
		require.ErrorIs(t, err, engine.ErrIsContainer)
		has, err := d.Has("b")
		require.NoError(t, err)
		require.False(t, has)
		_, err = d.Has([]int{1})
		require.ErrorIs(t, err, engine.ErrKey)
	})
	mustUpdate(t, s, func(tx *engine.Tx) {
		d, err := tx.Root().Dict("d")
		require.NoError(t, err)
		old, err := d.Entry("a")
		require.NoError(t, err)
		require.NoError(t, d.Set("a", 2))
		e, err := d.Entry("a")
		require.NoError(t, err)
		require.Equal(t, old.ID, e.ID, "a scalar keeps its id")
		require.EqualValues(t, 0o644, e.Attr.Mode)

		// A container gives way to a scalar and the other way round.
		require.NoError(t, d.Set("a", map[string]any{"x": []any{1, 2}}))
		require.NoError(t, d.Set("a", []any{"y"}))
		require.NoError(t, d.Set("a", "text"))

		added, err := d.SetDefault("a", "other")
		require.NoError(t, err)
		require.False(t, added)
		added, err = d.SetDefault("l", []any{1})
		require.NoError(t, err)
		require.True(t, added)
		added, err = d.SetDefault("l", 5)
		require.NoError(t, err)
		require.False(t, added)

		require.NoError(t, d.Update(map[string]any{"a": nil, "z": true}))
		require.ErrorIs(t, d.Update([]int{1}), engine.ErrKind)

		popped, err := d.Pop("l")
		require.NoError(t, err)
		got, err := engine.ToGo(popped)
		require.NoError(t, err)
		require.Equal(t, int64s(1), got)
		_, err = d.Pop("l")
		require.ErrorIs(t, err, engine.ErrNotFound)

		require.NoError(t, d.Delete(55))
		require.ErrorIs(t, d.Delete(55), engine.ErrNotFound)
	})
	mustView(t, s, func(tx *engine.Tx) {
		d, err := tx.Root().Dict("d")
		require.NoError(t, err)
		require.Equal(t, map[string]any{"a": nil, "z": true, "55": "string key"}, goOf(t, tx, d.ID()))
		require.ErrorIs(t, d.Set("q", 1), engine.ErrReadOnly)
		require.ErrorIs(t, d.Delete("z"), engine.ErrReadOnly)
		require.ErrorIs(t, d.Update(map[string]any{"z": 1}), engine.ErrReadOnly)
		require.ErrorIs(t, d.Set("q", []any{}), engine.ErrReadOnly)
	})
}

func TestHandlesById(t *testing.T) {
	s := newMemory(t)
	var d, l, c engine.ID
	mustUpdate(t, s, func(tx *engine.Tx) {
		dict, err := tx.Root().NewDict("dict")
		require.NoError(t, err)
		list, err := dict.NewList("list")
		require.NoError(t, err)
		coll, err := dict.NewCollection("coll")
		require.NoError(t, err)
		d, l, c = dict.ID(), list.ID(), coll.ID()
	})
	mustUpdate(t, s, func(tx *engine.Tx) {
		_, err := tx.Dict(d)
		require.NoError(t, err)
		_, err = tx.Dict(l)
		require.ErrorIs(t, err, engine.ErrKind)
		list, err := tx.List(l)
		require.NoError(t, err)
		coll, err := tx.Collection(c)
		require.NoError(t, err)
		_, err = tx.Dict(1 << 40)
		require.ErrorIs(t, err, engine.ErrNotFound)

		// Handles of what the Tx has removed say so.
		require.NoError(t, tx.Root().Delete("dict"))
		require.ErrorIs(t, list.Append(1), engine.ErrNotFound)
		require.ErrorIs(t, coll.Set("a", 1), engine.ErrNotFound)
		require.ErrorIs(t, coll.Set("a", []any{1}), engine.ErrNotFound)
		_, err = coll.Len()
		require.ErrorIs(t, err, engine.ErrNotFound)
		for _, err := range coll.All() {
			require.ErrorIs(t, err, engine.ErrNotFound)
		}
	})
}

func TestOrderedRange(t *testing.T) {
	s := newMemory(t)
	mustUpdate(t, s, func(tx *engine.Tx) {
		c, err := tx.Root().NewCollection("c")
		require.NoError(t, err)
		for _, k := range []any{"b", 10, "a", 2, -1, "ab", nil, true, 2.5} {
			require.NoError(t, c.Set(k, k))
		}
	})
	tests := []struct {
		from, to any
		want     []any
	}{
		{value.Value{}, value.Value{}, []any{value.Null(), value.Bool(true), -1, 2, 10, value.Float(2.5), "a", "ab", "b"}},
		{2, 10, []any{2}},
		{3, value.Value{}, []any{10, value.Float(2.5), "a", "ab", "b"}},
		{value.Value{}, 2, []any{value.Null(), value.Bool(true), -1}},
		{"a", "b", []any{"a", "ab"}},
		{"aa", "b\x00", []any{"ab", "b"}},
		{"z", value.Value{}, []any{}},
		{"b", "a", []any{}},
		{nil, true, []any{value.Null()}},
	}
	inBoth(t, s, func(t *testing.T, tx *engine.Tx) {
		c, err := tx.Root().Collection("c")
		require.NoError(t, err)
		for _, test := range tests {
			require.Equal(t, test.want, keysOf(t, c.Range(test.from, test.to)), "%v to %v", test.from, test.to)
		}
		require.Equal(t, tests[0].want, keysOf(t, c.All()))
		n := 0
		for range c.Keys() {
			if n++; n == 3 {
				break
			}
		}
		require.Equal(t, 3, n)
		for _, err := range c.Range([]int{}, 1) {
			require.ErrorIs(t, err, engine.ErrKey)
		}
	})
}

func TestRankAndAt(t *testing.T) {
	s := newMemory(t)
	const n = 3000
	mustUpdate(t, s, func(tx *engine.Tx) {
		c, err := tx.Root().NewCollection("c")
		require.NoError(t, err)
		for i := range n {
			require.NoError(t, c.Set(i*2, i))
		}
	})
	inBoth(t, s, func(t *testing.T, tx *engine.Tx) {
		c, err := tx.Root().Collection("c")
		require.NoError(t, err)
		for i := 0; i < n; i += 37 {
			rank, found, err := c.Rank(i * 2)
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, i, rank)
			rank, found, err = c.Rank(i*2 + 1)
			require.NoError(t, err)
			require.False(t, found)
			require.Equal(t, i+1, rank)
			e, err := c.At(i)
			require.NoError(t, err)
			require.Equal(t, value.Int(int64(i*2)), e.Key)
			require.Equal(t, value.Int(int64(i)), e.Scalar)
			e, err = c.At(i - n)
			require.NoError(t, err)
			require.Equal(t, value.Int(int64(i*2)), e.Key)
		}
		_, err = c.At(n)
		require.ErrorIs(t, err, engine.ErrNotFound)
		_, err = c.At(-n - 1)
		require.ErrorIs(t, err, engine.ErrNotFound)
		e, err := tx.Root().At(0)
		require.NoError(t, err)
		require.EqualValues(t, n, e.Count)
	})
}

func TestLoopMayChangeContainer(t *testing.T) {
	s := newMemory(t)
	mustUpdate(t, s, func(tx *engine.Tx) {
		c := tx.Root()
		for i := range 1000 {
			require.NoError(t, c.Set(i, i))
		}
	})
	mustUpdate(t, s, func(tx *engine.Tx) {
		c := tx.Root()
		seen := 0
		for e, err := range c.All() {
			require.NoError(t, err)
			require.EqualValues(t, 2*seen, e.Key.AsInt())
			seen++
			// The present one goes, and so does the next.
			require.NoError(t, c.Delete(e.Key))
			require.NoError(t, c.Delete(e.Key.AsInt()+1))
			require.NoError(t, c.Set(fmt.Sprintf("later %d", seen), seen))
			if seen == 500 {
				break
			}
		}
		l, err := c.NewList("l")
		require.NoError(t, err)
		require.NoError(t, l.Extend(int64s(0, 1, 2, 3, 4, 5)))
		for e, err := range l.All() {
			require.NoError(t, err)
			require.NoError(t, l.Delete(int(e.Key.AsInt())))
		}
		require.Equal(t, int64s(1, 3, 5), goOf(t, tx, l.ID()))
	})
}

func TestListOperations(t *testing.T) {
	s := newMemory(t)
	do := func(t *testing.T, fn func(t *testing.T, l engine.List), want []any) {
		t.Helper()
		mustUpdate(t, s, func(tx *engine.Tx) {
			_, err := tx.Root().Pop("l")
			require.True(t, err == nil || errors.Is(err, engine.ErrNotFound))
			l, err := tx.Root().NewList("l")
			require.NoError(t, err)
			require.NoError(t, l.Extend([]int{10, 11, 12, 13}))
			fn(t, l)
			require.Equal(t, want, goOf(t, tx, l.ID()))
		})
	}
	t.Run("Get", func(t *testing.T) {
		do(t, func(t *testing.T, l engine.List) {
			for i := -4; i < 4; i++ {
				v, err := l.Get(i)
				require.NoError(t, err)
				require.EqualValues(t, 10+(i+4)%4, v.AsInt())
			}
			for _, i := range []int{-5, 4, math.MaxInt, math.MinInt} {
				_, err := l.Get(i)
				require.ErrorIs(t, err, engine.ErrNotFound)
			}
			n, err := l.Len()
			require.NoError(t, err)
			require.Equal(t, 4, n)
		}, int64s(10, 11, 12, 13))
	})
	t.Run("Set", func(t *testing.T) {
		do(t, func(t *testing.T, l engine.List) {
			require.NoError(t, l.Set(0, 1))
			require.NoError(t, l.Set(-1, []any{2}))
			require.NoError(t, l.Set(4, map[string]any{}))
			require.NoError(t, l.Set(-1, []any{}))
			require.NoError(t, l.Set(6, "past"))
			require.ErrorIs(t, l.Set(-8, 1), engine.ErrNotFound)
			require.ErrorIs(t, l.Set(10+engine.MaxListGap, 1), engine.ErrTooLarge)
		}, []any{int64(1), int64(11), int64(12), int64s(2), []any{}, nil, "past"})
	})
	t.Run("Insert", func(t *testing.T) {
		do(t, func(t *testing.T, l engine.List) {
			require.NoError(t, l.Insert(1, 1))
			require.NoError(t, l.Insert(-1, []any{2}))
			require.NoError(t, l.Insert(0, 3))
			require.NoError(t, l.Insert(7, map[string]any{}))
			require.ErrorIs(t, l.Insert(9, 1), engine.ErrNotFound)
			require.ErrorIs(t, l.Insert(-9, 1), engine.ErrNotFound)
			require.ErrorIs(t, l.Insert(0, struct{}{}), engine.ErrKind)
		}, []any{int64(3), int64(10), int64(1), int64(11), int64(12), int64s(2), int64(13), map[string]any{}})
	})
	t.Run("Delete", func(t *testing.T) {
		do(t, func(t *testing.T, l engine.List) {
			require.NoError(t, l.Delete(1))
			require.NoError(t, l.Delete(-1))
			require.ErrorIs(t, l.Delete(2), engine.ErrNotFound)
			require.ErrorIs(t, l.Delete(-3), engine.ErrNotFound)
		}, int64s(10, 12))
	})
	t.Run("Pop", func(t *testing.T) {
		do(t, func(t *testing.T, l engine.List) {
			require.NoError(t, l.Append(map[string]any{"a": []any{1}}))
			tree, err := l.Pop(-1)
			require.NoError(t, err)
			v, err := engine.ToGo(tree)
			require.NoError(t, err)
			require.Equal(t, map[string]any{"a": int64s(1)}, v)
			tree, err = l.Pop(0)
			require.NoError(t, err)
			got, err := tree.Scalar()
			require.NoError(t, err)
			require.Equal(t, value.Int(10), got)
		}, int64s(11, 12, 13))
	})
	t.Run("Remove", func(t *testing.T) {
		do(t, func(t *testing.T, l engine.List) {
			require.NoError(t, l.Extend([]any{"11", 11.0, []any{1, map[string]any{"a": 2}}, 11}))
			require.NoError(t, l.Remove(11))
			require.NoError(t, l.Remove(11.0))
			require.NoError(t, l.Remove([]any{1, map[string]any{"a": 2}}))
			require.ErrorIs(t, l.Remove([]any{1}), engine.ErrNotFound)
			i, err := l.Index("11")
			require.NoError(t, err)
			require.Equal(t, 3, i)
		}, []any{int64(10), int64(12), int64(13), "11", int64(11)})
	})
	t.Run("Gaps", func(t *testing.T) {
		do(t, func(t *testing.T, l engine.List) {
			require.NoError(t, l.Set(6, 16))
			_, err := l.Get(5)
			require.ErrorIs(t, err, engine.ErrNotFound)
			require.Equal(t, []any{0, 1, 2, 3, 6}, keysOf(t, l.All()))
			_, err = l.Pop(4)
			require.ErrorIs(t, err, engine.ErrNotFound)
			require.NoError(t, l.Delete(5))
			require.NoError(t, l.Compact())
			require.NoError(t, l.Extend([]any{1}))
		}, int64s(10, 11, 12, 13, 16, 1))
	})
}

func TestPaths(t *testing.T) {
	s := newMemory(t)
	mustUpdate(t, s, func(tx *engine.Tx) {
		root := tx.Root()
		require.NoError(t, root.Set("a", map[string]any{"b": []any{map[string]any{"c": 1}, "x"}, "5": "five"}))
		require.NoError(t, root.SetPath("a/b/0/d", []any{true}))
		require.NoError(t, root.SetPath("/a//b/-1/", "y"))
		require.NoError(t, root.SetPath("a/b/2", "z"))
		require.NoError(t, tx.SetPath(engine.RootID, engine.Path{value.String("a"), value.Int(5)}, "int"))
	})
	tests := []struct {
		path string
		want value.Value
		err  error
	}{
		{"a/b/0/c", value.Int(1), nil},
		{"a/b/0/d/0", value.Bool(true), nil},
		{"a/b/1", value.String("y"), nil},
		{"a/b/-1", value.String("z"), nil},
		{"a/5", value.String("five"), nil},
		{"a/b/3", value.Value{}, engine.ErrNotFound},
		{"a/b/-4", value.Value{}, engine.ErrNotFound},
		{"a/b/00", value.Value{}, engine.ErrKey},
		{"a/b/x", value.Value{}, engine.ErrKey},
		{"a/b", value.Value{}, engine.ErrIsContainer},
		{"a/b/1/x", value.Value{}, engine.ErrNotContainer},
		{"x/y", value.Value{}, engine.ErrNotFound},
		{"", value.Value{}, engine.ErrIsContainer},
	}
	inBoth(t, s, func(t *testing.T, tx *engine.Tx) {
		for _, test := range tests {
			got, err := tx.Root().GetPath(test.path)
			require.ErrorIs(t, err, test.err, test.path)
			require.Equal(t, test.want, got, test.path)
		}
		e, err := tx.Resolve(engine.RootID, engine.Path{value.String("a"), value.Int(5)})
		require.NoError(t, err)
		v, err := tx.Value(&e)
		require.NoError(t, err)
		require.Equal(t, value.String("int"), v)
		_, err = tx.Root().GetPath("a/b/1/x")
		require.EqualError(t, err, "/a/b/1: not a container")
	})
	mustUpdate(t, s, func(tx *engine.Tx) {
		root := tx.Root()
		require.ErrorIs(t, root.SetPath("", 1), engine.ErrKey)
		require.ErrorIs(t, root.SetPath("a/x/y", 1), engine.ErrNotFound)
		require.ErrorIs(t, root.SetPath("a/b/1/z", 1), engine.ErrNotContainer)
		require.NoError(t, root.DeletePath("a/b/0"))
		require.ErrorIs(t, root.DeletePath("a/b/2"), engine.ErrNotFound)
		l, err := tx.Resolve(engine.RootID, engine.ParsePath("a/b"))
		require.NoError(t, err)
		require.Equal(t, []any{"y", "z"}, goOf(t, tx, l.ID))
		require.NoError(t, root.DeletePath("a"))
		require.Equal(t, map[string]any{}, goOf(t, tx, engine.RootID))
	})
	require.Equal(t, `a/*/"*"/-1/"x/y"`, engine.Path{
		value.String("a"), {}, value.String("*"), value.Int(-1), value.String("x/y"),
	}.String())
}

// TestListNameIsNoIndex: in a list, the string "3" is not a name beside the
// elements, or there are two values that a mount shows as the file 3, and
// Convert loses one of them.
func TestListNameIsNoIndex(t *testing.T) {
	s := newMemory(t)
	mustUpdate(t, s, func(tx *engine.Tx) {
		l, err := tx.Root().NewList("l")
		require.NoError(t, err)
		require.NoError(t, l.Extend([]any{0, 1, 2, "element"}))
		require.NoError(t, tx.Root().Set("x", 1))
		_, err = tx.Put(l.ID(), value.String("3"), value.String("name"), engine.PutOptions{})
		require.ErrorIs(t, err, engine.ErrKey)
		_, err = tx.Make(l.ID(), value.String("0"), value.KindDict, engine.NewAttr{})
		require.ErrorIs(t, err, engine.ErrKey)
		err = tx.Rename(engine.RootID, value.String("x"), l.ID(), value.String("7"), engine.RenameOptions{})
		require.ErrorIs(t, err, engine.ErrKey)
		for _, name := range []string{"03", "3~", "-1", "+", "99999999999999999999", ""} {
			_, err = tx.Put(l.ID(), value.String(name), value.Int(1), engine.PutOptions{})
			require.NoError(t, err, "%q is an ordinary name", name)
		}
		require.NoError(t, tx.Convert(l.ID(), value.KindDict))
		require.Len(t, goOf(t, tx, l.ID()), 10)
	})
}
