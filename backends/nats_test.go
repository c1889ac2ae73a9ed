package backends_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ailease/lease/backends"
	"github.com/ailease/lease/internal/natstest"
)

func TestOpenNATS(t *testing.T) {
	o := natstest.Options(t.TempDir())
	o.Username, o.Password = "team", "p@ss/wo,rd"
	srv := natstest.Start(t, o)
	host := srv.Addr().String()
	for _, u := range []string{
		fmt.Sprintf("nats://team:p%%40ss%%2Fwo,rd@%s", host),
		fmt.Sprintf("nats://team:p%%40ss%%2Fwo,rd@%s?bucket=other&replicas=1", host),
		// The first of two servers is down.
		fmt.Sprintf("nats://team:p%%40ss%%2Fwo,rd@127.0.0.1:%d,%s", natstest.FreePort(t), host),
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

func TestOpenNATSWithToken(t *testing.T) {
	o := natstest.Options(t.TempDir())
	o.Authorization = "to/ken"
	host := natstest.Start(t, o).Addr().String()
	s, err := backends.Open(t.Context(), "nats://to%2Fken@"+host)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	works(t, s)
	_, err = backends.Open(t.Context(), "nats://secret@"+host)
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), host) {
		t.Errorf("with another token: %v, want an error with the host and without the token", err)
	}
}
