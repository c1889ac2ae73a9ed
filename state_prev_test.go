package lease

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestReplacedNoncesDoNotComeBack(t *testing.T) {
	// Ten inputs replace each other; the first was acquired without a nonce.
	r := inProgress(nonce(""), input("i0"))
	at := time.Duration(0)
	for i := 1; i <= 10; i++ {
		at += time.Second
		id := fmt.Sprint(i)
		r = then(r, at, cmd(verbAcquire, by("lease "+id), nonce("nonce "+id), input("i"+id), replace))
	}
	if r.Version != 11 || r.Attempt != 11 || len(r.Replaced) != mostReplaced {
		t.Fatalf("after ten replacements: %s", written(r))
	}
	// What stands, and what may yet become of it: each is as deep as the last eight.
	taken := then(r, at+ttl, cmd(verbAcquire, by("successor")))
	for name, r := range map[string]*record{
		"in progress": r,
		"taken over":  taken,
		"released":    then(r, at, cmd(verbRelease, by("lease 10"))),
		"completed":   then(r, at, cmd(verbComplete, by("lease 10"))),
		"failed":      then(r, at, cmd(verbFail, by("lease 10"))),
	} {
		for i := 2; i <= 9; i++ {
			id := fmt.Sprint(i)
			for _, how := range [][]func(*command){{}, {replace}, {retryFailed}} {
				c := cmd(verbAcquire, append(how, by("again"), nonce("nonce "+id), input("i"+id))...)
				if _, _, err := step(r, c, t0.Add(at)); !errors.Is(err, ErrLost) {
					t.Errorf("%s, the nonce of input %s: error is %v, want ErrLost", name, id, err)
				}
			}
		}
		c := cmd(verbAcquire, nonce("fresh"), input("i3"), replace)
		if _, out, err := step(r, c, t0.Add(at)); err != nil || out != outReplaced {
			t.Errorf("%s, a new call with an older input: outcome %d, error %v, want that it replaces", name, out, err)
		}
	}
	// A call without a nonce is remembered by its lease id, which judge looks for.
	first := then(inProgress(nonce(""), input("i0")), time.Second, cmd(verbAcquire, input("i1"), replace))
	if !slices.Equal(first.Replaced, []string{"own"}) {
		t.Errorf("replaced are %q", first.Replaced)
	}
	if gone, out, err := step(r, cmd(verbAcquire, nonce("nonce 5"), input("i5")), r.KeepUntil); err != nil || out != outAcquired || gone.Replaced != nil {
		t.Errorf("beyond retention: outcome %d, error %v, replaced %q", out, err, gone.Replaced)
	}
}

// TestAnEndIsRememberedWhileTheNextLeaseStands repeats the end of a lease that has been taken over,
// retried or replaced since.
func TestAnEndIsRememberedWhileTheNextLeaseStands(t *testing.T) {
	ends := []struct {
		name  string
		c     *command
		other *command // the same verb with another outcome; nil if it has but one
		state State
	}{
		{"release", cmd(verbRelease), nil, stateReleased},
		{"complete", cmd(verbComplete), cmd(verbComplete, otherwise), StateCompleted},
		{"fail", cmd(verbFail), cmd(verbFail, otherwise), StateFailed},
		{"fail retryably", cmd(verbFail, retrying), cmd(verbFail), StateFailed},
	}
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			ended := then(inProgress(input("i1")), endedAt, end.c)
			next := then(ended, endedAt, cmd(verbAcquire, op("op_3"), input("i2"), replace)) // takes over every state
			later := []struct {
				name string
				r    *record
			}{{"acquired by another", next}}
			at := endedAt
			for i := range 3 {
				at += time.Second
				next = then(next, at, cmd(verbExtend, by("new"), op(fmt.Sprint("heartbeat ", i))))
				later = append(later, struct {
					name string
					r    *record
				}{fmt.Sprintf("extended by another %d times", i+1), next})
			}
			for _, its := range ends {
				c := *its.c
				c.leaseID, c.op = "new", "op_4"
				later = append(later, struct {
					name string
					r    *record
				}{"ended by another: " + its.name, then(next, at, &c)})
			}
			for _, l := range later {
				before := written(l.r)
				got, out, err := step(l.r, end.c, t0.Add(at))
				if err != nil || out != outRepeated {
					t.Errorf("%s: outcome %d, error %v; want success, unchanged", l.name, out, err)
					continue
				}
				if got.State != end.state || got.LeaseID != "own" || got.Version != 2 || got.Token != 7 || got.Attempt != 1 || got.Retryable != end.c.retryable ||
					!got.AcquiredAt.Equal(t0) || !bytes.Equal(got.Result, end.c.result) || got.ErrorCode != end.c.errorCode {
					t.Errorf("%s: told of %s", l.name, written(got))
				}
				if after := written(l.r); after != before {
					t.Errorf("%s: the record was changed\nfrom %s\n  to %s", l.name, before, after)
				}
				for _, c := range []*command{end.other, cmd(verbExtend)} {
					if c == nil {
						continue
					}
					if _, _, err := step(l.r, c, t0.Add(at)); !errors.Is(err, ErrLost) && !errors.Is(err, ErrFinished) {
						t.Errorf("%s, then %+v: error is %v", l.name, c, err)
					}
				}
				stranger := *end.c
				stranger.leaseID = "nobody"
				if _, _, err := step(l.r, &stranger, t0.Add(at)); !errors.Is(err, ErrLost) && !errors.Is(err, ErrFinished) {
					t.Errorf("%s, by a stranger: error is %v", l.name, err)
				}
				for _, its := range ends {
					if its.state == end.state && its.c.retryable == end.c.retryable {
						continue
					}
					if _, _, err := step(l.r, its.c, t0.Add(at)); err == nil {
						t.Errorf("%s: it accepts that the lease ended by %s too", l.name, its.name)
					}
				}
			}
			// Two leases later nothing is known of the first.
			two := then(next, at+ttl, cmd(verbAcquire, by("third"), op("op_5")))
			if _, _, err := step(two, end.c, t0.Add(at+ttl)); !errors.Is(err, ErrLost) {
				t.Errorf("two leases later: error is %v, want ErrLost", err)
			}
		})
	}
	t.Run("a lease that expired did not end", func(t *testing.T) {
		next := then(inProgress(), ttl, cmd(verbAcquire))
		for _, end := range ends {
			if _, _, err := step(next, end.c, t0.Add(ttl)); !errors.Is(err, ErrLost) {
				t.Errorf("%s: error is %v, want ErrLost", end.name, err)
			}
		}
	})
	t.Run("a forgotten lease is remembered too, by the lease that was acquired in its place", func(t *testing.T) {
		anew := then(finished(verbComplete), endedAt+retention, cmd(verbAcquire))
		got, out, err := step(anew, cmd(verbComplete), t0.Add(endedAt+retention))
		if err != nil || out != outRepeated || got.Version != 2 || got.Attempt < 1 {
			t.Errorf("outcome %d, error %v, record %s", out, err, written(got))
		}
	})
}
