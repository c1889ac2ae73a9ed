package lease_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/leasetest"
)

// Writes whose fate the store does not tell, or tells wrongly, while others write the same key.

// contest is what the two sides of a case work with.
type contest struct {
	t     *testing.T
	m     *lease.Manager // the one whose write is under test
	other *lease.Manager // on the same store, with good days
	clock *leasetest.Clock
	held  lease.Lease // of "k", by the caller of m, with input "i1"
}

func (c *contest) must(_ lease.Lease, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Error(err)
	}
}

// holder is the lease of "k" as it stands.
func (c *contest) holder() lease.Lease {
	l, err := c.other.Status(ctx, "k")
	if err != nil {
		c.t.Error(err)
	}
	return l
}

// extend is n heartbeats by whoever holds "k".
func (c *contest) extend(n int) {
	for range n {
		_, err := c.other.Extend(ctx, "k", c.holder().LeaseID, nil)
		c.must(lease.Lease{}, err)
	}
}

// takeOver waits until the lease of "k" has expired, and acquires it.
func (c *contest) takeOver() {
	c.clock.Advance(time.Hour)
	mustAcquire(c.t, c.other, "k", nil)
}

// The operations under test. Each returns what its caller is told: "ok" and the version and state
// of its lease, or the error.
var contested = []struct {
	name string
	do   func(c *contest) (lease.Lease, error)
}{
	{"acquire", func(c *contest) (lease.Lease, error) {
		return acquired(c.m.Acquire(ctx, "k", nil))
	}},
	{"take over", func(c *contest) (lease.Lease, error) {
		return acquired(c.m.Acquire(ctx, "k", nil))
	}},
	{"replace", func(c *contest) (lease.Lease, error) {
		return acquired(c.m.Acquire(ctx, "k", &lease.AcquireOptions{InputHash: "i2", Replace: true}))
	}},
	{"extend", func(c *contest) (lease.Lease, error) { return c.m.Extend(ctx, "k", c.held.LeaseID, nil) }},
	{"save", func(c *contest) (lease.Lease, error) {
		return c.m.Extend(ctx, "k", c.held.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(`1`)})
	}},
	{"release", func(c *contest) (lease.Lease, error) { return c.m.Release(ctx, "k", c.held.LeaseID) }},
	{"complete", func(c *contest) (lease.Lease, error) {
		return c.m.Complete(ctx, "k", c.held.LeaseID, lease.Completion{Result: 1})
	}},
	{"fail", func(c *contest) (lease.Lease, error) {
		return c.m.Fail(ctx, "k", c.held.LeaseID, lease.Failure{Code: "c"})
	}},
	{"fail retryably", func(c *contest) (lease.Lease, error) {
		return c.m.Fail(ctx, "k", c.held.LeaseID, lease.Failure{Code: "c", Retryable: true})
	}},
}

func acquired(l lease.Lease, ok bool, err error) (lease.Lease, error) {
	if err == nil && !ok {
		err = fmt.Errorf("not acquired: %s", l.State)
	}
	return l, err
}

// told is l and err in a few words.
func told(l lease.Lease, err error) string {
	for _, known := range []struct {
		err  error
		name string
	}{
		{lease.ErrLost, "lost"}, {lease.ErrFinished, "finished"}, {lease.ErrNotFound, "not found"},
		{lease.ErrUnknownOutcome, "unknown"}, {lease.ErrUnavailable, "unavailable"},
	} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("ok %d %s", l.Version, l.State)
}

func TestWritesAgainstOthers(t *testing.T) {
	nothing := func(*contest) {}
	const acquires, extends, ends = "acquire, take over, replace", "extend, save", "release, complete, fail, fail retryably"
	type fates struct{ lost, refused, gone string } // the answer was lost; refused though applied; the request was lost
	own := "own"                                    // the outcome as on a good day
	for _, tt := range []struct {
		ops   string
		then  string
		other func(c *contest)
		want  fates
	}{
		{acquires + ", " + extends + ", " + ends, "nobody comes in between", nothing, fates{own, own, own}},

		// The write has been applied, and the lease has gone on since.
		{acquires, "its lease is extended once", func(c *contest) { c.extend(1) }, fates{own, own, ""}},
		{acquires, "its lease is extended often", func(c *contest) { c.extend(3) }, fates{own, own, ""}},
		{extends, "the holder extends once", func(c *contest) { c.extend(1) }, fates{own, own, "ok 3 in_progress"}},
		{extends, "the holder extends twice", func(c *contest) { c.extend(2) }, fates{"unknown", "ok 5 in_progress", "ok 4 in_progress"}},
		{extends, "the holder completes", func(c *contest) {
			c.must(c.other.Complete(ctx, "k", c.held.LeaseID, lease.Completion{}))
		}, fates{own, own, "finished"}},
		{ends, "the holder extends before it comes", func(c *contest) {
			if c.holder().State == lease.StateInProgress {
				c.extend(1)
			}
		}, fates{own, own, "one later"}},
		{"complete, fail, fail retryably", "another call ends the lease otherwise before it comes", func(c *contest) {
			if c.holder().State == lease.StateInProgress {
				c.must(c.other.Cancel(ctx, "k", c.held.LeaseID, ""))
			}
		}, fates{own, own, "finished"}},

		// Another lease has been acquired since.
		{acquires, "another takes its lease over", func(c *contest) { c.takeOver() }, fates{"lost", "lost", ""}},
		{acquires, "another takes its lease over and extends it often", func(c *contest) { c.takeOver(); c.extend(3) }, fates{"lost", "lost", ""}},
		{"take over, replace", "another input replaces it", func(c *contest) {
			mustAcquire(c.t, c.other, "k", &lease.AcquireOptions{InputHash: "i3", Replace: true})
		}, fates{"lost", "lost", ""}},
		{acquires, "two others take its lease over, one after the other", func(c *contest) { c.takeOver(); c.takeOver() },
			fates{"unknown", "unknown", ""}},
		{"acquire, take over", "another acquires first", func(c *contest) {
			mustAcquire(c.t, c.other, "k", nil)
			c.extend(3)
		}, fates{"", "", "not acquired: in_progress"}},
		{"replace", "yet another input replaces it first", func(c *contest) {
			mustAcquire(c.t, c.other, "k", &lease.AcquireOptions{InputHash: "i4", Replace: true})
		}, fates{"lost", "lost", "ok 3 in_progress"}},
		{extends, "another takes its lease over", func(c *contest) { c.takeOver() }, fates{"lost", "lost", "lost"}},
		{extends, "another takes its lease over and extends it often", func(c *contest) { c.takeOver(); c.extend(3) }, fates{"lost", "lost", "lost"}},
		{"release, fail retryably", "another goes on", func(c *contest) { c.takeOver() }, fates{own, own, "lost"}},
		{"release, fail retryably", "another goes on and extends often", func(c *contest) { c.takeOver(); c.extend(3) }, fates{own, own, "lost"}},
		{"release", "another goes on and completes", func(c *contest) {
			c.takeOver()
			c.must(c.other.Complete(ctx, "k", c.holder().LeaseID, lease.Completion{}))
		}, fates{own, own, "finished"}},
		{"fail retryably", "another goes on and completes", func(c *contest) {
			c.takeOver()
			c.must(c.other.Complete(ctx, "k", c.holder().LeaseID, lease.Completion{}))
		}, fates{own, own, "lost"}},
		{"fail", "another retries, by RetryFailed", func(c *contest) {
			c.clock.Advance(time.Hour)
			mustAcquire(c.t, c.other, "k", &lease.AcquireOptions{RetryFailed: true})
		}, fates{own, own, "lost"}},
		{"complete", "another input replaces the result", func(c *contest) {
			mustAcquire(c.t, c.other, "k", &lease.AcquireOptions{InputHash: "i2", Replace: true})
			c.extend(3)
		}, fates{own, own, "lost"}},
		{"complete, fail", "the key is forgotten by and by, and another begins", func(c *contest) {
			c.clock.Advance(60 * 24 * time.Hour)
			mustAcquire(c.t, c.other, "k", nil)
			c.extend(3)
		}, fates{own, own, "lost"}},

		// Two leases later, or erased.
		{"release, fail retryably", "two others go on", func(c *contest) { c.takeOver(); c.takeOver() }, fates{"unknown", "unknown", "unknown"}},
		{ends, "the key is erased, and another begins", func(c *contest) {
			if err := c.other.Forget(ctx, "k"); err != nil {
				c.t.Error(err)
			}
			mustAcquire(c.t, c.other, "k", nil)
		}, fates{"unknown", "lost", "unknown"}},
		{extends + ", " + ends, "the key is erased", func(c *contest) {
			if err := c.other.Forget(ctx, "k"); err != nil {
				c.t.Error(err)
			}
		}, fates{"unknown", "not found", "unknown"}},
	} {
		for _, op := range contested {
			if !strings.Contains(", "+tt.ops+", ", ", "+op.name+", ") {
				continue
			}
			for _, first := range []struct {
				name string
				day  day
				want string
			}{
				{"the answer is lost", answerLost, tt.want.lost},
				{"it is refused although it was applied", refusedThoughApplied, tt.want.refused},
				{"the request is lost", requestLost, tt.want.gone},
			} {
				if first.want == "" {
					continue // what others do then is another case
				}
				t.Run(op.name+", "+first.name+", "+tt.then, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						b := newScriptedStore()
						m, clock := newManager(t, b, lease.WithDefaultTTL(time.Minute))
						other, err := lease.NewManager(b.Store, lease.WithClock(clock), lease.WithDefaultTTL(time.Minute))
						if err != nil {
							t.Fatal(err)
						}
						c := &contest{t: t, m: m, other: other, clock: clock}
						good := 1 // the version that the write makes
						if op.name != "acquire" {
							c.held = mustAcquire(t, m, "k", &lease.AcquireOptions{InputHash: "i1"})
							good = 2
						}
						if op.name == "take over" {
							clock.Advance(time.Minute)
						}
						met := false
						b.plan = []day{func(w write) (uint64, error) {
							met = true
							revision, err := first.day(w)
							tt.other(c)
							return revision, err
						}}
						l, err := op.do(c)
						got := told(l, err)
						state := map[string]lease.State{"release": lease.StateExpired, "complete": lease.StateCompleted, "fail": lease.StateFailed, "fail retryably": lease.StateFailed}[op.name]
						if state == "" {
							state = lease.StateInProgress
						}
						want := first.want
						switch want {
						case own:
							want = fmt.Sprintf("ok %d %s", good, state)
						case "one later":
							want = fmt.Sprintf("ok %d %s", good+1, state)
						}
						if got != want {
							t.Errorf("the caller is told %q (%v), want %q", got, err, want)
						}
						if err == nil {
							token := c.held.Token // of the lease that the caller had
							if stands := c.holder(); stands.LeaseID == l.LeaseID {
								token = stands.Token
							}
							if l.Token != token || l.Token == 0 {
								t.Errorf("the caller is told token %d, want %d", l.Token, token)
							}
						}
						if !met {
							t.Error("no write was made")
						}
						if tt.then == "nobody comes in between" {
							if l, err := other.Status(ctx, "k"); err != nil || l.Version != uint64(good) {
								t.Errorf("the store has version %d, %v; want %d: a write was applied twice", l.Version, err, good)
							}
						}
					})
				})
			}
		}
	}
}
