package engine_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

func TestGoValuesComeBack(t *testing.T) {
	now := time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)
	id := uuid.MustParse("0c2bb0de-3a1c-4e5f-9b7a-112233445566")
	tests := []struct {
		name     string
		in, want any
	}{
		{"nil", nil, nil},
		{"bool", true, true},
		{"int", 42, int64(42)},
		{"int8", int8(-3), int64(-3)},
		{"uint64", uint64(math.MaxInt64), int64(math.MaxInt64)},
		{"smallest int", int64(math.MinInt64), int64(math.MinInt64)},
		{"float", 0.1, 0.1},
		{"negative zero", math.Copysign(0, -1), math.Copysign(0, -1)},
		{"float32", float32(0.5), 0.5},
		{"string", "a\x00b\n", "a\x00b\n"},
		{"empty string", "", ""},
		{"bytes", []byte{0, 255}, []byte{0, 255}},
		{"named string", time.Duration(5), int64(5)},
		{"time", now.Add(7), now},
		{"uuid", id, id},
		{"value", value.Float(1), 1.0},
		{"empty list", []any{}, []any{}},
		{"strings", []string{"b", "a"}, []any{"b", "a"}},
		{"array", [2]int{1, 2}, int64s(1, 2)},
		{"map", map[string]any{"a": 1, "b": []any{nil, map[string]int{}}}, map[string]any{
			"a": int64(1), "b": []any{nil, map[string]any{}},
		}},
		{"keys of several types", map[any]any{1: "i", "1": "s", 1.0: "f"}, map[value.Value]any{
			value.Int(1): "i", value.String("1"): "s", value.Float(1): "f",
		}},
	}
	s := newMemory(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mustUpdate(t, s, func(tx *engine.Tx) {
				require.NoError(t, tx.Root().Set("v", test.in))
			})
			mustView(t, s, func(tx *engine.Tx) {
				e, err := tx.Root().Entry("v")
				require.NoError(t, err)
				require.True(t, e.Declared)
				d, err := tx.Document(&e)
				require.NoError(t, err)
				got, err := engine.ToGo(d)
				require.NoError(t, err)
				require.Equal(t, test.want, got)
			})
		})
	}
}

func TestGoValuesThatDoNotFit(t *testing.T) {
	loop := map[string]any{}
	loop["self"] = loop
	tests := []struct {
		name string
		in   any
		want error
	}{
		{"uint beyond int64", uint64(math.MaxInt64) + 1, engine.ErrTooLarge},
		{"far future", time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC), engine.ErrTooLarge},
		{"struct", struct{ A int }{1}, engine.ErrKind},
		{"pointer", new(int), engine.ErrKind},
		{"function in a list", []any{1, func() {}}, engine.ErrKind},
		{"zero value", value.Value{}, engine.ErrKind},
		{"list as key", map[any]any{[1]int{1}: 1}, engine.ErrKey},
		{"equal keys", map[any]any{1: 1, int64(1): 2}, value.ErrDuplicateKey},
		{"map that holds itself", loop, engine.ErrTooLarge},
	}
	s := newMemory(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mustUpdate(t, s, func(tx *engine.Tx) {
				require.ErrorIs(t, tx.Root().Set("v", test.in), test.want)
				require.NoError(t, tx.Root().Set("w", 1), "the Tx is still good")
			})
			mustView(t, s, func(tx *engine.Tx) {
				require.Equal(t, map[string]any{"w": int64(1)}, goOf(t, tx, engine.RootID))
			})
		})
	}
}

// TestHalfADocumentIsNotPublished: an Update that goes on after a document
// failed half way must not publish the half.
func TestHalfADocumentIsNotPublished(t *testing.T) {
	s := newMemory(t)
	long := make([]byte, engine.MaxKeyBytes)
	mustUpdate(t, s, func(tx *engine.Tx) { require.NoError(t, tx.Root().Set("k", "old")) })
	err := s.Update(func(tx *engine.Tx) error {
		err := tx.Root().Set("k", map[any]any{"a": 1, string(long): 2})
		require.ErrorIs(t, err, engine.ErrKeyTooLong)
		return nil
	})
	require.ErrorIs(t, err, engine.ErrKeyTooLong)
	mustView(t, s, func(tx *engine.Tx) {
		require.Equal(t, map[string]any{"k": "old"}, goOf(t, tx, engine.RootID))
	})
	// A key too long for the entry itself changes nothing, and the Tx goes on.
	mustUpdate(t, s, func(tx *engine.Tx) {
		require.ErrorIs(t, tx.Root().Set(string(long), []any{}), engine.ErrKeyTooLong)
		require.NoError(t, tx.Root().Set("l", 1))
	})
}

func TestCopyLeavesOutWhatIsNoValue(t *testing.T) {
	s := newMemory(t)
	mustUpdate(t, s, func(tx *engine.Tx) {
		l, err := tx.Root().NewList("l")
		require.NoError(t, err)
		require.NoError(t, l.Set(2, 2))
		_, err = tx.Put(l.ID(), value.String("0~"), value.String("editor's copy"), engine.PutOptions{})
		require.NoError(t, err)
		_, err = tx.Put(l.ID(), value.Int(3), value.String("to/where"), engine.PutOptions{Link: true})
		require.NoError(t, err)
		require.Equal(t, []any{2, 3}, keysOf(t, l.All()))
		require.Equal(t, []any{3}, keysOf(t, l.Search("", engine.OpEqual, "to/where")))
		require.Equal(t, []any{nil, nil, int64(2), "to/where"}, goOf(t, tx, l.ID()))

		// Links stay links in a copy, gaps stay gaps.
		e, err := tx.Stat(l.ID())
		require.NoError(t, err)
		d, err := tx.Document(&e)
		require.NoError(t, err)
		require.NoError(t, tx.Root().Set("m", d))
		m, err := tx.Root().List("m")
		require.NoError(t, err)
		link, err := m.Entry(-1)
		require.NoError(t, err)
		require.True(t, link.Link)
		require.Equal(t, []any{2, 3}, keysOf(t, m.All()))
	})
}

func TestDeepDocument(t *testing.T) {
	s := newMemory(t)
	const depth = 3000
	var v any = "bottom"
	for range depth {
		v = []any{v}
	}
	mustUpdate(t, s, func(tx *engine.Tx) {
		require.NoError(t, tx.Root().Set("deep", v))
		got, err := tx.Root().GetPath("deep" + strings.Repeat("/0", depth))
		require.NoError(t, err)
		require.Equal(t, value.String("bottom"), got)
	})
	mustUpdate(t, s, func(tx *engine.Tx) {
		tree, err := tx.Root().Pop("deep")
		require.NoError(t, err)
		want, err := engine.FromGo(v)
		require.NoError(t, err)
		_, same := value.Equal(want, tree)
		require.True(t, same)
	})
}
