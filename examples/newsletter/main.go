// Newsletter: a batch fails half-way. The next attempt goes on where it stopped, and whoever asks
// once it is done is told so.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

const batches = 5

// mailServer fails once, at the fourth batch.
type mailServer struct{ repaired bool }

var errReset = errors.New("mail server: connection reset")

func (s *mailServer) send(batch int) error {
	if batch == 4 && !s.repaired {
		s.repaired = true
		return errReset
	}
	fmt.Printf("  batch %d of %d is sent\n", batch, batches)
	return nil
}

func main() {
	log.SetFlags(0)
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	server := &mailServer{}
	for _, who := range []string{"The job runs", "An agent was told to send it too", "The job runs again"} {
		fmt.Println(who + ":")
		sent, err := sendNewsletter(context.Background(), m, server)
		switch {
		case errors.Is(err, lease.ErrFailed):
			fmt.Println(" ", err)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Printf("  done, %d batches were sent\n", sent)
		}
	}
}

// sendNewsletter sends what has not been sent, and returns how many batches there were.
func sendNewsletter(ctx context.Context, m *lease.Manager, server *mailServer) (int, error) {
	return lease.Do(ctx, m, "newsletter_2026_11", nil, func(ctx context.Context) (int, error) {
		sent := 0
		found, err := lease.Load(ctx, &sent) // what an earlier attempt saved
		if err != nil {
			return 0, err
		}
		if found {
			fmt.Printf("  an earlier attempt got as far as batch %d\n", sent)
		}
		for sent < batches {
			if err := server.send(sent + 1); err != nil {
				return 0, err // not lease.Permanent: the next to ask goes on
			}
			sent++
			if err := lease.Save(ctx, sent); err != nil {
				return 0, err // the lease is lost, or the store is away: stop
			}
		}
		return sent, nil
	})
}
