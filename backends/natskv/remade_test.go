package natskv_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestBucketMadeAnew: a bucket is deleted and made again, and another holder takes the key. The
// old holder's revision is not one of the new bucket, though both have had one write.
func TestBucketMadeAnew(t *testing.T) {
	t.Parallel() // it waits for elections
	for name, setup := range map[string]func(t *testing.T) (url string, replicas int){
		"alone":   func(t *testing.T) (string, int) { return natstest.Alone(t).ClientURL(), 1 },
		"cluster": func(t *testing.T) (string, int) { return natstest.StartCluster(t).URL(), 3 },
	} {
		t.Run(name, func(t *testing.T) {
			url, replicas := setup(t)
			// Servers may elect at any time, and be slow.
			openPatiently := func() natstest.Store {
				return natstest.Patient{Store: open(t, url, natskv.WithReplicas(replicas), natskv.WithTimeout(time.Minute))}
			}
			stale := openPatiently()
			old := set(t, stale, "default/k", 0, "old holder", time.Hour)
			if js := time.Now().UnixMicro(); int64(old) > js+1 || js >= 1<<53 {
				t.Errorf("revision %d, and the time is %d µs", old, js)
			}
			js, _ := bucketOf(t, url, "leases")
			if err := js.DeleteStream(ctx, "KV_leases"); err != nil {
				t.Fatal(err)
			}
			fresh := openPatiently()
			revision := set(t, fresh, "default/k", 0, "new holder", time.Hour)
			if revision <= old {
				t.Errorf("the new bucket's revision %d is not above the old one's, %d", revision, old)
			}
			for name, s := range map[string]natstest.Store{"the old holder's": stale, "another": fresh} {
				if _, err := s.CompareAndSet(ctx, "default/k", old, []byte("old holder"), 0); !errors.Is(err, backend.ErrConflict) {
					t.Errorf("%s store: a write at the old revision: %v, want a conflict", name, err)
				}
				if err := s.CompareAndDelete(ctx, "default/k", old); !errors.Is(err, backend.ErrConflict) {
					t.Errorf("%s store: a deletion at the old revision: %v, want a conflict", name, err)
				}
				if e, err := s.Get(ctx, "default/k"); err != nil || string(e.Value) != "new holder" || e.Revision != revision {
					t.Errorf("%s store reads %+v, %v", name, e, err)
				}
			}
		})
	}
}
