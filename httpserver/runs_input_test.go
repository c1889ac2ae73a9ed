package httpserver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// TestBadRuns: what is wrong with a run is told with its place, and nothing is written.
func TestBadRuns(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	deep := strings.Repeat(`{"a":`, 257) + "1" + strings.Repeat("}", 257)
	for _, tt := range []struct {
		name, body string
		loc        string
		says       string
	}{
		{"neither key nor agent", `{}`, "key", "required"},
		{"a key that is null", `{"key":null}`, "key", "required"},
		{"an agent without a tool", `{"agent_id":"a"}`, "tool", "required"},
		{"a tool without an agent", `{"tool":"t"}`, "agent_id", "required"},
		{"an agent without a name", `{"agent_id":"","tool":"t"}`, "agent_id", "at least 1 character"},
		{"a tool that is a number", `{"agent_id":"a","tool":7}`, "tool", "valid string"},
		{"a key beside an agent", `{"key":"k","agent_id":"a"}`, "agent_id", "beside key"},
		{"a key beside a tool", `{"key":"k","tool":"t"}`, "tool", "beside key"},
		{"a key that is a number", `{"key":7}`, "key", "valid string"},
		{"an empty key", `{"key":""}`, "key", "0 characters"},
		{"a key too long", `{"key":"` + long(257) + `"}`, "key", "257 characters, limit 256"},
		{"a tool that is given twice", `{"agent_id":"a","tool":"t","tool":"t"}`, "tool", "more than once"},

		{"a TTL of nothing", `{"key":"k","ttl":0}`, "ttl", "greater than or equal to 1"},
		{"a TTL that is a text", `{"key":"k","ttl":"60"}`, "ttl", "valid integer"},
		{"a delay below nothing", `{"key":"k","delay":-1}`, "delay", "greater than or equal to 0"},
		{"a delay in fractions", `{"key":"k","delay":0.5}`, "delay", "valid integer"},
		{"a delay without end", `{"key":"k","delay":1e10}`, "delay", "must be from 0s to 876000h0m0s"},
		{"a deadline of nothing", `{"key":"k","within":0}`, "within", "greater than or equal to 1"},
		{"a deadline without end", `{"key":"k","within":1e10}`, "within", "must be from 1s to 876000h0m0s"},
		{"attempts of nothing", `{"key":"k","attempts":0}`, "attempts", "greater than or equal to 1"},
		{"attempts that are a text", `{"key":"k","attempts":"3"}`, "attempts", "valid integer"},
		{"a retention too short", `{"key":"k","retention":59}`, "retention", "must be from 1m0s"},
		{"a nonce too long", `{"key":"k","nonce":"` + long(257) + `"}`, "nonce", "257 bytes, limit 256"},
		{"an input hash too long", `{"key":"k","input_hash":"` + long(257) + `"}`, "input_hash", "257 bytes, limit 256"},
		{"a flag that is a text", `{"key":"k","retry_failed":"yes"}`, "retry_failed", "valid boolean"},
		{"replace without an input", `{"key":"k","replace":true}`, "replace", "without an input"},
		{"replace of at most once", `{"key":"k","input_hash":"h","replace":true,"at_most_once":true}`, "replace", "at_most_once"},

		{"metadata that are a list", `{"key":"k","metadata":[1]}`, "metadata", "3 bytes of JSON that are not an object"},
		{"metadata that are a text", `{"key":"k","metadata":"{}"}`, "metadata", "not an object"},
		{"metadata too large", `{"key":"k","metadata":{"x":"` + long(64<<10-7) + `"}}`, "metadata", "65537 bytes, limit 65536"},
		{"metadata of too many levels", `{"key":"k","metadata":` + deep + `}`, "metadata", "257 arrays and objects within each other, limit 256"},
		{"a task that is a number", `{"key":"k","metadata":{"task":7}}`, "metadata.task", "valid string"},
		{"a task too long", `{"key":"k","metadata":{"task":"` + long(257) + `"}}`, "metadata.task", "257 bytes, limit 256"},
		{"a task with a control character", `{"key":"k","metadata":{"task":"a\u0007"}}`, "metadata.task", "U+0007 is at byte 1 of 2"},
		{"a task that is given twice", `{"key":"k","metadata":{"task":"a","\u0074ask":"b"}}`, "metadata.task", "more than once"},
		{"a task with half of a surrogate pair", `{"key":"k","metadata":{"task":"\ud800"}}`, "metadata.task", "surrogate"},
		{"a run_id that is a number", `{"key":"k","run_id":7}`, "run_id", "valid string"},
		{"a run_id too long", `{"key":"k","run_id":"` + long(257) + `"}`, "run_id", "257 bytes, limit 256"},
		{"a run_id that is given twice", `{"key":"k","run_id":"r","run_id":"r"}`, "run_id", "more than once"},
		{"a run_id of the metadata too long", `{"key":"k","metadata":{"run_id":"` + long(257) + `"}}`, "metadata.run_id", "257 bytes, limit 256"},
		{"two run_ids", `{"key":"k","run_id":"r","metadata":{"run_id":"s"}}`, "metadata.run_id", "the same as run_id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := memory.New()
			got := setup{store: store}.start(t).post("/v1/ai/run", tt.body)
			got.want(t, 422, object{"ok": false, "status": "invalid_request", "key": absent})
			list, _ := got.body["detail"].([]any)
			if len(list) != 1 {
				t.Fatalf("detail is %v", got.body["detail"])
			}
			first := list[0].(object)
			loc := strings.Split("body."+tt.loc, ".")
			if !equalJSON(t, first["loc"], loc) || !strings.Contains(first["msg"].(string), tt.says) {
				t.Errorf("detail is %v, want loc %v and %q", first, loc, tt.says)
			}
			for e, err := range store.List(t.Context(), "") {
				t.Errorf("the store has %q, %v", e.Key, err)
			}
		})
	}
}

// TestAToolOfAnAgent is not found, whatever else stands there, and nothing is written.
func TestAToolOfAnAgent(t *testing.T) {
	for _, more := range []string{``, `,"key":null`, `,"args":{},"ttl":"x","metadata":[]`} {
		store := memory.New()
		got := setup{store: store}.start(t).post("/v1/ai/run", `{"agent_id":"a","tool":"t"`+more+`}`)
		got.want(t, 404, object{"ok": false, "status": "tool_not_found", "key": absent})
		got.wantDetail(t, object{"error": "tool_not_found"})
		for e, err := range store.List(t.Context(), "") {
			t.Errorf("the store has %q, %v", e.Key, err)
		}
	}
}

// TestTheSecretsOfARun are shown by no answer but to who started it: the input, and the lease id of
// a holder by hand.
func TestTheSecretsOfARun(t *testing.T) {
	s := newServer(t)
	hand := s.mustAcquire("hand", object{"input_hash": "mine"})
	ticket := s.mustRun("run", object{"input_hash": "mine", "metadata": object{"token": "secret_input"}})
	for _, key := range []string{"hand", "run"} {
		for _, more := range []string{``, `,"nonce":"n"`, `,"input_hash":"other"`, `,"retry_failed":true`, `,"metadata":{"task":7}`} {
			answer := fmt.Sprint(s.post("/v1/ai/run", `{"key":"`+key+`"`+more+`}`).body)
			if strings.Contains(answer, hand) || strings.Contains(answer, "secret_input") {
				t.Errorf("%s%s: %s", key, more, answer)
			}
		}
	}
	for _, endpoint := range []string{"complete", "fail", "release", "extend", "cancel"} {
		answer := fmt.Sprint(s.send(endpoint, object{"key": "run", "lease_id": hand, "error_code": "e"}).body)
		if strings.Contains(answer, ticket) || strings.Contains(answer, "secret_input") {
			t.Errorf("%s: %s", endpoint, answer)
		}
	}
	for _, path := range []string{"/v1/ai/status", "/v1/ai/result"} {
		if answer := fmt.Sprint(s.get(path, "run").body); strings.Contains(answer, "secret_input") {
			t.Errorf("%s: %s", path, answer)
		}
	}
}

// noMarkers is a store that does not tell the markers of runs.
type noMarkers struct{ backend.Backend }

func (s noMarkers) Get(ctx context.Context, key string) (backend.Entry, error) {
	if strings.Contains(key, ":due/") {
		return backend.Entry{}, errors.New("secret address of the store")
	}
	return s.Backend.Get(ctx, key)
}

// TestARunWhoseMarkerCannotBeRead is answered with 503, whether it would be started or stands.
func TestARunWhoseMarkerCannotBeRead(t *testing.T) {
	store := memory.New()
	setup{store: store}.start(t).mustRun("stands", nil)
	s := setup{store: noMarkers{store}}.start(t)
	for _, key := range []string{"stands", "new"} {
		got := s.send("run", object{"key": key})
		got.want(t, 503, object{"status": "unavailable", "key": key})
		if strings.Contains(fmt.Sprint(got.body), "secret") {
			t.Errorf("the client was told %v", got.body)
		}
	}
	s.get("/v1/ai/status", "new").want(t, 200, object{"status": "not_found"})
}

// TestARunOfAStoreThatLosesAnswers is started once, and charged to who started it.
func TestARunOfAStoreThatLosesAnswers(t *testing.T) {
	for lost := range 3 {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore(memory.New())
			store.Delay(10 * time.Millisecond)
			store.LoseAnswer(lost)
			s := setup{store: store, ordinary: true}.start(t)
			ticket := s.mustRun("k", nil)
			s.send("run", object{"key": "k"}).want(t, 200, object{"status": "polling", "version": 1, "lease_id": ticket})
		})
	}
}
