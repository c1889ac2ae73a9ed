// Package lease gives one worker the exclusive right to do one long piece of work, remembers how it
// ended, and lets everyone else ask.
//
// Agents retry, crash and run in parallel, and yet the work should be done once. A lease is a
// record under a key, and the key names the work. The first to ask acquires the lease, extends it
// while it works, and completes it with a result or fails it. All others are told that the work is
// in progress, or how it ended, for a week unless set otherwise. If the holder dies, its lease
// expires, and the next to ask takes the work over.
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
// Whoever calls Do with that key, on whichever host, gets the same answer. [Exec] is Do without a
// result, and [Await] waits for somebody else's. The function's context is the lease: it ends when
// the lease does. [Save] and [Load] keep a checkpoint for the next attempt, [Progress] shows others
// how far the work is, and [Token] guards what the work writes.
//
// Work that does not fit into a function is done by hand; see example_byhand_test.go.
// [Manager.CheckLock] is for short work that must not be done twice, and has no result. [KeyOf]
// makes a key of the arguments of a tool call. Package backends opens a store by its URL, and
// package leasetest helps tests. This package imports the standard library alone.
//
// # Three traps to know on day one
//
//   - A key stands for one piece of work, done once. Do with the key "report" gives today's report
//     tomorrow too. Put what tells the work apart into the key, and look that it is not empty:
//     "report_2026-11-24". A key has 1 to 256 characters, none of them a control character.
//   - A caller who goes away stops the work. If a client hangs up, the context of its HTTP request
//     ends, and so does the function's; the lease is released, and the next caller begins again.
//     With [DoOptions].Finish the work goes on.
//   - A holder that dies, or is cut off from the store, is taken over, and the work is done again:
//     at least once, by one at a time. Where that must not be, set AtMostOnce. Where a late write
//     would harm, let the resource check the fencing token.
//
// # What is promised
//
//   - At most one holder at a time whose deadline has not passed, in all processes on all hosts.
//   - What was acknowledged is kept. A completed lease is not acquired again, and its result stays
//     readable, until its retention is over.
//   - Each acquisition of a key has a fencing token greater than all before it, for ever.
//   - An operation happened, or did not, or says that it does not know ([ErrUnknownOutcome]). If a
//     store loses an answer, or refuses as a conflict what it has applied, the Manager repeats the
//     compare-and-set, and reads the record that stands, until it knows; for some seconds.
//   - [Do] never lets two functions with live contexts run for one key, but in three cases that it
//     lists with its other promises.
//
// # Takeover, late completion, and tokens
//
// Expiry does not end a lease, it opens it to takeover. Until somebody has taken it over, its
// holder may still extend, complete, fail or release it, however late: the work is done. After that
// the old holder gets [ErrLost]. A takeover keeps the checkpoint and the hash of the input, and
// counts one attempt more. A lease acquired with AtMostOnce is not taken over: past its deadline it
// reads as failed, with code "expired", and only its own holder may still end it.
//
// No lease stops a holder that works on past its deadline: a machine may be suspended between two
// instructions. A resource that remembers the greatest fencing token it has seen, and refuses
// smaller ones, is safe also from a holder that does not know yet that it lost the lease:
// example_fencing_test.go does so in SQL.
//
// # Clocks
//
// Deadlines are wall-clock times. The Managers of one store must have clocks that agree within
// [WithClockSkew]. A clock that was far ahead can write a lease that lasts too long. It is
// logged once, as clock_suspect, and [Manager.Forget] removes it.
package lease
