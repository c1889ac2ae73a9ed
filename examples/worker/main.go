// Worker starts three runs and works on them, on a file that any number of such programs may share.
// One attempt fails and is made again, as the timeline of its run tells. Run it twice: what is done
// stays done.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/timeline"
)

type request struct{ Text string }

type summary struct{ Words int }

var summarize = runs.Task[request, summary]{Name: "summary", Attempts: 3, Pause: 100 * time.Millisecond}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	store, err := sqlite.Open(ctx, "worker.db")
	if err != nil {
		return err
	}
	defer store.Close()
	m, err := lease.NewManager(store)
	if err != nil {
		return err
	}
	story, err := timeline.New(store)
	if err != nil {
		return err
	}
	defer story.Close(context.WithoutCancel(ctx))

	r := runs.New(m, runs.WithConcurrency(8), runs.WithTimeline(story))
	summarize.Handle(r, func(ctx context.Context, in request) (summary, error) {
		l, _ := lease.FromContext(ctx)
		fmt.Printf("%s: attempt after %d failures\n", l.Key, l.Failures)
		if in.Text == "" && l.Failures == 0 {
			return summary{}, errors.New("the model is overloaded")
		}
		return summary{len(strings.Fields(in.Text))}, nil
	})
	working, done := context.WithCancel(ctx)
	defer done()
	worked := make(chan error, 1)
	go func() { worked <- r.Work(working) }() // or in another program

	for key, text := range map[string]string{"report_2026_10": "all is well", "report_2026_11": "all is very well", "report_2026_12": ""} {
		if _, _, err := summarize.Start(ctx, r, key, request{text}, nil); err != nil {
			return err
		}
	}
	for _, key := range []string{"report_2026_10", "report_2026_11", "report_2026_12"} {
		s, err := summarize.Wait(ctx, r, key)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d words\n", key, s.Words)
	}
	done()
	if err := <-worked; err != nil {
		return err
	}
	entries, _, err := r.Timeline(ctx, "report_2026_12", 0, 100)
	for _, e := range entries {
		fmt.Println(e.Time.Format(time.StampMilli), e.Key, e.Type, e.ErrorCode)
	}
	return err
}
