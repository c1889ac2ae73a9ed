package httpserver

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ailease/lease"
)

// call is one request and its answer. The methods that read a field note what is wrong with it, and
// check returns all problems at once.
type call struct {
	*settings
	handler *Handler
	manager *lease.Manager
	id      string // of the request, for its answer and the log
	request *http.Request
	writer  http.ResponseWriter
	header  http.Header     // of the answer
	ctx     context.Context // for the store

	admitted bool
	share    share // of what requests may hold
	bodyRead bool  // to its end

	where    string                     // the fields are in the "body" or the "query"
	fields   map[string]json.RawMessage // of a body
	names    []string                   // of the fields of an event, in their order
	query    url.Values
	key      string // for error answers, as soon as it is known
	problems []problem
}

// problem is an entry of FastAPI's list of validation errors, which clients of the hosted API know.
type problem struct {
	Type  string    `json:"type"`
	Loc   []string  `json:"loc"`
	Msg   string    `json:"msg"`
	Input *struct{} `json:"input,omitempty"` // {} for a missing field; a value may be large or secret
}

// badRequest lists what is wrong with a request.
type badRequest []problem

func (e badRequest) Error() string {
	var b strings.Builder
	for i, p := range e {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", strings.Join(p.Loc, "."), p.Msg)
	}
	return b.String()
}

func (c *call) newContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.request.Context(), c.storeTimeout)
}

// readQuery reads the fields of a GET.
func (c *call) readQuery() error {
	if keyless[c.path()] {
		return c.parseQuery("kind", "from_day", "to_day")
	}
	if err := c.parseQuery("key", "wait"); err != nil {
		return err
	}
	if !c.query.Has("key") {
		c.missing("key")
	}
	c.key = c.query.Get("key")
	return nil
}

// parseQuery reads a query with fields of these names.
func (c *call) parseQuery(names ...string) error {
	c.where = "query"
	q, err := url.ParseQuery(c.request.URL.RawQuery)
	if err != nil {
		return badRequest{{Type: "query_invalid", Loc: []string{"query"}, Msg: "The query is not URL-encoded"}}
	}
	for _, name := range names {
		if len(q[name]) > 1 {
			c.twice(name)
		}
	}
	c.query = q
	return nil
}

func (c *call) missing(field string) {
	c.problems = append(c.problems, problem{"missing", []string{c.where, field}, "Field required", &struct{}{}})
}

func (c *call) wrong(field, kind, msg string) { c.wrongAt([]string{field}, kind, msg) }

// wrongAt is wrong for a member of a field.
func (c *call) wrongAt(loc []string, kind, msg string) {
	c.problems = append(c.problems, problem{Type: kind, Loc: append([]string{c.where}, loc...), Msg: msg})
}

// twice refuses a field that was sent more than once: a proxy in front may have looked at the other
// one.
func (c *call) twice(loc ...string) {
	c.wrongAt(loc, "duplicate", "Input should be given once, and is given more than once")
}

// twiceInHeader is the same for a header.
func twiceInHeader(name string) error {
	return badRequest{{Type: "duplicate", Loc: []string{"header", name}, Msg: "The header should be given once, and is given more than once"}}
}

// raw returns the field as it was sent; nil if it was not sent, or is null.
func (c *call) raw(field string) json.RawMessage {
	v := c.fields[field]
	if string(v) == "null" {
		return nil
	}
	return v
}

func (c *call) text(field string, required bool) string {
	v := c.raw(field)
	if v == nil {
		if required {
			c.missing(field)
		}
		return ""
	}
	s, kind, msg := decodeText(v)
	if kind != "" {
		c.wrong(field, kind, msg)
	}
	return s
}

// decodeText returns the text that v is, valid JSON or nothing, or the problem with it.
func decodeText(v json.RawMessage) (s, kind, msg string) {
	if len(v) == 0 || v[0] != '"' {
		return "", "string_type", "Input should be a valid string"
	}
	if len(v) > mostTextBytes {
		return "", "string_too_long", fmt.Sprintf("Input should be shorter: it has %d bytes", len(v)-2)
	}
	if halfPair(v) {
		return "", "string_unicode", "Input should be a valid string: it has half of a surrogate pair"
	}
	json.Unmarshal(v, &s) // a valid string
	return s, "", ""
}

// mostTextBytes is more than a text field may have as JSON, with every character escaped. A
// longer one is not copied.
const mostTextBytes = 32 << 10

func (c *call) flag(field string) (b bool) {
	if v := c.raw(field); v != nil && json.Unmarshal(v, &b) != nil {
		c.wrong(field, "bool_type", "Input should be a valid boolean")
	}
	return b
}

// seconds is a duration in whole seconds; 0 if it was not sent. The Manager clamps or refuses what
// is too long.
func (c *call) seconds(field string) time.Duration { return c.secondsFrom(1, field) }

// secondsFrom is seconds for a duration of at least so many.
func (c *call) secondsFrom(least int, field string) time.Duration {
	v := c.raw(field)
	if v == nil {
		return 0
	}
	var n float64
	if json.Unmarshal(v, &n) != nil || n != math.Trunc(n) {
		c.wrong(field, "int_type", "Input should be a valid integer, in seconds")
		return 0
	}
	if n < float64(least) {
		c.wrong(field, "greater_than_equal", fmt.Sprintf("Input should be greater than or equal to %d second", least))
		return 0
	}
	const most = 1 << 33 // fits into a Duration
	return time.Duration(min(n, most)) * time.Second
}

// sequence is a number from 1 on; 0 if it was not sent. A 0 that was sent would be taken for that,
// and is refused.
func (c *call) sequence(field string) (n uint64) {
	v := c.raw(field)
	if v != nil && (json.Unmarshal(v, &n) != nil || n < 1) {
		c.wrong(field, "greater_than_equal", "Input should be a valid integer, greater than or equal to 1")
	}
	return n
}

// check returns what is wrong with the fields. Call it after reading them all.
func (c *call) check() error {
	if len(c.problems) > 0 {
		return badRequest(c.problems)
	}
	return nil
}
