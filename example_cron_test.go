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

// runSlot runs a job for the time at which it is due, unless another host does or has done so. The
// key has the time at which the job is due, and not the one at which a host got round to it. So all
// hosts mean the same run.
func runSlot(ctx context.Context, m *lease.Manager, job string, due time.Time, run func(context.Context) error) (here bool, err error) {
	key := job + "_" + due.UTC().Format(time.RFC3339)
	err = lease.Exec(ctx, m, key, &lease.DoOptions{NoWait: true}, func(ctx context.Context) error {
		here = true
		return run(ctx)
	})
	if errors.Is(err, lease.ErrInProgress) {
		return false, nil
	}
	return here, err
}

// A job is due on three hosts at once, and runs on one of them.
func ExampleExec_cron() {
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
			here, err := runSlot(ctx, m, "send_invoices", due, func(context.Context) error {
				invoices.Add(120)
				return nil
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
