package main

import (
	"context"
	"time"

	"github.com/ailease/lease/usage"
)

// closeUsage writes what is counted and not in the store yet, until end at the latest, which is
// zero if leased ends by itself. A store that does not answer is not waited for as long as a
// client would be.
func closeUsage(c *usage.Counters, end time.Time) {
	by := time.Now().Add(answerGrace)
	if !end.IsZero() && end.Before(by) {
		by = end
	}
	ctx, cancel := context.WithDeadline(context.Background(), by)
	defer cancel()
	c.Close(ctx) // logs what it loses
}
