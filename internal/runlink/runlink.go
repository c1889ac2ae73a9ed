// Package runlink lets packages runs and httpserver reach the steps of package lease that nobody
// else needs. Leases and Managers are passed as any: this package cannot import theirs.
package runlink

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ailease/lease/backend"
)

// Of returns the steps of a *lease.Manager. Package lease sets it.
var Of func(manager any) Steps

// Steps are the steps of the protocol of runs on one namespace of a store. Those that write do so
// at the revision of a Sight, or not at all: then moved is true, and the caller looks again. Errors
// are those of the Manager's methods.
type Steps interface {
	// Store is where the entries of runs lie, beside the records. Both begin with the namespace.
	Store() (b backend.Backend, namespace string)

	// Now and AfterFunc are those of the Manager's clock.
	Now() time.Time
	AfterFunc(d time.Duration, f func()) (stop func() bool)

	// Grant is the TTL that is granted to whoever asks for ttl, 0 for the default.
	Grant(ttl time.Duration) (time.Duration, error)

	// MaxMetadataBytes limits the metadata of a run.
	MaxMetadataBytes() int

	// Look reads the record of a key.
	Look(ctx context.Context, key string) (Sight, error)

	// WouldStart tells what Start at s comes to: that it writes, or its answer.
	WouldStart(s Sight, r Request) (writes bool, a Answer, err error)

	// Start writes a new run in the place of s.
	Start(ctx context.Context, s Sight, r Request) (a Answer, moved bool, err error)

	// Claim claims the run of s under an id that was never used before, or ends a run that nobody
	// may try any more. It writes nothing before s.Next.
	Claim(ctx context.Context, s Sight, id string, ttl time.Duration) (c Claim, moved bool, err error)

	// Fence writes the record of s unchanged, or a released one where there is none. No write that
	// is late can land at the revision of s then.
	Fence(ctx context.Context, s Sight) (moved bool, err error)

	// Work runs f under a claim as lease.Do runs work under a lease: extends it, ends it by what f
	// returns, and says so if f has stopped after the run was ended over the claim.
	Work(ctx context.Context, c Claim, o WorkOptions, f func(ctx context.Context) (json.RawMessage, error)) error
}

// Standing is how a key stands, as far as runs are concerned.
type Standing int

// Absent, Open and Ended have nothing for a worker to do.
const (
	Absent  Standing = iota // no record
	Open                    // leased by hand, and expired or released
	Ended                   // completed or failed, run or lease
	Held                    // leased by hand, in progress
	Waiting                 // a run that waits for a worker
	Claimed                 // a run with a claim, perhaps one that ran out
)

// Sight is what Look has seen.
type Sight struct {
	Key      string
	Standing Standing
	Revision uint64    // 0 if there is nothing at all
	Next     time.Time // Held, Waiting, Claimed: when a claim may next change that, or a start
	Due      time.Time // of a run: its marker's due time is never later
	ClaimID  string    // Claimed: the id of the claim
	Task     string
	Input    json.RawMessage
	Until    time.Time // the deadline of a run
	Attempts int       // so many failures end it; 0: no limit
	LastCode string    // of the last failure of a run that nobody may try any more
	Lease    any       // a lease.Lease: what Status tells
	Record   any       // for the steps alone
}

// Request asks for a run. It is checked by WouldStart. A repetition has the same Nonce.
type Request struct {
	Nonce       string
	Task        string          // up to 256 bytes
	Input       json.RawMessage // up to 64 KiB
	InputHash   string
	Metadata    json.RawMessage
	Retention   time.Duration
	Delay       time.Duration // until the run is due
	Within      time.Duration // until the deadline of the whole; must be positive
	Attempts    int
	PauseFirst  time.Duration
	PauseMost   time.Duration
	AtMostOnce  bool
	RetryFailed bool
	Replace     bool
}

// Answer is what Start came to.
type Answer struct {
	Lease   any  // a lease.Lease, whose id is the ticket
	Started bool // by this request, now or before
}

// Claim is what Claim came to.
type Claim struct {
	Lease  any       // a lease.Lease, whose id is the claim's; nil if there is no claim
	Ticket string    // the id of who asked for the run
	Asked  time.Time // when the claim was asked for
	Ended  bool      // the run was ended instead
	Next   time.Time // when to look again, without a claim or an end
}

// WorkOptions are those of lease.DoOptions.
type WorkOptions struct {
	Grace     time.Duration
	ErrorText bool
}
