package proof

import (
	"errors"

	"github.com/ailease/lease"
)

// rare is what the workloads of a test must have met to prove anything.
var rare = []string{
	"a released lease was acquired by the next",
	"a lease was replaced by other input",
	"another input was refused",
	"a retryable failure was tried again",
	"a permanent failure was tried again, since it was asked for",
	"an at-most-once call refused what other work had left",
	"an at-most-once lease expired and read as failed",
	"a repeated nonce got its lease again",
	"a repeated nonce did not get a released lease back",
	"a replaced nonce was refused",
	"an end was repeated after a takeover, and was success",
	"a checkpoint was handed on",
	"a checkpoint that came late was ignored",
	"a retention was over, and the key was new",
	"a lease was lost before its answer came",
}

// Census counts how often h has met each of what is rare.
func Census(h *History) map[string]int {
	met := map[string]int{}
	count := func(what string, is bool) {
		if is {
			met[what]++
		}
	}
	wrote := map[int]bool{}
	for i, w := range h.Writes {
		wrote[w.By.Operation] = true
		if i == 0 || h.Writes[i-1].Key != w.Key || h.Writes[i-1].Record.LeaseID == w.Record.LeaseID {
			continue
		}
		old, now := h.Writes[i-1].Record, w.Record
		count("a retention was over, and the key was new", now.Version == 1)
		if now.Version == 1 {
			continue
		}
		replaced := len(now.Replaced) != len(old.Replaced)
		count("a released lease was acquired by the next", old.State == released && !replaced)
		count("a lease was replaced by other input", replaced)
		count("a retryable failure was tried again", old.State == failed && old.Retryable && !replaced)
		count("a permanent failure was tried again, since it was asked for", old.State == failed && !old.Retryable && !replaced)
		count("a checkpoint was handed on", now.Checkpoint != nil)
	}
	byNumber := map[int]*Operation{}
	for i := range h.Operations {
		byNumber[h.Operations[i].Number] = &h.Operations[i]
	}
	for i := range h.Operations {
		o := &h.Operations[i]
		l, quiet := &o.Lease, o.Err == nil && !wrote[o.Number]
		synthetic := l.State == lease.StateFailed && (l.ErrorCode == "expired" || l.ErrorCode == "released")
		count("another input was refused", errors.Is(o.Err, lease.ErrInputMismatch))
		count("an at-most-once call refused what other work had left", o.Verb == Acquire && synthetic && !l.AtMostOnce)
		count("an at-most-once lease expired and read as failed", synthetic && l.AtMostOnce)
		count("a repeated nonce got its lease again", o.Acquired && quiet)
		count("a repeated nonce did not get a released lease back",
			o.Verb == Acquire && quiet && l.State == lease.StateInProgress && l.TTLLeft == 0)
		count("a replaced nonce was refused", o.Verb == Acquire && errors.Is(o.Err, lease.ErrLost) && !wrote[o.Number])
		count("a lease was lost before its answer came", lostLate(o) && wrote[o.Number])
		count("a checkpoint that came late was ignored", o.Verb == Extend && quiet)
		if quiet && o.LeaseID != "" && o.Verb != Extend {
			for _, w := range h.Writes {
				by := byNumber[w.By.Operation]
				if w.Key == "default/"+o.Key && w.Record.Version == l.Version+1 && w.Record.LeaseID != l.LeaseID && by != nil && by.Returned < o.Called {
					count("an end was repeated after a takeover, and was success", true)
				}
			}
		}
	}
	return met
}
