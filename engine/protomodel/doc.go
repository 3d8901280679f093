// Package protomodel is the engine's protocols (PROTOCOLS.md) as models that a
// small checker explores exhaustively: a few words of state, two writers, a
// reader, a checkpointer, a collector, every interleaving of their steps, a
// kill between any two, a power cut with every subset of unsynced writes lost.
//
// All models pass. Each rule that the protocols add to the obvious way of doing
// things is a [Mend]; with any one switched off the checker finds what goes
// wrong and prints it step by step. Nothing here depends on the engine, and
// nothing but its own tests imports it. Everything is deterministic and runs in
// one goroutine.
//
// # What a pass means
//
// The protocol is right for the numbers in scenario.go, if the steps are those
// of the engine. The models trust that single loads, stores and swaps of shared
// words are sequentially consistent, as Go's atomics are, and that a checkpoint
// record is whole, old or invalid on the disk. Each scenario also has goals,
// situations that must occur, so that it does not pass because nothing happens.
//
// # Reading a counterexample
//
//	go test ./engine/protomodel -run TestEachMendIsNeeded/PinThenLoad -v
//
// prints one line a step: number, who does what, and the state after it. The
// search is breadth-first, so no shorter run breaks an invariant; the last line
// is the one that does. "alloc 3/b2" is block 3, born at 2; "limbo 1 [1,2)" a
// block that was born at 1 and retired at 2; "2{1 2}" or "3{-3}" a page that
// holds the first figure in the page cache and any of those in braces on the
// disk, - for none and t for a torn one. Read backwards: which step breaks the
// invariant, which earlier one allowed it, and who looked too early or too late.
//
// When the test of all mends fails after a change of a protocol, the trace is a
// bug of the new protocol: write it down as the counterexample of the mend that
// repairs it.
//
// # Adding a mend
//
// Make the rule a condition in the model, `if m.on(NewRule)`; add its constant
// and its row: the scenario that breaks without it, the invariant, the rule as a
// sentence, the counterexample in words and by the texts of its steps; add its
// line below (a test compares). If no scenario breaks, either the rule is not
// needed or the scenario is too small: enlarge it until it breaks, or leave the
// rule out and say so where the protocol is described. Keep a scenario below
// some 100,000 states: fewer edits, steps merged where nobody can look between
// them, fields cleared when they no longer matter.
//
// # The models
//
//	reclaim.go     publish, pins, limbo, reuse; heap.go has the state, reader.go and
//	               drain.go more of the threads
//	named.go       the table of named pins
//	handlepin.go   open files; handlecollect.go has the drain and the collector
//	referrer.go    one referrer
//	gc.go          full collection beside everybody
//	sweep.go       the sweep beside an allocator of objects of different sizes
//	checkpoint.go  checkpoints and power cuts; checkpointer.go has most of the steps
//	listed.go      checkpoints with one sync, whose records list what is new;
//	               listedsteps.go has the steps
//	sample.go      what a checkpoint claims besides its root
//	opening.go     opening after a kill, a power cut, a failed sync, a copy
//	resume.go      sequences after falling back to an older checkpoint
//	snapshot.go    snapshots and their end
//	slots.go       process slots, cleaning, leases
//	space.go       punching, truncating, growing
//	gate.go        the opening gate, and who shares which shm
//
// # The mends
//
// Each with the scenario in which it is switched off and what goes wrong then.
// The rules themselves are the sentences in mendpins.go, menddisk.go and
// mendlists.go; those marked "Added" there are not in PROTOCOLS.md, or ADR 18, and
// came out of these models.
//
// Publish, pins and reuse:
//
//	PinThenLoad               publish
//	   the root is loaded, replaced and its block freed before the pin is stored
//	HintAfterSwap             publish
//	   a reader pins a sequence that is not yet published and loads the root before
//	   it, which the pin does not protect
//	ShortPinOpen              publish
//	   a pin at 1 covers a reader at root 2; a block [2, 3) passes "1 is not in it"
//	BoundBeforeSlots          publish
//	   the slot is read empty; a reader pins and loads; its root is replaced; the
//	   bound read then covers that
//	PinThroughSwap            swap
//	   the base's block is freed and becomes the root again with another content; the
//	   swap succeeds and loses what was published between
//	NamedPinExact             named
//	   the pin holds the hint, which is older than the root; the root's block [2, 3)
//	   does not contain it
//	NamedBeforeUnpin          named
//	   a drain looks between the two and sees neither
//	ShortBeforeNamed          named
//	   the named pins are read, the reader moves from its short pin to a named one,
//	   the short pins are read
//	NamedScanStable           named
//	   one named pin is made from another of the same root, in an entry that was
//	   already read, and the other dropped before it is read
//	NamedEntryOnce            named-table
//	   a mount renews its entry in place; the collector reads the old sequence with
//	   the new reference, and does not mark the old root
//	NamedReadTwice            named-table
//	   the entry is dropped and made anew in between; the collector walks a root that
//	   it takes for an old one
//	MarkOlderOnly             named-table
//	   a newer root is walked; its pin is dropped and its blocks are freed meanwhile,
//	   since limbo leaves only what was retired by M to the collector
//
// Handle pins and values:
//
//	ValueID                   handle-drain
//	   only the head that the pin names is known; the value's other blocks are
//	   retired one by one and freed
//	HandleBeforeUnpin         handle-drain
//	   a drain looks between the two and sees neither
//	ShortBeforeHandles        handle-drain
//	   the handle pins are read, the handle moves from its short pin to one, the
//	   short pins are read
//	HandleAfterWait           handle-collect
//	   it reads them before; a handle that was still under its short pin stores its
//	   pin after, and its version is swept
//	HandleOlderOnly           handle-collect
//	   a handle holds a version born after M and replaced since; it closes while the
//	   collector walks that, and a drain frees it
//	OrphanInTree              handle-unlinked
//	   blocks that only a handle pin held are retired by its close at r > M, but are
//	   not in M: the sweep frees them, and limbo again
//	OneReferrer               referrer
//	   a copy shares the block; the first removal retires it under the second, and
//	   the second retires it again
//
// Full collection:
//
//	ExactBirth                collect-birth
//	   a kept leaf has the birth of an earlier attempt, by which it counts as older
//	   than M; it is published after M and swept
//	KeepFirstPin              collect-birth
//	   it pins anew, the collector need not wait for it, and sweeps the leaf that it
//	   has kept
//	EmptyEditFirst            collect-birth
//	   what a killed writer built on the present root is born one later than M, and
//	   survives the collection
//	EmptyEdit                 collect-limbo
//	   a drain pins a sequence that is not older than M, but read gcseq before it was
//	   stored; the sweep and it free the same block
//	WaitForPins               collect-reader
//	   the sweep frees a leaf that a pinned reader, or a writer on its base, walks
//	DropAtGCSeq               collect-limbo
//	   a block is freed by the sweep, and again by limbo
//	DrainPinBeforeGCSeq       collect-limbo
//	   the drain reads gcseq, the collector stores it and does not have to wait, the
//	   drain pins; both free the block
//	PinMByName                collect-limbo
//	   M is replaced, its blocks are retired after gcseq, drained and reused while
//	   the collector marks from M
//	NamedAfterWait            collect-reader
//	   it reads them before; a reader that was still under its short pin stores a
//	   named one after, and its root is swept
//	HeaderBeforeBit           collect-alloc
//	   the sweep judges the block by the header of its earlier life
//	BitBeforeHeader           collect-alloc
//	   it reads the header of the earlier life, the block is allocated, it reads the
//	   bit
//	LeaseCount                sweep
//	   the object is freed, a larger one covers its granule and its data look like an
//	   old header, that one is freed too, and a third begins there
//	OneCollector              collect-two
//	   two collectors find the same block; the second clears its bit when the first
//	   has, and by then it may be used again
//
// Checkpoints:
//
//	AnnouncedProtected        checkpoint
//	   root 2 is taken, 3 published, the block of 2 reused, and the page says 2
//	AnnouncementOutlives      checkpoint-kill
//	   the page is written, its writer killed, the announcement cleared, the block
//	   reused, and the page reaches the disk
//	OwnAnnouncement           checkpoint-words
//	   the next checkpointer overwrites the announcement before its own page is
//	   durable; the block of the first is reused, and its page reaches the disk
//	SettleSlot                checkpoint-kill
//	   two owners are killed, each with an announced page; the third overwrites the
//	   first's announcement, whose page is durable by now
//	OneCheckpointer           checkpoint
//	   two choose the same free word; the second overwrites the announcement of the
//	   first, whose page is written
//	CompletedMax              checkpoint
//	   a slow checkpointer stores an older sequence over a newer one, whose
//	   announcement is gone already
//	AnnouncedBeforeCompleted  checkpoint-scan
//	   the completed word is read, the checkpoint completes and clears its
//	   announcement, the announcements are read
//	SyncBeforePage            checkpoint
//	   the page reaches the disk before the blocks
//	SyncAfterPage             checkpoint
//	   it is acknowledged while its page is in the page cache
//	PagePair                  checkpoint
//	   the only page is torn
//	SampleBeforeSync          sample
//	   the file grows during the sync, the page claims more than the disk has, and
//	   the store is refused as truncated
//	RootSampledFirst          sample
//	   a root that is published in between lies behind the end that the page claims,
//	   or has ids that are given out again
//
// Checkpoints whose records list what is new:
//
//	ListHolds                 listed
//	   the record reaches the disk before the block that it lists
//	ListSinceBase             listed
//	   root 3 is taken after 1 has completed; block 3 reaches the disk with the
//	   record, and block 2, which it needs, does not
//	BaseCompleted             listed
//	   checkpoint 2 is announced by the other process, and nothing synced yet; the
//	   record of 3 builds on it, and does not list block 2
//	BaseProtected             listed
//	   a listed record of 3 is announced, and the block of its base reused; the
//	   record does not reach the disk, or does not hold, and the base is in pieces
//	ListedSynced              listed
//	   it is acknowledged while its record and its blocks are in the page cache
//	ConfirmBeside             listed
//	   it is written over the listed one, and torn: nothing is left of a version that
//	   was acknowledged
//	SettleWritten             listed-kill
//	   a listed record is written beside the only durable one, and its writer killed;
//	   the next owner takes that for the older page, and of both may nothing be on
//	   the disk
//	SettleConfirmed           listed-kill
//	   a listed checkpoint is being confirmed, and its writer killed before the sync;
//	   no announcement is open, so the next owner does not sync, and overwrites the
//	   listed record, the only one on the disk
//
// Opening:
//
//	SyncBeforeRead            open
//	   the newest page exists in the page cache only; the opener reuses what it does
//	   not need, and a power cut falls back to the older page
//	BootID                    open
//	   after a power cut the root word of an unsynced root is adopted
//	NonceMatches              open-copy
//	   the store is overwritten by an older copy, with the same inode; the root word
//	   is adopted on its content
//	NonceAnnounced            open
//	   a process is killed between writing its page and completing; its shm is thrown
//	   away with what was published since
//	AdoptSeqCheck             open-copy
//	   the copy has the same newest checkpoint, so its nonce matches; at the root
//	   word's place lies an older object
//	RewriteUnsynced           open-fail
//	   the sync has failed, and its process is killed before it stores the poison
//	   word; the next one trusts pages that the kernel calls clean
//	Poison                    open-fail
//	   the next sync succeeds without having written what the failed one dropped
//	SeqJump                   resume
//	   a page that was refused names a sequence that comes again, at the same place,
//	   with one of its blocks unsynced; it verifies
//	VerifyBirths              resume
//	   a new block takes the place of the damaged one that made a page refused; now
//	   that page verifies
//	SettleAnnounced           resume
//	   it completes a page that was refused; the checkpoint that the store stands on
//	   is protected no more
//
// Snapshots:
//
//	SnapshotHeld              snapshot
//	   the leaf of the snapshot is retired by the next edit, and freed, since no pin
//	   and no checkpoint is as old
//	TableOfBase               snapshot
//	   the leaf is retired, and the table read when the snapshot has been dropped; a
//	   power cut opens a checkpoint that still lists it
//
// Slots, space and the gate:
//
//	CleanerHoldsLock          slots
//	   a cleaner tests, stops, and clears the pin of the slot's next owner
//	CleanBeforeClaim          slots
//	   the lease of the dead owner stays for ever
//	LeaseIncarnation          slots
//	   a thief finds the lease of a dead process, stops, and takes the slab from the
//	   slot's next owner
//	PunchClaimed              punch
//	   an extent is found free, handed out and written, and punched
//	ClaimIsFinal              punch
//	   the claimant stops just before it punches, others lose patience and write, it
//	   wakes
//	TruncateInGate            truncate
//	   the truncater finds itself alone and stops; another opens, and writes in what
//	   is then cut
//	TruncateAlone             truncate
//	   another has the store open, and writes in what is then cut
//	CheckpointBeforeCut       truncate
//	   the newest page claims more than the disk has, and the store is refused as
//	   truncated
//	GrowWritesNothing         grow
//	   a grower finds the file short and stops; another grows it and writes; the
//	   first writes its zero at the end
//	SessionNonce              gate-link
//	   a hard link in another directory, or a deleted shm, gives two root words and
//	   two allocators on one file
//	LookAgain                 gate
//	   the shm was looked for before another opener, in the gate, made it; the store
//	   seems in use without it
//	ReplaceByRename           gate
//	   a backup is renamed over the store, and its opener zeroes the shm that others
//	   have mapped
package protomodel
