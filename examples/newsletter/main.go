// Newsletter: a batch is sent, fails half-way, and reports so. Nobody sends it again until somebody who has looked says so; then it goes
// on where it had stopped.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

const key = "newsletter_2026_11"

// sent stands for what the mail service knows: how many of the batches it has.
var sent, batches = 0, 5

var errMailServer = errors.New("mail server: connection reset")

func main() {
	log.SetFlags(0)
	m, err := lease.NewManager(memory.New(), lease.WithDefaultTTL(time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	fmt.Println("The job that sends the newsletter runs:")
	process(ctx, m, lease.AcquireOptions{}, 3)
	fmt.Println("An agent that was told to send it runs the job again:")
	process(ctx, m, lease.AcquireOptions{}, -1)
	fmt.Println("An operator looks, repairs the mail server, and retries:")
	process(ctx, m, lease.AcquireOptions{RetryFailed: true}, -1)
	fmt.Println("And the agent once more:")
	process(ctx, m, lease.AcquireOptions{}, -1)
}

// process sends what has not been sent, once. The mail server fails at the batch given.
func process(ctx context.Context, m *lease.Manager, opt lease.AcquireOptions, failsAt int) {
	l, acquired, err := m.Acquire(ctx, key, opt)
	switch {
	case err != nil:
		log.Fatal(err)
	case !acquired && l.State == lease.StateFailed:
		fmt.Printf("  it has failed with code %q, and is left alone\n", l.ErrorCode)
		return
	case !acquired:
		fmt.Printf("  it is %s: %s\n", l.State, l.Result)
		return
	}
	fmt.Printf("  acquired, attempt %d\n", l.Attempt)
	if err := send(ctx, m, l, failsAt); err != nil {
		if _, err := m.Fail(ctx, key, l.LeaseID, lease.Failure{Code: "processing_error"}); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("  failed: %v\n", err)
		return
	}
	result, err := json.Marshal(map[string]int{"batches_sent": sent})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := m.Complete(ctx, key, l.LeaseID, lease.Completion{Result: result}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("  completed")
}

func send(ctx context.Context, m *lease.Manager, l lease.Lease, failsAt int) error {
	for sent < batches {
		if sent == failsAt {
			return errMailServer
		}
		sent++
		fmt.Printf("  batch %d of %d sent\n", sent, batches)
		if _, err := m.Extend(ctx, l.Key, l.LeaseID, time.Hour); err != nil {
			return err
		}
	}
	return nil
}
