// Package proof runs Managers of leases through bad days, writes down what they did, and checks it: against a sequential model by porcupine, and
// against the invariants of leases by reading the history.
package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// Verb is what an operation asked for.
type Verb string

// The operations.
const (
	Acquire  Verb = "acquire"
	Extend   Verb = "extend"
	Complete Verb = "complete"
	Fail     Verb = "fail"
	Cancel   Verb = "cancel"
	Status   Verb = "status"
)

// Operation is one call of a Manager and what came of it.
type Operation struct {
	Number  int
	Client  int
	Verb    Verb
	Key     string
	LeaseID string // of the lease that is to be changed
	TTL     time.Duration
	Retry   bool   // acquire: RetryFailed
	Once    bool   // acquire: AtMostOnce
	Mark    string // complete: its result hash; fail and cancel: its error code

	Called, Returned int64       // order in real time
	Since, Until     time.Time   // what the clock said before and after
	Lease            lease.Lease // what was returned
	Acquired         bool
	Err              error
}

// String is one line of a history.
func (o *Operation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d client %d [%d,%d] at %s..%s: %s %s", o.Number, o.Client, o.Called, o.Returned, clockTime(o.Since), clockTime(o.Until), o.Verb, o.Key)
	if o.LeaseID != "" {
		fmt.Fprintf(&b, " %s", short(o.LeaseID))
	}
	if o.Verb == Acquire {
		fmt.Fprintf(&b, " ttl %v retry %t once %t", o.TTL, o.Retry, o.Once)
	}
	if o.Verb == Extend {
		fmt.Fprintf(&b, " ttl %v", o.TTL)
	}
	if o.Err != nil {
		fmt.Fprintf(&b, " -> %v", o.Err)
		return b.String()
	}
	l := o.Lease
	fmt.Fprintf(&b, " -> acquired %t, %s %s version %d token %d attempt %d until %s", o.Acquired, l.State, short(l.LeaseID), l.Version, l.Token, l.Attempt, clockTime(l.ExpiresAt))
	return b.String()
}

func short(id string) string { return id[:min(len(id), 11)] }

func clockTime(t time.Time) string { return t.Format("15:04:05") }

// Write is one record that the store took.
type Write struct {
	Operation int // its number, from the context that came down
	Key       string
	Revision  uint64
	Record    Record
}

// Record is what a stored record says, as anyone can read it.
type Record struct {
	State      lease.State `json:"state"`
	LeaseID    string      `json:"lease_id"`
	Version    uint64      `json:"version"`
	Token      uint64      `json:"token"`
	Attempt    int         `json:"attempt"`
	Deadline   time.Time   `json:"deadline"`
	AcquiredAt time.Time   `json:"acquired_at"`
	ResultHash string      `json:"result_hash"`
	ErrorCode  string      `json:"error_code"`
	AtMostOnce bool        `json:"at_most_once"`
}

// Recorder is a backend that writes down what the store took. It stands between the store and its faults.
type Recorder struct {
	store    backend.Backend
	underWay sync.WaitGroup

	mu     sync.Mutex
	writes []Write
}

// NewRecorder records the writes to b.
func NewRecorder(b backend.Backend) *Recorder { return &Recorder{store: b} }

type operationKey struct{}

// Get implements [backend.Backend].
func (r *Recorder) Get(ctx context.Context, key string) (backend.Entry, error) {
	return r.store.Get(ctx, key)
}

// CompareAndSet implements [backend.Backend]. A caller whose context ends goes away; what becomes of the write is written down all the same.
func (r *Recorder) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	type answer struct {
		revision uint64
		err      error
	}
	value = bytes.Clone(value)
	answered := make(chan answer, 1)
	r.underWay.Go(func() {
		revision, err := r.compareAndSet(context.WithoutCancel(ctx), key, expected, value, keep)
		answered <- answer{revision, err}
	})
	select {
	case a := <-answered:
		return a.revision, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (r *Recorder) compareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	revision, err := r.store.CompareAndSet(ctx, key, expected, value, keep)
	if err != nil {
		return revision, err
	}
	w := Write{Key: key, Revision: revision}
	w.Operation, _ = ctx.Value(operationKey{}).(int)
	if err := json.Unmarshal(value, &w.Record); err != nil {
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, w)
	return revision, nil
}

// CompareAndDelete implements [backend.Backend].
func (r *Recorder) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	return r.store.CompareAndDelete(ctx, key, expected)
}

// Replace goes on with another store, after a crash, when no call is under way.
func (r *Recorder) Replace(b backend.Backend) {
	r.underWay.Wait()
	r.store = b
}

// Writes returns what the store took, of each key in the order of its revisions.
func (r *Recorder) Writes() []Write {
	r.underWay.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.writes)
	slices.SortFunc(all, func(a, b Write) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return int(int64(a.Revision) - int64(b.Revision))
	})
	return all
}
