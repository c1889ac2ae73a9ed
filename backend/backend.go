// Package backend is what a store must do to hold leases, and nothing more.
//
// It is for those who write a store. Those who use leases want package
// lease, which builds the state machine on top of the three methods of
// [Backend]. Package conformance proves an implementation against every
// promise that stands here.
//
// A backend knows nothing of leases: it keeps opaque values under keys and
// changes them by compare-and-set.
//
// # Optional capabilities
//
// A backend may do more: [Lister], [Watcher], [PrefixWatcher], [Journal], and io.Closer for one
// that holds files or connections. Callers look for a capability with [As], which also looks inside
// wrappers:
//
//	if l, ok := backend.As[backend.Lister](b); ok { ... }
//
// A wrapper keeps the capabilities of the backend that it wraps by a method Unwrap() [Backend]. A
// wrapper that must intercept a capability implements it itself.
package backend

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
	"unicode/utf8"
)

// Limits that every backend must accept. What lies beyond them is refused with
// [ErrInvalid] before anything is written.
const (
	MaxKeyBytes   = 1280    // 256 characters and a namespace
	MaxValueBytes = 1 << 20 // 1 MiB
)

// Errors to test for with errors.Is. A backend wraps them with what it knows.
//
// For a CompareAndSet or CompareAndDelete that returns any error other than these, or that
// returns because its context ended, the outcome is unknown: the write may have been applied,
// or may still be.
var (
	// ErrNotFound says that the key is absent.
	ErrNotFound = errors.New("key not found")

	// ErrConflict says that the key's revision is not the expected one. Nothing was written.
	ErrConflict = errors.New("revision conflict")

	// ErrInvalid says that a key, value or duration is outside the limits. Nothing was written.
	ErrInvalid = errors.New("invalid argument")

	// ErrUnavailable says that the store could not be asked at all. Nothing was written, nor will
	// be: a backend that is not sure of that returns another error. A later call may succeed.
	ErrUnavailable = errors.New("store unavailable")

	// ErrClosed says that Close of this backend was called, or that the backend has closed itself
	// because it cannot go on. Nothing was written, nor will be. It is final: every later call
	// fails in the same way, and nobody retries it. An error that wraps ErrClosed does not wrap
	// [ErrUnavailable].
	ErrClosed = errors.New("store closed")
)

// Entry is one key's state at one revision.
type Entry struct {
	Key string

	// Value is opaque, up to [MaxValueBytes], and may be empty. It belongs to whoever
	// holds the Entry: a backend never keeps or hands out a slice that it shares.
	Value []byte

	// Revision is greater than 0 and grows with every write of the key, also across deletion and
	// expiry: a revision once used for a key is never used for it again. That is what makes a
	// revision fit to serve as a fencing token. Revisions need not be consecutive.
	//
	// In an Entry from a watch, and only there, 0 says that the key is absent.
	Revision uint64
}

// Backend is a linearizable map from keys to values with compare-and-set.
//
// All methods are safe for concurrent use. Each is one atomic step. Each returns soon after its
// context ends, with an error for which errors.Is finds the context's error; called with a context
// that has already ended it does nothing else.
//
// A key is valid UTF-8 of 1 to [MaxKeyBytes] bytes, of any characters. Keys are told apart by their
// bytes: case and Unicode normalisation matter, and no key has to do with its prefixes. A backend
// whose store allows less encodes them.
//
// # Close
//
// A backend that holds files, connections or goroutines is an io.Closer. Its Close keeps these
// rules:
//
//   - A call made after Close has returned fails promptly with [ErrClosed] and writes nothing. That
//     holds for all methods, those of optional capabilities included. Only an ended context or an
//     invalid argument may be reported instead.
//   - A call that is under way when Close is called may end in any way that it could have ended
//     before, or with ErrClosed. A write whose fate is not known returns another error than
//     ErrClosed: its outcome is unknown, as after any such error.
//   - A running listing yields the rest of its entries, or ends with ErrClosed. It never ends
//     without a word. Whoever iterates may call Close from inside the loop.
//   - A running watch closes its channel.
//   - Close may be called again, by anyone and at any time. It does nothing then.
type Backend interface {
	// Get reads key. It sees every write that was acknowledged, to anybody, before it began.
	// [ErrNotFound] if the key is absent.
	Get(ctx context.Context, key string) (Entry, error)

	// CompareAndSet writes value under key if the key's revision is expected, and returns the new
	// revision. An expected revision of 0 means that the key must be absent, and an expected
	// revision of an absent key is a conflict.
	//
	// With [ErrConflict], [ErrInvalid], [ErrUnavailable] or [ErrClosed] nothing was written. After
	// any other error it may have been written, or may still be. Sending the same call again is
	// then safe where expected is not 0, since at most one of the two can apply.
	//
	// The entry stays readable for at least keep from now, after which the store may drop it as if
	// deleted. 0 keeps it for ever. Every write sets keep anew. The value is not kept: the caller
	// may change it after the call.
	CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (revision uint64, err error)

	// CompareAndDelete removes key if its revision is expected, which must be greater than 0.
	// [ErrNotFound] if the key is absent, [ErrConflict] if it has another revision: in both cases
	// nothing changed.
	CompareAndDelete(ctx context.Context, key string, expected uint64) error
}

// Lister is a [Backend] that can enumerate its entries.
type Lister interface {
	// List yields the entries whose key begins with prefix, byte for byte, in any order; "" is the
	// prefix of all. A key that is there from the call's first step to its end is yielded exactly
	// once; one that is written or deleted meanwhile, at most once. After an error, which comes
	// with a zero Entry, the sequence ends. If the context ends meanwhile, the sequence yields the
	// rest of its entries or ends with the context's error. The caller may write to the backend
	// while it iterates, and may break off at any time.
	List(ctx context.Context, prefix string) iter.Seq2[Entry, error]
}

// Watcher is a [Backend] that tells of changes as they happen.
type Watcher interface {
	// Watch sends the state of key at the time of the call, and then its later states. It may skip
	// a state that is followed by another, but the newest always comes, and no state comes after a
	// later one. An Entry with Revision 0 says that the key is absent. A store need not tell when
	// it drops an entry whose keep has ended. If ctx has already ended, Watch returns its error.
	//
	// A watch that nobody reads holds nobody up. Whoever reads it later comes to the newest state.
	//
	// The channel is closed after ctx ends, when the store is closed, and when the watch cannot go
	// on; a caller that still wants to know then watches again. Nothing is left running afterwards,
	// whether or not the channel was drained.
	Watch(ctx context.Context, key string) (<-chan Entry, error)
}

// CheckKey returns an error that wraps [ErrInvalid] unless key is one that every backend must
// accept.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: key is empty", ErrInvalid)
	case len(key) > MaxKeyBytes:
		return fmt.Errorf("%w: key has %d bytes, limit %d", ErrInvalid, len(key), MaxKeyBytes)
	case !utf8.ValidString(key):
		return fmt.Errorf("%w: key of %d bytes is not valid UTF-8", ErrInvalid, len(key))
	}
	return nil
}

// CheckWrite returns an error that wraps [ErrInvalid] unless the arguments are ones that every
// CompareAndSet must accept.
func CheckWrite(key string, value []byte, keep time.Duration) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	switch {
	case len(value) > MaxValueBytes:
		return fmt.Errorf("%w: value has %d bytes, limit %d", ErrInvalid, len(value), MaxValueBytes)
	case keep < 0:
		return fmt.Errorf("%w: keep is %v, must not be negative", ErrInvalid, keep)
	}
	return nil
}

// CheckDelete returns an error that wraps [ErrInvalid] unless the arguments are ones that every
// CompareAndDelete must accept.
func CheckDelete(key string, expected uint64) error {
	if expected == 0 {
		return fmt.Errorf("%w: expected revision is 0, must be that of an entry", ErrInvalid)
	}
	return CheckKey(key)
}
