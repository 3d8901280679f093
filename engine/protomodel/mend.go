package protomodel

import "maps"

// Mend names one rule of the protocols that a model can leave out.
type Mend uint8

// AllOn leaves out nothing; the mends follow. What each says, and what breaks
// without it, stands in the table of mendInfo and in the package comment.
const (
	AllOn Mend = iota

	PinThenLoad
	HintAfterSwap
	ShortPinOpen
	BoundBeforeSlots
	PinThroughSwap
	NamedPinExact
	NamedBeforeUnpin
	ShortBeforeNamed
	NamedScanStable
	NamedEntryOnce
	NamedReadTwice
	MarkOlderOnly

	ValueID
	HandleBeforeUnpin
	ShortBeforeHandles
	HandleAfterWait
	HandleOlderOnly
	OrphanInTree
	OneReferrer

	ExactBirth
	KeepFirstPin
	EmptyEditFirst
	EmptyEdit
	WaitForPins
	DropAtGCSeq
	DrainPinBeforeGCSeq
	PinMByName
	NamedAfterWait
	HeaderBeforeBit
	BitBeforeHeader
	LeaseCount
	OneCollector

	AnnouncedProtected
	AnnouncementOutlives
	OwnAnnouncement
	SettleSlot
	OneCheckpointer
	CompletedMax
	AnnouncedBeforeCompleted
	SyncBeforePage
	SyncAfterPage
	PagePair
	SampleBeforeSync
	RootSampledFirst

	ListHolds
	ListSinceBase
	BaseCompleted
	BaseProtected
	ListedSynced
	ConfirmBeside
	SettleWritten
	SettleConfirmed

	SyncBeforeRead
	BootID
	NonceMatches
	NonceAnnounced
	AdoptSeqCheck
	RewriteUnsynced
	Poison
	SeqJump
	VerifyBirths
	SettleAnnounced

	SnapshotHeld
	TableOfBase

	CleanerHoldsLock
	CleanBeforeClaim
	LeaseIncarnation
	PunchClaimed
	ClaimIsFinal
	TruncateInGate
	TruncateAlone
	CheckpointBeforeCut
	GrowWritesNothing
	SessionNonce
	LookAgain
	ReplaceByRename

	mendCount
)

// mendInfo describes a mend.
type mendInfo struct {
	name     string
	scenario string    // in which it is switched off
	want     Invariant // that breaks then
	rule     string    // what the protocol says
	breaks   string    // the counterexample, in words
	// shape are texts that the lines of the counterexample contain, in this
	// order, so that it is the one described and not any.
	shape []string
}

// mendTable returns all mends.
func mendTable() map[Mend]mendInfo {
	all := pinMends()
	maps.Copy(all, diskMends())
	maps.Copy(all, listMends())
	return all
}

// String returns the name of the mend as in the source.
func (m Mend) String() string {
	if m == AllOn {
		return "all mends on"
	}
	return mendTable()[m].name
}
