package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of several callers at once, and of callers that lose patience.

func raceToCreate(s *subject, t *rapid.T) {
	key := s.key("k")
	n := rapid.IntRange(2, 8).Draw(t, "callers")
	revisions := make([]uint64, n)
	s.together(n, func(i int) {
		revisions[i], _ = s.set(key, 0, fmt.Append(nil, i), 0)
	})
	winner := -1
	for i, r := range revisions {
		switch {
		case r == 0:
		case winner >= 0:
			s.broken("callers %d and %d both created the key", winner, i)
		default:
			winner = i
		}
	}
	if winner < 0 {
		s.broken("none of %d callers created the key", n)
	}
	s.holds(key, revisions[winner], fmt.Append(nil, winner))
}

func lostUpdate(s *subject, t *rapid.T) {
	key := s.key("k")
	callers := rapid.IntRange(2, 6).Draw(t, "callers")
	each := rapid.IntRange(1, 4).Draw(t, "increments")
	s.mustSet(key, 0, []byte("0"))
	s.together(callers, func(int) {
		for range each {
			for {
				e := s.get(key)
				n, err := strconv.Atoi(string(e.Value))
				if err != nil {
					s.broken("the counter is %s", showValue(e.Value))
				}
				if _, ok := s.set(key, e.Revision, fmt.Append(nil, n+1), 0); ok {
					break
				}
			}
		}
	})
	if e, want := s.get(key), fmt.Sprint(callers*each); string(e.Value) != want {
		s.broken("after %s increments the counter is %s", want, showValue(e.Value))
	}
}

func freshReads(s *subject, t *rapid.T) {
	key := s.key("k")
	writes := rapid.IntRange(2, 8).Draw(t, "writes")
	readers := rapid.IntRange(1, 4).Draw(t, "readers")
	var acknowledged atomic.Uint64
	acknowledged.Store(s.mustSet(key, 0, nil))
	look := func() {
		before := acknowledged.Load()
		if e := s.get(key); e.Revision < before {
			s.broken("Get saw revision %d, but %d was acknowledged before it began", e.Revision, before)
		}
	}
	s.together(readers+1, func(i int) {
		for range writes {
			if i == 0 {
				acknowledged.Store(s.mustSet(key, acknowledged.Load(), nil))
			}
			look() // the writer too: the others may come too early, or too late
		}
	})
}

func endedContext(s *subject, t *rapid.T) {
	ctx, cancel := context.WithCancel(context.Background())
	want := context.Canceled
	if rapid.Bool().Draw(t, "deadline") {
		ctx, cancel = context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
		want = context.DeadlineExceeded
	}
	cancel()
	key, other := s.key("k"), s.key("other")
	revision := s.mustSet(key, 0, []byte("v"))
	says := func(call string, err error) {
		s.step("%s with an ended context -> %v", call, err)
		if !errors.Is(err, want) {
			s.broken("%s with an ended context returned %v, which is not %v", call, err, want)
		}
	}
	s.within("calls with an ended context", func() {
		_, err := s.b.Get(ctx, key)
		says("Get", err)
		_, err = s.b.CompareAndSet(ctx, key, revision, []byte("w"), 0)
		says("CompareAndSet", err)
		_, err = s.b.CompareAndSet(ctx, other, 0, []byte("w"), 0)
		says("CompareAndSet of an absent key", err)
		says("CompareAndDelete", s.b.CompareAndDelete(ctx, key, revision))
	})
	s.holds(key, revision, []byte("v"))
	s.holds(other, 0, nil)
}

func cutShort(s *subject, t *rapid.T) {
	const callers = 8
	size := rapid.SampledFrom([]int{8, 300, 20_000}).Draw(t, "bytes")
	pause := time.Duration(rapid.IntRange(0, 400).Draw(t, "microseconds")) * time.Microsecond
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	keyOf := func(i int) string { return s.key(fmt.Sprint(i)) }
	valueOf := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, size) }
	errs := make([]error, callers)
	s.together(callers+1, func(i int) {
		if i == callers {
			time.Sleep(pause) // somewhere into the others' calls, it does not matter where
			s.step("the context is cancelled")
			cancel()
			return
		}
		value := valueOf(i)
		_, errs[i] = s.b.CompareAndSet(ctx, keyOf(i), 0, value, 0)
		s.step("CompareAndSet %s, value of %d bytes -> %v", show(keyOf(i)), size, errs[i])
		clear(value) // it is the caller's again
	})
	for i, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, backend.ErrUnavailable) {
			s.broken("CompareAndSet that was cut short returned %v", err)
		}
		e := s.get(keyOf(i))
		if err == nil && e.Revision == 0 {
			s.broken("CompareAndSet %s succeeded, but the key is absent", show(keyOf(i)))
		}
		if e.Revision != 0 && !bytes.Equal(e.Value, valueOf(i)) {
			s.broken("CompareAndSet %s wrote something else than its value: %s", show(keyOf(i)), showValue(e.Value))
		}
	}
	// What was not applied may be, until something else is: then it is settled.
	for i := range callers {
		revision := s.get(keyOf(i)).Revision
		if next, ok := s.set(keyOf(i), revision, []byte("settled"), 0); ok {
			s.holds(keyOf(i), next, []byte("settled"))
		}
	}
}
