package proof

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease"
)

// Broken is what a history does not allow, in words.
type Broken []string

func (b *Broken) add(format string, args ...any) { *b = append(*b, fmt.Sprintf(format, args...)) }

// CheckInvariants reads a history, the operations and what the store took of them, and returns which invariants of leases are broken.
func CheckInvariants(ops []Operation, writes []Write) Broken {
	var b Broken
	byOperation := map[int][]Write{}
	asked := map[int]*Operation{}
	for i := range ops {
		asked[ops[i].Number] = &ops[i]
	}
	for i, w := range writes {
		byOperation[w.Operation] = append(byOperation[w.Operation], w)
		if i == 0 || writes[i-1].Key != w.Key {
			b.first(w)
		} else {
			b.succession(writes[i-1], w, asked[w.Operation])
		}
	}
	for i := range ops {
		b.toldTheTruth(&ops[i], byOperation[ops[i].Number])
	}
	return b
}

func (b *Broken) first(w Write) {
	if w.Record.Version != 1 || w.Record.Attempt != 1 {
		b.add("%s begins with version %d, attempt %d", w.Key, w.Record.Version, w.Record.Attempt)
	}
}

// token of an acquiring write is its revision, which it does not know itself.
func (w *Write) token() uint64 {
	if w.Record.Token == 0 {
		return w.Revision
	}
	return w.Record.Token
}

// succession looks at two records of a key, one after the other. Together these are all that ever stood there, so what is said of pairs holds of the whole.
func (b *Broken) succession(before, after Write, asked *Operation) {
	old, now := before.Record, after.Record
	if now.Version != old.Version+1 {
		b.add("%s: version %d follows %d", after.Key, now.Version, old.Version)
	}
	if old.LeaseID == now.LeaseID {
		switch {
		case old.State != lease.StateInProgress:
			b.add("%s: %s was changed after it had %s", after.Key, short(now.LeaseID), old.State)
		case after.token() != before.token() || now.Attempt != old.Attempt:
			b.add("%s: the token or attempt of %s changed", after.Key, short(now.LeaseID))
		}
		return
	}
	if after.token() <= before.token() {
		b.add("%s: token %d follows %d", after.Key, after.token(), before.token())
	}
	if now.Attempt != old.Attempt+1 {
		b.add("%s: attempt %d follows %d", after.Key, now.Attempt, old.Attempt)
	}
	retry := asked != nil && asked.Retry
	switch {
	case old.State == lease.StateCompleted:
		b.add("%s: acquired again after it had completed", after.Key)
	case old.State == lease.StateFailed && !retry:
		b.add("%s: acquired again after it had failed, unasked", after.Key)
	case old.State == lease.StateInProgress && now.AcquiredAt.Before(old.Deadline):
		b.add("%s: two holders: %s was to hold it until %v, %s acquired it at %v", after.Key, short(old.LeaseID), old.Deadline, short(now.LeaseID), now.AcquiredAt)
	case old.State == lease.StateInProgress && old.AtMostOnce && !retry:
		b.add("%s: an at-most-once lease was taken over, unasked", after.Key)
	}
}

// toldTheTruth compares what a caller was told with what the store took of the call.
func (b *Broken) toldTheTruth(o *Operation, writes []Write) {
	said := fmt.Sprintf("operation %v", o)
	switch {
	case len(writes) > 1:
		b.add("applied %d times: %s", len(writes), said)
	case open(o) || lostLate(o):
	case o.Err != nil && len(writes) != 0:
		b.add("an error that promises that nothing was written wrote: %s", said)
	case o.Err != nil:
	case len(writes) == 0:
		if o.Acquired || o.Verb == Extend {
			b.add("acknowledged, but not written: %s", said)
		}
	default:
		w, l := writes[0], o.Lease
		if w.Record.Version != l.Version || w.Record.LeaseID != l.LeaseID || w.token() != l.Token || !w.Record.Deadline.Equal(l.ExpiresAt) {
			b.add("told otherwise than written (version %d token %d): %s", w.Record.Version, w.token(), said)
		}
	}
}

// answersWithin is how long a store that has just been through an outage may still refuse now and then: its servers elect again after a cut has healed.
const answersWithin = 30 * time.Second

// CheckKept asks m, which has no bad days any more, for every completion that was acknowledged. It asks again while the store cannot be reached: that
// is no loss.
func CheckKept(ctx context.Context, m *lease.Manager, ops []Operation) Broken {
	var b Broken
	for i := range ops {
		o := &ops[i]
		if o.Verb != Complete || o.Err != nil {
			continue
		}
		l, err := m.Result(ctx, o.Key)
		for end := time.Now().Add(answersWithin); errors.Is(err, lease.ErrUnavailable) && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
			l, err = m.Result(ctx, o.Key)
		}
		if err != nil || l.State != lease.StateCompleted || l.ResultHash != o.Mark || l.Version != o.Lease.Version || string(l.Result) != fmt.Sprintf("%q", o.Mark) {
			b.add("%s completed as %q, and is now %s %q %s: %v", o.Key, o.Mark, l.State, l.ResultHash, l.Result, err)
		}
	}
	return b
}
