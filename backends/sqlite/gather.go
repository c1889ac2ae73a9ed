package sqlite

import (
	"runtime"
	"time"
)

// gatherer lets other goroutines run before a transaction begins, where the last transaction shows
// that it pays. The callers that the last transaction answered are about to come back with their
// next requests. One transaction for all of them costs little more than one for the first.
//
// A yield of the processor lasts until every goroutine that is ready has run. Beside ten that
// compute on one processor, it takes a tenth of a second. So a gatherer keeps two rules:
//
//   - It never yields for a caller that writes alone.
//   - If a yield takes longer than a transaction, it stops for as long as that yield took. After
//     each further one in a row it stops for twice as long as before.
type gatherer struct {
	callers int           // how many the last transaction had, and how many waited behind it
	end     time.Time     // of the last transaction
	took    time.Duration // the last transaction, without the wait for the lock

	losses int       // yields in a row that took too long
	rest   time.Time // no yield before this

	yield func()           // runtime.Gosched; another in tests
	now   func() time.Time // time.Now; another in tests
}

const (
	gatherRounds = 4 // how often a leader yields at most
	maxLosses    = 7 // where the doubling ends: yields then take less than a hundredth of the time
)

func newGatherer() gatherer { return gatherer{yield: runtime.Gosched, now: time.Now} }

// gather yields until as many callers are present as there were at the end of the last transaction.
func (g *gatherer) gather(present func() int) {
	if g.callers < 2 {
		return
	}
	now := g.now()
	// A caller that has not come back within a transaction's time is busy with something else.
	if now.Sub(g.end) > g.took || now.Before(g.rest) {
		return
	}
	for range gatherRounds {
		if present() >= g.callers {
			break
		}
		before := now
		g.yield()
		now = g.now()
		if spent := now.Sub(before); spent > g.took {
			g.rest = now.Add(spent << g.losses)
			g.losses = min(g.losses+1, maxLosses)
			return
		}
		g.losses = 0
	}
}

// ended notes when a transaction began and ended, and how many callers there were.
func (g *gatherer) ended(begun, end time.Time, callers int) {
	g.callers, g.end, g.took = callers, end, end.Sub(begun)
}
