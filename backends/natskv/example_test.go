package natskv_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
)

func Example() {
	// A server in this process, for the sake of the example. Yours are elsewhere, and are three.
	dir, err := os.MkdirTemp("", "leases")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, SyncAlways: true, NoSigs: true})
	if err != nil {
		log.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(10 * time.Second) {
		log.Fatal("the server does not start")
	}

	ctx := context.Background()
	s, err := natskv.Open(ctx, srv.ClientURL(), natskv.WithBucket("example"))
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
