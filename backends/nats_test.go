package backends_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ailease/lease/backends"
)

func TestOpenNATS(t *testing.T) {
	o := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true,
		Username: "team", Password: "p@ss/word",
	}
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready")
	}
	host := srv.Addr().String()
	for _, u := range []string{
		fmt.Sprintf("nats://team:p%%40ss%%2Fword@%s", host),
		fmt.Sprintf("nats://team:p%%40ss%%2Fword@%s?bucket=other&replicas=1", host),
	} {
		s, err := backends.Open(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		works(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
