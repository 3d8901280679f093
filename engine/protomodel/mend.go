package protomodel

// Mend names one rule of the protocols that a model can leave out.
type Mend uint8

// The mends. AllOn leaves out nothing.
const (
	AllOn Mend = iota

	PinThenLoad
	HintAfterSwap
	ShortPinOpen
	NamedPinExact
	NamedBeforeUnpin
	BoundBeforeSlots
	ShortBeforeNamed
	NamedScanStable
	PinThroughSwap

	ExactBirth
	KeepFirstPin
	EmptyEditFirst
	EmptyEdit
	WaitForPins
	DropAtGCSeq
	DrainPinBeforeGCSeq
	PinMByName
	NamedAfterWait
	MarkOlderOnly
	HeaderBeforeBit
	BitBeforeHeader
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

	DroppedInterval
	DroppedCoversPins
	TableAfterBound
	TableBeforePins

	ValueID
	HandleBeforeUnpin
	ShortBeforeHandles
	HandleAfterWait
	HandleOlderOnly
	OrphanInTree
	OneReferrer
	NamedEntryOnce
	NamedReadTwice

	LeaseCount
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
)
