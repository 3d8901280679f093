package fsnode_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

var (
	fsxOps  = flag.Int("fsx.ops", fsxFew, "operations of TestFsx for each size")
	fsxSeed = flag.Uint64("seed", 0, "seed of random tests, 0 for a new one")
)

// seed returns the seed of a random test and says it when the test fails.
func seed(t *testing.T) *rand.Rand {
	s := *fsxSeed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("-seed %d", s)
		}
	})
	return rand.New(rand.NewPCG(s, s))
}

const (
	fsxFew = 2000
	// fsxHuge is the size from which not all of the file is compared each time.
	fsxHuge  = 64 << 20
	fsxPiece = 256 << 10
)

// TestFsx does random reads, writes, appends, truncations and writes through
// mmap on a file, and compares it with a shadow copy.
func TestFsx(t *testing.T) {
	for _, size := range []int{6, 60, 5 << 10, 1 << 20, fsxHuge} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := seed(t)
			dir := newMount(t)
			x := fsx{t: t, r: r, path: filepath.Join(dir, "f"), max: size}
			x.open()
			defer x.close()
			ops := *fsxOps
			if size > 1<<16 && ops == fsxFew {
				ops /= 4
			}
			for i := range ops {
				x.step(i)
				if t.Failed() {
					return
				}
			}
		})
	}
}

type fsx struct {
	t      *testing.T
	r      *rand.Rand
	path   string
	max    int
	f      *os.File // read and write
	a      *os.File // append
	shadow []byte
}

func (x *fsx) open() {
	var err error
	if x.f, err = os.OpenFile(x.path, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		x.t.Fatal(err)
	}
	if x.a, err = os.OpenFile(x.path, os.O_WRONLY|os.O_APPEND, 0); err != nil {
		x.t.Fatal(err)
	}
}

func (x *fsx) close() {
	x.f.Close()
	x.a.Close()
}

// data returns n random bytes: digits, text or anything.
func (x *fsx) data(n int) []byte {
	p := make([]byte, n)
	alphabet := []string{"0123456789", "0123456789.-\n", "abc\n", ""}[x.r.IntN(4)]
	for i := range p {
		if alphabet == "" {
			p[i] = byte(x.r.Uint32())
		} else {
			p[i] = alphabet[x.r.IntN(len(alphabet))]
		}
	}
	return p
}

func (x *fsx) put(off int, p []byte) {
	if end := off + len(p); end > len(x.shadow) {
		x.shadow = append(x.shadow, make([]byte, end-len(x.shadow))...)
	}
	copy(x.shadow[off:], p)
}

func (x *fsx) step(i int) {
	what := ""
	check := func(err error) {
		if err != nil {
			x.t.Errorf("op %d %s: %v", i, what, err)
		}
	}
	off := x.r.IntN(x.max)
	n := x.r.IntN(x.max-off) + 1
	if x.max == fsxHuge {
		n = min(n, fsxPiece)
	}
	switch x.r.IntN(12) {
	case 0, 1, 2:
		what = fmt.Sprintf("write %d at %d", n, off)
		p := x.data(n)
		_, err := x.f.WriteAt(p, int64(off))
		check(err)
		x.put(off, p)
	case 3:
		n = min(n, max(0, x.max-len(x.shadow)))
		what = fmt.Sprintf("append %d", n)
		p := x.data(n)
		_, err := x.a.Write(p)
		check(err)
		x.put(len(x.shadow), p)
	case 4:
		what = fmt.Sprintf("truncate to %d", off)
		check(x.f.Truncate(int64(off)))
		x.truncate(off)
	case 5:
		what = fmt.Sprintf("truncate path to %d", off)
		check(os.Truncate(x.path, int64(off)))
		x.truncate(off)
	case 6:
		if x.max == fsxHuge && x.r.IntN(50) > 0 {
			return // it would be small most of the time
		}
		what = "overwrite"
		p := x.data(n)
		check(os.WriteFile(x.path, p, 0))
		x.shadow = append([]byte(nil), p...)
	case 7, 8:
		what = fmt.Sprintf("mmap write at %d", off)
		x.mapped(off, n, check)
	case 9:
		what = fmt.Sprintf("fallocate %d at %d", n, off)
		check(syscall.Fallocate(int(x.f.Fd()), 0, int64(off), int64(n)))
		x.put(off+n, nil)
	case 10:
		what = fmt.Sprintf("punch hole %d at %d", n, off)
		check(syscall.Fallocate(int(x.f.Fd()), 3, int64(off), int64(n)))
		if off < len(x.shadow) {
			clear(x.shadow[off:min(off+n, len(x.shadow))])
		}
	case 11:
		what = "reopen"
		x.close()
		x.open()
	}
	x.compare(i, what)
}

func (x *fsx) truncate(n int) {
	if n <= len(x.shadow) {
		x.shadow = x.shadow[:n]
		return
	}
	x.put(n, nil)
}

// mapped writes through a shared mapping of the whole file.
func (x *fsx) mapped(off, n int, check func(error)) {
	if off >= len(x.shadow) {
		return
	}
	base, end := 0, len(x.shadow)
	if x.max == fsxHuge {
		base, end = off&^0xfff, min(end, off+fsxPiece)
	}
	m, err := syscall.Mmap(int(x.f.Fd()), int64(base), end-base, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		check(err)
		return
	}
	if !bytes.Equal(m, x.shadow[base:end]) {
		x.t.Error("mmap differs from the shadow copy")
	}
	p := x.data(min(n, end-off))
	copy(m[off-base:], p)
	copy(x.shadow[off:], p)
	check(syscall.Munmap(m))
	check(x.f.Sync())
}

func (x *fsx) compare(i int, what string) {
	st, err := os.Stat(x.path)
	if err != nil {
		x.t.Fatal(err)
	}
	if st.Size() != int64(len(x.shadow)) {
		x.t.Errorf("op %d %s: size %d, want %d", i, what, st.Size(), len(x.shadow))
		return
	}
	if x.max == fsxHuge && i%256 > 0 {
		x.comparePiece(i, what)
		return
	}
	got, err := os.ReadFile(x.path)
	if err != nil {
		x.t.Fatal(err)
	}
	if !bytes.Equal(got, x.shadow) {
		x.t.Errorf("op %d %s: content differs at %d of %d", i, what, diff(got, x.shadow), len(x.shadow))
		return
	}
	// A read in the middle, through the handle that has written.
	if len(x.shadow) > 0 {
		off := x.r.IntN(len(x.shadow))
		p := make([]byte, len(x.shadow)-off)
		n, err := x.f.ReadAt(p, int64(off))
		if n == 0 {
			// The handle has read all of a version that another one replaced: it
			// is told of the end once.
			n, err = x.f.ReadAt(p, int64(off))
		}
		if n != len(p) || !bytes.Equal(p, x.shadow[off:]) {
			x.t.Errorf("op %d %s: read of %d at %d: %d, %v", i, what, len(p), off, n, err)
		}
	}
}

// comparePiece compares a random piece of a large file.
func (x *fsx) comparePiece(i int, what string) {
	if len(x.shadow) == 0 {
		return
	}
	off := x.r.IntN(len(x.shadow))
	want := x.shadow[off:min(off+fsxPiece, len(x.shadow))]
	got := make([]byte, len(want))
	if n, err := x.f.ReadAt(got, int64(off)); n < len(got) || !bytes.Equal(got, want) {
		x.t.Errorf("op %d %s: read of %d at %d: %d, %v, differs at %d", i, what, len(want), off, n, err, off+diff(got, want))
	}
}

func diff(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
