package httpserver

import (
	"context"
	"net/http"

	"github.com/ailease/lease"
)

// Handler serves the API of one Manager. It is safe for concurrent use. There is nothing to close.
type Handler struct {
	settings
	manager  *lease.Manager
	routes   map[string]route
	waits    context.Context // ended by EndWaits
	endWaits context.CancelFunc
}

// route is an endpoint. serve returns the body of a 200 answer, or an error of failures.go.
type route struct {
	method string
	serve  func(c *call) (any, error)
}

// New returns a handler that answers for m. Exactly one of [WithAPIKeys], [WithAuthenticator] and
// [WithoutAuth] must be among the options. An error wraps [lease.ErrInvalid].
func New(m *lease.Manager, opts ...Option) (*Handler, error) {
	s, err := newSettings(m, opts)
	if err != nil {
		return nil, err
	}
	waits, endWaits := context.WithCancel(context.Background())
	return &Handler{settings: s, manager: m, waits: waits, endWaits: endWaits, routes: map[string]route{
		"/v1/ai/lease":    {http.MethodPost, acquire},
		"/v1/ai/extend":   {http.MethodPost, extend},
		"/v1/ai/release":  {http.MethodPost, release},
		"/v1/ai/complete": {http.MethodPost, complete},
		"/v1/ai/fail":     {http.MethodPost, fail},
		"/v1/ai/cancel":   {http.MethodPost, cancel},
		"/v1/ai/status":   {http.MethodGet, status},
		"/v1/ai/result":   {http.MethodGet, result},
		"/v1/check-lock":  {http.MethodPost, checkLock},
	}}, nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := requestID(r)
	w.Header().Set("X-Request-Id", id)
	defer h.recoverPanic(w, r, id)
	body, err := h.serve(w, r)
	if err != nil {
		h.refuse(w, r, id, err)
		return
	}
	answer(w, http.StatusOK, body)
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	m, err := h.admit(r) // first: a sender with a bad API key is told so whatever the path
	if err != nil {
		return nil, err
	}
	rt, ok := h.routes[r.URL.Path]
	if !ok {
		return nil, errNoEndpoint
	}
	if r.Method != rt.method && !(r.Method == http.MethodHead && rt.method == http.MethodGet) {
		allow := rt.method
		if allow == http.MethodGet {
			allow += ", " + http.MethodHead
		}
		w.Header().Set("Allow", allow)
		return nil, errMethod
	}
	c := &call{settings: &h.settings, manager: m, request: r, header: w.Header(), waits: h.waits}
	if rt.method == http.MethodPost {
		err = c.readBody(w)
	} else {
		err = c.readQuery()
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.newContext()
	defer cancel()
	c.ctx = ctx
	body, err := rt.serve(c)
	if err != nil {
		return nil, &keyed{c.key, c.where, err}
	}
	return body, nil
}
