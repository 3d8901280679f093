package engine_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

func TestSearch(t *testing.T) {
	s := newMemory(t)
	mustUpdate(t, s, func(tx *engine.Tx) {
		users, err := tx.Root().NewCollection("users")
		require.NoError(t, err)
		require.NoError(t, users.Update(map[string]any{
			"ada":    map[string]any{"age": 36, "tags": []any{"math", "code"}, "n": map[string]any{"*": 1}},
			"grace":  map[string]any{"age": 85.5, "tags": []any{"code", "navy"}},
			"linus":  map[string]any{"age": "unknown", "tags": []any{}},
			"nobody": 36,
		}))
	})
	str := func(p string) value.Value { return value.String(p) }
	tests := []struct {
		pattern engine.Path
		op      engine.Op
		v       value.Value
		want    []string
	}{
		{engine.ParsePattern("users/*/age"), engine.OpEqual, value.Float(36), []string{"users/ada/age"}},
		{engine.ParsePattern("users/*/age"), engine.OpGreaterEqual, value.Int(36), []string{"users/ada/age", "users/grace/age"}},
		{engine.ParsePattern("users/*/age"), engine.OpNotEqual, value.Int(36), []string{"users/grace/age", "users/linus/age"}},
		{engine.ParsePattern("users/*/tags/*"), engine.OpEqual, str("code"), []string{"users/ada/tags/1", "users/grace/tags/0"}},
		{engine.ParsePattern("users/*/tags/-1"), engine.OpEqual, str("code"), []string{"users/ada/tags/1"}},
		{engine.ParsePattern("users/*/tags/x"), engine.OpNotEqual, str("code"), nil},
		{engine.ParsePattern("users/*"), engine.OpLess, value.Int(40), []string{"users/nobody"}},
		{engine.ParsePattern("*/*/n/*"), engine.OpEqual, value.Int(1), []string{`users/ada/n/"*"`}},
		{engine.Path{str("users"), {}, str("n"), str("*")}, engine.OpEqual, value.Int(1), []string{`users/ada/n/"*"`}},
		{engine.ParsePattern("users"), engine.OpNotEqual, value.Int(1), nil},
		{nil, engine.OpEqual, value.Int(1), nil},
	}
	inBoth(t, s, func(t *testing.T, tx *engine.Tx) {
		for _, test := range tests {
			var got []string
			for m, err := range tx.Search(engine.RootID, test.pattern, tx.Relation(test.op, test.v)) {
				require.NoError(t, err)
				got = append(got, m.Path.String())
			}
			require.Equal(t, test.want, got, "%v %v %v", test.pattern, test.op, test.v)
		}
		users, err := tx.Root().Collection("users")
		require.NoError(t, err)
		require.Equal(t, []any{"ada", "grace"}, keysOf(t, users.Search("tags/*", engine.OpEqual, "code")))
		require.Equal(t, []any{"nobody"}, keysOf(t, users.Search("", engine.OpEqual, 36)))
		for range users.Search("tags/*", engine.OpEqual, "code") {
			break
		}
		for _, err := range users.Search("x", engine.OpEqual, []int{}) {
			require.ErrorIs(t, err, engine.ErrKind)
		}
		boom := errors.New("boom")
		n := 0
		for _, err := range tx.Search(engine.RootID, engine.ParsePattern("*/*"), func(*engine.Entry) (bool, error) { return true, boom }) {
			require.ErrorIs(t, err, boom)
			n++
		}
		require.Equal(t, 1, n)
	})
}

func TestRelations(t *testing.T) {
	nan := value.Float(math.NaN())
	big := int64(1) << 53
	tests := []struct {
		a, b  value.Value
		holds string
	}{
		{value.Int(1), value.Int(2), "!= < <="},
		{value.Int(1), value.Float(1), "= <= >="},
		{value.Float(1.5), value.Int(1), "!= > >="},
		{value.Int(big + 1), value.Float(float64(big)), "!= > >="},
		{value.Int(math.MaxInt64), value.Float(math.MaxInt64), "!= < <="},
		{value.Int(math.MinInt64), value.Float(math.MinInt64), "= <= >="},
		{value.Int(math.MinInt64), value.Float(math.Inf(-1)), "!= > >="},
		{value.Int(-1), value.Float(-1.5), "!= > >="},
		{value.Float(0), value.Float(math.Copysign(0, -1)), "= <= >="},
		{nan, nan, "!="},
		{nan, value.Int(1), "!="},
		{value.Int(1), value.Int(1), "= <= >="},
		{value.String("a"), value.String("b"), "!= < <="},
		{value.String("1"), value.Int(1), "!="},
		{value.String("a"), value.Bytes([]byte("a")), "!="},
		{value.Null(), value.Null(), "= <= >="},
		{value.Bool(false), value.Bool(true), "!= < <="},
		{value.DatetimeMicro(5), value.DatetimeMicro(4), "!= > >="},
		{value.Value{}, value.Value{}, "!="},
	}
	for _, test := range tests {
		holds := ""
		for op := engine.OpEqual; op <= engine.OpGreaterEqual; op++ {
			if parsed, ok := engine.ParseOp(op.String()); !ok || parsed != op {
				t.Errorf("ParseOp(%q) = %v, %v", op.String(), parsed, ok)
			}
			if op.Holds(test.a, test.b) {
				holds += " " + op.String()
			}
		}
		if want := " " + test.holds; holds != want {
			t.Errorf("%v, %v: got%s, want%s", test.a, test.b, holds, want)
		}
	}
}

// TestSearchOfManyContainers: a View must not keep what it has passed, or its
// cost grows with the square of the containers.
func TestSearchOfManyContainers(t *testing.T) {
	s := newMemory(t)
	const n = 2000
	mustUpdate(t, s, func(tx *engine.Tx) {
		for i := range n {
			require.NoError(t, tx.Root().Set(i, map[string]any{"n": i}))
		}
	})
	start := time.Now()
	mustView(t, s, func(tx *engine.Tx) {
		found := 0
		for _, err := range tx.Search(engine.RootID, engine.ParsePattern("*/n"), tx.Relation(engine.OpGreaterEqual, value.Int(0))) {
			require.NoError(t, err)
			found++
		}
		require.Equal(t, n, found)
	})
	t.Logf("search of %d dicts: %v", n, time.Since(start))
}
