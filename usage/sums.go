package usage

import "time"

// Kind is what a request is about.
type Kind int

// The kinds of requests.
const (
	Make Kind = iota // a one-shot lock
	AI               // a lease or a run
)

// Outcome is how a request was answered. Each request has one.
type Outcome int

// The outcomes of requests.
const (
	Repeated Outcome = iota // the sender's own lease or lock again, for a lost answer
	Charged                 // a lease or lock was acquired
	Blocked                 // a duplicate: the key is locked, or its lease has ended
	Polling                 // another holds the lease
)

// Tally counts requests of one kind.
type Tally struct {
	Requests uint64 `json:"requests"` // of all outcomes
	Charged  uint64 `json:"charged"`
	Blocked  uint64 `json:"blocked"`
	Polling  uint64 `json:"polling"`
}

// Sums counts requests of all kinds.
type Sums struct {
	Make Tally `json:"make"`
	AI   Tally `json:"ai"`
}

// Day is what was counted on one day of UTC.
type Day struct {
	Date string `json:"day"` // such as 2026-03-31
	Sums
}

func (s *Sums) count(k Kind, o Outcome) {
	t := &s.Make
	if k == AI {
		t = &s.AI
	}
	t.Requests++
	switch o {
	case Charged:
		t.Charged++
	case Blocked:
		t.Blocked++
	case Polling:
		t.Polling++
	}
}

func (s *Sums) add(o Sums) {
	s.Make.add(o.Make)
	s.AI.add(o.AI)
}

func (t *Tally) add(o Tally) {
	t.Requests += o.Requests
	t.Charged += o.Charged
	t.Blocked += o.Blocked
	t.Polling += o.Polling
}

func (s *Sums) requests() uint64 { return s.Make.Requests + s.AI.Requests }

// date is a day of UTC, counted from the first of January 1970.
type date int

const secondsOfDay = 24 * 60 * 60

func dateOf(t time.Time) date {
	n := t.Unix()
	if n < 0 {
		n -= secondsOfDay - 1 // rounds down
	}
	return date(n / secondsOfDay)
}

func (d date) String() string {
	return time.Unix(int64(d)*secondsOfDay, 0).UTC().Format(time.DateOnly)
}
