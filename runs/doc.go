// Package runs executes keyed work in the background: one process asks for it, and a worker in any
// process on the same store does it.
//
// A run is a lease whose work is done by a worker instead of by the caller. So its key stands for
// one piece of work, done once; whoever asks again is told how it stands; and its end is remembered
// for the retention. Nothing but the store of the leases is needed.
//
//	var Summary = runs.Task[Request, Result]{Name: "summary", Attempts: 5}
//
//	r := runs.New(m, runs.WithConcurrency(8))
//	Summary.Handle(r, func(ctx context.Context, in Request) (Result, error) { ... })
//	err := r.Work(ctx) // in any number of processes
//
//	l, started, err := Summary.Start(ctx, r, "summary_2026_11", in, nil) // anywhere
//	result, err := Summary.Wait(ctx, r, "summary_2026_11")
//
// [WithTimeline] keeps what happened to each run, and [Runner.Timeline] shows it.
//
// # What is promised
//
//   - At least once: a run that was started is worked on until it has ended, as long as some worker
//     knows its task. The deadline of the whole, 24 hours unless set, ends it otherwise.
//   - At most one live attempt at a time: the context of a handler ends before another worker can
//     claim the run.
//   - A run reads as in progress from its start to its end: while it waits for a worker, while it
//     runs, and between two attempts.
//   - An attempt that fails is followed by another, after a pause that doubles each time, unless
//     its error is [lease.Permanent]. After Attempts failures the run has failed, with code
//     "attempts_exhausted". A worker that dies is a failure too, with code "expired". One that
//     shuts down releases its runs: that is no failure, and another goes on with the checkpoint.
//
// A handler that has finished, and dies or loses the store before its result is written, runs
// again. So let it make its effects idempotent: the key of the run is a good idempotency key
// ([lease.FromContext] has it), [lease.Save] keeps what is done already, and a resource that checks
// [lease.Token] refuses a worker who does not know yet that another has taken over. A task that is
// AtMostOnce does not run again: a run whose worker died has failed, though it may be done.
//
// # Two ids
//
// The lease that Start returns has the caller's id, the ticket. The ticket can cancel the run, and
// nothing else. An extension by it changes nothing: a caller who waits does not keep the run of a
// dead worker alive. The worker has an id of its own, the claim, and extends that while the handler
// runs.
package runs
