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
// What must not get lost goes through [Store.Append] with an ID: it may be repeated, and stands in
// the timeline once.
package timeline
