package httpserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/runs"
)

// onEachStore runs test with each store. open returns it as one more process would have it.
func onEachStore(t *testing.T, test func(t *testing.T, open func() backend.Backend)) {
	t.Run("memory", func(t *testing.T) {
		store := memory.New()
		test(t, func() backend.Backend { return store })
	})
	t.Run("sqlite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "leases.db")
		test(t, func() backend.Backend {
			store, err := sqlite.Open(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { store.Close() })
			return store
		})
	})
}

// runner returns a Runner of another process, for the runs of alice. clock may be nil.
func runner(t *testing.T, store backend.Backend, clock lease.Clock) *runs.Runner {
	t.Helper()
	opts := []lease.Option{lease.WithNamespace("alice")}
	if clock != nil {
		opts = append(opts, lease.WithClock(clock))
	}
	m, err := lease.NewManager(store, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return runs.New(m)
}

// work has r work until stop, or the end of the test. Whatever r waits for, tick makes time pass.
func work(t *testing.T, r *runs.Runner, tick ...func()) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Work(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		for {
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("work: %v", err)
				}
				return
			case <-time.After(time.Millisecond):
				for _, f := range tick {
					f()
				}
			}
		}
	})
	t.Cleanup(stop)
	return stop
}

// until asks for the status of key until it has ended.
func (s *server) until(key string) reply {
	s.t.Helper()
	for {
		got := s.do(request(http.MethodGet, "/v1/ai/status?wait=60s&key="+key, ""))
		if got.code != 200 || got.body["status"] == "completed" || got.body["status"] == "failed" {
			return got
		}
		got.want(s.t, 200, object{"status": "in_progress"})
		if n, ok := got.body["retry_after_sec"].(float64); !ok || n < 1 || n != float64(int(n)) {
			s.t.Fatalf("retry_after_sec is %v", got.body["retry_after_sec"])
		}
	}
}

// TestARunIsDoneByAnotherProcess: it is started over HTTP, and its end shows in status and result.
func TestARunIsDoneByAnotherProcess(t *testing.T) {
	type order struct{ N int }
	onEachStore(t, func(t *testing.T, open func() backend.Backend) {
		s := setup{store: open(), ordinary: true}.start(t).overHTTP()
		r := runner(t, open(), nil)
		canceled := make(chan error, 1)
		began := make(chan struct{})
		runs.Task[order, order]{Name: "double"}.Handle(r, func(_ context.Context, in order) (order, error) { return order{2 * in.N}, nil })
		runs.Task[order, order]{Name: "default"}.Handle(r, func(context.Context, order) (order, error) {
			return order{}, lease.Permanent(fmt.Errorf("no such customer"))
		})
		runs.Task[order, order]{Name: "slow"}.Handle(r, func(ctx context.Context, _ order) (order, error) {
			close(began)
			<-ctx.Done()
			canceled <- context.Cause(ctx)
			return order{}, ctx.Err()
		})
		defer work(t, r)()

		ticket := s.mustRun("good", object{"metadata": object{"task": "double", "N": 21}})
		s.until("good").want(t, 200, object{"status": "completed", "lease_id": ticket, "retry_after_sec": nil})
		s.get("/v1/ai/result", "good").want(t, 200, object{"status": "completed", "result": object{"N": 42}})
		s.send("run", object{"key": "good", "metadata": object{"task": "double", "N": 4}}).want(t, 200, object{"status": "completed", "charged": 0})

		s.mustRun("bad", nil)
		s.until("bad").want(t, 200, object{"status": "failed", "error_code": "error"})
		s.get("/v1/ai/result", "bad").want(t, 200, object{"status": "failed", "result": nil, "error_code": "error"})

		ticket = s.mustRun("slow", object{"metadata": object{"task": "slow"}})
		<-began
		s.send("extend", object{"key": "slow", "lease_id": ticket, "ttl": 1}).want(t, 200, object{"status": "extended", "lease_id": ticket})
		s.get("/v1/ai/status", "slow").want(t, 200, object{"status": "in_progress", "lease_id": ticket})
		s.send("cancel", object{"key": "slow", "lease_id": ticket}).want(t, 200, object{"status": "failed", "error_code": "canceled"})
		if err := <-canceled; err == nil {
			t.Error("the worker's context has no cause")
		}
		s.get("/v1/ai/status", "slow").want(t, 200, object{"status": "failed", "error_code": "canceled"})
	})
}

// TestOfManyWhoAskOneStartsTheRun, and it is done once.
func TestOfManyWhoAskOneStartsTheRun(t *testing.T) {
	const many = 20
	onEachStore(t, func(t *testing.T, open func() backend.Backend) {
		s := setup{store: open(), ordinary: true}.start(t).overHTTP()
		r := runner(t, open(), nil)
		var mu sync.Mutex
		attempts := 0
		asked := make(chan struct{})
		runs.Task[json.RawMessage, int]{Name: "once"}.Handle(r, func(ctx context.Context, _ json.RawMessage) (int, error) {
			mu.Lock()
			attempts++
			mu.Unlock()
			select {
			case <-asked:
			case <-ctx.Done():
			}
			return 7, nil
		})
		defer work(t, r)()
		var all sync.WaitGroup
		counts, ids := make(map[string]int), make(map[any]int)
		for i := range many {
			all.Go(func() {
				got := s.send("run", object{"key": "k", "metadata": object{"task": "once", "i": i}})
				mu.Lock()
				defer mu.Unlock()
				counts[fmt.Sprintf("%d %v %v", got.code, got.body["status"], got.body["charged"])]++
				ids[got.body["lease_id"]]++
			})
		}
		all.Wait()
		close(asked)
		if counts["200 acquired 1"] != 1 || counts["200 polling 0"] != many-1 || len(ids) != 1 {
			t.Errorf("answered %v, with %d lease ids, want one that acquired and one id", counts, len(ids))
		}
		s.until("k").want(t, 200, object{"status": "completed"})
		if attempts != 1 {
			t.Errorf("%d attempts were made", attempts)
		}
	})
}

// TestATicketKeepsNoDeadWorkersRun: a client extends its ticket for ever. The worker's host is gone
// all the same, and another worker takes over once the claim has run out.
func TestATicketKeepsNoDeadWorkersRun(t *testing.T) {
	const claimTTL = 30 * time.Second
	onEachStore(t, func(t *testing.T, open func() backend.Backend) {
		s := setup{store: open()}.start(t).overHTTP()
		tick := func() { s.clock.Advance(time.Second) }
		task := runs.Task[json.RawMessage, string]{Name: "long", TTL: claimTTL}
		host := leasetest.NewStore(open())
		dies, lives := runner(t, host, s.clock), runner(t, open(), s.clock)
		began, tookOver, finish := make(chan struct{}), make(chan time.Time, 1), make(chan struct{})
		task.Handle(dies, func(ctx context.Context, _ json.RawMessage) (string, error) {
			close(began)
			<-ctx.Done()
			return "", ctx.Err()
		})
		task.Handle(lives, func(ctx context.Context, _ json.RawMessage) (string, error) {
			tookOver <- s.clock.Now()
			select {
			case <-finish:
			case <-ctx.Done():
			}
			return "done", nil
		})

		ticket := s.mustRun("k", object{"metadata": object{"task": "long"}})
		extend := func() reply { return s.send("extend", object{"key": "k", "lease_id": ticket, "ttl": 3600}) }
		waits := func() {
			extend().want(t, 200, object{"status": "extended", "lease_id": ticket})
			s.get("/v1/ai/status", "k").want(t, 200, object{"status": "in_progress", "lease_id": ticket})
		}
		work(t, dies, tick)
		<-began
		host.Cut()
		defer host.Heal()
		died := s.clock.Now()
		work(t, lives, tick)
		for at := (time.Time{}); at.IsZero(); {
			select {
			case at = <-tookOver:
				if d := at.Sub(died); d < claimTTL {
					t.Errorf("taken over after %v, within the TTL of the claim", d)
				}
			default:
				waits()
				if s.clock.Now().Sub(died) > 50*time.Minute { // an extension would have kept it for an hour
					t.Fatal("nobody took the run over")
				}
				tick()
				time.Sleep(time.Millisecond) // for the worker
			}
		}
		waits()
		close(finish)
		s.until("k").want(t, 200, object{"status": "completed", "lease_id": ticket})
		s.get("/v1/ai/result", "k").want(t, 200, object{"status": "completed", "result": "done"})
		extend().want(t, 409, object{"status": "already_finished"})
	})
}

// TestWhoPollsALeaseByHandKeepsItNot: a client that was told polling has no id to extend. The lease
// of the holder, who is dead, expires at its time, and then the client gets its run.
func TestWhoPollsALeaseByHandKeepsItNot(t *testing.T) {
	onEachStore(t, func(t *testing.T, open func() backend.Backend) {
		s := setup{store: open()}.start(t).overHTTP()
		r := runner(t, open(), s.clock)
		runs.Task[json.RawMessage, int]{Name: "default"}.Handle(r, func(context.Context, json.RawMessage) (int, error) { return 7, nil })
		work(t, r, func() { s.clock.Advance(time.Second) })
		s.mustAcquire("k", object{"ttl": 60})
		polls := 0
		for range 60 {
			got := s.send("run", object{"key": "k", "ttl": 3600})
			got.want(t, 200, object{"status": "polling", "lease_id": nil, "charged": 0})
			s.send("extend", object{"key": "k", "lease_id": got.body["lease_id"], "ttl": 3600}).want(t, 422, object{"status": "invalid_request"})
			s.get("/v1/ai/status", "k").want(t, 200, object{"status": "in_progress", "ttl_left": 60 - polls})
			polls++
			s.clock.Advance(time.Second)
		}
		s.get("/v1/ai/status", "k").want(t, 200, object{"status": "not_found"})
		s.mustRun("k", nil)
		s.until("k").want(t, 200, object{"status": "completed"})
		s.get("/v1/ai/result", "k").want(t, 200, object{"result": 7})
	})
}
