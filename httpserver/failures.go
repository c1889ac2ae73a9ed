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
	errEncoding   = errors.New("the body must not be compressed: send no Content-Encoding")

	errBodyTimeout = errors.New("the body did not come in time")
	errMemoryFull  = errors.New("the bodies and answers under way hold too much memory")
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
	err     error
	code    int
	status  string
	text    string
	trouble trouble // with 5xx; the zero value is storeAway
}{
	{err: lease.ErrNotFound, code: http.StatusNotFound, status: "not_found"},
	{err: lease.ErrLost, code: http.StatusConflict, status: "lease_lost"},
	{err: lease.ErrFinished, code: http.StatusConflict, status: "already_finished"},
	{err: lease.ErrInputMismatch, code: http.StatusConflict, status: "input_mismatch"},
	{err: errNoEndpoint, code: http.StatusNotFound, status: "no_such_endpoint"},
	{err: errNoTool, code: http.StatusNotFound, status: "tool_not_found"},
	{err: errNotCounted, code: http.StatusNotFound, status: "usage_not_counted"},
	{err: errMethod, code: http.StatusMethodNotAllowed, status: "method_not_allowed"},
	{err: errMediaType, code: http.StatusUnsupportedMediaType, status: "unsupported_media_type"},
	{err: errEncoding, code: http.StatusUnsupportedMediaType, status: "unsupported_media_type"},
	{err: errBodyTimeout, code: http.StatusRequestTimeout, status: "request_timeout"},
	{err: errCrossOrigin, code: http.StatusForbidden, status: "cross_origin"},
	{err: errForeignHost, code: http.StatusForbidden, status: "foreign_host"},
	{err: errMemoryFull, code: http.StatusServiceUnavailable, status: "unavailable", trouble: memoryFull,
		text: "the server holds too many large requests and unread answers; nothing was written: repeat the request"},
	{err: backend.ErrInvalid, code: http.StatusRequestEntityTooLarge, status: "too_large",
		text: "the store takes no record of this size; nothing was written: send a smaller result, metadata or checkpoint"},
	{err: lease.ErrUnknownOutcome, code: http.StatusServiceUnavailable, status: "unknown_outcome",
		text: "the store went away during the write, which may have been applied: repeat the request with the same fields; a lease or check-lock needs the nonce that it had"},
	{err: lease.ErrUnreadable, code: http.StatusInternalServerError, status: "unreadable_record", trouble: recordBad,
		text: "the record of this key is damaged, or was written by a newer version: an operator must look at it"},
	{err: lease.ErrUnavailable, code: http.StatusServiceUnavailable, status: "unavailable",
		text: "the store cannot be reached; nothing was written: repeat the request"},
	{err: context.Canceled, code: http.StatusServiceUnavailable, status: "unavailable", text: "the request was cancelled; nothing was written"},
	{err: context.DeadlineExceeded, code: http.StatusServiceUnavailable, status: "unavailable", text: "the request took too long; nothing was written"},
}

// retryAfterUnavailable is how long a client is told to wait if the store cannot be reached.
const retryAfterUnavailable = time.Second

// refuse answers with what err means to the client. The answer names the key only if the Manager
// has checked it, and nothing else of the request.
func (c *call) refuse(err error) {
	a := failureAnswer{}
	where := "body"
	if k, ok := errors.AsType[*keyed](err); ok {
		a.Key, where = k.key, k.where
	}
	code := c.diagnose(where, err, &a)
	if code == http.StatusUnprocessableEntity {
		a.Key = ""
	}
	if !c.admitted {
		c.hangUp() // it may have sent many requests, and read no answer
	}
	c.answer(c.down(code), a)
}

// down is the status code of an answer that cannot be given, see WithCheckLockDown.
func (c *call) down(code int) int {
	if code < http.StatusInternalServerError || c.path() != checkLockPath || c.checkLockDown == http.StatusServiceUnavailable {
		return code
	}
	if c.header.Get("Retry-After") == "" {
		c.setRetryAfter(retryAfterUnavailable)
	}
	return c.checkLockDown
}

// diagnose fills in a, sets headers, and returns the status code.
func (c *call) diagnose(where string, err error, a *failureAnswer) int {
	if errors.Is(err, ErrNoAPIKey) {
		c.header.Set("WWW-Authenticate", "Bearer")
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
		c.setRetryAfter(limited.after)
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
			c.logFailure(known.trouble, err)
		}
		if known.code == http.StatusServiceUnavailable {
			c.setRetryAfter(retryAfterUnavailable)
		}
		return known.code
	}
	panic(err) // an error without a row is a bug
}

// mostRetryAfter bounds Retry-After: clients sleep for as long as it says.
const mostRetryAfter = time.Minute

func (c *call) setRetryAfter(d time.Duration) {
	c.header.Set("Retry-After", strconv.FormatInt(max(1, *wholeSeconds(min(d, mostRetryAfter))), 10))
}

func (c *call) logFailure(kind trouble, err error) {
	if c.request.Context().Err() == nil { // else the client has gone
		c.report(kind, err)
	}
}

// recoverPanic is to be deferred. It logs a panic, of which the client learns only the request id.
func (c *call) recoverPanic() {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	c.logger.ErrorContext(c.request.Context(), "httpserver: panic", "request_id", c.id, "path", c.knownPath(), "panic", p, "stack", string(debug.Stack()))
	c.answer(c.down(http.StatusInternalServerError), failureAnswer{Status: "internal_error", Detail: detail{
		Error: "internal_error", Message: "this is a bug of the server; its log has more under request id " + c.id}})
}
