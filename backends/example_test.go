package backends_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends"
	_ "github.com/ailease/lease/backends/all" // or only the stores that are wanted
)

// The store is configuration: a URL from a flag, a file or the environment.
func ExampleOpen() {
	ctx := context.Background()
	// Elsewhere sqlite:///var/lib/app/leases.db, or nats://host:4222?bucket=leases&replicas=3.
	store, err := backends.Open(ctx, "memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	m, err := lease.NewManager(store)
	if err != nil {
		log.Fatal(err)
	}
	_, acquired, err := m.Acquire(ctx, "support_chat_42", nil)
	fmt.Println(acquired, err)

	_, err = backends.Open(ctx, "redis://host")
	fmt.Println(errors.Is(err, backends.ErrUnknownScheme))
	// Output:
	// true <nil>
	// true
}
