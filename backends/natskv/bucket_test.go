package natskv

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/internal/natstest"
)

// TestBindTriesAgain: a server that still removes a deleted bucket refuses to make it anew, for a
// moment. Other refusals are final.
func TestBindTriesAgain(t *testing.T) {
	for _, tt := range []struct {
		name     string
		code     jetstream.ErrorCode
		refusals int
		asks     int
		ok       bool
	}{
		{"at once", 0, 0, 1, true},
		{"refused twice", codeStreamNotMade, 2, 3, true},
		{"no room", codeResourcesStorage, 2, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := natstest.Options(t.TempDir())
			o.JetStream = false
			url := natstest.Start(t, o).ClientURL()
			nc, err := nats.Connect(url)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			var mu sync.Mutex
			var first []uint64 // numbers that were asked for
			answer := func(m *nats.Msg) {
				var config jetstream.StreamConfig
				reply := refuses(jetstream.JSErrCodeStreamNotFound, "stream not found")
				if json.Unmarshal(m.Data, &config) == nil && config.Name != "" {
					mu.Lock()
					first = append(first, config.FirstSeq)
					refused := len(first) <= tt.refusals
					mu.Unlock()
					reply = map[string]any{"config": config}
					if refused {
						reply = refuses(tt.code, "refused")
					}
				}
				data, err := json.Marshal(reply)
				if err != nil {
					t.Error(err)
				}
				m.Respond(data)
			}
			if _, err := nc.Subscribe("$JS.API.STREAM.*.KV_leases", answer); err != nil {
				t.Fatal(err)
			}
			js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = bind(t.Context(), js, settings{bucket: "leases", replicas: 1}); (err == nil) != tt.ok {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(first) != tt.asks {
				t.Errorf("asked %d times, want %d", len(first), tt.asks)
			}
			for i := 1; i < len(first); i++ {
				if first[i] <= first[i-1] {
					t.Errorf("first numbers %d do not grow", first)
				}
			}
		})
	}
}
