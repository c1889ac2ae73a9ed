package lease_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// Promise 2 of Do: a failure is shared by those who were waiting, and whoever calls later tries
// again, unless the failure is permanent.

func TestWhatAFailureStores(t *testing.T) {
	text := &lease.DoOptions{ErrorText: true}
	for _, tt := range []struct {
		name string
		err  error
		opts *lease.DoOptions
		code string
		text string
	}{
		{"an error without a code", errors.New("secret"), nil, "error", ""},
		{"an error that names its code", coded("quota"), nil, "quota", ""},
		{"one that wraps it", fmt.Errorf("call: %w", coded("quota")), nil, "quota", ""},
		{"one that is marked", lease.Retryable(coded("quota")), nil, "quota", ""},
		{"a code that is empty", coded(""), nil, "error", ""},
		{"a code that is too long", coded(strings.Repeat("x", 200)), nil, "error", ""},
		{"a code that cannot be shown", coded("a\nb"), nil, "error", ""},
		{"a code that is not valid UTF-8", coded("a\xff"), nil, "error", ""},
		{"its text, if that is asked for", errors.New("disk\nfull"), text, "error", "disk full"},
		{"the text without the mark", lease.Retryable(errors.New("disk full")), text, "error", "disk full"},
		{"the first 1024 bytes of its text", errors.New(strings.Repeat("é", 600)), text, "error", strings.Repeat("é", 512)},
		{"and no half of a character", errors.New("\xff" + strings.Repeat("é", 600)), text, "error", "�" + strings.Repeat("é", 510)},
		{"an empty text", errors.New(""), text, "error", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := host(t, memory.New())
			_, err := mustRun(t, t.Context(), m, "k", tt.opts, returns("", tt.err))
			mustFail(t, err, tt.code)
			if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.err.Error()) {
				t.Errorf("Do returned %v, which does not have the function's error", err)
			}
			sum := sha256.Sum256([]byte(tt.err.Error()))
			l := mustStand(t, m, "k", "failed 1 "+tt.code+", retryable")
			if l.ErrorHash != hex.EncodeToString(sum[:]) || l.ErrorText != tt.text || l.Failures != 1 {
				t.Errorf("the lease has hash %q, text %q, %d failures", l.ErrorHash, l.ErrorText, l.Failures)
			}
		})
	}
}

// TestWhetherAFailureStands asks once more when the function has failed with an error.
func TestWhetherAFailureStands(t *testing.T) {
	boom := coded("boom")
	once := lease.DoOptions{AtMostOnce: true}
	for _, tt := range []struct {
		name   string
		err    error
		opts   lease.DoOptions
		stands bool
	}{
		{"a failure is retryable", boom, lease.DoOptions{}, false},
		{"unless it is permanent", lease.Permanent(boom), lease.DoOptions{}, true},
		{"a mark is found inside", fmt.Errorf("call: %w", lease.Permanent(boom)), lease.DoOptions{}, true},
		{"the outermost mark counts", lease.Retryable(lease.Permanent(boom)), lease.DoOptions{}, false},
		{"a mark is found in what is joined", errors.Join(io.EOF, lease.Permanent(boom)), lease.DoOptions{}, true},
		{"with AtMostOnce it is permanent", boom, once, true},
		{"unless it is retryable", lease.Retryable(boom), once, false},
		{"with AtMostOnce, and marked so", lease.Permanent(boom), once, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := host(t, memory.New())
			_, err := mustRun(t, t.Context(), m, "k", &tt.opts, returns(0, tt.err))
			mustFail(t, err, "boom")
			if _, ok := errors.AsType[coded](err); !ok {
				t.Errorf("Do returned %v, which does not have the original", err)
			}
			if !tt.stands {
				mustStand(t, m, "k", "failed 1 boom, retryable")
				if n, err := mustRun(t, t.Context(), m, "k", &tt.opts, attempt); n != 2 || err != nil {
					t.Errorf("the next caller: attempt %d, %v", n, err)
				}
				return
			}
			mustStand(t, m, "k", "failed 1 boom")
			_, err = mustNotRun[int](t, t.Context(), m, "k", &tt.opts)
			mustFail(t, err, "boom")
			if _, ok := errors.AsType[coded](err); ok {
				t.Errorf("the next caller got %v, with an original that it cannot have", err)
			}
			retry := tt.opts
			retry.RetryFailed = true
			if n, err := mustRun(t, t.Context(), m, "k", &retry, attempt); n != 2 || err != nil {
				t.Errorf("a caller who has looked: attempt %d, %v", n, err)
			}
		})
	}
}

func TestAFailureIsSharedByThoseWhoWait(t *testing.T) {
	for _, permanent := range []bool{false, true} {
		bubble(t, fmt.Sprintf("permanent: %t", permanent), func(t *testing.T, store *memory.Store) {
			var l timeline
			hosts := []*lease.Manager{host(t, store, l.seen()), host(t, store, l.seen()), host(t, threeMethods{store}, l.seen())}
			boom := error(coded("boom"))
			if permanent {
				boom = lease.Permanent(boom)
			}
			var runs, originals atomic.Int64
			var all sync.WaitGroup
			for i := range 30 {
				all.Go(func() {
					_, err := lease.Do(t.Context(), hosts[i%3], "k", nil, func(ctx context.Context) (string, error) {
						runs.Add(1)
						time.Sleep(5 * time.Second)
						return "", boom
					})
					mustFail(t, err, "boom")
					if _, ok := errors.AsType[coded](err); ok {
						originals.Add(1)
					}
				})
			}
			all.Wait()
			if runs.Load() != 1 || originals.Load() != 1 {
				t.Errorf("it ran %d times, %d callers got the original; want once and one", runs.Load(), originals.Load())
			}
			if permanent {
				_, err := mustNotRun[string](t, t.Context(), hosts[1], "k", nil)
				mustFail(t, err, "boom")
				l.mustBe(t, "acquired 1", "failed 1 boom")
				return
			}
			if _, err := mustRun(t, t.Context(), hosts[1], "k", nil, returns("later", nil)); err != nil {
				t.Error(err)
			}
			l.mustBe(t, "acquired 1", "failed 1 boom", "acquired 2", "completed 2")
		})
	}
}

// TestAnErrorThatIsNotTheFunctions: an error without ErrFailed comes from elsewhere, and the
// function has not run, or its result could not be stored.
func TestAnErrorThatIsNotTheFunctions(t *testing.T) {
	bubbleWith(t, "the store cannot be asked", func(t *testing.T, b *scriptedStore) {
		b.away.Store(true)
		begun := time.Now()
		_, err := mustNotRun[int](t, t.Context(), host(t, b), "k", nil)
		mustNotFail(t, err, lease.ErrUnavailable)
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
	bubbleWith(t, "the caller has gone before", func(t *testing.T, b *scriptedStore) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := mustNotRun[int](t, ctx, host(t, b), "k", nil)
		mustNotFail(t, err, context.Canceled)
		if n := b.writes.Load(); n != 0 {
			t.Errorf("%d writes", n)
		}
	})
	bubbleWith(t, "the result cannot be stored, since the store has gone", func(t *testing.T, b *scriptedStore) {
		m := host(t, b)
		v, err := mustRun(t, t.Context(), m, "k", nil, func(context.Context) (string, error) {
			b.away.Store(true)
			return "done", nil
		})
		mustNotFail(t, err, lease.ErrUnavailable)
		if v != "done" {
			t.Errorf("got %q, want the result beside the error", v)
		}
	})
	bubbleWith(t, "but a failure that could not be recorded is one", func(t *testing.T, b *scriptedStore) {
		_, err := mustRun(t, t.Context(), host(t, b), "k", &lease.DoOptions{Attempts: 5}, func(context.Context) (string, error) {
			b.away.Store(true)
			return "", coded("boom")
		})
		if !errors.Is(err, lease.ErrFailed) || !errors.Is(err, lease.ErrUnavailable) || lease.Code(err) != "boom" {
			t.Errorf("got %v", err)
		}
	})
}
