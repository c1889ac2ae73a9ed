// Package lease gives one worker the exclusive right to do one long piece of work, remembers how it ended, and lets everyone else ask.
//
// Agents retry, crash and run in parallel; the work must be done once. With [Do], whoever comes first with a key does it, and all who
// call with that key, meanwhile or for a week, get the result:
//
//	m, err := lease.NewManager(memory.New()) // or sqlite, natskv: see package backends
//	...
//	answer, err := lease.Do(ctx, m, "support_chat_42", func(ctx context.Context, h *lease.Held) (Answer, error) {
//		return answerChat(ctx, 42) // stops when ctx ends
//	})
//
// Beneath lies a lease: a record under the key, which names the work. Whoever acquires it works, extends it if the work takes longer, and
// completes or fails it. All others are told that it is in progress, or how it ended, for a week unless set otherwise. Where the work does not
// fit into a function, that is done by hand:
//
//	l, acquired, err := m.Acquire(ctx, "support_chat_42", lease.AcquireOptions{TTL: 30 * time.Minute})
//	switch {
//	case err != nil:
//		return err
//	case !acquired:
//		return fmt.Errorf("chat 42 is %s, ask again in %v", l.State, l.RetryAfter)
//	}
//	answer, err := answerChat(ctx, 42)
//	if err != nil {
//		_, err = m.Fail(ctx, l.Key, l.LeaseID, lease.Failure{Code: "model_error"})
//		return err
//	}
//	_, err = m.Complete(ctx, l.Key, l.LeaseID, lease.Completion{Result: answer})
//
// [Manager.Wait] waits for the end of what another does, [Manager.Watch] follows it, and [Manager.List] tells what there is. [KeyOf] makes a key of
// the arguments of a tool call. [Manager.CheckLock] is for short work that must not be done twice, and has no result to tell.
//
// # What is promised
//
//   - At most one holder at a time whose deadline has not passed, whichever process or host it runs on.
//   - What was acknowledged is kept: a completed lease stays readable, with its result, for its retention, and is not acquired again within it.
//   - Every acquisition of a key gets a fencing token greater than all before it, for ever. A resource that refuses smaller tokens
//     than it has seen is safe even from a holder that does not know yet that it lost the lease.
//   - An operation happened, or did not, or says that it does not know ([ErrUnknownOutcome]). A lost answer is looked into before that is said.
//   - Never do two functions that [Do] runs for one key have a live context. The lease is lost if the store is away for so long that it cannot be extended in time: then
//     the context ends before anybody else can acquire it, [WithGrace] earlier. That rests on clocks that agree within [WithClockSkew], and on machines
//     that are not suspended. [Manager.Forget], and whoever has the lease id and ends or shortens the lease by it, takes it away at once; the function learns of that as soon as the store
//     tells, or when the lease is due to be extended.
//
// # What is not
//
// Expiry does not end a lease, it opens it to takeover: work whose holder goes silent is done again by another, at least once, one at a time.
// [AcquireOptions].AtMostOnce forbids that, for work that must rather stay undone. No lease stops a holder that works on past its
// deadline, or past the end of the context that Do gives it; the fencing token does, where the work has its effects. Deadlines are wall-clock
// times: Managers on several hosts need clocks that agree within [WithClockSkew].
//
// A failure stands like a result does, and so does the cancellation that comes of a caller who goes away in the middle of Do: for a new attempt there is
// [AcquireOptions].RetryFailed, and [WithLeaveOnCancel] leaves such a lease to the next.
//
// The package imports the standard library alone, and so does package backend, the interface to the stores.
package lease
