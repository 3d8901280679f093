package protomodel
import ("testing";"time";"runtime")
func run(t *testing.T, name string, cfg heapConfig, offs ...Mend){
  for _, off := range append([]Mend{AllOn}, offs...) {
	st:=time.Now()
	o:=explore(heapScenario(cfg,off), 3000000)
	var ms runtime.MemStats; runtime.ReadMemStats(&ms)
	t.Logf("%s off=%d %v complete=%v %v mem=%dM", name, off, o, o.Complete, time.Since(st), ms.Sys>>20)
  }
}
func TestReclaim(t *testing.T){
  run(t,"reclaim",heapConfig{editsA:2,editsB:1,reads:1,drains:1,kills:0}, PinThenLoad,HintAfterSwap,ShortPinOpen,BoundBeforeSlots,PinThroughSwap)
}
func TestNamed(t *testing.T){
  run(t,"named",heapConfig{editsA:2,reads:1,names:true,drains:1,kills:0}, NamedPinExact,NamedBeforeUnpin,ShortBeforeNamed,NamedScanStable)
}
