package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

func Example() {
	dir, err := os.MkdirTemp("", "leases")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	s, err := sqlite.Open(ctx, filepath.Join(dir, "leases.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	// Revision 0: the key must be absent. The entry is kept for at least a day.
	revision, err := s.CompareAndSet(ctx, "chat_1", 0, []byte("draft"), 24*time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.CompareAndSet(ctx, "chat_1", revision, []byte("answer"), 24*time.Hour); err != nil {
		log.Fatal(err)
	}
	// Whoever still goes by the old revision has lost.
	_, err = s.CompareAndSet(ctx, "chat_1", revision, []byte("other answer"), 24*time.Hour)
	fmt.Println(errors.Is(err, backend.ErrConflict))

	e, err := s.Get(ctx, "chat_1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", e.Value)
	// Output:
	// true
	// answer
}
