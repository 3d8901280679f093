package integration

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"pongofs/engine"
	"pongofs/engine/value"
)

// oddValues are values of every type, among them all whose text is that of
// another type.
var oddValues = map[string]value.Value{
	"null": value.Null(), "true": value.Bool(true), "false": value.Bool(false),
	"int": value.Int(42), "max": value.Int(math.MaxInt64), "min": value.Int(math.MinInt64), "zero": value.Int(0),
	"tenth": value.Float(0.1), "tiny": value.Float(5e-324), "negzero": value.Float(math.Copysign(0, -1)),
	"nan": value.Float(math.NaN()), "inf": value.Float(math.Inf(-1)), "whole": value.Float(3), "huge": value.Float(math.MaxFloat64),
	"datetime": value.Datetime(time.Date(2024, 2, 29, 23, 59, 59, 999999000, time.UTC)),
	"epoch":    value.Datetime(time.Unix(0, 0)),
	"uuid":     value.UUID(uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")),

	"s42": value.String("42"), "strue": value.String("true"), "sempty": value.String(""), "sblank": value.String(" 42"),
	"s007": value.String("007"), "s1.10": value.String("1.10"), "snull": value.String("null"), "snan": value.String("nan"),
	"sdate": value.String("2024-02-29T23:59:59Z"), "suuid": value.String("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
	"slines": value.String("one\ntwo\n"), "sunicode": value.String("Grüße, 世界"), "slong": value.String(strings.Repeat("long ", 40_000)),

	"bytes": value.Bytes([]byte{0, 1, 2, 0xff, 0xfe}), "btext": value.Bytes([]byte("text")), "b42": value.Bytes([]byte("42")),
	"bempty": value.Bytes(nil), "blong": value.Bytes([]byte(strings.Repeat("\x00\xff", 50_000))),
}

// oddKeys are keys that need care on their way to a file name and back.
var oddKeys = []value.Value{
	value.String(""), value.String("."), value.String(".."), value.String("%2F"), value.String("%=i55"), value.String("a/b"),
	value.String("/"), value.String("%"), value.String("100%"), value.String("%25"), value.String(".pongo"), value.String(".pongo-types"),
	value.String("new\nline"), value.String("\xff\xfe invalid"), value.String("nul\x00byte"), value.String(" blank "), value.String("-rf"),
	value.String(strings.Repeat("k", 255)), value.String(strings.Repeat("long ", 60)), value.String(strings.Repeat("long ", 60) + "other"),
	value.String(strings.Repeat("世", 100)), value.String("55"), value.Int(55), value.Int(math.MinInt64), value.Float(2.5), value.Bool(true),
	value.Null(), value.Datetime(time.Unix(1e9, 0)), value.UUID(uuid.Nil), value.Bytes([]byte{0, 47, 255}), value.String("*"), value.String("Case"), value.String("case"),
}

// makeOdd fills a store with everything that is hard to copy, but for what the
// tool itself cannot: git knows nothing of empty directories, and unzip changes
// names that are not UTF-8.
func makeOdd(t *testing.T, path, tool string) {
	t.Helper()
	pongofs(t, "create", path)
	s, err := engine.Open(path, engine.Options{AnyFS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	attr := engine.NewAttr{Mode: 0o644}
	err = s.Update(func(tx *engine.Tx) error {
		make := func(dir engine.ID, key value.Value, kind value.Kind) engine.ID {
			e, err := tx.Make(dir, key, kind, engine.NewAttr{Mode: 0o755})
			if err != nil {
				t.Fatalf("make %v: %v", key, err)
			}
			return e.ID
		}
		put := func(dir engine.ID, key, v value.Value, declared bool) {
			if _, err := tx.Put(dir, key, v, engine.PutOptions{Declared: declared, New: attr}); err != nil {
				t.Fatalf("put %v: %v", key, err)
			}
		}
		values := make(engine.RootID, value.String("values"), value.KindDict)
		for name, v := range oddValues {
			put(values, value.String(name), v, true)
		}
		for _, kind := range []value.Kind{value.KindDict, value.KindCollection} {
			keys := make(engine.RootID, value.String("keys of a "+kind.String()), kind)
			for i, key := range oddKeys {
				if tool == "zip" && !utf8.ValidString(key.AsString()) {
					continue
				}
				put(keys, key, value.Int(int64(i)), i%2 == 0)
			}
			dirs := make(engine.RootID, value.String("dirs of a "+kind.String()), kind)
			for _, key := range oddKeys {
				if tool == "zip" && !utf8.ValidString(key.AsString()) {
					continue
				}
				put(make(dirs, key, value.KindDict), value.String("in"), value.String("7"), true)
			}
		}
		if tool != "git" {
			make(engine.RootID, value.String("empty dict"), value.KindDict)
		}
		make(engine.RootID, value.String("empty list"), value.KindList)
		make(engine.RootID, value.String("empty collection"), value.KindCollection)
		list := make(engine.RootID, value.String("list"), value.KindList)
		for _, i := range []int64{0, 1, 2, 5, 9, 10, 11, 100} {
			put(list, value.Int(i), value.Int(i), true)
		}
		inner := make(list, value.Int(200), value.KindList)
		put(inner, value.Int(3), value.String("3"), true)
		put(make(inner, value.Int(4), value.KindList), value.Int(1), value.Float(1), true)
		put(make(list, value.Int(201), value.KindDict), value.String("a"), value.Null(), true)
		links := make(engine.RootID, value.String("links"), value.KindDict)
		for name, to := range map[string]string{"relative": "../values/int", "absolute": "/etc/passwd", "dangling": "nowhere\n else"} {
			o := engine.PutOptions{Link: true, NoEOL: true, New: engine.NewAttr{Mode: 0o777}}
			if _, err := tx.PutImage(links, value.String(name), value.KindString, []byte(to), o); err != nil {
				t.Fatal(err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOddStoreRoundTrip copies a store that holds every type, every odd key and
// every kind of container out of a mount and into a new store, by every tool
// that people back up with. Nothing differs.
func TestOddStoreRoundTrip(t *testing.T) {
	needFuse(t)
	// Each script copies the mount $A to the mount $B, by way of $TMP.
	tools := []struct{ name, script string }{
		{"rsync -a", `rsync -a "$A/" "$TMP/out/"; rsync -a "$TMP/out/" "$B/"; [ -z "$(rsync -ai "$A/" "$TMP/out/"; rsync -ai "$TMP/out/" "$B/")" ]`},
		{"rsync -aX", `rsync -aX "$A/" "$TMP/out/"; rsync -aX "$TMP/out/" "$B/"; [ -z "$(rsync -aXi "$A/" "$TMP/out/"; rsync -aXi "$TMP/out/" "$B/")" ]`},
		{"rsync --inplace", `rsync -a --inplace "$A/" "$TMP/out/"; rsync -a --inplace "$TMP/out/" "$B/"; [ -z "$(rsync -ai "$TMP/out/" "$B/")" ]`},
		{"tar", `tar -C "$A" -cf "$TMP/t" .; tar -C "$B" -xf "$TMP/t"`},
		{"tar --xattrs", `tar -C "$A" --xattrs -cf "$TMP/t" .; tar -C "$B" --xattrs -xf "$TMP/t"`},
		{"tar twice", `tar -C "$A" -cf "$TMP/t" .; tar -C "$B" -xf "$TMP/t"; tar -C "$B" -xf "$TMP/t"`},
		{"cp -r", `cp -r "$A/." "$TMP/out"; cp -r "$TMP/out/." "$B"`},
		{"cp -a", `cp -a "$A/." "$TMP/out"; cp -a "$TMP/out/." "$B"`},
		{"cp -a directly", `cp -a "$A/." "$B"`},
		{"git", `export GIT_DIR="$TMP/repo" GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
			export GIT_WORK_TREE="$A"; git init -q; cd "$A"; git add -A; git commit -qm all
			export GIT_WORK_TREE="$B"; cd "$B"; git checkout -q -f HEAD -- .; [ -z "$(git status --porcelain)" ]`},
		{"zip", `cd "$A"; zip -qry "$TMP/t.zip" .; cd "$B"; unzip -qo^ "$TMP/t.zip"`},
		{"export", `pongofs export -o "$TMP/t.json" "$STORE_A"; pongofs import --escape-keys "$STORE_B" "$TMP/t.json"`},
	}
	for _, tool := range tools {
		t.Run(tool.name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			a, b := filepath.Join(dir, "a.pongo"), filepath.Join(dir, "b.pongo")
			makeOdd(t, a, tool.name)
			pongofs(t, "create", b)
			mountA, mountB := mount(t, a, filepath.Join(dir, "a")), mount(t, b, filepath.Join(dir, "b"))
			if err := os.Mkdir(filepath.Join(dir, "out"), 0o755); err != nil {
				t.Fatal(err)
			}
			env := []string{
				"A=" + mountA.dir, "B=" + mountB.dir, "TMP=" + dir, "STORE_A=" + a, "STORE_B=" + b,
				"PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH"),
			}
			_, stderr, err := try("env", append(env, "bash", "-euc", tool.script)...)
			if err != nil {
				t.Errorf("%s: %v\n%s", tool.name, err, tail(stderr))
			}
			stdout, stderr, err := try(binary, "diff", a, b)
			if err != nil {
				t.Errorf("after %s the stores differ: %v\n%s", tool.name, err, tail(stdout+stderr))
			}
			unmount(t, mountA)
			unmount(t, mountB)
		})
	}
}
