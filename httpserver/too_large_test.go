package httpserver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// small is a store that takes less than its Manager was told.
type small struct{ *memory.Store }

const smallTakes = 2 << 10

func (s small) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if len(value) > smallTakes {
		return 0, fmt.Errorf("%w: value has %d bytes, limit %d", backend.ErrInvalid, len(value), smallTakes)
	}
	return s.Store.CompareAndSet(ctx, key, expected, value, keep)
}

// TestTooLargeForTheStore: a request that can never be stored is not one to repeat.
func TestTooLargeForTheStore(t *testing.T) {
	long := strings.Repeat("x", smallTakes)
	for _, tt := range []struct {
		verb   string
		fields object
	}{
		{"extend", object{"checkpoint": long}},
		{"complete", object{"result": long}},
	} {
		t.Run(tt.verb, func(t *testing.T) {
			s := setup{store: small{memory.New()}}.start(t)
			id := s.mustAcquire("k", nil)
			tt.fields["key"], tt.fields["lease_id"] = "k", id
			got := s.send(tt.verb, tt.fields)
			got.want(t, 413, object{"ok": false, "status": "too_large", "key": "k"})
			if after := got.header.Get("Retry-After"); after != "" {
				t.Errorf("Retry-After is %q", after)
			}
			if text := fmt.Sprint(got.body); strings.Contains(text, "xxx") || !strings.Contains(text, "send a smaller result") {
				t.Errorf("answered %s", text)
			}
			s.send("complete", object{"key": "k", "lease_id": id, "result": "small"}).want(t, 200, nil)
		})
	}
}
