package lease_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// journal is a log without its times, and what an observer was told.
type journal struct {
	mu     sync.Mutex
	log    bytes.Buffer
	events []lease.Event
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.log.Write(p)
}

func (j *journal) observe(e lease.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

func (j *journal) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func (j *journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = nil
	j.log.Reset()
}

// told is what the journal has of all operations of m that have returned.
func (j *journal) told(t testing.TB, m *lease.Manager) (events []lease.Event, log string) {
	t.Helper()
	if err := m.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events), j.log.String()
}

// TestEvents has each case do something to the lease of "k", which m has acquired for a minute,
// version 1 and token 1, 10 seconds ago. Each call of the store takes a second.
func TestEvents(t *testing.T) {
	type party struct {
		m, other *lease.Manager // the other has no observer
		clock    *leasetest.Clock
		id       string // of the lease
		bad      *scriptedStore
	}
	change := func(_ lease.Lease, err error) error { return err }
	meanwhile := func(p *party) day { // another comes in between, and the request is lost
		return func(w write) (uint64, error) {
			if _, err := p.other.Extend(ctx, "k", p.id, nil); err != nil {
				return 0, err
			}
			return requestLost(w)
		}
	}
	const s = time.Second
	conflict := lease.Event{Kind: lease.EventConflictRetried, State: lease.StateInProgress, Version: 1, Token: 1, Attempt: 1, Took: 2 * s, Held: 12 * s, Err: backend.ErrConflict}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, p *party) error
		err  error
		want []lease.Event // with the namespace "default" and the key "k" if there is none
		log  string
	}{
		{"acquire of a failed key anew", func(t *testing.T, p *party) error {
			_, err := p.other.Cancel(ctx, "k", p.id, "")
			if err == nil {
				_, _, err = p.m.Acquire(ctx, "k", &lease.AcquireOptions{RetryFailed: true})
			}
			return err
		}, nil, []lease.Event{{Kind: lease.EventAcquired, State: lease.StateInProgress, Version: 3, Token: 3, Attempt: 2, Took: 2 * s, Held: s}},
			`level=DEBUG msg="lease: acquired" namespace=default key=k state=in_progress version=3 token=3 attempt=2 took=2s held=1s`},
		{"acquire of an expired key", func(t *testing.T, p *party) error {
			p.clock.Advance(time.Minute)
			_, _, err := p.m.Acquire(ctx, "k", nil)
			return err
		}, nil, []lease.Event{{Kind: lease.EventTakenOver, State: lease.StateInProgress, Version: 2, Token: 2, Attempt: 2, Took: s, Held: s}},
			`level=INFO msg="lease: taken_over" namespace=default key=k state=in_progress version=2 token=2 attempt=2 took=1s held=1s`},
		{"acquire of a released key", func(t *testing.T, p *party) error {
			_, err := p.other.Release(ctx, "k", p.id)
			if err == nil {
				_, _, err = p.m.Acquire(ctx, "k", nil)
			}
			return err
		}, nil, []lease.Event{{Kind: lease.EventTakenOver, State: lease.StateInProgress, Version: 3, Token: 3, Attempt: 2, Took: 2 * s, Held: s}},
			`level=INFO msg="lease: taken_over" namespace=default key=k state=in_progress version=3 token=3 attempt=2 took=2s held=1s`},
		{"acquire with other input, with Replace", func(t *testing.T, p *party) error {
			_, _, err := p.m.Acquire(ctx, "k", &lease.AcquireOptions{InputHash: "i2", Replace: true})
			return err
		}, nil, []lease.Event{{Kind: lease.EventReplaced, State: lease.StateInProgress, Version: 2, Token: 2, Attempt: 2, Took: s, Held: s}},
			`level=INFO msg="lease: replaced" namespace=default key=k state=in_progress version=2 token=2 attempt=2 took=1s held=1s`},
		{"acquire with other input", func(t *testing.T, p *party) error {
			_, _, err := p.m.Acquire(ctx, "k", &lease.AcquireOptions{InputHash: "i2"})
			return err
		}, lease.ErrInputMismatch, nil, ""},
		{"release", func(t *testing.T, p *party) error { return change(p.m.Release(ctx, "k", p.id)) }, nil,
			[]lease.Event{{Kind: lease.EventReleased, State: lease.StateExpired, Version: 2, Token: 1, Attempt: 1, Took: s, Held: 11 * s}},
			`level=INFO msg="lease: released" namespace=default key=k state=expired version=2 token=1 attempt=1 took=1s held=11s`},
		{"release once more, which changes nothing", func(t *testing.T, p *party) error {
			return errors.Join(change(p.other.Release(ctx, "k", p.id)), change(p.other.Release(ctx, "k", p.id)), change(p.m.Release(ctx, "k", p.id)))
		}, nil, []lease.Event{conflict},
			`level=DEBUG msg="lease: conflict_retried" namespace=default key=k state=in_progress version=1 token=1 attempt=1 took=2s held=12s err="revision conflict"`},
		{"acquire of a key that is held", func(t *testing.T, p *party) error {
			_, _, err := p.m.Acquire(ctx, "k", nil)
			return err
		}, nil, nil, ""},
		{"extend", func(t *testing.T, p *party) error {
			return change(p.m.Extend(ctx, "k", p.id, &lease.ExtendOptions{TTL: time.Hour}))
		}, nil,
			[]lease.Event{{Kind: lease.EventExtended, State: lease.StateInProgress, Version: 2, Token: 1, Attempt: 1, Took: s, Held: 11 * s}},
			`level=DEBUG msg="lease: extended" namespace=default key=k state=in_progress version=2 token=1 attempt=1 took=1s held=11s`},
		{"complete", func(t *testing.T, p *party) error {
			return change(p.m.Complete(ctx, "k", p.id, lease.Completion{Result: json.RawMessage(`1`)}))
		}, nil, []lease.Event{{Kind: lease.EventCompleted, State: lease.StateCompleted, Version: 2, Token: 1, Attempt: 1, Took: s, Held: 11 * s}},
			`level=DEBUG msg="lease: completed" namespace=default key=k state=completed version=2 token=1 attempt=1 took=1s held=11s`},
		{"complete, again in the same way, which changes nothing", func(t *testing.T, p *party) error {
			return errors.Join(change(p.other.Complete(ctx, "k", p.id, lease.Completion{})), change(p.m.Complete(ctx, "k", p.id, lease.Completion{})))
		}, nil, []lease.Event{conflict},
			`level=DEBUG msg="lease: conflict_retried" namespace=default key=k state=in_progress version=1 token=1 attempt=1 took=2s held=12s err="revision conflict"`},
		{"fail", func(t *testing.T, p *party) error {
			return change(p.m.Fail(ctx, "k", p.id, lease.Failure{Code: "timeout", Text: "secret", Retryable: true}))
		}, nil, []lease.Event{{Kind: lease.EventFailed, State: lease.StateFailed, Version: 2, Token: 1, Attempt: 1, ErrorCode: "timeout", Took: s, Held: 11 * s}},
			`level=INFO msg="lease: failed" namespace=default key=k state=failed version=2 token=1 attempt=1 error_code=timeout took=1s held=11s`},
		{"cancel", func(t *testing.T, p *party) error { return change(p.m.Cancel(ctx, "k", p.id, "why")) }, nil,
			[]lease.Event{{Kind: lease.EventFailed, State: lease.StateFailed, Version: 2, Token: 1, Attempt: 1, ErrorCode: "canceled:why", Took: s, Held: 11 * s}},
			`level=INFO msg="lease: failed" namespace=default key=k state=failed version=2 token=1 attempt=1 error_code=canceled:why took=1s held=11s`},
		{"a call of somebody who does not hold the lease", func(t *testing.T, p *party) error { return change(p.m.Extend(ctx, "k", "another", nil)) }, lease.ErrLost,
			[]lease.Event{{Kind: lease.EventLost, State: lease.StateInProgress, Version: 1, Token: 1, Attempt: 1, Took: s, Err: lease.ErrLost}},
			`level=WARN msg="lease: lost" namespace=default key=k state=in_progress version=1 token=1 attempt=1 took=1s err="lease lost: held under another lease id, version 1"`},
		{"a call for a lease that has finished", func(t *testing.T, p *party) error {
			return errors.Join(change(p.other.Complete(ctx, "k", p.id, lease.Completion{})), change(p.other.Extend(ctx, "k", p.id, nil)))
		}, lease.ErrFinished, nil, ""},
		{"status of an expired lease", func(t *testing.T, p *party) error {
			p.clock.Advance(time.Minute)
			return change(p.m.Status(ctx, "k"))
		}, nil, []lease.Event{{Kind: lease.EventExpiredSeen, State: lease.StateExpired, Version: 1, Token: 1, Attempt: 1, Held: 71 * s}},
			`level=INFO msg="lease: expired_seen" namespace=default key=k state=expired version=1 token=1 attempt=1 held=1m11s`},
		{"result of one that is in progress", func(t *testing.T, p *party) error { return change(p.m.Status(ctx, "k")) }, nil, nil, ""},
		{"acquire of a key that has expired, but not for clocks that differ", func(t *testing.T, p *party) error {
			p.clock.Advance(50 * s)
			_, _, err := p.m.Acquire(ctx, "k", nil)
			return err
		}, nil, []lease.Event{{Kind: lease.EventExpiredSeen, State: lease.StateExpired, Version: 1, Token: 1, Attempt: 1, Took: s, Held: 61 * s}},
			`level=INFO msg="lease: expired_seen" namespace=default key=k state=expired version=1 token=1 attempt=1 took=1s held=1m1s`},
		{"forget", func(t *testing.T, p *party) error { return p.m.Forget(ctx, "k") }, nil, nil, ""},
		{"complete, after another has extended it", func(t *testing.T, p *party) error {
			return errors.Join(change(p.other.Extend(ctx, "k", p.id, nil)), change(p.m.Complete(ctx, "k", p.id, lease.Completion{})))
		}, nil, []lease.Event{conflict, {Kind: lease.EventCompleted, State: lease.StateCompleted, Version: 3, Token: 1, Attempt: 1, Took: 3 * s, Held: 13 * s}},
			`level=DEBUG msg="lease: conflict_retried" namespace=default key=k state=in_progress version=1 token=1 attempt=1 took=2s held=12s err="revision conflict"
level=DEBUG msg="lease: completed" namespace=default key=k state=completed version=3 token=1 attempt=1 took=3s held=13s`},
		{"complete, of which the answer is lost", func(t *testing.T, p *party) error {
			p.bad.plan = []day{answerLost}
			return change(p.m.Complete(ctx, "k", p.id, lease.Completion{}))
		}, nil, []lease.Event{
			{Kind: lease.EventOutcomeSettled, State: lease.StateCompleted, Version: 2, Token: 1, Attempt: 1, Took: 3 * s, Held: 13 * s, Outcome: "applied", Err: errLostAnswer},
			{Kind: lease.EventCompleted, State: lease.StateCompleted, Version: 2, Token: 1, Attempt: 1, Took: 3 * s, Held: 13 * s},
		}, `level=WARN msg="lease: outcome_settled" namespace=default key=k state=completed version=2 token=1 attempt=1 outcome=applied took=3s held=13s err="connection reset"
level=DEBUG msg="lease: completed" namespace=default key=k state=completed version=2 token=1 attempt=1 took=3s held=13s`},
		{"complete, which is refused although it was applied", func(t *testing.T, p *party) error {
			p.bad.plan = []day{refusedThoughApplied}
			return change(p.m.Complete(ctx, "k", p.id, lease.Completion{}))
		}, nil, []lease.Event{
			{Kind: lease.EventOutcomeSettled, State: lease.StateCompleted, Version: 2, Token: 1, Attempt: 1, Took: 2 * s, Held: 12 * s, Outcome: "applied", Err: backend.ErrConflict},
			{Kind: lease.EventCompleted, State: lease.StateCompleted, Version: 2, Token: 1, Attempt: 1, Took: 2 * s, Held: 12 * s},
		}, `level=WARN msg="lease: outcome_settled" namespace=default key=k state=completed version=2 token=1 attempt=1 outcome=applied took=2s held=12s err="revision conflict"
level=DEBUG msg="lease: completed" namespace=default key=k state=completed version=2 token=1 attempt=1 took=2s held=12s`},
		{"complete, of which the request is lost", func(t *testing.T, p *party) error {
			p.bad.plan = []day{requestLost}
			return change(p.m.Complete(ctx, "k", p.id, lease.Completion{}))
		}, nil, []lease.Event{
			{Kind: lease.EventOutcomeSettled, State: lease.StateCompleted, Version: 2, Token: 1, Attempt: 1, Took: 2 * s, Held: 12 * s, Outcome: "applied", Err: errLostAnswer},
			{Kind: lease.EventCompleted, State: lease.StateCompleted, Version: 2, Token: 1, Attempt: 1, Took: 2 * s, Held: 12 * s},
		}, `level=WARN msg="lease: outcome_settled" namespace=default key=k state=completed version=2 token=1 attempt=1 outcome=applied took=2s held=12s err="connection reset"
level=DEBUG msg="lease: completed" namespace=default key=k state=completed version=2 token=1 attempt=1 took=2s held=12s`},
		{"complete, of which the request is lost while another extends", func(t *testing.T, p *party) error {
			p.bad.plan = []day{meanwhile(p)}
			return change(p.m.Complete(ctx, "k", p.id, lease.Completion{}))
		}, nil, []lease.Event{
			{Kind: lease.EventOutcomeSettled, State: lease.StateInProgress, Version: 1, Token: 1, Attempt: 1, Took: 3 * s, Held: 13 * s, Outcome: "not applied", Err: errLostAnswer},
			{Kind: lease.EventConflictRetried, State: lease.StateInProgress, Version: 1, Token: 1, Attempt: 1, Took: 3 * s, Held: 13 * s, Err: backend.ErrConflict},
			{Kind: lease.EventCompleted, State: lease.StateCompleted, Version: 3, Token: 1, Attempt: 1, Took: 4 * s, Held: 14 * s},
		}, `level=WARN msg="lease: outcome_settled" namespace=default key=k state=in_progress version=1 token=1 attempt=1 outcome="not applied" took=3s held=13s err="connection reset"
level=DEBUG msg="lease: conflict_retried" namespace=default key=k state=in_progress version=1 token=1 attempt=1 took=3s held=13s err="revision conflict"
level=DEBUG msg="lease: completed" namespace=default key=k state=completed version=3 token=1 attempt=1 took=4s held=14s`},
		{"complete, of which it is never known whether it was applied", func(t *testing.T, p *party) error {
			p.bad.always = requestLost
			return change(p.m.Complete(ctx, "k", p.id, lease.Completion{}))
		}, lease.ErrUnknownOutcome, []lease.Event{
			{Kind: lease.EventOutcomeSettled, State: lease.StateInProgress, Version: 1, Token: 1, Attempt: 1, Took: -1, Held: -1, Outcome: "unknown", Err: errLostAnswer},
		}, ""},
		{"acquire, of which the answer is lost and the lease taken over", func(t *testing.T, p *party) error {
			p.clock.Advance(time.Hour)
			p.bad.plan = []day{func(w write) (uint64, error) {
				_, err := answerLost(w)
				p.clock.Advance(time.Hour)
				if _, acquired, err := p.other.Acquire(ctx, "k", nil); err != nil || !acquired {
					t.Errorf("taking over: %t, %v", acquired, err)
				}
				return 0, err
			}}
			_, _, err := p.m.Acquire(ctx, "k", &lease.AcquireOptions{TTL: time.Minute})
			return err
		}, lease.ErrLost, []lease.Event{
			{Kind: lease.EventOutcomeSettled, State: lease.StateExpired, Version: 2, Attempt: 2, Took: time.Hour + 3*s, Held: time.Hour + 3*s, Outcome: "applied", Err: errLostAnswer},
			{Kind: lease.EventLost, Took: time.Hour + 3*s, Err: lease.ErrLost},
		}, `level=WARN msg="lease: outcome_settled" namespace=default key=k state=expired version=2 token=0 attempt=2 outcome=applied took=1h0m3s held=1h0m3s err="connection reset"
level=WARN msg="lease: lost" namespace=default key=k took=1h0m3s err="lease lost: taken over before the store's answer came, version 3"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j journal
				bad := newScriptedStore()
				m, clock := newManager(t, bad, lease.WithObserver(j.observe), lease.WithLogger(j.logger(slog.LevelDebug)), lease.WithClockSkew(10*s))
				other, err := lease.NewManager(bad.Store, lease.WithClock(clock))
				if err != nil {
					t.Fatal(err)
				}
				held := mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute, InputHash: "i1"})
				events, _ := j.told(t, m)
				mustHaveTimes(t, events, clock)
				if got, want := fmt.Sprintf("%+v", events), fmt.Sprintf("%+v", []lease.Event{{
					Kind: lease.EventAcquired, Namespace: "default", Key: "k", State: lease.StateInProgress, Version: 1, Token: 1, Attempt: 1,
				}}); got != want {
					t.Errorf("acquire told of %s, want %s", got, want)
				}
				clock.Advance(10 * s)
				j.reset()
				bad.before = func(context.Context) error { clock.Advance(time.Second); return nil }
				bad.get = func(ctx context.Context, key string) (backend.Entry, error) {
					clock.Advance(time.Second)
					return bad.Store.Get(ctx, key)
				}
				if err := tt.do(t, &party{m, other, clock, held.LeaseID, bad}); !errors.Is(err, tt.err) {
					t.Fatalf("error is %v, want %v", err, tt.err)
				}
				events, log := j.told(t, m)
				mustHaveTimes(t, events, clock)
				if len(events) != len(tt.want) {
					t.Fatalf("told of %+v, want %+v", events, tt.want)
				}
				for i, want := range tt.want {
					got := events[i]
					if !errors.Is(got.Err, want.Err) {
						t.Errorf("event %d has the error %v, want %v", i, got.Err, want.Err)
					}
					if want.Key == "" {
						want.Namespace, want.Key = "default", "k"
					}
					if want.Took < 0 {
						want.Took, want.Held = got.Took, got.Held
					}
					got.Err, want.Err = nil, nil
					if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
						t.Errorf("event %d is\n%s, want\n%s", i, g, w)
					}
				}
				if log := strings.TrimSpace(log); log != tt.log && tt.err != lease.ErrUnknownOutcome {
					t.Errorf("logged\n%s\nwant\n%s", log, tt.log)
				}
			})
		})
	}
}

// mustHaveTimes checks that each event has a time up to now, and removes it.
func mustHaveTimes(t *testing.T, events []lease.Event, clock *leasetest.Clock) {
	t.Helper()
	for i := range events {
		if at := events[i].At; at.IsZero() || at.After(clock.Now()) {
			t.Errorf("event %d, %s, has the time %v; it is %v", i, events[i].Kind, at, clock.Now())
		}
	}
	for i := range events {
		events[i].At = time.Time{}
	}
}

func TestEventsNameTheNamespace(t *testing.T) {
	var j journal
	m, _ := newManager(t, memory.New(), lease.WithObserver(j.observe), lease.WithLogger(j.logger(slog.LevelDebug)))
	in, err := m.InNamespace("name.space")
	if err != nil {
		t.Fatal(err)
	}
	mustAcquire(t, in, "a/b", nil)
	events, log := j.told(t, m)
	if len(events) != 1 || events[0].Namespace != "name.space" || events[0].Key != "a/b" {
		t.Errorf("told of %+v", events)
	}
	if want := `level=DEBUG msg="lease: acquired" namespace=name.space key=a/b state=in_progress version=1 token=1 attempt=1` + "\n"; log != want {
		t.Errorf("logged %q, want %q", log, want)
	}
}

func TestEventsOfLocks(t *testing.T) {
	var j journal
	m, clock := newManager(t, memory.New(), lease.WithObserver(j.observe))
	var first lease.Lock
	for i, nonce := range []string{"n", "n", "another"} { // the second repeats the first
		l, _, err := m.CheckLock(ctx, "k", &lease.LockOptions{Nonce: nonce, Metadata: []byte(`{"a":1}`)})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = l
		}
	}
	copy(first.Metadata, "changed") // which is the caller's own
	events, _ := j.told(t, m)
	mustHaveTimes(t, events, clock)
	if len(events) != 2 || events[0].Kind != lease.EventLocked || events[1].Kind != lease.EventDuplicate {
		t.Fatalf("told of %+v", events)
	}
	for _, e := range events {
		if e.Namespace != "default" || e.Key != "k" || string(e.Metadata) != `{"a":1}` || e.Claim {
			t.Errorf("told of %+v", e)
		}
	}
}
