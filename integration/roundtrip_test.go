package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// dataFiles are the real documents in data/.
var dataFiles = []string{
	"bank-holidays.json",
	"gh_emoji.json",
	"ncdc_stations_big.json",
	"registrationlisting100.json",
	"event100.json",
}

// TestDocumentRoundTrip takes each real document in and out again: as plain
// JSON it is equal, as Extended JSON it makes an equal store.
func TestDocumentRoundTrip(t *testing.T) {
	for _, name := range dataFiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			store, again := filepath.Join(dir, "a.pongo"), filepath.Join(dir, "b.pongo")
			pongofs(t, "create", store)
			pongofs(t, "import", store, filepath.Join(repo, "data", name))
			original, err := os.ReadFile(filepath.Join(repo, "data", name))
			if err != nil {
				t.Fatal(err)
			}
			exported := pongofs(t, "export", "--format", "json", store)
			if diff := compareJSON("", decodeJSON(t, []byte(exported)), decodeJSON(t, original)); diff != "" {
				t.Errorf("export differs from the document: %s", diff)
			}
			lossless := filepath.Join(dir, "b.json")
			pongofs(t, "export", "-o", lossless, store)
			pongofs(t, "create", again)
			pongofs(t, "import", again, lossless)
			pongofs(t, "diff", store, again)
		})
	}
}

// rsyncFiles are the documents of TestRsyncRoundTrip. The largest makes 75 000
// files, which rsync goes through eight times: make large includes it.
func rsyncFiles() []string {
	if os.Getenv("PONGOFS_LARGE") != "" {
		return dataFiles
	}
	return slices.DeleteFunc(slices.Clone(dataFiles), func(name string) bool { return name == "event100.json" })
}

// TestRsyncRoundTrip copies each real document out of a mount and into a new
// store with rsync -aX. Nothing differs, and a second run has nothing to do.
func TestRsyncRoundTrip(t *testing.T) {
	needFuse(t)
	for _, name := range rsyncFiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			a, b := filepath.Join(dir, "a.pongo"), filepath.Join(dir, "b.pongo")
			pongofs(t, "create", a)
			pongofs(t, "import", a, filepath.Join(repo, "data", name))
			pongofs(t, "create", b)
			// rsync takes a directory's time to be right when the second is, and
			// new directories would have that of the import.
			for second := time.Now().Unix(); time.Now().Unix() == second; {
				time.Sleep(10 * time.Millisecond)
			}
			mountA := mount(t, a, filepath.Join(dir, "a"))
			mountB := mount(t, b, filepath.Join(dir, "b"))
			out := filepath.Join(dir, "out")
			for _, way := range []struct{ from, to string }{{mountA.dir, out}, {out, mountB.dir}} {
				run(t, "rsync", "-aX", way.from+"/", way.to+"/")
				if again := run(t, "rsync", "-aXi", way.from+"/", way.to+"/"); again != "" {
					t.Errorf("a second rsync from %s to %s is not silent:\n%s", filepath.Base(way.from), filepath.Base(way.to), tail(again))
				}
			}
			// Beside the running mounts, and of everything that is kept.
			stdout, _, err := try(binary, "diff", "--all", a, b)
			if err != nil {
				t.Errorf("pongofs diff --all: %v\n%s", err, tail(stdout))
			}
			unmount(t, mountA)
			unmount(t, mountB)
			pongofs(t, "diff", a, b)
		})
	}
}

// decodeJSON reads one document, numbers exactly.
func decodeJSON(t *testing.T, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// compareJSON describes the first difference of two documents.
func compareJSON(path string, got, want any) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok || len(object) != len(want) {
			return fmt.Sprintf("%s: got %T of %d, want an object of %d", path, got, len(object), len(want))
		}
		for key, value := range want {
			member, ok := object[key]
			if !ok {
				return fmt.Sprintf("%s/%s: is missing", path, key)
			}
			if diff := compareJSON(path+"/"+key, member, value); diff != "" {
				return diff
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("%s: got %T of %d, want a list of %d", path, got, len(list), len(want))
		}
		for i := range want {
			if diff := compareJSON(fmt.Sprintf("%s/%d", path, i), list[i], want[i]); diff != "" {
				return diff
			}
		}
		return ""
	case json.Number:
		number, ok := got.(json.Number)
		x, okX := new(big.Rat).SetString(number.String())
		y, okY := new(big.Rat).SetString(want.String())
		if ok && okX && okY && x.Cmp(y) == 0 {
			return ""
		}
	default:
		if got == want {
			return ""
		}
	}
	return fmt.Sprintf("%s: got %v, want %v", path, got, want)
}
