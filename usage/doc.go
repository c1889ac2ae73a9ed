// Package usage counts what is asked of the leases and locks of a namespace, by day, in the store
// that keeps them. Several servers on one store count together.
//
//	counters := usage.New(store)
//	defer counters.Close(ctx)
//	counters.Count("default", usage.AI, usage.Charged)
//	...
//	month, err := counters.Month(ctx, "default", counters.Now())
//
// # What is exact
//
// [Counters.Count] adds to a number in memory, and never waits for the store. About once a second
// what has gathered is added to the store, one compare-and-set for each namespace and day.
//
//   - A batch is added once. After a conflict it is added to what stands then. After a write of
//     unknown outcome the entry tells whether the batch is in it: the entry keeps the number of the
//     last batch of each writer.
//   - While the store is away, counts stay in memory, as long as they are of at most 8192 pairs of
//     a namespace and a day.
//   - A process that dies loses what it has not written: about the last second, or all since the
//     store went away. [Counters.Close] writes the rest.
//   - An entry remembers the 128 processes that wrote last. If a write of unknown outcome is looked
//     into after 128 others have written, its batch is given up, because it may be there already.
//     So the sums are never too high.
//
// [Counters.Lost] is how many requests are not in the sums for these reasons, but for those of a
// process that died. Days are those of UTC, by the clock of the server that counts.
//
// # In the store
//
// The entry of a day is JSON, under the namespace, ":usage/" and the date:
// "default:usage/2026-03-31". No lease has such a key, because no namespace has a colon. The store
// keeps an entry for 400 days.
package usage
