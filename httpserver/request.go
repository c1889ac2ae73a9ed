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

// call is one request of an admitted sender. The methods that read a field note what is wrong with
// it, and check returns all problems at once.
type call struct {
	*settings
	manager *lease.Manager
	request *http.Request
	header  http.Header     // of the answer
	ctx     context.Context // for the store
	waits   context.Context

	where    string                     // the fields are in the "body" or the "query"
	fields   map[string]json.RawMessage // of a body
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
	if !utf8.Valid(body) { // encoding/json would replace the bytes, and two keys would become one
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

// readQuery reads the fields of a GET.
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
	var s string
	if json.Unmarshal(v, &s) != nil {
		c.wrong(field, "string_type", "Input should be a valid string")
	}
	// encoding/json makes U+FFFD of half a surrogate pair, and two keys would become one.
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

// seconds is a duration in whole seconds; 0 if it was not sent. The Manager clamps or refuses what
// is too long.
func (c *call) seconds(field string) time.Duration {
	v := c.raw(field)
	if v == nil {
		return 0
	}
	var n float64
	if json.Unmarshal(v, &n) != nil || n != math.Trunc(n) {
		c.wrong(field, "int_type", "Input should be a valid integer, in seconds")
		return 0
	}
	if n < 1 {
		c.wrong(field, "greater_than_equal", fmt.Sprintf("Input should be greater than or equal to 1 second, is %s", v))
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
