package lease

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The rules of holding a lease, one case a rule. termStart is when the holder asked for the lease
// under test, which lasts a minute.
var termStart = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

const termTTL = time.Minute

// termStep is something that happens to a term so long after termStart.
type termStep struct {
	at time.Duration
	do func(m *term, now time.Time)
}

// What may happen to a term.
var (
	termAsk     = func(m *term, now time.Time) { m.ask(now) }
	termGiveUp  = func(m *term, now time.Time) { m.giveUp() }
	termAway    = termFails(fmt.Errorf("%w: no route", ErrUnavailable))
	termUnknown = termFails(fmt.Errorf("%w: reset", ErrUnknownOutcome))
	termCut     = termFails(nil) // the caller of Save has gone
)

func termFails(why error) func(*term, time.Time) {
	return func(m *term, now time.Time) { m.failed(why) }
}

func termGranted(version uint64) func(*term, time.Time) {
	return func(m *term, now time.Time) { m.granted(version) }
}

// termShortened is the news that another has set the time left, at that time, to ttl.
func termShortened(ttl time.Duration, version uint64) func(*term, time.Time) {
	return func(m *term, now time.Time) { m.shortened(now, now.Add(ttl), ttl, version) }
}

func TestTermTable(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name  string
		grace time.Duration // as asked for
		took  time.Duration // from the question to the answer that granted the lease
		left  time.Duration // by the lease's deadline when the answer came; 0: as asked for
		steps []termStep
		at    time.Duration // when to look
		want  time.Duration // until it is given up
		due   time.Duration // until it is to be extended
	}{
		// The lease as it was granted.
		{"a lease is extended after a third of its TTL, and given up a second before its end",
			0, 0, 0, nil, 0, 59 * s, 20 * s},
		{"time passes", 0, 0, 0, nil, 15 * s, 44 * s, 5 * s},
		{"an extension that is late is due at once", 0, 0, 0, nil, 30 * s, 29 * s, 0},
		{"a lease counts from when it was asked for, not from the answer", 0, 5 * s, 0, nil, 5 * s, 54 * s, 15 * s},
		{"a lease that an earlier call acquired ends sooner", 0, 0, 12 * s, nil, 0, 11 * s, 0},
		{"the function has as much time to stop as was asked for", 15 * s, 0, 0, nil, 0, 45 * s, 20 * s},

		// What an extension that was sent makes of it.
		{"an extension that is under way may not have been applied",
			0, 0, 0, []termStep{{20 * s, termAsk}}, 25 * s, 34 * s, 0},
		{"an extension that was granted counts from when it was sent",
			0, 0, 0, []termStep{{20 * s, termAsk}, {25 * s, termGranted(2)}}, 25 * s, 54 * s, 15 * s},
		{"the next extension counts as well",
			0, 0, 0, []termStep{{20 * s, termAsk}, {21 * s, termGranted(2)}, {40 * s, termAsk}, {41 * s, termGranted(3)}}, 41 * s, 58 * s, 19 * s},
		{"an answer that comes in the last moment is as good as any",
			0, 0, 0, []termStep{{20 * s, termAsk}, {58 * s, termGranted(2)}}, 58 * s, 21 * s, 0},
		{"an extension that failed changes nothing, and is tried again in a second",
			0, 0, 0, []termStep{{20 * s, termAsk}, {25 * s, termAway}}, 25 * s, 34 * s, s},
		{"one that failed again is tried again no later",
			0, 0, 0, []termStep{{20 * s, termAsk}, {25 * s, termAway}, {26 * s, termAsk}, {30 * s, termAway}}, 30 * s, 29 * s, s},
		{"an extension with unknown outcome may not have been applied",
			0, 0, 0, []termStep{{20 * s, termAsk}, {25 * s, termUnknown}}, 25 * s, 34 * s, s},
		{"an extension that was granted ends every doubt",
			0, 0, 0, []termStep{{20 * s, termAsk}, {23 * s, termUnknown}, {24 * s, termAsk}, {25 * s, termGranted(3)}}, 25 * s, 58 * s, 19 * s},
		{"an extension that its caller broke off says nothing about the store",
			0, 0, 0, []termStep{{5 * s, termAsk}, {6 * s, termCut}}, 6 * s, 53 * s, 14 * s},
		{"nor does it make up for one that failed",
			0, 0, 0, []termStep{{5 * s, termAsk}, {6 * s, termAway}, {7 * s, termAsk}, {8 * s, termCut}}, 8 * s, 51 * s, s},

		// What another makes of it who has the lease id.
		{"a lease that another has shortened ends sooner, and is extended in its own time",
			0, 0, 0, []termStep{{5 * s, termShortened(30*s, 2)}}, 5 * s, 29 * s, 10 * s},
		{"a lease that another has lengthened does not end later",
			0, 0, 0, []termStep{{5 * s, termShortened(2*termTTL, 2)}}, 5 * s, 54 * s, 15 * s},
		{"a shorter TTL has a shorter grace", 0, 0, 0, []termStep{{5 * s, termShortened(s, 2)}}, 5 * s, 900 * time.Millisecond, s / 3},
		{"also if one was asked for", 15 * s, 0, 0, []termStep{{5 * s, termShortened(9*s, 2)}}, 5 * s, 6 * s, 3 * s},
		{"a shorter TTL is tried again sooner",
			0, 0, 0, []termStep{{5 * s, termShortened(10*s, 2)}, {5 * s, termAsk}, {6 * s, termAway}}, 6 * s, 8 * s, s / 2},
		{"an extension undoes what shortened the lease before",
			0, 0, 0, []termStep{{5 * s, termShortened(10*s, 2)}, {5 * s, termAsk}, {6 * s, termGranted(3)}}, 6 * s, 58 * s, 19 * s},
		{"an extension that is under way need not have undone it yet",
			0, 0, 0, []termStep{{5 * s, termShortened(10*s, 2)}, {5 * s, termAsk}}, 6 * s, 8 * s, 7 * s / 3},
		{"an extension that was applied before undoes nothing, although its answer comes after",
			0, 0, 0, []termStep{{20 * s, termAsk}, {21 * s, termShortened(10*s, 3)}, {22 * s, termGranted(2)}}, 22 * s, 8 * s, 7 * s / 3},
		{"an extension that was sent before undoes it, if it was applied after",
			0, 0, 0, []termStep{{20 * s, termAsk}, {21 * s, termShortened(10*s, 3)}, {22 * s, termGranted(4)}}, 22 * s, 57 * s, 18 * s},
		{"nor does it count against a deadline that was set after it, and is later than the one before",
			0, 0, 0, []termStep{{20 * s, termAsk}, {21 * s, termShortened(50*s, 3)}, {22 * s, termGranted(2)}}, 22 * s, 37 * s, 0},
		{"nor does an answer for the lease before it was shortened twice",
			0, 0, 0, []termStep{{20 * s, termAsk}, {21 * s, termShortened(10*s, 3)}, {22 * s, termShortened(5*s, 4)}, {23 * s, termGranted(2)}}, 23 * s, 3500 * time.Millisecond, 2 * s / 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := Lease{TTL: termTTL, ExpiresAt: termStart.Add(tt.took + termTTL)}
			if tt.left > 0 {
				l.ExpiresAt = termStart.Add(tt.took + tt.left)
			}
			m := newTerm(&l, termStart, termStart.Add(tt.took), tt.grace)
			for _, step := range tt.steps {
				step.do(&m, termStart.Add(step.at))
			}
			now := termStart.Add(tt.at)
			if left, due := m.left(now), m.due(now); left != tt.want || due != tt.due {
				t.Errorf("given up in %v, want %v; extended in %v, want %v", left, tt.want, due, tt.due)
			}
			if m.lost != nil {
				t.Errorf("lost: %v", m.lost)
			}
		})
	}
}

// A holder that extends by less than it has: from the moment that the store may hold the shorter
// deadline, that counts.
func TestTermOfAnExtensionThatShortens(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name  string
		steps []termStep
		want  time.Duration // until it is given up, two seconds later
	}{
		{"it is under way", []termStep{{0, termAsk}}, 7 * s},
		{"its outcome is unknown", []termStep{{0, termAsk}, {s, termUnknown}}, 7 * s},
		{"the first of two with unknown outcome counts", []termStep{{0, termAsk}, {s, termUnknown}, {s, termAsk}, {2 * s, termUnknown}}, 7 * s},
		{"it was granted", []termStep{{0, termAsk}, {s, termGranted(2)}}, 7 * s},
		{"it was not applied", []termStep{{0, termAsk}, {s, termAway}}, time.Hour - 3*s},
		{"it was broken off before it was sent", []termStep{{0, termAsk}, {s, termCut}}, time.Hour - 3*s},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newTerm(&Lease{TTL: time.Hour, ExpiresAt: termStart.Add(time.Hour)}, termStart, termStart, 0)
			m.ttl = 10 * s
			for _, step := range tt.steps {
				step.do(&m, termStart.Add(step.at))
			}
			if left := m.left(termStart.Add(2 * s)); left != tt.want {
				t.Errorf("given up in %v, want %v", left, tt.want)
			}
		})
	}
}

func TestTermIsLostOnce(t *testing.T) {
	taken := fmt.Errorf("%w: taken over", ErrLost)
	loses := func(why error) func(*term, time.Time) { return func(m *term, _ time.Time) { m.lose(why) } }
	for _, tt := range []struct {
		name  string
		steps []termStep
		says  string
		is    error
	}{
		{"taken over", []termStep{{0, loses(taken)}}, "lease lost: taken over", taken},
		{"ended by another", []termStep{{0, loses(ErrFinished)}}, "lease lost: already finished", ErrFinished},
		{"given up before the store has answered", []termStep{{0, termAsk}, {0, termGiveUp}},
			"lease lost: it could not be extended in time: the store has not answered", ErrLost},
		{"given up because the store is away", []termStep{{0, termAsk}, {0, termAway}, {0, termGiveUp}},
			"lease lost: it could not be extended in time: store unavailable: no route", ErrLost},
		{"given up because answers were lost", []termStep{{0, termAsk}, {0, termUnknown}, {0, termGiveUp}},
			"lease lost: it could not be extended in time: outcome unknown: reset", ErrLost},
		{"a caller that broke off is not the reason", []termStep{{0, termAsk}, {0, termAway}, {0, termAsk}, {0, termCut}, {0, termGiveUp}},
			"lease lost: it could not be extended in time: store unavailable: no route", ErrLost},
		{"an old trouble is not the reason", []termStep{{0, termAsk}, {0, termAway}, {0, termAsk}, {0, termGranted(2)}, {0, termGiveUp}},
			"lease lost: it could not be extended in time: the store has not answered", ErrLost},
		{"the first reason stands", []termStep{{0, loses(taken)}, {0, loses(ErrFinished)}, {0, termGiveUp}}, "lease lost: taken over", taken},
		{"an answer that comes too late does not bring it back", []termStep{{0, termAsk}, {0, termGiveUp}, {0, termGranted(2)}},
			"lease lost: it could not be extended in time: the store has not answered", ErrLost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newTerm(&Lease{TTL: termTTL, ExpiresAt: termStart.Add(termTTL)}, termStart, termStart, 0)
			for _, step := range tt.steps {
				step.do(&m, termStart)
			}
			if m.lost == nil || m.lost.Error() != tt.says || !errors.Is(m.lost, tt.is) || !errors.Is(m.lost, ErrLost) {
				t.Errorf("lost: %v, want %s", m.lost, tt.says)
			}
			if errors.Is(m.lost, ErrUnavailable) || errors.Is(m.lost, ErrUnknownOutcome) {
				t.Errorf("%v says of a write what it does not know", m.lost)
			}
			if strings.Count(m.lost.Error(), "lease lost") != 1 {
				t.Errorf("it says so twice: %v", m.lost)
			}
		})
	}
}

// TestTermNeverOutlivesTheStore lets everything happen that may happen to a lease in a store, and
// to the answers. The holder never believes that it has more time than the store grants it, but for
// a change by another of which the store has not told yet.
func TestTermNeverOutlivesTheStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := termStart
		deadline, version := now.Add(termTTL), uint64(1)
		m := newTerm(&Lease{TTL: termTTL, ExpiresAt: deadline}, now, now, 0)
		m.ttl = time.Duration(rapid.IntRange(1, 120).Draw(t, "TTL of extensions")) * time.Second
		// An extension that the store may yet apply: it can as long as nobody else has written.
		type write struct{ expects, became uint64 }
		var sent *write   // the holder waits for its answer
		var late []*write // their outcome is unknown
		var untold []func()
		apply := func(w *write) {
			if w.became == 0 && w.expects == version {
				version++
				w.became, deadline = version, now.Add(m.ttl)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"time passes": func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second) },
			"ask": func(t *rapid.T) {
				if sent == nil {
					m.ask(now)
					sent = &write{expects: version}
				}
			},
			"the store applies it": func(t *rapid.T) {
				if sent != nil {
					apply(sent)
				}
			},
			"the answer comes": func(t *rapid.T) {
				switch {
				case sent == nil:
					return
				case sent.became != 0:
					m.granted(sent.became)
				default: // refused: nothing was written, nor will be
					m.failed(ErrUnavailable)
				}
				sent = nil
			},
			"the answer is lost": func(t *rapid.T) {
				if sent != nil {
					m.failed(ErrUnknownOutcome)
					late, sent = append(late, sent), nil
				}
			},
			"a late write is applied": func(t *rapid.T) {
				for _, w := range late {
					apply(w)
				}
			},
			"another changes the lease": func(t *rapid.T) {
				version++
				v, ttl := version, time.Duration(rapid.IntRange(1, 120).Draw(t, "its TTL"))*time.Second
				end := now.Add(ttl)
				deadline = end
				untold = append(untold, func() { m.shortened(now, end, ttl, v) })
			},
			"the store tells": func(t *rapid.T) {
				if len(untold) > 0 {
					untold[len(untold)-1]() // it may skip what has been followed by another
					untold = nil
				}
			},
			"": func(t *rapid.T) {
				if believed := now.Add(m.left(now)); len(untold) == 0 && believed.After(deadline) {
					t.Fatalf("held until %v, the store says %v", believed.Sub(termStart), deadline.Sub(termStart))
				}
			},
		})
	})
}
