package protomodel
import ("testing";"time";"runtime";"os")
func rep(t *testing.T, name string, off Mend, o Outcome, st time.Time){
	var ms runtime.MemStats; runtime.ReadMemStats(&ms)
	t.Logf("%s off=%d %d/%d depth %d %v len %d complete=%v %v mem=%dM", name, off, o.States, o.Steps,o.Depth, o.Broken, len(o.Trace)-1, o.Complete, time.Since(st), ms.Sys>>20)
	if os.Getenv("TR")!="" {t.Log(o)}
}
func run(t *testing.T, name string, cfg heapConfig, offs ...Mend){
  for _, off := range append([]Mend{AllOn}, offs...) {
	st:=time.Now()
	rep(t,name,off,explore(heapScenario(cfg,off), 3000000),st)
  }
}
func runck(t *testing.T, name string, cfg ckConfig, offs ...Mend){
  for _, off := range append([]Mend{AllOn}, offs...) {
	st:=time.Now()
	rep(t,name,off,explore(checkpointScenario(cfg,off), 2000000),st)
  }
}
func TestReclaim(t *testing.T){
  run(t,"reclaim",heapConfig{editsA:2,editsB:0,reads:1,drains:1,kills:1}, PinThenLoad,HintAfterSwap,ShortPinOpen,BoundBeforeSlots)
  run(t,"aba",heapConfig{editsA:2,editsB:1,drains:1,kills:0}, PinThroughSwap)
}
func TestNamed(t *testing.T){
  run(t,"named",heapConfig{editsA:2,reads:1,names:true,drains:1,kills:0}, NamedPinExact,NamedBeforeUnpin,ShortBeforeNamed,NamedScanStable)
}
func TestGC(t *testing.T){
  run(t,"gcBirth",heapConfig{editsA:1,editsB:1,onlyLeaf:true,collections:1,collectors:1,kills:1}, ExactBirth,KeepFirstPin,EmptyEditFirst)
  run(t,"gcLimbo",heapConfig{editsA:2,drains:1,collections:1,collectors:1,kills:0}, EmptyEdit,WaitForPins,DropAtGCSeq,DrainPinBeforeGCSeq,PinMByName)
  run(t,"gcNamed",heapConfig{editsA:2,onlyLeaf:true,reads:1,names:true,collections:1,collectors:1,kills:0}, NamedAfterWait)
  run(t,"gcAlloc",heapConfig{editsA:2,onlyLeaf:true,collections:1,collectors:1,kills:1,split:true}, HeaderBeforeBit,BitBeforeHeader)
  run(t,"gcTwo",heapConfig{editsA:2,onlyLeaf:true,collections:1,collectors:2,kills:1}, OneCollector)
}
func TestCk(t *testing.T){
  runck(t,"ck2",ckConfig{roots:4,left:[2]uint8{2,1},oneScan:true}, AnnouncedProtected, OneCheckpointer, CompletedMax, SyncBeforePage,SyncAfterPage,PagePair)
  runck(t,"ckscan",ckConfig{roots:4,left:[2]uint8{1,1}}, AnnouncedBeforeCompleted)
  runck(t,"ckscankeep",ckConfig{roots:4,left:[2]uint8{1,1},keep:true})
  runck(t,"ck2keep",ckConfig{roots:4,left:[2]uint8{2,1},keep:true,oneScan:true}, CompletedMax)
  runck(t,"ckkill",ckConfig{roots:5,left:[2]uint8{3,0},kills:2,restarts:2,oneScan:true}, AnnouncementOutlives, SettleSlot)
  runck(t,"ckkillkeep",ckConfig{roots:5,left:[2]uint8{3,0},kills:2,restarts:2,oneScan:true,keep:true}, AnnouncementOutlives, SettleSlot)
  runck(t,"ckkill2",ckConfig{roots:4,left:[2]uint8{1,1},kills:1,restarts:0,oneScan:true}, OwnAnnouncement)
}

func runm[S comparable](t *testing.T, name string, f func(off Mend) model[S], offs ...Mend){
  for _, off := range append([]Mend{AllOn}, offs...) {
	st:=time.Now()
	o:=explore(f(off),4000000)
	rep(t,name,off,o,st)
	if off==AllOn && len(o.Unmet)>0 {t.Log(o.Unmet)}
  }
}
func TestOpen(t *testing.T){
  runm(t,"sample",sampleScenario,SampleBeforeSync,RootSampledFirst)
  runm(t,"open", func(off Mend) model[openState]{return openScenario(off,4,openState{cuts:1,kills:2,deletes:1})}, SyncBeforeRead,BootID,NonceAnnounced)
  runm(t,"opencopy", func(off Mend) model[openState]{return openScenario(off,4,openState{kills:2,copies:1})}, NonceMatches,AdoptSeqCheck)
  runm(t,"openfail", func(off Mend) model[openState]{return openScenario(off,4,openState{kills:2,fails:1,cuts:1})}, RewriteUnsynced,Poison)
}

func TestSnap(t *testing.T){
  runm(t,"resume",resumeScenario,SeqJump,VerifyBirths,SettleAnnounced)
  runm(t,"snap",snapshotScenario,DroppedInterval,DroppedCoversPins,TableAfterBound,TableBeforePins)
}

func TestHandle(t *testing.T){
  runm(t,"handledrain",func(off Mend) model[hpState]{return handleScenario(hpConfig{edits:3,writes:2,drains:2},off)},ValueID,HandleBeforeUnpin,ShortBeforeHandles)
  runm(t,"handlegc",func(off Mend) model[hpState]{return handleScenario(hpConfig{edits:2,writes:1,drains:1,collector:true},off)},HandleAfterWait,HandleOlderOnly)
  runm(t,"handleunlinked",func(off Mend) model[hpState]{return handleScenario(hpConfig{edits:3,writes:1,drains:1,collector:true,onlyUnlink:true},off)},OrphanInTree)
  runm(t,"referrer",referrerScenario,OneReferrer)
  runm(t,"namedtable",namedScenario,NamedEntryOnce,NamedReadTwice,MarkOlderOnly)
}

func TestSpace(t *testing.T){
  runm(t,"sweep",sweepScenario,LeaseCount)
  runm(t,"slots",slotScenario,CleanerHoldsLock,CleanBeforeClaim,LeaseIncarnation)
  runm(t,"punch",func(off Mend) model[spaceState]{return spaceScenario(spaceConfig{punch:true},off)},PunchClaimed,ClaimIsFinal)
  runm(t,"cut",func(off Mend) model[spaceState]{return spaceScenario(spaceConfig{cut:true},off)},TruncateInGate,TruncateAlone,CheckpointBeforeCut)
  runm(t,"grow",func(off Mend) model[spaceState]{return spaceScenario(spaceConfig{grow:true},off)},GrowWritesNothing)
  runm(t,"gate",func(off Mend) model[gateState]{return gateScenario(false,1,0,off)},LookAgain,ReplaceByRename)
  runm(t,"gatelink",func(off Mend) model[gateState]{return gateScenario(true,0,1,off)},SessionNonce)
}
