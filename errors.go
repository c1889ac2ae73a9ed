package lease

import (
	"errors"
	"fmt"

	"github.com/ailease/lease/backend"
)

// Errors to branch on, with errors.Is. Every method of [Manager] returns them wrapped in an [*Error].
// A context's own error comes through as such, and then nothing was written.
var (
	// ErrNotFound says that the key has no lease: it never had one, it was forgotten, or its retention is over.
	ErrNotFound = errors.New("no such lease")

	// ErrLost says that the lease id does not hold the key: another took the lease over after it had expired, or it never held it.
	// The work must stop. Nothing was written, but in one rare case: an Acquire or Extend was applied, its answer was lost, and
	// when the store could be asked again another had already taken the lease over.
	ErrLost = errors.New("lease lost")

	// ErrFinished says that the lease has ended already, otherwise than asked, or under another lease id than the caller's: whoever had lost it need not be told. The work
	// must stop too. The [Error] carries how it ended.
	ErrFinished = errors.New("already finished")

	// ErrInProgress says that another holds the lease. Only [Do] returns it, if it is told not to wait; the [Error] carries how the lease stands.
	ErrInProgress = errors.New("in progress elsewhere")

	// ErrResultType says that a stored result cannot be read as the type of [Do]. Only Do returns it.
	ErrResultType = errors.New("result of another type")

	// ErrInvalid says that an argument is outside its limits. The error is a [*FieldError]; nothing was written.
	ErrInvalid = errors.New("invalid argument")

	// ErrInputMismatch says that the key stands for work on another input: both input hashes are known, and they differ.
	ErrInputMismatch = errors.New("input mismatch")

	// ErrUnknownOutcome says that the store went away in the middle of a write and did not come back in time to tell
	// whether it was applied. It may have been, or may still be. Calling again with the same arguments is safe: Extend, Complete, Fail and Cancel
	// as they are, Acquire with the same request id. A CheckLock that is repeated may take its own lock for another's.
	ErrUnknownOutcome = errors.New("outcome unknown")

	// ErrUnavailable says that the store could not be asked. Nothing was written.
	ErrUnavailable = errors.New("store unavailable")

	// ErrUnreadable says that what the store holds under the key is damaged, or was written by a newer version of this package.
	// It is never overwritten; only [Manager.Forget] removes it, if it is a lease's.
	ErrUnreadable = errors.New("unreadable record")
)

// Error is what every method of [Manager] returns, and [Do] and [KeyOf] of their own. It says what was tried, why it failed, and what is known of the lease.
type Error struct {
	Op  string // the operation: "acquire", "extend", ...
	Key string
	Err error // wraps one of the errors above, or the context's

	// Lease is the state that stood in the way, as read from the store. Its State is "" if none was read.
	Lease Lease
}

func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("lease: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("lease: %s %s: %v", e.Op, backend.Quote(e.Key), e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// FailedError is what [Do] returns to those who did not do the work themselves, when it has failed.
type FailedError struct {
	Key   string
	Code  string // see [Do] for those that it makes itself
	Lease Lease  // as it stands, with the error's hash and perhaps its text
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("lease: %s has failed with code %q (attempt %d)", backend.Quote(e.Key), e.Code, e.Lease.Attempt)
}

// ErrorCode returns the code, so that a Do around another fails with the same.
func (e *FailedError) ErrorCode() string { return e.Code }

// FieldError is an argument outside its limits. errors.Is(err, [ErrInvalid]) holds for it.
type FieldError struct {
	Field   string // as the HTTP API names it: "key", "ttl", "metadata", "error_code", ...
	Problem string // the limit and the value's size: "3000 bytes, limit 2048"
}

func (e *FieldError) Error() string { return fmt.Sprintf("%v: %s: %s", ErrInvalid, e.Field, e.Problem) }

func (e *FieldError) Unwrap() error { return ErrInvalid }
