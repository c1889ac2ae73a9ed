package natskv_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestCheckRoom: a bucket that fills up says so while it still takes writes, and until it has room
// again.
func TestCheckRoom(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit func(c *jetstream.StreamConfig, times int64)
		says  string
		holds bool // a full bucket refuses holders too
	}{
		{"bytes", func(c *jetstream.StreamConfig, times int64) { c.MaxBytes = times * 64 << 10 }, "of at most 65536 bytes", true},
		{"messages", func(c *jetstream.StreamConfig, times int64) { c.MaxMsgs = times * 40 }, "of at most 40 messages", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := natstest.Alone(t).ClientURL()
			s := open(t, url)
			if err := s.CheckRoom(ctx); err != nil {
				t.Errorf("without a limit: %v", err)
			}
			js, stream := bucketOf(t, url, "leases")
			limit := func(times int64) {
				t.Helper()
				config := stream.CachedInfo().Config
				tt.limit(&config, times)
				if _, err := js.UpdateStream(ctx, config); err != nil {
					t.Fatal(err)
				}
			}
			limit(1)
			value := strings.Repeat("v", 1<<10)
			held := set(t, s, "held", 0, value, time.Hour)
			before, after := 0, 0 // writes taken before the first warning and after it
			for i := range 100 {
				warned := s.CheckRoom(ctx)
				if warned != nil && (!errors.Is(warned, natskv.ErrNearlyFull) || !strings.Contains(warned.Error(), tt.says)) {
					t.Fatalf("%v, want one that says %q", warned, tt.says)
				}
				_, err := s.CompareAndSet(ctx, fmt.Sprint("k", i), 0, []byte(value), time.Hour)
				switch {
				case errors.Is(err, backend.ErrUnavailable):
					// Full.
				case err != nil:
					t.Fatal(err)
				case warned == nil:
					before++
					continue
				default:
					after++
					continue
				}
				break
			}
			if before < 4*after/2 || after < 5 {
				t.Errorf("%d writes were taken before the warning, and %d after it", before, after)
			}
			revision, err := s.CompareAndSet(ctx, "held", held, []byte(value), time.Hour)
			if tt.holds != errors.Is(err, backend.ErrUnavailable) || !tt.holds && err != nil {
				t.Errorf("an extension in a full bucket: %v", err)
			}
			held = max(held, revision)
			limit(2)
			if err := s.CheckRoom(ctx); err != nil {
				t.Errorf("after the limit was raised: %v", err)
			}
			set(t, s, "held", held, value, time.Hour)
			s.Close()
			if err := s.CheckRoom(ctx); !errors.Is(err, backend.ErrClosed) {
				t.Errorf("of a closed store: %v", err)
			}
		})
	}
}
