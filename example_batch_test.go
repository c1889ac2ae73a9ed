package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// modelError says what the model would not do. Its code is what others read of it; the text stays here.
type modelError struct{ code, text string }

func (e *modelError) Error() string     { return e.text }
func (e *modelError) ErrorCode() string { return e.code }

type summarizer struct {
	leases *lease.Manager
	asked  atomic.Int32 // how often the model was
}

func (s *summarizer) summarize(_ context.Context, document string) (string, error) {
	s.asked.Add(1)
	if document == "novel" {
		return "", &modelError{"too_long", document + " has 410000 tokens, the model takes 200000"}
	}
	return document + " in short", nil
}

// all summarizes what nobody has yet, four at a time, and returns a summary or an error for each.
//
// The group has no context of its own: it would end with the first error, which would cancel what is under way for the others.
func (s *summarizer) all(ctx context.Context, documents []string) ([]string, []error) {
	summaries, errs := make([]string, len(documents)), make([]error, len(documents))
	var g errgroup.Group
	g.SetLimit(4)
	for i, document := range documents {
		g.Go(func() error {
			summaries[i], errs[i] = lease.Do(ctx, s.leases, "summary_"+document, func(ctx context.Context, _ *lease.Held) (string, error) {
				return s.summarize(ctx, document)
			}, lease.WithAcquireOptions(lease.AcquireOptions{TTL: 5 * time.Minute}))
			return nil
		})
	}
	g.Wait() // what went wrong is in errs
	return summaries, errs
}

// A batch that is run again does what has not been done. What has failed is told with its code, and not paid for again.
func ExampleDo_batch() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	s := &summarizer{leases: m}
	s.all(ctx, []string{"letter", "novel"}) // yesterday
	documents := []string{"contract", "invoice", "letter", "manual", "novel", "offer"}
	summaries, errs := s.all(ctx, documents)
	for i, document := range documents {
		failed, before := errors.AsType[*lease.FailedError](errs[i])
		switch {
		case before:
			fmt.Println(document, "has failed before:", failed.Code)
		case errs[i] != nil:
			fmt.Println(document, "fails:", errs[i])
		default:
			fmt.Println(summaries[i])
		}
	}
	fmt.Println("the model was asked", s.asked.Load(), "times")
	// Output:
	// contract in short
	// invoice in short
	// letter in short
	// manual in short
	// novel has failed before: too_long
	// offer in short
	// the model was asked 6 times
}
