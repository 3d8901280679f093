package container
import "testing"
func BenchmarkXGetSame(b *testing.B){
	a, t, keys := loadedTree(b)
	for b.Loop() { Get(a, *t, keys[77]) }
}
func BenchmarkXFindSame(b *testing.B){
	a, t, keys := loadedTree(b)
	for b.Loop() { var c Cursor; c.Open(a,*t); c.Find(keys[77]) }
}
func BenchmarkXPutSame(b *testing.B){
	benchEdits(b, 1, func(a *arena, t *Tree, i int, key []byte) error { return benchPut(a,t,i,loaded.keys[77]) })
}
func BenchmarkXPutSameOwned(b *testing.B){
	benchEdits(b, 1000000000, func(a *arena, t *Tree, i int, key []byte) error { return benchPut(a,t,i,loaded.keys[77]) })
}
