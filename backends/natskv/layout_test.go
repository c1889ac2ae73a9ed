package natskv

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/backend"
)

// TestLayouts: how a bucket is kept is asked for now and then, by one of those who need it, and
// nobody who holds the lock waits for the server.
func TestLayouts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		known layout
		age   time.Duration
		asks  int
		waits bool
	}{
		{"one replica, asked just now", layout{}, lookAtSingle - 1, 0, false},
		{"one replica, asked a second ago", layout{}, lookAtSingle, 1, true},
		{"several, asked a second ago", layout{replicated: true}, lookAtSingle, 0, false},
		{"several, asked long ago", layout{replicated: true}, lookAtReplicated, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const answerTakes = 100 * time.Millisecond
				asks := 0
				l := &layouts{known: tt.known, asked: time.Now(), ask: func(context.Context) (layout, error) {
					asks++
					time.Sleep(answerTakes)
					return layout{replicated: true, direct: true}, nil
				}}
				run := func(f func(context.Context)) error { go f(context.Background()); return nil }
				time.Sleep(tt.age)
				begun := time.Now()
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() {
						got, err := l.get(t.Context(), run)
						if err != nil || tt.waits && !got.direct {
							t.Errorf("%+v, %v", got, err)
						}
						if took := time.Since(begun); tt.waits != (took > 0) {
							t.Errorf("it took %v", took)
						}
					})
				}
				all.Wait()
				time.Sleep(answerTakes)
				synctest.Wait()
				if asks != tt.asks {
					t.Errorf("asked %d times, want %d", asks, tt.asks)
				}
				if got, err := l.get(t.Context(), run); err != nil || tt.asks > 0 && !got.direct {
					t.Errorf("afterwards: %+v, %v", got, err)
				}
			})
		})
	}
}

func TestLayoutsWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := true
		l := &layouts{asked: time.Now(), ask: func(context.Context) (layout, error) {
			if failing {
				return layout{}, errNotConnected
			}
			return layout{direct: true}, nil
		}}
		time.Sleep(lookAtSingle)
		run := func(f func(context.Context)) error { go f(context.Background()); return nil }
		if _, err := l.get(t.Context(), run); !errors.Is(err, errNotConnected) {
			t.Errorf("%v, want %v", err, errNotConnected)
		}
		closed := func(func(context.Context)) error { return backend.ErrClosed }
		if _, err := l.get(t.Context(), closed); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("a closed store: %v", err)
		}
		failing = false
		if got, err := l.get(t.Context(), run); err != nil || !got.direct {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestLayoutsOfAStreamThatIsMade: whoever calls after a stream was made is not told that it is
// absent, although a request from before is under way and says so.
func TestLayoutsOfAStreamThatIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := false
		l := &layouts{ask: func(context.Context) (layout, error) {
			there := made
			time.Sleep(lookAtSingle / 2) // the answer is on its way
			if !there {
				return layout{}, errNoJournal
			}
			return layout{direct: true}, nil
		}}
		run := func(f func(context.Context)) error { go f(context.Background()); return nil }
		before := make(chan error, 1)
		go func() { _, err := l.get(t.Context(), run); before <- err }()
		synctest.Wait()
		made = true
		if got, err := l.get(t.Context(), run); err != nil || !got.direct {
			t.Errorf("after the stream was made: %+v, %v", got, err)
		}
		if err := <-before; !errors.Is(err, errNoJournal) {
			t.Errorf("before: %v, want %v", err, errNoJournal)
		}
	})
}

// TestLayoutsOfASlowServer: an answer is good enough for whoever asked, although it is old when it
// comes.
func TestLayoutsOfASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := 0
		l := &layouts{ask: func(context.Context) (layout, error) {
			asks++
			time.Sleep(2 * lookAtSingle)
			return layout{direct: true}, nil
		}}
		run := func(f func(context.Context)) error { go f(context.Background()); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if got, err := l.get(ctx, run); err != nil || !got.direct || asks != 1 {
			t.Errorf("%+v, %v, asked %d times", got, err, asks)
		}
	})
}

func TestShared(t *testing.T) {
	all := layout{replicated: true, direct: true}
	for _, tt := range []struct {
		layout  layout
		version string
		want    bool
	}{
		{all, "2.15.2", true},
		{all, "2.14.0", true},
		{all, "3.0.0", true},
		{all, "2.12.15", false},
		{all, "2.11.0", false},
		{all, "unknown", true},
		{layout{replicated: true}, "2.15.2", false},
		{layout{direct: true}, "2.15.2", false},
	} {
		if got := tt.layout.shared(tt.version); got != tt.want {
			t.Errorf("%+v with server %s: %t, want %t", tt.layout, tt.version, got, tt.want)
		}
	}
}
