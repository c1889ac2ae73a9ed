// Package conformance proves that a [backend.Backend] keeps the promises of its interface.
//
// A backend's own tests need one function:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, func(t *testing.T) backend.Backend {
//			s, err := mystore.Open(t.TempDir())
//			if err != nil {
//				t.Fatal(err)
//			}
//			t.Cleanup(func() { s.Close() })
//			return s
//		})
//	}
//
// The suite is a table of properties. Each is a subtest named for what it checks, and a failure
// begins with the promise that was broken, in words, followed by the steps that broke it, shrunk to
// few. The inputs come from pgregory.net/rapid: its flags apply, so that -rapid.checks=1000 looks
// harder, and -rapid.seed replays a failure. Properties of the optional capabilities run if the
// backend has them.
//
// [WithSecondHandle] and [WithReopen] add what a plain constructor cannot give: two handles on one
// store, and a crash. [Faulty] makes a bad day of any store, for tests of what is built on one.
//
// # How long it takes
//
// The suite takes no shortcuts for slow stores: against one that takes a millisecond for a durable
// write it runs for some ten seconds.
//
// Whatever blocks is named, with the steps before it. A step has five seconds, or sixteen times
// what the longest of its kind took before if that is more. [WithPatience] sets another time. Once
// the store has kept the suite waiting in vain, later steps have an eighth of it. Such a failure is
// hardly shrunk. If the store hangs while it is opened or cleaned up, the process ends with a panic
// that says so.
//
// # What the suite is worth
//
// A suite that passes everything proves nothing. Each of these stores is broken in one way, and
// fails in the property that stands beside it. The suite's own tests show, for each sentence of
// package backend's documentation, which of them break it:
//
//	go test -run TestEveryPromiseIsChecked -v github.com/ailease/lease/conformance
//
//	create overwrites                                      create
//	compare-and-set ignores the revision                   update
//	compare-and-set takes a greater revision               update
//	conflict reported but written                          conflict
//	written but reported as conflict                       create
//	delete without comparing                               delete
//	delete reported but not done                           delete
//	wrong error for absence                                absent
//	compare-and-set compares the low byte                  update
//	compare-and-set compares 32 bits                       update
//	compare-and-set takes the greatest revision for any    update
//	a key is created at an expected revision               absent
//	a deleted key is written at its old revision           delete
//	a revision is returned that is not the entry's         create
//	a revision that is not returned                        create
//	an entry without its key                               create
//	an error of the store's own for a conflict             create
//	absence without an error                               absent
//	delete of an absent key succeeds                       absent
//	delete of an absent key is a conflict                  absent
//	delete at another revision says absent                 delete
//	delete says conflict and deletes                       delete
//	delete compares the low byte                           delete
//	a deleted key is found at revision 0                   delete
//	an absent key is created at a multiple of 2^32         absent
//	compare-and-set compares all but the sign              update
//	the last compare-and-set succeeds again                conflict
//	a call that ends its caller's goroutine                create
//	revision reused after delete                           revisions
//	revision not growing                                   revisions
//	revisions forgotten after a thousand deletions         many keys
//	revisions that are times                               revisions
//	revisions of a single byte                             many writes
//	one write in many is a conflict that is none           many writes
//	one write in many is acknowledged only                 many writes
//	one read in many is stale                              many writes
//	one conflict in fifty is let through                   many conflicts
//	one creation in fifty overwrites                       many conflicts
//	one write in fifty creates at a revision               many conflicts
//	one deletion in a hundred is not compared              many conflicts
//	one deletion in fifty of nothing succeeds              many conflicts
//	a deletion after a conflict is not done                model
//	read-then-write without atomicity                      race to create
//	lost write under concurrency                           lost update
//	stale read after an acknowledged write                 fresh reads
//	two deletions at one revision both succeed             race to delete
//	a deletion that takes what was written meanwhile       race to delete
//	a key that was contended stays locked                  lost update
//	more than ten calls at once are turned away            strangers
//	answers that reach another caller                      strangers
//	two locks, taken in either order                       strangers
//	a read in two steps                                    whole states
//	a listing in two steps                                 whole states
//	a watch in two steps                                   whole states
//	more than fifty writes at once are turned away         many keys
//	stale read from another connection                     fresh reads elsewhere
//	two handles on one store that do not see each other    two handles
//	two handles that compare for themselves                race of handles
//	acknowledged write lost in a crash                     crash
//	revisions that begin anew after a crash                crash
//	a listing that lags behind another handle              two handles
//	two handles that both create                           race of handles
//	handles with revisions of their own                    two handles
//	another handle does not see what has a keep            two handles
//	another handle's watch begins with absence             watch elsewhere
//	a deletion lost in a crash                             crash
//	a crash after which opening blocks                     crash
//	keys folded by case                                    keys
//	keys normalised in Unicode                             keys
//	keys without control characters                        each odd key
//	keys escaped, but not the escape                       keys
//	key prefix confused with key                           keys
//	key truncated                                          keys
//	keys that are folders, above which none is             keys
//	deletion of a key deletes what is below it             keys
//	keys of more than a kilobyte are refused               keys
//	keys told apart by a hash of 16 bits                   many keys
//	only the newest 200 keys are remembered                many keys
//	a store that is full with a thousand keys              many keys
//	a store that closes when it has had enough             many keys
//	only the newest three megabytes are remembered         many keys
//	value truncated                                        values
//	value's bytes shared with the caller on the way in     aliasing
//	value's bytes shared with the caller on the way out    aliasing
//	empty value confused with none                         values
//	limits not checked                                     invalid
//	values of more than half a megabyte are refused        values
//	a panic over a large value                             values
//	values made valid UTF-8                                values
//	zeros trimmed from a value's end                       values
//	an empty value leaves the one before                   values
//	listings that share their values                       aliasing
//	a listing whose values lie side by side                aliasing
//	a listing that uses a value's bytes again              aliasing
//	watches that share what they send                      aliasing
//	watches that share the changes they send               aliasing
//	an update's bytes shared with the caller               aliasing
//	what is refused is written as far as it goes           invalid
//	an impossible key is absent                            invalid
//	a negative keep is none                                invalid
//	delete at 0 deletes whatever is there                  invalid
//	a watch of an impossible key begins                    invalid
//	surrogates pass for UTF-8                              invalid
//	the limit of keys is counted in characters             invalid
//	key and value are too long together                    limits
//	revision reused after expiry                           keep
//	entry dropped before its keep ends                     keep
//	keep of 0 treated as at once                           keep
//	keep not set anew by later writes                      keep
//	a refused write sets keep                              keep
//	an entry whose keep has ended still compares           keep
//	a listing without what is half over                    keep
//	a keep that overflows the clock                        long keeps
//	a keep in milliseconds of 32 bits                      long keeps
//	a keep of more than thirty days taken for a date       long keeps
//	a keep of more than a century is refused               long keeps
//	a listing of what is over                              keep
//	the keep of a deleted entry ends that of the next      keep
//	cancelled context ignored                              ended context
//	blocked for ever on a cancelled context                ended context
//	half a value written when the context ends             cut short
//	a deadline that is told as a cancellation              ended context
//	delete ignores its context                             ended context
//	written although the context had ended                 ended context
//	a watch that begins with an ended context              ended context
//	an error of the store's own when the context ends      cut short
//	blocked for ever when the context ends                 cut short
//	unavailable when the context ends, but written         cut short
//	unavailable when the context ends, and written later   cut short
//	unavailable when the context ends, but deleted         cut short
//	unavailable when the context ends, but updated         cut short
//	a deadline that passes meanwhile is a cancellation     cut short
//	success, which is undone when the context ends         cut short
//	a value that is read after the call                    cut short
//	a list with an ended context yields all the same       ended context
//	the end of one caller's context ends another's call    cut short
//	error swallowed                                        list cut short
//	list that misses                                       list
//	list that repeats                                      list
//	list that repeats what is written meanwhile            list while writing
//	list that shows deleted entries                        list
//	list that shows the deleted at revision 0              list
//	list that is behind                                    list
//	list that holds a lock which a writer needs            list while writing
//	list that holds a lock which a list needs              list while writing
//	list that holds a lock which a deletion needs          list while writing
//	list that holds a lock which a watch needs             list while writing
//	list that misses what is written meanwhile             list while writing
//	list broken off that keeps its lock                    list cut short
//	list broken off by a panic that keeps its lock         list cut short
//	list that is not begun and holds a lock                list cut short
//	list that goes on when it is broken off                list cut short
//	list that ends without a word when its context does    list cut short
//	list that goes on after an error                       list cut short
//	list whose error comes with an entry                   list cut short
//	list of all by an empty prefix is empty                long list
//	list that ends after a page of 100                     long list
//	list that ends after a page of 1000                    long list
//	list that ends after four megabytes                    long list
//	list that repeats where a page begins                  long list
//	list that misses where a page begins                   long list
//	list by pattern instead of prefix                      each odd prefix
//	list that compares without case                        each odd prefix
//	list of pages, each by its number                      long list
//	list of all shows the store's own keys                 long list
//	list by the first 255 bytes of its prefix              each odd prefix
//	one listing in fifty misses one                        many lists
//	list broken off that leaves a goroutine                many lists
//	no more than 200 listings broken off                   many lists
//	a watch that sees only its own handle's writes         watch elsewhere
//	watch that goes back in time                           watch
//	watch that misses the last state                       watch under load
//	watch that does not tell of deletions                  watch elsewhere
//	watch that leaks its goroutine after cancel            watch ends
//	watch that stays open after cancel                     watch ends
//	watch that is silent                                   watch
//	watch that sends its first state for ever              watch
//	watch that sends changes without their values          watch
//	watch that sends changes alone                         watch
//	watch that sends its first state alone                 watch
//	watch that is silent about an absent key               watch
//	watch that ends with its first state                   watch
//	watch that sends a deletion at a revision              watch
//	watch of keys without case                             watch keys
//	watch of a key's path too                              watch keys
//	watch that begins late                                 watch under load
//	watch that holds its writers up                        unread watch
//	no more than 64 watches                                many watches
//	the watch of a key replaces the one before             many watches
//	watch that leaks what nobody took                      watch ends
//	no more than eight watches of a key are told           many watches
//	a write panics if a watch ends meanwhile               watch under load
//	watch that skips large values                          limits
//	watch that tells of what is refused                    watch
//	prefix watch that is silent                            watch prefix
//	prefix watch that sees only its own handle's writes    prefix watch elsewhere
//	prefix watch that does not tell of deletions           watch prefix
//	prefix watch of the keys that stood when it began      watch prefix
//	prefix watch that ends with its first state            watch prefix
//	prefix watch that tells of what is refused             watch prefix
//	prefix watch that sends changes without their values   watch prefix
//	the watch of a prefix replaces the one before          watch prefix
//	prefix watch that compares without case                watch prefixes
//	prefix watch of whole steps of a path                  watch prefixes
//	prefix watch that ignores a slash at the end           watch prefix
//	prefix watch by pattern instead of prefix              watch prefixes
//	prefix watch by the first 255 bytes of its prefix      watch prefixes
//	prefix watch by whole characters                       watch prefixes
//	prefix watch of all by an empty prefix is silent       watch prefixes
//	prefix watch that begins late                          prefix watch under load
//	prefix watch that begins with what stands              watch prefix
//	prefix watch that misses the last state                watch prefix
//	prefix watch that tells of each key once               watch prefix
//	prefix watch that goes back in time                    watch prefix
//	prefix watch that sends a deletion at a revision       watch prefix
//	prefix watch whose deletions have no key               watch prefix
//	a prefix watch that begins with an ended context       ended context
//	a watch of an impossible prefix begins                 invalid
//	prefix watch that holds its writers up                 unread prefix watch
//	prefix watch that holds all that nobody reads          unread prefix watch
//	prefix watch that drops what is too much               unread prefix watch
//	prefix watch that stays open after cancel              prefix watch ends
//	prefix watch that leaks its goroutine after cancel     prefix watch ends
//	prefix watch that leaks what nobody took               prefix watch ends
//	prefix watches that share what they send               watch prefix
//	a write panics if a prefix watch ends meanwhile        prefix watch under load
//	prefix watch that outlives its store                   closed
//	prefix watch of a closed store begins                  closed
//	closed store answers                                   closed
//	closed store reports unavailable                       closed
//	closed store asks to be tried again                    closed
//	closed store says so, and writes all the same          closed
//	closed store blocks                                    closed
//	acknowledged write lost in closing                     closed
//	listing that ends without a word when the store closes closed
//	watch that outlives its store                          closed
//	close that fails the second time                       closed
//	closed store opens itself again                        closed
//	closed store deletes                                   closed
//	closed store panics                                    closed
//	a write under way says closed, but is written          closed
//	listing of a closed store is empty                     closed
//	watch of a closed store begins                         closed
//	close in the loop of a listing blocks                  closed
//	close waits for a watch that nobody reads              closed
//	close that blocks the second time                      closed
//	close that panics the second time                      closed
//	a deletion under way says closed, but is done          closed
package conformance
