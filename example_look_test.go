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

// Events are counted by kind. A program would publish the counts with expvar.NewMap("leases"), or have package leaseprom count for Prometheus.
func ExampleWithObserver() {
	ctx := context.Background()
	events := new(expvar.Map)
	m, err := lease.NewManager(memory.New(), lease.WithObserver(func(e lease.Event) { events.Add(string(e.Kind), 1) }))
	if err != nil {
		log.Fatal(err)
	}
	for _, chat := range []string{"chat_1", "chat_2", "chat_2", "chat_3"} {
		_, err := lease.Do(ctx, m, chat, func(context.Context, *lease.Held) (string, error) {
			if chat == "chat_3" {
				return "", errors.New("the model is overloaded")
			}
			return "answered", nil
		})
		if err != nil {
			fmt.Println(chat, "failed:", err)
		}
	}
	fmt.Println(events)
	// Output:
	// chat_3 failed: the model is overloaded
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
		l, _, err := m.Acquire(ctx, key, lease.AcquireOptions{Metadata: json.RawMessage(`{"host":"worker-7"}`)})
		if err != nil {
			log.Fatal(err)
		}
		if key == "import_2" {
			if _, err := m.Complete(ctx, key, l.LeaseID, lease.Completion{}); err != nil {
				log.Fatal(err)
			}
		}
	}

	for l, err := range m.List(ctx, lease.Filter{State: lease.StateInProgress, Prefix: "import_"}) {
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
	held, _, err := m.Acquire(ctx, "import_1", lease.AcquireOptions{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	for l, err := range m.Watch(ctx, "import_1") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(l.State, "for", l.TTL, "version", l.Version)

		// What the holder does meanwhile, which is elsewhere. Were it faster than this loop, some of it would be skipped, but not the end.
		switch l.Version {
		case 1:
			_, err = m.Extend(ctx, "import_1", held.LeaseID, time.Hour)
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

// Long work shows how far it is. A note is a write to the store: one for each step that is worth looking at, not for each row.
func ExampleHeld_Progress() {
	type progress struct{ Done, Of int }
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	rows, err := lease.Do(ctx, m, "import_1", func(ctx context.Context, h *lease.Held) (int, error) {
		for file := range 2 {
			// 1000 rows are imported here.
			if err := h.Progress(ctx, progress{file + 1, 2}); err != nil {
				// The note is missed, but the work goes on: if the lease is lost, ctx has ended, and whatever takes it next says so.
				log.Print(err)
			}
			seen, err := m.Status(ctx, h.Key()) // by anybody
			if err != nil {
				return 0, err
			}
			fmt.Printf("%s\n", seen.Metadata)
		}
		return 2000, nil
	})
	fmt.Println(rows, err)
	// Output:
	// {"progress":{"Done":1,"Of":2}}
	// {"progress":{"Done":2,"Of":2}}
	// 2000 <nil>
}
