package conformance_test

// ofBackends is what backend.go says of Backend.
var ofBackends = []promise{
	{sentence: "Backend is a linearizable map from keys to values with compare-and-set.", by: []string{"each odd key", "model", "watch"}, mutants: []string{
		"a deletion after a conflict is not done",
		"keys told apart by a hash of 16 bits",
		"only the newest 200 keys are remembered",
		"only the newest three megabytes are remembered",
	}},
	{sentence: "All methods are safe for concurrent use.", by: []string{"strangers", "many keys", "many conflicts", "race to delete", "cut short"}, mutants: []string{
		"more than ten calls at once are turned away",
		"answers that reach another caller",
		"two locks, taken in either order",
		"the end of one caller's context ends another's call",
		"more than fifty writes at once are turned away",
	}},
	{sentence: "Each is one atomic step.", by: []string{"race to delete"}, mutants: []string{
		"two deletions at one revision both succeed",
		"a deletion that takes what was written meanwhile",
		"read-then-write without atomicity",
		"lost write under concurrency",
		"two handles that compare for themselves",
		"a key that was contended stays locked",
	}},
	{sentence: "Each returns soon after its context ends,", by: []string{"cut short"}, mutants: []string{
		"blocked for ever when the context ends",
		"blocked for ever on a cancelled context",
		"half a value written when the context ends",
	}},
	{sentence: "with an error for which errors.Is finds the context's error;", by: []string{"ended context", "cut short"}, mutants: []string{
		"a deadline that is told as a cancellation",
		"an error of the store's own when the context ends",
		"error swallowed",
		"a deadline that passes meanwhile is a cancellation",
	}},
	{sentence: "called with a context that has already ended it does nothing else.", by: []string{"ended context"}, mutants: []string{
		"cancelled context ignored",
		"delete ignores its context",
		"written although the context had ended",
		"a list with an ended context yields all the same",
	}},
	{sentence: "A key is valid UTF-8 of 1 to MaxKeyBytes bytes, of any characters.", by: []string{"keys", "model", "list", "watch keys", "each odd key", "each odd prefix", "watch prefixes"}, mutants: []string{
		"keys without control characters",
		"key truncated",
		"surrogates pass for UTF-8",
	}},
	{sentence: "Keys are told apart by their bytes: case and Unicode normalisation matter,", by: []string{"keys", "model", "watch keys", "each odd key", "each odd prefix", "watch prefixes"}, mutants: []string{
		"keys normalised in Unicode",
		"keys folded by case",
		"watch of keys without case",
	}},
	{sentence: "and no key has to do with its prefixes.", by: []string{"keys", "model", "each odd key", "watch prefixes", "journal and keys"}, mutants: []string{
		"deletion of a key deletes what is below it",
		"key prefix confused with key",
		"keys that are folders, above which none is",
		"watch of a key's path too",
	}},
	{sentence: "A backend whose store allows less encodes them.", by: []string{"keys", "model", "watch keys", "each odd key", "each odd prefix", "watch prefixes"}, mutants: []string{
		"keys escaped, but not the escape",
	}},
	{sentence: "Close A backend that holds files, connections or goroutines is an io.Closer. Its Close keeps these rules:", why: explains},
	{sentence: "- A call made after Close has returned fails promptly", by: []string{"closed"}, mutants: []string{
		"closed store blocks",
		"closed store answers",
	}},
	{sentence: "with ErrClosed", by: []string{"closed"}, mutants: []string{
		"closed store reports unavailable",
		"closed store panics",
	}},
	{sentence: "and writes nothing.", by: []string{"closed"}, mutants: []string{
		"closed store deletes",
	}},
	{sentence: "That holds for all methods, those of optional capabilities included.", by: []string{"closed"}, mutants: []string{
		"listing of a closed store is empty",
		"watch of a closed store begins",
	}},
	{sentence: "Only an ended context or an invalid argument may be reported instead.", why: allows},
	{sentence: "- A call that is under way when Close is called may end in any way that it could have ended before, or with ErrClosed.", by: []string{"closed"}, mutants: []string{
		"acknowledged write lost in closing",
	}},
	{sentence: "A write whose fate is not known returns another error than ErrClosed: its outcome is unknown, as after any such error.", by: []string{"closed"}, mutants: []string{
		"a write under way says closed, but is written",
		"a deletion under way says closed, but is done",
	}},
	{sentence: "- A running listing yields the rest of its entries, or ends with ErrClosed. It never ends without a word.", by: []string{"closed"}, mutants: []string{
		"listing that ends without a word when the store closes",
	}},
	{sentence: "Whoever iterates may call Close from inside the loop.", by: []string{"closed"}, mutants: []string{
		"close in the loop of a listing blocks",
	}},
	{sentence: "- A running watch closes its channel.", by: []string{"closed"}, mutants: []string{
		"watch that outlives its store",
		"close waits for a watch that nobody reads",
	}},
	{sentence: "- Close may be called again, by anyone and at any time.", by: []string{"closed"}, mutants: []string{
		"close that panics the second time",
		"close that blocks the second time",
	}},
	{sentence: "It does nothing then.", by: []string{"closed"}, mutants: []string{
		"close that fails the second time",
	}},
	{sentence: "Get reads key. It sees every write that was acknowledged,", by: everyProperty, mutants: []string{
		"one read in many is stale",
		"stale read after an acknowledged write",
	}},
	{sentence: "to anybody, before it began.", by: []string{"fresh reads elsewhere", "two handles", "race of handles", "watch elsewhere", "closed"}, mutants: []string{
		"stale read from another connection",
		"two handles on one store that do not see each other",
		"another handle does not see what has a keep",
	}},
	{sentence: "ErrNotFound if the key is absent.", by: []string{"absent", "conflict", "delete", "many writes", "keys", "invalid", "model", "race to delete", "strangers", "ended context", "cut short", "two handles", "crash", "list", "list while writing", "many conflicts", "each odd key", "limits", "journal and keys"}, mutants: []string{
		"absence without an error",
	}},
	{sentence: "CompareAndSet writes value under key", by: everyProperty, mutants: []string{
		"one write in many is acknowledged only",
		"acknowledged write lost in a crash",
		"success, which is undone when the context ends",
	}},
	{sentence: "if the key's revision is expected,", by: []string{"update", "conflict", "many conflicts", "model", "two handles", "watch"}, mutants: []string{
		"compare-and-set compares 32 bits",
		"compare-and-set compares the low byte",
		"compare-and-set takes the greatest revision for any",
		"compare-and-set takes a greater revision",
		"compare-and-set ignores the revision",
		"one conflict in fifty is let through",
		"compare-and-set compares all but the sign",
		"the last compare-and-set succeeds again",
	}},
	{sentence: "and returns the new revision.", by: everyProperty, mutants: []string{
		"a revision is returned that is not the entry's",
		"a revision that is not returned",
		"a call that ends its caller's goroutine",
	}},
	{sentence: "An expected revision of 0 means that the key must be absent,", by: []string{"race of handles", "create", "update", "conflict", "many conflicts", "model", "race to create", "two handles"}, mutants: []string{
		"create overwrites",
		"one creation in fifty overwrites",
		"two handles that both create",
	}},
	{sentence: "and an expected revision of an absent key is a conflict.", by: []string{"many conflicts", "each odd key", "absent", "conflict", "delete", "model", "race to delete", "two handles", "watch", "watch prefix"}, mutants: []string{
		"a key is created at an expected revision",
		"a deleted key is written at its old revision",
		"an absent key is created at a multiple of 2^32",
		"one write in fifty creates at a revision",
	}},
	{sentence: "With ErrConflict, ErrInvalid, ErrUnavailable or ErrClosed nothing was written.", why: "the errors say so, above"},
	{sentence: "After any other error it may have been written, or may still be.", why: allows},
	{sentence: "Sending the same call again is then safe where expected is not 0, since at most one of the two can apply.", why: explains},
	{sentence: "The entry stays readable for at least keep from now,", by: []string{"long keeps", "keep", "limits"}, mutants: []string{
		"a keep that overflows the clock",
		"a keep in milliseconds of 32 bits",
		"a keep of more than thirty days taken for a date",
		"entry dropped before its keep ends",
		"a listing without what is half over",
	}},
	{sentence: "after which the store may drop it as if deleted.", by: []string{"keep"}, mutants: []string{
		"an entry whose keep has ended still compares",
		"a listing of what is over",
	}},
	{sentence: "0 keeps it for ever.", by: []string{"keep", "cut short"}, mutants: []string{
		"keep of 0 treated as at once",
	}},
	{sentence: "Every write sets keep anew.", by: []string{"keep"}, mutants: []string{
		"keep not set anew by later writes",
		"a refused write sets keep",
		"a negative keep is none",
		"the keep of a deleted entry ends that of the next",
	}},
	{sentence: "The value is not kept: the caller may change it after the call.", by: []string{"aliasing", "cut short"}, mutants: []string{
		"value's bytes shared with the caller on the way in",
		"a value that is read after the call",
		"an update's bytes shared with the caller",
	}},
	{sentence: "CompareAndDelete removes key", by: []string{"delete", "revisions", "many writes", "many conflicts", "keys", "model", "race to delete", "strangers", "ended context", "cut short", "two handles", "watch elsewhere", "crash", "list", "list while writing", "watch", "unread watch", "each odd key", "many keys", "closed", "limits", "watch prefix", "prefix watch under load", "prefix watch elsewhere", "journal and keys"}, mutants: []string{
		"delete reported but not done",
		"a deletion lost in a crash",
		"a crash after which opening blocks",
	}},
	{sentence: "if its revision is expected,", by: []string{"delete", "many conflicts"}, mutants: []string{
		"delete compares the low byte",
		"one deletion in a hundred is not compared",
		"delete without comparing",
	}},
	{sentence: "which must be greater than 0.", by: []string{"invalid"}, mutants: []string{
		"delete at 0 deletes whatever is there",
	}},
	{sentence: "ErrNotFound if the key is absent,", by: []string{"absent", "delete", "model", "race to delete", "cut short", "crash", "many conflicts"}, mutants: []string{
		"delete of an absent key succeeds",
		"one deletion in fifty of nothing succeeds",
	}},
	{sentence: "ErrConflict if it has another revision: in both cases nothing changed.", by: []string{"delete", "many conflicts", "model", "race to delete"}, mutants: []string{
		"delete says conflict and deletes",
		"delete of an absent key is a conflict",
	}},
}
