package httpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ailease/lease"
)

// call is one request of an admitted sender. The methods that read a field note what is wrong with it; check gives it all back at once.
type call struct {
	*settings
	manager *lease.Manager
	request *http.Request
	header  http.Header     // of the answer
	ctx     context.Context // of what is asked of the store
	waits   context.Context

	where    string                     // "body" or "query": where the fields are
	fields   map[string]json.RawMessage // of a body
	query    url.Values
	key      string // as soon as it is known, for error answers
	problems []problem
}

// problem is one entry of FastAPI's list of what is wrong with a request, which the hosted API's clients know.
type problem struct {
	Type  string    `json:"type"`
	Loc   []string  `json:"loc"`
	Msg   string    `json:"msg"`
	Input *struct{} `json:"input,omitempty"` // {} for a missing field; a value is not sent back: it can be large, or secret
}

// badRequest is a request with something wrong in it.
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

func (c *call) readBody(w http.ResponseWriter) error {
	c.where = "body"
	if ct := c.request.Header.Get("Content-Type"); ct != "" {
		media, _, err := mime.ParseMediaType(ct)
		if err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
			return errMediaType
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, c.request.Body, c.maxBodyBytes))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return err
		}
		return badRequest{{Type: "body_unreadable", Loc: []string{"body"}, Msg: "The body ended too early"}}
	}
	if !utf8.Valid(body) { // encoding/json would replace what is not, and two keys would become one
		return badRequest{{Type: "json_invalid", Loc: []string{"body"}, Msg: fmt.Sprintf("JSON decode error: %d bytes that are not valid UTF-8", len(body))}}
	}
	if err := json.Unmarshal(body, &c.fields); err != nil {
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return badRequest{{Type: "model_attributes_type", Loc: []string{"body"}, Msg: "Input should be a valid JSON object"}}
		}
		return badRequest{{Type: "json_invalid", Loc: []string{"body"}, Msg: "JSON decode error: " + err.Error()}}
	}
	if c.fields == nil {
		return badRequest{{Type: "model_attributes_type", Loc: []string{"body"}, Msg: "Input should be a valid JSON object"}}
	}
	c.key = c.text("key", true)
	return nil
}

// readQuery takes the key from the query, in which a GET has it.
func (c *call) readQuery() error {
	c.where = "query"
	q, err := url.ParseQuery(c.request.URL.RawQuery)
	if err != nil {
		return badRequest{{Type: "query_invalid", Loc: []string{"query"}, Msg: "The query is not URL-encoded: " + err.Error()}}
	}
	if !q.Has("key") {
		c.missing("key")
	}
	c.key, c.query = q.Get("key"), q
	return nil
}

func (c *call) missing(field string) {
	c.problems = append(c.problems, problem{"missing", []string{c.where, field}, "Field required", &struct{}{}})
}

func (c *call) wrong(field, kind, msg string) {
	c.problems = append(c.problems, problem{Type: kind, Loc: []string{c.where, field}, Msg: msg})
}

// raw is the field as it was sent; nil if it was not, or is null.
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
	var s string
	if json.Unmarshal(v, &s) != nil {
		c.wrong(field, "string_type", "Input should be a valid string")
	}
	// Half of a surrogate pair becomes U+FFFD, like any other: two keys would become one.
	if strings.Count(s, "\ufffd") > bytes.Count(v, []byte("\ufffd"))+bytes.Count(bytes.ToLower(v), []byte(`\ufffd`)) {
		c.wrong(field, "string_unicode", "Input should be a valid string: it has half of a surrogate pair")
	}
	return s
}

func (c *call) flag(field string) (b bool) {
	if v := c.raw(field); v != nil && json.Unmarshal(v, &b) != nil {
		c.wrong(field, "bool_type", "Input should be a valid boolean")
	}
	return b
}

// ttl is in whole seconds; 0 if it was not sent. One too long for a Duration is as good as the longest, and is clamped.
func (c *call) ttl() time.Duration {
	v := c.raw("ttl")
	if v == nil {
		return 0
	}
	var seconds float64
	if json.Unmarshal(v, &seconds) != nil || seconds != math.Trunc(seconds) {
		c.wrong("ttl", "int_type", "Input should be a valid integer, in seconds")
		return 0
	}
	if seconds < 1 {
		c.wrong("ttl", "greater_than_equal", fmt.Sprintf("Input should be greater than or equal to 1 second, is %s", v))
		return 0
	}
	const most = 1 << 33 // seconds, which a Duration holds
	return time.Duration(min(seconds, most)) * time.Second
}

// check is to be called when all fields have been read.
func (c *call) check() error {
	if len(c.problems) > 0 {
		return badRequest(c.problems)
	}
	return nil
}
