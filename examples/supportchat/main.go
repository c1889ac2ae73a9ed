// Supportchat: an agent answers a support chat, message by message, with the lease in its own
// hands. It extends the lease as long as the chat goes on.
//
// The store is the one argument, memory if there is none. With a file, run it twice at the same
// time, or twice in a row. If you stop it with Ctrl-C, the next to run goes on where it stopped.
//
//	go run ./examples/supportchat sqlite:supportchat.db
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends"
	_ "github.com/ailease/lease/backends/all" // whichever the argument names
)

func main() {
	log.SetFlags(0)
	store := "memory:"
	if len(os.Args) > 1 {
		store = os.Args[1]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, store); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	store, err := backends.Open(ctx, url)
	if err != nil {
		return err
	}
	defer store.Close()
	m, err := lease.NewManager(store)
	if err != nil {
		return err
	}

	l, acquired, err := m.Acquire(ctx, "support_chat_abc123", &lease.AcquireOptions{
		TTL:      30 * time.Minute,
		Metadata: json.RawMessage(`{"customer_id":"c_7","priority":"high"}`),
	})
	switch {
	case err != nil:
		return err
	case !acquired && l.State == lease.StateInProgress:
		fmt.Printf("another agent answers the chat; its lease ends in %v unless it extends it\n", l.TTLLeft.Round(time.Second))
		return nil
	case !acquired:
		fmt.Printf("the chat has %s at %s: %s\n", l.State, l.DoneAt.Format(time.RFC3339), l.Result)
		return nil
	}
	fmt.Printf("acquired, attempt %d: this agent answers the chat\n", l.Attempt)

	// The end of ctx ends the chat. It must not keep the lease from being ended.
	messages, err := chat(ctx, m, l)
	ctx = context.WithoutCancel(ctx)
	switch {
	case err == nil:
		l, err = m.Complete(ctx, l.Key, l.LeaseID, lease.Completion{Result: map[string]any{"status": "resolved", "messages": messages}})
		if err == nil {
			fmt.Printf("completed at version %d: %s\n", l.Version, l.Result)
		}
		return err
	case errors.Is(err, lease.ErrLost):
		return err // another has taken over: say nothing more to the customer
	case errors.Is(err, context.Canceled):
		_, releaseErr := m.Release(ctx, l.Key, l.LeaseID) // the next to ask goes on at once
		return errors.Join(err, releaseErr)
	default:
		_, failErr := m.Fail(ctx, l.Key, l.LeaseID, lease.Failure{Code: "connection_lost", Retryable: true})
		return errors.Join(err, failErr)
	}
}

// chat answers what the customer says, from the message after the last one that was answered. A
// real agent takes minutes for each message. So the lease is extended after each: to 30 minutes
// from then, not by 30 minutes more.
func chat(ctx context.Context, m *lease.Manager, l lease.Lease) (messages int, err error) {
	if l.Checkpoint != nil {
		if err := json.Unmarshal(l.Checkpoint, &messages); err != nil {
			return 0, err
		}
	}
	for _, said := range []string{"I cannot log in.", "Yes, I tried that.", "Now it works, thank you!"}[messages:] {
		select {
		case <-time.After(200 * time.Millisecond): // thinking
		case <-ctx.Done():
			return messages, ctx.Err()
		}
		fmt.Printf("  customer: %s\n", said)
		messages++
		l, err = m.Extend(ctx, l.Key, l.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(strconv.Itoa(messages))})
		if err != nil {
			return messages, err
		}
		fmt.Printf("    extended: %v from now, version %d\n", l.TTL, l.Version)
	}
	return messages, nil
}
