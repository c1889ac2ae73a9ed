package httpserver_test

import (
	"strings"
	"testing"

	"github.com/ailease/lease/backends/memory"
)

// TestTheTimelineOfARunWhoseToolIsNotThere: who names a run in the args or the metadata reads there
// how it ended, once.
func TestTheTimelineOfARunWhoseToolIsNotThere(t *testing.T) {
	long := strings.Repeat("é", 200)
	for name, tt := range map[string]struct{ body, runID, tool string }{
		"args":        {`{"agent_id":"a","tool":"mail","args":{"run_id":"r","secret":"s3cret"}}`, "r", "mail"},
		"metadata":    {`{"agent_id":"a","tool":"mail","metadata":{"run_id":"r"}}`, "r", "mail"},
		"both":        {`{"agent_id":"a","tool":"mail","args":{"run_id":"r"},"metadata":{"run_id":"other"}}`, "r", "mail"},
		"a long name": {`{"agent_id":"a","tool":"` + long + `","args":{"run_id":"r"}}`, "r", long[:128]},
	} {
		t.Run(name, func(t *testing.T) {
			s := startStory(t, memory.New())
			for range 2 {
				s.post("/v1/ai/run", tt.body).want(t, 404, object{"status": "tool_not_found"})
			}
			got, _ := s.ask(apiKey, "GET", "/v1/runs/"+tt.runID, "").is(200, nil).body.(map[string]any)
			events, _ := got["events"].([]any)
			if len(events) != 2 {
				t.Fatalf("the timeline is %v", got)
			}
			for i, kind := range []string{"tool_result", "run_finished"} {
				e, _ := events[i].(map[string]any)
				if e["type"] != kind || e["status"] != "failed" || e["agent_id"] != "a" || e["tool"] != tt.tool || e["message"] != "tool_not_found" {
					t.Errorf("entry %d is %v", i, e)
				}
			}
		})
	}
	s := startStory(t, memory.New())
	for _, more := range []string{``, `,"args":{"run_id":7}`, `,"args":[{"run_id":"r"}]`, `,"args":{"run_id":"` + strings.Repeat("x", 257) + `"}`, `,"metadata":"r"`} {
		s.post("/v1/ai/run", `{"agent_id":"a","tool":"t"`+more+`}`).want(t, 404, object{"status": "tool_not_found"})
	}
	s.ask(apiKey, "GET", "/v1/runs", "").is(200, object{"total": 0, "items": []any{}})
	if n := s.story.Dropped(); n != 0 {
		t.Errorf("%d entries were dropped", n)
	}
}
