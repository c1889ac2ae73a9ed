package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// Errors that have no sentinel elsewhere.
var (
	errNoEndpoint = errors.New("no such endpoint")
	errMethod     = errors.New("method not allowed")
	errMediaType  = errors.New("the body must be JSON: send Content-Type: application/json")
)

// keyed is an error about a key, and where the fields of the request were.
type keyed struct {
	key   string
	where string
	err   error
}

func (e *keyed) Error() string { return e.err.Error() }
func (e *keyed) Unwrap() error { return e.err }

// failureAnswer is the body of every answer that is not 200.
type failureAnswer struct {
	OK     bool   `json:"ok"`
	Status string `json:"status"`
	Key    string `json:"key,omitempty"`
	Detail any    `json:"detail"`
}

// detail explains a failure. State and what follows describe the lease that stands in the way.
type detail struct {
	Error     string  `json:"error"`
	Message   string  `json:"message"`
	State     string  `json:"state,omitempty"`
	Version   uint64  `json:"version,omitempty"`
	DoneAt    *string `json:"done_at,omitempty"`
	ErrorCode string  `json:"error_code,omitempty"`
}

// refusals says how each error is answered. The first row that matches counts. With 5xx the client
// gets the text, and the log the error.
var refusals = []struct {
	err    error
	code   int
	status string
	text   string
}{
	{err: lease.ErrNotFound, code: http.StatusNotFound, status: "not_found"},
	{err: lease.ErrLost, code: http.StatusConflict, status: "lease_lost"},
	{err: lease.ErrFinished, code: http.StatusConflict, status: "already_finished"},
	{err: lease.ErrInputMismatch, code: http.StatusConflict, status: "input_mismatch"},
	{err: errNoEndpoint, code: http.StatusNotFound, status: "no_such_endpoint"},
	{err: errMethod, code: http.StatusMethodNotAllowed, status: "method_not_allowed"},
	{err: errMediaType, code: http.StatusUnsupportedMediaType, status: "unsupported_media_type"},
	{err: backend.ErrInvalid, code: http.StatusRequestEntityTooLarge, status: "too_large",
		text: "the store takes no record of this size; nothing was written: send a smaller result, metadata or checkpoint"},
	{err: lease.ErrUnknownOutcome, code: http.StatusServiceUnavailable, status: "unknown_outcome",
		text: "the store went away during the write, which may have been applied: repeat the request with the same fields; a lease or check-lock needs the nonce that it had"},
	{err: lease.ErrUnreadable, code: http.StatusInternalServerError, status: "unreadable_record",
		text: "the record of this key is damaged, or was written by a newer version: an operator must look at it"},
	{err: lease.ErrUnavailable, code: http.StatusServiceUnavailable, status: "unavailable",
		text: "the store cannot be reached; nothing was written: repeat the request"},
	{err: context.Canceled, code: http.StatusServiceUnavailable, status: "unavailable", text: "the request was cancelled; nothing was written"},
	{err: context.DeadlineExceeded, code: http.StatusServiceUnavailable, status: "unavailable", text: "the request took too long; nothing was written"},
}

// retryAfterUnavailable is how long a client is told to wait if the store cannot be reached.
const retryAfterUnavailable = time.Second

// refuse answers with what err means to the client.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, id string, err error) {
	a := failureAnswer{}
	where := "body"
	if k, ok := errors.AsType[*keyed](err); ok {
		a.Key, where = k.key, k.where
	}
	code := h.diagnose(w, r, id, where, err, &a)
	answer(w, code, a)
}

// diagnose fills in a, sets headers, and returns the status code.
func (h *Handler) diagnose(w http.ResponseWriter, r *http.Request, id, where string, err error, a *failureAnswer) int {
	if errors.Is(err, ErrNoAPIKey) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		a.Status, a.Detail = "unauthorized", "Missing Authorization Bearer token"
		return http.StatusUnauthorized
	}
	if errors.Is(err, ErrBadAPIKey) {
		a.Status, a.Detail = "forbidden", "Invalid API key"
		return http.StatusForbidden
	}
	if bad, ok := errors.AsType[badRequest](err); ok {
		a.Status, a.Detail = "invalid_request", bad
		return http.StatusUnprocessableEntity
	}
	if bad, ok := errors.AsType[*lease.FieldError](err); ok {
		a.Status = "invalid_request"
		a.Detail = badRequest{{Type: "value_error", Loc: []string{where, bad.Field}, Msg: "Value error, " + bad.Field + ": " + bad.Problem}}
		return http.StatusUnprocessableEntity
	}
	if dup, ok := errors.AsType[*duplicate](err); ok {
		a.Status, a.Detail = "duplicate", dup
		return http.StatusConflict
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		a.Status = "too_large"
		a.Detail = detail{Error: a.Status, Message: fmt.Sprintf("the body is larger than %d bytes", large.Limit)}
		return http.StatusRequestEntityTooLarge
	}
	if limited, ok := errors.AsType[*rateLimited](err); ok {
		setRetryAfter(w, limited.after)
		a.Status = "rate_limited"
		a.Detail = detail{Error: a.Status, Message: limited.Error()}
		return http.StatusTooManyRequests
	}
	for _, known := range refusals {
		if !errors.Is(err, known.err) {
			continue
		}
		d := detail{Error: known.status, Message: known.text}
		if d.Message == "" {
			d.Message = err.Error()
		}
		if e, ok := errors.AsType[*lease.Error](err); ok && e.Lease.State != "" && known.code == http.StatusConflict {
			d.State, d.Version, d.DoneAt, d.ErrorCode = string(e.Lease.State), e.Lease.Version, instant(e.Lease.DoneAt), e.Lease.ErrorCode
		}
		a.Status, a.Detail = known.status, d
		if known.code >= http.StatusInternalServerError {
			h.logFailure(r, id, known.code, err)
		}
		if known.code == http.StatusServiceUnavailable {
			setRetryAfter(w, retryAfterUnavailable)
		}
		return known.code
	}
	panic(err) // an error without a row is a bug
}

func setRetryAfter(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.FormatInt(max(1, *wholeSeconds(d)), 10))
}

func (h *Handler) logFailure(r *http.Request, id string, code int, err error) {
	if r.Context().Err() != nil {
		return // the client has gone
	}
	log := h.logger.WarnContext
	if code == http.StatusInternalServerError {
		log = h.logger.ErrorContext
	}
	log(r.Context(), "httpserver: request failed", "request_id", id, "path", r.URL.Path, "status", code, "err", err)
}

// recoverPanic is to be deferred. It logs a panic, of which the client learns only the request id.
func (h *Handler) recoverPanic(w http.ResponseWriter, r *http.Request, id string) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	h.logger.ErrorContext(r.Context(), "httpserver: panic", "request_id", id, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	answer(w, http.StatusInternalServerError, failureAnswer{Status: "internal_error", Detail: detail{
		Error: "internal_error", Message: "this is a bug of the server; its log has more under request id " + id}})
}
