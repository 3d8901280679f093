package layout

import (
	"math/rand/v2"
	"testing"
)

// TestFindFlip: each single bit of objects of several lengths is found, no bit
// in a sound object, and none in one with two wrong bits.
func TestFindFlip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{32, 64, 1024, MaxObject} {
		obj := make([]byte, n)
		InitObject(obj, KindLeaf, 7)
		for i := HeaderSize; i < n; i++ {
			obj[i] = byte(random.Uint32())
		}
		Seal(obj)
		if at, _, ok := FindFlip(obj); ok {
			t.Errorf("byte %d of a sound object is found", at)
		}
		for range 500 {
			i, mask := random.IntN(n), byte(1)<<random.IntN(8)
			obj[i] ^= mask
			if at, m, ok := FindFlip(obj); !ok || at != i || m != mask {
				t.Errorf("bit %#x of byte %d of %d: found %#x of %d, %v", mask, i, n, m, at, ok)
			}
			j := (i + 1 + random.IntN(n-1)) % n
			obj[j] ^= mask
			if at, _, ok := FindFlip(obj); ok {
				t.Errorf("two wrong bits of %d bytes: byte %d is found", n, at)
			}
			obj[j] ^= mask
			obj[i] ^= mask
		}
	}
}
