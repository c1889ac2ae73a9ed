package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is what a running leased has printed.
type output struct {
	slow  time.Duration     // how long a line takes
	wrote func(text string) // is told of all that was printed

	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	time.Sleep(o.slow)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b.Write(p)
	if o.wrote != nil {
		o.wrote(o.b.String())
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// daemon is a leased that runs in this process.
type daemon struct {
	url  string
	out  *output
	log  *output
	stop func() error // ends it and returns what run returned
}

func startDaemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	return startDaemonLogging(t, &output{}, args...)
}

func startDaemonLogging(t *testing.T, log *output, args ...string) *daemon {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d := &daemon{out: &output{}, log: log}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, append([]string{"--addr", "127.0.0.1:0"}, args...), d.out, d.log) }()
	var once sync.Once
	var result error
	d.stop = func() error {
		once.Do(func() {
			cancel()
			result = <-ended
		})
		return result
	}
	t.Cleanup(func() { d.stop() })
	serving := regexp.MustCompile(`serving (http://\S+)`)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if m := serving.FindStringSubmatch(d.out.String()); m != nil {
			d.url = m[1]
			return d
		}
		select {
		case err := <-ended:
			t.Fatalf("leased ended: %v\n%s", err, d.log)
		default:
		}
	}
	t.Fatalf("leased does not serve: %s", d.out)
	return nil
}

func (d *daemon) ask(t *testing.T, key, method, path, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequest(method, d.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer
}

// inEmptyFolder runs the test where nothing is configured.
func inEmptyFolder(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "LEASED_") {
			t.Setenv(name, "") // restores it afterwards
			os.Unsetenv(name)
		}
	}
}

// TestWithoutAnyFlag: SQLite in a local file, and a key that is made once, printed, and kept. So
// are the leases.
func TestWithoutAnyFlag(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemon(t)
	m := regexp.MustCompile(`made an API key .* kept in leased.keys: (\S+)`).FindStringSubmatch(d.out.String())
	if m == nil {
		t.Fatalf("no key was printed: %s", d.out)
	}
	if code, a := d.ask(t, m[1], "POST", "/v1/ai/lease", `{"key":"k"}`); code != 200 || a["status"] != "acquired" {
		t.Fatalf("%d %v", code, a)
	}
	if info, err := os.Stat("leased.keys"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	again := startDaemon(t)
	if strings.Contains(again.out.String(), "made") {
		t.Errorf("another key was made: %s", again.out)
	}
	if code, a := again.ask(t, m[1], "POST", "/v1/ai/lease", `{"key":"k"}`); code != 200 || a["status"] != "polling" {
		t.Errorf("after a restart: %d %v", code, a)
	}
	if code, _ := again.ask(t, "", "GET", "/v1/ai/status?key=k", ""); code != 401 {
		t.Errorf("without a key: %d", code)
	}
}

func TestFlagsAndEnvironment(t *testing.T) {
	inEmptyFolder(t)
	if err := os.WriteFile("keys", []byte("# ours\nkey_of_alice alice\n\n  key_of_bob\tbob # and theirs\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("keys", 0o644); err != nil { // whatever the umask
		t.Fatal(err)
	}
	t.Setenv("LEASED_BACKEND", "memory:")
	t.Setenv("LEASED_API_KEYS", "keys")
	t.Setenv("LEASED_API_KEY", "key_of_default")
	t.Setenv("LEASED_DEFAULT_TTL", "90s")
	t.Setenv("LEASED_DUPLICATE_CONFLICT", "true")
	d := startDaemon(t, "--hide-lease-ids")
	for _, key := range []string{"key_of_alice", "key_of_bob", "key_of_default"} {
		if code, a := d.ask(t, key, "POST", "/v1/ai/lease", `{"key":"k"}`); code != 200 || a["status"] != "acquired" || a["ttl"] != 90.0 {
			t.Errorf("%s: %d %v", key, code, a)
		}
	}
	if _, a := d.ask(t, "key_of_bob", "GET", "/v1/ai/status?key=k", ""); a["lease_id"] != nil {
		t.Errorf("the lease id is shown: %v", a)
	}
	for _, want := range []int{200, 409} {
		if code, a := d.ask(t, "key_of_bob", "POST", "/v1/check-lock", `{"key":"k"}`); code != want {
			t.Errorf("check-lock: %d %v, want %d", code, a, want)
		}
	}
	if !strings.Contains(d.log.String(), "chmod 600") {
		t.Errorf("no warning of a key file that all may read: %s", d.log)
	}
	if _, err := os.Stat("leased.keys"); err == nil {
		t.Error("a key file was made although keys are given")
	}
	res, err := http.Get(d.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(body) != "ok\n" {
		t.Errorf("health: %d %q", res.StatusCode, body)
	}
}

func TestRefusesToRun(t *testing.T) {
	inEmptyFolder(t)
	write := func(name, text string) string {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"no authentication for all the world", []string{"--no-auth", "--addr", "0.0.0.0:0"}, "would admit everybody"},
		{"no time for the store", []string{"--no-auth", "--addr", "127.0.0.1:0", "--backend", "memory:", "--store-timeout", "0s"}, "store_timeout"},
		{"no authentication, and keys", []string{"--no-auth", "--api-keys", "x"}, "remove one of the two"},
		{"an unknown store", []string{"--backend", "redis:"}, "unknown scheme"},
		{"a store in no folder", []string{"--backend", "sqlite:nowhere/leases.db"}, "does not exist: make it first"},
		{"no key file", []string{"--api-keys", "nowhere"}, "read the API key file"},
		{"a key without a namespace", []string{"--api-keys", write("half", "a_key_of_nobody\n")}, "line 1: 1 words, want two"},
		{"a key that stands twice", []string{"--api-keys", write("twice", "the_same_key a\nthe_same_key b\n")}, "line 2: this API key stands in the file twice"},
		{"no key", []string{"--api-keys", write("none", "# none\n")}, "has no API key"},
		{"a key too short", []string{"--api-keys", write("short", "abc a\n")}, "line 1: the API key has 3 bytes: want 8 to 256"},
		{"a TTL out of range", []string{"--default-ttl", "1ms"}, "default_ttl"},
		{"a longest retention out of range", []string{"--max-retention", "59s"}, "max_retention"},
		{"a journal that keeps nothing", []string{"--journal-keep", "0s"}, "--journal-keep (or LEASED_JOURNAL_KEEP): 0s, must be positive"},
		{"an argument", []string{"serve"}, "unexpected argument"},
		{"a rate that is no number", []string{"--rate-limit", "NaN"}, "must be a number of at least 0"},
		{"a rate without end", []string{"--rate-limit", "+Inf"}, "must be a number of at least 0"},
		{"a rate below nothing without end", []string{"--rate-limit", "-Inf"}, "must be a number of at least 0"},
		{"room for less than one body", []string{"--no-auth", "--max-held-bytes", "1000000"}, "max_held_bytes"},
		{"a code for what is down that clients do not know", []string{"--no-auth", "--check-lock-down", "500"}, "must be 503 or 429"},
		{"the namespace of health checks", []string{"--api-keys", write("health", "a_key_that_is_long leased.healthz\n")}, "line 1: this namespace is kept for health checks"},
		{"swapped columns", []string{"--api-keys", write("swapped", "a_key_that_is_long support\nproduction leased_the_same_key\n")}, "line 2: the first word has 10 bytes and the second 19"},
		{"a namespace with a slash", []string{"--api-keys", write("slash", "a_key_that_is_long a/b\n")}, "line 1: the namespace must have"},
		{"a key file without end", []string{"--api-keys", "/dev/zero"}, "more than 1048576 bytes"},
		{"a key file that is a folder", []string{"--api-keys", "."}, "is a directory"},
		{"a flag that is none", []string{"--api-key", "the_same_key"}, "there is no flag --api-key; see --help"},
		{"a flag without its value", []string{"--backend"}, "--backend (or LEASED_BACKEND) needs a value"},
		{"a duration that is none", []string{"--max-ttl", "the_same_key"}, "--max-ttl (or LEASED_MAX_TTL) must be a duration such as"},
		{"a number that is none", []string{"--max-held-bytes", "the_same_key"}, "--max-held-bytes (or LEASED_MAX_HELD_BYTES) must be a whole number"},
		{"a switch that is none", []string{"--no-auth=the_same_key"}, "--no-auth (or LEASED_NO_AUTH) must be true or false"},
		{"a negative rate", []string{"--rate-limit", "-1"}, "must be a number of at least 0"},
		{"an address that is none", []string{"--addr", "127.0.0.1:x"}, "no such host or port"},
	} {
		args := append([]string{"--addr", "127.0.0.1:0", "--backend", "memory:"}, tt.args...)
		_, err := runShortly(t, args)
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "same_key") {
			t.Errorf("%s: error %v, want one that says %q", tt.name, err, tt.says)
		}
	}
}

func TestTheLongestRetention(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemon(t, "--no-auth", "--backend", "memory:", "--max-retention", "90s")
	for retention, want := range map[int]string{90: "acquired", 91: "invalid_request"} {
		if code, a := d.ask(t, "", "POST", "/v1/ai/lease", fmt.Sprintf(`{"key":"k%d","retention":%d}`, retention, retention)); a["status"] != want {
			t.Errorf("a retention of %ds: %d %v, want %s", retention, code, a, want)
		}
	}
}
