package leasetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

func TestContextCarriesTheLeaseThatTheTestMakes(t *testing.T) {
	ctx := leasetest.Context(t, lease.Lease{})
	l, ok := lease.FromContext(ctx)
	if !ok || l.Key != "test" || l.LeaseID != "test" || l.State != lease.StateInProgress || l.Attempt != 1 || l.Version != 1 || l.Token != 1 {
		t.Errorf("the lease is %+v, %t", l, ok)
	}
	want := lease.Lease{
		Key: "report", LeaseID: "id", State: lease.StateExpired, Attempt: 3, Version: 9, Token: 8, TTL: time.Minute, AtMostOnce: true,
		Metadata: json.RawMessage(`{"a":1}`), Checkpoint: json.RawMessage(`7`),
	}
	ctx = leasetest.Context(t, want)
	for range 2 {
		l, ok := lease.FromContext(ctx)
		if !ok || fmt.Sprint(l) != fmt.Sprint(want) {
			t.Errorf("\n got %+v\nwant %+v", l, want)
		}
		clear(l.Metadata) // it is a copy
		clear(l.Checkpoint)
	}
	if token, err := lease.Token(ctx, "report"); err != nil || token != 8 {
		t.Errorf("the token is %d, %v", token, err)
	}
	if _, err := lease.Token(ctx, "test"); !errors.Is(err, lease.ErrNoLease) {
		t.Errorf("the token of another key: %v, want ErrNoLease", err)
	}
}

func TestAFunctionSavesAndLoadsInMemory(t *testing.T) {
	ctx := leasetest.Context(t, lease.Lease{Key: "report"})
	var page int
	if found, err := lease.Load(ctx, &page); found || err != nil {
		t.Errorf("before anything was saved: %t, %v", found, err)
	}
	for want := range 3 {
		if err := lease.Save(ctx, want); err != nil {
			t.Fatal(err)
		}
		if found, err := lease.Load(ctx, &page); !found || err != nil || page != want {
			t.Errorf("loaded %d, %t, %v, want %d", page, found, err, want)
		}
	}
	lease.Progress(ctx, "half")
	if l, _ := lease.FromContext(ctx); string(l.Checkpoint) != "2" || string(l.Progress) != `"half"` {
		t.Errorf("the lease is %+v", l)
	}
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"a checkpoint too large", lease.Save(ctx, strings.Repeat("x", 64<<10)), lease.ErrInvalid},
		{"a checkpoint that cannot be encoded", lease.Save(ctx, func() {}), lease.ErrInvalid},
		{"a checkpoint of another type", second(lease.Load(ctx, new(string))), lease.ErrResultType},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.want)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := lease.Save(ended, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("Save in a derived context that has ended: %v, want its error", err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestContextEndsWithTheTest as t.Context does, and a function may save all the same.
func TestContextEndsWithTheTest(t *testing.T) {
	var ctx context.Context
	t.Run("a test", func(t *testing.T) {
		ctx = leasetest.Context(t, lease.Lease{})
		if err := ctx.Err(); err != nil {
			t.Error(err)
		}
	})
	if ctx.Err() == nil {
		t.Error("the context goes on after the test")
	}
	if err := lease.Save(ctx, 1); err != nil {
		t.Error(err)
	}
}

func TestDoWithinATestsContext(t *testing.T) {
	m, err := lease.NewManager(memory.New())
	if err != nil {
		t.Fatal(err)
	}
	ran := false
	err = lease.Exec(leasetest.Context(t, lease.Lease{Key: "outer", Token: 5}), m, "inner", nil, func(ctx context.Context) error {
		ran = true
		outer, err := lease.Token(ctx, "outer")
		_, err2 := lease.Token(ctx, "inner")
		if l, _ := lease.FromContext(ctx); l.Key != "inner" || outer != 5 {
			t.Errorf("innermost is %+v, the outer token is %d", l, outer)
		}
		return errors.Join(err, err2)
	})
	if err != nil || !ran {
		t.Errorf("ran: %t, error %v", ran, err)
	}
}

func TestTakeOverEndsWhatRunsUnderTheLease(t *testing.T) {
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprintf("at most once: %t", once), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, err := lease.NewManager(memory.New())
				if err != nil {
					t.Fatal(err)
				}
				working, ended := make(chan lease.Lease), make(chan error)
				go func() {
					ended <- lease.Exec(t.Context(), m, "report", &lease.DoOptions{AtMostOnce: once}, func(ctx context.Context) error {
						if err := lease.Save(ctx, 7); err != nil {
							t.Error(err)
						}
						l, _ := lease.FromContext(ctx)
						time.Sleep(time.Second) // until it follows what others do
						working <- l
						<-ctx.Done()
						if why := context.Cause(ctx); !errors.Is(why, lease.ErrLost) {
							t.Errorf("the context ended because of %v, want ErrLost", why)
						}
						if _, err := lease.Token(ctx, "report"); !errors.Is(err, lease.ErrNoLease) || !errors.Is(err, lease.ErrLost) {
							t.Errorf("the token is still given: %v", err)
						}
						if err := lease.Save(ctx, 8); !errors.Is(err, lease.ErrLost) {
							t.Errorf("it still saves: %v", err)
						}
						return ctx.Err()
					})
				}()
				old := <-working
				begun := time.Now()
				l := leasetest.TakeOver(t, m, "report")
				if l.LeaseID == old.LeaseID || l.Token <= old.Token || string(l.Checkpoint) != "7" || l.Attempt != 2 || l.AtMostOnce != once {
					t.Errorf("taken over: %+v\nfrom %+v", l, old)
				}
				if err := <-ended; !errors.Is(err, lease.ErrLost) || time.Since(begun) != 0 {
					t.Errorf("Do returned %v after %v, want ErrLost at once", err, time.Since(begun))
				}
				if l, err := m.Complete(t.Context(), "report", l.LeaseID, lease.Completion{}); err != nil || l.State != lease.StateCompleted {
					t.Errorf("the new holder completes: %+v, %v", l, err)
				}
			})
		})
	}
}

// failed is a testing.TB that notes a failure instead.
type failed struct {
	testing.TB
	text string
}

func (f *failed) Helper() {}
func (f *failed) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestTakeOverFailsTheTestIfNobodyHoldsTheKey(t *testing.T) {
	m, err := lease.NewManager(memory.New())
	if err != nil {
		t.Fatal(err)
	}
	held := func(key string) string {
		l, _, err := m.Acquire(t.Context(), key, nil)
		if err != nil {
			t.Fatal(err)
		}
		return l.LeaseID
	}
	_, err = m.Complete(t.Context(), "completed", held("completed"), lease.Completion{})
	_, err2 := m.Release(t.Context(), "released", held("released"))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ key, says string }{
		{"new", `leasetest: nobody holds "new": its state is not_found`},
		{"completed", `leasetest: nobody holds "completed": its state is completed`},
		{"released", `leasetest: nobody holds "released": its state is expired`},
		{"", `must be from 1 to 256`},
	} {
		f := &failed{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			leasetest.TakeOver(f, m, tt.key)
			t.Errorf("%q was taken over", tt.key)
		}()
		<-done
		if !strings.Contains(f.text, tt.says) {
			t.Errorf("it says %q, want %q", f.text, tt.says)
		}
	}
}
