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

// coder is an error that names its code.
type coder interface {
	error
	ErrorCode() string
}

func (h *Held) endCompleted(caller context.Context, result json.RawMessage) error {
	h.stop(caller)
	err := h.end(caller, true, func(ctx context.Context) error {
		_, err := h.m.complete(ctx, h.key, h.id, Completion{Result: result}, true)
		return err
	})
	if errors.Is(err, ErrInvalid) { // too long
		return h.fail(caller, codeResult, err)
	}
	return err
}

func (h *Held) endFailed(caller context.Context, code string, why error) error {
	lost := h.stop(caller)
	switch {
	case lost != nil && errors.Is(why, lost):
		return why
	case lost != nil:
		return &Error{Op: "do", Key: h.key, Err: fmt.Errorf("%w: %w", lost, why)}
	case caller.Err() == nil:
		return h.fail(caller, code, why)
	case h.leaveOnCancel:
		return why
	default:
		return h.fail(caller, codeCanceled+h.codeOfCause(caller), why)
	}
}

func (h *Held) endPanicked(caller context.Context) {
	if h.stop(caller) == nil {
		h.fail(caller, codePanic, nil)
	}
}

// fail fails the lease because of why, and returns why.
func (h *Held) fail(caller context.Context, code string, why error) error {
	f := Failure{Code: code}
	if why != nil {
		sum := sha256.Sum256([]byte(why.Error()))
		f.Hash = hex.EncodeToString(sum[:])
		if h.errorText {
			f.Text = printable(why.Error(), maxErrorTextBytes)
		}
	}
	err := h.end(caller, why != nil, func(ctx context.Context) error {
		_, err := h.m.fail(ctx, h.key, h.id, f, true)
		return err
	})
	if err != nil && why != nil {
		return fmt.Errorf("%w (and that could not be recorded: %w)", why, err)
	}
	return why
}

func (h *Held) codeOf(err error) string {
	if c, ok := errors.AsType[coder](err); ok {
		code := c.ErrorCode()
		if code != "" && checkString("error_code", code, h.m.maxErrorCodeBytes) == nil {
			return code
		}
	}
	return codeError
}

// codeOfCause is why the caller's context has ended.
func (h *Held) codeOfCause(caller context.Context) string {
	cause := context.Cause(caller)
	code := h.codeOf(cause)
	switch {
	case code != codeError && len(codeCanceled+code) <= h.m.maxErrorCodeBytes:
		return code
	case errors.Is(cause, context.DeadlineExceeded):
		return "deadline_exceeded"
	case errors.Is(cause, context.Canceled):
		return "context_canceled"
	default:
		return codeError
	}
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

// end has write end the lease. It tries again while the store is away, until the lease may be taken over, whether the caller still waits or not: the work has
// come to an end, and others should know. Who has given up, or panics, does not wait that long.
func (h *Held) end(caller context.Context, patient bool, write func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(caller))
	defer cancel()
	h.mu.Lock()
	term, l, told := h.term, h.lease, h.lost != nil
	h.mu.Unlock()
	most := endFor
	if patient {
		most = max(most, term.end.Sub(h.m.clock.Now()))
	}
	stop := h.m.clock.AfterFunc(most, cancel)
	defer stop()
	gone := context.AfterFunc(caller, func() { // the write has its time all the same
		t := newTimer(h.m.clock)
		t.set(endFor)
		defer func() { t.stop() }()
		select {
		case <-t.C:
			cancel()
		case <-ctx.Done():
		}
	})
	defer gone()
	r := retries{clock: h.m.clock}
	last := fmt.Errorf("%w: no answer in time", ErrUnavailable)
	for {
		err := h.m.try(ctx, term.ttl/3, write)
		switch {
		case errors.Is(err, ErrUnknownOutcome), errors.Is(err, ErrUnavailable):
			last = err
		case ctx.Err() == nil || !errors.Is(err, ctx.Err()):
			if errors.Is(err, ErrLost) && !told {
				h.m.tellLost(caller, h.m.storeKey(h.key), &l, relabel("do", h.key, err).Err)
			}
			return err
		}
		if !r.pause(ctx, 0) {
			return relabel("do", h.key, last)
		}
	}
}
