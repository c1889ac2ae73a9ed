package runs_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/timeline"
)

// inStory runs test with a Manager in memory and timelines, where waiting takes no time. The
// timelines reach the store by faulty, and nothing else does.
func inStory(t *testing.T, test func(t *testing.T, m *lease.Manager, tl *timeline.Store, faulty *leasetest.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer store.Close()
		faulty := leasetest.NewStore(store)
		m, err := lease.NewManager(store)
		if err != nil {
			t.Fatal(err)
		}
		tl, err := timeline.New(faulty)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { // nothing stays behind, also with the journal away
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = tl.Close(ctx)
		}()
		test(t, m, tl, faulty)
	})
}

// told is the timeline of a run id, one entry a word.
func told(t *testing.T, r *runs.Runner, runID string) string {
	t.Helper()
	entries, total, err := r.Timeline(t.Context(), runID, 0, 100)
	if err != nil || total != len(entries) {
		t.Fatalf("%d entries of %d, error %v", len(entries), total, err)
	}
	var words []string
	for _, e := range entries {
		word := e.Type
		switch {
		case e.ErrorCode != "":
			word += "/" + e.ErrorCode
		case e.Type == "run_finished":
			word += "/" + e.Status
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestTheTimelineOfARun(t *testing.T) {
	inStory(t, func(t *testing.T, m *lease.Manager, tl *timeline.Store, _ *leasetest.Store) {
		r := runs.New(m, runs.WithTimeline(tl))
		calls := 0
		double.Handle(r, func(ctx context.Context, in request) (result, error) {
			runs.Note(ctx, timeline.Entry{Type: "tool_call", Status: "start"})
			if calls++; calls == 1 {
				return result{}, errors.New("once")
			}
			return twice(ctx, in)
		})
		defer work(t, r)()
		asked := time.Now()
		mustStart(t, double, r, "k", request{21}, &runs.StartOptions{Delay: time.Second, Metadata: json.RawMessage(`{"run_id":"r","agent_id":"a"}`)})
		if _, err := double.Wait(t.Context(), r, "k"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // else the reader may append the end before the worker notes its attempt's
		want := "run_started attempt_started tool_call attempt_failed/error attempt_started tool_call attempt_completed run_finished/completed"
		if got := told(t, r, "r"); got != want {
			t.Errorf("told\n%s, want\n%s", got, want)
		}
		entries, _, _ := r.Timeline(t.Context(), "r", 0, 100)
		for _, e := range entries {
			if e.Key != "k" || e.AgentID != "a" || e.Namespace != "default" || e.Time.Before(asked) {
				t.Errorf("%+v", e)
			}
		}
		if e := entries[4]; e.Attempt != entries[1].Attempt+1 || e.Token <= entries[1].Token {
			t.Errorf("the second attempt: %+v", e)
		}
	})
}

// Each way in which a run ends gives it one start and one end.
func TestEachRunHasOneStartAndOneEnd(t *testing.T) {
	type world struct {
		m     *lease.Manager
		r     *runs.Runner
		begin chan struct{} // the handler has begun
		first lease.Lease
	}
	does := func(context.Context, int) error { return nil }
	fails := func(context.Context, int) error { return errors.New("no") }
	hangs := func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }
	for _, tt := range []struct {
		name string
		do   func(ctx context.Context, call int) error
		opts runs.StartOptions
		then func(t *testing.T, w *world)
		want string // of the runs, what each ends with, in the order of the alphabet
	}{
		{name: "completed", do: does, want: "completed"},
		{name: "failed for good", do: func(context.Context, int) error { return lease.Permanent(errors.New("no")) }, want: "failed/error"},
		{name: "attempts exhausted", do: fails, want: "failed/attempts_exhausted"},
		{name: "panic", do: func(context.Context, int) error { panic("no") }, want: "failed/attempts_exhausted"},
		{name: "deadline passed while it waits", do: fails, opts: runs.StartOptions{Delay: 48 * time.Hour}, want: "failed/deadline_exceeded"},
		{name: "canceled while it waits", do: fails, opts: runs.StartOptions{Delay: time.Hour}, then: func(t *testing.T, w *world) {
			if _, err := w.m.Cancel(t.Context(), "k", w.first.LeaseID, "why"); err != nil {
				t.Error(err)
			}
		}, want: "failed/canceled:why"},
		{name: "canceled while it runs", do: hangs, then: func(t *testing.T, w *world) {
			<-w.begin
			if err := w.r.Cancel(t.Context(), "k", "why"); err != nil {
				t.Error(err)
			}
		}, want: "failed/canceled:why"},
		{name: "replaced while it waits", do: does, opts: runs.StartOptions{Delay: time.Hour}, then: func(t *testing.T, w *world) {
			mustStart(t, double, w.r, "k", request{2}, &runs.StartOptions{Replace: true})
		}, want: "completed failed/replaced"},
		{name: "replaced while it runs", do: func(ctx context.Context, call int) error {
			if call == 1 {
				return hangs(ctx, call)
			}
			return nil
		}, then: func(t *testing.T, w *world) {
			<-w.begin
			mustStart(t, double, w.r, "k", request{2}, &runs.StartOptions{Replace: true})
		}, want: "completed failed/replaced"},
		{name: "started anew", do: func(ctx context.Context, call int) error {
			if call == 1 {
				return lease.Permanent(errors.New("no"))
			}
			return nil
		}, then: func(t *testing.T, w *world) {
			if _, err := double.Wait(t.Context(), w.r, "k"); !errors.Is(err, lease.ErrFailed) {
				t.Error(err)
			}
			mustStart(t, double, w.r, "k", request{1}, &runs.StartOptions{RetryFailed: true})
		}, want: "completed failed/error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inStory(t, func(t *testing.T, m *lease.Manager, tl *timeline.Store, _ *leasetest.Store) {
				w := &world{m: m, r: runs.New(m, runs.WithTimeline(tl)), begin: make(chan struct{}, 10)}
				calls := 0
				double.Handle(w.r, func(ctx context.Context, in request) (result, error) {
					calls++
					w.begin <- struct{}{}
					return result{}, tt.do(ctx, calls)
				})
				stop := work(t, w.r)
				defer stop()
				w.first = mustStart(t, double, w.r, "k", request{1}, &tt.opts)
				if tt.then != nil {
					tt.then(t, w)
				}
				_, _ = double.Wait(t.Context(), w.r, "k")
				synctest.Wait()
				time.Sleep(2 * time.Hour) // all markers are due, and cleared
				stop()
				// Without the runs: what was appended, and not what a reader appends.
				entries, _, err := tl.Read(t.Context(), "default", "k", 0, 100)
				if err != nil {
					t.Fatal(err)
				}
				var starts int
				var ends []string
				ids := map[string]bool{}
				for _, e := range entries {
					if e.ID != "" && ids[e.ID] {
						t.Errorf("%s is there twice", e.ID)
					}
					ids[e.ID] = true
					switch e.Type {
					case "run_started":
						starts++
					case "run_finished":
						ends = append(ends, strings.TrimSuffix(e.Status+"/"+e.ErrorCode, "/"))
					}
				}
				slices.Sort(ends) // those of two runs of one key may overtake each other
				if got := strings.Join(ends, " "); got != tt.want || starts != len(ends) {
					t.Errorf("%d starts, and the ends %q, want %q:\n%s", starts, got, tt.want, told(t, w.r, "k"))
				}
			})
		})
	}
}

// With the journal away runs go on. Their ends are appended when it is back, and by whoever reads
// first.
func TestRunsGoOnWithoutTheirJournal(t *testing.T) {
	for _, who := range []string{"a worker", "a reader"} {
		t.Run(who, func(t *testing.T) {
			inStory(t, func(t *testing.T, m *lease.Manager, tl *timeline.Store, faulty *leasetest.Store) {
				faulty.Cut()
				r := runs.New(m, runs.WithTimeline(tl))
				double.Handle(r, twice)
				stop := work(t, r)
				defer stop()
				mustStart(t, double, r, "k", request{21}, nil)
				if got, err := double.Wait(t.Context(), r, "k"); err != nil || got.Double != 42 {
					t.Errorf("%+v, error %v", got, err)
				}
				synctest.Wait()
				if who == "a reader" {
					stop()
				}
				faulty.Heal()
				time.Sleep(time.Minute)
				var entries []timeline.Entry
				var err error
				if who == "a reader" {
					entries, _, err = r.Timeline(t.Context(), "k", 0, 100)
				} else {
					entries, _, err = tl.Read(t.Context(), "default", "k", 0, 100)
				}
				types := func(kind string) int {
					return len(slices.DeleteFunc(slices.Clone(entries), func(e timeline.Entry) bool { return e.Type != kind }))
				}
				if err != nil || types("run_started") != 1 || types("run_finished") != 1 {
					t.Errorf("%v, error %v", entries, err)
				}
			})
		})
	}
}
