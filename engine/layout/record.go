package layout

// A container record (KindContainer) holds what a container is, apart from its
// entries:
//
//	offset  size  field
//	    16     8  ID
//	    24     8  Parent       id of the container that holds it, 0 for none
//	    32     1  Kind         value.KindList, KindDict or KindCollection
//	    33     1  reserved     zero
//	    34     2  Mode         07777
//	    36     4  UID
//	    40     4  GID
//	    44     4  BodyWeight   leaves of the body
//	    48     8  Mtime        ns since the epoch
//	    56     8  Wtime        Mtime of the last change of the entries
//	    64     8  Ctime
//	    72     8  Body         ref of the body, Nil when BodyWeight is 0
//	    80     8  BodyCount    entries of the body; positions of a list
//	    88     8  Elements     entries of the body that are not gaps
//	    96     8  Subdirs      containers directly in this one
//	   104     8  Xattr        ref of the extended attributes, Nil for none
//	   112     4  XattrSize    their length in bytes
//	   116     4  NamesWeight  leaves of the names beside a list's elements
//	   120     8  Names        ref of these, absent when NamesWeight is 0
//	   128     8  NamesCount   entries of these, absent likewise
const (
	RecordIDOff          = 16
	RecordParentOff      = 24
	RecordKindOff        = 32
	RecordModeOff        = 34
	RecordUIDOff         = 36
	RecordGIDOff         = 40
	RecordBodyWeightOff  = 44
	RecordMtimeOff       = 48
	RecordWtimeOff       = 56
	RecordCtimeOff       = 64
	RecordBodyOff        = 72
	RecordBodyCountOff   = 80
	RecordElementsOff    = 88
	RecordSubdirsOff     = 96
	RecordXattrOff       = 104
	RecordXattrSizeOff   = 112
	RecordNamesWeightOff = 116
	RecordNamesOff       = 120
	RecordNamesCountOff  = 128

	// RecordShortSize is the size of a record without Names, RecordSize with.
	RecordShortSize = 120
	RecordSize      = 136
)
