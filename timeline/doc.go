// Package timeline keeps the story of each lease and run: what happened, in order.
//
//	store, err := sqlite.Open(ctx, "leases.db")
//	...
//	story, err := timeline.New(store)
//	...
//	m, err := lease.NewManager(store, lease.WithObserver(story.Observe))
//	...
//	entries, total, err := story.Read(ctx, "default", "chat_42", 0, 200)
//
// Background runs are written by runs.WithTimeline, with each attempt.
//
// A timeline belongs to a namespace and a run id. For a lease or run that is the run_id in its
// metadata, or else its key. Entries are added at the end, and are readable for a while, 7 days
// unless [WithKeep] says otherwise. They have no payloads and no lease ids.
//
// # Order and loss
//
// What one process notes and appends through one [Store] stands in that order. Between processes
// the order is that of arrival.
//
// Notes never hold anybody up. They wait in a buffer for up to 100 ms, and are written in batches.
// So the end of a process may lose the last of them: see [Store.Close], and [lease.Manager.Flush]
// before it. With the store away they wait until the buffer is full. Then the newest are dropped.
// [Store.Dropped] counts the dropped.
//
// # Rate
//
// Leases are for long work. A burst of notes as large as the buffer is taken whole, 4096 entries
// unless [WithBuffer] says otherwise. After that 1000 a second are taken, and fewer if writing them
// would keep the store busy for more than a tenth of the time. Notes beyond are dropped and
// counted, and the logger is told. So timelines take little of the throughput of leases. A process
// that goes through more than 500 leases a second for long has gaps in its timelines. [WithRate]
// raises the bound. Append is never bounded.
//
// What must not get lost goes through [Store.Append] with an ID: it may be repeated, and stands in
// the timeline once.
package timeline
