package lease_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// What a function finds in its context, in every situation.

// situations are contexts in which a function may look for its lease.
type situation struct {
	name  string
	token error // of Token("k"); nil: it is held
	save  error // of Save; nil: it is stored
	load  error // of Load
}

// in calls look in each situation: with the context of it, the Manager, and what is expected.
func inEachSituation(t *testing.T, look func(t *testing.T, ctx context.Context, m *lease.Manager, want situation)) {
	visit := func(want situation, enter func(t *testing.T, store *memory.Store, m *lease.Manager, look func(ctx context.Context))) {
		bubble(t, want.name, func(t *testing.T, store *memory.Store) {
			m, looked := host(t, store), 0
			enter(t, store, m, func(ctx context.Context) {
				looked++
				look(t, ctx, m, want)
			})
			if looked != 1 {
				t.Errorf("looked %d times", looked)
			}
		})
	}
	type entering = func(t *testing.T, store *memory.Store, m *lease.Manager, look func(ctx context.Context))
	inside := func(opts *lease.DoOptions, f func(ctx context.Context, cancel func(), look func(ctx context.Context))) entering {
		return func(t *testing.T, store *memory.Store, m *lease.Manager, look func(ctx context.Context)) {
			caller, cancel := context.WithCancel(t.Context())
			defer cancel()
			_ = mustExec(t, caller, m, "k", opts, func(ctx context.Context) error {
				f(ctx, cancel, look)
				return nil
			})
		}
	}
	visit(situation{"outside of any lease", lease.ErrNoLease, lease.ErrNoLease, lease.ErrNoLease},
		func(t *testing.T, _ *memory.Store, _ *lease.Manager, look func(context.Context)) { look(t.Context()) })
	visit(situation{"under the lease", nil, nil, nil},
		inside(nil, func(ctx context.Context, _ func(), look func(context.Context)) { look(ctx) }))
	visit(situation{"under the lease, with a context derived from that", nil, nil, nil},
		inside(nil, func(ctx context.Context, _ func(), look func(context.Context)) {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			look(ctx)
		}))
	visit(situation{"under the lease, with a derived context that has ended", nil, context.DeadlineExceeded, nil},
		inside(nil, func(ctx context.Context, _ func(), look func(context.Context)) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			<-ctx.Done()
			look(ctx)
		}))
	visit(situation{"after the caller has gone", nil, nil, nil},
		inside(nil, func(ctx context.Context, cancel func(), look func(context.Context)) { cancel(); look(ctx) }))
	visit(situation{"after the caller has gone, with a context derived from that", nil, nil, nil},
		inside(nil, func(ctx context.Context, cancel func(), look func(context.Context)) {
			derived, end := context.WithTimeout(ctx, time.Minute)
			defer end()
			cancel()
			look(derived)
		}))
	visit(situation{"after the caller has gone, which Finish does not heed", nil, nil, nil},
		inside(&lease.DoOptions{Finish: true}, func(ctx context.Context, cancel func(), look func(context.Context)) { cancel(); look(ctx) }))
	visit(situation{"after the lease was lost", lease.ErrLost, lease.ErrLost, nil},
		func(t *testing.T, store *memory.Store, m *lease.Manager, look func(context.Context)) {
			err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error {
				time.Sleep(time.Second)
				leasetest.TakeOver(t, host(t, store), "k")
				<-ctx.Done()
				look(ctx)
				return ctx.Err()
			})
			mustNotFail(t, err, lease.ErrLost)
		})
	visit(situation{"after the function has returned", lease.ErrFinished, lease.ErrFinished, nil},
		func(t *testing.T, _ *memory.Store, m *lease.Manager, look func(context.Context)) {
			var kept context.Context
			if err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error { kept = context.WithoutCancel(ctx); return nil }); err != nil {
				t.Error(err)
			}
			look(kept)
		})
	visit(situation{"under the lease of another key, inside", nil, nil, nil},
		inside(nil, func(ctx context.Context, _ func(), look func(context.Context)) {
			m, err := lease.NewManager(memory.New())
			if err != nil {
				t.Fatal(err)
			}
			if err := lease.Exec(ctx, m, "another", nil, func(ctx context.Context) error { look(ctx); return nil }); err != nil {
				t.Error(err)
			}
		}))
	visit(situation{"in a test without a Manager", nil, nil, nil},
		func(t *testing.T, _ *memory.Store, _ *lease.Manager, look func(context.Context)) {
			look(leasetest.Context(t, lease.Lease{Key: "k"}))
		})
}

// mustHaveError fails the test unless err is an *Error of that operation, for that reason; nil for
// none.
func mustHaveError(t testing.TB, op string, err, want error) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Errorf("%s: %v", op, err)
		}
		return
	}
	if e, ok := errors.AsType[*lease.Error](err); !ok || e.Op != op || !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", op, err, want)
	}
}

func TestTokenInEachSituation(t *testing.T) {
	inEachSituation(t, func(t *testing.T, ctx context.Context, m *lease.Manager, want situation) {
		token, err := lease.Token(ctx, "k")
		mustHaveError(t, "token", err, want.token)
		if (token == 0) == (want.token == nil) || err != nil && !errors.Is(err, lease.ErrNoLease) {
			t.Errorf("token %d, %v", token, err)
		}
		token, err = lease.Token(ctx, "nobody's")
		mustHaveError(t, "token", err, lease.ErrNoLease)
		if token != 0 || errors.Is(err, lease.ErrLost) {
			t.Errorf("token %d, %v", token, err)
		}
	})
}

func TestSaveAndLoadInEachSituation(t *testing.T) {
	inEachSituation(t, func(t *testing.T, ctx context.Context, m *lease.Manager, want situation) {
		var got string
		ok, err := lease.Load(ctx, &got)
		mustHaveError(t, "load", err, want.load)
		if ok || got != "" {
			t.Errorf("it finds %q before anything was saved", got)
		}
		mustHaveError(t, "save", lease.Save(ctx, "half done"), want.save)
		ok, err = lease.Load(ctx, &got)
		mustHaveError(t, "load", err, want.load)
		if saved := want.save == nil; ok != saved || saved != (got == "half done") {
			t.Errorf("it finds %q, %t after Save", got, ok)
		}
	})
}

func TestFromContextAndProgressInEachSituation(t *testing.T) {
	inEachSituation(t, func(t *testing.T, ctx context.Context, m *lease.Manager, want situation) {
		outside := want.load != nil
		l, ok := lease.FromContext(ctx)
		if ok == outside || ok && (l.Key == "" || l.LeaseID == "" || l.Token == 0 || l.Attempt != 1 || l.Version == 0) {
			t.Errorf("it finds %t, %+v", ok, l)
		}
		lease.Progress(ctx, "half done")
		after, _ := lease.FromContext(ctx)
		if shown := string(after.Progress) == `"half done"`; shown != (want.token == nil) {
			t.Errorf("the note is %s", after.Progress)
		}
		clear(after.Progress) // it is a copy
		if l, _ := lease.FromContext(ctx); want.token == nil && string(l.Progress) != `"half done"` {
			t.Errorf("the note has become %q", l.Progress)
		}
	})
}

// TestNestedLeases: Token looks for its key from the innermost outwards, all else is the
// innermost's.
func TestNestedLeases(t *testing.T) {
	m := host(t, memory.New())
	mustTake(t, m, "warm up", nil)
	err := mustExec(t, t.Context(), m, "outer", nil, func(outer context.Context) error {
		return mustExec(t, outer, m, "middle", nil, func(middle context.Context) error {
			return mustExec(t, middle, m, "inner", nil, func(inner context.Context) error {
				for key, ctx := range map[string]context.Context{"outer": outer, "middle": middle, "inner": inner} {
					own, ok := lease.FromContext(ctx)
					if !ok || own.Key != key || own.Token != status(t, m, key).Token {
						t.Errorf("the lease of %q is %+v", key, own)
					}
					if token, err := lease.Token(inner, key); err != nil || token != own.Token {
						t.Errorf("from the innermost the token of %q is %d, %v", key, token, err)
					}
					if err := lease.Save(ctx, "of "+key); err != nil {
						t.Error(err)
					}
				}
				if _, err := lease.Token(outer, "inner"); !errors.Is(err, lease.ErrNoLease) {
					t.Errorf("from the outermost the token of the innermost: %v", err)
				}
				for key, ctx := range map[string]context.Context{"outer": outer, "middle": middle, "inner": inner} {
					var saved string
					if ok, err := lease.Load(ctx, &saved); !ok || err != nil || saved != "of "+key {
						t.Errorf("under %q it finds %q, %t, %v", key, saved, ok, err)
					}
				}
				return nil
			})
		})
	})
	if err != nil {
		t.Error(err)
	}
}
