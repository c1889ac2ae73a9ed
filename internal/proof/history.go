// Package proof runs Managers of leases through bad days, writes down what they did, and checks it:
// against a sequential model by porcupine, and against the invariants of leases by reading the
// history.
package proof

import (
	"fmt"
	"strings"
	"time"

	"github.com/ailease/lease"
)

// Verb is what an operation asked for.
type Verb string

// The operations.
const (
	Acquire  Verb = "acquire"
	Extend   Verb = "extend"
	Release  Verb = "release"
	Complete Verb = "complete"
	Fail     Verb = "fail"
	Cancel   Verb = "cancel"
	Status   Verb = "status"
)

// Operation is one call of a Manager and what came of it.
type Operation struct {
	Number int
	Client int
	Verb   Verb
	Key    string

	// What acquire asks for.
	Nonce     string
	Input     string // a hash
	Retention time.Duration
	Retry     bool // RetryFailed
	Once      bool // AtMostOnce
	Replace   bool

	LeaseID    string // of the lease that is to be changed
	TTL        time.Duration
	Metadata   string // of acquire and extend, JSON; "" for none
	Checkpoint string // of extend, JSON; "" for none
	Seq        uint64 // CheckpointSeq
	Mark       string // complete: its result hash; fail and cancel: its error code
	Retryable  bool   // fail

	Called, Returned int64       // order in real time
	Since, Until     time.Time   // what the clock said before and after
	Lease            lease.Lease // what was returned
	Acquired         bool
	Err              error
}

// String is one line of a history.
func (o *Operation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d client %d [%d,%d] at %s..%s: %s", o.Number, o.Client, o.Called, o.Returned,
		clockTime(o.Since), clockTime(o.Until), o.asks())
	if o.Err != nil {
		fmt.Fprintf(&b, " -> %v", o.Err)
		return b.String()
	}
	l := o.Lease
	fmt.Fprintf(&b, " -> acquired %t, %s %s version %d token %d attempt %d failures %d until %s", o.Acquired,
		l.State, short(l.LeaseID), l.Version, l.Token, l.Attempt, l.Failures, clockTime(l.ExpiresAt))
	for _, field := range [][2]string{{"code", l.ErrorCode}, {"input", l.InputHash}, {"checkpoint", string(l.Checkpoint)}} {
		if field[1] != "" {
			fmt.Fprintf(&b, " %s %s", field[0], field[1])
		}
	}
	if l.Retryable {
		b.WriteString(" retryable")
	}
	if l.Released {
		b.WriteString(" released")
	}
	return b.String()
}

// asks is what the operation asked for.
func (o *Operation) asks() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", o.Verb, o.Key)
	for _, field := range []struct {
		name  string
		value any
		there bool
	}{
		{"lease", short(o.LeaseID), o.LeaseID != ""},
		{"ttl", o.TTL, o.Verb == Acquire || o.Verb == Extend},
		{"nonce", o.Nonce, o.Nonce != ""},
		{"input", o.Input, o.Input != ""},
		{"retention", o.Retention, o.Retention != 0},
		{"retry", o.Retry, o.Retry},
		{"once", o.Once, o.Once},
		{"replace", o.Replace, o.Replace},
		{"checkpoint", o.Checkpoint, o.Checkpoint != ""},
		{"seq", o.Seq, o.Seq != 0},
		{"as", o.Mark, o.Mark != ""},
		{"retryable", o.Retryable, o.Retryable},
	} {
		if field.there {
			fmt.Fprintf(&b, " %s %v", field.name, field.value)
		}
	}
	return b.String()
}

func short(id string) string { return id[:min(len(id), 11)] }

func clockTime(t time.Time) string { return t.Format("15:04:05") }
