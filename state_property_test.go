package lease

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestStateMachineAgainstModel draws long lives of one key and holds every answer of step against
// the model.
func TestStateMachineAgainstModel(t *testing.T) {
	met := map[string]int{} // how often each answer was given
	rapid.Check(t, func(t *rapid.T) {
		skew := rapid.SampledFrom([]int{0, 0, 5}).Draw(t, "skew")
		m := &model{skew: skew}
		var r *record
		now, ops := 0, 0
		ids := []string{"nobody"}
		newest := uint64(0) // the fencing token
		seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }

		run := func(t *rapid.T, c *command, want string) {
			ops++
			c.op = fmt.Sprint("op", ops)
			c.retention, c.skew = seconds(modelRetention), seconds(skew)
			next, out, err := step(r, c, t0.Add(seconds(now)))
			got := describe(next, out, err)
			t.Logf("%4d s: %+v -> %s", now, *c, got)
			if got != want {
				t.Fatalf("the machine says %q, the model %q", got, want)
			}
			met[c.words()+": "+strings.Fields(got)[0]]++
			if err == nil && out.writes() {
				if c.verb == verbAcquire {
					newest++ // as a store's revision would
					next.Token = newest
				}
				r = next
			}
			if out == outRepeated && err == nil && next != r {
				before := m.lease(1)
				if next.LeaseID != before[0].who || next.LeaseID != c.leaseID || next.Token != newest-1 {
					t.Fatalf("told of %s, the lease before is %+v", written(next), before)
				}
			}
			if r == nil || err != nil {
				return
			}
			life := m.life()
			if !m.known(now) {
				return
			}
			attempts := 0
			for _, d := range life {
				if d.acquires() {
					attempts++
				}
			}
			if int(r.Version) != len(life) || r.Attempt != attempts || r.Token != newest || r.Failures != m.failures() {
				t.Fatalf("version %d, attempt %d, token %d, failures %d; the model has %d, %d, %d, %d",
					r.Version, r.Attempt, r.Token, r.Failures, len(life), attempts, newest, m.failures())
			}
			if !r.FirstSeenAt.Equal(t0.Add(seconds(life[0].at))) || !r.Deadline.Equal(t0.Add(seconds(m.deadline()))) || r.TTL != seconds(m.ttl()) {
				t.Fatalf("first seen %v, deadline %v, TTL %v; the model has %d s, %d s, %d s", r.FirstSeenAt, r.Deadline, r.TTL, life[0].at, m.deadline(), m.ttl())
			}
			if string(r.Checkpoint) != m.checkpoint() || int(r.CheckpointSeq) != m.seqKept() || r.InputHash != m.input() || !slices.Equal(r.Replaced, m.ousted()) {
				t.Fatalf("checkpoint %s, sequence %d, input %q, replaced %q; the model has %s, %d, %q, %q",
					r.Checkpoint, r.CheckpointSeq, r.InputHash, r.Replaced, m.checkpoint(), m.seqKept(), m.input(), m.ousted())
			}
		}
		ttls := rapid.IntRange(1, 20)
		who := func(t *rapid.T) string {
			// Mostly the last to acquire, sometimes one before, or nobody.
			switch n := rapid.IntRange(0, 9).Draw(t, "who"); {
			case n > 2:
				return ids[len(ids)-1]
			case n > 0:
				return ids[max(0, len(ids)-2)]
			}
			return rapid.SampledFrom(ids).Draw(t, "whoever")
		}
		acquire := func(t *rapid.T) {
			c := &command{
				verb:           verbAcquire,
				leaseID:        fmt.Sprint("lease", len(ids)),
				ttl:            seconds(ttls.Draw(t, "ttl")),
				nonce:          rapid.SampledFrom([]string{"", "", "n1", "n2", "n3", fmt.Sprint("n of ", len(ids))}).Draw(t, "nonce"),
				inputHash:      rapid.SampledFrom([]string{"", "", "i1", "i1", "i2"}).Draw(t, "input hash"),
				leaseRetention: seconds(rapid.SampledFrom([]int{0, 0, 10, 200}).Draw(t, "retention")),
				limit:          rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(t, "limit"),
				retryFailed:    rapid.IntRange(0, 3).Draw(t, "retry failed") == 0,
				atMostOnce:     rapid.IntRange(0, 3).Draw(t, "at most once") == 0,
				replace:        rapid.Bool().Draw(t, "replace"),
			}
			if c.inputHash == "" || c.atMostOnce {
				c.replace = false // as the Manager sees to
			}
			d := deed{
				at: now, kind: "acquire", ttl: int(c.ttl / time.Second), who: c.leaseID, nonce: c.nonce,
				input: c.inputHash, once: c.atMostOnce, keep: int(c.leaseRetention / time.Second),
			}
			before := len(m.journal)
			run(t, c, m.acquire(now, d, wish{c.retryFailed, c.replace, c.limit}))
			if len(m.journal) > before {
				ids = append(ids, c.leaseID)
			}
		}
		extend := func(t *rapid.T) {
			d := deed{at: now, kind: "extend", ttl: rapid.OneOf(rapid.Just(0), ttls).Draw(t, "ttl")}
			c := &command{verb: verbExtend, leaseID: who(t), ttl: seconds(d.ttl)}
			if rapid.IntRange(0, 3).Draw(t, "saves") > 0 {
				d.mark, d.seq = fmt.Sprint(ops), rapid.IntRange(0, 4).Draw(t, "seq")
				c.checkpoint, c.checkpointSeq = []byte(d.mark), uint64(d.seq)
			}
			run(t, c, m.extend(now, c.leaseID, d))
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if state, want := r.stateAt(t0.Add(seconds(now)), seconds(skew)), m.reads(now); string(state) != want {
					t.Fatalf("at %d s the machine reads %q, the model %q", now, state, want)
				}
			},
			"acquire":      acquire,
			"extend":       extend,
			"extend again": extend,
			"release": func(t *rapid.T) {
				c := &command{verb: verbRelease, leaseID: who(t)}
				run(t, c, m.end(now, c.leaseID, "released"))
			},
			"complete": func(t *rapid.T) {
				c := &command{verb: verbComplete, leaseID: who(t), resultHash: rapid.SampledFrom([]string{"", "h"}).Draw(t, "result hash")}
				run(t, c, m.end(now, c.leaseID, "completed "+c.resultHash))
			},
			"fail": func(t *rapid.T) {
				c := &command{verb: verbFail, leaseID: who(t), errorCode: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "error code"), retryable: rapid.IntRange(0, 3).Draw(t, "retryable") > 0}
				kind := "failed " + c.errorCode
				if c.retryable {
					kind += " retryably"
				}
				run(t, c, m.end(now, c.leaseID, kind))
			},
			"time passes": func(t *rapid.T) {
				now += rapid.OneOf(rapid.IntRange(1, 3), rapid.IntRange(1, 8), rapid.IntRange(1, modelRetention+10)).Draw(t, "seconds")
			},
		})
	})
	for _, answer := range []string{ // each so frequent that a hundred lives do not miss it
		"acquire: acquired", "acquire: taken", "acquire: replaced", "acquire: polling", "acquire: completed",
		"extend: changed", "release: changed", "complete: changed", "fail: changed",
	} {
		if met[answer] == 0 {
			t.Errorf("no life met %q; those met are %v", answer, slices.Sorted(maps.Keys(met)))
		}
	}
}

// seqKept is seq, which completion drops.
func (m *model) seqKept() int {
	if strings.HasPrefix(m.last().kind, "completed") {
		return 0
	}
	return m.seq()
}

func (c *command) words() string {
	return map[verb]string{verbAcquire: "acquire", verbExtend: "extend", verbRelease: "release", verbComplete: "complete", verbFail: "fail"}[c.verb]
}

// describe says what the machine answered in the words of the model.
func describe(r *record, out outcome, err error) string {
	for _, e := range []error{ErrNotFound, ErrLost, ErrFinished, ErrInputMismatch} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	switch out {
	case outAcquired:
		return "acquired"
	case outTookOver:
		return "taken over"
	case outReplaced:
		return "replaced"
	case outAcquiredAgain:
		return "acquired again"
	case outPolling:
		return "polling"
	case outChanged:
		return "changed"
	case outRepeated:
		return "repeated"
	}
	switch r.State {
	case StateCompleted:
		return "completed " + r.ResultHash
	case StateFailed:
		if r.Retryable {
			return "failed " + r.ErrorCode + " retryably"
		}
		return "failed " + r.ErrorCode
	case stateReleased:
		return "ended released"
	default:
		return "ended expired"
	}
}
