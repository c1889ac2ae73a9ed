package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/timeline"
)

// journal is where the timelines of leases and runs are kept. Without a store nothing is.
type journal struct {
	store *timeline.Store
	log   *slog.Logger
}

// openJournal returns the timelines in a store, unless they are not wanted, or the store has none.
func (c *config) openJournal(store backends.Store, log *slog.Logger) (journal, error) {
	if !c.journal {
		return journal{}, nil
	}
	s, err := timeline.New(store, timeline.WithKeep(c.journalKeep), timeline.WithLogger(log))
	if errors.Is(err, errors.ErrUnsupported) {
		log.Info("the store keeps no journal: there are no timelines")
		return journal{}, nil
	}
	if bad, ok := errors.AsType[*lease.FieldError](err); ok && bad.Field == "keep" {
		err = fmt.Errorf("%s: %s", named("journal-keep"), bad.Problem)
	}
	return journal{s, log}, err
}

// observer tells the timelines what a Manager does.
func (j journal) observer() []lease.Option {
	if j.store == nil {
		return nil
	}
	return []lease.Option{lease.WithObserver(func(e lease.Event) {
		if e.Namespace != healthNamespace { // once a second, and nobody's business
			j.store.Observe(e)
		}
	})}
}

// served are the endpoints of the timelines.
func (j journal) served() []httpserver.Option {
	if j.store == nil {
		return nil
	}
	return []httpserver.Option{httpserver.WithTimeline(j.store)}
}

// close writes the entries that wait, see closeBy.
func (j journal) close(end time.Time) {
	if j.store == nil {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), closeBy(end))
	defer cancel()
	err := j.store.Close(ctx)
	if n := j.store.Dropped(); n > 0 {
		j.log.Warn("events are missing from the timelines", "dropped", n, "err", err)
	}
}
