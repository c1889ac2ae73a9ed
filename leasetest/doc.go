// Package leasetest is for the tests of programs that use leases.
//
// # Tests without waiting
//
// The best test needs no helper for the time. Inside a bubble of [testing/synctest] the memory
// store, the Manager and lease.Do run on their ordinary clock, and time passes at once whenever
// everybody waits:
//
//	func TestReportIsTakenOver(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			shared := memory.New() // inside the bubble, as all that has to do with time
//			cable := leasetest.NewStore(shared)
//			hostA, _ := lease.NewManager(cable)
//			hostB, _ := lease.NewManager(shared)
//			go writeReport(t.Context(), hostA) // calls lease.Do
//			synctest.Wait()                    // until host A writes
//			cable.Cut()
//			writeReport(t.Context(), hostB) // waits until host A's lease has run out: no time
//		})
//	}
//
// A test of one host needs no [Store]: memory.New is enough, and time.Sleep passes the time.
//
// # Real stores
//
// synctest does not see the disk and the network. The time of a bubble stands still while one of
// its goroutines waits for them, and a connection to a NATS server waits all the time. Tests on
// stores such as SQLite and NATS give the Manager a [Clock] instead, and advance it by hand:
//
//	clock := leasetest.NewClock(time.Now())
//	m, err := lease.NewManager(store, lease.WithClock(clock))
//
// Such a store has a clock of its own. It drops an entry when its keep has ended in real time,
// wherever the manual clock stands.
//
// # Functions under a lease
//
// A function that loads and saves checkpoints, reads its fencing token or shows progress can be
// tested without a Manager and a store. [Context] gives it the lease that the test makes up:
//
//	ctx := leasetest.Context(t, lease.Lease{Attempt: 2, Checkpoint: json.RawMessage(`{"page": 7}`)})
//	err := writeReport(ctx) // goes on with page 7
//
// [TakeOver] takes a lease away while a function runs under it.
//
// # Bad days
//
// A [Store] wraps any backend and does what the test says: it cuts a host off, loses the answer to
// a write, or makes every call slower. What happens depends on the script alone, and not on chance.
// Package conformance has bad days by chance, drawn from a seed.
package leasetest
