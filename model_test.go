package lease

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the lease of one key told in another way than state.go tells it: it keeps no record but the journal of what was accepted since
// the key was last absent, and works everything out from that: the version is the journal's length. Time is in whole seconds.
type model struct {
	life []event
	skew int
}

type event struct {
	at    int
	holds bool   // an acquisition
	who   string // its lease id
	input string
	asked string // its request id
	once  bool
	ttl   int    // of an acquisition or an extension
	end   string // "completed ..." or "failed ..." with all that makes two ends the same
}

const modelRetention = 100

func (m *model) acquisitions() []event {
	return slices.DeleteFunc(slices.Clone(m.life), func(e event) bool { return !e.holds })
}

func (m *model) holder() event { a := m.acquisitions(); return a[len(a)-1] }

func (m *model) deadline() int {
	for _, e := range slices.Backward(m.life) {
		if e.ttl > 0 {
			return e.at + e.ttl
		}
	}
	return 0
}

func (m *model) input() string {
	for _, e := range slices.Backward(m.acquisitions()) {
		if e.input != "" {
			return e.input
		}
	}
	return ""
}

// end is how the lease ended, "" if it has not.
func (m *model) end() string { return m.life[len(m.life)-1].end }

func (m *model) forget(now int) {
	if len(m.life) == 0 {
		return
	}
	from := m.deadline()
	if m.end() != "" {
		from = m.life[len(m.life)-1].at
	}
	if now >= from+modelRetention+m.skew {
		m.life = nil
	}
}

func (m *model) reads(now int) string {
	m.forget(now)
	switch {
	case len(m.life) == 0:
		return "not_found"
	case m.end() != "":
		return m.end()
	case now < m.deadline():
		return "in_progress"
	case m.holder().once:
		return "failed expired"
	default:
		return "expired"
	}
}

// acquire returns what an acquisition comes to, and notes it if it is accepted.
func (m *model) acquire(now int, e event, retryFailed bool) string {
	state := m.reads(now)
	if state == "not_found" {
		m.life = append(m.life, e)
		return "acquired"
	}
	if e.input != "" && m.input() != "" && e.input != m.input() {
		return ErrInputMismatch.Error()
	}
	failed := len(state) >= 6 && state[:6] == "failed"
	ended := m.end() != "" || state == "failed expired"
	if ended && !(failed && retryFailed) {
		return state
	}
	if m.end() == "" && now < m.deadline()+m.skew {
		if e.asked != "" && e.asked == m.holder().asked {
			return "acquired again"
		}
		return "polling"
	}
	m.life = append(m.life, e)
	return "acquired"
}

// change returns what extending (end is "") or ending the lease comes to, and notes it if it is accepted.
func (m *model) change(now int, who string, ttl int, end string) string {
	state := m.reads(now)
	over := len(m.life) > 0 && (m.end() != "" || state == "failed expired")
	switch {
	case state == "not_found":
		return ErrNotFound.Error()
	case end == "" && over:
		return ErrFinished.Error()
	case who != m.holder().who:
		return ErrLost.Error()
	case m.end() == "":
		m.life = append(m.life, event{at: now, ttl: ttl, end: end})
		return "changed"
	case m.end() == end:
		return "repeated"
	default:
		return ErrFinished.Error()
	}
}

// TestStateMachineAgainstModel draws long lives of one key and holds every answer of step against the model.
func TestStateMachineAgainstModel(t *testing.T) {
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
			got := describe(&next, out, err)
			t.Logf("%4d s: %+v -> %s", now, *c, got)
			if got != want {
				t.Fatalf("the machine says %q, the model %q", got, want)
			}
			if err == nil && out.writes() {
				if out == outAcquired || out == outTookOver {
					newest++ // as a store's revision would
					next.Token = newest
				}
				r = &next
			}
			if err != nil {
				return
			}
			if int(r.Version) != len(m.life) || r.Attempt != len(m.acquisitions()) || r.Token != newest {
				t.Fatalf("version %d, attempt %d, token %d; the model has %d, %d, %d", r.Version, r.Attempt, r.Token, len(m.life), len(m.acquisitions()), newest)
			}
			if !r.FirstSeenAt.Equal(t0.Add(seconds(m.life[0].at))) || !r.Deadline.Equal(t0.Add(seconds(m.deadline()))) {
				t.Fatalf("first seen %v, deadline %v; the model has %d s, %d s", r.FirstSeenAt, r.Deadline, m.life[0].at, m.deadline())
			}
		}
		ttls := rapid.IntRange(1, 20)
		who := func(t *rapid.T) string {
			// Mostly the last to acquire, sometimes one before, or nobody.
			if rapid.IntRange(0, 3).Draw(t, "stranger") > 0 {
				return ids[len(ids)-1]
			}
			return rapid.SampledFrom(ids).Draw(t, "who")
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				state := r.stateAt(t0.Add(seconds(now)), seconds(skew))
				want := m.reads(now)
				if len(want) > 6 && want[:6] == "failed" {
					want = "failed"
				} else if len(want) > 9 && want[:9] == "completed" {
					want = "completed"
				}
				if string(state) != want {
					t.Fatalf("at %d s the machine reads %q, the model %q", now, state, want)
				}
			},
			"acquire": func(t *rapid.T) {
				c := &command{
					verb:        verbAcquire,
					leaseID:     fmt.Sprint("lease", len(ids)),
					ttl:         seconds(ttls.Draw(t, "ttl")),
					requestID:   rapid.SampledFrom([]string{"", "r1", "r2"}).Draw(t, "request id"),
					inputHash:   rapid.SampledFrom([]string{"", "", "i1", "i1", "i2"}).Draw(t, "input hash"),
					retryFailed: rapid.Bool().Draw(t, "retry failed"),
					atMostOnce:  rapid.IntRange(0, 3).Draw(t, "at most once") == 0,
				}
				e := event{at: now, holds: true, who: c.leaseID, input: c.inputHash, asked: c.requestID, once: c.atMostOnce, ttl: int(c.ttl / time.Second)}
				want := m.acquire(now, e, c.retryFailed)
				run(t, c, want)
				if want == "acquired" {
					ids = append(ids, c.leaseID)
				}
			},
			"extend": func(t *rapid.T) {
				c := &command{verb: verbExtend, leaseID: who(t), ttl: seconds(ttls.Draw(t, "ttl"))}
				run(t, c, m.change(now, c.leaseID, int(c.ttl/time.Second), ""))
			},
			"complete": func(t *rapid.T) {
				c := &command{verb: verbComplete, leaseID: who(t), resultHash: rapid.SampledFrom([]string{"", "h"}).Draw(t, "result hash")}
				run(t, c, m.change(now, c.leaseID, 0, "completed "+c.resultHash))
			},
			"fail": func(t *rapid.T) {
				c := &command{verb: verbFail, leaseID: who(t), errorCode: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "error code")}
				run(t, c, m.change(now, c.leaseID, 0, "failed "+c.errorCode))
			},
			"time passes": func(t *rapid.T) {
				now += rapid.OneOf(rapid.IntRange(1, 8), rapid.IntRange(1, modelRetention+10)).Draw(t, "seconds")
			},
		})
	})
}

// describe says what the machine answered in the words of the model.
func describe(r *record, out outcome, err error) string {
	for _, e := range []error{ErrNotFound, ErrLost, ErrFinished, ErrInputMismatch} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	switch out {
	case outAcquired, outTookOver:
		return "acquired"
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
		return "failed " + r.ErrorCode
	default:
		return "failed " + codeExpired
	}
}
