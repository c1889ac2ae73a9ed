package proof

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/leasetest"
)

// TestListOnEveryStore has each state listed, from where it was not written.
func TestListOnEveryStore(t *testing.T) {
	for _, d := range deployments {
		t.Run(d.name, func(t *testing.T) {
			here, there := d.ends(t)
			clock := leasetest.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
			m := managerOn(t, here, lease.WithClock(clock), lease.WithNamespace("a"))
			must := func(_ lease.Lease, err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(m.Complete(t.Context(), "gone", mustAcquire(t, m, "gone", time.Hour).LeaseID, lease.Completion{}))
			clock.Advance(8 * 24 * time.Hour)
			for _, key := range []string{"job/running", "chat/rünning.*>", "chat"} {
				mustAcquire(t, m, key, time.Hour)
			}
			mustAcquire(t, m, "job/expired", time.Second)
			must(m.Complete(t.Context(), "job/completed", mustAcquire(t, m, "job/completed", time.Hour).LeaseID, lease.Completion{Result: json.RawMessage(`1`)}))
			must(m.Cancel(t.Context(), "job/failed", mustAcquire(t, m, "job/failed", time.Hour).LeaseID, ""))
			forgotten := mustAcquire(t, m, "forgotten", time.Hour)
			if err := m.Forget(t.Context(), forgotten.Key); err != nil {
				t.Fatal(err)
			}
			neighbour, err := m.InNamespace("a.b")
			if err != nil {
				t.Fatal(err)
			}
			mustAcquire(t, neighbour, "a.b's own", time.Hour)
			clock.Advance(time.Second)

			in := managerOn(t, there, lease.WithClock(clock), lease.WithNamespace("a"))
			for _, tt := range []struct {
				filter *lease.Filter
				want   []string
			}{
				{nil, []string{"chat", "chat/rünning.*>", "job/completed", "job/expired", "job/failed", "job/running"}},
				{&lease.Filter{State: lease.StateInProgress}, []string{"chat", "chat/rünning.*>", "job/running"}},
				{&lease.Filter{State: lease.StateExpired}, []string{"job/expired"}},
				{&lease.Filter{State: lease.StateCompleted}, []string{"job/completed"}},
				{&lease.Filter{State: lease.StateFailed}, []string{"job/failed"}},
				{&lease.Filter{Prefix: "chat/r"}, []string{"chat/rünning.*>"}},
				{&lease.Filter{Prefix: "job/", State: lease.StateInProgress}, []string{"job/running"}},
				{&lease.Filter{Prefix: "nobody"}, nil},
			} {
				var got []string
				for l, err := range in.List(t.Context(), tt.filter) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, l.Key)
					status, err := in.Status(t.Context(), l.Key)
					if err != nil || l.State != status.State || l.Version != status.Version || l.Token != status.Token || l.LeaseID != status.LeaseID || l.Result != nil {
						t.Errorf("listed %+v, status is %+v, %v", l, status, err)
					}
				}
				slices.Sort(got)
				if !slices.Equal(got, tt.want) {
					t.Errorf("%+v: listed %q, want %q", tt.filter, got, tt.want)
				}
			}
			n := 0
			for l, err := range in.List(t.Context(), &lease.Filter{Limit: 4}) { // forgets while it is listed
				if err != nil {
					t.Fatal(err)
				}
				n++
				if err := m.Forget(t.Context(), l.Key); err != nil {
					t.Fatal(err)
				}
			}
			if n != 4 {
				t.Errorf("%d were listed, want 4", n)
			}
		})
	}
}
