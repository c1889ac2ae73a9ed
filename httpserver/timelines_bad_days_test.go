package httpserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/timeline"
)

// slowJournal is a store whose journal is read once it is opened.
type slowJournal struct {
	*memory.Store
	opened chan struct{}
	began  chan struct{}
}

func (s *slowJournal) wait(ctx context.Context) error {
	s.began <- struct{}{}
	select {
	case <-s.opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slowJournal) ReadStream(ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.Store.ReadStream(ctx, stream, after, limit)
}

func (s *slowJournal) ReadNewest(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.Store.ReadNewest(ctx, prefix, before, limit)
}

// tells asks without a network, and checks the code.
func (s *server) tells(r *http.Request, code int) *httptest.ResponseRecorder {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code != code {
		s.t.Errorf("%s %s: answered %d, want %d: %s", r.Method, r.URL, w.Code, code, w.Body)
	}
	return w
}

// TestWithTheJournalAway: the answer is 503 in time, and all is well afterwards. Leases go on.
func TestWithTheJournalAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		cut := leasetest.NewStore(store)
		story, err := timeline.New(cut)
		if err != nil {
			t.Fatal(err)
		}
		s := setup{store: store, ordinary: true, handler: []httpserver.Option{httpserver.WithTimeline(story)}}.start(t)
		event := `{"run_id":"r","type":"note"}`
		cut.Cut()
		for _, r := range []*http.Request{
			request("GET", "/v1/events", ""), request("GET", "/v1/runs", ""), request("GET", "/v1/runs/r", ""), request("POST", "/v1/events", event), request("POST", "/v1/events", event),
		} {
			began := time.Now()
			w := s.tells(r, 503)
			if after := w.Header().Get("Retry-After"); after != "1" {
				t.Errorf("Retry-After is %q", after)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s %s took %v", r.Method, r.URL, took)
			}
		}
		var all sync.WaitGroup
		for range 200 { // more than there are calls to the store at a time
			all.Go(func() { s.tells(request("POST", "/v1/events", event), 503) })
		}
		synctest.Wait()
		began := time.Now()
		s.mustAcquire("k", nil)
		if took := time.Since(began); took > 0 {
			t.Errorf("a lease took %v", took)
		}
		all.Wait()
		cut.Heal()
		s.tells(request("POST", "/v1/events", event), 200)
		if w := s.tells(request("GET", "/v1/runs/r", ""), 200); !strings.Contains(w.Body.String(), `"type":"note"`) {
			t.Errorf("read %s", w.Body)
		}
		if err := story.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.tells(request("POST", "/v1/events", event), 503)
	})
}

// TestAnswersOfTimelinesAreBounded: a page of long entries ends early, also for its bytes in the
// answer, and the next one goes on there.
func TestAnswersOfTimelinesAreBounded(t *testing.T) {
	const bytes = 60 << 10
	for held, most := range map[int64]int{64 << 20: 4 << 20, 3200 << 10: 800 << 10} {
		n := most/bytes + 5
		s := startStory(t, memory.New(), httpserver.WithMaxHeldBytes(held))
		var all []timeline.Entry
		for i := range n {
			all = append(all, timeline.Entry{Namespace: "alice", RunID: "r", Type: fmt.Sprint(i), Fields: []byte(`{"x":"` + strings.Repeat("x", bytes) + `"}`)})
		}
		if err := s.story.Append(t.Context(), all...); err != nil {
			t.Fatal(err)
		}
		for _, list := range []struct{ path, name string }{{"/v1/runs/r?limit=2000", "events"}, {"/v1/events?limit=500", ""}} {
			var got []string
			for pages := 0; len(got) < n; pages++ {
				a := s.ask(apiKey, "GET", fmt.Sprintf("%s&offset=%d", list.path, len(got)), "")
				page := of("type", a.list(list.name))
				if len(page) == 0 || len(a.text) > most+2*bytes || pages == 0 && len(a.text) < most/2 {
					t.Fatalf("%s: page %d has %d entries, %d bytes", a.what, pages, len(page), len(a.text))
				}
				got = append(got, page...)
			}
			if list.name == "" {
				slices.Reverse(got)
			}
			for i, number := range got {
				if number != fmt.Sprint(i) {
					t.Fatalf("%s: %q", list.path, got)
				}
			}
		}
	}
}

// TestATimelineTellsTheEndOfItsRun, also if its worker could not.
func TestATimelineTellsTheEndOfItsRun(t *testing.T) {
	b := memory.New()
	story, err := timeline.New(b)
	if err != nil {
		t.Fatal(err)
	}
	s := setup{store: b, ordinary: true, handler: []httpserver.Option{httpserver.WithTimeline(story)}}.start(t)
	r := runs.New(s.manager) // without timelines
	task := runs.Task[int, int]{Name: "double"}
	task.Handle(r, func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Work(ctx) }()
	defer func() { cancel(); <-ended }()
	if _, _, err := task.Start(t.Context(), r, "k", 21, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := task.Wait(t.Context(), r, "k"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		text := s.tells(request("GET", "/v1/runs/k", ""), 200).Body.String()
		if strings.Count(text, `"type":"run_started","ts"`) != 1 || strings.Count(text, `"type":"run_finished","ts"`) != 1 || !strings.Contains(text, `"status":"completed"`) || !strings.Contains(text, `"task":"double"`) {
			t.Errorf("told %s", text)
		}
	}
}

// TestWhatIsInAJournalIsShown: entries whose fields have the names of ours, entries that cannot be
// read, and those of a run whose record cannot be read.
func TestWhatIsInAJournalIsShown(t *testing.T) {
	b := memory.New()
	s := startStory(t, b)
	if err := s.story.Append(t.Context(), timeline.Entry{Namespace: "alice", RunID: "r", Type: "note", Key: "damaged", Attempt: 2, Token: 5, Time: t0,
		Fields: []byte(`{"type":"x","key":"x","event":"x","attempt":7,"\u0074oken":7,"error_code":"x","step":"s","step":"x"}`)}); err != nil {
		t.Fatal(err)
	}
	if err := b.Append(t.Context(), []backend.JournalEntry{{Stream: "alice/r", Data: []byte("junk"), Keep: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CompareAndSet(t.Context(), "alice/damaged", 0, []byte("junk"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := s.manager.Status(t.Context(), "damaged"); !errors.Is(err, lease.ErrUnreadable) {
		t.Fatalf("error %v", err)
	}
	events := s.ask(apiKey, "GET", "/v1/runs/r", "").list("events")
	for _, e := range events {
		delete(e, "event_id")
	}
	want := []object{
		entry(object{"type": "note", "ts": t0.Unix(), "run_id": "r", "key": "damaged", "attempt": 2, "token": 5, "error_code": "x", "step": "s"}),
		entry(object{"type": "unreadable", "ts": nil, "run_id": "r"}),
	}
	if !equalJSON(t, events, want) {
		t.Errorf("shown\n%s, want\n%s", toJSON(t, events), toJSON(t, want))
	}
}
