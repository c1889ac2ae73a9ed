package conformance

import (
	"io"
	"slices"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// opened is a store under test, with what the property needs of it.
type opened struct {
	first  backend.Backend
	second backend.Backend // may be nil
	reopen func(crashed backend.Backend) backend.Backend
	renew  func()      // replaces first and second by handles on a new store
	gaveUp func() bool // the test has failed, or skips the rest
	pace   *pace
	later  []lateLook
}

// property is one row of the suite. Exactly one of each and once is set.
type property struct {
	name    string
	promise string // what the interface says, in the words that a failure shows
	needs   capability
	each    func(s *subject, t *rapid.T) // for inputs that rapid draws, in a hundred cases
	once    func(s *subject)             // for what takes its time
	waits   bool                         // most of its time it waits: those that do run side by side
}

// properties are in the order in which a new backend best gets them right.
var properties = slices.Concat(ofBackends, ofJournals)

// ofBackends are the properties of all that holds keys.
var ofBackends = []property{
	{name: "absent", promise: "a key that was never written is absent: Get and CompareAndDelete say ErrNotFound, CompareAndSet at a revision ErrConflict", each: absent},
	{name: "create", promise: "CompareAndSet with expected 0 writes if the key is absent, and is a conflict if it is not", each: create},
	{name: "update", promise: "CompareAndSet writes only if the key's revision is exactly the expected one", each: update},
	{name: "conflict", promise: "after ErrConflict nothing was written, and after success everything", each: conflict},
	{name: "delete", promise: "CompareAndDelete removes the key only if its revision is exactly the expected one, and then it is absent", each: deletion},
	{name: "revisions", promise: "revisions are greater than 0 and grow with every write of a key, also across deletion", each: revisions},
	{name: "many writes", promise: "revisions go on growing, and every write is read back, however often a key is written", once: manyWritesOfOne},
	{name: "many conflicts", promise: "of any number of calls at a wrong revision none is let through", once: manyConflicts},
	{name: "keys", promise: "keys are told apart by their bytes: case, normalisation, length and odd characters matter, prefixes do not", each: keys},
	{name: "each odd key", promise: "keys are told apart by their bytes, however odd", once: eachKey},
	{name: "many keys", promise: "the store holds as many keys as are written, and their revisions grow although as many were deleted", once: manyKeys},
	{name: "values", promise: "a value comes back byte for byte, from empty to 1 MiB", each: values},
	{name: "limits", promise: "the longest key, the largest value and the longest keep are accepted, also all together", once: atTheLimits},
	{name: "aliasing", promise: "the backend shares no value's bytes with its caller, on the way in or out", each: aliasing},
	{name: "invalid", promise: "arguments outside the limits are refused with ErrInvalid, and nothing is written", once: invalid},
	{name: "keep", promise: "an entry stays readable for its keep, for ever if that is 0, and every write sets it anew; revisions grow also across its end", once: keep, waits: true},
	{name: "long keeps", promise: "a keep of any length, up to the longest Duration, keeps the entry readable", each: longKeeps},
	{name: "model", promise: "any sequence of calls behaves like a map with compare-and-set", each: model},
	{name: "race to create", promise: "of concurrent calls that create one key, exactly one succeeds", each: raceToCreate},
	{name: "lost update", promise: "of concurrent calls at one revision, exactly one succeeds, and no write is lost", each: lostUpdate},
	{name: "race to delete", promise: "of concurrent calls at one revision, deletions among them, exactly one succeeds", once: raceToDelete},
	{name: "strangers", promise: "concurrent calls on different keys have nothing to do with each other, and all succeed", once: strangers},
	{name: "fresh reads", promise: "Get sees every write that was acknowledged before it began", each: freshReads},
	{name: "whole states", promise: "an Entry is one state of its key: the value and the revision belong together, whatever is written meanwhile", once: whole},
	{name: "ended context", promise: "a call whose context has ended does nothing, and says so at once with the error of the context", each: endedContext},
	{name: "cut short", promise: "a call whose context ends returns soon, having written all of its value or nothing, and nothing if it says so; it lets go of the value", each: cutShort},
	{name: "two handles", promise: "what is written through one handle of a store is seen through every other at once, and compared there", needs: secondHandle, each: twoHandles},
	{name: "fresh reads elsewhere", promise: "Get sees every write that was acknowledged before it began, to anybody: through another handle too", needs: secondHandle, each: freshReadsElsewhere},
	{name: "race of handles", promise: "of concurrent calls at one revision, through whichever handle, exactly one succeeds", needs: secondHandle, each: raceOfHandles},
	{name: "watch elsewhere", promise: "a watch comes to the last state also if it was written through another handle", needs: secondHandle, each: watchElsewhere},
	{name: "crash", promise: "what was acknowledged is there after a crash, what was deleted is not, and revisions go on growing", needs: crash, once: afterCrash},
	{name: "list", promise: "List yields each live key with the prefix exactly once, as it stands", needs: lister, each: list},
	{name: "each odd prefix", promise: "List goes by the bytes of its prefix, however odd or long", needs: lister, once: eachPrefix},
	{name: "long list", promise: "List yields each of any number of keys exactly once, whatever the size of their values, and whatever is written meanwhile", needs: lister, once: longList},
	{name: "many lists", promise: "each of any number of listings is whole, and one that is broken off leaves nothing behind", needs: lister, once: manyLists},
	{name: "list while writing", promise: "a key that is there all the while is listed exactly once, whatever is written meanwhile, and the caller may write while it lists", needs: lister, each: listWhileWriting},
	{name: "list cut short", promise: "List ends when its caller breaks off, or with an error when its context ends, and holds nothing afterwards", needs: lister, each: listCutShort},
	{name: "watch", promise: "Watch sends the newest state first, then later ones, never an earlier one, and always the last", needs: watcher, each: watch},
	{name: "watch keys", promise: "a watch tells of its key alone, by its bytes", needs: watcher, each: watchKeys},
	{name: "watch under load", promise: "a watch never goes back in time, whatever is written meanwhile, always comes to the last state, and may begin and end at any time", needs: watcher, each: watchUnderLoad},
	{name: "unread watch", promise: "a watch that nobody reads holds nobody up, and comes to the last state when it is read", needs: watcher, once: unread},
	{name: "many watches", promise: "each of any number of watches tells of its key", needs: watcher, once: manyWatches},
	{name: "watch ends", promise: "when its context ends, a watch closes its channel and leaves nothing running", needs: watcher, once: watchEnds},
	{name: "watch prefix", promise: "WatchPrefix sends the later states of the keys with the prefix and of no others, none that stood at the call, never an earlier one, and always the last", needs: prefixWatcher, each: watchPrefix},
	{name: "watch prefixes", promise: "WatchPrefix goes by the bytes of its prefix, however odd or long", needs: prefixWatcher, each: watchPrefixes},
	{name: "prefix watch under load", promise: "a watch of a prefix tells of all that is written once it has begun, always comes to the last states, and may begin and end at any time", needs: prefixWatcher, each: prefixWatchUnderLoad},
	{name: "unread prefix watch", promise: "a watch of a prefix that nobody reads holds nobody up, and holds no more than MaxWaiting states", needs: prefixWatcher, once: unreadPrefix},
	{name: "prefix watch elsewhere", promise: "a watch of a prefix comes to the last states also if they were written through another handle", needs: secondHandle, once: prefixWatchElsewhere},
	{name: "prefix watch ends", promise: "when its context ends, a watch of a prefix closes its channel and leaves nothing running", needs: prefixWatcher, once: prefixWatchEnds},
	{name: "closed", promise: "after Close every call fails at once with ErrClosed and writes nothing, watches have ended, and Close does nothing more", needs: closer, once: closed},
}

// capability is a set of what a property needs.
type capability uint8

const (
	lister capability = 1 << iota
	watcher
	prefixWatcher
	journaler
	closer
	secondHandle
	crash
)

func (p *property) applies(b backend.Backend) bool {
	_, lists := backend.As[backend.Lister](b)
	_, watches := backend.As[backend.Watcher](b)
	_, prefixes := backend.As[backend.PrefixWatcher](b)
	_, journals := backend.As[backend.Journal](b)
	_, closes := backend.As[io.Closer](b)
	return (p.needs&lister == 0 || lists) && (p.needs&watcher == 0 || watches) && (p.needs&prefixWatcher == 0 || prefixes) &&
		(p.needs&journaler == 0 || journals) && (p.needs&closer == 0 || closes)
}
