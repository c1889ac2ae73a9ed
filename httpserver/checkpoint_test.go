package httpserver_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
)

// TestTheNextHolderGetsTheCheckpoint, however the lease of the last one stopped.
func TestTheNextHolderGetsTheCheckpoint(t *testing.T) {
	for _, tt := range []struct {
		name string
		stop func(s *server, id string)
		next object
		want any
	}{
		{"expired", func(s *server, _ string) { s.clock.Advance(time.Minute) }, nil, object{"sent": 40}},
		{"released", func(s *server, id string) { s.send("release", object{"key": "k", "lease_id": id}) }, nil, object{"sent": 40}},
		{"failed, retryable", func(s *server, id string) {
			s.send("fail", object{"key": "k", "lease_id": id, "error_code": "e", "retryable": true})
		}, nil, object{"sent": 40}},
		{"failed for good", func(s *server, id string) {
			s.send("fail", object{"key": "k", "lease_id": id, "error_code": "e"})
		}, object{"retry_failed": true}, object{"sent": 40}},
		{"canceled, retryable", func(s *server, id string) {
			s.send("cancel", object{"key": "k", "lease_id": id, "retryable": true})
		}, nil, object{"sent": 40}},
		{"replaced by other input", func(*server, string) {}, object{"input_hash": "b", "replace": true}, absent},
		{"completed", func(s *server, id string) {
			s.send("complete", object{"key": "k", "lease_id": id})
		}, object{"input_hash": "b", "replace": true}, absent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			id := s.mustAcquire("k", object{"input_hash": "a"})
			s.send("extend", object{"key": "k", "lease_id": id, "checkpoint": object{"sent": 20}}).want(t, 200, nil)
			s.send("extend", object{"key": "k", "lease_id": id, "checkpoint": object{"sent": 40}}).want(t, 200, object{"status": "extended", "version": 3, "checkpoint": absent})
			s.send("extend", object{"key": "k", "lease_id": id, "checkpoint": nil}).want(t, 200, nil) // null leaves it
			s.send("lease", object{"key": "k"}).want(t, 200, object{"status": "polling", "checkpoint": absent})
			for _, path := range []string{"/v1/ai/status", "/v1/ai/result"} {
				s.get(path, "k").want(t, 200, object{"status": "in_progress", "checkpoint": absent})
			}
			tt.stop(s, id)
			ask := object{"key": "k"}
			for name, v := range tt.next {
				ask[name] = v
			}
			s.send("lease", ask).want(t, 200, object{"status": "acquired", "attempt": 2, "checkpoint": tt.want})
		})
	}
}

func TestAFirstHolderGetsNoCheckpoint(t *testing.T) {
	newServer(t).send("lease", object{"key": "k"}).want(t, 200, object{"status": "acquired", "checkpoint": absent})
}

// TestALateCheckpointChangesNothing: requests may overtake each other on their way.
func TestALateCheckpointChangesNothing(t *testing.T) {
	s := newServer(t)
	id := s.mustAcquire("k", nil)
	for _, step := range []struct {
		name       string
		seq        any
		checkpoint string
		version    int // after it
	}{
		{"the first", 1, "one", 2},
		{"a later one", 3, "three", 3},
		{"one that was overtaken", 2, "two", 3},
		{"the same again", 3, "three", 3},
		{"one with a large number", json.Number("18446744073709551615"), "last", 4},
		{"one that was overtaken by that", json.Number("18446744073709551614"), "late", 4},
	} {
		got := s.send("extend", object{"key": "k", "lease_id": id, "checkpoint": step.checkpoint, "checkpoint_seq": step.seq})
		got.want(t, 200, object{"ok": true, "status": "extended", "version": step.version, "ttl": 60})
		if t.Failed() {
			t.Fatal(step.name)
		}
	}
	s.send("release", object{"key": "k", "lease_id": id}).want(t, 200, nil)
	s.send("lease", object{"key": "k"}).want(t, 200, object{"status": "acquired", "checkpoint": "last"})
}

func TestACheckpointIsAnyJSON(t *testing.T) {
	for _, checkpoint := range []string{
		`0`, `false`, `""`, `"page 7"`, `[]`, `{}`, `12345678901234567890`, `{"a":[null,{"b":"\u003cé💡"}]}`,
		`"` + strings.Repeat("x", 64<<10-2) + `"`,
	} {
		s := newServer(t)
		id := s.mustAcquire("k", nil)
		s.send("extend", object{"key": "k", "lease_id": id, "checkpoint": json.RawMessage(checkpoint)}).want(t, 200, nil)
		s.send("release", object{"key": "k", "lease_id": id}).want(t, 200, nil)
		l, acquired, err := s.manager.Acquire(t.Context(), "k", nil)
		if err != nil || !acquired || !equalJSON(t, l.Checkpoint, json.RawMessage(checkpoint)) {
			t.Errorf("saved %.60s, got %.60s, %v", checkpoint, l.Checkpoint, err)
		}
		s.send("release", object{"key": "k", "lease_id": l.LeaseID}).want(t, 200, nil)
		if got := s.send("lease", object{"key": "k"}); got.body["checkpoint"] == nil {
			t.Errorf("no checkpoint in the answer: saved %.60s", checkpoint)
		}
	}
}

// TestStatusShowsProgress: the note of a holder that is a Go program.
func TestStatusShowsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup{ordinary: true}.start(t)
		ended := make(chan error, 1)
		go func() {
			ended <- lease.Exec(t.Context(), s.manager, "k", nil, func(ctx context.Context) error {
				time.Sleep(5 * time.Second)
				lease.Progress(ctx, object{"sent": 40, "of": 80})
				time.Sleep(5 * time.Second)
				return nil
			})
		}()
		time.Sleep(2 * time.Second)
		s.get("/v1/ai/status", "k").want(t, 200, object{"status": "in_progress", "progress": absent})
		time.Sleep(5 * time.Second)
		note := object{"sent": 40, "of": 80}
		s.get("/v1/ai/status", "k").want(t, 200, object{"status": "in_progress", "progress": note, "metadata": absent})
		s.send("lease", object{"key": "k"}).want(t, 200, object{"status": "polling", "progress": note})
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		s.get("/v1/ai/status", "k").want(t, 200, object{"status": "completed", "progress": note})
	})
}
