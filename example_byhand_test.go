package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// answerOnce answers a chat with the lease in its own hands. It is for work that does not fit into
// a function: the steps could stand in different requests, or in different programs.
func answerOnce(ctx context.Context, m *lease.Manager, chat int) (answer Answer, err error) {
	l, acquired, err := m.Acquire(ctx, fmt.Sprintf("support_chat_%d", chat), &lease.AcquireOptions{TTL: 30 * time.Minute})
	if err != nil {
		return answer, err
	}
	if !acquired {
		return answer, l.DecodeResult(&answer) // ErrInProgress, ErrFailed, or nil with the answer
	}
	answer, err = answerChat(ctx, chat)
	switch {
	case ctx.Err() != nil: // nothing more will be done here: the next to ask goes on at once
		_, releaseErr := m.Release(context.WithoutCancel(ctx), l.Key, l.LeaseID)
		return answer, errors.Join(ctx.Err(), releaseErr)
	case err != nil:
		_, failErr := m.Fail(ctx, l.Key, l.LeaseID, lease.Failure{Code: "model_error", Retryable: true})
		return answer, errors.Join(err, failErr)
	}
	_, err = m.Complete(ctx, l.Key, l.LeaseID, lease.Completion{Result: answer})
	return answer, err
}

// Where the work fits into a function, [lease.Do] is shorter: it extends the lease too, and waits.
func ExampleManager_Acquire() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	for _, chat := range []int{42, 42, 13} {
		answer, err := answerOnce(ctx, m, chat)
		fmt.Printf("%q %v\n", answer.Resolution, err)
	}
	// Output:
	// chat 42 is answered
	// "password reset" <nil>
	// "password reset" <nil>
	// "" the customer has left
}

// An expired lease is taken over by the next to ask. Its holder, should it come back, is told. The
// fencing token tells everybody else which of the two writes is the late one.
func ExampleManager_Acquire_takeover() {
	ctx := context.Background()
	clock := leasetest.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	m, err := lease.NewManager(memory.New(), lease.WithClock(clock))
	if err != nil {
		log.Fatal(err)
	}
	first, _, err := m.Acquire(ctx, "report", &lease.AcquireOptions{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	clock.Advance(time.Minute) // and not a word from the holder
	second, acquired, err := m.Acquire(ctx, "report", &lease.AcquireOptions{TTL: time.Minute})
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

// A released lease is open to the next to ask, with the checkpoint of the one who gave it back.
func ExampleManager_Release() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	first, _, err := m.Acquire(ctx, "import", nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := m.Extend(ctx, "import", first.LeaseID, &lease.ExtendOptions{Checkpoint: []byte(`{"row":1000}`)}); err != nil {
		log.Fatal(err)
	}
	if _, err := m.Release(ctx, "import", first.LeaseID); err != nil { // the program is about to stop
		log.Fatal(err)
	}
	second, acquired, err := m.Acquire(ctx, "import", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%t, attempt %d goes on at %s\n", acquired, second.Attempt, second.Checkpoint)
	// Output: true, attempt 2 goes on at {"row":1000}
}
