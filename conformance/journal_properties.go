package conformance

// ofJournals are the properties of backend.Journal, in the order in which a new one best gets them
// right.
var ofJournals = []property{
	{name: "journal order", promise: "Append adds entries at the end of their streams, in their order, and ReadStream returns them oldest first, each with its stream, its id and its position", needs: journaler, each: journalOrder},
	{name: "journal ids", promise: "an entry with an id is the only one of its id in its stream: a later one is dropped without an error", needs: journaler, each: journalIDs},
	{name: "journal pages", promise: "ReadStream and ReadNewest return the entries beyond a position, up to the limit, and none for an unknown stream", needs: journaler, each: journalPages},
	{name: "journal streams", promise: "Streams returns the streams with the prefix, the one with the newest entry first, each with its count and its newest entry, without the first offset of them and up to the limit; the total counts all", needs: journaler, each: journalStreams},
	{name: "journal prefixes", promise: "streams are told apart by their bytes, and prefixes of their names go by the bytes, however odd or long", needs: journaler, once: journalPrefixes},
	{name: "journal data", promise: "the data of an entry comes back byte for byte, from empty to 64 KiB", needs: journaler, each: journalData},
	{name: "journal aliasing", promise: "the journal shares no data's bytes with its caller, on the way in or out", needs: journaler, each: journalAliasing},
	{name: "journal limits", promise: "the longest stream, id and keep, the largest data and the largest batch and page are accepted", needs: journaler, once: journalLimits},
	{name: "journal invalid", promise: "arguments outside the limits are refused with ErrInvalid, and nothing is added", needs: journaler, once: journalInvalid},
	{name: "journal and keys", promise: "a stream and a key of one name have nothing to do with each other", needs: journaler, each: journalAndKeys},
	{name: "journal model", promise: "any sequence of calls behaves like a list of entries", needs: journaler, each: journalModel},
	{name: "journal of many entries", promise: "the journal holds as many entries, streams and ids as are added, each once, in pages that neither miss nor repeat", needs: journaler, once: journalOfMany},
	{name: "journal appenders", promise: "concurrent calls add all their entries, one call's entries of a stream in their order, at the end: a reader that goes on after the last position misses none", needs: journaler, each: journalAppenders},
	{name: "journal race of ids", promise: "of concurrent calls that add an entry with one id to a stream, exactly one does", needs: journaler, each: journalRaceOfIDs},
	{name: "journal fresh reads", promise: "each read of the journal sees every entry whose Append was acknowledged before it began", needs: journaler, each: journalFreshReads},
	{name: "journal streams while appending", promise: "Streams is right for streams that rest, and never shows a stream twice or out of order, whatever is added meanwhile", needs: journaler, once: journalStreamsWhile},
	{name: "journal ended context", promise: "a call whose context has ended does nothing, and says so at once with the error of the context", needs: journaler, each: journalEndedContext},
	{name: "journal cut short", promise: "an Append whose context ends returns soon, and has added nothing if it says so, and all if it succeeds; it lets go of the data", needs: journaler, each: journalCutShort},
	{name: "journal elsewhere", promise: "what is added through one handle of a store is seen through every other at once, and its ids are taken there", needs: journaler | secondHandle, each: journalElsewhere},
	{name: "journal race of handles", promise: "concurrent calls through two handles add all their entries, in their order, and each id once", needs: journaler | secondHandle, each: journalRaceOfHandles},
	{name: "journal crash", promise: "what was acknowledged is there after a crash, once and in its order, and positions go on growing", needs: journaler | crash, once: journalCrash},
	{name: "journal closed", promise: "after Close every call of the journal fails at once with ErrClosed and adds nothing, and what was acknowledged before is there", needs: journaler | closer, once: journalClosed},
	{name: "journal keep", promise: "an entry stays readable for its keep, and when it is dropped it is gone from every read, from its stream's count and newest entry, and its id is free", needs: journaler, once: journalKeep, waits: true},
}
