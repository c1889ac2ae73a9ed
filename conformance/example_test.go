package conformance_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
)

// A program is tried on a store that applies half of its writes without saying so. The Manager
// finds out.
func ExampleFaulty() {
	ctx := context.Background()
	bad := conformance.NewFaulty(memory.New(), conformance.Faults{LostAnswer: 0.5}, 1)
	m, err := lease.NewManager(bad)
	if err != nil {
		log.Fatal(err)
	}
	completed := 0
	for i := range 20 {
		l, acquired, err := m.Acquire(ctx, fmt.Sprint("chat_", i), nil)
		if err != nil || !acquired {
			log.Fatal(acquired, err)
		}
		if _, err := m.Complete(ctx, l.Key, l.LeaseID, lease.Completion{}); err != nil {
			log.Fatal(err)
		}
		completed++
	}
	fmt.Println(completed, "of 20 completed, answers were lost:", bad.Injected()["lost answer"] > 0)
	// Output: 20 of 20 completed, answers were lost: true
}
