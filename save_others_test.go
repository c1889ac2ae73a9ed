package lease_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease"
)

// TestSaveBesideOthers who save in the same work, or who have its lease id.
func TestSaveBesideOthers(t *testing.T) {
	bubbleWith(t, "others who save at the same time take turns", func(t *testing.T, b *scriptedStore) {
		m := host(t, b)
		err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error {
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					if err := lease.Save(ctx, i); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			var v int
			if ok, err := lease.Load(ctx, &v); !ok || err != nil {
				t.Errorf("it finds %d, %t, %v", v, ok, err)
			}
			if l := status(t, m, "k"); l.Version != 21 {
				t.Errorf("version %d, want one for each", l.Version)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	bubbleWith(t, "somebody with the lease id has numbered a checkpoint", func(t *testing.T, b *scriptedStore) {
		m, other := host(t, b), host(t, b.Store)
		var e ending
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Minute}, func(ctx context.Context) error {
			l, _ := lease.FromContext(ctx)
			if _, err := other.Extend(ctx, "k", l.LeaseID, &lease.ExtendOptions{Checkpoint: []byte(`"theirs"`), CheckpointSeq: 100}); err != nil {
				t.Error(err)
			}
			time.Sleep(15 * time.Second)
			if err := lease.Save(ctx, "ours"); err != nil {
				t.Error(err)
			}
			if l := status(t, other, "k"); l.TTLLeft != time.Minute {
				t.Errorf("Save has left %v", l.TTLLeft)
			}
			b.away.Store(true)
			return untilItEnds(&e)(ctx)
		})
		mustNotFail(t, err, lease.ErrLost)
		time.Sleep(time.Hour)
		if l := mustTake(t, other, "k", nil); string(l.Checkpoint) != `"ours"` {
			t.Errorf("the next one finds %s", l.Checkpoint)
		}
	})
}
