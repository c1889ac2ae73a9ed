package leasetest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/leasetest"
)

// A lease of an hour in a SQLite file expires at once, because the clock is advanced by hand.
func ExampleClock() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "leases")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := sqlite.Open(ctx, filepath.Join(dir, "leases.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	clock := leasetest.NewClock(time.Now())
	m, err := lease.NewManager(store, lease.WithClock(clock))
	if err != nil {
		log.Fatal(err)
	}
	if _, _, err := m.Acquire(ctx, "report", &lease.AcquireOptions{TTL: time.Hour}); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		l, err := m.Status(ctx, "report")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(l.State)
		clock.Advance(time.Hour)
	}
	// Output:
	// in_progress
	// expired
}

// Two hosts share a store, and the cable of one is cut. The other goes on.
func ExampleStore_Cut() {
	shared := memory.New()
	cable := leasetest.NewStore(shared)
	hostA, errA := lease.NewManager(cable)
	hostB, errB := lease.NewManager(shared)
	if err := errors.Join(errA, errB); err != nil {
		log.Fatal(err)
	}
	cable.Cut()
	ctx, hangUp := context.WithCancel(context.Background())
	go func() {
		<-cable.Called(1) // host A has asked, and waits for an answer
		hangUp()
	}()
	_, err := hostA.Status(ctx, "report")
	fmt.Println("host A:", errors.Is(err, context.Canceled))

	l, err := hostB.Status(context.Background(), "report")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("host B:", l.State)
	// Output:
	// host A: true
	// host B: not_found
}

// A completion is applied, and its answer is lost. The Manager finds out that it was applied.
func ExampleStore_LoseAnswer() {
	ctx := context.Background()
	store := leasetest.NewStore(memory.New())
	m, err := lease.NewManager(store)
	if err != nil {
		log.Fatal(err)
	}
	l, _, err := m.Acquire(ctx, "report", nil)
	if err != nil {
		log.Fatal(err)
	}
	store.LoseAnswer(1)
	l, err = m.Complete(ctx, "report", l.LeaseID, lease.Completion{})
	fmt.Println(l.State, err)
	// Output: completed <nil>
}
