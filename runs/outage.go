package runs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/timeline"
)

// outage is what a Runner knows of a journal that is away. A worker that waits for the journal has
// a place that another run needs. So one call at a time waits, for a short while, and the others
// fail at once. Between two such calls all do.
type outage struct {
	mu      sync.Mutex
	on      bool      // the last call to the journal has failed
	waiting bool      // a call waits for the end of the outage
	next    time.Time // when another may
}

// errJournalAway is the error of a call that does not wait.
var errJournalAway = fmt.Errorf("%w: the journal is away", lease.ErrUnavailable)

// enter tells how long the caller may wait for the journal, up to most. 0: not at all. Otherwise it
// calls leave.
func (o *outage) enter(now time.Time, most time.Duration) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case !o.on:
		return most
	case o.waiting || now.Before(o.next):
		return 0
	}
	o.waiting = true
	return min(most, promptly)
}

// leave notes what a call has come to.
func (o *outage) leave(now time.Time, away bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.on, o.waiting, o.next = away, false, now.Add(storyFor)
}

// known tells whether the journal is away, as far as is known.
func (o *outage) known() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.on
}

// append appends entries to timelines, and waits up to most for the journal. Entries that no
// journal will ever take are left out.
func (s storied) append(ctx context.Context, most time.Duration, entries ...timeline.Entry) error {
	return s.wait(ctx, most, func(ctx context.Context) error {
		err := s.timeline.Append(ctx, entries...)
		if errors.Is(err, lease.ErrInvalid) {
			return nil
		}
		return err
	})
}

// wait calls the journal and waits up to most, or less while it is known to be away.
func (s storied) wait(ctx context.Context, most time.Duration, call func(ctx context.Context) error) error {
	most = s.outage.enter(s.Now(), most)
	if most == 0 {
		return errJournalAway
	}
	within, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := call(within)
	// If the caller's own context has ended, that tells nothing of the journal.
	away := err != nil && (ctx.Err() == nil || s.outage.known())
	s.outage.leave(s.Now(), away)
	return err
}
