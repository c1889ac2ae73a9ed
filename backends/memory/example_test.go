package memory_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

func Example() {
	ctx := context.Background()
	s := memory.New()
	// The first 0 says that the key must be absent, the second that the entry is kept for ever.
	revision, err := s.CompareAndSet(ctx, "chat_1", 0, []byte("draft"), 0)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.CompareAndSet(ctx, "chat_1", revision, []byte("answer"), 0); err != nil {
		log.Fatal(err)
	}
	_, err = s.CompareAndSet(ctx, "chat_1", revision, []byte("other answer"), 0)
	fmt.Println(errors.Is(err, backend.ErrConflict))
	// Output: true
}
