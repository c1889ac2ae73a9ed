package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
)

// awayStore fails with *away while that is an error.
type awayStore struct {
	backend.Backend
	away *error
}

func (s awayStore) Get(ctx context.Context, key string) (backend.Entry, error) {
	if *s.away != nil {
		return backend.Entry{}, *s.away
	}
	return s.Backend.Get(ctx, key)
}

func (s awayStore) CompareAndSet(ctx context.Context, key string, revision uint64, value []byte, keep time.Duration) (uint64, error) {
	if *s.away != nil {
		return 0, *s.away
	}
	return s.Backend.CompareAndSet(ctx, key, revision, value, keep)
}

// TestAnOutageIsOneLine when it begins and one when it ends, whatever comes and goes in between.
func TestAnOutageIsOneLine(t *testing.T) {
	unreachable := errors.Join(backend.ErrUnavailable, errors.New("no route to host"))
	const requests = 26_000
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var away error
		s := setup{store: awayStore{memory.New(), &away}, ordinary: true, handler: []httpserver.Option{httpserver.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))}}.start(t)
		lines := func(want int, says ...string) {
			t.Helper()
			if n := strings.Count(log.String(), "\n"); n != want {
				t.Fatalf("%d lines, want %d:\n%.2000s", n, want, log.String())
			}
			for _, text := range says {
				if !strings.Contains(log.String(), text) {
					t.Errorf("no %q in\n%s", text, log.String())
				}
			}
			log.Reset()
		}
		s.get("/v1/ai/status", "k").want(t, 200, nil)
		lines(0)
		away = unreachable
		for range requests {
			if got := s.get("/v1/ai/status", "k"); got.code != 503 {
				t.Fatalf("answered %d", got.code)
			}
			time.Sleep(3 * time.Second / requests)
		}
		lines(1, "level=WARN", "the store does not answer as it should", "request_id=req_", "no route to host")

		for range 100 { // it comes and goes
			away = nil
			s.get("/v1/ai/status", "k").want(t, 200, nil)
			time.Sleep(time.Second)
			away = unreachable
			s.get("/v1/ai/status", "k").want(t, 503, nil)
		}
		lines(0)

		away = nil
		time.Sleep(5 * time.Second)
		for range 3 {
			s.get("/v1/ai/status", "k").want(t, 200, nil)
		}
		lines(1, "level=INFO", "the store answers again", fmt.Sprintf("failed_requests=%d", requests+100), "lasted=1m4")

		away = unreachable
		s.get("/v1/ai/status", "k").want(t, 503, nil)
		lines(1, "the store does not answer as it should")

		away = nil // and is never asked while it is well
		time.Sleep(time.Second)
		s.get("/v1/ai/status", "k").want(t, 200, nil)
		time.Sleep(time.Hour)
		lines(0)
		away = unreachable
		s.get("/v1/ai/status", "k").want(t, 503, nil)
		lines(2, "the store answers again", "failed_requests=1 ", "level=WARN")
	})
}

// TestEachTroubleIsToldApart: an unreadable record does not hide that the store goes away.
func TestEachTroubleIsToldApart(t *testing.T) {
	store := memory.New()
	if _, err := store.CompareAndSet(t.Context(), "alice/bad", 0, []byte(`{"format":99}`), 0); err != nil {
		t.Fatal(err)
	}
	var away error
	var log bytes.Buffer
	s := setup{store: awayStore{store, &away}, handler: []httpserver.Option{httpserver.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))}}.start(t)
	for range 10 {
		away = nil
		s.get("/v1/ai/status", "bad").want(t, 500, object{"status": "unreadable_record"})
		away = backend.ErrUnavailable
		s.get("/v1/ai/status", "k").want(t, 503, nil)
	}
	if text := log.String(); strings.Count(text, "\n") != 2 || strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "level=WARN") != 1 {
		t.Errorf("logged\n%s", text)
	}
}
