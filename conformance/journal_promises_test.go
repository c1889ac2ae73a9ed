package conformance_test

// ofJournalEntries is what journal.go says of limits, entries and streams.
var ofJournalEntries = []promise{
	{sentence: "Limits that every Journal must accept: the longest id of an entry, its largest payload, and the most entries of one Append or one page.", by: []string{"journal limits", "journal prefixes", "journal data"}, mutants: []string{
		"journal that refuses ids of more than 36 bytes",
		"journal that refuses data of more than 32 KiB",
		"journal that refuses streams of more than 255 bytes",
		"journal that refuses a keep of more than a year",
	}},
	{sentence: "What lies beyond them is refused with ErrInvalid", by: []string{"journal invalid"}, mutants: []string{
		"journal that takes any number of entries",
		"journal that checks no entry",
		"read of an impossible stream that is empty",
	}},
	{sentence: "before anything is added.", by: []string{"journal invalid"}, mutants: []string{
		"journal that adds all up to what it refuses",
	}},
	{sentence: "JournalEntry is one entry of a Journal.", why: explains},
	{sentence: "Stream is the name of the timeline that the entry belongs to.", by: everyJournal, mutants: []string{
		"journal entry without its stream",
	}},
	{sentence: "It follows the rules of keys,", by: []string{"journal prefixes"}, mutants: []string{
		"journal streams without case",
		"journal streams told apart by their first 255 bytes",
		"journal stream that shows those below it too",
	}},
	{sentence: "and is nothing else: a stream and a key of one name have nothing to do with each other.", by: []string{"journal and keys"}, mutants: []string{
		"a key that is deleted takes its stream along",
		"a stream is a key too",
	}},
	{sentence: "ID, unless empty, makes the entry the only one of its id in its stream:", by: []string{"journal of many entries", "journal ids", "journal race of ids", "journal elsewhere", "journal race of handles", "journal crash", "journal pages", "journal model"}, mutants: []string{
		"only the last 500 ids are remembered",
		"an id that is not looked at",
		"an id that comes twice in one batch",
		"an id is taken in all streams",
		"an id without case",
		"an empty id is one too",
		"an id that two callers take at once",
		"two handles that each remember their own ids",
		"two handles that both take an id",
		"ids forgotten in a crash",
		"journal entry without its id",
	}},
	{sentence: "a later one is dropped without an error,", by: everyJournal, mutants: []string{
		"a taken id that is an error",
		"a taken id that drops the rest of its batch",
		"streams that count what an id has dropped",
	}},
	{sentence: "as long as the first is kept.", by: []string{"journal keep"}, mutants: []string{
		"an id that is taken for ever",
	}},
	{sentence: "Data is opaque and may be empty.", by: []string{"journal data", "journal pages", "journal streams", "journal limits", "journal model", "journal elsewhere"}, mutants: []string{
		"journal entry without data that is not added",
		"journal data made valid UTF-8",
		"journal data cut at 32 KiB",
	}},
	{sentence: "It belongs to whoever holds the entry, as Entry.Value.", by: []string{"journal aliasing", "journal cut short"}, mutants: []string{
		"journal that keeps the caller's data",
		"journal that hands out its own data",
		"journal streams that hand out the journal's own data",
		"journal page whose data lies side by side",
		"Append that reads its data after the call",
	}},
	{sentence: "Keep is how long the entry stays readable at least, from its Append on.", by: []string{"journal keep", "journal limits"}, mutants: []string{
		"journal keep cut to whole seconds, and one at least",
		"journal keep cut to whole seconds",
		"journal keep that overflows the clock",
		"journal keep in milliseconds of 32 bits",
		"journal stream that ends with its oldest entry",
	}},
	{sentence: "It must be positive:", by: []string{"journal invalid"}, mutants: []string{
		"journal that keeps for ever what has no keep",
		"journal that takes a negative keep for none",
	}},
	{sentence: "a journal forgets.", by: []string{"journal keep"}, mutants: []string{
		"journal that never forgets",
		"read of the newest that shows what is gone",
	}},
	{sentence: "Each server of a store drops what is over by its own clock, so an entry past its keep may be missing from one read and be in the next, for seconds.", why: allows},
	{sentence: "Position is greater than 0", by: everyJournal, mutants: []string{
		"journal positions that begin with 0",
	}},
	{sentence: "and grows within the whole journal, in the order in which entries were added.", by: everyJournal, mutants: []string{
		"journal positions of each stream",
		"journal positions of each call",
		"two entries that change places in a crash",
	}},
	{sentence: "A position once used is never used again.", by: []string{"journal crash", "journal keep"}, mutants: []string{
		"a position that is used again after a crash",
		"journal positions that begin anew after a crash",
		"a position that is used again after a drop",
	}},
	{sentence: "Append ignores it.", by: []string{"journal order"}, mutants: []string{
		"journal positions that an entry brings along",
	}},
	{sentence: "Entries that are read have it,", by: everyJournal, mutants: []string{
		"journal entry without its position",
	}},
	{sentence: "and have no Keep.", by: everyJournal, mutants: []string{
		"journal entry with its keep",
	}},
	{sentence: "StreamInfo is what a Journal knows of a stream that has entries.", why: explains},
	{sentence: "Count is how many of its entries can be read.", by: []string{"journal keep", "journal streams"}, mutants: []string{
		"streams that count what is gone",
		"streams that count one too many",
	}},
	{sentence: "Last is the newest of them.", by: []string{"journal keep", "journal streams"}, mutants: []string{
		"streams whose newest entry is gone",
		"streams whose newest entry is the first",
		"streams without the data of the newest entry",
	}},
}

// ofJournalCalls is what journal.go says of Journal.
var ofJournalCalls = []promise{
	{sentence: "Journal is a Backend that keeps timelines: streams of entries that are added at the end", by: []string{"journal appenders", "journal race of ids", "journal race of handles"}, mutants: []string{
		"journal position given before its entry is there",
	}},
	{sentence: "and never change.", by: []string{"journal ids", "journal pages", "journal streams", "journal model", "journal elsewhere", "journal crash"}, mutants: []string{
		"a taken id that replaces what is there",
	}},
	{sentence: "A stream exists as long as it has entries.", by: []string{"journal keep"}, mutants: []string{
		"streams of which nothing is left",
	}},
	{sentence: "Reads see every entry whose Append was acknowledged,", by: everyJournal, mutants: []string{
		"Append that is acknowledged early while others read",
		"streams that are behind by one Append",
		"read of the newest without what was added last",
		"one Append in two hundred is acknowledged only",
		"acknowledged entry lost in a crash",
	}},
	{sentence: "to anybody, before they began.", by: []string{"journal elsewhere", "journal race of handles"}, mutants: []string{
		"another handle reads a stream late",
		"another handle reads the newest late",
		"another handle lists streams late",
		"two handles, each with a journal of its own",
	}},
	{sentence: "What Backend promises of concurrent use,", by: []string{"journal streams while appending", "journal appenders"}, mutants: []string{
		"streams that are listed while others move",
		"journal that turns away the third Append at once",
		"journal that loses what comes beside others",
	}},
	{sentence: "of contexts", by: []string{"journal ended context", "journal cut short"}, mutants: []string{
		"journal reads that do not look at their context",
		"Append that adds although its context has ended",
		"Append that does not look at its context",
		"streams with an ended context that are none",
		"Append that is blocked when its context ends",
		"Append with an error of its own if it is cut",
	}},
	{sentence: "and of Close holds for a Journal's methods too.", by: []string{"journal closed", "journal elsewhere", "journal race of handles"}, mutants: []string{
		"closed journal that is read",
		"closed journal that adds",
		"closed journal that lists no streams",
		"entry that was acknowledged, and is lost in closing",
	}},
	{sentence: "A limit is from 1 to MaxJournalBatch, and an offset is not negative: else ErrInvalid.", by: []string{"journal invalid"}, mutants: []string{
		"journal pages whose limit may be 0",
		"journal pages of any size",
		"streams whose negative offset is none",
	}},
	{sentence: "Append adds entries in their order.", by: everyJournal, mutants: []string{
		"journal that adds a batch backwards",
		"journal that sorts a batch by its data",
		"journal that adds the first of a batch alone",
		"entry that is there twice after a crash",
	}},
	{sentence: "One call's entries of one stream stand in that order, also among entries that others add.", by: []string{"journal appenders", "journal cut short", "journal race of handles"}, mutants: []string{
		"journal that turns round what comes beside others",
	}},
	{sentence: "Up to MaxJournalBatch entries are taken.", by: []string{"journal limits"}, mutants: []string{
		"journal that adds the first 500 of a batch",
		"journal that refuses a batch of more than 500",
	}},
	{sentence: "With ErrInvalid, ErrUnavailable or ErrClosed nothing was added.", by: []string{"journal cut short", "journal closed"}, mutants: []string{
		"Append that says unavailable, and adds",
		"Append that says unavailable, and adds later",
		"closed journal that says so, and adds",
		"Append under way that says closed, and adds",
		"Append that succeeds, with half of it, if it is cut",
	}},
	{sentence: "After any other error some entries may have been added, or may still be: those with an ID can be sent again.", why: allows},
	{sentence: "ReadStream returns the first entries of a stream", by: []string{"journal pages", "journal model", "journal of many entries", "journal appenders", "journal race of handles"}, mutants: []string{
		"read of a stream that returns the last up to the limit",
		"read of a stream that ends after a page of 500",
	}},
	{sentence: "that stand after a position,", by: everyJournal, mutants: []string{
		"read of a stream from the position itself",
		"read of a stream with a position of 63 bits",
	}},
	{sentence: "oldest first,", by: everyJournal, mutants: []string{
		"read of a stream newest first",
	}},
	{sentence: "up to limit;", by: []string{"journal pages", "journal model", "journal of many entries", "journal appenders", "journal race of handles"}, mutants: []string{
		"read of a stream with one more than the limit",
	}},
	{sentence: "after position 0 the stream begins.", by: everyJournal, mutants: []string{
		"read of a stream from its second entry",
	}},
	{sentence: "An unknown stream has no entries.", by: everyJournal, mutants: []string{
		"read of an unknown stream that fails",
	}},
	{sentence: "ReadNewest returns the last entries,", by: []string{"journal pages", "journal data", "journal limits", "journal model", "journal of many entries"}, mutants: []string{
		"read of the newest that returns the first",
		"read of the newest that looks at the last 100 alone",
	}},
	{sentence: "among all streams whose name begins with prefix,", by: []string{"journal prefixes"}, mutants: []string{
		"read of the newest by a prefix of 255 bytes",
		"read of the newest by a pattern",
		"read of the newest of one namespace alone",
	}},
	{sentence: "that stand before a position,", by: []string{"journal pages", "journal model", "journal of many entries"}, mutants: []string{
		"read of the newest with the position itself",
	}},
	{sentence: "newest first,", by: everyJournal, mutants: []string{
		"read of the newest with the oldest first",
	}},
	{sentence: "up to limit;", by: []string{"journal pages", "journal data", "journal limits", "journal model", "journal of many entries"}, mutants: []string{
		"read of the newest with one more than the limit",
	}},
	{sentence: "before position 0 the journal ends.", by: everyJournal, mutants: []string{
		"read of the newest before 0 that finds nothing",
	}},
	{sentence: "Streams returns the streams whose name begins with prefix,", by: []string{"journal prefixes"}, mutants: []string{
		"streams by a pattern",
	}},
	{sentence: "the one with the newest entry first.", by: everyJournal, mutants: []string{
		"streams in the order of their names",
		"streams with the oldest first",
	}},
	{sentence: "It leaves out the first offset of them", by: []string{"journal streams", "journal model", "journal of many entries"}, mutants: []string{
		"streams that leave out nothing",
		"streams that leave out one more",
	}},
	{sentence: "and returns up to limit.", by: []string{"journal streams", "journal model", "journal of many entries", "journal keep"}, mutants: []string{
		"streams with one more than the limit",
	}},
	{sentence: "The total counts all that there are.", by: []string{"journal of many entries", "journal streams", "journal model"}, mutants: []string{
		"streams beyond a page of 1000 that are not counted",
		"streams whose total is that of the page",
		"streams whose total leaves out what the page does",
	}},
}
