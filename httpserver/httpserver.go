package httpserver

import (
	"context"
	"net/http"
	"strings"

	"github.com/ailease/lease"
)

// Handler serves the API of one Manager. It is safe for concurrent use. There is nothing to close.
type Handler struct {
	settings
	manager  *lease.Manager
	routes   map[string]route
	held     held
	troubles troubles
	waits    context.Context // ended by EndWaits
	endWaits context.CancelFunc
}

// route is an endpoint. serve returns the body of a 200 answer, or an error of failures.go.
type route struct {
	method      string
	serve       func(c *call) (any, error)
	turn        int   // whose turn to call the store it is
	answerBytes int64 // that must be free before the store is called; 0 if the answer is short
}

// New returns a handler that answers for m. Exactly one of [WithAPIKeys], [WithAuthenticator] and
// [WithoutAuth] must be among the options. An error wraps [lease.ErrInvalid].
func New(m *lease.Manager, opts ...Option) (*Handler, error) {
	s, err := newSettings(m, opts)
	if err != nil {
		return nil, err
	}
	waits, endWaits := context.WithCancel(context.Background())
	h := &Handler{settings: s, manager: m, waits: waits, endWaits: endWaits, routes: map[string]route{
		"/v1/ai/lease":    {http.MethodPost, acquire, turnOfAnybody, acquireAnswerBytes},
		"/v1/ai/extend":   {http.MethodPost, extend, turnOfHolder, 0},
		"/v1/ai/release":  {http.MethodPost, release, turnOfHolder, 0},
		"/v1/ai/complete": {http.MethodPost, complete, turnOfHolder, 0},
		"/v1/ai/fail":     {http.MethodPost, fail, turnOfHolder, 0},
		"/v1/ai/cancel":   {http.MethodPost, cancel, turnOfHolder, 0},
		"/v1/ai/status":   {http.MethodGet, status, turnOfAnybody, 0},
		"/v1/ai/result":   {http.MethodGet, result, turnOfAnybody, resultAnswerBytes},
		runPath:           {http.MethodPost, run, turnOfAnybody, 0},
		checkLockPath:     {http.MethodPost, checkLock, turnOfAnybody, 0},

		"/v1/me":               {http.MethodGet, me, turnOfAnybody, 0},
		"/v1/me/notifications": {http.MethodPost, setNotifications, turnOfAnybody, 0},
		"/v1/usage":            {http.MethodGet, usageOfKind, turnOfAnybody, 0},
		"/v1/usage/all":        {http.MethodGet, usageOfAll, turnOfAnybody, 0},
		"/v1/metrics":          {http.MethodGet, metrics, turnOfAnybody, metricsAnswerBytes},
	}}
	h.held.init(s.maxHeldBytes)
	return h, nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{settings: &h.settings, handler: h, id: requestID(r), request: r, writer: w, header: w.Header(), share: share{of: &h.held}}
	c.header.Set("X-Request-Id", c.id)
	defer c.share.drop()
	defer c.recoverPanic()
	body, err := c.serve()
	if err == nil {
		err = c.answer(http.StatusOK, body)
	}
	if err != nil {
		c.refuse(err)
		return
	}
	h.succeeded()
}

func (c *call) serve() (any, error) {
	rt, ok := c.handler.routes[c.path()]
	if !ok {
		rt, ok = c.timelineRoute()
	}
	if err := c.admit(); err != nil { // first: a sender with a bad API key is told so whatever the path
		return nil, err
	}
	if !ok {
		return nil, errNoEndpoint
	}
	if method := c.request.Method; method != rt.method && !(method == http.MethodHead && rt.method == http.MethodGet) {
		allow := rt.method
		if allow == http.MethodGet {
			allow += ", " + http.MethodHead
		}
		if c.path() == eventsPath {
			allow += ", " + http.MethodPost
		}
		c.header.Set("Allow", allow)
		return nil, errMethod
	}
	if err := c.readFields(&rt); err != nil {
		return nil, err
	}
	ctx, cancel := c.newContext()
	defer cancel()
	c.ctx = ctx
	if err := c.share.begin(ctx, rt.turn); err != nil {
		return nil, err
	}
	if err := c.makeRoom(&rt); err != nil {
		return nil, err
	}
	body, err := rt.serve(c)
	c.count(body, err)
	if err != nil {
		return nil, &keyed{c.key, c.where, err}
	}
	return body, nil
}

// readFields reads the fields of the request.
func (c *call) readFields(rt *route) error {
	switch {
	case rt.turn == turnOfReader:
		return c.readPage()
	case c.path() == eventsPath:
		return c.readEvent()
	case rt.method == http.MethodPost:
		return c.readBody()
	default:
		return c.readQuery()
	}
}

// makeRoom finds out whether there is room for the answer, before the store is called. The room is
// kept if the call writes. The answer to a read can be refused also later.
func (c *call) makeRoom(rt *route) error {
	if rt.answerBytes == 0 {
		return nil
	}
	before := c.share.n + freeBytes
	if !c.share.grow(before + rt.answerBytes) {
		return errMemoryFull
	}
	if rt.method == http.MethodGet {
		c.share.grow(before)
	}
	return nil
}

// path is that of the request. A base URL that ends with a slash makes two slashes of the first
// one.
func (c *call) path() string { return "/" + strings.TrimLeft(c.request.URL.Path, "/") }

// keyless are the endpoints that are about no key.
var keyless = map[string]bool{
	"/v1/me": true, "/v1/me/notifications": true,
	"/v1/usage": true, "/v1/usage/all": true, "/v1/metrics": true,
}

// knownPath is the path for the log, which keeps nothing that anybody can make up.
func (c *call) knownPath() string {
	if _, ok := c.handler.routes[c.path()]; ok {
		return c.path()
	}
	if _, ok := c.timelineRoute(); !ok {
		return "unknown"
	}
	if c.namesTimeline() {
		return timelinePrefix + "{run_id}"
	}
	return c.path()
}
