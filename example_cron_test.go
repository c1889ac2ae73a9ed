package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// runSlot runs a job for the time at which it is due, unless another host does or has done so. The key has that time, and not the one at which the host
// got round to it, so that all hosts mean the same run.
func runSlot(ctx context.Context, m *lease.Manager, job string, due time.Time, run func(context.Context) (int, error)) (here bool, err error) {
	key := job + "_" + due.UTC().Format(time.RFC3339)
	_, err = lease.Do(ctx, m, key, func(ctx context.Context, _ *lease.Held) (int, error) {
		here = true
		return run(ctx)
	}, lease.WithoutWaiting())
	if errors.Is(err, lease.ErrInProgress) {
		return false, nil
	}
	return here, err // also a lease.FailedError, if it has failed on another host
}

// A job is due on three hosts at once, and runs on one of them.
func ExampleDo_cron() {
	ctx := context.Background()
	store := memory.New() // between hosts, that is a NATS cluster: see package natskv
	due := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)

	var ran, invoices atomic.Int32
	var hosts sync.WaitGroup
	for range 3 {
		hosts.Go(func() {
			m, err := lease.NewManager(store, lease.WithClockSkew(2*time.Second))
			if err != nil {
				log.Fatal(err)
			}
			here, err := runSlot(ctx, m, "send_invoices", due, func(context.Context) (int, error) {
				return int(invoices.Add(120)), nil
			})
			if err != nil {
				log.Fatal(err)
			}
			if here {
				ran.Add(1)
			}
		})
	}
	hosts.Wait()
	fmt.Println("ran on", ran.Load(), "of 3 hosts, sent", invoices.Load(), "invoices")
	// Output: ran on 1 of 3 hosts, sent 120 invoices
}
