package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// reindex makes the index of a document as it stands at a revision. A newer revision takes the key
// from an older one, whether that is under way or done. The same revision shares one run.
func reindex(ctx context.Context, m *lease.Manager, document string, revision int, index func(context.Context) (string, error)) (string, error) {
	return lease.Do(ctx, m, "index_"+document, &lease.DoOptions{Input: revision, Replace: true}, index)
}

// Newer input overtakes work that is under way. Its context ends, and its caller is told.
func ExampleDo_replace() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	began, ended := make(chan struct{}), make(chan error)
	go func() {
		_, err := reindex(ctx, m, "handbook", 1, func(ctx context.Context) (string, error) {
			close(began)
			<-ctx.Done() // long work, which stops when its context ends
			return "", context.Cause(ctx)
		})
		ended <- err
	}()
	<-began
	for range 2 {
		index, err := reindex(ctx, m, "handbook", 2, func(context.Context) (string, error) {
			fmt.Println("revision 2 is indexed")
			return "index of revision 2", nil
		})
		fmt.Println(index, err)
	}
	fmt.Println("revision 1 was overtaken:", errors.Is(<-ended, lease.ErrLost))
	// Output:
	// revision 2 is indexed
	// index of revision 2 <nil>
	// index of revision 2 <nil>
	// revision 1 was overtaken: true
}

// Without Replace, other input under one key is a mistake that is told, and not another's result.
func ExampleDo_input() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	for _, order := range []string{"A-17", "B-4"} {
		err := lease.Exec(ctx, m, "ship_today", &lease.DoOptions{Input: order}, func(context.Context) error { return nil })
		fmt.Println(order, errors.Is(err, lease.ErrInputMismatch))
	}
	// Output:
	// A-17 false
	// B-4 true
}
