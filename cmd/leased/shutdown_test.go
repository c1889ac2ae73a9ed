package main

import (
	"fmt"
	"io"
	"net/http"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/internal/natstest"
)

// TestShutdown: a request that is under way when leased is told to end is answered.
func TestShutdown(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemon(t, "--no-auth")
	body, send := io.Pipe()
	r, err := http.NewRequest(http.MethodPost, d.url+"/v1/ai/lease", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Expect", "100-continue") // the body is sent once the handler reads it
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	answered := make(chan error, 1)
	go func() {
		res, err := client.Do(r)
		if err == nil {
			res.Body.Close()
			if res.StatusCode != 200 {
				err = fmt.Errorf("answered %s", res.Status)
			}
		}
		answered <- err
	}()
	io.WriteString(send, `{"key":`) // returns when the body is read: the request is under way
	stopped := make(chan error, 1)
	go func() { stopped <- d.stop() }()
	for !strings.Contains(d.log.String(), "shutting down") {
		time.Sleep(time.Millisecond)
	}
	io.WriteString(send, `"k"}`)
	send.Close()
	if err := <-answered; err != nil {
		t.Errorf("the request: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("leased: %v", err)
	}
}

// TestShutdownAnswersWhatIsHeld: a status request that is held does not delay the shutdown.
func TestShutdownAnswersWhatIsHeld(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemon(t, "--no-auth", "--backend", "memory:")
	if code, a := d.ask(t, "", "POST", "/v1/ai/lease", `{"key":"k"}`); code != 200 || a["status"] != "acquired" {
		t.Fatalf("%d %v", code, a)
	}
	answered := make(chan string, 1)
	go func() {
		res, err := http.Get(d.url + "/v1/ai/status?key=k&wait=60s")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		answered <- fmt.Sprint(string(body), err)
	}()
	natstest.Eventually(t, "the request is held", func() bool {
		var stacks strings.Builder
		pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		return strings.Contains(stacks.String(), "lease.(*Manager).Wait")
	})
	began := time.Now()
	if err := d.stop(); err != nil {
		t.Error(err)
	}
	if a := <-answered; !strings.Contains(a, `"status":"in_progress"`) {
		t.Error(a)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the shutdown took %v", took)
	}
}

// TestTheLastEventsAreLogged, although the log is slower than the requests.
func TestTheLastEventsAreLogged(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemonLogging(t, &output{slow: 2 * time.Millisecond}, "--no-auth", "--backend", "memory:")
	const leases = 50
	for i := range leases {
		key := fmt.Sprintf("k%d", i)
		_, a := d.ask(t, "", "POST", "/v1/ai/lease", fmt.Sprintf(`{"key":%q}`, key))
		if code, a := d.ask(t, "", "POST", "/v1/ai/release", fmt.Sprintf(`{"key":%q,"lease_id":%q}`, key, a["lease_id"])); code != 200 || a["status"] != "released" {
			t.Fatalf("%d %v", code, a)
		}
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(d.log.String(), `msg="lease: released"`); n != leases {
		t.Errorf("%d of %d events were logged:\n%s", n, leases, d.log)
	}
}
