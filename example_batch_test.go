package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

type summarizer struct {
	leases *lease.Manager
	asked  atomic.Int32 // how often the model was
}

func (s *summarizer) summarize(_ context.Context, document string) (string, error) {
	switch n := s.asked.Add(1); {
	case document == "novel":
		return "", lease.Permanent(&providerError{"too_long", document + " has 410000 tokens, the model takes 200000"})
	case document == "letter" && n <= 2:
		return "", errors.New("the model is overloaded")
	}
	return document + " in short", nil
}

// all summarizes what nobody has yet, four at a time, and returns a summary or an error for each.
//
// The group has no context of its own. It would end with the first error, and that would cancel
// what is under way for the others.
func (s *summarizer) all(ctx context.Context, documents []string) ([]string, []error) {
	summaries, errs := make([]string, len(documents)), make([]error, len(documents))
	var g errgroup.Group
	g.SetLimit(4)
	for i, document := range documents {
		g.Go(func() error {
			summaries[i], errs[i] = lease.Do(ctx, s.leases, "summary_"+document, nil, func(ctx context.Context) (string, error) {
				return s.summarize(ctx, document)
			})
			return nil
		})
	}
	g.Wait() // what went wrong is in errs
	return summaries, errs
}

// A batch that is run again does what has not been done. What failed is tried again, but for what
// has failed for good: that is told with its code, and not paid for twice.
func ExampleDo_batch() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	s := &summarizer{leases: m}
	s.all(ctx, []string{"letter", "novel"}) // yesterday, when both failed
	documents := []string{"contract", "invoice", "letter", "manual", "novel", "offer"}
	summaries, errs := s.all(ctx, documents)
	for i, document := range documents {
		switch {
		case errs[i] == nil:
			fmt.Println(summaries[i])
		case errors.Is(errs[i], lease.ErrFailed):
			fmt.Println(document, "has failed:", lease.Code(errs[i]))
		default:
			fmt.Println(document, "could not be asked for:", errs[i])
		}
	}
	fmt.Println("the model was asked", s.asked.Load(), "times")
	// Output:
	// contract in short
	// invoice in short
	// letter in short
	// manual in short
	// novel has failed: too_long
	// offer in short
	// the model was asked 7 times
}
