package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/runlink"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/timeline"
)

// The timelines of leases and runs, for reading. They exist with WithTimeline alone.

const (
	eventsPath     = "/v1/events"
	timelinesPath  = "/v1/runs"
	timelinePrefix = "/v1/runs/" // a run id follows, percent-encoded
)

// Pages of timelines, unless a request says otherwise.
const (
	defaultPage     = 50
	defaultTimeline = 200
	mostOffset      = 1<<31 - 1
)

// timelineAnswerBytes bounds a page: it ends early with the entry that reaches this. A handler that
// may hold little has shorter ones, see timelineBytes.
const timelineAnswerBytes = 4 << 20

func (s *settings) timelineBytes() int64 { return min(timelineAnswerBytes, s.maxHeldBytes/4) }

// timelineRoute finds the endpoint of a request for timelines.
func (c *call) timelineRoute() (rt route, ok bool) {
	if c.timeline == nil {
		return rt, false
	}
	read := func(serve func(c *call) (any, error)) (route, bool) {
		return route{http.MethodGet, serve, turnOfReader, c.timelineBytes()}, true
	}
	switch path := c.path(); {
	case path == eventsPath && c.request.Method == http.MethodPost:
		return route{http.MethodPost, postEvent, turnOfEvent, 0}, true
	case path == eventsPath:
		return read(newestEvents)
	case path == timelinesPath:
		return read(listTimelines)
	case c.namesTimeline():
		return read(readTimeline)
	}
	return rt, false
}

// namesTimeline tells whether the path has a run id. That is one segment, whose slashes are
// escaped.
func (c *call) namesTimeline() bool {
	_, ok := c.timelineID()
	return ok
}

func (c *call) timelineID() (id string, ok bool) {
	path := "/" + strings.TrimLeft(c.request.URL.EscapedPath(), "/")
	segment, ok := strings.CutPrefix(path, timelinePrefix)
	if !ok || segment == "" || strings.Contains(segment, "/") {
		return "", false
	}
	id, err := url.PathUnescape(segment)
	return id, err == nil
}

// newestEvents answers with the newest entries of the namespace.
func newestEvents(c *call) (any, error) {
	limit := c.number("limit", 1, timeline.MaxNewest, defaultPage)
	offset := c.number("offset", 0, timeline.MaxOffset, 0)
	if err := c.check(); err != nil {
		return nil, err
	}
	c.flushManager()
	entries, err := c.timeline.Newest(c.ctx, c.timelineNamespace(), offset, limit)
	if err != nil {
		return nil, err
	}
	return c.showEntries(entries), nil
}

type timelinesAnswer struct {
	Total int               `json:"total"`
	Items []json.RawMessage `json:"items"`
}

type timelineItem struct {
	RunID       string  `json:"run_id"`
	LastTS      *int64  `json:"last_ts"`
	LastType    string  `json:"last_type"`
	LastStatus  *string `json:"last_status"`
	EventsCount int     `json:"events_count"`
}

// listTimelines answers with the timelines of the namespace, the one with the newest entry first.
func listTimelines(c *call) (any, error) {
	limit := c.number("limit", 1, timeline.MaxNewest, defaultPage)
	offset := c.number("offset", 0, mostOffset, 0)
	prefix := c.query.Get("q")
	if !utf8.ValidString(prefix) || len(prefix) > backend.MaxKeyBytes {
		c.wrong("q", "value_error", fmt.Sprintf("Input should be valid UTF-8 of up to %d bytes: it has %d", backend.MaxKeyBytes, len(prefix)))
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	c.flushManager()
	found, total, err := c.timeline.Runs(c.ctx, c.timelineNamespace(), prefix, offset, limit)
	if err != nil {
		return nil, err
	}
	a := timelinesAnswer{total, []json.RawMessage{}}
	for left, i := c.timelineBytes(), 0; i < len(found) && left > 0; i++ {
		s := &found[i]
		item := encode(timelineItem{s.RunID, unixSeconds(s.Last.Time), s.Last.Type, text(s.Last.Status), s.Count})
		a.Items, left = append(a.Items, item), left-int64(len(item))
	}
	return a, nil
}

type timelineAnswer struct {
	RunID  string            `json:"run_id"`
	Total  int               `json:"total"`
	Events []json.RawMessage `json:"events"`
}

// readTimeline answers with the entries of one timeline, oldest first.
func readTimeline(c *call) (any, error) {
	limit := c.number("limit", 1, timeline.MaxRead, defaultTimeline)
	offset := c.number("offset", 0, mostOffset, 0)
	if err := c.check(); err != nil {
		return nil, err
	}
	id, _ := c.timelineID()
	c.flushManager()
	entries, total, err := runs.New(c.manager, runs.WithTimeline(c.timeline)).Timeline(c.ctx, id, offset, limit)
	switch bad, ok := errors.AsType[*lease.FieldError](err); {
	case ok && bad.Field == "run_id":
		c.where = "path"
		return nil, err
	case errors.Is(err, lease.ErrUnreadable): // the record of the run, and not its timeline
		c.report(recordBad, err)
	case err != nil:
		return nil, err
	}
	return timelineAnswer{id, total, c.showEntries(entries)}, nil
}

// timelineNamespace is the namespace that the sender may use.
func (c *call) timelineNamespace() string {
	_, namespace := runlink.Of(c.manager).Store()
	return namespace
}

// flushManager waits until the timelines have what the Manager has done, unless observers are slow:
// whoever has acquired a lease finds it in the timeline.
func (c *call) flushManager() {
	ctx, cancel := context.WithTimeout(c.ctx, 100*time.Millisecond)
	defer cancel()
	_ = c.manager.Flush(ctx)
}

// readPage reads the fields of a page.
func (c *call) readPage() error { return c.parseQuery("limit", "offset", "q") }

// number is a whole number of the query from least to most; unless if it was not sent.
func (c *call) number(field string, least, most, unless int) int {
	if !c.query.Has(field) {
		return unless
	}
	n, err := strconv.Atoi(c.query.Get(field)) // the nearest int if it is out of range
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		c.wrong(field, "int_parsing", "Input should be a valid integer")
	case n < least:
		c.wrong(field, "greater_than_equal", fmt.Sprintf("Input should be greater than or equal to %d", least))
	case n > most:
		c.wrong(field, "less_than_equal", fmt.Sprintf("Input should be less than or equal to %d", most))
	}
	return n
}
