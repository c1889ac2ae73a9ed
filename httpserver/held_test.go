package httpserver_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/ailease/lease/httpserver"
)

// unread is a client that does not read a 200 answer until it is told to.
type unread struct {
	*httptest.ResponseRecorder
	answered chan int      // gets the status code when the answer is written
	read     chan struct{} // closed when the client reads
}

func (u unread) Write(b []byte) (int, error) {
	u.answered <- u.Code
	if u.Code == 200 {
		<-u.read
	}
	return u.ResponseRecorder.Write(b)
}

// TestUnreadAnswersAreBounded: clients that ask for results and read none of them are refused from
// some number on. Leases can be extended all the same, and all is well once the clients have read.
func TestUnreadAnswersAreBounded(t *testing.T) {
	const most, result, free, longest = 3 << 20, 64 << 10, 8 << 10, 264 << 10
	s := newServer(t, httpserver.WithMaxHeldBytes(most))
	s.send("complete", object{"key": "done", "lease_id": s.mustAcquire("done", nil), "result": strings.Repeat("x", result-2)}).want(t, 200, nil)
	id := s.mustAcquire("held", nil)
	answered, read := make(chan int), make(chan struct{})
	var clients sync.WaitGroup
	ask := func() int {
		clients.Go(func() {
			s.handler.ServeHTTP(unread{httptest.NewRecorder(), answered, read}, request(http.MethodGet, "/v1/ai/result?key=done", ""))
		})
		return <-answered
	}
	held, code := 0, 0
	for code = ask(); code == 200 && held < 1000; code = ask() {
		held++
	}
	if code != 503 || held < (most-longest)/result || held > most/(result-free) {
		t.Errorf("%d answers were held, then one was %d", held, code)
	}
	busy := s.get("/v1/ai/result", "done")
	busy.want(t, 503, object{"ok": false, "status": "unavailable"})
	if busy.header.Get("Retry-After") != "1" {
		t.Errorf("headers %v", busy.header)
	}
	s.send("extend", object{"key": "held", "lease_id": id, "metadata": object{"a": strings.Repeat("x", 2048-8)}}).want(t, 200, object{"status": "extended"})
	s.get("/v1/ai/status", "held").want(t, 200, object{"status": "in_progress"})
	close(read)
	clients.Wait()
	s.get("/v1/ai/result", "done").want(t, 200, object{"status": "completed"})
}

// TestBodiesUnderWayAreBounded: as many bodies as there is room for, each twice, and no more.
func TestBodiesUnderWayAreBounded(t *testing.T) {
	const most, body = 4 << 20, 512 << 10
	s := newServer(t, httpserver.WithMaxHeldBytes(most))
	id := s.mustAcquire("held", nil)
	var clients sync.WaitGroup
	codes := make(chan int, 100)
	var ends []func()
	for range most / body { // twice as many as there is room for
		from, to := io.Pipe()
		r := request(http.MethodPost, "/v1/check-lock", "")
		r.Body, r.ContentLength = from, body
		clients.Go(func() {
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			from.Close() // of a refusal, nothing more is read
			codes <- w.Code
		})
		begin := fmt.Sprintf(`{"key":"k%d","x":"`, len(ends))
		io.WriteString(to, begin+strings.Repeat("x", body-len(begin)-2)) // returns once it is read, or refused
		ends = append(ends, func() { io.WriteString(to, `"}`); to.Close() })
	}
	s.send("extend", object{"key": "held", "lease_id": id}).want(t, 200, object{"status": "extended"})
	s.post("/v1/check-lock", `{"key":"small"}`).want(t, 200, object{"status": "locked"})
	s.send("lease", object{"key": "new"}).want(t, 503, object{"status": "unavailable"}) // its answer may be long
	s.get("/v1/ai/status", "new").want(t, 200, object{"status": "not_found"})
	s.post("/v1/check-lock", `{"key":"large","x":"`+strings.Repeat("x", body)+`"}`).want(t, 503, object{"status": "unavailable"})
	for _, end := range ends {
		end()
	}
	clients.Wait()
	close(codes)
	count := make(map[int]int)
	for code := range codes {
		count[code]++
	}
	if fits := count[200]; fits == 0 || fits > most/body/2 || fits+count[503] != len(ends) {
		t.Errorf("%v, want at most %d answers of 200, and the rest 503", count, most/body/2)
	}
	s.post("/v1/check-lock", `{"key":"large","x":"`+strings.Repeat("x", body)+`"}`).want(t, 200, object{"status": "locked"})
	s.send("lease", object{"key": "new"}).want(t, 200, object{"status": "acquired"})
}

// TestRoomIsGivenBack: whatever becomes of a request.
func TestRoomIsGivenBack(t *testing.T) {
	large := strings.Repeat("x", 1<<20-100)
	s := newServer(t, httpserver.WithMaxHeldBytes(3<<20))
	for _, body := range []string{`{"key":"` + large + `"}`, `{"key":7,"x":"` + large + `"}`, large, `{"key":"k","ttl":"` + large + `"}`, large + large} {
		for range 5 { // two at once have no room
			if got := s.post("/v1/ai/lease", body); got.code != 422 && got.code != 413 {
				t.Errorf("answered %d %v", got.code, got.body)
			}
		}
	}
	bug := failing(nil)
	bug.set = func(context.Context) (uint64, error) { panic("a bug") }
	s = setup{store: bug, handler: []httpserver.Option{httpserver.WithMaxHeldBytes(3 << 20)}}.start(t)
	for range 5 {
		s.post("/v1/check-lock", `{"key":"k","x":"`+large+`"}`).want(t, 500, object{"status": "internal_error"})
	}
}
