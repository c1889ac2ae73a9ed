package natskv_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestMaxPayload: what a server cannot take is known when the bucket is opened.
func TestMaxPayload(t *testing.T) {
	for _, tt := range []struct {
		name       string
		maxPayload int32
		most       int // 0: the bucket cannot be opened
	}{
		{"too small", 320<<10 + 511, 0},
		{"just enough to be of use", 320<<10 + 512, 320 << 10},
		{"as nobody has configured it", 0, 1<<20 - 512},
		{"enough for all", 2 << 20, backend.MaxValueBytes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := natstest.Options(t.TempDir())
			o.MaxPayload = tt.maxPayload
			url := natstest.Start(t, o).ClientURL()
			if tt.most == 0 {
				_, err := natskv.Open(ctx, url)
				if err == nil || !strings.Contains(err.Error(), "max_payload is 328191") || !strings.Contains(err.Error(), "1049088 for the largest") {
					t.Errorf("%v, want one that names max_payload and what is needed", err)
				}
				return
			}
			s := open(t, url)
			if got := s.MaxValueBytes(); got != tt.most {
				t.Errorf("MaxValueBytes is %d, want %d", got, tt.most)
			}
			if _, err := lease.NewManager(s); err != nil {
				t.Errorf("a Manager with default limits: %v", err)
			}
			// The longest key, every header: what is promised fits.
			key := strings.Repeat("\x00", backend.MaxKeyBytes)
			revision := set(t, s, key, 0, string(make([]byte, tt.most)), 1<<62)
			set(t, s, key, revision, string(make([]byte, tt.most)), 1<<62)
			if tt.most == backend.MaxValueBytes {
				return
			}
			_, err := s.CompareAndSet(ctx, key, 0, make([]byte, tt.most+1), 0)
			if !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "max_payload") {
				t.Errorf("a value above the limit: %v", err)
			}
		})
	}
}
