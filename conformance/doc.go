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
// The suite takes no shortcuts for slow stores: against one that takes a millisecond for a durable
// write it runs for some ten seconds.
//
// # What the suite is worth
//
// A suite that passes everything proves nothing. Each of these stores is broken in one way, and
// fails in the property that stands beside it:
//
//	create overwrites                                      create
//	compare-and-set ignores the revision                   update
//	compare-and-set takes a greater revision               update
//	read-then-write without atomicity                      race to create
//	lost write under concurrency                           lost update
//	revision reused after delete                           revisions
//	revision reused after expiry                           keep
//	revision not growing                                   revisions
//	conflict reported but written                          conflict
//	written but reported as conflict                       create
//	stale read after an acknowledged write                 fresh reads
//	stale read from another connection                     fresh reads elsewhere
//	two handles on one store that do not see each other    two handles
//	two handles that compare for themselves                race of handles
//	a watch that sees only its own handle's writes         watch elsewhere
//	delete without comparing                               delete
//	delete reported but not done                           delete
//	keys folded by case                                    keys
//	keys normalised in Unicode                             keys
//	keys without control characters                        keys
//	keys escaped, but not the escape                       keys
//	key prefix confused with key                           keys
//	key truncated                                          keys
//	value truncated                                        values
//	value's bytes shared with the caller on the way in     aliasing
//	value's bytes shared with the caller on the way out    aliasing
//	empty value confused with none                         values
//	entry dropped before its keep ends                     keep
//	keep of 0 treated as at once                           keep
//	keep not set anew by later writes                      keep
//	wrong error for absence                                absent
//	error swallowed                                        list cut short
//	limits not checked                                     invalid
//	cancelled context ignored                              ended context
//	blocked for ever on a cancelled context                ended context
//	half a value written when the context ends             cut short
//	watch that goes back in time                           watch
//	watch that misses the last state                       watch under load
//	watch that does not tell of deletions                  watch elsewhere
//	watch that leaks its goroutine after cancel            watch ends
//	watch that stays open after cancel                     watch ends
//	list that misses                                       list
//	list that repeats                                      list
//	list that repeats what is written meanwhile            list while writing
//	list that shows deleted entries                        list
//	list by pattern instead of prefix                      list
//	acknowledged write lost in a crash                     crash
//	revisions that begin anew after a crash                crash
//	closed store answers                                   closed
//	closed store reports unavailable                       closed
//	closed store asks to be tried again                    closed
//	closed store says so, and writes all the same          closed
//	closed store blocks                                    closed
//	acknowledged write lost in closing                     closed
//	listing that ends without a word when the store closes closed
//	watch that outlives its store                          closed
//	close that fails the second time                       closed
package conformance
