package protomodel

// listMends are the rules about checkpoint records that list what is new.
func listMends() map[Mend]mendInfo {
	return map[Mend]mendInfo{
		ListHolds: {
			"ListHolds", "listed", InvRecover,
			"A listed record counts if every object that it lists is there, of its birth and checksum.",
			"the record reaches the disk before the block that it lists",
			[]string{"for a base", "writes the rest of its record"},
		},
		ListSinceBase: {
			"ListSinceBase", "listed", InvRecover,
			"It lists all objects of the version that were born after its base, not only those of the newest version.",
			"root 3 is taken after 1 has completed; block 3 reaches the disk with the record, and block 2, which it needs, does not",
			[]string{"publishes", "publishes", "for a base", "announces", "writes the rest of its record"},
		},
		BaseCompleted: {
			"BaseCompleted", "listed", InvRecover,
			"Its base is a checkpoint that has completed, not one that was only announced.",
			"checkpoint 2 is announced by the other process, and nothing synced yet; the record of 3 builds on it, and does not list block 2",
			[]string{"checkpointer 0: announces", "checkpointer 1: reads the completed word, for a base", "checkpointer 1: writes the rest of its record"},
		},
		BaseProtected: {
			"BaseProtected", "listed", InvRecover,
			"What the base needs is reused when a later checkpoint has completed, not when one is announced that builds on it.",
			"a listed record of 3 is announced, and the block of its base reused; the record does not reach the disk, or does not hold, and the base is in pieces",
			[]string{"for a base", "announces", "frees"},
		},
		ListedSynced: {
			"ListedSynced", "listed", InvSync,
			"A listed checkpoint is complete after the sync that follows its record.",
			"it is acknowledged while its record and its blocks are in the page cache",
			[]string{"for a base", "writes the rest of its record", "acknowledges"},
		},
		ConfirmBeside: {
			"ConfirmBeside", "listed", InvSync,
			"A plain record that confirms a listed one is written to the other page of the pair.",
			"it is written over the listed one, and torn: nothing is left of a version that was acknowledged",
			[]string{"for a base", "acknowledges", "begins to confirm", "writes half of its record"},
		},
		SettleWritten: {
			"SettleWritten", "listed-kill", InvRefused,
			"A new owner of a slot syncs what its dead predecessor announced before it writes a record itself. (With two syncs, the first of its own checkpoint would do.)",
			"a listed record is written beside the only durable one, and its writer killed; the next owner takes that for the older page, and of both may nothing be on the disk",
			[]string{"for a base", "writes the rest of its record", "is killed", "claimed the slot", "for a base", "writes half of its record"},
		},
		SettleConfirmed: {
			"SettleConfirmed", "listed-kill", InvSync,
			"A new owner of a slot also syncs if both pages have a record of one version: the plain one may not be on the disk. (The engine syncs whenever the last owner has died, which is both of these rules and more. Added.)",
			"a listed checkpoint is being confirmed, and its writer killed before the sync; no announcement is open, so the next owner does not sync, and overwrites the listed record, the only one on the disk",
			[]string{"acknowledges", "begins to confirm", "writes the rest of its record", "is killed", "claimed the slot", "for a base", "writes half of its record"},
		},
	}
}
