// Package lease gives one worker the exclusive right to do one long piece of work, remembers how it
// ended, and lets everyone else ask.
//
// Agents retry, crash and run in parallel, and yet the work should be done once. A lease is a
// record under a key, and the key names the work. The first to ask acquires the lease and works. It
// extends the lease while the work goes on, and completes it with a result or fails it. All others
// are told that the work is in progress, or how it ended, for a week unless set otherwise. If the
// holder dies, its lease expires, and the next to ask takes the work over.
//
// [Do] does all of that around a function:
//
//	package main
//
//	import (
//		"context"
//		"fmt"
//		"log"
//
//		"github.com/ailease/lease"
//		"github.com/ailease/lease/backends/memory" // or sqlite, for one host; natskv, for many
//	)
//
//	func main() {
//		m, err := lease.NewManager(memory.New())
//		if err != nil {
//			log.Fatal(err)
//		}
//		answer, err := lease.Do(context.Background(), m, "support_chat_42", nil,
//			func(ctx context.Context) (string, error) {
//				return "reset your password", nil // minutes of work, which cost money
//			})
//		fmt.Println(answer, err)
//	}
//
// Whoever calls Do with that key, meanwhile or for a week, on whichever host, gets the same answer.
// [Exec] is Do without a result, and [Await] waits for the result of somebody else's work.
//
// Inside the function, its context is the lease. It ends when the lease does. [Save] and [Load]
// keep a checkpoint for the next attempt, [Progress] shows others how far the work is, and [Token]
// guards what the work writes.
//
// Work that does not fit into a function is done by hand, with [Manager.Acquire], [Manager.Extend],
// [Manager.Complete], [Manager.Fail] and [Manager.Release]; the example of Acquire shows how.
// [Manager.Status], [Manager.Wait], [Manager.Watch] and [Manager.List] tell how leases stand.
// [Manager.CheckLock] is for short work that must not be done twice, and has no result. [KeyOf]
// makes a key of the arguments of a tool call.
//
// # Three traps to know on day one
//
//   - A key stands for one piece of work, done once. Call Do with the key "report" tomorrow, and
//     you get today's report. Put what tells the work apart into the key: "report_2026-11-24", an
//     id, or KeyOf of the arguments.
//   - A caller who goes away stops the work. Under the context of an HTTP request, a client that
//     hangs up ends the function's context; the lease is released, and the next caller begins
//     again. [DoOptions].Finish goes on.
//   - A holder that dies, or is cut off from the store, is taken over, and the work is done again:
//     at least once, by one at a time. Where that must not be, set AtMostOnce. Where a late write
//     would harm, let the resource check the fencing token.
//
// # What is promised
//
//   - At most one holder at a time whose deadline has not passed, whichever process or host it runs
//     on.
//   - What was acknowledged is kept. A completed lease stays readable, with its result, for its
//     retention, and is not acquired again within it.
//   - Fencing tokens grow. Each acquisition of a key has a token greater than all before it, for
//     ever.
//   - An operation happened, or did not, or says that it does not know ([ErrUnknownOutcome]).
//   - Do never lets two functions with live contexts run for one key. [Do] lists what else it
//     promises, and the three cases that are not announced before they happen.
//
// # Takeover, and late completion
//
// Expiry does not end a lease, it opens it to takeover. Until somebody has taken it over, its
// holder may still extend, complete, fail or release it, however late: the work is done. After that
// the old holder gets [ErrLost]. A takeover keeps the checkpoint and the hash of the input, and
// counts one attempt more.
//
// A lease acquired with AtMostOnce is not taken over. Past its deadline it reads as failed, with
// code "expired", and its own holder may still end it.
//
// # Tokens
//
// No lease stops a holder that works on past its deadline, or past the end of the context that Do
// gives it. A machine may be suspended between two instructions. The fencing token helps where the
// work has its effects: a resource that remembers the greatest token it has seen, and refuses
// smaller ones, is safe also from a holder that does not know yet that it lost the lease. The
// example of [Token] does so in SQL.
//
// # Clocks
//
// Deadlines are wall-clock times. The Managers of one store must have clocks that agree within
// [WithClockSkew]; an expired lease is taken over that much later. Within one process, Do goes by
// the monotonic clock. It gives a lease up before another can have it, by as much as
// [DoOptions].Grace.
//
// A clock that was far ahead can write a lease that lasts too long. Such a lease is logged once, as
// clock_suspect; [Manager.Forget] and [Manager.ForgetLock] remove it.
//
// # Lost answers
//
// A store may apply a write and lose the answer, or refuse as a conflict what it has applied.
// Neither is passed on as it is. After a lost answer the Manager sends the same compare-and-set
// again, until it knows that it landed or cannot land any more. Then, and after every conflict, one
// judge decides by the record that stands. Each record names the operation that wrote it and the
// one before. It also names the lease before its own, and how that ended. So a holder learns that
// its release or failure counted, even if the next lease has begun.
//
// Where that takes longer than some seconds, the outcome is unknown, and the error says so.
// Repeating the call is safe: Extend, Release, Complete and Fail as they are, Acquire and CheckLock
// with the same nonce. An error other than ErrUnknownOutcome means that nothing was written, with
// the one exception that [ErrLost] tells of.
//
// # Imports
//
// The package imports the standard library alone, and so does package backend, the interface to the
// stores. Package backends opens a store by its URL. Package leasetest is for the tests of programs
// that use leases.
package lease
