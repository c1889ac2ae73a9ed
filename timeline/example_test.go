package timeline_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/timeline"
)

// The story of a lease, with what its holder reports.
func Example() {
	ctx := context.Background()
	store := memory.New()
	story, err := timeline.New(store)
	if err != nil {
		log.Fatal(err)
	}
	m, err := lease.NewManager(store, lease.WithObserver(story.Observe))
	if err != nil {
		log.Fatal(err)
	}
	_, err = lease.Do(ctx, m, "chat_42", nil, func(ctx context.Context) (string, error) {
		return "done", story.Append(ctx, timeline.Entry{
			Namespace: "default", RunID: "chat_42", Type: "tool_call", Status: "start", Fields: []byte(`{"tool":"search"}`),
		})
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Flush(ctx); err != nil {
		log.Fatal(err)
	}
	entries, total, err := story.Read(ctx, "default", "chat_42", 0, 200)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(total, "entries")
	types := make(map[string]bool)
	for _, e := range entries {
		types[e.Type] = true
	}
	fmt.Println(types["lease:acquired"], types["tool_call"], types["lease:completed"])
	// Output:
	// 3 entries
	// true true true
}
