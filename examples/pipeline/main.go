// Pipeline is a run that starts runs and waits for them: a report on each customer, and one on all.
// If it is interrupted, the next program to run goes on with what is not yet done.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/runs"
)

type month struct {
	Name      string
	Customers []string
}

var (
	onAll = runs.Task[month, int]{Name: "report on all", Concurrency: 2} // those that wait leave places for those they wait for
	onOne = runs.Task[string, int]{Name: "report on one", Attempts: 3}
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	store, err := sqlite.Open(ctx, "pipeline.db")
	if err != nil {
		return err
	}
	defer store.Close()
	m, err := lease.NewManager(store)
	if err != nil {
		return err
	}
	r := runs.New(m, runs.WithConcurrency(8))
	onOne.Handle(r, func(ctx context.Context, customer string) (int, error) {
		time.Sleep(300 * time.Millisecond) // the work
		fmt.Println("report on", customer)
		return len(customer), nil
	})
	onAll.Handle(r, func(ctx context.Context, in month) (int, error) {
		key := func(customer string) string { return "report_" + in.Name + "_" + customer }
		for _, c := range in.Customers {
			// Safe to repeat: what an earlier attempt has started is not started again.
			if _, _, err := onOne.Start(ctx, r, key(c), c, nil); err != nil {
				return 0, err
			}
		}
		pages := 0
		for i, c := range in.Customers {
			n, err := onOne.Wait(ctx, r, key(c))
			if err != nil {
				return 0, err
			}
			pages += n
			lease.Progress(ctx, fmt.Sprintf("%d of %d", i+1, len(in.Customers)))
		}
		return pages, nil
	})

	working, done := context.WithCancel(ctx)
	defer done()
	worked := make(chan error, 1)
	go func() { worked <- r.Work(working) }()
	november := month{"2026_11", []string{"ada", "grace", "barbara", "edsger"}}
	if _, _, err := onAll.Start(ctx, r, "reports_"+november.Name, november, nil); err != nil {
		return err
	}
	pages, err := onAll.Wait(ctx, r, "reports_"+november.Name)
	if err != nil {
		return err
	}
	fmt.Println(pages, "pages in all")
	done()
	return <-worked
}
