package fsnode

import (
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
)

// metaDir is .pongo/meta: a file for each setting of the store.
type metaDir struct{ fs *fileSystem }

func (metaDir) attr(a *fuse.Attr) error {
	fillVirtual(a, syscall.S_IFDIR|0o555, 2, 0)
	return nil
}

func (metaDir) parent() uint64 { return controlIDs }

func (metaDir) path() string { return "/.pongo/meta" }

func (d metaDir) child(name string) (virtual, uint64) {
	for i, known := range d.list() {
		if known == name {
			return metaFile{d.fs, name}, metaID + 1 + uint64(i)
		}
	}
	return nil, 0
}

func (metaDir) list() []string { return engine.SettingNames() }

// metaFile is a setting as a file: what holds, and a newline. What is written
// is checked; a setting that was refused stays as it is.
type metaFile struct {
	fs   *fileSystem
	name string
}

func (f metaFile) path() string { return "/.pongo/meta/" + f.name }

func (f metaFile) text() (string, error) {
	text, err := f.fs.store.Setting(f.name)
	return text + "\n", err
}

func (f metaFile) attr(a *fuse.Attr) error {
	text, err := f.text()
	if err != nil {
		return err
	}
	fillVirtual(a, syscall.S_IFREG|0o644, 1, len(text))
	return nil
}

func (metaFile) parent() uint64 { return metaID }

func (f metaFile) open(flags uint32) (openFile, error) {
	text, err := f.text()
	if err != nil {
		return nil, err
	}
	if flags&syscall.O_ACCMODE == syscall.O_RDONLY && flags&syscall.O_TRUNC == 0 {
		return fixedFile(text), nil
	}
	w := &metaWriter{virtualText: virtualText{longest: maxSetting}, file: f}
	if flags&syscall.O_TRUNC == 0 {
		w.text = []byte(text)
	}
	return w, nil
}

// maxSetting is the length in bytes of the longest text of a setting.
const maxSetting = 4096

// metaWriter is a setting that is open for writing. It takes what was written
// when the text ends in a newline, so that a shell is told at once, or else when
// a descriptor is closed.
type metaWriter struct {
	virtualText
	file metaFile
}

func (w *metaWriter) write(off int64, p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.put(off, p); err != nil {
		return err
	}
	if w.text[len(w.text)-1] != '\n' {
		return nil
	}
	return w.apply()
}

func (w *metaWriter) truncate(size int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.resize(size)
}

func (w *metaWriter) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dirty {
		return nil
	}
	return w.apply()
}

func (w *metaWriter) close() error { return w.flush() }

// apply makes the text the setting. What is refused is refused once.
//
// Preconditions: w.mu is held.
func (w *metaWriter) apply() error {
	w.dirty = false
	return w.file.fs.store.SetSetting(w.file.name, strings.TrimSuffix(string(w.text), "\n"))
}
