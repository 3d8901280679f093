package protomodel

import "slices"

// scenario is a model with the numbers that make it finite.
type scenario struct {
	name  string
	file  string // that describes the model
	about string
	run   func(off Mend) Outcome
}

// stateLimit ends an exploration that a mistake has made too large; the
// largest scenario has a fifth of it.
const stateLimit = 2_000_000

// heapRun makes the run function of a scenario of reclaim.go or gc.go.
func heapRun(cfg heapConfig, goals ...goal[heapState]) func(Mend) Outcome {
	return func(off Mend) Outcome { return explore(heapScenario(cfg, off, goals...), stateLimit) }
}

func ckRun(cfg ckConfig, goals ...goal[ckState]) func(Mend) Outcome {
	return func(off Mend) Outcome { return explore(checkpointScenario(cfg, off, goals...), stateLimit) }
}

func listedRun(cfg listedConfig, goals ...goal[listedState]) func(Mend) Outcome {
	return func(off Mend) Outcome { return explore(listedScenario(cfg, off, goals...), stateLimit) }
}

func handleRun(cfg hpConfig, goals ...goal[hpState]) func(Mend) Outcome {
	return func(off Mend) Outcome { return explore(handleScenario(cfg, off, goals...), stateLimit) }
}

func openRun(budget openState) func(Mend) Outcome {
	return func(off Mend) Outcome { return explore(openScenario(off, 4, budget), stateLimit) }
}

func spaceRun(cfg spaceConfig, goals ...goal[spaceState]) func(Mend) Outcome {
	return func(off Mend) Outcome { return explore(spaceScenario(cfg, off, goals...), stateLimit) }
}

func gateRun(linked bool, renames, deletes uint8) func(Mend) Outcome {
	return func(off Mend) Outcome { return explore(gateScenario(linked, renames, deletes, off), stateLimit) }
}

func run[S comparable](build func(Mend) model[S]) func(Mend) Outcome {
	return func(off Mend) Outcome { return explore(build(off), stateLimit) }
}

// scenarios returns all of them.
func scenarios() []scenario {
	var (
		reused = goal[heapState]{"a freed block is used again", func(s heapState) bool {
			return s.blk[1].alloc && s.blk[1].birth > 1
		}}
		oldRead = goal[heapState]{"a reader walks a root that is not the newest", func(s heapState) bool {
			return s.th[thReader].pc == rWalk && s.th[thReader].rec != s.root
		}}
		keptByName = goal[heapState]{"a drain ends and leaves what only a named pin holds", func(s heapState) bool {
			return s.th[thDrain].pc == dEnd && s.limbo[0].ref != 0 &&
				s.named[namedMoved].seq != 0 && s.named[namedFirst].seq == 0 && s.th[thReader].pin == 0
		}}
		swept  = goal[heapState]{"the sweep frees a block", func(s heapState) bool { return s.th[thGC].pc == cFree }}
		leaked = goal[heapState]{"the sweep frees what a killed writer left", func(s heapState) bool {
			return s.th[thGC].pc == cFree && s.quiet && s.th[thA].pc == pcDead
		}}
		takenOver = goal[heapState]{"a second collector runs after the first was killed", func(s heapState) bool {
			return s.th[thGC].pc == pcDead && s.th[thGC2].pc == cFree
		}}
		overwritten = goal[ckState]{"a block of an older root is used again", func(s ckState) bool {
			return s.acked > 1 && s.at[4] != 0 && s.at[4] == s.at[1]
		}}
		freedOld = goal[ckState]{"a block of an older root is freed", func(s ckState) bool {
			return s.acked > 1 && s.freed&(1<<1) != 0
		}}
		settled = goal[ckState]{"a checkpoint of a killed process is completed by the next", func(s ckState) bool {
			return s.completed > s.acked && s.k[0].pc == kIdle
		}}
		bothSync = goal[ckState]{"two checkpoints run at once", func(s ckState) bool {
			return s.syncing(0) && s.syncing(1)
		}}
		listAlone = goal[listedState]{"an acknowledged version has a listed record only, which lists one of its two blocks", func(s listedState) bool {
			return s.acked > 2 && slices.Contains(s.cache[ckBlocks:], record(s.acked, s.acked-1)) &&
				!slices.Contains(s.cache[ckBlocks:], record(s.acked, 0))
		}}
		passedOver = goal[listedState]{"the disk may have a record that builds on a listed one, without its block", func(s listedState) bool {
			return s.completed == 2 && slices.Contains(s.cache[ckBlocks:], record(2, 1)) &&
				slices.Contains(s.cache[ckBlocks:], record(3, 2)) && s.disk[s.at[3]-1] != 1<<3
		}}
		confirmedBeside = goal[listedState]{"a listed checkpoint of one slot is confirmed by the other", func(s listedState) bool {
			return s.completed > 1 && slices.Contains(s.cache[ckBlocks:ckBlocks+2], record(s.completed, 1)) &&
				s.disk[ckBlocks+3] == 1<<record(s.completed, 0)
		}}
		listReused = goal[listedState]{"the block of an older version is used again beside a listed record", func(s listedState) bool {
			return s.cur > 4 && s.at[5] == s.at[1] && slices.Contains(s.cache[ckBlocks:], record(s.completed, 1))
		}}
		listSettled = goal[listedState]{"a listed checkpoint of a killed process is completed by the next", func(s listedState) bool {
			return s.completed > s.acked && s.k[0].pc == lIdle && slices.Contains(s.cache[ckBlocks:], record(s.completed, 1))
		}}
		freedBeside = goal[hpState]{"a block is freed beside a handle that keeps another", func(s hpState) bool {
			return s.pin.seq != 0 && s.blk[s.pin.head].limbo && s.freed()
		}}
		orphaned = goal[hpState]{"an orphan is written and then removed", func(s hpState) bool {
			return s.h.pc == hpGone && s.writes == 0 && s.head == 0 && s.freed()
		}}
		punched = goal[spaceState]{"the extent is used after it was punched", func(s spaceState) bool {
			return s.live && s.punch == pcDead && s.kills > 0
		}}
		cut = goal[spaceState]{"the file is cut and grows again", func(s spaceState) bool {
			return s.live && s.cut == pcDead && s.diskCut
		}}
		grown = goal[spaceState]{"both have grown the file", func(s spaceState) bool { return s.live && s.grow == 2 }}
	)
	return []scenario{
		{
			"publish", "reclaim.go", "one writer with a drain, one reader, a kill",
			heapRun(heapConfig{editsA: 2, reads: 1, drains: 1, kills: 1}, reused, oldRead),
		},
		{
			"swap", "reclaim.go", "two writers, one with a drain",
			heapRun(heapConfig{editsA: 2, editsB: 1, drains: 1}, reused),
		},
		{
			"named", "reclaim.go", "a writer with a drain, and a reader that moves to named pins",
			heapRun(heapConfig{editsA: 2, reads: 1, names: true, moves: true, drains: 1}, oldRead, keptByName),
		},
		{
			"named-table", "named.go", "a mount that renews its named pin, and a collector that reads it",
			run(namedScenario),
		},
		{
			"handle-drain", "handlepin.go", "a handle, a writer and a drain",
			handleRun(hpConfig{edits: 2, writes: 1, drains: 2}, freedBeside),
		},
		{
			"handle-collect", "handlepin.go", "a handle, a writer, a drain and a collector",
			handleRun(hpConfig{edits: 2, drains: 1, collector: true}, freedBeside),
		},
		{
			"handle-unlinked", "handlepin.go", "a handle that writes to an unlinked file, and a collector",
			handleRun(hpConfig{edits: 3, writes: 1, drains: 1, collector: true, onlyUnlink: true}, orphaned),
		},
		{"referrer", "referrer.go", "copies of entries", run(referrerScenario)},
		{
			"collect-birth", "gc.go", "two writers that lose swaps, a collector, a kill",
			heapRun(heapConfig{editsA: 1, editsB: 1, onlyLeaf: true, collections: 1, collectors: 1, kills: 1}, swept, leaked),
		},
		{
			"collect-limbo", "gc.go", "a writer with a drain, and a collector",
			heapRun(heapConfig{editsA: 2, onlyLeaf: true, drains: 1, collections: 1, collectors: 1}, swept, reused),
		},
		{
			"collect-reader", "gc.go", "a writer, a reader that moves to a named pin, and a collector",
			heapRun(heapConfig{editsA: 2, onlyLeaf: true, reads: 1, names: true, collections: 1, collectors: 1}, swept),
		},
		{
			"collect-alloc", "gc.go", "a writer whose allocations are two steps, a collector, a kill",
			heapRun(heapConfig{editsA: 2, onlyLeaf: true, collections: 1, collectors: 1, kills: 1, split: true}, swept, leaked),
		},
		{
			"collect-two", "gc.go", "a writer and two collectors, a kill",
			heapRun(heapConfig{editsA: 1, onlyLeaf: true, collections: 1, collectors: 2, kills: 1}, swept, takenOver),
		},
		{"sweep", "sweep.go", "a sweep, and an allocator of objects of different sizes", run(sweepScenario)},
		{
			"checkpoint", "checkpoint.go", "two processes that make checkpoints",
			ckRun(ckConfig{roots: 4, left: [2]uint8{2, 1}, oneScan: true}, overwritten, bothSync),
		},
		{
			"checkpoint-scan", "checkpoint.go", "the same, and a reclaimer that reads one word at a time",
			ckRun(ckConfig{roots: 3, left: [2]uint8{1, 1}}, freedOld),
		},
		{
			"checkpoint-keep", "checkpoint.go", "the same with the engine's rule for announcements and its order of reads",
			ckRun(ckConfig{roots: 3, left: [2]uint8{1, 1}, keep: true}, freedOld),
		},
		{
			"checkpoint-kill", "checkpoint.go", "a slot whose owners are killed twice",
			ckRun(ckConfig{roots: 5, left: [2]uint8{3, 0}, kills: 2, restarts: 2, oneScan: true}, overwritten, settled),
		},
		{
			"checkpoint-keep-kill", "checkpoint.go", "the same with the engine's rule for announcements",
			ckRun(ckConfig{roots: 5, left: [2]uint8{3, 0}, kills: 2, restarts: 2, oneScan: true, keep: true}, overwritten, settled),
		},
		{
			"checkpoint-words", "checkpoint.go", "two processes, one of which is killed and replaced",
			ckRun(ckConfig{roots: 4, left: [2]uint8{1, 1}, kills: 1, restarts: 1, oneScan: true}, overwritten, bothSync),
		},
		{
			"listed", "listed.go", "two processes that make checkpoints with one sync, or two, and confirm",
			listedRun(listedConfig{roots: 5, left: [2]uint8{1, 1}}, listReused, confirmedBeside),
		},
		{
			"listed-kill", "listed.go", "a slot whose owner is killed, in such checkpoints",
			listedRun(listedConfig{roots: 4, left: [2]uint8{3, 0}, kills: 1, restarts: 1}, listAlone, passedOver, listSettled),
		},
		{
			"listed-both", "listed.go", "two processes, one of which is killed and replaced",
			listedRun(listedConfig{roots: 3, left: [2]uint8{2, 1}, kills: 1, restarts: 1}, confirmedBeside, listSettled),
		},
		{"sample", "sample.go", "a growing file and one checkpoint", run(sampleScenario)},
		{"open", "opening.go", "kills, a power cut, a deleted shm", openRun(openState{cuts: 1, kills: 2, deletes: 1})},
		{"open-copy", "opening.go", "kills, and a store overwritten by its copy", openRun(openState{kills: 2, copies: 1})},
		{"open-fail", "opening.go", "kills, a power cut, a failing sync", openRun(openState{cuts: 1, kills: 2, fails: 1})},
		{"resume", "resume.go", "a refused checkpoint page, and what comes after it", run(resumeScenario)},
		{"snapshot", "snapshot.go", "a snapshot that comes and goes, a reader, checkpoints", run(snapshotScenario)},
		{"slots", "slots.go", "a dead process, two cleaners, a claimer, a thief", run(slotScenario)},
		{"punch", "space.go", "a puncher and a user", spaceRun(spaceConfig{punch: true}, punched)},
		{"truncate", "space.go", "a truncater and a user", spaceRun(spaceConfig{cut: true}, cut)},
		{"grow", "space.go", "two growers", spaceRun(spaceConfig{grow: true}, grown)},
		{"gate", "gate.go", "three openers, and a backup renamed over the store", gateRun(false, 1, 0)},
		{"gate-link", "gate.go", "three openers, one by a link, and a deleted shm", gateRun(true, 0, 1)},
	}
}
