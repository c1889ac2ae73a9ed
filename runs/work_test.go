package runs

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/internal/runlink"
)

// bench is a run that a worker has just claimed, in a bubble.
type bench struct {
	m      *lease.Manager
	s      runlink.Steps
	ticket string
	claim  *claim
}

func inBubble(t *testing.T, r runlink.Request, test func(t *testing.T, ctx context.Context, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer store.Close()
		m, err := lease.NewManager(store)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{m: m, s: runlink.Of(m)}
		b.ticket = mustStart(t, b.s, key, r).LeaseID
		b.take(t, "claim_1")
		test(t, t.Context(), b)
	})
}

func (b *bench) take(t *testing.T, id string) {
	t.Helper()
	mk, err := loadMarker(t.Context(), b.s, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := look(t.Context(), b.s, mk, id, claimTTL)
	if err != nil || l.claim == nil {
		t.Fatalf("no claim: next at %v, error %v", l.next, err)
	}
	b.claim = l.claim
}

func (b *bench) work(ctx context.Context, f func(ctx context.Context) (json.RawMessage, error)) error {
	return b.s.Work(ctx, b.claim.Claim, runlink.WorkOptions{}, f)
}

func (b *bench) mustStand(t *testing.T, want lease.State, code string) lease.Lease {
	t.Helper()
	l, err := b.m.Status(t.Context(), key)
	if err != nil || l.State != want || l.ErrorCode != code || l.LeaseID != b.ticket {
		t.Errorf("the run is %s %q under its ticket %t, error %v, want %s %q", l.State, l.ErrorCode, l.LeaseID == b.ticket, err, want, code)
	}
	return l
}

func TestAFunctionUnderAClaim(t *testing.T) {
	inBubble(t, runlink.Request{Input: []byte(`{"n":1}`)}, func(t *testing.T, ctx context.Context, b *bench) {
		if string(b.claim.sight.Input) != `{"n":1}` {
			t.Errorf("the input is %s", b.claim.sight.Input)
		}
		ran := false
		err := b.work(ctx, func(ctx context.Context) (json.RawMessage, error) {
			ran = true
			l, ok := lease.FromContext(ctx)
			if token, err := lease.Token(ctx, key); !ok || l.LeaseID != "claim_1" || err != nil || token == 0 {
				t.Errorf("the context has %+v, token %d, error %v", l, token, err)
			}
			if _, err := lease.Do(ctx, b.m, key, nil, func(context.Context) (int, error) { return 0, nil }); !errors.Is(err, lease.ErrInProgress) {
				t.Errorf("Do on the key of the function itself: %v", err)
			}
			time.Sleep(3 * claimTTL) // the claim is extended meanwhile
			if _, err := b.m.Extend(ctx, key, b.ticket, nil); err != nil {
				t.Errorf("an extension by the ticket: %v", err)
			}
			if err := lease.Save(ctx, "half"); err != nil {
				t.Errorf("save: %v", err)
			}
			if s, err := b.s.Look(ctx, key); err != nil || s.Standing != runlink.Claimed || s.Lease.(lease.Lease).LeaseID != b.ticket {
				t.Errorf("a look finds %+v, error %v", s, err)
			}
			b.mustStand(t, lease.StateInProgress, "")
			return json.RawMessage(`7`), nil
		})
		if err != nil || !ran {
			t.Fatalf("ran is %t, error %v", ran, err)
		}
		if l := b.mustStand(t, lease.StateCompleted, ""); string(l.Result) != "7" {
			t.Errorf("the result is %s", l.Result)
		}
		if err := finish(ctx, b.s, b.claim); err != nil {
			t.Fatal(err)
		}
		if m, err := loadMarker(ctx, b.s, key); err != nil || m.revision != 0 {
			t.Errorf("the marker stands, error %v", err)
		}
	})
}

func TestAFailedAttemptIsTriedAgainWithItsCheckpoint(t *testing.T) {
	inBubble(t, runlink.Request{Attempts: 2, PauseFirst: time.Minute, PauseMost: time.Hour}, func(t *testing.T, ctx context.Context, b *bench) {
		fails := func(ctx context.Context) (json.RawMessage, error) {
			if err := lease.Save(ctx, "half"); err != nil {
				t.Error(err)
			}
			return nil, errors.New("boom")
		}
		if err := b.work(ctx, fails); !errors.Is(err, lease.ErrFailed) {
			t.Fatalf("error is %v", err)
		}
		b.mustStand(t, lease.StateInProgress, "")
		if err := finish(ctx, b.s, b.claim); err != nil {
			t.Fatal(err)
		}
		mk, err := loadMarker(ctx, b.s, key)
		if d := time.Until(mk.due); err != nil || d < 45*time.Second || d > 75*time.Second {
			t.Fatalf("due in %v, error %v", d, err)
		}
		time.Sleep(time.Until(mk.due))
		b.take(t, "claim_2")
		err = b.work(ctx, func(ctx context.Context) (json.RawMessage, error) {
			var saved string
			if ok, err := lease.Load(ctx, &saved); !ok || err != nil || saved != "half" {
				t.Errorf("the checkpoint is %q, error %v", saved, err)
			}
			return nil, errors.New("boom again")
		})
		if !errors.Is(err, lease.ErrFailed) {
			t.Fatalf("error is %v", err)
		}
		b.mustStand(t, lease.StateFailed, "attempts_exhausted")
		if s, err := b.s.Look(ctx, key); err != nil || s.LastCode != "error" {
			t.Errorf("the last code is %q, error %v", s.LastCode, err)
		}
	})
}

func TestShutdownReleasesTheClaim(t *testing.T) {
	inBubble(t, runlink.Request{Attempts: 1}, func(t *testing.T, ctx context.Context, b *bench) {
		ctx, shutdown := context.WithCancel(ctx)
		err := b.work(ctx, func(ctx context.Context) (json.RawMessage, error) {
			shutdown()
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("error is %v", err)
		}
		b.mustStand(t, lease.StateInProgress, "")
		b.take(t, "claim_2") // at once, and not counted
	})
}

// stopCode is the cause with which a worker shuts down.
type stopCode struct{}

func (stopCode) Error() string     { return "shutdown" }
func (stopCode) ErrorCode() string { return "shutdown" }

func TestShutdownEndsWhatIsAtMostOnce(t *testing.T) {
	inBubble(t, runlink.Request{AtMostOnce: true}, func(t *testing.T, ctx context.Context, b *bench) {
		ctx, shutdown := context.WithCancelCause(ctx)
		_ = b.work(ctx, func(ctx context.Context) (json.RawMessage, error) {
			shutdown(stopCode{})
			<-ctx.Done()
			return nil, ctx.Err()
		})
		b.mustStand(t, lease.StateFailed, "canceled:shutdown")
	})
	inBubble(t, runlink.Request{AtMostOnce: true}, func(t *testing.T, ctx context.Context, b *bench) {
		ctx, shutdown := context.WithCancelCause(ctx)
		_ = b.work(ctx, func(ctx context.Context) (json.RawMessage, error) {
			shutdown(stopCode{})
			<-ctx.Done()
			return nil, lease.Retryable(ctx.Err())
		})
		b.mustStand(t, lease.StateInProgress, "")
	})
}

// A cancellation ends the function's context. Once the function has returned, the next run of the
// key need not wait for the claim's deadline.
func TestACancellationReachesTheWorker(t *testing.T) {
	inBubble(t, runlink.Request{}, func(t *testing.T, ctx context.Context, b *bench) {
		var canceled, stopped time.Time
		err := b.work(ctx, func(ctx context.Context) (json.RawMessage, error) {
			time.Sleep(time.Second) // the watch has begun
			if _, err := b.m.Cancel(context.Background(), key, b.ticket, "enough"); err != nil {
				t.Error(err)
			}
			canceled = time.Now()
			<-ctx.Done()
			stopped = time.Now()
			b.ticket = mustStart(t, b.s, key, runlink.Request{RetryFailed: true}).LeaseID
			mk, err := loadMarker(context.Background(), b.s, key)
			if err != nil {
				t.Error(err)
			}
			if l, err := look(context.Background(), b.s, mk, "claim_2", claimTTL); err != nil || l.claim != nil || !l.next.After(time.Now()) {
				t.Errorf("while the function runs, a look comes to %+v, error %v", l, err)
			}
			return nil, ctx.Err()
		})
		if !errors.Is(err, lease.ErrLost) {
			t.Errorf("error is %v", err)
		}
		if d := stopped.Sub(canceled); d > time.Second {
			t.Errorf("the function was told after %v", d)
		}
		b.take(t, "claim_2")
	})
}

// Whoever asks for the key is told of the run, from the request to its end.
func TestWhoeverAsksSeesTheRun(t *testing.T) {
	inBubble(t, runlink.Request{PauseFirst: time.Minute, PauseMost: time.Minute}, func(t *testing.T, ctx context.Context, b *bench) {
		reads := func() {
			t.Helper()
			n := 0
			for l, err := range b.m.List(ctx, &lease.Filter{State: lease.StateInProgress}) {
				if n++; err != nil || l.LeaseID != b.ticket || l.TTLLeft <= 0 || l.RetryAfter < time.Second {
					t.Errorf("listed as %+v, error %v", l, err)
				}
			}
			l, acquired, err := b.m.Acquire(ctx, key, nil)
			if n != 1 || err != nil || acquired || l.State != lease.StateInProgress || l.LeaseID != b.ticket || l.RetryAfter < time.Second {
				t.Errorf("%d listed; an acquire gets %t, %+v, error %v", n, acquired, l, err)
			}
		}
		waited, watched, done := make(chan lease.Lease, 1), make(chan int, 1), make(chan int, 1)
		go func() {
			l, err := b.m.Wait(ctx, key)
			if err != nil {
				t.Errorf("wait: %v", err)
			}
			waited <- l
		}()
		go func() {
			n := 0
			for l, err := range b.m.Watch(ctx, key) {
				if n++; err != nil || l.LeaseID != b.ticket || l.State != lease.StateInProgress && l.State != lease.StateCompleted {
					t.Errorf("watched %+v, error %v", l, err)
				}
			}
			watched <- n
		}()
		go func() {
			v, err := lease.Do(ctx, b.m, key, nil, func(context.Context) (int, error) {
				t.Error("Do runs what a worker does")
				return 0, nil
			})
			if err != nil {
				t.Errorf("Do: %v", err)
			}
			done <- v
		}()
		reads()
		err := b.work(ctx, func(context.Context) (json.RawMessage, error) {
			reads()
			return nil, errors.New("boom")
		})
		if !errors.Is(err, lease.ErrFailed) {
			t.Fatal(err)
		}
		reads()
		time.Sleep(2 * time.Minute)
		reads()
		synctest.Wait()
		if len(waited)+len(watched)+len(done) > 0 {
			t.Error("somebody was told of an end between attempts")
		}
		b.take(t, "claim_2")
		time.Sleep(2 * claimTTL) // its worker is dead
		reads()
		b.take(t, "claim_3")
		if err := b.work(ctx, func(context.Context) (json.RawMessage, error) { return json.RawMessage("7"), nil }); err != nil {
			t.Fatal(err)
		}
		if l := <-waited; l.State != lease.StateCompleted || string(l.Result) != "7" {
			t.Errorf("waited for %+v", l)
		}
		if n := <-watched; n < 3 {
			t.Errorf("%d states were watched", n)
		}
		if v := <-done; v != 7 {
			t.Errorf("Do returned %d", v)
		}
		if err := b.m.Forget(ctx, key); err != nil {
			t.Error(err)
		}
		if l, err := b.m.Status(ctx, key); err != nil || l.State != lease.StateNotFound {
			t.Errorf("forgotten, it is %s, error %v", l.State, err)
		}
	})
}
