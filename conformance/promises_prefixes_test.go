package conformance_test

// everyPrefixWatch are the properties that rest on what a watch of a prefix sends.
var everyPrefixWatch = []string{"watch prefix", "watch prefixes", "prefix watch under load", "unread prefix watch", "prefix watch elsewhere", "prefix watch ends", "closed"}

// ofPrefixWatcher is what prefix.go says.
var ofPrefixWatcher = []promise{
	{sentence: "MaxWaiting is how many states a watch of a prefix may hold for a caller who does not read them.", why: "WatchPrefix says so, below"},
	{sentence: "PrefixWatcher is a Backend that tells of changes of all keys with one prefix.", why: explains},
	{sentence: "WatchPrefix sends the later states of the keys that begin with prefix,", by: everyPrefixWatch, mutants: []string{
		"prefix watch that is silent",
		"prefix watch that sees only its own handle's writes",
		"prefix watch that does not tell of deletions",
		"prefix watch of the keys that stood when it began",
		"prefix watch that ends with its first state",
		"prefix watch that tells of what is refused",
		"prefix watch that sends changes without their values",
		"the watch of a prefix replaces the one before",
	}},
	{sentence: "byte for byte;", by: []string{"watch prefixes", "watch prefix"}, mutants: []string{
		"prefix watch that compares without case",
		"prefix watch of whole steps of a path",
		"prefix watch that ignores a slash at the end",
		"prefix watch by pattern instead of prefix",
		"prefix watch by the first 255 bytes of its prefix",
		"prefix watch by whole characters",
	}},
	{sentence: `"" is the prefix of all.`, by: []string{"watch prefixes"}, mutants: []string{
		"prefix watch of all by an empty prefix is silent",
	}},
	{sentence: "All that is written after WatchPrefix has returned is a later state.", by: everyPrefixWatch, mutants: []string{
		"prefix watch that begins late",
	}},
	{sentence: "What stands at the time of the call is not sent.", by: []string{"watch prefix", "prefix watch elsewhere", "watch prefixes", "prefix watch under load", "unread prefix watch"}, mutants: []string{
		"prefix watch that begins with what stands",
	}},
	{sentence: "Whoever needs that lists once WatchPrefix has returned.", why: advises},
	{sentence: "Of each key the watch may skip a state that is followed by another, but the newest always comes,", by: everyPrefixWatch, mutants: []string{
		"prefix watch that misses the last state",
		"prefix watch that tells of each key once",
	}},
	{sentence: "and no state comes after a later one.", by: everyPrefixWatch, mutants: []string{
		"prefix watch that goes back in time",
	}},
	{sentence: "An Entry with Revision 0 says that its Key is absent.", by: []string{"watch prefix", "watch prefixes", "prefix watch elsewhere", "prefix watch under load"}, mutants: []string{
		"prefix watch that sends a deletion at a revision",
		"prefix watch whose deletions have no key",
	}},
	{sentence: "A store need not tell when it drops an entry whose keep has ended.", why: allows},
	{sentence: "If ctx has already ended, WatchPrefix returns its error.", by: []string{"ended context"}, mutants: []string{
		"a prefix watch that begins with an ended context",
	}},
	{sentence: "A prefix longer than any key is refused with ErrInvalid.", by: []string{"invalid"}, mutants: []string{
		"a watch of an impossible prefix begins",
	}},
	{sentence: "A watch that nobody reads holds nobody up.", by: []string{"unread prefix watch"}, mutants: []string{
		"prefix watch that holds its writers up",
	}},
	{sentence: "It holds at most MaxWaiting states.", by: []string{"unread prefix watch"}, mutants: []string{
		"prefix watch that holds all that nobody reads",
	}},
	{sentence: "The channel is closed after ctx ends,", by: everyPrefixWatch, mutants: []string{
		"prefix watch that stays open after cancel",
	}},
	{sentence: "when the store is closed,", by: []string{"closed"}, mutants: []string{
		"prefix watch that outlives its store",
		"prefix watch of a closed store begins",
	}},
	{sentence: "and when a state may have been missed: because too many wait,", by: []string{"unread prefix watch"}, mutants: []string{
		"prefix watch that drops what is too much",
	}},
	{sentence: "or because a connection was lost.", why: "it allows, and only the tests of a store can cut its connection"},
	{sentence: "A caller who still wants to know then watches again, and lists again.", why: advises},
	{sentence: "Nothing is left running afterwards, whether or not the channel was drained.", by: []string{"prefix watch ends", "prefix watch under load"}, mutants: []string{
		"prefix watch that leaks its goroutine after cancel",
		"prefix watch that leaks what nobody took",
		"a write panics if a prefix watch ends meanwhile",
	}},
}
