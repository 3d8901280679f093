package engine_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/value"
)

func TestAddGeneratesKeys(t *testing.T) {
	s := newMemory(t)
	var first value.Value
	mustUpdate(t, s, func(tx *engine.Tx) {
		c, err := tx.Root().NewCollection("c")
		require.NoError(t, err)
		first, err = c.Add(map[string]any{"name": "ada"})
		require.NoError(t, err)
		require.Equal(t, uuid.Version(1), first.AsUUID().Version())
		id, err := c.GetPath("")
		require.ErrorIs(t, err, engine.ErrIsContainer)
		require.False(t, id.IsValid())
		d, err := c.Dict(first)
		require.NoError(t, err)
		got, err := d.Get("_id")
		require.NoError(t, err)
		require.Equal(t, first, got)

		scalar, err := c.Add("just text")
		require.NoError(t, err)
		require.NotEqual(t, first, scalar)
		_, err = c.Add([]any{1})
		require.NoError(t, err)

		own, err := c.Add(map[string]any{"_id": 7, "name": "grace"})
		require.NoError(t, err)
		require.Equal(t, value.Int(7), own)
		_, err = c.Add(map[string]any{"_id": 7, "name": "other"})
		require.ErrorIs(t, err, engine.ErrExist)
		_, err = c.Add(map[string]any{"_id": []any{}})
		require.ErrorIs(t, err, engine.ErrKey)
		n, err := c.Len()
		require.NoError(t, err)
		require.Equal(t, 4, n)
	})
	mustUpdate(t, s, func(tx *engine.Tx) {
		meta, err := tx.Dict(engine.MetaID)
		require.NoError(t, err)
		require.NoError(t, meta.Update(map[string]any{"id": "key", "newkey": "uuid7"}))
		c, err := tx.Root().Collection("c")
		require.NoError(t, err)
		last := value.Value{}
		for range 100 {
			k, err := c.Add(map[string]any{})
			require.NoError(t, err)
			require.Equal(t, uuid.Version(7), k.AsUUID().Version())
			require.Positive(t, value.Compare(k, last), "uuid7 keys ascend")
			last = k
			e, err := tx.Resolve(c.ID(), engine.Path{k, value.String("key")})
			require.NoError(t, err)
			require.Equal(t, k, e.Scalar)
		}
		require.NoError(t, meta.Set("newkey", "uuid4"))
		k, err := c.Add(1)
		require.NoError(t, err)
		require.Equal(t, uuid.Version(4), k.AsUUID().Version())
		require.NoError(t, meta.Set("newkey", "serial"))
		_, err = c.Add(1)
		require.ErrorIs(t, err, engine.ErrSetting)
		require.NoError(t, meta.Set("newkey", "uuid4"))
	})

	next := int64(0)
	s.SetNewKey(func() value.Value { next++; return value.Int(next) })
	mustUpdate(t, s, func(tx *engine.Tx) {
		next = 0
		c, err := tx.Root().Collection("c")
		require.NoError(t, err)
		require.NoError(t, c.Set(2, "taken"))
		for _, want := range []int64{1, 3, 4, 5, 6, 8} { // 7 is there
			k, err := c.Add(map[string]any{})
			require.NoError(t, err)
			require.Equal(t, value.Int(want), k)
		}
	})
	s.SetNewKey(func() value.Value { return value.Int(1) })
	mustUpdate(t, s, func(tx *engine.Tx) {
		c, err := tx.Root().Collection("c")
		require.NoError(t, err)
		_, err = c.Add("x")
		require.ErrorIs(t, err, engine.ErrExist)
	})
	s.SetNewKey(func() value.Value { return value.Value{} })
	mustUpdate(t, s, func(tx *engine.Tx) {
		_, err := tx.Root().Add("x")
		require.ErrorIs(t, err, engine.ErrKey)
	})
	s.SetNewKey(nil)
	mustUpdate(t, s, func(tx *engine.Tx) {
		meta, err := tx.Dict(engine.MetaID)
		require.NoError(t, err)
		require.NoError(t, meta.Delete("newkey"))
		k, err := tx.Root().Add("x")
		require.NoError(t, err)
		require.Equal(t, value.KindUUID, k.Kind())
	})
}
