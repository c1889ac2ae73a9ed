package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"log"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// Events are counted by kind. A program would publish the counts with expvar.NewMap("leases"), or
// have package leaseprom count for Prometheus.
func ExampleWithObserver() {
	ctx := context.Background()
	events := new(expvar.Map)
	m, err := lease.NewManager(memory.New(), lease.WithObserver(func(e lease.Event) { events.Add(string(e.Kind), 1) }))
	if err != nil {
		log.Fatal(err)
	}
	for _, chat := range []string{"chat_1", "chat_2", "chat_2", "chat_3"} {
		_, err := lease.Do(ctx, m, chat, nil, func(context.Context) (string, error) {
			if chat == "chat_3" {
				return "", errors.New("the model is overloaded")
			}
			return "answered", nil
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	if err := m.Flush(ctx); err != nil { // observers are called on the side
		log.Fatal(err)
	}
	fmt.Println(events)
	// Output:
	// lease: do "chat_3": failed with code "error" (attempt 1): the model is overloaded
	// {"acquired": 3, "completed": 2, "failed": 1}
}

// What runs at the moment, for an operator.
func ExampleManager_List() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []string{"import_1", "import_2", "import_3", "export_1"} {
		l, _, err := m.Acquire(ctx, key, &lease.AcquireOptions{Metadata: json.RawMessage(`{"host":"worker-7"}`)})
		if err != nil {
			log.Fatal(err)
		}
		if key == "import_2" {
			if _, err := m.Complete(ctx, key, l.LeaseID, lease.Completion{}); err != nil {
				log.Fatal(err)
			}
		}
	}

	for l, err := range m.List(ctx, &lease.Filter{State: lease.StateInProgress, Prefix: "import_"}) {
		switch {
		case errors.Is(err, lease.ErrUnreadable):
			log.Print(err) // the others come all the same
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Printf("%s %s\n", l.Key, l.Metadata)
		}
	}
	// Unordered output:
	// import_1 {"host":"worker-7"}
	// import_3 {"host":"worker-7"}
}

// A watch tells how a lease stands, and then of each change until it has ended.
func ExampleManager_Watch() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	held, _, err := m.Acquire(ctx, "import_1", &lease.AcquireOptions{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	for l, err := range m.Watch(ctx, "import_1") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(l.State, "for", l.TTL, "version", l.Version)

		// This is what the holder does meanwhile, elsewhere. If it were faster than the loop, the
		// loop would skip some of it, but not the end.
		switch l.Version {
		case 1:
			_, err = m.Extend(ctx, "import_1", held.LeaseID, &lease.ExtendOptions{TTL: time.Hour})
		case 2:
			_, err = m.Complete(ctx, "import_1", held.LeaseID, lease.Completion{})
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// in_progress for 1m0s version 1
	// in_progress for 1h0m0s version 2
	// completed for 1h0m0s version 3
}

// Long work shows how far it is. Each note rides on the next write of the lease. So it costs little
// to call Progress often.
func ExampleProgress() {
	type progress struct{ File, Of int }
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	rows, err := lease.Do(ctx, m, "import_1", nil, func(ctx context.Context) (int, error) {
		for file := range 3 {
			lease.Progress(ctx, progress{file + 1, 3})
			// 1000 rows are imported here.
		}
		return 3000, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	l, err := m.Status(ctx, "import_1") // by anybody, also while the work is under way
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d rows, last seen at %s\n", rows, l.Progress)
	// Output: 3000 rows, last seen at {"File":3,"Of":3}
}
