package lease

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the lease of one key told in another way than state.go tells it. It keeps no record but
// the journal of what was accepted, and works everything out from that: the version is the number
// of deeds since the key was last absent. Time is in whole seconds.
type model struct {
	journal []deed
	skew    int
}

// deed is a command that was accepted.
type deed struct {
	at   int
	kind string // "acquire", "extend", or how the lease ended: "released", "completed ..." or "failed ..."
	ttl  int    // of an acquisition or an extension

	// of an acquisition
	fresh    bool // the key was absent
	replaced bool // the lease before, of other input
	forgave  bool // the failures before
	who      string
	nonce    string
	input    string
	once     bool
	keep     int // the lease's own retention; 0: the Manager's

	// of an extension
	mark string // a checkpoint
	seq  int
}

const modelRetention = 100

func (d *deed) acquires() bool { return d.kind == "acquire" }
func (d *deed) fails() bool    { return strings.HasPrefix(d.kind, "failed") }
func (d *deed) ends() bool     { return d.fails() || strings.HasPrefix(d.kind, "completed") }

// retryable tells whether d is a failure that does not stand.
func (d *deed) retryable() bool { return strings.HasSuffix(d.kind, "retryably") }

// life is what happened since the key was last absent.
func (m *model) life() []deed {
	for i, d := range slices.Backward(m.journal) {
		if d.fresh {
			return m.journal[i:]
		}
	}
	return nil
}

// lease is what happened to the lease that n others have followed, whether or not it was forgotten
// in between; nil if there is none.
func (m *model) lease(n int) []deed {
	end := len(m.journal)
	for i, d := range slices.Backward(m.journal) {
		if d.acquires() {
			if n == 0 {
				return m.journal[i:end]
			}
			n, end = n-1, i
		}
	}
	return nil
}

// kept is what the deeds that the holder of the key still knows of say, newest first. Replace keeps
// nothing.
func (m *model) kept(yield func(deed) bool) {
	for _, d := range slices.Backward(m.life()) {
		if !yield(d) || d.replaced {
			return
		}
	}
}

func (m *model) holder() deed { return m.lease(0)[0] }
func (m *model) last() deed   { return m.journal[len(m.journal)-1] }

func (m *model) deadline() int {
	for _, d := range slices.Backward(m.lease(0)) {
		switch {
		case d.kind == "released":
			return d.at
		case d.ttl > 0:
			return d.at + d.ttl
		}
	}
	panic("a lease without a TTL")
}

func (m *model) input() string {
	for d := range m.kept {
		if d.input != "" {
			return d.input
		}
	}
	return ""
}

func (m *model) failures() (n int) {
	for d := range m.kept {
		if d.fails() {
			n++
		}
		if d.forgave {
			break
		}
	}
	return n
}

func (m *model) checkpoint() string {
	for d := range m.kept {
		if strings.HasPrefix(d.kind, "completed") {
			return ""
		}
		if d.mark != "" {
			return d.mark
		}
	}
	return ""
}

// seq is the sequence of the newest checkpoint of the holder that has one.
func (m *model) seq() int {
	for _, d := range slices.Backward(m.lease(0)) {
		if d.seq > 0 {
			return d.seq
		}
	}
	return 0
}

// ousted is which calls acquired leases that were replaced.
func (m *model) ousted() (calls []string) {
	holder := ""
	for _, d := range m.life() {
		if d.replaced {
			calls = append(calls, holder)
		}
		if d.acquires() {
			holder = cmp.Or(d.nonce, d.who)
		}
	}
	return calls[max(0, len(calls)-mostReplaced):]
}

// known tells whether the key is not absent at now.
func (m *model) known(now int) bool {
	if len(m.journal) == 0 {
		return false
	}
	from, keep := m.deadline(), modelRetention
	if d := m.last(); d.ends() {
		from, keep = d.at, cmp.Or(m.holder().keep, modelRetention)
	}
	return now < from+keep+m.skew
}

// reads is the state at now, in the words of stateAt.
func (m *model) reads(now int) string {
	switch d := m.standing(now); {
	case d == nil:
		return "not_found"
	case d.ends():
		state, _, _ := strings.Cut(d.kind, " ")
		return state
	case d.kind == "released":
		return "expired"
	case now < m.deadline():
		return "in_progress"
	case m.holder().once:
		return "failed"
	default:
		return "expired"
	}
}

// standing is the last deed, nil if the key is absent.
func (m *model) standing(now int) *deed {
	if !m.known(now) {
		return nil
	}
	return &m.journal[len(m.journal)-1]
}

// wish is what an acquire asks for besides the deed that it becomes.
type wish struct {
	retryFailed, replace bool
	limit                int
}

// acquire returns what an acquisition comes to, and notes it if it is accepted.
func (m *model) acquire(now int, d deed, w wish) string {
	accept := func(answer string) string {
		m.journal = append(m.journal, d)
		return answer
	}
	if !m.known(now) {
		d.fresh = true
		return accept("acquired")
	}
	h, last := m.holder(), m.last()
	mine := d.nonce != "" && d.nonce == h.nonce
	switch {
	case d.nonce != "" && slices.Contains(m.ousted(), d.nonce):
		return ErrLost.Error()
	case d.input != "" && m.input() != "" && d.input != m.input():
		if w.replace && !h.once {
			d.replaced = true
			return accept("replaced")
		}
		return ErrInputMismatch.Error()
	case last.ends() && mine, strings.HasPrefix(last.kind, "completed"):
		return last.kind
	}
	over := now >= m.deadline()                        // by the clock here
	surely := over && now >= m.deadline()+m.skew       // by any
	holding := !last.ends() && last.kind != "released" // nobody has said that it is over
	if holding && !surely && (!h.once || !over || w.retryFailed) {
		if mine {
			return "acquired again"
		}
		return "polling"
	}
	// What happened to the work before, and whether it stands in the way.
	half := d.once && !h.once // another's plain work may be half done
	var stands bool
	var outcome string
	switch {
	case last.fails():
		outcome = last.kind
		stands = half || !last.retryable() || w.limit > 0 && m.failures() >= w.limit
		d.forgave = stands
	case last.kind == "released" && mine:
		return "polling"
	case last.kind == "released":
		outcome, stands = "ended released", half
	default:
		outcome, stands = "ended expired", half || h.once
		d.forgave = h.once
	}
	switch {
	case stands && !w.retryFailed:
		return outcome
	case last.fails() || h.once && last.kind != "released":
		return accept("acquired")
	default:
		return accept("taken over")
	}
}

// extend returns what an extension comes to, and notes it if it is accepted.
func (m *model) extend(now int, who string, d deed) string {
	switch m.reads(now) {
	case "not_found":
		return ErrNotFound.Error()
	case "completed", "failed":
		return ErrFinished.Error()
	}
	if m.holder().who != who || m.last().kind == "released" {
		return ErrLost.Error()
	}
	if d.seq > 0 && d.seq <= m.seq() {
		return "repeated"
	}
	d.ttl = cmp.Or(d.ttl, m.ttl())
	m.journal = append(m.journal, d)
	return "changed"
}

func (m *model) ttl() int {
	for _, d := range slices.Backward(m.lease(0)) {
		if d.ttl > 0 {
			return d.ttl
		}
	}
	panic("a lease without a TTL")
}

// end returns what ending or releasing the lease comes to, and notes it if it is accepted.
func (m *model) end(now int, who, kind string) string {
	if !m.known(now) {
		return ErrNotFound.Error()
	}
	// The lease before is remembered as it ended, also if it was forgotten in between.
	if before := m.lease(1); before != nil && before[0].who == who && before[len(before)-1].kind == kind {
		return "repeated"
	}
	last := m.last()
	switch mine := m.holder().who == who; {
	case kind == "released" && last.ends():
		return ErrFinished.Error()
	case !mine:
		return ErrLost.Error()
	case last.kind == kind:
		return "repeated"
	case last.kind == "released":
		return ErrLost.Error()
	case last.ends():
		return ErrFinished.Error()
	}
	m.journal = append(m.journal, deed{at: now, kind: kind})
	return "changed"
}

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
