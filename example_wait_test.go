package lease_test

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// render is somebody else's work. It closes begun when the lease is there.
func render(ctx context.Context, m *lease.Manager, video string, begun chan<- struct{}) (string, error) {
	return lease.Do(ctx, m, "render_"+video, func(context.Context, *lease.Held) (string, error) {
		close(begun)
		return "/videos/" + video + ".mp4", nil
	})
}

// Who wants the result, and would not do the work, waits for it. Do waits as well, but does the work if nobody else does any more.
func ExampleManager_Wait() {
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

	l, err := m.Wait(ctx, "render_trailer")
	if err != nil {
		log.Fatal(err)
	}
	switch l.State {
	case lease.StateCompleted:
		fmt.Printf("%s\n", l.Result)
	case lease.StateFailed:
		fmt.Println("failed with code", l.ErrorCode)
	case lease.StateExpired:
		fmt.Println("whoever rendered it is gone")
	case lease.StateNotFound:
		fmt.Println("nobody has begun") // which Wait does not wait for
	}
	// Output: "/videos/trailer.mp4"
}
