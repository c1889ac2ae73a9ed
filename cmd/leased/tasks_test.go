package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ailease/lease/internal/natstest"
)

// A run that is started over HTTP has the task that its metadata names, as the file has it, or that
// of actions.
func TestTasksOfRunsOverHTTP(t *testing.T) {
	d := startDaemon(t, withHandlers(t, `{"tasks":{
		"greet": {"command":["sh","-c","echo '\"hello\"'"]},
		"fails": {"command":["sh","-c","exit 3"],"attempts":2,"pause":"1ms"}},
		"tools":{"cat":{"command":["cat"]}}}`)...)
	for _, tt := range []struct{ key, metadata, status, result, code string }{
		{"k1", `{"task":"greet"}`, "completed", `"hello"`, ""},
		{"k2", `{"task":"fails"}`, "failed", `null`, "attempts_exhausted"}, // after two, not five
		{"k3", `{"task":"nobody_knows"}`, "completed", `{"actions":[]}`, ""},
		{"k4", `{}`, "completed", `{"actions":[]}`, ""},
		{"k5", `{"actions":[{"tool":"nobody_knows"}]}`, "failed", `null`, "tool_not_found"},
	} {
		code, a := d.ask(t, workKey, "POST", "/v1/ai/run", `{"key":"`+tt.key+`","metadata":`+tt.metadata+`}`)
		if code != 200 || a["status"] != "acquired" {
			t.Fatalf("%s: %d %v", tt.key, code, a)
		}
		d.ask(t, workKey, "GET", "/v1/ai/status?wait=60s&key="+tt.key, "")
		_, a = d.ask(t, workKey, "GET", "/v1/ai/result?key="+tt.key, "")
		result, _ := json.Marshal(a["result"])
		if failure, _ := a["error_code"].(string); a["status"] != tt.status || string(result) != tt.result || failure != tt.code {
			t.Errorf("%s: %v, want %s %s %s", tt.key, a, tt.status, tt.result, tt.code)
		}
		_, page := d.ask(t, workKey, "GET", "/v1/runs/"+tt.key, "")
		told, _ := json.Marshal(page)
		if strings.Count(string(told), `"event":"run_started"`) != 1 || strings.Count(string(told), `"event":"run_finished"`) != 1 {
			t.Errorf("%s: the timeline is %s", tt.key, told)
		}
	}
	// Attempts are noted behind the run's end.
	natstest.Eventually(t, "two attempts have failed", func() bool {
		_, page := d.ask(t, workKey, "GET", "/v1/runs/k2", "")
		told, _ := json.Marshal(page)
		return strings.Count(string(told), `"event":"attempt_failed"`) == 2
	})
	if err := d.stop(); err != nil {
		t.Error(err)
	}
}
