package backends_test

import (
	"fmt"
	"testing"

	"github.com/ailease/lease/backends"
	"github.com/ailease/lease/internal/natstest"
)

func TestOpenNATS(t *testing.T) {
	o := natstest.Options(t.TempDir())
	o.Username, o.Password = "team", "p@ss/word"
	srv := natstest.Start(t, o)
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
