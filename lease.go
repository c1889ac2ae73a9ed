package lease

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Lease is what is known of a lease at the time of a call. It is a copy.
type Lease struct {
	Key     string
	State   State
	LeaseID string // the capability to extend and end the lease: show it to its holder alone
	Version uint64 // 1 for a key's first lease, and one more for each accepted change
	Token   uint64 // the fencing token: greater with each acquisition, for ever, but not by one

	Attempt     int           // 1 for a key's first lease, and one more for each acquisition
	Failures    int           // how many have failed since the key's first lease, or RetryFailed or Replace
	TTL         time.Duration // as granted when the lease was acquired or last extended
	TTLLeft     time.Duration // until the deadline; 0 unless in progress
	ExpiresAt   time.Time     // the deadline, by the clock of the Manager that set it
	FirstSeenAt time.Time     // when the key was first acquired
	AcquiredAt  time.Time     // when this lease was acquired
	DoneAt      time.Time     // when the lease ended; zero unless completed or failed
	AtMostOnce  bool          // see AcquireOptions
	Released    bool          // the lease reads as expired because its holder gave it back

	Metadata   json.RawMessage // the holder's, as given to Acquire or Extend; nil if none
	Progress   json.RawMessage // the holder's last note, see Progress; nil if none
	Checkpoint json.RawMessage // from Acquire and Extend, for the holder alone; nil if none was saved
	Result     json.RawMessage // not from List; nil if none was given
	ResultHash string
	ErrorCode  string
	ErrorHash  string
	ErrorText  string // only if whoever failed the lease wanted it stored
	Retryable  bool   // of a failed lease: whoever asks next acquires it anew
	InputHash  string // of the input that the key stands for; "" if none was stated

	RetryAfter time.Duration // for a poller: when to ask again; 0 if completed or failed
}

// AcquireOptions are those of [Manager.Acquire]. nil stands for the zero value.
type AcquireOptions struct {
	// TTL is how long the lease lasts unless it is extended. 0: the Manager's default, an hour
	// unless set. Less than the least, a second unless set, is [ErrInvalid]. More than the maximum
	// is clamped; [Lease].TTL says what was granted.
	TTL time.Duration

	Metadata json.RawMessage // a JSON object for others to read, up to 2048 bytes unless set otherwise

	// Nonce makes the call safe to repeat: while the lease that it acquired is in progress, the
	// same nonce gets that lease again. Up to 256 bytes, random for each call. Never derive it from
	// the key or the message: two workers with one nonce would both hold the lease.
	Nonce string

	// Input is what the work is about: any value that [KeyOf] takes, compared as canonical JSON, or
	// a []byte for a raw body, compared by its bytes. If the key is known with other input, Acquire
	// returns [ErrInputMismatch]: one key is used for two things. Only a hash is stored.
	Input     any
	InputHash string // if the caller has it; not with Input; up to 256 bytes

	Retention   time.Duration // how long its end stays readable: a minute to [WithMaxRetention]; 0: 7 days, or the Manager's
	RetryFailed bool          // acquires anew also what has failed for good, or what AtMostOnce leaves alone

	// AtMostOnce is for work that must rather stay undone than be done twice. The lease is not
	// taken over: past its deadline it reads as failed, with code "expired", and its holder may
	// still end it. It begins only if the key is new, or if an earlier at-most-once lease was
	// released or failed retryably. Other work that stopped half-way reads as failed too, with code
	// "expired", "released" or its own.
	AtMostOnce bool

	// Replace takes the key from work on other input, in whatever state, unless that is
	// AtMostOnce: newer input has overtaken it. The old holder's calls return [ErrLost]. It needs
	// Input or InputHash, and does not go with AtMostOnce.
	Replace bool
}

// input is the hash of the input, "" if none is stated.
func (o *AcquireOptions) input() (hash string, err error) {
	switch {
	case o.Input != nil && o.InputHash != "":
		return "", &FieldError{"input_hash", fmt.Sprintf("%d bytes beside an input, must be one or the other", len(o.InputHash))}
	case o.Input != nil:
		if hash, err = inputHash(o.Input); err != nil {
			return "", err
		}
	default:
		hash = o.InputHash
	}
	switch {
	case o.Replace && hash == "":
		return "", &FieldError{"replace", "true without an input, of which it would need to know whether it is another"}
	case o.Replace && o.AtMostOnce:
		return "", &FieldError{"replace", "true with at_most_once, must be one or the other"}
	}
	return hash, checkString("input_hash", hash, maxIDBytes)
}

// ExtendOptions are those of [Manager.Extend]. nil stands for the zero value.
type ExtendOptions struct {
	TTL      time.Duration   // what the lease has left from now on; 0: its own TTL; limits as in [AcquireOptions]
	Metadata json.RawMessage // replaces that of the lease; nil leaves it as it is

	// Checkpoint is what the next attempt shall know if this one does not end: JSON of up to
	// 64 KiB, in place of the checkpoint before. nil leaves it as it is. It is kept until the lease
	// completes, or the key is forgotten or replaced.
	Checkpoint    json.RawMessage
	CheckpointSeq uint64 // orders those that may overtake each other: unless it is above the last, Extend changes nothing; 0: no order
}

// Completion is how a lease ends well. Its result, like all JSON that a lease keeps, has at most
// 256 levels of arrays and objects.
type Completion struct {
	Result     any    // what encoding/json encodes, up to 256 KiB unless set otherwise; nil for none
	ResultHash string // up to 256 bytes; stored as given
}

// Failure is how a lease ends badly.
type Failure struct {
	Code      string // for programs to branch on, up to 128 bytes unless set otherwise; required
	Hash      string // up to 256 bytes; stored as given, to recognise an error without storing its text
	Text      string // up to 1024 bytes, for people; think of what an error's text may give away
	Retryable bool   // whoever asks next acquires the lease anew; else the failure stands
}

// DecodeResult decodes the result of a completed lease into v, a pointer. A *struct{} takes any
// result, and none. Errors, each an [*Error] that carries l: [ErrFailed], of which [Code] tells the
// error code; [ErrExpired], [ErrNotFound] and [ErrInProgress] for a lease that has not ended;
// [ErrResultType] if there is no result, or it cannot be decoded into v.
func (l Lease) DecodeResult(v any) error {
	if err := l.decode(v); err != nil {
		return &Error{Op: "decode result", Key: l.Key, Err: err, Lease: l}
	}
	return nil
}

func (l *Lease) decode(v any) error {
	switch l.State {
	case StateCompleted:
	case StateFailed:
		return &failure{code: l.ErrorCode, attempt: l.Attempt}
	case StateInProgress:
		return ErrInProgress
	case StateExpired:
		return ErrExpired
	default:
		return ErrNotFound
	}
	if _, ok := v.(*struct{}); ok {
		return nil
	}
	if len(l.Result) == 0 {
		return fmt.Errorf("%w: completed without a result", ErrResultType)
	}
	if err := unmarshal(l.Result, v); err != nil {
		return fmt.Errorf("%w: %d bytes cannot be decoded as %v: %w", ErrResultType, len(l.Result), elem(v), err)
	}
	return nil
}

// view is how r reads at now; a nil r is the absence of a record.
func (m *Manager) view(key string, r *record, now time.Time) Lease {
	state := r.stateAt(now, m.skew)
	if state == StateNotFound {
		return Lease{Key: key, State: state, RetryAfter: m.retryAfter}
	}
	l := Lease{
		Key:         key,
		State:       state,
		LeaseID:     r.LeaseID,
		Version:     r.Version,
		Token:       r.Token,
		Attempt:     r.Attempt,
		Failures:    r.Failures,
		TTL:         r.TTL,
		ExpiresAt:   r.Deadline,
		FirstSeenAt: r.FirstSeenAt,
		AcquiredAt:  r.AcquiredAt,
		DoneAt:      r.DoneAt,
		AtMostOnce:  r.AtMostOnce,
		Released:    r.State == stateReleased,
		Metadata:    bytes.Clone(r.Metadata), // the record may be remembered
		Progress:    bytes.Clone(r.Progress),
		Result:      r.Result,
		ResultHash:  r.ResultHash,
		ErrorCode:   r.ErrorCode,
		ErrorHash:   r.ErrorHash,
		ErrorText:   r.ErrorText,
		Retryable:   r.Retryable,
		InputHash:   r.InputHash,
	}
	if r.Run != nil {
		r.fillRun(&l, state)
	}
	switch {
	case state == StateInProgress:
		m.fillInProgress(&l, now)
	case state == StateExpired:
		l.RetryAfter = m.retryAfter
	case state == StateFailed && r.unfinished():
		fillFailed(&l, r.overCode())
	}
	return l
}

// fillInProgress makes l read as in progress, also if it has expired: the clock skew may forbid
// the takeover yet.
func (m *Manager) fillInProgress(l *Lease, now time.Time) {
	l.State, l.DoneAt, l.ErrorCode, l.Released = StateInProgress, time.Time{}, "", false
	l.TTLLeft = max(0, l.ExpiresAt.Sub(now))
	l.RetryAfter = max(time.Second, min(m.retryAfter, l.ExpiresAt.Add(m.skew).Sub(now)))
}

// fillFailed makes l read as failed for good, although nobody failed it.
func fillFailed(l *Lease, code string) {
	l.State, l.DoneAt, l.ErrorCode, l.Retryable, l.RetryAfter = StateFailed, l.ExpiresAt, code, false, 0
}
