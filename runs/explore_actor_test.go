package runs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/internal/runlink"
)

const (
	key       = "job"
	recordKey = "default/job"
	markedKey = "default:due/job"
	prefix    = "default:due/"
	claimTTL  = 20 * time.Second
	delay     = 20 * time.Second
	pause     = 4 * time.Second  // give or take a second: over after each step of the clock
	clockStep = 21 * time.Second // over the deadline of every claim, and over the delay
	whole     = 24 * time.Hour
)

// actor runs one program, word by word, through a Manager of its own.
type actor struct {
	*play
	id      int
	program []string
	manager *lease.Manager
	steps   runlink.Steps
	calls   int
	waiting *call // for the scheduler
	events  chan struct{}
	answers chan answer
	trace   []byte // what it has seen
	done    bool
	dead    bool
	ticket  string
	lease   string // by hand
}

// ask hands the call to the scheduler.
func (a *actor) ask(c call) answer {
	if a.over {
		return answer{err: errOver}
	}
	c.id = callID{a.id, a.calls}
	a.calls++
	a.waiting = &c
	a.events <- struct{}{}
	return <-a.answers
}

func (a *actor) work() {
	defer func() { a.done, a.waiting = true, nil; a.events <- struct{}{} }()
	ctx := context.Background()
	for _, word := range a.program {
		if a.ask(call{kind: toGoOn}); a.over {
			return
		}
		a.perform(ctx, word)
		if a.over {
			return
		}
	}
}

func (a *actor) perform(ctx context.Context, word string) {
	verb, flags, _ := strings.Cut(word, "+")
	has := func(f string) bool { return strings.Contains("+"+flags+"+", "+"+f+"+") }
	switch verb {
	case "start":
		r := runlink.Request{
			Nonce: fmt.Sprint("nonce ", a.id), Within: whole, InputHash: "i1", Attempts: 2,
			RetryFailed: has("retry"), AtMostOnce: has("once"), Replace: has("replace"),
		}
		if has("delayed") {
			r.Delay = delay
		}
		if has("paused") {
			r.PauseFirst, r.PauseMost = pause, pause
		}
		if has("single") {
			r.Attempts = 1
		}
		if has("replace") {
			r.InputHash = "i2"
		}
		ans, err := start(ctx, a.steps, key, r)
		if err == nil && !a.over {
			a.ticket = ans.Lease.(lease.Lease).LeaseID
		}
	case "work":
		a.lookOnce(ctx, has)
	case "cancel":
		g, err := a.steps.Look(ctx, key)
		if err == nil && (g.Standing == runlink.Waiting || g.Standing == runlink.Claimed) {
			_, _ = a.manager.Cancel(ctx, key, g.Lease.(lease.Lease).LeaseID, "")
		}
	case "acquire":
		l, acquired, err := a.manager.Acquire(ctx, key, &lease.AcquireOptions{TTL: claimTTL, RetryFailed: has("retry"), Nonce: fmt.Sprint("hand ", a.id)})
		if err == nil && acquired && !a.over {
			a.lease = l.LeaseID
			a.begin(&execution{actor: a.id, deadline: l.ExpiresAt, hand: true})
		}
	case "release":
		if a.lease != "" {
			a.end()
			_, _ = a.manager.Release(ctx, key, a.lease)
		}
	default:
		panic(word)
	}
}

// lookOnce is a worker's pass: list, look, and work if there is a claim.
func (a *actor) lookOnce(ctx context.Context, has func(string) bool) {
	for e, err := range (view{a}).List(ctx, prefix) {
		if err != nil {
			return
		}
		m := readMarker(strings.TrimPrefix(e.Key, prefix), e)
		l, err := look(ctx, a.steps, m, fmt.Sprintf("claim_%d_%d", a.id, a.calls), claimTTL)
		if err != nil || l.claim == nil || a.over {
			return
		}
		c := l.claim.Lease.(lease.Lease)
		if !a.clock.Now().Before(c.ExpiresAt) {
			return
		}
		ticket := l.claim.sight.Lease.(lease.Lease).LeaseID
		a.begin(&execution{actor: a.id, ticket: ticket, claim: c.LeaseID, deadline: c.ExpiresAt})
		if a.ask(call{kind: toGoOn}); a.over {
			return
		}
		a.end()
		for range 3 {
			switch {
			case has("fails"):
				_, err = a.manager.Fail(ctx, key, c.LeaseID, lease.Failure{Code: "boom", Retryable: true})
			case has("breaks"):
				_, err = a.manager.Fail(ctx, key, c.LeaseID, lease.Failure{Code: "boom"})
			case has("releases"):
				_, err = a.manager.Release(ctx, key, c.LeaseID)
			default:
				_, err = a.manager.Complete(ctx, key, c.LeaseID, lease.Completion{})
			}
			if err == nil || a.over {
				break
			}
			a.note(a.checkRefused(c, err))
		}
		if err == nil && !a.over {
			_ = finish(ctx, a.steps, l.claim)
		}
	}
}
