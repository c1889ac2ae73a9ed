package main

import (
	"context"
	"time"

	"github.com/ailease/lease/usage"
)

// closeGrace is what there is to write something at the end even if that is past: commands may have
// taken longer to stop.
const closeGrace = 500 * time.Millisecond

// closeBy is until when what waits may be written at the end, which is zero if leased ends by
// itself. A store that does not answer is not waited for as long as a client would be.
func closeBy(end time.Time) time.Time {
	now := time.Now()
	by := now.Add(answerGrace)
	if !end.IsZero() && end.Before(by) {
		by = end
	}
	if soon := now.Add(closeGrace); by.Before(soon) {
		by = soon
	}
	return by
}

// closeUsage writes what is counted and not in the store yet, see closeBy.
func closeUsage(c *usage.Counters, end time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), closeBy(end))
	defer cancel()
	c.Close(ctx) // logs what it loses
}
