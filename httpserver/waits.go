package httpserver

import (
	"context"
	"fmt"
	"time"

	"github.com/ailease/lease"
)

// mostWait is the longest that a status request is held. A longer wait is cut to it.
const mostWait = 60 * time.Second

// EndWaits answers the status requests that are being held, and all that come later, with how
// things stand. Register it with [net/http.Server.RegisterOnShutdown]. Otherwise a shutdown waits
// for those requests, up to a minute.
func (h *Handler) EndWaits() { h.endWaits() }

// wait is how long the answer is to be held: a number of seconds, or a Go duration.
func (c *call) wait() time.Duration {
	v := c.query.Get("wait")
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		d, err = time.ParseDuration(v + "s")
	}
	if err != nil || d < 0 {
		c.wrong("wait", "time_delta_parsing", fmt.Sprintf("Input should be a valid duration, such as 30s, or a number of seconds, up to %v", mostWait))
		return 0
	}
	return min(d, mostWait)
}

// statusWithin returns the status once the lease has ended or expired, or after d at the latest.
// While it waits, the store is not called for it alone, and others may call it.
func (c *call) statusWithin(d time.Duration) (lease.Lease, error) {
	l, err := c.manager.Status(c.ctx, c.key)
	expired := l.State == lease.StateExpired && !l.Released // perhaps not by all clocks yet
	if d == 0 || err != nil || l.State != lease.StateInProgress && !expired {
		return l, err
	}
	c.share.end()
	held, endHeld := context.WithTimeout(c.request.Context(), d)
	defer endHeld()
	defer context.AfterFunc(c.handler.waits, endHeld)()
	if l, err = c.manager.Wait(held, c.key); err == nil || held.Err() == nil {
		return l, err
	}
	ctx, cancel := c.newContext()
	defer cancel()
	if err := c.share.begin(ctx, turnOfAnybody); err != nil {
		return lease.Lease{}, err
	}
	return c.manager.Status(ctx, c.key)
}
