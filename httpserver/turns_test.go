package httpserver_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
)

// TestCallsToTheStoreAreBounded: what a call reads is in memory for a moment, and so only a number
// of them are under way. The others come as soon as it is their turn, or are refused in time. The
// holder of a lease waits for none of them.
func TestCallsToTheStoreAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const turns = 6 // of 512 KiB each
		store := script{Backend: memory.New()}
		opened := make(chan struct{})
		calls := 0
		var mu sync.Mutex
		store.get = func(ctx context.Context) (backend.Entry, error) {
			mu.Lock()
			calls++
			mu.Unlock()
			select {
			case <-opened:
				return backend.Entry{}, backend.ErrNotFound
			case <-ctx.Done():
				return backend.Entry{}, ctx.Err()
			}
		}
		s := setup{store: store, ordinary: true, handler: []httpserver.Option{httpserver.WithMaxHeldBytes(turns * 512 << 10)}}.start(t)
		id := s.mustAcquire("held", nil) // without a read
		var all sync.WaitGroup
		codes := make(map[int]int)
		ask := func(r *http.Request) {
			all.Go(func() {
				w := httptest.NewRecorder()
				s.handler.ServeHTTP(w, r)
				mu.Lock()
				defer mu.Unlock()
				codes[w.Code]++
			})
		}
		for range 2 * turns {
			ask(request(http.MethodGet, "/v1/ai/status?key=k", ""))
			ask(request(http.MethodGet, "/v1/ai/status?key=k&wait=60s", ""))
			ask(request(http.MethodGet, "/v1/ai/result?key=k", ""))
		}
		synctest.Wait()
		if calls != turns {
			t.Errorf("%d calls are under way, want %d", calls, turns)
		}
		began := time.Now()
		s.send("extend", object{"key": "held", "lease_id": id}).want(t, 200, object{"status": "extended"})
		if time.Since(began) != 0 {
			t.Errorf("the extension took %v", time.Since(began))
		}
		all.Wait()
		if took := time.Since(began); took != 4*time.Second || codes[503] != 6*turns {
			t.Errorf("after %v: %v, want %d of 503", took, codes, 6*turns)
		}

		calls, codes = 0, make(map[int]int)
		for range 6 * turns {
			ask(request(http.MethodGet, "/v1/ai/status?key=k", ""))
		}
		synctest.Wait()
		if calls != turns {
			t.Errorf("%d calls are under way, want %d", calls, turns)
		}
		close(opened)
		all.Wait()
		if codes[200] != 6*turns {
			t.Errorf("%v, want %d of 200", codes, 6*turns)
		}
	})
}

// TestAStatusThatIsHeldTakesNoTurn: many may be held, and the store is called all the same.
func TestAStatusThatIsHeldTakesNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup{ordinary: true, handler: []httpserver.Option{httpserver.WithMaxHeldBytes(3 << 20)}}.start(t)
		id := s.mustAcquire("k", object{"ttl": 600})
		var all sync.WaitGroup
		const many = 100
		held := 0
		var mu sync.Mutex
		for range many {
			all.Go(func() {
				began := time.Now()
				s.status("k", "30s").want(t, 200, object{"status": "completed"})
				mu.Lock()
				defer mu.Unlock()
				if time.Since(began) == 7*time.Second {
					held++
				}
			})
		}
		time.Sleep(7 * time.Second)
		s.get("/v1/ai/status", "k").want(t, 200, object{"status": "in_progress"})
		s.send("complete", object{"key": "k", "lease_id": id}).want(t, 200, nil)
		all.Wait()
		if held != many {
			t.Errorf("%d of %d were held until the end", held, many)
		}
	})
}
