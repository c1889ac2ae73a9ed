package lease_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// For short work that must not be done twice, a lock is enough: there is nothing to complete.
func ExampleManager_CheckLock() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	charge := func(order string) {
		_, locked, err := m.CheckLock(ctx, "charge_"+order, &lease.LockOptions{TTL: 24 * time.Hour})
		switch {
		case err != nil:
			log.Fatal(err)
		case !locked:
			fmt.Println("order", order, "is charged already")
		default:
			fmt.Println("charging order", order)
		}
	}
	charge("7")
	charge("7") // the webhook came twice
	// Output:
	// charging order 7
	// order 7 is charged already
}

// A call whose answer was lost is repeated with the same nonce, and then finds its own lock. The
// nonce is random for each piece of work. It is never made of the key: two callers would share it.
func ExampleManager_CheckLock_nonce() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	mine := &lease.LockOptions{Nonce: rand.Text()}
	for _, opts := range []*lease.LockOptions{mine, mine, {Nonce: rand.Text()}} {
		_, locked, err := m.CheckLock(ctx, "charge_7", opts)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(locked)
	}
	// Output:
	// true
	// true
	// false
}

// A lock whose holder died before it did the work stands until its TTL has passed. An operator who
// knows that nothing was done takes it away.
func ExampleManager_ForgetLock() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		_, locked, err := m.CheckLock(ctx, "charge_7", nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("locked here:", locked)
		if err := m.ForgetLock(ctx, "charge_7"); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("there is a lock:", !errors.Is(m.ForgetLock(ctx, "charge_7"), lease.ErrNotFound))
	// Output:
	// locked here: true
	// locked here: true
	// there is a lock: false
}
