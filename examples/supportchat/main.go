// Supportchat: an agent answers a support chat, message by message, and extends its lease as long as the chat goes on.
//
// The store is the one argument, memory if there is none. With a file, run it twice at the same time, or twice in a row.
//
//	go run ./examples/supportchat sqlite:supportchat.db
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
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
	if err := run(context.Background(), store); err != nil {
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

	l, acquired, err := m.Acquire(ctx, "support_chat_abc123", lease.AcquireOptions{
		TTL:      30 * time.Minute,
		Metadata: json.RawMessage(`{"customer_id":"c_7","priority":"high"}`),
	})
	switch {
	case err != nil:
		return err
	case acquired:
		fmt.Println("acquired: this agent answers the chat")
	case l.State == lease.StateInProgress:
		fmt.Printf("another agent answers the chat; its lease ends in %v unless it extends it\n", l.TTLLeft.Round(time.Second))
		return nil
	default:
		fmt.Printf("the chat has %s at %s: %s\n", l.State, l.DoneAt.Format(time.RFC3339), l.Result)
		return nil
	}

	messages, err := chat(ctx, m, l)
	switch {
	case errors.Is(err, lease.ErrLost):
		return err // another has taken over: say nothing more to the customer
	case err != nil:
		// The text of an error may hold what the customer wrote; its hash is enough to recognise it.
		sum := sha256.Sum256([]byte(err.Error()))
		_, failErr := m.Fail(ctx, l.Key, l.LeaseID, lease.Failure{Code: "connection_lost", Hash: hex.EncodeToString(sum[:])})
		return errors.Join(err, failErr)
	}
	result, err := json.Marshal(map[string]any{"status": "resolved", "messages": messages})
	if err != nil {
		return err
	}
	l, err = m.Complete(ctx, l.Key, l.LeaseID, lease.Completion{Result: result})
	if err != nil {
		return err
	}
	fmt.Printf("completed at version %d: %s\n", l.Version, l.Result)
	return nil
}

// chat answers what the customer says. A real one takes minutes for each message, so the lease is extended after each: to 30 minutes from then, not
// by 30 minutes more.
func chat(ctx context.Context, m *lease.Manager, l lease.Lease) (messages int, err error) {
	for _, said := range []string{"I cannot log in.", "Yes, I tried that.", "Now it works, thank you!"} {
		time.Sleep(200 * time.Millisecond) // thinking
		fmt.Printf("  customer: %s\n", said)
		messages++
		l, err = m.Extend(ctx, l.Key, l.LeaseID, 30*time.Minute)
		if err != nil {
			return messages, err
		}
		fmt.Printf("    extended: %v from now, version %d\n", l.TTL, l.Version)
	}
	return messages, nil
}
