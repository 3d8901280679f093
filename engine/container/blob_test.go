package container

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pongofs/engine/layout"
)

// blobModel is a blob beside its bytes.
type blobModel struct {
	m    *mem
	ref  layout.Ref
	want []byte
	old  []blobVersion
}

type blobVersion struct {
	ref  layout.Ref
	want []byte
}

func (b *blobModel) size() uint64 { return uint64(len(b.want)) }

func blobRoot(ref layout.Ref, size uint64) root { return root{ref, blobKind(blobHeight(size))} }

func (b *blobModel) write(t rapid.TB, p []byte, off int) {
	t.Helper()
	ref, size, err := BlobWriteAt(b.m, blobID, b.ref, b.size(), p, uint64(off))
	if err != nil {
		t.Fatal(err)
	}
	if end := off + len(p); len(p) > 0 && end > len(b.want) {
		b.want = append(b.want, make([]byte, end-len(b.want))...)
	}
	copy(b.want[min(off, len(b.want)):], p)
	if b.ref = ref; size != b.size() {
		t.Fatalf("size is %d, want %d", size, b.size())
	}
}

func (b *blobModel) truncate(t rapid.TB, size int) {
	t.Helper()
	ref, err := BlobTruncate(b.m, blobID, b.ref, b.size(), uint64(size))
	if err != nil {
		t.Fatal(err)
	}
	b.ref = ref
	if size < len(b.want) {
		b.want = slices.Clip(b.want[:size])
	} else {
		b.want = append(b.want, make([]byte, size-len(b.want))...)
	}
}

func (b *blobModel) publish() {
	b.m.publish()
	b.old = append(b.old, blobVersion{b.ref, bytes.Clone(b.want)})
}

func (b *blobModel) check(t rapid.TB) {
	t.Helper()
	if err := VerifyBlob(b.m, b.ref, b.size()); err != nil {
		t.Fatal(err)
	}
	b.m.check(blobRoot(b.ref, b.size()))
	for _, v := range append(b.old, blobVersion{b.ref, b.want}) {
		v.check(t, b.m)
	}
}

func (v *blobVersion) check(t rapid.TB, sp Space) {
	t.Helper()
	got := make([]byte, len(v.want)+1)
	n, err := BlobReadAt(sp, v.ref, uint64(len(v.want)), got, 0)
	if err != io.EOF || !bytes.Equal(got[:n], v.want) {
		t.Fatalf("blob of %d bytes reads as %d others, %v", len(v.want), n, err)
	}
}

func (b *blobModel) checkRead(t rapid.TB, off, n int) {
	t.Helper()
	p := bytes.Repeat([]byte{0xee}, n)
	got, err := BlobReadAt(b.m, b.ref, b.size(), p, uint64(off))
	wantN, wantErr := bytes.NewReader(b.want).ReadAt(make([]byte, n), int64(off))
	if off >= len(b.want) && n == 0 {
		wantErr = nil
	}
	if got != wantN || err != wantErr || !bytes.Equal(p[:got], b.want[min(off, len(b.want)):][:got]) {
		t.Fatalf("read %d at %d: %d, %v; want %d, %v", n, off, got, err, wantN, wantErr)
	}
}

func TestBlobAgreesWithBytes(t *testing.T) {
	const p = layout.BlockPayload
	size := rapid.OneOf(
		rapid.IntRange(0, 300),
		rapid.IntRange(p-2, p+2),
		rapid.IntRange(0, 5*p),
		rapid.IntRange(64*p-2, 64*p+2),
		rapid.IntRange(0, 70*p),
	)
	rapid.Check(t, func(t *rapid.T) {
		b := &blobModel{m: newMem(t)}
		fill := byte(0)
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				fill++
				b.write(t, bytes.Repeat([]byte{fill}, size.Draw(t, "length")), size.Draw(t, "offset"))
			},
			"append": func(t *rapid.T) {
				for range rapid.IntRange(1, 10).Draw(t, "times") {
					fill++
					b.write(t, bytes.Repeat([]byte{fill}, rapid.IntRange(1, 3000).Draw(t, "length")), len(b.want))
				}
			},
			"truncate": func(t *rapid.T) { b.truncate(t, size.Draw(t, "size")) },
			"publish":  func(*rapid.T) { b.publish() },
			"read":     func(t *rapid.T) { b.checkRead(t, size.Draw(t, "offset"), size.Draw(t, "length")) },
			"":         func(*rapid.T) {},
		})
		b.check(t)
		if err := BlobFree(b.m, blobID, b.ref, b.size()); err != nil {
			t.Fatal(err)
		}
		b.m.check()
	})
}

func TestBlobSizesInObjects(t *testing.T) {
	const p = layout.BlockPayload
	tests := []struct{ size, objects, bytes int }{
		{0, 0, 0},
		{1, 1, 64},
		{193, 1, 256},
		{p, 1, 8192},
		{p + 1, 3, 8192 + 64 + 64},
		{64 * p, 65, 64*8192 + 544},
		{64*p + 1, 68, 64*8192 + 544 + 64 + 32 + 64},
	}
	for _, test := range tests {
		m := newMem(t)
		if _, err := BlobCreate(m, blobID, make([]byte, test.size)); err != nil {
			t.Fatal(err)
		}
		if m.allocs != test.objects || m.bytes != test.bytes {
			t.Errorf("%d bytes: %d objects of %d bytes, want %d of %d",
				test.size, m.allocs, m.bytes, test.objects, test.bytes)
		}
	}
}

func TestBlobWriteCopiesOnlyItsPath(t *testing.T) {
	m := newMem(t)
	const size = 200 * layout.BlockPayload
	ref, err := BlobCreate(m, blobID, make([]byte, size))
	if err != nil {
		t.Fatal(err)
	}
	m.publish()
	m.copied, m.allocs = 0, 0
	if ref, _, err = BlobWriteAt(m, blobID, ref, size, make([]byte, 4096), 100*layout.BlockPayload); err != nil {
		t.Fatal(err)
	}
	if m.allocs != 3 || m.copied > 8192+544+128 {
		t.Errorf("4 KiB in the middle copy %d bytes in %d objects", m.copied, m.allocs)
	}
	m.allocs = 0
	for i := range uint64(20) { // the same edit goes on in place
		if ref, _, err = BlobWriteAt(m, blobID, ref, size, []byte("x"), 100*layout.BlockPayload+i); err != nil {
			t.Fatal(err)
		}
	}
	if m.allocs != 0 {
		t.Errorf("more writes to an owned block allocate %d objects", m.allocs)
	}
	m.check(blobRoot(ref, size))
}

func TestBlobOfATebibyteIsMostlyHoles(t *testing.T) {
	m := newMem(t)
	const size = 1 << 40
	ref, n, err := BlobWriteAt(m, blobID, layout.Nil, 0, []byte("end"), size-3)
	if err != nil || n != size {
		t.Fatal(n, err)
	}
	if ref, n, err = BlobWriteAt(m, blobID, ref, size, []byte("middle"), size/2); err != nil || n != size {
		t.Fatal(n, err)
	}
	m.publish()
	p := make([]byte, 10)
	if n, err := BlobReadAt(m, ref, size, p, size/2-2); err != nil || string(p[:n]) != "\x00\x00middle\x00\x00" {
		t.Errorf("%q, %v", p[:n], err)
	}
	if n, err := BlobReadAt(m, ref, size, p, size-4); err != io.EOF || string(p[:n]) != "\x00end" {
		t.Errorf("%q, %v", p[:n], err)
	}
	if m.bytes > 16<<10 {
		t.Errorf("%d bytes for 9 bytes of data", m.bytes)
	}
	if err := VerifyBlob(m, ref, size); err != nil {
		t.Error(err)
	}
	if ref, err = BlobTruncate(m, blobID, ref, size, size/2+3); err != nil {
		t.Fatal(err)
	}
	if ref, err = BlobTruncate(m, blobID, ref, size/2+3, size); err != nil {
		t.Fatal(err)
	}
	if n, err := BlobReadAt(m, ref, size, p, size/2-2); err != nil || string(p[:n]) != "\x00\x00mid\x00\x00\x00\x00\x00" {
		t.Errorf("after cut and extension %q, %v", p[:n], err)
	}
	m.check(blobRoot(ref, size))
	if ref, err = BlobTruncate(m, blobID, ref, size, 5); err != nil || ref != layout.Nil {
		t.Errorf("5 bytes of zeros are at %d, %v", ref, err)
	}
	m.check()
}

func TestBlobLimits(t *testing.T) {
	m := newMem(t)
	one := []byte{1}
	ref, size, err := BlobWriteAt(m, blobID, layout.Nil, 0, one, MaxBlob-1)
	if err != nil || size != MaxBlob {
		t.Fatal(size, err)
	}
	m.check(blobRoot(ref, size))
	for _, off := range []uint64{MaxBlob, MaxBlob + 1, 1<<64 - 1} {
		if _, _, err := BlobWriteAt(m, blobID, ref, size, one, off); !errors.Is(err, ErrRange) {
			t.Errorf("write at %d: %v", off, err)
		}
	}
	if _, err := BlobTruncate(m, blobID, ref, size, MaxBlob+1); !errors.Is(err, ErrRange) {
		t.Errorf("truncate: %v", err)
	}
	if _, err := BlobReadAt(m, ref, MaxBlob+1, one, 0); !isCorrupt(err) {
		t.Errorf("read of forged size: %v", err)
	}
	if err := BlobFree(m, blobID, ref, 1<<63); !isCorrupt(err) {
		t.Errorf("free of forged size: %v", err)
	}
	// A blob read with another size than it was written with.
	for _, forged := range []uint64{1, 8000, 1 << 20, 1 << 30} {
		if err := VerifyBlob(m, ref, forged); !isCorrupt(err) {
			t.Errorf("size %d: %v", forged, err)
		}
	}
}

func TestBlobFailedAllocationLeavesPublishedVersion(t *testing.T) {
	for fail := 0; ; fail++ {
		b := &blobModel{m: newMem(t)}
		b.write(t, bytes.Repeat([]byte("abc"), 70*layout.BlockPayload/3), 0)
		b.publish()
		b.m.failing = fail
		ref, size, err := BlobWriteAt(b.m, blobID, b.ref, b.size(), make([]byte, 3*layout.BlockPayload), 5000)
		if err == nil {
			_, err = BlobTruncate(b.m, blobID, ref, size, 40*layout.BlockPayload+1)
		}
		b.old[0].check(t, b.m)
		if err == nil {
			break
		}
		if !errors.Is(err, errFull) {
			t.Fatal(err)
		}
	}
}
