package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// Write is one record that the store took, or a deletion.
type Write struct {
	By       Asked // from the context that came down
	Key      string
	Revision uint64
	At       time.Time // real time, or a bubble's
	Deleted  bool
	Record   Record
}

// Asked is what the caller of a write asked for.
type Asked struct {
	Operation int    // its number
	Who       string // in a simulation
	Retry     bool
	Replace   bool
	ByHand    bool // by somebody who does not hold the lease
}

type askedKey struct{}

// asking returns a context that carries what its caller asks for.
func asking(ctx context.Context, a Asked) context.Context {
	return context.WithValue(ctx, askedKey{}, a)
}

func askedOf(ctx context.Context) Asked {
	a, _ := ctx.Value(askedKey{}).(Asked)
	return a
}

// Record is what a stored record says, as anyone can read it.
type Record struct {
	State      string          `json:"state"`
	LeaseID    string          `json:"lease_id"`
	Version    uint64          `json:"version"`
	Token      uint64          `json:"token"`
	Attempt    int             `json:"attempt"`
	Failures   int             `json:"failures"`
	TTL        time.Duration   `json:"ttl_ns"`
	Deadline   time.Time       `json:"deadline"`
	AcquiredAt time.Time       `json:"acquired_at"`
	KeepUntil  time.Time       `json:"keep_until"`
	Result     json.RawMessage `json:"result"`
	ResultHash string          `json:"result_hash"`
	ErrorCode  string          `json:"error_code"`
	Retryable  bool            `json:"retryable"`
	AtMostOnce bool            `json:"at_most_once"`
	Nonce      string          `json:"nonce"`
	Replaced   []string        `json:"replaced"`
	InputHash  string          `json:"input_hash"`
	Checkpoint json.RawMessage `json:"checkpoint"`
	Seq        uint64          `json:"checkpoint_seq"`
	Prev       *struct {
		LeaseID string `json:"lease_id"`
		State   string `json:"state"`
	} `json:"prev"`
}

// Stored states. A released lease reads as expired.
const (
	inProgress = string(lease.StateInProgress)
	completed  = string(lease.StateCompleted)
	failed     = string(lease.StateFailed)
	released   = "released"
)

// token of an acquiring write is its revision, which it does not know itself.
func (w *Write) token() uint64 {
	if w.Record.Token == 0 {
		return w.Revision
	}
	return w.Record.Token
}

// Recorder is a backend that writes down what the store took. It stands between the store and its
// faults.
type Recorder struct {
	store    backend.Backend
	underWay sync.WaitGroup

	mu     sync.Mutex
	writes []Write
}

// NewRecorder records the writes to b.
func NewRecorder(b backend.Backend) *Recorder { return &Recorder{store: b} }

// Get implements [backend.Backend].
func (r *Recorder) Get(ctx context.Context, key string) (backend.Entry, error) {
	return r.store.Get(ctx, key)
}

// CompareAndSet implements [backend.Backend]. A caller whose context ends goes away. What becomes
// of the write is written down all the same.
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
	w := Write{By: askedOf(ctx), Key: key, Revision: revision, At: time.Now()}
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
