package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// render is somebody else's work. It closes begun when the lease is there.
func render(ctx context.Context, m *lease.Manager, video string, begun chan<- struct{}) (string, error) {
	return lease.Do(ctx, m, "render_"+video, nil, func(context.Context) (string, error) {
		close(begun)
		return "/videos/" + video + ".mp4", nil
	})
}

// Await is for a caller who wants the result but would not do the work. Do waits as well, and does
// the work if nobody else does any more.
func ExampleAwait() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	begun := make(chan struct{})
	var other sync.WaitGroup
	defer other.Wait()
	other.Go(func() {
		if _, err := render(ctx, m, "trailer", begun); err != nil {
			log.Print(err)
		}
	})
	<-begun

	for _, video := range []string{"trailer", "teaser"} {
		file, err := lease.Await[string](ctx, m, "render_"+video)
		switch {
		case err == nil:
			fmt.Println(file)
		case errors.Is(err, lease.ErrFailed):
			fmt.Println("failed with code", lease.Code(err))
		case errors.Is(err, lease.ErrExpired):
			fmt.Println("whoever rendered it is gone")
		case errors.Is(err, lease.ErrNotFound):
			fmt.Println("nobody renders the", video) // which Await does not wait for
		default:
			log.Print(err)
		}
	}
	// Output:
	// /videos/trailer.mp4
	// nobody renders the teaser
}
