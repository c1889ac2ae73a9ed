package conformance_test

// ofCapabilities is what backend.go says of Lister and Watcher.
var ofCapabilities = []promise{
	{sentence: "Lister is a Backend that can enumerate its entries.", why: explains},
	{sentence: "List yields the entries whose key begins with prefix,", by: []string{"each odd prefix", "many lists", "list"}, mutants: []string{
		"list by pattern instead of prefix",
		"list that shows deleted entries",
		"list that is behind",
		"a listing that lags behind another handle",
		"list by the first 255 bytes of its prefix",
		"list of all shows the store's own keys",
		"one listing in fifty misses one",
	}},
	{sentence: "byte for byte, in any order;", by: []string{"each odd prefix", "list"}, mutants: []string{
		"list that compares without case",
	}},
	{sentence: `"" is the prefix of all.`, by: []string{"long list"}, mutants: []string{
		"list of all by an empty prefix is empty",
	}},
	{sentence: "A key that is there from the call's first step to its end is yielded exactly once;", by: []string{"long list"}, mutants: []string{
		"list that ends after a page of 1000",
		"list that ends after a page of 100",
		"list that ends after four megabytes",
		"list that repeats where a page begins",
		"list that misses where a page begins",
		"list that misses",
		"list that repeats",
		"list that misses what is written meanwhile",
		"list of pages, each by its number",
	}},
	{sentence: "one that is written or deleted meanwhile, at most once.", by: []string{"list while writing", "whole states"}, mutants: []string{
		"list that repeats what is written meanwhile",
	}},
	{sentence: "After an error, which comes with a zero Entry, the sequence ends.", by: []string{"list cut short", "ended context", "closed"}, mutants: []string{
		"list that goes on after an error",
		"list whose error comes with an entry",
	}},
	{sentence: "If the context ends meanwhile, the sequence yields the rest of its entries or ends with the context's error.", by: []string{"list cut short", "closed"}, mutants: []string{
		"list that ends without a word when its context does",
	}},
	{sentence: "The caller may write to the backend while it iterates,", by: []string{"long list", "list while writing"}, mutants: []string{
		"list that holds a lock which a writer needs",
		"list that holds a lock which a list needs",
		"list that holds a lock which a deletion needs",
		"list that holds a lock which a watch needs",
	}},
	{sentence: "and may break off at any time.", by: []string{"many lists", "list cut short"}, mutants: []string{
		"list broken off that keeps its lock",
		"list that goes on when it is broken off",
		"list broken off that leaves a goroutine",
		"no more than 200 listings broken off",
		"list broken off by a panic that keeps its lock",
		"list that is not begun and holds a lock",
	}},
	{sentence: "Watcher is a Backend that tells of changes as they happen.", why: explains},
	{sentence: "Watch sends the state of key at the time of the call,", by: []string{"limits", "watch", "watch elsewhere", "watch keys", "watch under load", "unread watch", "many watches", "watch ends", "aliasing", "whole states", "closed"}, mutants: []string{
		"watch that is silent about an absent key",
		"watch that sends changes alone",
		"another handle's watch begins with absence",
		"watch that tells of what is refused",
	}},
	{sentence: "and then its later states.", by: []string{"limits", "watch", "whole states", "watch elsewhere", "watch keys", "watch under load", "unread watch", "many watches", "aliasing"}, mutants: []string{
		"watch that sends its first state alone",
		"watch that is silent",
		"watch that ends with its first state",
		"watch that does not tell of deletions",
		"a watch that sees only its own handle's writes",
		"no more than 64 watches",
		"the watch of a key replaces the one before",
		"no more than eight watches of a key are told",
		"watch that skips large values",
	}},
	{sentence: "It may skip a state that is followed by another, but the newest always comes,", by: []string{"watch under load", "watch elsewhere", "watch", "watch keys", "unread watch", "many watches"}, mutants: []string{
		"watch that begins late",
		"watch that misses the last state",
		"watch that sends its first state for ever",
		"watch that sends changes without their values",
	}},
	{sentence: "and no state comes after a later one.", by: []string{"watch", "watch under load", "watch keys", "watch elsewhere", "unread watch"}, mutants: []string{
		"watch that goes back in time",
	}},
	{sentence: "An Entry with Revision 0 says that the key is absent.", why: "Entry says so, above"},
	{sentence: "A store need not tell when it drops an entry whose keep has ended.", why: allows},
	{sentence: "If ctx has already ended, Watch returns its error.", by: []string{"ended context"}, mutants: []string{
		"a watch that begins with an ended context",
	}},
	{sentence: "A watch that nobody reads holds nobody up. Whoever reads it later comes to the newest state.", by: []string{"unread watch", "watch elsewhere", "watch", "watch keys", "watch under load", "closed", "aliasing"}, mutants: []string{
		"watch that holds its writers up",
	}},
	{sentence: "The channel is closed after ctx ends, when the store is closed, and when the watch cannot go on;", by: everyWatch, mutants: []string{
		"watch that stays open after cancel",
	}},
	{sentence: "a caller that still wants to know then watches again.", why: advises},
	{sentence: "Nothing is left running afterwards, whether or not the channel was drained.", by: []string{"watch under load", "watch ends", "list while writing"}, mutants: []string{
		"watch that leaks its goroutine after cancel",
		"watch that leaks what nobody took",
		"a write panics if a watch ends meanwhile",
	}},
}
