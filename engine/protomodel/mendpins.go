package protomodel

// pinMends are the rules about sequences, pins, reuse and collection.
func pinMends() map[Mend]mendInfo {
	return map[Mend]mendInfo{
		PinThenLoad: {
			"PinThenLoad", "publish", InvWalk,
			"Store a hint in the slot, then load the root.",
			"the root is loaded, replaced and its block freed before the pin is stored",
			[]string{"reader: loads the root word", "writer A: swaps", "reader: stores the hint as its pin", "frees", "reader: walks"},
		},
		HintAfterSwap: {
			"HintAfterSwap", "publish", InvWalk,
			"The hint is at most the sequence of the present root: it is raised after the swap.",
			"a reader pins a sequence that is not yet published and loads the root before it, which the pin does not protect",
			[]string{"builds", "reader: stores the hint", "reader: loads the root word", "swaps", "frees", "reader: walks"},
		},
		ShortPinOpen: {
			"ShortPinOpen", "publish", InvWalk,
			"A short pin at s protects [s, ∞).",
			"a pin at 1 covers a reader at root 2; a block [2, 3) passes \"1 is not in it\"",
			[]string{"stores the hint as its pin", "loads the root word", "frees", "walks"},
		},
		BoundBeforeSlots: {
			"BoundBeforeSlots", "publish", InvWalk,
			"A reclaimer reads its bound first and the slots after.",
			"the slot is read empty; a reader pins and loads; its root is replaced; the bound read then covers that",
			[]string{"reads the short pin of reader", "reader: stores the hint", "reader: loads the root word", "reads the bound", "frees", "reader: walks"},
		},
		PinThroughSwap: {
			"PinThroughSwap", "swap", InvPublish,
			"The root word is a bare reference: the pin that keeps its block from reuse is held through the swap.",
			"the base's block is freed and becomes the root again with another content; the swap succeeds and loses what was published between",
			[]string{"drops its pin before the swap", "frees", "swaps the root word", "swaps the root word"},
		},
		NamedPinExact: {
			"NamedPinExact", "named", InvWalk,
			"A named root pin holds the exact sequence of its root.",
			"the pin holds the hint, which is older than the root; the root's block [2, 3) does not contain it",
			[]string{"stores a named pin", "drops its short pin", "frees", "walks the root under its named pin"},
		},
		NamedBeforeUnpin: {
			"NamedBeforeUnpin", "named", InvWalk,
			"A named pin is stored before the short pin is dropped.",
			"a drain looks between the two and sees neither",
			[]string{"drops its short pin, before", "frees", "walks the root under its named pin"},
		},
		ShortBeforeNamed: {
			"ShortBeforeNamed", "named", InvWalk,
			"A reclaimer reads short pins before named ones: the direction in which protection moves.",
			"the named pins are read, the reader moves from its short pin to a named one, the short pins are read",
			[]string{"reads the named pin 2", "stores a named pin", "reads the short pin of reader", "frees", "walks the root under its named pin"},
		},
		NamedScanStable: {
			"NamedScanStable", "named", InvWalk,
			"Whoever makes a named pin counts it, and a reclaimer reads the table again until the count held still. (Added.)",
			"one named pin is made from another of the same root, in an entry that was already read, and the other dropped before it is read",
			[]string{"reads the named pin 1", "stores a second named pin", "drops the first named pin", "reads the named pin 2", "frees", "walks the root under its second"},
		},
		NamedEntryOnce: {
			"NamedEntryOnce", "named-table", InvWalk,
			"An entry in the table of named pins is never changed, only dropped: reference first, sequence last. (Added.)",
			"a mount renews its entry in place; the collector reads the old sequence with the new reference, and does not mark the old root",
			[]string{"stores the reference", "reads the reference", "sweeps"},
		},
		NamedReadTwice: {
			"NamedReadTwice", "named-table", InvWalk,
			"The collector reads the sequence of an entry again after its reference. (Added.)",
			"the entry is dropped and made anew in between; the collector walks a root that it takes for an old one",
			[]string{"reads the sequence of a named pin", "drops its old named pin", "reads the reference of the named pin", "walks the root"},
		},
		MarkOlderOnly: {
			"MarkOlderOnly", "named-table", InvWalk,
			"The collector marks from roots older than M only: what a newer one has of old blocks, M has too. (Added.)",
			"a newer root is walked; its pin is dropped and its blocks are freed meanwhile, since limbo leaves only what was retired by M to the collector",
			[]string{"reads the reference of the named pin", "drops its", "frees", "walks the root"},
		},

		ValueID: {
			"ValueID", "handle-drain", InvWalk,
			"Limbo entries of value blocks carry the value's id, and a handle pin (id, p) protects those with p in [b, r).",
			"only the head that the pin names is known; the value's other blocks are retired one by one and freed",
			[]string{"stores its handle pin", "frees", "reads its value"},
		},
		HandleBeforeUnpin: {
			"HandleBeforeUnpin", "handle-drain", InvWalk,
			"A handle pin is stored before the short pin is dropped.",
			"a drain looks between the two and sees neither",
			[]string{"drops its short pin, before", "reads the handle pin", "stores its handle pin", "reads its value"},
		},
		ShortBeforeHandles: {
			"ShortBeforeHandles", "handle-drain", InvWalk,
			"A reclaimer reads short pins before handle pins.",
			"the handle pins are read, the handle moves from its short pin to one, the short pins are read",
			[]string{"drain: reads the handle pin", "handle: stores its handle pin", "drain: reads the short pins", "reads its value"},
		},
		HandleAfterWait: {
			"HandleAfterWait", "handle-collect", InvWalk,
			"The collector reads handle pins after its wait.",
			"it reads them before; a handle that was still under its short pin stores its pin after, and its version is swept",
			[]string{"reads the handle pin, before the wait", "stores its handle pin", "drops its short pin", "finds no pin older", "sweeps", "reads its value"},
		},
		HandleOlderOnly: {
			"HandleOlderOnly", "handle-collect", InvWalk,
			"The collector marks from a handle pin only if its p is older than M. (Added.)",
			"a handle holds a version born after M and replaced since; it closes while the collector walks that, and a drain frees it",
			[]string{"pins the root M", "stores its handle pin", "collector: reads the handle pin", "handle: closes", "drain: frees", "marks what the handle pin holds"},
		},
		OrphanInTree: {
			"OrphanInTree", "handle-unlinked", InvOwner,
			"An unlinked open file stays in the tree, in a container of orphans, so that its writes are edits. (Replaces: " +
				"\"a writer through an unlinked open file stores its new root block in its handle pin\".)",
			"blocks that only a handle pin held are retired by its close at r > M, but are not in M: the sweep frees them, and limbo again",
			[]string{"unlinks the value", "builds a new head", "handle: closes", "pins the root M", "sweeps", "drain: frees"},
		},
		OneReferrer: {
			"OneReferrer", "referrer", InvOwner,
			"Within one root each block has one referrer.",
			"a copy shares the block; the first removal retires it under the second, and the second retires it again",
			[]string{"copies entry", "removes entry", "removes entry"},
		},

		ExactBirth: {
			"ExactBirth", "collect-birth", InvWalk,
			"A node's birth is the sequence of the root that publishes it: a loser restamps what it keeps.",
			"a kept leaf has the birth of an earlier attempt, by which it counts as older than M; it is published after M and swept",
			[]string{"loses the swap, keeps its leaf", "pins the root M", "writer A: swaps", "clears the bit"},
		},
		KeepFirstPin: {
			"KeepFirstPin", "collect-birth", InvOwner,
			"A loser keeps its first pin until its retired nodes are in limbo.",
			"it pins anew, the collector need not wait for it, and sweeps the leaf that it has kept",
			[]string{"loses the swap, keeps its leaf", "pins again", "clears the bit", "builds"},
		},
		EmptyEditFirst: {
			"EmptyEditFirst", "collect-birth", InvLeak,
			"The collector publishes an empty edit before it pins M. (Added.)",
			"what a killed writer built on the present root is born one later than M, and survives the collection",
			[]string{"is killed", "takes the lease", "ends"},
		},
		EmptyEdit: {
			"EmptyEdit", "collect-limbo", InvOwner,
			"After gcseq is stored an empty edit E is published, and pins older than E are waited for.",
			"a drain pins a sequence that is not older than M, but read gcseq before it was stored; the sweep and it free the same block",
			[]string{"reads gcseq", "stores M as gcseq", "finds a block allocated", "frees a block in limbo", "clears the bit"},
		},
		WaitForPins: {
			"WaitForPins", "collect-reader", InvWalk,
			"The collector waits until every other short pin is newer than the root before E.",
			"the sweep frees a leaf that a pinned reader, or a writer on its base, walks",
			[]string{"stores the hint as its pin", "loads the root word", "pins the root M", "clears the bit"},
		},
		DropAtGCSeq: {
			"DropAtGCSeq", "collect-limbo", InvOwner,
			"Limbo entries retired at or before gcseq are dropped: they are the collector's.",
			"a block is freed by the sweep, and again by limbo",
			[]string{"into limbo", "finds a block allocated", "frees a block in limbo", "clears the bit"},
		},
		DrainPinBeforeGCSeq: {
			"DrainPinBeforeGCSeq", "collect-limbo", InvOwner,
			"Limbo is drained under a pin taken before gcseq is read.",
			"the drain reads gcseq, the collector stores it and does not have to wait, the drain pins; both free the block",
			[]string{"reads gcseq", "stores M as gcseq", "finds a block allocated", "frees a block in limbo", "clears the bit"},
		},
		PinMByName: {
			"PinMByName", "collect-limbo", InvWalk,
			"The collector pins M by name.",
			"M is replaced, its blocks are retired after gcseq, drained and reused while the collector marks from M",
			[]string{"pins the root M", "into limbo", "frees a block in limbo", "marks from M"},
		},
		NamedAfterWait: {
			"NamedAfterWait", "collect-reader", InvWalk,
			"The collector reads named pins after its wait.",
			"it reads them before; a reader that was still under its short pin stores a named one after, and its root is swept",
			[]string{"reads the named pins", "stores a named pin", "drops its short pin", "clears the bit", "walks the root under its named pin"},
		},
		HeaderBeforeBit: {
			"HeaderBeforeBit", "collect-alloc", InvWalk,
			"An allocation writes the object header first, the allocated bit after.",
			"the sweep judges the block by the header of its earlier life",
			[]string{"sets the allocated bit of the new", "finds a block allocated", "clears the bit"},
		},
		BitBeforeHeader: {
			"BitBeforeHeader", "collect-alloc", InvWalk,
			"The sweep reads the bit first, the header after.",
			"it reads the header of the earlier life, the block is allocated, it reads the bit",
			[]string{"reads a header", "sets the allocated bit of the new", "reads the bit", "clears the bit"},
		},
		LeaseCount: {
			"LeaseCount", "sweep", InvOwner,
			"A slab counts its leases, and the sweep trusts a header only if the count is that of before it read the bit. (Added.)",
			"the object is freed, a larger one covers its granule and its data look like an old header, that one is freed too, and a third begins there",
			[]string{"reads the start bits", "frees a young object", "two granules", "reads the header", "one granule", "clears its start bit"},
		},
		OneCollector: {
			"OneCollector", "collect-two", InvOwner,
			"One collection runs at a time, under a lease that only the dead lose.",
			"two collectors find the same block; the second clears its bit when the first has, and by then it may be used again",
			[]string{"collector: finds a block allocated", "collector 2: finds a block allocated", "clears the bit", "clears the bit"},
		},
	}
}
