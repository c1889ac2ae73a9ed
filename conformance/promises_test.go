package conformance_test

import "slices"

// promise is one sentence of backend.go or journal.go, or a part of one that promises something of
// its own.
type promise struct {
	sentence string

	// why says why nothing is to be checked: the sentence allows something, or speaks to somebody
	// else than a store. Then nothing else is set.
	why string

	// by are the properties that rest on the promise. One of them is meant to find a breach.
	by []string

	// mutants break the promise. The first breaks it and nothing else: no property but those above
	// fails.
	mutants []string
}

const (
	explains = "it explains"
	allows   = "it allows"
	advises  = "it speaks to a caller"
)

// contract is all that backend.go, prefix.go and journal.go say of the package and its types, in
// their order.
var contract = slices.Concat(ofPackage, ofEntries, ofBackends, ofCapabilities, ofPrefixWatcher, ofJournalEntries, ofJournalCalls)

// ofPackage is what it says at the top.
var ofPackage = []promise{
	{sentence: "Package backend is what a store must do to hold leases, and nothing more.", why: explains},
	{sentence: "It is for those who write a store. Those who use leases want package lease, which builds the state machine on top of the three methods of Backend.", why: explains},
	{sentence: "Package conformance proves an implementation against every promise that stands here.", why: explains},
	{sentence: "A backend knows nothing of leases: it keeps opaque values under keys and changes them by compare-and-set.", why: explains},
	{sentence: "Optional capabilities A backend may do more: Lister, Watcher, PrefixWatcher, Journal, and io.Closer for one that holds files or connections.", why: allows},
	{sentence: "Callers look for a capability with As, which also looks inside wrappers: if l, ok := backend.Asbackend.Lister(b); ok { ... }", why: advises},
	{sentence: "A wrapper keeps the capabilities of the backend that it wraps by a method Unwrap() Backend. A wrapper that must intercept a capability implements it itself.", why: "it speaks to a wrapper"},
}

// ofEntries is what it says of limits, errors and entries.
var ofEntries = []promise{
	{sentence: "Limits that every backend must accept.", by: []string{"limits", "values", "long list", "keys", "model", "watch keys", "many keys"}, mutants: []string{
		"values of more than half a megabyte are refused",
		"keys of more than a kilobyte are refused",
		"a panic over a large value",
		"key and value are too long together",
	}},
	{sentence: "What lies beyond them is refused with ErrInvalid before anything is written.", by: []string{"invalid"}, mutants: []string{
		"limits not checked",
		"an impossible key is absent",
		"a watch of an impossible key begins",
		"the limit of keys is counted in characters",
	}},
	{sentence: "Errors to test for with errors.Is. A backend wraps them with what it knows.", why: explains},
	{sentence: "For a CompareAndSet or CompareAndDelete that returns any error other than these, or that returns because its context ended, the outcome is unknown: the write may have been applied, or may still be.", why: allows},
	{sentence: "ErrNotFound says that the key is absent.", by: []string{"delete", "many conflicts", "model", "race to delete"}, mutants: []string{
		"delete at another revision says absent",
		"wrong error for absence",
	}},
	{sentence: "ErrConflict says that the key's revision is not the expected one.", by: everyProperty, mutants: []string{
		"one write in many is a conflict that is none",
		"an error of the store's own for a conflict",
	}},
	{sentence: "Nothing was written.", by: []string{"conflict", "update", "many conflicts", "model", "two handles", "race of handles", "lost update", "race to delete", "watch", "watch prefix"}, mutants: []string{
		"conflict reported but written",
		"written but reported as conflict",
	}},
	{sentence: "ErrInvalid says that a key, value or duration is outside the limits.", by: []string{"long keeps", "limits"}, mutants: []string{
		"a keep of more than a century is refused",
	}},
	{sentence: "Nothing was written.", by: []string{"invalid"}, mutants: []string{
		"what is refused is written as far as it goes",
	}},
	{sentence: "ErrUnavailable says that the store could not be asked at all.", by: []string{"many keys", "long list", "unread prefix watch"}, mutants: []string{
		"a store that is full with a thousand keys",
	}},
	{sentence: "Nothing was written,", by: []string{"cut short"}, mutants: []string{
		"unavailable when the context ends, but written",
		"unavailable when the context ends, but deleted",
		"unavailable when the context ends, but updated",
	}},
	{sentence: "nor will be: a backend that is not sure of that returns another error.", by: []string{"cut short"}, mutants: []string{
		"unavailable when the context ends, and written later",
	}},
	{sentence: "A later call may succeed.", why: allows},
	{sentence: "ErrClosed says that Close of this backend was called, or that the backend has closed itself because it cannot go on.", by: everyProperty, mutants: []string{
		"a store that closes when it has had enough",
	}},
	{sentence: "Nothing was written, nor will be.", by: []string{"closed"}, mutants: []string{
		"closed store says so, and writes all the same",
	}},
	{sentence: "It is final: every later call fails in the same way, and nobody retries it.", by: []string{"closed"}, mutants: []string{
		"closed store opens itself again",
	}},
	{sentence: "An error that wraps ErrClosed does not wrap ErrUnavailable.", by: []string{"closed"}, mutants: []string{
		"closed store asks to be tried again",
	}},
	{sentence: "Entry is one key's state at one revision.", by: []string{"whole states"}, mutants: []string{
		"a listing in two steps",
		"a watch in two steps",
		"a read in two steps",
		"an entry without its key",
	}},
	{sentence: "Value is opaque, up to MaxValueBytes, and may be empty.", by: []string{"values", "create", "conflict", "delete", "keys", "aliasing", "model", "two handles", "watch", "cut short", "each odd key", "watch elsewhere", "each odd prefix", "watch prefix", "watch prefixes"}, mutants: []string{
		"zeros trimmed from a value's end",
		"values made valid UTF-8",
		"empty value confused with none",
		"an empty value leaves the one before",
		"value truncated",
	}},
	{sentence: "It belongs to whoever holds the Entry: a backend never keeps or hands out a slice that it shares.", by: []string{"aliasing"}, mutants: []string{
		"value's bytes shared with the caller on the way out",
		"listings that share their values",
		"a listing whose values lie side by side",
		"a listing that uses a value's bytes again",
		"watches that share what they send",
		"watches that share the changes they send",
		"prefix watches that share what they send",
	}},
	{sentence: "Revision is greater than 0", by: []string{"list", "two handles", "list while writing", "long list", "closed", "journal and keys"}, mutants: []string{
		"list that shows the deleted at revision 0",
		"a deleted key is found at revision 0",
	}},
	{sentence: "and grows with every write of the key,", by: []string{"many writes", "whole states", "unread watch", "unread prefix watch", "strangers"}, mutants: []string{
		"revisions of a single byte",
		"revisions that are times",
		"handles with revisions of their own",
	}},
	{sentence: "also across deletion and expiry:", by: []string{"keep"}, mutants: []string{
		"revision reused after expiry",
		"revision not growing",
	}},
	{sentence: "a revision once used for a key is never used for it again.", by: []string{"many keys", "crash"}, mutants: []string{
		"revisions that begin anew after a crash",
		"revision reused after delete",
		"revisions forgotten after a thousand deletions",
	}},
	{sentence: "That is what makes a revision fit to serve as a fencing token.", why: explains},
	{sentence: "Revisions need not be consecutive.", why: allows},
	{sentence: "In an Entry from a watch, and only there, 0 says that the key is absent.", by: []string{"watch", "watch elsewhere", "unread watch"}, mutants: []string{
		"watch that sends a deletion at a revision",
	}},
}
