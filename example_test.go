package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

func Example() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}

	// One agent gets the lease of the work, and works.
	l, acquired, err := m.Acquire(ctx, "support_chat_42", lease.AcquireOptions{TTL: 30 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(acquired, l.State, l.TTL)

	// Another asks for the same, and is told.
	other, acquired, err := m.Acquire(ctx, "support_chat_42", lease.AcquireOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(acquired, other.State, "ask again in", other.RetryAfter)

	// The work takes longer, and ends.
	if _, err := m.Extend(ctx, l.Key, l.LeaseID, time.Hour); err != nil {
		log.Fatal(err)
	}
	if _, err := m.Complete(ctx, l.Key, l.LeaseID, lease.Completion{Result: json.RawMessage(`{"messages":15}`)}); err != nil {
		log.Fatal(err)
	}

	// Whoever asks from now on gets the result.
	other, acquired, err = m.Acquire(ctx, "support_chat_42", lease.AcquireOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(acquired, other.State, string(other.Result))
	// Output:
	// true in_progress 30m0s
	// false in_progress ask again in 5s
	// false completed {"messages":15}
}

// An expired lease is taken over by the next to ask. Its holder, should it come back, is told, and the fencing token tells
// everybody else which of the two writes is the late one.
func ExampleManager_Acquire_takeover() {
	ctx := context.Background()
	clock := leasetest.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	m, err := lease.NewManager(memory.New(), lease.WithClock(clock))
	if err != nil {
		log.Fatal(err)
	}
	first, _, err := m.Acquire(ctx, "report", lease.AcquireOptions{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	clock.Advance(time.Minute) // and not a word from the holder
	second, acquired, err := m.Acquire(ctx, "report", lease.AcquireOptions{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(acquired, "attempt", second.Attempt, second.Token > first.Token)

	_, err = m.Complete(ctx, "report", first.LeaseID, lease.Completion{})
	fmt.Println(errors.Is(err, lease.ErrLost))
	// Output:
	// true attempt 2 true
	// true
}

// For short work that must not be done twice, a lock is enough: there is nothing to complete.
func ExampleManager_CheckLock() {
	ctx := context.Background()
	clock := leasetest.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	m, err := lease.NewManager(memory.New(), lease.WithClock(clock))
	if err != nil {
		log.Fatal(err)
	}
	charge := func(order string) {
		l, locked, err := m.CheckLock(ctx, "charge_"+order, lease.LockOptions{TTL: 24 * time.Hour})
		switch {
		case err != nil:
			log.Fatal(err)
		case !locked:
			fmt.Println("charged already, at", l.FirstSeenAt.Format(time.TimeOnly))
		default:
			fmt.Println("charging order", order)
		}
	}
	charge("7")
	clock.Advance(time.Minute)
	charge("7") // the webhook came twice
	// Output:
	// charging order 7
	// charged already, at 03:04:05
}
