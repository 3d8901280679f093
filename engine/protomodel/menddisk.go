package protomodel

// diskMends are the rules about checkpoints, opening, snapshots and space.
func diskMends() map[Mend]mendInfo {
	return map[Mend]mendInfo{
		AnnouncedProtected: {
			"AnnouncedProtected", "checkpoint", InvRecover,
			"Announced checkpoints are protected, besides the last completed one.",
			"root 2 is taken, 3 published, the block of 2 reused, and the page says 2",
			[]string{"announces", "drops its pin", "frees", "writes the rest of its page"},
		},
		AnnouncementOutlives: {
			"AnnouncementOutlives", "checkpoint-kill", InvRecover,
			"An announcement outlives its writer.",
			"the page is written, its writer killed, the announcement cleared, the block reused, and the page reaches the disk",
			[]string{"writes the rest of its page", "is killed", "frees"},
		},
		OwnAnnouncement: {
			"OwnAnnouncement", "checkpoint-words", InvRecover,
			"Each slot has announcement words of its own, beside its pair of pages.",
			"the next checkpointer overwrites the announcement before its own page is durable; the block of the first is reused, and its page reaches the disk",
			[]string{"announces", "announces", "frees"},
		},
		SettleSlot: {
			"SettleSlot", "checkpoint-kill", InvRecover,
			"A new owner of a slot syncs and completes what its dead predecessor announced, before it announces. (Added.)",
			"two owners are killed, each with an announced page; the third overwrites the first's announcement, whose page is durable by now",
			[]string{"is killed", "claimed the slot", "is killed", "claimed the slot", "announces", "frees"},
		},
		OneCheckpointer: {
			"OneCheckpointer", "checkpoint", InvRecover,
			"A process makes one checkpoint at a time: its pair of pages and its words have one writer. (Added.)",
			"two choose the same free word; the second overwrites the announcement of the first, whose page is written",
			[]string{"checkpointer 0: chooses", "checkpointer 1: chooses", "checkpointer 0: announces", "checkpointer 0: writes the rest", "checkpointer 1: announces", "frees"},
		},
		CompletedMax: {
			"CompletedMax", "checkpoint", InvRecover,
			"\"Completed\" is a compare-and-swap maximum.",
			"a slow checkpointer stores an older sequence over a newer one, whose announcement is gone already",
			[]string{"raises the completed word", "clears the announcements", "raises the completed word", "frees"},
		},
		AnnouncedBeforeCompleted: {
			"AnnouncedBeforeCompleted", "checkpoint-scan", InvRecover,
			"If announcements may be cleared once they are completed, a reclaimer reads them before the completed word. (Added.)",
			"the completed word is read, the checkpoint completes and clears its announcement, the announcements are read",
			[]string{"reads the completed word", "raises the completed word", "clears the announcements", "frees"},
		},
		SyncBeforePage: {
			"SyncBeforePage", "checkpoint", InvRecover,
			"A page is written after a sync that made its root durable.",
			"the page reaches the disk before the blocks",
			[]string{"writes the rest of its page"},
		},
		SyncAfterPage: {
			"SyncAfterPage", "checkpoint", InvSync,
			"A checkpoint is complete after a second sync.",
			"it is acknowledged while its page is in the page cache",
			[]string{"writes the rest of its page", "acknowledges"},
		},
		PagePair: {
			"PagePair", "checkpoint", InvSync,
			"A torn page matters not while another valid one is durable: pages come in pairs.",
			"the only page is torn",
			[]string{"writes half of its page"},
		},
		SampleBeforeSync: {
			"SampleBeforeSync", "sample", InvRefused,
			"The length of the file is taken before the first sync.",
			"the file grows during the sync, the page claims more than the disk has, and the store is refused as truncated",
			[]string{"begins the first sync", "grows the file", "takes the file length", "writes the page"},
		},
		RootSampledFirst: {
			"RootSampledFirst", "sample", InvRecover,
			"The root is taken before the length and the next id. (Added.)",
			"a root that is published in between lies behind the end that the page claims, or has ids that are given out again",
			[]string{"takes the file length", "publishes a root", "takes the root", "writes the page"},
		},

		SyncBeforeRead: {
			"SyncBeforeRead", "open", InvRecover,
			"Without a good shm: sync the file first, then read the pages, then trace.",
			"the newest page exists in the page cache only; the opener reuses what it does not need, and a power cut falls back to the older page",
			[]string{"writes its older checkpoint page", "is killed", "deletes the shm", "recovers", "publishes"},
		},
		BootID: {
			"BootID", "open", InvRecover,
			"A good shm has the boot id of this boot.",
			"after a power cut the root word of an unsynced root is adopted",
			[]string{"publishes", "is cut", "adopts it"},
		},
		NonceMatches: {
			"NonceMatches", "open-copy", InvRecover,
			"A good shm repeats the nonce of the newest valid checkpoint page.",
			"the store is overwritten by an older copy, with the same inode; the root word is adopted on its content",
			[]string{"acknowledges", "is killed", "overwrites the store", "adopts it"},
		},
		NonceAnnounced: {
			"NonceAnnounced", "open", InvPublish,
			"It counts if the nonce is that of an announced checkpoint: the nonce is stored before the page. (Added.)",
			"a process is killed between writing its page and completing; its shm is thrown away with what was published since",
			[]string{"publishes", "writes its older checkpoint page", "is killed", "finds no good shm", "recovers"},
		},
		AdoptSeqCheck: {
			"AdoptSeqCheck", "open-copy", InvRecover,
			"A root that is adopted has a sequence no smaller than the hint and the completed word. (Added.)",
			"the copy has the same newest checkpoint, so its nonce matches; at the root word's place lies an older object",
			[]string{"publishes", "is killed", "overwrites the store", "adopts it"},
		},
		RewriteUnsynced: {
			"RewriteUnsynced", "open-fail", InvRecover,
			"If a process died in a sync, an opener that finds nobody alive writes again what no completed checkpoint covers. (Added.)",
			"the sync has failed, and its process is killed before it stores the poison word; the next one trusts pages that the kernel calls clean",
			[]string{"fails the sync", "is killed", "adopts it"},
		},
		Poison: {
			"Poison", "open-fail", InvRecover,
			"A failed sync poisons the store, in shm: it is never retried and believed.",
			"the next sync succeeds without having written what the failed one dropped",
			[]string{"fails the sync", "carries on", "syncs"},
		},
		SeqJump: {
			"SeqJump", "resume", InvRecover,
			"After power loss sequences continue at durable + 2^32.",
			"a page that was refused names a sequence that comes again, at the same place, with one of its blocks unsynced; it verifies",
			[]string{"refuses page A", "publishes a version"},
		},
		VerifyBirths: {
			"VerifyBirths", "resume", InvRecover,
			"A root verifies only if nothing that it reaches was born after it. (Added.)",
			"a new block takes the place of the damaged one that made a page refused; now that page verifies",
			[]string{"refuses page A", "publishes a version"},
		},
		SettleAnnounced: {
			"SettleAnnounced", "resume", InvSync,
			"Settling a slot completes only a page that was announced. (Added.)",
			"it completes a page that was refused; the checkpoint that the store stands on is protected no more",
			[]string{"refuses page A", "announces", "is killed", "settles", "publishes a version"},
		},

		SnapshotHeld: {
			"SnapshotHeld", "snapshot", InvWalk,
			"What a listed snapshot reaches is not retired, but left to the full collection.",
			"the leaf of the snapshot is retired by the next edit, and freed, since no pin and no checkpoint is as old",
			[]string{"creates the snapshot", "publishes", "frees"},
		},
		TableOfBase: {
			"TableOfBase", "snapshot", InvRecover,
			"Whether a snapshot reaches it is decided when it is retired, by the table of the edit's base. (Instead of an interval for dropped snapshots.)",
			"the leaf is retired, and the table read when the snapshot has been dropped; a power cut opens a checkpoint that still lists it",
			[]string{"creates the snapshot", "announces", "drops the snapshot", "frees"},
		},

		CleanerHoldsLock: {
			"CleanerHoldsLock", "slots", InvWalk,
			"The cleaner of a dead slot holds its byte lock, and does not only test it.",
			"a cleaner tests, stops, and clears the pin of the slot's next owner",
			[]string{"tests the byte lock", "N: stores a pin", "clears the pin", "frees the block", "N: walks"},
		},
		CleanBeforeClaim: {
			"CleanBeforeClaim", "slots", InvLeak,
			"Cleaning is finished before the slot is claimed again.",
			"the lease of the dead owner stays for ever",
			[]string{"P: is killed", "N: takes the byte lock", "N: counts the incarnation"},
		},
		LeaseIncarnation: {
			"LeaseIncarnation", "slots", InvOwner,
			"Leases and named pins carry slot and incarnation.",
			"a thief finds the lease of a dead process, stops, and takes the slab from the slot's next owner",
			[]string{"thief: tests the byte lock", "N: leases the slab", "thief: swaps the lease", "N: allocates"},
		},
		PunchClaimed: {
			"PunchClaimed", "punch", InvData,
			"Punch only extents claimed in shm.",
			"an extent is found free, handed out and written, and punched",
			[]string{"finds the extent free", "writes live data", "punches the hole"},
		},
		ClaimIsFinal: {
			"ClaimIsFinal", "punch", InvData,
			"A claimed extent is not handed out until its claimant has finished or is dead.",
			"the claimant stops just before it punches, others lose patience and write, it wakes",
			[]string{"claims the free extent", "writes live data", "punches the hole"},
		},
		TruncateInGate: {
			"TruncateInGate", "truncate", InvData,
			"Truncate under the opening gate.",
			"the truncater finds itself alone and stops; another opens, and writes in what is then cut",
			[]string{"nobody else", "opens the store", "writes live data", "cuts the file"},
		},
		TruncateAlone: {
			"TruncateAlone", "truncate", InvData,
			"Truncate only as sole opener.",
			"another has the store open, and writes in what is then cut",
			[]string{"opens the store", "writes live data", "cuts the file"},
		},
		CheckpointBeforeCut: {
			"CheckpointBeforeCut", "truncate", InvRefused,
			"A truncation first completes a checkpoint, of a new sequence, that claims the shorter length. (Added.)",
			"the newest page claims more than the disk has, and the store is refused as truncated",
			[]string{"takes the gate", "cuts the file"},
		},
		GrowWritesNothing: {
			"GrowWritesNothing", "grow", InvData,
			"Growing writes no byte into the file's data. (Added.)",
			"a grower finds the file short and stops; another grows it and writes; the first writes its zero at the end",
			[]string{"finds the file too short", "writes live data", "writes a zero"},
		},
		SessionNonce: {
			"SessionNonce", "gate-link", InvOneStore,
			"The store holds a session nonce that the shm repeats: in use and different means refuse.",
			"a hard link in another directory, or a deleted shm, gives two root words and two allocators on one file",
			[]string{"locks its slot", "finds no good shm", "renames it into place", "locks its slot"},
		},
		LookAgain: {
			"LookAgain", "gate", InvRefused,
			"After taking the gate look at store and shm by path again.",
			"the shm was looked for before another opener, in the gate, made it; the store seems in use without it",
			[]string{"opens the store by path", "renames it into place", "takes the gate", "refuses"},
		},
		ReplaceByRename: {
			"ReplaceByRename", "gate", InvOneStore,
			"A stale shm is replaced by rename, never zeroed in place.",
			"a backup is renamed over the store, and its opener zeroes the shm that others have mapped",
			[]string{"locks its slot", "renames a backup", "zeroes the stale shm"},
		},
	}
}
