package lease

import (
	"cmp"
	"slices"
	"strings"
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
