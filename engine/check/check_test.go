package check_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"pongofs/engine"
	"pongofs/engine/check"
	"pongofs/engine/layout"
)

func TestSoundStoreIsClean(t *testing.T) {
	path, _ := newStore(t)
	rep := look(t, path)
	require.True(t, rep.Clean(), "%+v", rep.Findings)
	require.Greater(t, rep.Entries, uint64(2700))
	require.True(t, rep.Readable)
}

// TestRewriteKeepsEverything: what a rewrite of a sound store holds is equal in
// all that the engine shows, it is clean, and can be written to.
func TestRewriteKeepsEverything(t *testing.T) {
	path, want := newStore(t)
	to := filepath.Join(t.TempDir(), "to.pongo")
	rep, err := rewriteFile(t, path, to)
	require.NoError(t, err)
	require.True(t, rep.Clean(), "%+v", rep.Findings)
	rep = look(t, to)
	require.True(t, rep.Clean(), "%+v", rep.Findings)
	require.Equal(t, want, dumpFile(t, to))

	s, err := engine.Open(to, engine.Options{Commit: -1})
	require.NoError(t, err)
	fillStoreAgain(t, s)
	_, err = s.Internals().Verify()
	require.NoError(t, err)
	require.NoError(t, s.Close())
	rep = look(t, to)
	require.True(t, rep.Clean(), "%+v", rep.Findings)
}

// change edits the image of a store file, which then has no shm file.
func change(t testing.TB, path string, edit func(b []byte, live func(layout.Ref) bool)) {
	t.Helper()
	live := liveSet(t, path)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	edit(b, live)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	if err := os.Remove(path + "-shm"); err != nil {
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}

// liveSet returns what the newest version of a sound store reaches.
func liveSet(t testing.TB, path string) func(layout.Ref) bool {
	t.Helper()
	s, err := engine.Open(path, engine.Options{Commit: -1})
	require.NoError(t, err)
	live, err := s.Internals().Verify()
	require.NoError(t, err)
	require.NoError(t, s.Close())
	return live.Has
}

// TestFindings damages or forges one thing at a time: check names the rule,
// and a rewrite is clean and loses what it has to, not more.
func TestFindings(t *testing.T) {
	flip := func(kind layout.Kind, nth int) func(*testing.T, []byte, func(layout.Ref) bool) {
		return func(t *testing.T, b []byte, live func(layout.Ref) bool) {
			all := objects(b, live, kind)
			o := all[nth%len(all)]
			o.b[len(o.b)/2] ^= 0x10
			o.b[len(o.b)/2+2] ^= 0x61
		}
	}
	bit := func(kind layout.Kind, nth, at int) func(*testing.T, []byte, func(layout.Ref) bool) {
		return func(t *testing.T, b []byte, live func(layout.Ref) bool) {
			all := objects(b, live, kind)
			all[nth%len(all)].b[at] ^= 0x08
		}
	}
	forge := func(kind layout.Kind, nth int, edit func(o []byte)) func(*testing.T, []byte, func(layout.Ref) bool) {
		return func(t *testing.T, b []byte, live func(layout.Ref) bool) {
			all := objects(b, live, kind)
			o := all[nth%len(all)].b
			edit(o)
			layout.Seal(o)
		}
	}
	add := func(off int, n uint64) func([]byte) {
		return func(o []byte) { binary.LittleEndian.PutUint64(o[off:], binary.LittleEndian.Uint64(o[off:])+n) }
	}
	tests := []struct {
		name string
		edit func(t *testing.T, b []byte, live func(layout.Ref) bool)
		rule string
		lost bool
	}{
		{"leaf checksum", flip(layout.KindLeaf, 20), check.RuleObject, true},
		{"inner node checksum", flip(layout.KindInner, 3), check.RuleObject, true},
		{"record checksum", flip(layout.KindContainer, 12), check.RuleObject, true},
		{"id node checksum", flip(layout.KindIDNode, 2), check.RuleIDTable, true},
		{"block checksum", flip(layout.KindBlock, 9), check.RuleObject, true},
		{"blob node checksum", flip(layout.KindBlobNode, 0), check.RuleObject, true},
		{"bit in a leaf", bit(layout.KindLeaf, 20, 50), check.RuleObject, false},
		{"bit in an inner node", bit(layout.KindInner, 3, 20), check.RuleObject, false},
		{"bit in a record", bit(layout.KindContainer, 12, 64), check.RuleObject, false},
		{"bit in an id node", bit(layout.KindIDNode, 2, 30), check.RuleObject, false},
		{"bit in a block", bit(layout.KindBlock, 9, 40), check.RuleObject, false},
		{"bit in a checksum", bit(layout.KindLeaf, 30, 5), check.RuleObject, false},
		{"bit in a birth", bit(layout.KindLeaf, 31, 12), check.RuleObject, false},
		{"bit in a kind", bit(layout.KindContainer, 9, 0), check.RuleObject, false},
		{"bit in the root record", bit(layout.KindRoot, 0, 33), check.RuleObject, false},
		{"element count", forge(layout.KindContainer, 8, add(layout.RecordSubdirsOff, 1)), check.RuleCount, false},
		{"body count", forge(layout.KindInner, 1, add(layout.InnerLeftCountOff, 1)), check.RuleBody, false},
		{"huge weight", forge(layout.KindContainer, 4, func(o []byte) {
			binary.LittleEndian.PutUint32(o[layout.RecordBodyWeightOff:], 1<<31)
		}), check.RuleBody, false},
		{"parent", forge(layout.KindContainer, 10, add(layout.RecordParentOff, 1)), check.RuleRecord, false},
		{"record id", forge(layout.KindContainer, 10, add(layout.RecordIDOff, 1)), check.RuleRecord, true},
		{"two children are one", forge(layout.KindInner, 2, func(o []byte) {
			copy(o[layout.InnerLeftOff:layout.InnerLeftOff+8], o[layout.InnerRightOff:layout.InnerRightOff+8])
		}), check.RuleReferrer, true},
		{"ref out of range", forge(layout.KindInner, 2, func(o []byte) {
			binary.LittleEndian.PutUint64(o[layout.InnerLeftOff:], 1<<62)
		}), check.RuleBody, true},
		{"birth after the root", func(t *testing.T, b []byte, live func(layout.Ref) bool) {
			o := objects(b, live, layout.KindLeaf)[5].b
			layout.SetBirth(o, 1<<60)
			layout.Seal(o)
		}, check.RuleObject, true},
		{"entry count of the root", forge(layout.KindRoot, 0, add(48, 1)), check.RuleCount, false},
		{"header page", func(_ *testing.T, b []byte, _ func(layout.Ref) bool) { b[100] ^= 1 }, check.RuleHeader, false},
		{"magic", func(_ *testing.T, b []byte, _ func(layout.Ref) bool) { b[3] ^= 1 }, check.RuleHeader, false},
		{"empty checkpoint page", func(_ *testing.T, b []byte, _ func(layout.Ref) bool) {
			b[layout.CheckpointPage(100)+7] = 1
		}, check.RuleCheckpoint, false},
		{"both pages of a pair", func(_ *testing.T, b []byte, _ func(layout.Ref) bool) {
			b[layout.CheckpointPage(100)+20] = 1
			b[layout.CheckpointPage(101)+20] = 1
		}, check.RuleCheckpoint, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path, want := newStore(t)
			change(t, path, func(b []byte, live func(layout.Ref) bool) { test.edit(t, b, live) })
			rep := look(t, path)
			require.False(t, rep.Clean())
			rules := map[string]bool{}
			for _, f := range rep.Findings {
				rules[f.Rule] = true
				require.NotEmpty(t, f.Place)
				require.NotEmpty(t, f.Cause)
				require.NotEmpty(t, f.Remedy)
			}
			require.True(t, rules[test.rule], "%+v", rep.Findings)
			require.Equal(t, test.lost, rep.LostParts > 0, "%+v", rep.Findings)

			to := filepath.Join(t.TempDir(), "to.pongo")
			_, err := rewriteFile(t, path, to)
			require.NoError(t, err)
			after := look(t, to)
			require.True(t, after.Clean(), "%+v", after.Findings)
			got := dumpFile(t, to)
			if !test.lost {
				require.Equal(t, want, got)
				return
			}
			requireSubset(t, want, got)
		})
	}
}

// newestPage returns the page of the newest checkpoint record of an image.
func newestPage(b []byte) int {
	best, page := layout.Checkpoint{}, -1
	for i := range layout.MaxProcesses * layout.CheckpointPages {
		if c, ok := layout.DecodeCheckpoint(b[layout.CheckpointPage(i):]); ok && c.Seq > best.Seq {
			best, page = c, i
		}
	}
	return page
}

// TestTornRecordIsANote: one record of a pair that was written in part is what
// a power cut leaves, be it over zeros or over an older one.
func TestTornRecordIsANote(t *testing.T) {
	torn := func(t *testing.T, path string, edit func(b []byte)) {
		change(t, path, func(b []byte, _ func(layout.Ref) bool) { edit(b) })
		rep := look(t, path)
		require.True(t, rep.Clean(), "%+v", rep.Findings)
		require.Len(t, rep.Findings, 1)
		f := rep.Findings[0]
		require.Equal(t, check.Note, f.Severity)
		require.Equal(t, check.RuleCheckpoint, f.Rule)
		require.Contains(t, f.Cause, "as a power cut leaves it")
		require.Equal(t, "nothing needs to be done", f.Remedy)

		// The slot's next checkpoints write it anew.
		s, err := engine.Open(path, engine.Options{Commit: -1})
		require.NoError(t, err)
		fillStoreAgain(t, s)
		require.NoError(t, s.Close())
	}
	t.Run("over zeros", func(t *testing.T) {
		path, _ := newStore(t)
		torn(t, path, func(b []byte) {
			copy(b[layout.CheckpointPage(100):], b[layout.CheckpointPage(newestPage(b)):][:40])
		})
	})
	t.Run("over an older one", func(t *testing.T) {
		path, _ := newStore(t)
		torn(t, path, func(b []byte) {
			newest := newestPage(b)
			older := b[layout.CheckpointPage(newest^1):]
			_, ok := layout.DecodeCheckpoint(older)
			require.True(t, ok, "the store has two records")
			copy(older[8:16], b[layout.CheckpointPage(newest):][8:16])
		})
		rep := look(t, path)
		require.Empty(t, rep.Findings)
	})
}

// TestDurableRecordDamaged: while the processes' shm file is there, it is known
// that a record was durable, so that damage of it is no power cut.
func TestDurableRecordDamaged(t *testing.T) {
	path, _ := newStore(t)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[layout.CheckpointPage(newestPage(b))+20] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o600))
	rep := look(t, path)
	require.Equal(t, 1, rep.Errors, "%+v", rep.Findings)
	require.Contains(t, rep.Findings[1].Cause, "after it had become durable")
}
