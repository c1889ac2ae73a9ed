package conformance

import (
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// Run checks every promise of [backend.Backend], and of [backend.Lister], [backend.Watcher] and
// io.Closer where [backend.As] finds them. Each property opens a store of its own: open returns an
// empty one that nobody else uses, and leaves its closing to t.Cleanup. One property closes its
// store, which t.Cleanup then closes a second time.
//
// The options add properties that need more than a constructor can give.
func Run(t *testing.T, open func(t *testing.T) backend.Backend, opts ...Option) {
	var extra extras
	for _, o := range opts {
		o(&extra)
	}
	for _, p := range properties {
		if !extra.allow(p.needs) {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			o := &opened{b: open(t)}
			if !p.applies(o.b) {
				t.Skipf("the backend does not have this optional capability: %s", p.promise)
			}
			if p.needs == secondHandle || p.needs == closer && extra.second != nil {
				o.second = extra.second(t, o.b)
			}
			if p.needs == crash {
				o.reopen = func() { o.b = extra.reopen(t, o.b) }
			}
			p.run(t, o)
		})
	}
}

// Option gives [Run] what a plain constructor cannot.
type Option func(*extras)

type extras struct {
	second func(t *testing.T, first backend.Backend) backend.Backend
	reopen func(t *testing.T, crashed backend.Backend) backend.Backend
}

// WithSecondHandle adds properties of two handles on one store, as two processes have them. second
// returns another handle on the store of first, which open has returned, and leaves its closing to
// t.Cleanup. Without it nothing tells a store from a cache.
func WithSecondHandle(second func(t *testing.T, first backend.Backend) backend.Backend) Option {
	return func(e *extras) { e.second = second }
}

// WithReopen adds the properties of a crash. reopen brings the store of crashed to an end as
// abruptly as it can, while nothing is under way, and returns the store as it is found afterwards.
func WithReopen(reopen func(t *testing.T, crashed backend.Backend) backend.Backend) Option {
	return func(e *extras) { e.reopen = reopen }
}

func (e *extras) allow(c capability) bool {
	return (c != secondHandle || e.second != nil) && (c != crash || e.reopen != nil)
}

// opened is a store under test, with what the property needs of it.
type opened struct {
	b      backend.Backend
	second backend.Backend // may be nil
	reopen func()          // replaces b
}

// property is one row of the suite. Exactly one of each and once is set.
type property struct {
	name    string
	promise string // what the interface says, in the words that a failure shows
	needs   capability
	each    func(s *subject, t *rapid.T) // for inputs that rapid draws, in a hundred cases
	once    func(s *subject)             // for what takes its time
}

// properties are in the order in which a new backend best gets them right.
var properties = []property{
	{name: "absent", promise: "a key that was never written is absent: Get and CompareAndDelete say ErrNotFound, CompareAndSet at a revision ErrConflict", each: absent},
	{name: "create", promise: "CompareAndSet with expected 0 writes if the key is absent, and is a conflict if it is not", each: create},
	{name: "update", promise: "CompareAndSet writes only if the key's revision is exactly the expected one", each: update},
	{name: "conflict", promise: "after ErrConflict nothing was written, and after success everything", each: conflict},
	{name: "delete", promise: "CompareAndDelete removes the key only if its revision is exactly the expected one, and then it is absent", each: deletion},
	{name: "revisions", promise: "revisions are greater than 0 and grow with every write of a key, also across deletion", each: revisions},
	{name: "keys", promise: "keys are told apart by their bytes: case, normalisation, length and odd characters matter, prefixes do not", each: keys},
	{name: "values", promise: "a value comes back byte for byte, from empty to 1 MiB", each: values},
	{name: "aliasing", promise: "the backend shares no value's bytes with its caller, on the way in or out", each: aliasing},
	{name: "invalid", promise: "arguments outside the limits are refused with ErrInvalid, and nothing is written", each: invalid},
	{name: "keep", promise: "an entry stays readable for its keep, for ever if that is 0, and every write sets it anew; revisions grow also across its end", once: keep},
	{name: "model", promise: "any sequence of calls behaves like a map with compare-and-set", each: model},
	{name: "race to create", promise: "of concurrent calls that create one key, exactly one succeeds", each: raceToCreate},
	{name: "lost update", promise: "of concurrent calls at one revision, exactly one succeeds, and no write is lost", each: lostUpdate},
	{name: "fresh reads", promise: "Get sees every write that was acknowledged before it began", each: freshReads},
	{name: "ended context", promise: "a call whose context has ended does nothing, and says so at once", each: endedContext},
	{name: "cut short", promise: "a call whose context ends returns soon, having written all of its value or nothing, and lets go of the value", each: cutShort},
	{name: "two handles", promise: "what is written through one handle of a store is seen through every other at once, and compared there", needs: secondHandle, each: twoHandles},
	{name: "fresh reads elsewhere", promise: "Get sees every write that was acknowledged before it began, to anybody: through another handle too", needs: secondHandle, each: freshReadsElsewhere},
	{name: "race of handles", promise: "of concurrent calls at one revision, through whichever handle, exactly one succeeds", needs: secondHandle, each: raceOfHandles},
	{name: "watch elsewhere", promise: "a watch comes to the last state also if it was written through another handle", needs: secondHandle, each: watchElsewhere},
	{name: "crash", promise: "what was acknowledged is there after a crash, what was deleted is not, and revisions go on growing", needs: crash, once: afterCrash},
	{name: "list", promise: "List yields each live key with the prefix exactly once, as it stands", needs: lister, each: list},
	{name: "list while writing", promise: "a key that is there all the while is listed exactly once, whatever is written meanwhile, also by the one who lists", needs: lister, each: listWhileWriting},
	{name: "list cut short", promise: "List ends when its caller breaks off or its context ends", needs: lister, each: listCutShort},
	{name: "watch", promise: "Watch sends the newest state first, then later ones, never an earlier one, and always the last", needs: watcher, each: watch},
	{name: "watch under load", promise: "a watch never goes back in time, whatever is written meanwhile, and always comes to the last state", needs: watcher, each: watchUnderLoad},
	{name: "watch ends", promise: "when its context ends, a watch closes its channel and leaves nothing running", needs: watcher, once: watchEnds},
	{name: "closed", promise: "after Close every call fails at once with ErrClosed and writes nothing, watches have ended, and Close does nothing more", needs: closer, once: closed},
}

type capability uint8

const (
	none capability = iota
	lister
	watcher
	closer
	secondHandle
	crash
)

func (p *property) applies(b backend.Backend) bool {
	ok := true
	switch p.needs {
	case lister:
		_, ok = backend.As[backend.Lister](b)
	case watcher:
		_, ok = backend.As[backend.Watcher](b)
	case closer:
		_, ok = backend.As[io.Closer](b)
	}
	return ok
}

func (p *property) run(t rapid.TB, o *opened) {
	t.Helper()
	if p.once != nil {
		defer report(t)
		p.once(newSubject(o, p.promise))
		return
	}
	rapid.Check(t, func(t *rapid.T) {
		defer report(t)
		p.each(newSubject(o, p.promise), t)
	})
}
