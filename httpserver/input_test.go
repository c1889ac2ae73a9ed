package httpserver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ailease/lease/backends/memory"
)

// TestBadInput: each field is checked, the answer names the field, and nothing is written.
func TestBadInput(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	const held = `"key":"held","lease_id":"$ID"`
	for _, tt := range []struct {
		name, path, body string
		loc              []string
		says             string
	}{
		{"a key too long", "/v1/ai/lease", `{"key":"` + long(257) + `"}`, []string{"body", "key"}, "257 characters, limit 256"},
		{"an empty key", "/v1/ai/lease", `{"key":""}`, []string{"body", "key"}, "0 characters, must be from 1 to 256"},
		{"a key with a control character", "/v1/ai/lease", `{"key":"a\u0007"}`, []string{"body", "key"}, "U+0007"},
		{"a key with half of a surrogate pair", "/v1/ai/lease", `{"key":"a\ud800"}`, []string{"body", "key"}, "surrogate"},
		{"half of a surrogate pair beside an escaped U+FFFD", "/v1/ai/lease", `{"key":"\ud800\\ufffd"}`, []string{"body", "key"}, "surrogate"},
		{"the other half beside an escaped U+FFFD", "/v1/ai/lease", `{"key":"\udc00\\ufffd"}`, []string{"body", "key"}, "surrogate"},
		{"half of a pair beside a U+FFFD", "/v1/ai/lease", `{"key":"\ud800\ufffd"}`, []string{"body", "key"}, "surrogate"},
		{"the two halves in the wrong order", "/v1/ai/lease", `{"key":"\udc00\ud800"}`, []string{"body", "key"}, "surrogate"},
		{"half of a pair in a nonce", "/v1/ai/lease", `{"key":"k","nonce":"\\\ud800"}`, []string{"body", "nonce"}, "surrogate"},
		{"half of a pair in a reason", "/v1/ai/cancel", `{` + held + `,"reason":"\uDBFF"}`, []string{"body", "reason"}, "surrogate"},
		{"half of a pair in a lock's key", "/v1/check-lock", `{"key":"\udfff\\ufffd"}`, []string{"body", "key"}, "surrogate"},

		{"a key that is given twice", "/v1/ai/lease", `{"key":"k","key":"k"}`, []string{"body", "key"}, "more than once"},
		{"a key that is given three times", "/v1/ai/lease", `{"key":"k","key":"l","key":"m"}`, []string{"body", "key"}, "more than once"},
		{"a key that is given twice, once with an escape", "/v1/ai/lease", `{"key":"k","\u006bey":"l"}`, []string{"body", "key"}, "more than once"},
		{"a TTL that is given twice, once as null", "/v1/ai/lease", `{"key":"k","ttl":null , "ttl":5}`, []string{"body", "ttl"}, "more than once"},
		{"a lease id that is given twice", "/v1/ai/extend", `{` + held + `,"lease_id":"l"}`, []string{"body", "lease_id"}, "more than once"},
		{"a result that is given twice", "/v1/ai/complete", `{` + held + `,"result":1,"result":1}`, []string{"body", "result"}, "more than once"},
		{"a key of a lock that is given twice", "/v1/check-lock", `{"key":"k","key":"l"}`, []string{"body", "key"}, "more than once"},

		{"metadata of too many levels", "/v1/ai/lease", `{"key":"k","metadata":` + deep(257) + `}`, []string{"body", "metadata"}, "257 arrays and objects within each other, limit 256"},
		{"metadata of an extension of too many levels", "/v1/ai/extend", `{` + held + `,"metadata":` + deep(257) + `}`, []string{"body", "metadata"}, "limit 256"},
		{"a checkpoint of too many levels", "/v1/ai/extend", `{` + held + `,"checkpoint":` + deep(257) + `}`, []string{"body", "checkpoint"}, "limit 256"},
		{"a result of too many levels", "/v1/ai/complete", `{` + held + `,"result":` + deep(1018) + `}`, []string{"body", "result"}, "limit 256"},
		{"metadata of a lock of too many levels", "/v1/check-lock", `{"key":"k","metadata":` + deep(257) + `}`, []string{"body", "metadata"}, "limit 256"},
		{"more levels than anybody reads", "/v1/ai/lease", `{"key":"k","x":` + deep(20_000) + `}`, []string{"body"}, "JSON decode error"},

		{"a key that is a number", "/v1/ai/lease", `{"key":7}`, []string{"body", "key"}, "valid string"},
		{"bytes that are not UTF-8", "/v1/ai/lease", "{\"key\":\"a\xff\"}", []string{"body"}, "UTF-8"},

		{"a TTL of nothing", "/v1/ai/lease", `{"key":"k","ttl":0}`, []string{"body", "ttl"}, "greater than or equal to 1 second"},
		{"a TTL below nothing", "/v1/ai/lease", `{"key":"k","ttl":-1e300}`, []string{"body", "ttl"}, "greater than or equal"},
		{"a TTL in fractions", "/v1/ai/lease", `{"key":"k","ttl":1.5}`, []string{"body", "ttl"}, "valid integer"},
		{"a TTL that is a text", "/v1/ai/lease", `{"key":"k","ttl":"60"}`, []string{"body", "ttl"}, "valid integer"},
		{"an extension of nothing", "/v1/ai/extend", `{` + held + `,"ttl":0}`, []string{"body", "ttl"}, "greater than or equal to 1 second"},
		{"a retention too short", "/v1/ai/lease", `{"key":"k","retention":59}`, []string{"body", "retention"}, "59s, must be from 1m0s to 720h0m0s"},
		{"a retention too long", "/v1/ai/lease", `{"key":"k","retention":2592001}`, []string{"body", "retention"}, "must be from 1m0s to 720h0m0s"},
		{"a retention that is a text", "/v1/ai/lease", `{"key":"k","retention":"1h"}`, []string{"body", "retention"}, "valid integer"},

		{"metadata that is a list", "/v1/ai/lease", `{"key":"k","metadata":[1]}`, []string{"body", "metadata"}, "not an object"},
		{"metadata too large", "/v1/ai/lease", `{"key":"k","metadata":{"x":"` + long(2041) + `"}}`, []string{"body", "metadata"}, "2049 bytes, limit 2048"},
		{"metadata of an extension that is a list", "/v1/ai/extend", `{` + held + `,"metadata":[1]}`, []string{"body", "metadata"}, "not an object"},
		{"a nonce too long", "/v1/ai/lease", `{"key":"k","nonce":"` + long(257) + `"}`, []string{"body", "nonce"}, "257 bytes, limit 256"},
		{"a nonce that is a number", "/v1/ai/lease", `{"key":"k","nonce":7}`, []string{"body", "nonce"}, "valid string"},
		{"an input hash too long", "/v1/ai/lease", `{"key":"k","input_hash":"` + long(257) + `"}`, []string{"body", "input_hash"}, "257 bytes, limit 256"},
		{"a flag that is a text", "/v1/ai/lease", `{"key":"k","retry_failed":"yes"}`, []string{"body", "retry_failed"}, "valid boolean"},
		{"replace without an input", "/v1/ai/lease", `{"key":"k","replace":true}`, []string{"body", "replace"}, "without an input"},
		{"replace of at most once", "/v1/ai/lease", `{"key":"k","input_hash":"h","replace":true,"at_most_once":true}`, []string{"body", "replace"}, "at_most_once"},

		{"an empty lease id", "/v1/ai/extend", `{"key":"held","lease_id":""}`, []string{"body", "lease_id"}, "0 bytes"},
		{"an empty lease id to release", "/v1/ai/release", `{"key":"held","lease_id":""}`, []string{"body", "lease_id"}, "0 bytes"},
		{"a checkpoint too large", "/v1/ai/extend", `{` + held + `,"checkpoint":"` + long(64<<10-1) + `"}`, []string{"body", "checkpoint"}, "65537 bytes, limit 65536"},
		{"a checkpoint number of nothing", "/v1/ai/extend", `{` + held + `,"checkpoint":1,"checkpoint_seq":0}`, []string{"body", "checkpoint_seq"}, "greater than or equal to 1"},
		{"a checkpoint number below nothing", "/v1/ai/extend", `{` + held + `,"checkpoint":1,"checkpoint_seq":-1}`, []string{"body", "checkpoint_seq"}, "greater than or equal to 1"},
		{"a checkpoint number in fractions", "/v1/ai/extend", `{` + held + `,"checkpoint":1,"checkpoint_seq":1.5}`, []string{"body", "checkpoint_seq"}, "valid integer"},
		{"a checkpoint number that is a text", "/v1/ai/extend", `{` + held + `,"checkpoint":1,"checkpoint_seq":"1"}`, []string{"body", "checkpoint_seq"}, "valid integer"},
		{"a checkpoint number without a checkpoint", "/v1/ai/extend", `{` + held + `,"checkpoint_seq":1}`, []string{"body", "checkpoint_seq"}, "1 without a checkpoint"},

		{"a result too large", "/v1/ai/complete", `{` + held + `,"result":"` + long(256<<10) + `"}`, []string{"body", "result"}, "262146 bytes, limit 262144"},
		{"a result hash too long", "/v1/ai/complete", `{` + held + `,"result_hash":"` + long(257) + `"}`, []string{"body", "result_hash"}, "257 bytes, limit 256"},
		{"an error code too long", "/v1/ai/fail", `{` + held + `,"error_code":"` + long(129) + `"}`, []string{"body", "error_code"}, "129 bytes, limit 128"},
		{"an empty error code", "/v1/ai/fail", `{` + held + `,"error_code":""}`, []string{"body", "error_code"}, "0 bytes, must be from 1 to 128"},
		{"retryable that is a text", "/v1/ai/fail", `{` + held + `,"error_code":"e","retryable":"no"}`, []string{"body", "retryable"}, "valid boolean"},
		{"a reason too long", "/v1/ai/cancel", `{` + held + `,"reason":"` + long(257) + `"}`, []string{"body", "reason"}, "257 bytes, limit 256"},
		{"a reason too long for a retryable failure", "/v1/ai/cancel", `{` + held + `,"retryable":true,"reason":"` + long(120) + `"}`, []string{"body", "reason"}, `129 bytes, limit 128, with "canceled:" before it`},
		{"a reason that is a number", "/v1/ai/cancel", `{` + held + `,"reason":7}`, []string{"body", "reason"}, "valid string"},

		{"no object", "/v1/ai/lease", `[]`, []string{"body"}, "object"},
		{"null", "/v1/ai/lease", `null`, []string{"body"}, "object"},
		{"nothing", "/v1/ai/lease", ``, []string{"body"}, "JSON decode error"},
		{"half an object", "/v1/ai/lease", `{"key":"k"`, []string{"body"}, "JSON decode error"},
		{"two objects", "/v1/ai/lease", `{"key":"k"}{}`, []string{"body"}, "JSON decode error"},

		{"a lock of a key too long", "/v1/check-lock", `{"key":"` + long(257) + `"}`, []string{"body", "key"}, "257 characters, limit 256"},
		{"a lock for no time", "/v1/check-lock", `{"key":"k","ttl":0}`, []string{"body", "ttl"}, "greater than or equal to 1 second"},
		{"a lock with metadata that is a list", "/v1/check-lock", `{"key":"k","metadata":[1]}`, []string{"body", "metadata"}, "not an object"},
		{"a lock with a nonce too long", "/v1/check-lock", `{"key":"k","nonce":"` + long(257) + `"}`, []string{"body", "nonce"}, "257 bytes, limit 256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := memory.New()
			s := setup{store: store}.start(t)
			id := s.mustAcquire("held", nil)
			got := s.post(tt.path, strings.ReplaceAll(tt.body, "$ID", id))
			got.want(t, 422, object{"ok": false, "status": "invalid_request"})
			list, _ := got.body["detail"].([]any)
			if len(list) != 1 {
				t.Fatalf("detail is %v", got.body["detail"])
			}
			first := list[0].(object)
			if !equalJSON(t, first["loc"], tt.loc) || !strings.Contains(first["msg"].(string), tt.says) {
				t.Errorf("detail is %v, want loc %v and %q", first, tt.loc, tt.says)
			}
			n := 0
			for e, err := range store.List(t.Context(), "") {
				if n++; err != nil || e.Key != "alice/held" {
					t.Errorf("the store has %v, %v", e, err)
				}
			}
			if n != 1 {
				t.Errorf("the store has %d entries", n)
			}
			s.get("/v1/ai/status", "held").want(t, 200, object{"status": "in_progress", "version": 1})
		})
	}
}

// TestWhatIsNoDuplicate: fields that nobody reads, and values that look like fields.
func TestWhatIsNoDuplicate(t *testing.T) {
	for _, body := range []string{
		`{"key":"k","unknown":1,"unknown":2}`,
		`{"key":"k","KEY":"l"}`,
		`{"key":"k","metadata":{"key":"l","a":{"key":"m"}}}`,
		`{"x":"\"key\":\"l\",","key":"k","metadata":{"a":"}{\\"}}`,
		` { "x" : [ "key" , { "key" : 1 } ] , "key" : "k" , "ttl" : null } `,
		`{"key":"k\ud83d\ude00\ufffd\\ud800"}`,
		"{\"key\":\"k\ufffd\"}",
	} {
		newServer(t).post("/v1/ai/lease", body).want(t, 200, object{"status": "acquired"})
	}
}

func TestAQueryFieldIsGivenOnce(t *testing.T) {
	s := newServer(t)
	s.mustAcquire("k", nil)
	for target, field := range map[string]string{
		"/v1/ai/status?key=k&key=l":          "key",
		"/v1/ai/status?key=k&key=k":          "key",
		"/v1/ai/status?wait=0&key=k&wait=1s": "wait",
		"/v1/ai/result?key=k&key=":           "key",
	} {
		got := s.do(request(http.MethodGet, target, ""))
		got.want(t, 422, object{"status": "invalid_request", "key": absent,
			"detail": []any{object{"type": "duplicate", "loc": []string{"query", field}, "msg": "Input should be given once, and is given more than once"}}})
	}
	s.do(request(http.MethodGet, "/v1/ai/status?key=k&x=1&x=2", "")).want(t, 200, object{"status": "in_progress"})
}

func TestAHeaderIsGivenOnce(t *testing.T) {
	s := newServer(t)
	for _, tt := range []struct{ name, second string }{
		{"Authorization", "Bearer " + otherKey},
		{"Authorization", "Bearer " + apiKey},
		{"Authorization", "Basic x"},
		{"Content-Type", "application/json"},
		{"Content-Type", "text/plain"},
		{"Content-Encoding", "gzip"},
	} {
		r := request(http.MethodPost, "/v1/ai/lease", `{"key":"k"}`)
		if tt.name == "Content-Encoding" {
			r.Header.Set(tt.name, "identity")
		}
		r.Header.Add(tt.name, tt.second)
		s.do(r).want(t, 422, object{"status": "invalid_request",
			"detail": []any{object{"type": "duplicate", "loc": []string{"header", tt.name}, "msg": "The header should be given once, and is given more than once"}}})
	}
	s.get("/v1/ai/status", "k").want(t, 200, object{"status": "not_found"})

	r := request(http.MethodGet, "/v1/ai/status?key=k", "")
	r.Header["X-Request-Id"] = []string{"one", "two"}
	if id := s.do(r).header.Get("X-Request-Id"); id == "one" || id == "two" {
		t.Errorf("of two request ids, %q was chosen", id)
	}
}
