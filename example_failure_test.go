package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// providerError is what a payment provider says. Its ErrorCode is what others read of it; its text
// stays here.
type providerError struct{ code, text string }

func (e *providerError) Error() string     { return e.text }
func (e *providerError) ErrorCode() string { return e.code }

// The caller whose function failed and all others get one shape of error. Only where the function
// ran is the original inside.
func ExampleCode() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	err = lease.Exec(ctx, m, "charge_7", nil, func(context.Context) error {
		return &providerError{"card_declined", "card of J. Doe was declined"}
	})
	original, ok := errors.AsType[*providerError](err)
	fmt.Println(errors.Is(err, lease.ErrFailed), lease.Code(err), ok, original.text)

	_, err = lease.Await[string](ctx, m, "charge_7") // on another host
	_, ok = errors.AsType[*providerError](err)
	fmt.Println(errors.Is(err, lease.ErrFailed), lease.Code(err), ok)

	err = lease.Exec(ctx, m, "", nil, func(context.Context) error { return nil })
	fmt.Println(errors.Is(err, lease.ErrFailed), err) // not an error of the function
	// Output:
	// true card_declined true card of J. Doe was declined
	// true card_declined false
	// false lease: do: invalid argument: key: 0 characters, must be from 1 to 256
}

// A failure that would come again is marked, and stands. Others are tried again by whoever asks
// next, or, with Attempts, by the callers who are there.
func ExamplePermanent() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	asked := 0
	translate := func() error {
		return lease.Exec(ctx, m, "translate_9", &lease.DoOptions{Attempts: 3}, func(context.Context) error {
			asked++
			if asked == 1 {
				return errors.New("the model is overloaded") // goes away by itself
			}
			return lease.Permanent(&providerError{"too_long", "the text has 410000 tokens"})
		})
	}
	fmt.Println(translate())
	fmt.Println(translate())
	fmt.Println("the model was asked", asked, "times")
	// Output:
	// lease: do "translate_9": failed with code "too_long" (attempt 2): the text has 410000 tokens
	// lease: do "translate_9": failed with code "too_long" (attempt 2)
	// the model was asked 2 times
}

// With AtMostOnce every failure stands, because the work may have been done in part. The function
// says so where that is not so.
func ExampleRetryable() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	busy := true
	charge := func() error {
		return lease.Exec(ctx, m, "charge_7", &lease.DoOptions{AtMostOnce: true}, func(context.Context) error {
			if busy {
				busy = false
				return lease.Retryable(errors.New("connection refused")) // nothing was charged
			}
			return errors.New("the provider did not answer") // the card may have been charged
		})
	}
	for range 3 {
		fmt.Println(charge())
	}
	// Output:
	// lease: do "charge_7": failed with code "error" (attempt 1): connection refused
	// lease: do "charge_7": failed with code "error" (attempt 2): the provider did not answer
	// lease: do "charge_7": failed with code "error" (attempt 2)
}
