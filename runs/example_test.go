package runs_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/timeline"
)

// A run whose first attempt fails, and what its timeline tells afterwards.
func Example() {
	ctx := context.Background()
	store := memory.New()
	story, err := timeline.New(store)
	if err != nil {
		log.Fatal(err)
	}
	m, err := lease.NewManager(store)
	if err != nil {
		log.Fatal(err)
	}
	r := runs.New(m, runs.WithTimeline(story))

	summary := runs.Task[string, int]{Name: "summary", Attempts: 3, Pause: 10 * time.Millisecond}
	summary.Handle(r, func(ctx context.Context, text string) (int, error) {
		if l, _ := lease.FromContext(ctx); l.Attempt == 1 {
			return 0, errors.New("the model is overloaded")
		}
		runs.Note(ctx, timeline.Entry{Type: "tool_call", Status: "start"})
		return len(text), nil
	})
	working, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	go func() { worked <- r.Work(working) }() // or in another program

	if _, _, err := summary.Start(ctx, r, "summary_2026_11", "all is well", nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(summary.Wait(ctx, r, "summary_2026_11"))
	stop()
	if err := <-worked; err != nil {
		log.Fatal(err)
	}
	entries, _, err := r.Timeline(ctx, "summary_2026_11", 0, 100)
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range entries {
		fmt.Println(e.Attempt, e.Type)
	}
	// Output:
	// 11 <nil>
	// 0 run_started
	// 1 attempt_started
	// 1 attempt_failed
	// 2 attempt_started
	// 2 tool_call
	// 2 attempt_completed
	// 2 run_finished
}
