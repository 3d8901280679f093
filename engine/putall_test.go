package engine_test

import (
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pongofs/engine"
	"pongofs/engine/value"
)

// TestPutAllAgreesWithPuts stores the same members in two containers of each
// kind, at once and one by one, in many updates.
func TestPutAllAgreesWithPuts(t *testing.T) {
	key := rapid.Custom(func(rt *rapid.T) value.Value {
		switch rapid.IntRange(0, 3).Draw(rt, "form") {
		case 0:
			return value.String(rapid.StringN(0, 12, 40).Draw(rt, "string"))
		case 1:
			return value.String(fmt.Sprintf("a long beginning that many have in common %03d", rapid.IntRange(0, 300).Draw(rt, "number")))
		}
		return value.Int(rapid.Int64Range(0, 300).Draw(rt, "int"))
	})
	index := rapid.Custom(func(rt *rapid.T) value.Value { return value.Int(rapid.Int64Range(0, 40).Draw(rt, "index")) })
	val := rapid.Custom(func(rt *rapid.T) value.Value {
		switch rapid.IntRange(0, 5).Draw(rt, "type") {
		case 0:
			return value.Null()
		case 1:
			return value.Float(rapid.Float64().Draw(rt, "float"))
		case 2:
			return value.Bytes(rapid.SliceOfN(rapid.Byte(), 0, 9000).Draw(rt, "bytes"))
		case 3:
			return value.String(rapid.String().Draw(rt, "string"))
		}
		return value.Int(rapid.Int64().Draw(rt, "int"))
	})
	o := engine.PutOptions{Declared: true, New: engine.NewAttr{Mode: 0o640}}
	for _, kind := range []value.Kind{value.KindDict, value.KindCollection, value.KindList} {
		keys := key
		if kind == value.KindList {
			keys = index
		}
		t.Run(kind.String(), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				s, err := engine.OpenMemory(32<<20, engine.Options{Commit: -1})
				require.NoError(rt, err)
				defer s.Close()
				var dirs [2]engine.ID
				require.NoError(rt, s.Update(func(tx *engine.Tx) error {
					for i := range dirs {
						e, err := tx.Make(engine.RootID, value.Int(int64(i)), kind, engine.NewAttr{Mode: 0o755})
						if err != nil {
							return err
						}
						dirs[i] = e.ID
					}
					return nil
				}))
				for range rapid.IntRange(1, 8).Draw(rt, "updates") {
					members := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) engine.Member {
						return engine.Member{Key: keys.Draw(rt, "key"), Value: val.Draw(rt, "value")}
					}), 0, 120).Draw(rt, "members")
					require.NoError(rt, s.Update(func(tx *engine.Tx) error {
						for _, m := range members {
							if _, err := tx.Put(dirs[0], m.Key, m.Value, o); err != nil {
								return err
							}
						}
						return tx.PutAll(dirs[1], members, o)
					}))
					require.NoError(rt, s.View(func(tx *engine.Tx) error {
						one, err := tx.Stat(dirs[0])
						require.NoError(rt, err)
						all, err := tx.Stat(dirs[1])
						require.NoError(rt, err)
						require.Equal(rt, one.Len, all.Len)
						want, err := tx.Document(&one)
						require.NoError(rt, err)
						got, err := tx.Document(&all)
						require.NoError(rt, err)
						at, same := value.Equal(want, got)
						require.True(rt, same, at)
						return nil
					}))
				}
				requireNoLeak(t, s)
			})
		})
	}
}

var errBroken = errors.New("the source of the tree is broken")

// brokenTree is a dict of some members whose source then fails.
type brokenTree struct{ members map[string]any }

func (b brokenTree) Kind() value.Kind             { return value.KindDict }
func (b brokenTree) Scalar() (value.Value, error) { return value.Value{}, nil }
func (b brokenTree) Link() bool                   { return false }
func (b brokenTree) Err() error                   { return errBroken }
func (b brokenTree) Children() iter.Seq2[value.Value, value.Tree] {
	t, err := engine.FromGo(b.members)
	if err != nil || b.members == nil {
		return func(func(value.Value, value.Tree) bool) {}
	}
	return t.Children()
}

// TestPutAllErrors: the first error names its key, and what cannot be whole is
// not published.
func TestPutAllErrors(t *testing.T) {
	s := newMemory(t)
	var dir engine.ID
	mustUpdate(t, s, func(tx *engine.Tx) {
		d, err := tx.Root().NewCollection("d")
		require.NoError(t, err)
		dir = d.ID()
		_, err = d.NewDict("m")
		require.NoError(t, err)
	})
	member := func(key string, v value.Value) engine.Member { return engine.Member{Key: value.String(key), Value: v} }
	one := value.Int(1)

	// What is found out before anything is stored leaves the edit good.
	mustUpdate(t, s, func(tx *engine.Tx) {
		err := tx.PutAll(dir, []engine.Member{member("a", one), {Key: value.Bytes(make([]byte, 5000)), Value: one}}, engine.PutOptions{})
		require.ErrorIs(t, err, engine.ErrKeyTooLong)
		require.ErrorIs(t, tx.PutAll(12345, []engine.Member{member("a", one)}, engine.PutOptions{}), engine.ErrNotFound)
		require.NoError(t, tx.PutAll(dir, nil, engine.PutOptions{}))
		require.NoError(t, tx.PutAll(dir, []engine.Member{member("b", one)}, engine.PutOptions{Declared: true}))
	})
	mustView(t, s, func(tx *engine.Tx) {
		require.Equal(t, map[string]any{"b": int64(1), "m": map[string]any{}}, goOf(t, tx, dir))
		require.ErrorIs(t, tx.PutAll(dir, []engine.Member{member("a", one)}, engine.PutOptions{}), engine.ErrReadOnly)
	})

	// Nothing was changed by what came before it.
	mustUpdate(t, s, func(tx *engine.Tx) {
		d, err := tx.Root().Collection("d")
		require.NoError(t, err)
		require.NoError(t, d.Update(map[string]any{}))
		require.ErrorIs(t, d.Update(brokenTree{map[string]any{"b": 1}}), errBroken)
		require.ErrorIs(t, d.Update(brokenTree{nil}), errBroken)
	})
	mustView(t, s, func(tx *engine.Tx) {
		d, err := tx.Root().Collection("d")
		require.NoError(t, err)
		require.NoError(t, d.Update(map[string]any{}))
	})

	// Something was, or may have been.
	err := s.Update(func(tx *engine.Tx) error {
		err := tx.PutAll(dir, []engine.Member{member("m", one), member("z", one)}, engine.PutOptions{})
		require.ErrorIs(t, err, engine.ErrIsContainer)
		require.ErrorContains(t, err, `"m"`)
		return nil // published all the same, the function means
	})
	require.ErrorIs(t, err, engine.ErrIsContainer)
	err = s.Update(func(tx *engine.Tx) error {
		l, err := tx.Root().NewList("l")
		require.NoError(t, err)
		far := []engine.Member{{Key: value.Int(0), Value: value.Int(5)}, {Key: value.Int(1 << 40), Value: one}}
		require.ErrorIs(t, tx.PutAll(l.ID(), far, engine.PutOptions{Declared: true}), engine.ErrTooLarge)
		return nil
	})
	require.ErrorIs(t, err, engine.ErrTooLarge)
	err = s.Update(func(tx *engine.Tx) error {
		d, err := tx.Root().Collection("d")
		require.NoError(t, err)
		// The collection of an unknown Go type comes after what can be stored.
		require.Error(t, d.Update(map[string]any{"a": 1, "zz": []any{func() {}}}))
		return tx.PutAll(dir, []engine.Member{member("c", one), member("m", value.Value{})}, engine.PutOptions{})
	})
	require.ErrorIs(t, err, engine.ErrKind)
	mustView(t, s, func(tx *engine.Tx) {
		require.Equal(t, map[string]any{"b": int64(1), "m": map[string]any{}}, goOf(t, tx, dir))
	})

	// Update takes containers away, others in their place, thousands of members.
	big := map[string]any{"m": 5, "n": map[string]any{"x": 1}}
	for i := range 3000 {
		big[fmt.Sprintf("key %d", i)] = int64(i)
	}
	want := map[string]any{"b": int64(1), "m": int64(5), "n": map[string]any{"x": int64(1)}}
	for i := range 3000 {
		want[fmt.Sprintf("key %d", i)] = int64(i)
	}
	for range 2 { // the second time nothing is new
		mustUpdate(t, s, func(tx *engine.Tx) {
			d, err := tx.Root().Collection("d")
			require.NoError(t, err)
			require.NoError(t, d.Update(big))
		})
		mustView(t, s, func(tx *engine.Tx) { require.Equal(t, want, goOf(t, tx, dir)) })
	}
}
