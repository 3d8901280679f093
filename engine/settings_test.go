package engine_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/mapping"
	"pongofs/engine/value"
)

func TestSettings(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{})
	require.NoError(t, err)
	other, err := engine.Open(path, engine.Options{}) // stands for another process
	require.NoError(t, err)
	st, err := s.Settings()
	require.NoError(t, err)
	defaults := engine.Settings{ChunkSize: engine.MinChunkSize, ID: "_id", NewKey: "uuid1", Commit: time.Second}
	require.Equal(t, defaults, st)

	bad := map[string][]string{
		"chunksize": {"3", "x", "-2097152", "2097153", "99999999999999999999", "1073807360"},
		"newkey":    {"uuid5", "UUID1", "1"},
		"sync":      {"maybe", "2"},
		"commit":    {"soon", "-1s", "1ms", "2h", "1.5"},
		"id":        {string(make([]byte, 256))},
	}
	for name, texts := range bad {
		for _, text := range texts {
			err := s.SetSetting(name, text)
			require.ErrorIs(t, err, engine.ErrSetting, "%s %q", name, text)
			var se *engine.SettingError
			require.True(t, errors.As(err, &se))
			require.Equal(t, name, se.Name)
			require.NotEmpty(t, se.Reason)
		}
	}
	require.ErrorIs(t, s.SetSetting("nosuch", "1"), engine.ErrNotFound)
	now, err := other.Settings()
	require.NoError(t, err)
	require.Equal(t, defaults, now, "bad values change nothing")

	good := []struct{ name, text, shown string }{
		{"chunksize", "4194304", "4194304"},
		{"id", "key", "key"},
		{"newkey", "uuid7", "uuid7"},
		{"sync", "on", "true"},
		{"commit", "2", "2s"},
	}
	for _, g := range good {
		require.NoError(t, s.SetSetting(g.name, g.text))
		require.NoError(t, other.View(func(tx *engine.Tx) error {
			got, err := tx.Setting(g.name)
			require.Equal(t, g.shown, got)
			return err
		}))
	}
	want := engine.Settings{ChunkSize: 4 << 20, ID: "key", NewKey: "uuid7", Sync: true, Commit: 2 * time.Second}
	require.NoError(t, s.Close())
	require.NoError(t, other.Close())
	s, err = engine.Open(path, engine.Options{})
	require.NoError(t, err)
	defer s.Close()
	st, err = s.Settings()
	require.NoError(t, err)
	require.Equal(t, want, st)
	require.NoError(t, s.SetSetting("commit", ""))
	st, err = s.Settings()
	require.NoError(t, err)
	require.Equal(t, time.Second, st.Commit, "an empty text is the default")
}

// TestSettingsAreCheckedOnEveryWay: what is no value of a setting is not
// published, by whatever method it was stored.
func TestSettingsAreCheckedOnEveryWay(t *testing.T) {
	s := newMemory(t)
	for name, fn := range map[string]func(tx *engine.Tx) error{
		"Put": func(tx *engine.Tx) error {
			_, err := tx.Put(engine.MetaID, value.String("chunksize"), value.Int(3), engine.PutOptions{})
			return err
		},
		"PutImage": func(tx *engine.Tx) error {
			_, err := tx.PutImage(engine.MetaID, value.String("sync"), value.KindString, []byte("x\n"), engine.PutOptions{})
			return err
		},
		"Make": func(tx *engine.Tx) error {
			_, err := tx.Make(engine.MetaID, value.String("id"), value.KindDict, engine.NewAttr{})
			return err
		},
		"Rename": func(tx *engine.Tx) error {
			if _, err := tx.Put(engine.RootID, value.String("x"), value.Int(3), engine.PutOptions{}); err != nil {
				return err
			}
			return tx.Rename(engine.RootID, value.String("x"), engine.MetaID, value.String("newkey"), engine.RenameOptions{})
		},
	} {
		require.ErrorIs(t, s.Update(fn), engine.ErrSetting, name)
	}
	mustView(t, s, func(tx *engine.Tx) {
		e, err := tx.Stat(engine.MetaID)
		require.NoError(t, err)
		require.Zero(t, e.Count)
	})
	mustUpdate(t, s, func(tx *engine.Tx) {
		_, err := tx.Put(engine.MetaID, value.String("mine"), value.Int(3), engine.PutOptions{})
		require.NoError(t, err, "other members are the user's")
	})
}

// TestSyncSetting: the next publish of every process is durable when it
// returns, and stops being so.
func TestSyncSetting(t *testing.T) {
	path := newStorePath(t)
	var syncs atomic.Int64
	s, err := engine.Open(path, engine.Options{Commit: -1, MapHooks: &mapping.Hooks{Sync: func() error {
		syncs.Add(1)
		return nil
	}}})
	require.NoError(t, err)
	defer s.Close()
	other, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	defer other.Close()
	require.NoError(t, step(s, "a", 1))
	before := syncs.Load()
	require.NoError(t, step(s, "a", 2))
	require.Equal(t, before, syncs.Load())
	require.NoError(t, other.SetSetting("sync", "true"))
	before = syncs.Load()
	require.NoError(t, step(s, "a", 3))
	require.Greater(t, syncs.Load(), before)
	st, err := s.Stats()
	require.NoError(t, err)
	require.Equal(t, st.Seq, st.DurableSeq)
	require.NoError(t, other.SetSetting("sync", "false"))
	require.NoError(t, step(s, "a", 4))
	before = syncs.Load()
	require.NoError(t, step(s, "a", 5))
	require.Equal(t, before, syncs.Load())
}

// TestChunkSizeSetting: the file grows by what another process has set.
func TestChunkSizeSetting(t *testing.T) {
	path := newStorePath(t)
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	defer s.Close()
	other, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	require.NoError(t, other.SetSetting("chunksize", "33554432"))
	require.NoError(t, other.Close())
	st, err := s.Stats()
	require.NoError(t, err)
	require.NoError(t, s.Update(func(tx *engine.Tx) error {
		_, err := tx.Put(engine.RootID, value.String("big"), value.Bytes(make([]byte, 4<<20)), engine.PutOptions{})
		return err
	}))
	after, err := s.Stats()
	require.NoError(t, err)
	require.GreaterOrEqual(t, after.FileBytes-st.FileBytes, int64(32<<20))
	require.Equal(t, int64(32<<20), after.ChunkSize)
}
