package httpserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/leasetest"
)

// The namespaces of the API keys are alice and bob.
const apiKey, otherKey = "test_key_of_alice", "test_key_of_bob"

var t0 = time.Date(2025, 1, 15, 10, 30, 0, 400_000_000, time.UTC)

// setup says how a server under test is made. The zero value is a memory store, a manual clock that
// begins at t0, and two API keys.
type setup struct {
	store    backend.Backend
	ordinary bool              // an ordinary clock, for a synctest bubble
	auth     httpserver.Option // instead of the API keys
	manager  []lease.Option
	handler  []httpserver.Option
}

// server is a handler under test, asked without a network unless overHTTP was called.
type server struct {
	url     string // of the handler, over a network
	t       testing.TB
	handler *httpserver.Handler
	clock   *leasetest.Clock // nil if it is an ordinary one
	manager *lease.Manager   // of the namespace alice
}

func newServer(t testing.TB, opts ...httpserver.Option) *server {
	t.Helper()
	return setup{handler: opts}.start(t)
}

func (c setup) start(t testing.TB) *server {
	t.Helper()
	s := &server{t: t}
	if c.store == nil {
		c.store = memory.New()
	}
	if !c.ordinary {
		s.clock = leasetest.NewClock(t0)
		c.manager = append(c.manager, lease.WithClock(s.clock))
	}
	if c.auth == nil {
		c.auth = httpserver.WithAPIKeys(map[string]string{apiKey: "alice", otherKey: "bob"})
	}
	m, err := lease.NewManager(c.store, c.manager...)
	if err != nil {
		t.Fatal(err)
	}
	if s.manager, err = m.InNamespace("alice"); err != nil {
		t.Fatal(err)
	}
	if s.handler, err = httpserver.New(m, append(c.handler, c.auth)...); err != nil {
		t.Fatal(err)
	}
	return s
}

type reply struct {
	code   int
	header http.Header
	body   object
}

type object = map[string]any

// overHTTP has s asked over a network until the test ends.
func (s *server) overHTTP() *server {
	server := httptest.NewServer(s.handler)
	s.t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// roundTrip asks the handler.
func (s *server) roundTrip(r *http.Request) (code int, header http.Header, body []byte) {
	s.t.Helper()
	if s.url == "" {
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		return w.Code, w.Header(), w.Body.Bytes()
	}
	sent, err := http.NewRequestWithContext(r.Context(), r.Method, s.url+r.URL.RequestURI(), r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	sent.Header = r.Header
	res, err := http.DefaultClient.Do(sent)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(res.Body); err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, res.Header, body
}

// do sends r and checks what holds for every answer.
func (s *server) do(r *http.Request) reply {
	s.t.Helper()
	code, header, body := s.roundTrip(r)
	got := reply{code: code, header: header}
	if err := json.Unmarshal(body, &got.body); err != nil {
		s.t.Fatalf("%s %s: %d, body %q: %v", r.Method, r.URL, code, body, err)
	}
	if status, ok := got.body["status"].(string); !ok || status == "" {
		s.t.Errorf("%s %s: no status in %v", r.Method, r.URL, got.body)
	}
	for _, field := range []string{"allowed", "decision"} { // clients would take the answer for a tool's
		if _, there := got.body[field]; there {
			s.t.Errorf("%s %s: %s in %v", r.Method, r.URL, field, got.body)
		}
	}
	if got.header.Get("X-Request-Id") == "" || got.header.Get("Content-Type") != "application/json" {
		s.t.Errorf("%s %s: headers %v", r.Method, r.URL, got.header)
	}
	return got
}

func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+apiKey)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (s *server) post(path, body string) reply {
	s.t.Helper()
	return s.do(request(http.MethodPost, path, body))
}

func (s *server) get(path, key string) reply {
	s.t.Helper()
	return s.do(request(http.MethodGet, path+"?key="+url.QueryEscape(key), ""))
}

// send posts the fields to the endpoint of the AI leases of that name.
func (s *server) send(endpoint string, fields object) reply {
	s.t.Helper()
	return s.post("/v1/ai/"+endpoint, toJSON(s.t, fields))
}

// mustAcquire acquires the lease of key for 60 seconds, or as the fields say, and returns its id.
func (s *server) mustAcquire(key string, fields object) string {
	s.t.Helper()
	all := object{"key": key, "ttl": 60}
	maps.Copy(all, fields)
	got := s.send("lease", all)
	got.want(s.t, 200, object{"status": "acquired"})
	id, _ := got.body["lease_id"].(string)
	if id == "" {
		s.t.Fatalf("no lease_id in %v", got.body)
	}
	return id
}

const absent = "\x00absent"

// want compares fields of the answer. A field with the value absent must not be there.
func (r reply) want(t testing.TB, code int, fields object) {
	t.Helper()
	if r.code != code {
		t.Errorf("answered %d, want %d: %v", r.code, code, r.body)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		got, there := r.body[name]
		switch want := fields[name]; {
		case want == absent:
			if there {
				t.Errorf("%s is %v, must not be there", name, got)
			}
		case !there:
			t.Errorf("%s is missing from %v", name, r.body)
		case !equalJSON(t, got, want):
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// wantDetail compares fields of the detail of an error.
func (r reply) wantDetail(t testing.TB, fields object) {
	t.Helper()
	d, _ := r.body["detail"].(object)
	reply{r.code, r.header, d}.want(t, r.code, fields)
}

func equalJSON(t testing.TB, got, want any) bool {
	t.Helper()
	return toJSON(t, got) == toJSON(t, want)
}

// toJSON has the fields of objects in order, also of raw JSON.
func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&plain); err != nil {
		t.Fatal(err)
	}
	if b, err = json.Marshal(plain); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// script is a store whose calls a test answers by functions. Without one they reach the store
// behind it.
type script struct {
	backend.Backend
	get func(ctx context.Context) (backend.Entry, error)
	set func(ctx context.Context) (uint64, error)
}

func (s script) Get(ctx context.Context, key string) (backend.Entry, error) {
	if s.get != nil {
		return s.get(ctx)
	}
	return s.Backend.Get(ctx, key)
}

func (s script) CompareAndSet(ctx context.Context, key string, revision uint64, value []byte, keep time.Duration) (uint64, error) {
	if s.set != nil {
		return s.set(ctx)
	}
	return s.Backend.CompareAndSet(ctx, key, revision, value, keep)
}

// failing is a store that answers every read and write with err.
func failing(err error) script {
	return script{
		Backend: memory.New(),
		get:     func(context.Context) (backend.Entry, error) { return backend.Entry{}, err },
		set:     func(context.Context) (uint64, error) { return 0, err },
	}
}

// silent is a store that never answers.
func silent() script {
	return script{
		Backend: memory.New(),
		get: func(ctx context.Context) (backend.Entry, error) {
			<-ctx.Done()
			return backend.Entry{}, ctx.Err()
		},
		set: func(ctx context.Context) (uint64, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		},
	}
}
