package lease

import (
	"errors"
	"fmt"

	"github.com/ailease/lease/backend"
)

// Errors to test for with errors.Is. Every method of [Manager] wraps them in an [*Error]. With any
// but ErrUnknownOutcome nothing was written; for an exception see ErrLost. A context's own error
// comes through as such.
var (
	ErrNotFound      = errors.New("no such lease")    // the key has no lease, or none any more
	ErrFailed        = errors.New("failed")           // the work, here or elsewhere; [Code] tells with which code
	ErrInvalid       = errors.New("invalid argument") // outside its limits; errors.As finds a [*FieldError], or it wraps [backend.ErrInvalid]
	ErrInputMismatch = errors.New("input mismatch")   // the key stands for work on another input

	// ErrLost means that the lease id does not hold the key: another took the lease over, or the
	// holder released it. The work must stop. In one rare case something was written: an Acquire or
	// Extend was applied, and the lease taken over before the store's lost answer could be had. (If
	// it has ended since, too, an Extend returns ErrFinished.)
	ErrLost = errors.New("lease lost")

	// ErrFinished means that the lease has ended, with another outcome or under another lease id.
	// The work must stop too. [Error].Lease says how it ended.
	ErrFinished = errors.New("already finished")

	// ErrInProgress means that another holds the lease; [Error].Lease says how it stands. [Do]
	// returns it with NoWait, or if it would wait for itself.
	ErrInProgress = errors.New("in progress elsewhere")

	// ErrExpired means that the holder went silent or gave the lease back, and nobody has taken
	// it over yet. [Await] and [Lease.DecodeResult] return it.
	ErrExpired = errors.New("expired")

	// ErrResultType means that a stored result cannot be decoded as the type that was asked for,
	// or that the lease was completed without a result.
	ErrResultType = errors.New("result of another type")

	// ErrNoLease means that the context is not that of a function under a lease, or of none that
	// still holds a lease of the key. [Token], [Save] and [Load] return it.
	ErrNoLease = errors.New("no lease is held here")

	// ErrUnknownOutcome means that the store went away in the middle of a write, which may have
	// been applied, or may still be. The call can be repeated safely: Extend, Release, Complete,
	// Fail and Cancel as they are, Acquire and CheckLock with the same nonce.
	ErrUnknownOutcome = errors.New("outcome unknown")

	// ErrUnavailable means that the store could not be asked. If it was closed,
	// errors.Is(err, [backend.ErrClosed]) holds too, and asking again is useless.
	ErrUnavailable = errors.New("store unavailable")

	// ErrUnreadable means that the record of the key is damaged, or of a newer version of this
	// package. It is never overwritten; [Manager.Forget] and [Manager.ForgetLock] remove it.
	ErrUnreadable = errors.New("unreadable record")
)

// Error is what the functions and methods of this package return.
type Error struct {
	Op    string // what was tried: "acquire", "extend", "do", ...
	Key   string
	Err   error // wraps one of the errors above, or the context's
	Lease Lease // how it stands, as far as it was read from the store, else its State is ""; RetryAfter is for ErrInProgress
}

func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("lease: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("lease: %s %s: %v", e.Op, backend.Quote(e.Key), e.Err)
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// relabel returns err, perhaps of another operation, as an error of op.
func relabel(op, key string, err error) *Error {
	if e, ok := err.(*Error); ok {
		return &Error{Op: op, Key: key, Err: e.Err, Lease: e.Lease}
	}
	return &Error{Op: op, Key: key, Err: err}
}

// FieldError is an argument outside its limits. It is [ErrInvalid].
type FieldError struct {
	Field   string // as the HTTP API names it: "key", "ttl", "metadata", "error_code", ...
	Problem string // the limit and the value's size: "3000 bytes, limit 2048"
}

func (e *FieldError) Error() string { return fmt.Sprintf("%v: %s: %s", ErrInvalid, e.Field, e.Problem) }

// Unwrap returns [ErrInvalid].
func (e *FieldError) Unwrap() error { return ErrInvalid }

// failure is the failed work of a key, in one shape for the caller who did the work and for all
// others. Only the former has a cause.
type failure struct {
	code    string
	attempt int
	cause   error
}

func (f *failure) Error() string {
	if f.cause == nil {
		return fmt.Sprintf("%v with code %q (attempt %d)", ErrFailed, f.code, f.attempt)
	}
	return fmt.Sprintf("%v with code %q (attempt %d): %v", ErrFailed, f.code, f.attempt, f.cause)
}

func (f *failure) Unwrap() []error {
	if f.cause == nil {
		return []error{ErrFailed}
	}
	return []error{ErrFailed, f.cause}
}

// ErrorCode makes a Do around another one fail with the same code.
func (f *failure) ErrorCode() string { return f.code }

// standing ends the search for a mark: what marks the cause of an inner failure is not about the
// outer lease.
func (f *failure) standing() mark { return unmarked }

// Code returns the error code if errors.Is(err, [ErrFailed]), of the caller's own work under [Do]
// or of somebody else's; else "".
func Code(err error) (code string) {
	defer func() {
		if recover() != nil { // by a method of an error in the chain
			code = ""
		}
	}()
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	return ""
}

// mark says whether a failure stands.
type mark int

const (
	unmarked mark = iota
	permanent
	retryable
)

// marker is an error that says whether the failure that it causes stands.
type marker interface {
	error
	standing() mark
}

type marked struct {
	error
	mark mark
}

func (e *marked) Unwrap() error  { return e.error }
func (e *marked) standing() mark { return e.mark }

// Permanent marks the error of a function under [Do]: the failure stands until its retention is
// over, and later callers get it too, unless the caller has gone: then the lease is released all
// the same. The text and the chain of err stay as they are. Permanent(nil) is nil.
func Permanent(err error) error { return markAs(err, permanent) }

// Retryable marks err as [Permanent] does: nothing was done, and whoever calls next may try again,
// also under AtMostOnce; without, that is the default.
func Retryable(err error) error { return markAs(err, retryable) }

func markAs(err error, m mark) error {
	if err == nil {
		return nil
	}
	return &marked{err, m}
}
