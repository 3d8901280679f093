package integration

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// layers says which packages of the module each package may import. It is in
// build order: a package may only name rows above its own. invariant may be
// imported by all.
var layers = []struct {
	dir    string
	mayUse []string
}{
	{"engine/invariant", nil},
	{"engine/value", nil},
	{"engine/layout", nil},
	{"engine/mapping", nil},
	{"engine/heap", []string{"engine/layout", "engine/mapping"}},
	{"engine/epoch", []string{"engine/layout", "engine/mapping"}},
	{"engine/container", []string{"engine/layout", "engine/value"}},
	{"engine/trace", []string{"engine/container", "engine/heap", "engine/layout"}},
	{"engine/check", []string{"engine/container", "engine/heap", "engine/layout", "engine/mapping", "engine/trace", "engine/value"}},
	{"engine", []string{"engine/container", "engine/epoch", "engine/heap", "engine/layout", "engine/mapping", "engine/trace", "engine/value"}},
	// Models of the protocols, a few words of state each; tests only.
	{"engine/protomodel", nil},
	{"engine/enginetest", []string{"engine", "engine/check", "engine/container", "engine/layout", "engine/mapping"}},
	{"encoding", []string{"engine/value"}},
	{"gc", []string{"engine", "engine/epoch", "engine/heap", "engine/trace"}},
	{"fsnode", []string{"engine", "engine/value", "encoding"}},
	{"cmd/pongofs", []string{"engine", "engine/value", "engine/check", "encoding", "gc", "fsnode"}},
	// The only code of integration is its tests.
	{"integration", nil},
}

// outside says which packages may import a package from elsewhere, tests
// apart. What is not listed is free.
var outside = []struct {
	prefix string
	only   []string
	reason string
}{
	{"golang.org/x/sys/unix", []string{"engine/mapping"}, "mapping is the one door to the kernel's memory and locks"},
	{"github.com/hanwen/go-fuse/", []string{"fsnode"}, "fsnode is the one package that knows FUSE"},
	{"github.com/spf13/cobra", []string{"cmd/pongofs"}, "only the command parses command lines"},
	{"encoding/json", []string{"encoding", "cmd/pongofs"}, "formats belong to encoding; the command prints its --json"},
	{"go.mongodb.org/", []string{"encoding"}, "formats belong to encoding"},
	{"go.yaml.in/", []string{"encoding"}, "formats belong to encoding"},
	{"github.com/BurntSushi/toml", []string{"encoding"}, "formats belong to encoding"},
	{"pongofs/engine/enginetest", nil, "it is for tests"},
	{"pongofs/engine/protomodel", nil, "it is for tests"},
	{"testing", []string{"engine/enginetest"}, "it is for tests"},
}

// TestLayers holds the import table. It opens the files itself, since a test
// that asks go list is cached and goes stale.
func TestLayers(t *testing.T) {
	mayUse := map[string]map[string]bool{}
	for _, row := range layers {
		set := map[string]bool{"engine/invariant": true}
		for _, dir := range row.mayUse {
			if mayUse[dir] == nil {
				t.Errorf("table: %s may use %s, which is not above it", row.dir, dir)
			}
			set[dir] = true
		}
		mayUse[row.dir] = set
	}
	eachImport(t, func(file, dir, imported string, test bool) {
		if mayUse[dir] == nil {
			t.Errorf("%s: package %s is not in the table of layers", file, dir)
			return
		}
		if test {
			return // tests may look upwards
		}
		if local, ok := strings.CutPrefix(imported, "pongofs/"); ok && !mayUse[dir][local] {
			t.Errorf("%s imports %s, which the table of layers does not allow", file, imported)
		}
		if imported == "unsafe" && !strings.HasSuffix(file, "_unsafe.go") {
			t.Errorf("%s imports unsafe; only files named *_unsafe.go may", file)
		}
		for _, rule := range outside {
			if imported != rule.prefix && !(strings.HasSuffix(rule.prefix, "/") && strings.HasPrefix(imported, rule.prefix)) {
				continue
			}
			allowed := false
			for _, only := range rule.only {
				allowed = allowed || only == dir
			}
			if !allowed {
				t.Errorf("%s imports %s: %s", file, imported, rule.reason)
			}
		}
	})
}

// eachImport calls fn for every import of the module.
func eachImport(t *testing.T, fn func(file, dir, imported string, test bool)) {
	files := 0
	err := filepath.WalkDir(repo, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(repo, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			// Modules of their own, and what the tour mounts.
			if base := d.Name(); rel != "." && (strings.HasPrefix(base, ".") || base == "testdata") ||
				rel == "tools" || rel == "bench" || rel == "run" || rel == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		files++
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			fn(rel, path.Dir(rel), imported, strings.HasSuffix(rel, "_test.go"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("no Go files found")
	}
}
