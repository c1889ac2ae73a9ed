package httpserver

import (
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease/internal/runlink"
	"github.com/ailease/lease/usage"
)

// What is counted, and the endpoints that show it. Each shows the sender's namespace alone.

// plan is what clients of the hosted API are told of their plan. There are no limits here.
const plan = "self-hosted"

const (
	planHeader  = "X-OnceOnly-Plan"
	monthHeader = "X-OnceOnly-Month"
)

// errNotCounted is the answer without WithUsage. Zeros would be untrue: somebody may take them for
// work that nobody asked for.
var errNotCounted = errors.New("this server does not count requests: make its handler with WithUsage")

// WithUsage has the handler count what is asked of leases and locks, and show the sums at
// /v1/usage, /v1/usage/all and /v1/metrics. Without it, these answer 404. The counters are the
// caller's to close, after the server has shut down.
func WithUsage(c *usage.Counters) Option { return func(s *settings) { s.usage, s.withUsage = c, true } }

// counted is an answer, or an error, that is counted. Refused requests are not.
type counted interface {
	outcome() (usage.Kind, usage.Outcome)
}

func (a acquireAnswer) outcome() (usage.Kind, usage.Outcome) {
	switch {
	case a.Charged > 0:
		return usage.AI, usage.Charged
	case a.Status == "acquired":
		return usage.AI, usage.Repeated
	case a.Status == "polling":
		return usage.AI, usage.Polling
	}
	return usage.AI, usage.Blocked
}

func (a lockAnswer) outcome() (usage.Kind, usage.Outcome) {
	switch {
	case !a.Success:
		return usage.Make, usage.Blocked
	case a.repeated:
		return usage.Make, usage.Repeated
	}
	return usage.Make, usage.Charged
}

func (e *duplicate) outcome() (usage.Kind, usage.Outcome) { return usage.Make, usage.Blocked }

// count counts an answer. It never waits for the store.
func (c *call) count(body any, err error) {
	if c.usage == nil {
		return
	}
	a, ok := body.(counted)
	if err != nil {
		ok = errors.As(err, &a)
	}
	if ok {
		kind, outcome := a.outcome()
		c.usage.Count(c.namespace(), kind, outcome)
	}
}

// namespace is that of the sender.
func (c *call) namespace() string {
	_, namespace := runlink.Of(c.manager).Store()
	return namespace
}

// monthAnswer is what was counted of one kind in a month.
type monthAnswer struct {
	Usage    uint64  `json:"usage"` // what the hosted API charges for
	Limit    *uint64 `json:"limit"` // null: there is none
	Requests uint64  `json:"requests_total_month"`
	Blocked  uint64  `json:"blocked_total_month"`
	Charged  uint64  `json:"charged_total_month"`
	Polling  uint64  `json:"polling_total_month"`
}

type usageAnswer struct {
	Plan  string `json:"plan"`
	Month string `json:"month"`
	Kind  string `json:"kind"`
	monthAnswer
}

type usageAllAnswer struct {
	Plan  string      `json:"plan"`
	Month string      `json:"month"`
	Make  monthAnswer `json:"make"`
	AI    monthAnswer `json:"ai"`
}

func newMonthAnswer(t usage.Tally) monthAnswer {
	return monthAnswer{Usage: t.Charged, Requests: t.Requests, Blocked: t.Blocked, Charged: t.Charged, Polling: t.Polling}
}

func usageOfKind(c *call) (any, error) {
	kind := "make"
	if c.query.Has("kind") {
		kind = c.query.Get("kind")
	}
	if kind != "make" && kind != "ai" {
		c.wrong("kind", "literal_error", "Input should be 'make' or 'ai'")
	}
	all, err := c.month()
	if err != nil {
		return nil, err
	}
	a := usageAnswer{all.Plan, all.Month, kind, all.Make}
	if kind == "ai" {
		a.monthAnswer = all.AI
	}
	return a, nil
}

func usageOfAll(c *call) (any, error) {
	a, err := c.month()
	if err != nil {
		return nil, err
	}
	return a, nil
}

// month returns the sums of this month, and sets the headers of the answer.
func (c *call) month() (a usageAllAnswer, err error) {
	if c.usage == nil {
		return a, errNotCounted
	}
	if err := c.check(); err != nil {
		return a, err
	}
	now := c.usage.Now().UTC()
	sums, err := c.usage.Month(c.ctx, c.namespace(), now)
	if err != nil {
		return a, err
	}
	a = usageAllAnswer{plan, now.Format("2006-01"), newMonthAnswer(sums.Make), newMonthAnswer(sums.AI)}
	c.header.Set(planHeader, a.Plan)
	c.header.Set(monthHeader, a.Month)
	return a, nil
}

// metricsAnswerBytes is more than the longest answer of metrics: usage.MaxDays days with the
// largest numbers.
const metricsAnswerBytes = 128 << 10

type metricsAnswer struct {
	FromDay string      `json:"from_day"`
	ToDay   string      `json:"to_day"`
	Days    []usage.Day `json:"days"`
}

// metrics answers with every day of the range, oldest first: without dates the last 30, today
// included.
func metrics(c *call) (any, error) {
	if c.usage == nil {
		return nil, errNotCounted
	}
	to := c.day("to_day", c.usage.Now().UTC())
	from := c.day("from_day", to.AddDate(0, 0, -29))
	if err := c.check(); err != nil {
		return nil, err
	}
	fromDay, toDay := from.Format(time.DateOnly), to.Format(time.DateOnly)
	switch {
	case fromDay > toDay:
		c.wrong("from_day", "value_error", "Input should be no later than to_day")
	case to.Sub(from) >= usage.MaxDays*24*time.Hour:
		c.wrong("from_day", "value_error", fmt.Sprintf("Input should be within %d days with to_day", usage.MaxDays))
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	days, err := c.usage.Days(c.ctx, c.namespace(), from, to)
	if err != nil {
		return nil, err
	}
	return metricsAnswer{fromDay, toDay, days}, nil
}

// day is a date such as 2026-03-31, that of unless if it was not sent.
func (c *call) day(field string, unless time.Time) time.Time {
	if !c.query.Has(field) {
		return unless.Truncate(24 * time.Hour)
	}
	t, err := time.Parse(time.DateOnly, c.query.Get(field))
	if err != nil || t.Year() < 1970 {
		c.wrong(field, "date_from_datetime_parsing", "Input should be a valid date such as 2026-03-31, from 1970 on")
		return unless.Truncate(24 * time.Hour)
	}
	return t
}
