package lease

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/ailease/lease/backend"
)

// How Do ends a lease.

// Codes of the failures that [Do] makes itself.
const (
	codeError    = "error" // of errors without ErrorCode
	codePanic    = "panic"
	codeResult   = "result" // the result cannot be stored
	codeCanceled = "canceled:"
)

// endFor is for how long Do tries to end a lease when it is over, or the caller is gone.
const endFor = 5 * time.Second

func (h *hold) endCompleted(caller context.Context, result json.RawMessage) error {
	h.stop(caller)
	_, err := h.end(caller, true, "complete", &command{verb: verbComplete, result: result})
	if errors.Is(err, backend.ErrInvalid) {
		return h.failUnstorable(caller, err)
	}
	return err
}

// endUnstorable is for a result that cannot be stored: the work was done, and is not to be done
// again.
func (h *hold) endUnstorable(caller context.Context, why error) error {
	h.stop(caller)
	return h.failUnstorable(caller, why)
}

func (h *hold) failUnstorable(caller context.Context, why error) error {
	return h.fail(caller, verdictOf{code: codeResult, hash: hashOf(why.Error()), text: why.Error()}, why)
}

func (h *hold) endFailed(caller context.Context, why error) error {
	lost := h.stop(caller)
	v := h.inspect(why)
	gone := caller.Err() != nil
	switch {
	case lost != nil:
		if why == h.ctx.Err() { // says no more, and would be taken for the end of the caller's context
			return &Error{Op: "do", Key: h.key, Err: lost, Lease: h.snapshot()}
		}
		return h.wrap(lost, why, h.snapshot())
	case gone && (!h.AtMostOnce || v.mark == retryable):
		l, err := h.end(caller, true, "release", &command{verb: verbRelease})
		if err != nil {
			why, l = fmt.Errorf("%w (and the lease could not be released: %w)", why, err), h.snapshot()
		}
		return h.wrap(caller.Err(), why, l)
	case gone:
		v.code = codeCanceled + h.codeOfCause(caller)
		v.mark = permanent
	}
	v.retryable = v.mark == retryable || v.mark == unmarked && !h.AtMostOnce
	return h.fail(caller, v, why)
}

// endBroken is for a panic, and for the end of the goroutine. They may come from a method of the
// function's error or result too, also when the lease has been ended.
func (h *hold) endBroken(caller context.Context, v verdictOf) {
	if h.stop(caller) == nil && !h.ending {
		h.fail(caller, v, nil)
	}
}

// wrap joins what ended Do with what the function made of it.
func (h *hold) wrap(cause, why error, l Lease) error {
	said := false
	guard(func() { said = errors.Is(why, cause) })
	if said {
		return &Error{Op: "do", Key: h.key, Err: relabel("do", h.key, why).Err, Lease: l}
	}
	return &Error{Op: "do", Key: h.key, Err: fmt.Errorf("%w: %w", cause, why), Lease: l}
}

// fail fails the lease. The error that it returns is that failure, because of why.
func (h *hold) fail(caller context.Context, v verdictOf, why error) error {
	f := Failure{Code: v.code, Hash: v.hash, Retryable: v.retryable}
	if h.ErrorText {
		f.Text = printable(v.text, maxErrorTextBytes)
	}
	c, err := h.m.failing("", f)
	var l Lease
	if err == nil {
		l, err = h.end(caller, why != nil, "fail", c)
	}
	if why == nil {
		return nil
	}
	if err != nil {
		if errors.Is(err, ErrLost) || errors.Is(err, ErrFinished) || errors.Is(err, ErrNotFound) {
			return h.wrap(relabel("do", h.key, err).Err, why, h.snapshot())
		}
		why = fmt.Errorf("%w (and that could not be recorded: %w)", why, err)
		l = h.snapshot()
	} else {
		h.failed = &l
	}
	return &Error{Op: "do", Key: h.key, Err: &failure{code: v.code, attempt: l.Attempt, cause: why}, Lease: l}
}

// failedFor is the failure of the function as it was recorded, and whether the caller may try
// again.
func (h *hold) failedFor(caller context.Context) (l Lease, retry bool) {
	if h.failed == nil {
		return Lease{}, false
	}
	return *h.failed, h.failed.Retryable && caller.Err() == nil
}

// verdictOf is what a function's error says of its failure.
type verdictOf struct {
	code, hash, text string
	mark             mark
	retryable        bool
}

// inspect asks the methods of err, which are not ours: one that panics says nothing.
func (h *hold) inspect(err error) (v verdictOf) {
	v.code = codeError
	guard(func() {
		if m, ok := errors.AsType[marker](err); ok {
			v.mark = m.standing()
		}
	})
	guard(func() { v.code = h.codeOf(err) })
	guard(func() {
		text := err.Error()
		v.hash, v.text = hashOf(text), text
	})
	return v
}

// guard calls f, and ends its panic.
func guard(f func()) {
	defer func() { _ = recover() }()
	f()
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// coder is an error that names its code.
type coder interface {
	error
	ErrorCode() string
}

func (h *hold) codeOf(err error) string {
	if c, ok := errors.AsType[coder](err); ok {
		code := c.ErrorCode()
		if code != "" && checkString("error_code", code, h.m.maxErrorCodeBytes) == nil {
			return code
		}
	}
	return codeError
}

// codeOfCause is why the caller's context has ended.
func (h *hold) codeOfCause(caller context.Context) (code string) {
	code = codeError
	switch caller.Err() {
	case context.DeadlineExceeded:
		code = "deadline_exceeded"
	case context.Canceled:
		code = "context_canceled"
	}
	guard(func() {
		own := h.codeOf(context.Cause(caller))
		if own != codeError && len(codeCanceled+own) <= h.m.maxErrorCodeBytes {
			code = own
		}
	})
	return code
}

// printable is the beginning of s that fits into limit, without what the Manager refuses.
func printable(s string, limit int) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "�"))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") // without half a character
	}
	return s
}

var errNoAnswer = fmt.Errorf("%w: no answer in time", ErrUnavailable)

// end ends the lease by c. It tries again while the store is away, until the lease may be taken
// over, whether the caller still waits or not: the work has come to an end, and others should
// know. A caller who has given up, or panics, does not wait that long.
func (h *hold) end(caller context.Context, patient bool, op string, c *command) (Lease, error) {
	h.ending = true
	h.mu.Lock()
	last, l, told := h.term.earliest(), h.lease, h.term.lost != nil
	c.leaseID, c.progress, c.byDo = l.LeaseID, h.pending, true
	h.mu.Unlock()
	began, most := h.m.clock.Now(), endFor
	if patient {
		most = max(most, last.end.Sub(began))
	}
	ctx := context.WithoutCancel(caller)
	if caller.Done() != nil {
		waits, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(caller, func() { // the write has its time all the same
			t := newTimer(h.m.clock)
			t.set(endFor)
			defer func() { t.stop() }()
			select {
			case <-t.C:
				cancel()
			case <-waits.Done():
			}
		})()
		ctx = waits
	}
	r := retries{clock: h.m.clock}
	why := errNoAnswer
	unknown := false // whether a try was applied
	for {
		var ended Lease
		err := h.m.try(ctx, min(last.ttl/3, most), func(ctx context.Context) (err error) {
			again := *c // each try is an operation of its own
			ended, err = h.m.end(ctx, op, h.key, &again, nil)
			return err
		})
		switch {
		case isClosed(err):
			return ended, err
		case errors.Is(err, ErrUnknownOutcome):
			why, unknown = err, true
		case errors.Is(err, ErrUnavailable) && !unknown:
			why = err
		case errors.Is(err, ErrUnavailable):
		case unknown && follows(err, &l):
			return Lease{}, relabel("do", h.key, why)
		case ctx.Err() == nil || !errors.Is(err, ctx.Err()):
			h.refused = errors.Is(err, ErrLost) || errors.Is(err, ErrFinished)
			if errors.Is(err, ErrLost) && !told {
				h.tellLost(caller, &l, relabel("do", h.key, err).Err)
			}
			return ended, err
		}
		if !r.tried { // mostly one try is enough, and has a timer of its own
			tries, cancel := context.WithCancel(ctx)
			defer cancel()
			lasted := max(0, h.m.clock.Now().Sub(began))
			stop := h.m.clock.AfterFunc(max(0, most-lasted), cancel)
			defer stop()
			ctx = tries
		}
		if !r.pause(ctx, 0) {
			return Lease{}, relabel("do", h.key, why)
		}
	}
}

// follows tells whether err is about a lease so much later than l that it does not know of the end
// of l: the next lease does, and those after it do not.
func follows(err error, l *Lease) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Lease.State != "" && e.Lease.LeaseID != l.LeaseID && e.Lease.Attempt != l.Attempt+1
}

// isClosed tells whether err says that the store was closed: asking again is useless.
func isClosed(err error) bool { return errors.Is(err, backend.ErrClosed) }
