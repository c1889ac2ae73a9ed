package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ailease/lease"
)

// Broken is what a history does not allow, in words.
type Broken []string

func (b *Broken) add(format string, args ...any) { *b = append(*b, fmt.Sprintf(format, args...)) }

// CheckInvariants reads a history, the operations and what the store took of them, and returns
// which invariants of leases are broken.
func CheckInvariants(ops []Operation, writes []Write) Broken {
	var b Broken
	b.checkWrites(writes)
	byOperation := map[int][]int{}
	for i, w := range writes {
		byOperation[w.By.Operation] = append(byOperation[w.By.Operation], i)
	}
	for i := range ops {
		b.toldTheTruth(&ops[i], writes, byOperation[ops[i].Number])
	}
	return b
}

// checkWrites reads all that the store took. The writes of a key stand together, in order.
func (b *Broken) checkWrites(writes []Write) {
	var held map[string]bool // the lease ids that the key has had
	for i, w := range writes {
		if i == 0 || writes[i-1].Key != w.Key {
			held = map[string]bool{}
		}
		switch before := i - 1; {
		case w.Deleted: // an acquire that is delivered once more may come after it
			held = map[string]bool{}
			continue
		case before < 0 || writes[before].Key != w.Key || writes[before].Deleted:
			b.first(w)
		default:
			b.succession(writes[before], w)
			if writes[before].Record.LeaseID == w.Record.LeaseID {
				continue
			}
		}
		if held[w.Record.LeaseID] {
			b.add("%s: %s holds it a second time", w.Key, short(w.Record.LeaseID))
		}
		held[w.Record.LeaseID] = true
	}
}

func (b *Broken) first(w Write) {
	r := w.Record
	if r.State != inProgress || r.Version != 1 || r.Attempt != 1 || r.Failures != 0 || r.Checkpoint != nil || r.Replaced != nil {
		b.add("%s begins with %+v", w.Key, r)
	}
}

// succession looks at two records of a key, one after the other. Together these are all that ever
// stood there, so what is said of pairs holds of the whole.
func (b *Broken) succession(before, after Write) {
	old, now := before.Record, after.Record
	switch {
	case old.LeaseID == now.LeaseID:
		if now.Version != old.Version+1 {
			b.add("%s: version %d follows %d", after.Key, now.Version, old.Version)
		}
		b.sameLease(before, after)
		return
	case after.token() <= before.token():
		b.add("%s: token %d follows %d", after.Key, after.token(), before.token())
	}
	if now.Prev == nil || now.Prev.LeaseID != old.LeaseID || now.Prev.State != old.State {
		b.add("%s: %s does not tell how %s ended", after.Key, short(now.LeaseID), short(old.LeaseID))
	}
	if !now.AcquiredAt.Before(old.KeepUntil) { // its retention was over
		b.first(after)
		return
	}
	if now.Version != old.Version+1 {
		b.add("%s: version %d follows %d", after.Key, now.Version, old.Version)
	}
	if now.Attempt != old.Attempt+1 {
		b.add("%s: attempt %d follows %d", after.Key, now.Attempt, old.Attempt)
	}
	if other := old.InputHash != "" && now.InputHash != "" && old.InputHash != now.InputHash; other {
		b.replacement(before, after)
	} else {
		b.successor(before, after)
	}
}

// sameLease is for what its holder does to a lease.
func (b *Broken) sameLease(before, after Write) {
	old, now := before.Record, after.Record
	id := short(now.LeaseID)
	failures := old.Failures
	if now.State == failed {
		failures++
	}
	switch {
	case old.State != inProgress:
		b.add("%s: %s was changed after it was %s", after.Key, id, old.State)
	case after.token() != before.token() || now.Attempt != old.Attempt || now.InputHash != old.InputHash || now.Nonce != old.Nonce:
		b.add("%s: the token, attempt, input or nonce of %s changed", after.Key, id)
	case now.Failures != failures:
		b.add("%s: %s has %d failures, %d before it was %s", after.Key, id, now.Failures, old.Failures, now.State)
	case now.State == completed && now.Checkpoint != nil:
		b.add("%s: %s has completed and keeps its checkpoint", after.Key, id)
	case now.State != completed && now.State != inProgress && !bytes.Equal(now.Checkpoint, old.Checkpoint):
		b.add("%s: %s was %s and lost its checkpoint", after.Key, id, now.State)
	case now.State == inProgress && now.Seq < old.Seq: // without a number it stays, and the model looks at the rest
		b.add("%s: the number of the checkpoint of %s went from %d to %d", after.Key, id, old.Seq, now.Seq)
	case now.State == inProgress && now.AtMostOnce && !now.Deadline.Add(-now.TTL).Before(old.Deadline):
		b.add("%s: %s is at most once and was extended after it had expired", after.Key, id)
	}
}

// replacement is for a lease that took the place of work on other input.
func (b *Broken) replacement(before, after Write) {
	old, now := before.Record, after.Record
	call := old.Nonce
	if call == "" {
		call = old.LeaseID
	}
	switch {
	case !after.By.Replace:
		b.add("%s: acquired for other input, unasked", after.Key)
	case old.AtMostOnce:
		b.add("%s: at most once, and replaced", after.Key)
	case now.Failures != 0 || now.Checkpoint != nil:
		b.add("%s: a replacement keeps failures or the checkpoint", after.Key)
	case !slices.Contains(now.Replaced, call):
		b.add("%s: it is forgotten that %s was replaced", after.Key, short(old.LeaseID))
	case now.Nonce != "" && (now.Nonce == old.Nonce || slices.Contains(old.Replaced, now.Nonce)):
		b.add("%s: replaced by a call that was replaced", after.Key)
	}
}

// successor is for a lease that took over, or tries again.
func (b *Broken) successor(before, after Write) {
	old, now, retry := before.Record, after.Record, after.By.Retry
	kept := now.Failures == old.Failures || now.Failures == 0 && retry
	switch {
	case !kept || !bytes.Equal(now.Checkpoint, old.Checkpoint) || !slices.Equal(now.Replaced, old.Replaced):
		b.add("%s: %s does not keep what %s has left: %+v, %+v", after.Key, short(now.LeaseID), short(old.LeaseID), now, old)
	case now.InputHash != old.InputHash && old.InputHash != "":
		b.add("%s: the input was forgotten", after.Key)
	case now.Nonce != "" && slices.Contains(old.Replaced, now.Nonce):
		b.add("%s: acquired by a call that was replaced", after.Key)
	case now.Nonce != "" && now.Nonce == old.Nonce && old.State != inProgress:
		b.add("%s: acquired twice by one call, between which it was %s", after.Key, old.State)
	case now.AtMostOnce && !old.AtMostOnce && !retry:
		b.add("%s: an at-most-once lease follows other work that was %s, unasked", after.Key, old.State)
	case old.State == completed:
		b.add("%s: acquired again after it was completed", after.Key)
	case old.State == failed && !old.Retryable && !retry:
		b.add("%s: acquired again after it was failed, unasked", after.Key)
	case old.State == inProgress && now.AcquiredAt.Before(old.Deadline):
		b.add("%s: two holders: %s was to hold it until %v, %s acquired it at %v",
			after.Key, short(old.LeaseID), old.Deadline, short(now.LeaseID), now.AcquiredAt)
	case old.State == inProgress && old.AtMostOnce && !retry:
		b.add("%s: an at-most-once lease was taken over, unasked", after.Key)
	}
}

// toldTheTruth compares what a caller was told with what the store took of the call.
func (b *Broken) toldTheTruth(o *Operation, all []Write, wrote []int) {
	said := fmt.Sprintf("operation %v", o)
	switch {
	case len(wrote) > 1 && o.Verb != Extend: // see again
		b.add("applied %d times: %s", len(wrote), said)
	case open(o):
	case lostLate(o) && len(wrote) != 0:
		next := all[wrote[0]+1:]
		ended := errors.Is(o.Err, lease.ErrFinished) && slices.ContainsFunc(next, func(w Write) bool {
			return w.Record.State == completed || w.Record.State == failed
		})
		if !ended && !anotherHolds(all[wrote[0]], next) {
			b.add("told that it is lost, which it is not: %s", said)
		}
	case o.Err != nil && len(wrote) != 0:
		b.add("an error that promises that nothing was written wrote: %s", said)
	case o.Err != nil:
	case len(wrote) == 0:
		if o.Acquired && (o.Nonce == "" || !slices.ContainsFunc(all, func(w Write) bool {
			return w.Record.LeaseID == o.Lease.LeaseID && w.Record.Nonce == o.Nonce
		})) || o.Verb == Extend && o.Seq == 0 {
			b.add("acknowledged, but not written: %s", said)
		}
	default:
		w, l := all[wrote[len(wrote)-1]], o.Lease
		if w.Record.Version != l.Version || w.Record.LeaseID != l.LeaseID || w.token() != l.Token ||
			w.Record.State == inProgress && !w.Record.Deadline.Equal(l.ExpiresAt) {
			b.add("told otherwise than written (version %d token %d): %s", w.Record.Version, w.token(), said)
		}
	}
}

// anotherHolds tells whether w was followed by another lease of the key.
func anotherHolds(w Write, later []Write) bool {
	return slices.ContainsFunc(later, func(x Write) bool { return x.Key == w.Key && x.Record.LeaseID != w.Record.LeaseID })
}

// answersWithin is how long a store that has just been through an outage may still refuse now and
// then: its servers elect again after a cut has healed.
const answersWithin = 30 * time.Second

// CheckKept asks m, which has no bad days any more, for every completion that was acknowledged, but
// for those that newer input may have replaced, or whose retention may be over. It asks again while
// the store cannot be reached: that is no loss.
func CheckKept(ctx context.Context, m *lease.Manager, ops []Operation) (b Broken, asked int) {
	for i := range ops {
		o := &ops[i]
		if o.Verb != Complete || o.Err != nil || mayBeGone(o, ops) {
			continue
		}
		asked++
		l, err := m.Status(ctx, o.Key)
		for end := time.Now().Add(answersWithin); errors.Is(err, lease.ErrUnavailable) && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
			l, err = m.Status(ctx, o.Key)
		}
		if err != nil || l.State != lease.StateCompleted || l.ResultHash != o.Mark || l.Version != o.Lease.Version || string(l.Result) != quoted(o.Mark) {
			b.add("%s completed as %q, and is now %s %q %s: %v", o.Key, o.Mark, l.State, l.ResultHash, l.Result, err)
		}
	}
	return b, asked
}

// mayBeGone tells whether the completion need not stand any more. Repeating it is success also
// after it was replaced, so that the order of calls says nothing.
func mayBeGone(completion *Operation, ops []Operation) bool {
	return slices.ContainsFunc(ops, func(o Operation) bool {
		return o.Verb == Acquire && o.Key == completion.Key && (o.Retention != 0 || o.Replace)
	})
}
