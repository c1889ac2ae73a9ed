package lease

import (
	"encoding/json"
	"strconv"
	"time"
)

// run is the part of a record that makes a run of it: work that is asked for by one, with a ticket,
// and done by a worker, with a claim. The rest of the record is about whoever has the work. Its
// lease id, deadline, token and attempt are those of the last claim, and of the ticket before the
// first. A claim is to the run what an acquired lease is to a key.
//
// A run waits for a worker if it is queued, or its last claim was released or has failed retryably.
// Whoever looks is told of the run, under its ticket: it reads as in progress from the request to
// the end.
type run struct {
	Ticket string          `json:"ticket"` // also the lease id, before the first claim and after a cancellation by it
	Task   string          `json:"task,omitempty"`
	Input  json.RawMessage `json:"input,omitempty"` // kept until the run completes

	StartedAt time.Time `json:"started_at"`
	Due       time.Time `json:"due"`   // nobody claims it before
	Until     time.Time `json:"until"` // the deadline of the whole: nobody claims it after

	Attempts   int           `json:"attempts"` // so many failures end the run; 0: no limit
	PauseFirst time.Duration `json:"pause_first_ns,omitempty"`
	PauseMost  time.Duration `json:"pause_most_ns,omitempty"`
	LastCode   string        `json:"last_code,omitempty"` // of the last failure, once the run has run out

	// A claim over which the run was ended, or begun anew: its worker may not know yet.
	StoppingID    string    `json:"stopping_id,omitempty"`
	StoppingUntil time.Time `json:"stopping_until,omitzero"` // its deadline
}

// start is what makes a run of an acquire.
type start struct {
	task       string
	input      json.RawMessage
	delay      time.Duration // from now until the run is due
	within     time.Duration // from now until the deadline of the whole
	attempts   int
	pauseFirst time.Duration
	pauseMost  time.Duration
}

// ticket is the id of who asked for the run; "" if r is none.
func (r *record) ticket() string {
	if r.Run == nil {
		return ""
	}
	return r.Run.Ticket
}

// problem says what is missing from a run, or "".
func (n *run) problem() string {
	switch {
	case n == nil:
	case n.Ticket == "":
		return "the ticket of a run is missing"
	case n.StartedAt.IsZero() || n.Due.IsZero() || n.Until.IsZero():
		return "an instant of a run is missing"
	}
	return ""
}

// appendJSON appends n as a field of a record; nil for none.
func (n *run) appendJSON(b []byte) []byte {
	if n == nil {
		return b
	}
	b = append(appendName(b, "run"), `{"attempts":`...)
	b = strconv.AppendInt(b, int64(n.Attempts), 10)
	b = appendField(b, "ticket", n.Ticket)
	b = appendField(b, "task", n.Task)
	b = appendRaw(b, "input", n.Input)
	b = appendTime(b, "started_at", n.StartedAt)
	b = appendTime(b, "due", n.Due)
	b = appendTime(b, "until", n.Until)
	b = appendInt(b, "pause_first_ns", int64(n.PauseFirst))
	b = appendInt(b, "pause_most_ns", int64(n.PauseMost))
	b = appendField(b, "last_code", n.LastCode)
	b = appendField(b, "stopping_id", n.StoppingID)
	b = appendTime(b, "stopping_until", n.StoppingUntil)
	return append(b, '}')
}
