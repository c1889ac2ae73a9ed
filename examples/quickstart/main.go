// Quickstart: two agents are asked to answer one support chat. One does; the other waits and gets the answer.
//
// Each agent opens the SQLite file for itself, as two processes would.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/sqlite"
)

const key = "support_chat_42"

var begun = time.Now()

func main() {
	log.SetFlags(0)
	dir, err := os.MkdirTemp("", "quickstart")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "leases.db")
	fmt.Printf("Two agents, one chat, one file: %s\n\n", file)

	var agents sync.WaitGroup
	for _, name := range []string{"Ada", "Bob"} {
		agents.Go(func() {
			if err := agent(context.Background(), name, file); err != nil {
				log.Printf("%s: %v", name, err)
			}
		})
	}
	agents.Wait()
	fmt.Println("\nThe chat was answered once.")
}

func agent(ctx context.Context, name, file string) error {
	say := func(format string, args ...any) {
		fmt.Printf("%5.2fs  %s  %s\n", time.Since(begun).Seconds(), name, fmt.Sprintf(format, args...))
	}
	store, err := sqlite.Open(ctx, file)
	if err != nil {
		return err
	}
	defer store.Close()
	m, err := lease.NewManager(store)
	if err != nil {
		return err
	}

	for {
		l, acquired, err := m.Acquire(ctx, key, lease.AcquireOptions{TTL: 2 * time.Second})
		switch {
		case err != nil:
			return err
		case acquired:
			say("acquired the lease of %s for %v (attempt %d, fencing token %d)", l.Key, l.TTL, l.Attempt, l.Token)
			return answer(ctx, m, l, say)
		case l.State == lease.StateInProgress:
			say("polling: in progress elsewhere, at most %.1fs left; asks again in %.1fs", l.TTLLeft.Seconds(), l.RetryAfter.Seconds())
			time.Sleep(l.RetryAfter)
		default:
			say("reads what the other has %s: %s", l.State, l.Result)
			return nil
		}
	}
}

// answer is the work. It takes longer than the lease lasts, and so extends it.
func answer(ctx context.Context, m *lease.Manager, l lease.Lease, say func(string, ...any)) error {
	for part := 1; part <= 2; part++ {
		time.Sleep(1300 * time.Millisecond)
		if part == 1 {
			extended, err := m.Extend(ctx, l.Key, l.LeaseID, 2*time.Second)
			if err != nil {
				return err // the lease is lost: stop, another works on it
			}
			say("extended the lease: %v from now (version %d)", extended.TTL, extended.Version)
		}
	}
	l, err := m.Complete(ctx, l.Key, l.LeaseID, lease.Completion{Result: json.RawMessage(`{"resolution":"password reset","messages":15}`)})
	if err != nil {
		return err
	}
	say("completed it (version %d)", l.Version)
	return nil
}
