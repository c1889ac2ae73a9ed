package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of values, and of arguments outside the limits.

func values(s *subject, t *rapid.T) {
	value := rapid.OneOf(
		rapid.SampledFrom([][]byte{{}, {0}, []byte("null"), []byte("{}"), {0xff, 0xfe}, []byte("\x00a\x00"), []byte("é"), []byte("e\u0301")}),
		rapid.SliceOfN(rapid.Byte(), 0, 300),
	).Draw(t, "value")
	// A large value is a small one many times over: rapid has no need to draw a megabyte.
	if times := rapid.SampledFrom([]int{1, 1, 1, 1, 100, backend.MaxValueBytes}).Draw(t, "times"); len(value) > 0 {
		value = bytes.Repeat(value, max(1, min(times, backend.MaxValueBytes/len(value))))
	}
	key := s.key("k")
	first := s.mustSet(key, 0, value)
	s.holds(key, first, value)
	second := s.mustSet(key, first, []byte("short"))
	s.holds(key, second, []byte("short"))
	third := s.mustSet(key, second, value)
	s.holds(key, third, value)
}

func scramble(b []byte) {
	for i := range b {
		b[i] ^= 0xff
	}
}

func aliasing(s *subject, t *rapid.T) {
	key := s.key("k")
	original := rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "value")
	changes := func(what string, b []byte) {
		scramble(b)
		_ = append(b, "appended"...) // which may not reach a neighbour's bytes
		s.step("the caller changes %s", what)
	}
	var revision uint64
	write := func(value []byte) {
		given := bytes.Clone(value)
		revision = s.mustSet(key, revision, given)
		changes("the value it gave", given)
		s.holds(key, revision, value)
	}
	write([]byte("before"))
	write(original)
	changes("the value it got", s.get(key).Value)
	s.holds(key, revision, original)
	if _, ok := backend.As[backend.Lister](s.b); ok {
		s.aliasingOfLists(key, original, changes)
		s.holds(key, revision, original)
	}
	w, ok := backend.As[backend.Watcher](s.b)
	if !ok {
		return
	}
	one, other := s.watch(w, key), s.watch(w, key)
	defer one.end()
	defer other.end()
	for _, value := range [][]byte{original, append(original, '+')} {
		if !bytes.Equal(value, original) {
			write(value)
		}
		changes("a value that Watch sent", one.comesTo(revision, value).Value)
		other.comesTo(revision, value)
		s.holds(key, revision, value)
	}
}

// aliasingOfLists changes what two listings yielded, while they run and afterwards.
func (s *subject) aliasingOfLists(key string, original []byte, changes func(what string, b []byte)) {
	want := map[string][]byte{key: original}
	for i := range 3 {
		neighbour := s.key(fmt.Sprint("k, neighbour ", i))
		want[neighbour] = append([]byte{byte(i)}, original...)
		s.mustSet(neighbour, 0, want[neighbour])
	}
	for _, which := range []string{"first", "second"} {
		held := s.all(key, nil)
		for k, v := range want {
			if !bytes.Equal(held[k].Value, v) {
				s.broken("the %s listing yielded %s with the value %s, it is %s", which, show(k), showValue(held[k].Value), showValue(v))
			}
		}
		for k := range want {
			changes(fmt.Sprintf("the value of %s that the %s listing yielded", show(k), which), held[k].Value)
			delete(held, k)
			for other, e := range held {
				if !bytes.Equal(e.Value, want[other]) {
					s.broken("with that, the value of %s changed too", show(other))
				}
			}
		}
	}
}

var tooLarge = make([]byte, backend.MaxValueBytes+1)

// invalid makes calls with arguments that are refused however often they come, and so once.
func invalid(s *subject) {
	good := s.key("k")
	w, watches := backend.As[backend.Watcher](s.b)
	for _, bad := range []struct {
		what  string
		key   string
		value []byte
		keep  time.Duration
	}{
		{"an empty key", "", nil, 0},
		{"a key of 1281 bytes", s.key(strings.Repeat("k", backend.MaxKeyBytes+1-len(s.id))), nil, 0},
		{"a key of 1281 bytes, but fewer characters", s.key(strings.Repeat("é", backend.MaxKeyBytes/2)), nil, 0},
		{"a key that is not UTF-8", s.key("\xff"), nil, 0},
		{"a key that ends in half a character", s.key("\xc3"), nil, 0},
		{"a key with a surrogate in UTF-8", s.key("\xed\xa0\x80"), nil, 0},
		{"a key with an overlong slash", s.key("\xc0\xaf"), nil, 0},
		{"a value of 1 MiB and a byte", good, tooLarge, 0},
		{"a negative keep", good, nil, -time.Nanosecond},
	} {
		refused := func(call string, err error) {
			if !errors.Is(err, backend.ErrInvalid) {
				s.broken("%s with %s returned %v", call, bad.what, err)
			}
		}
		_, err := s.trySet(s.ctx, bad.key, 0, bad.value, bad.keep)
		refused("CompareAndSet", err)
		if bad.key != good {
			_, err := s.tryGet(s.ctx, bad.key)
			refused("Get", err)
			refused("CompareAndDelete", s.tryDelete(s.ctx, bad.key, 1))
			if watches {
				_, err := s.tryWatch(s.ctx, w, bad.key)
				refused("Watch", err)
			}
		}
	}
	if _, ok := backend.As[backend.PrefixWatcher](s.b); ok {
		_, err := s.tryWatchPrefix(s.ctx, strings.Repeat("é", backend.MaxKeyBytes/2)+"k")
		if !errors.Is(err, backend.ErrInvalid) {
			s.broken("WatchPrefix with a prefix of 1281 bytes returned %v", err)
		}
	}
	s.mustNotDelete(good, 0, backend.ErrInvalid, "with expected 0")
	s.holds(good, 0, nil)
	revision := s.mustSet(good, 0, []byte("v"))
	s.mustNotDelete(good, 0, backend.ErrInvalid, "with expected 0")
	if _, err := s.trySet(s.ctx, good, revision, tooLarge, 0); !errors.Is(err, backend.ErrInvalid) {
		s.broken("CompareAndSet of a key that is there with a value of 1 MiB and a byte returned %v", err)
	}
	s.holds(good, revision, []byte("v"))
}

// atTheLimits uses the longest key, the largest value and the longest keep together, in every call.
func atTheLimits(s *subject) {
	key := s.key(strings.Repeat("k", backend.MaxKeyBytes-len(s.id)))
	value := bytes.Repeat([]byte{0, 0xff, 'v', '\n'}, backend.MaxValueBytes/4)
	w, watches := backend.As[backend.Watcher](s.b)
	var one *watching
	if watches {
		one = s.watch(w, key)
		defer one.end()
		one.comesTo(0, nil)
	}
	var revision uint64
	for range 2 {
		revision = s.mustKeep(key, revision, value, math.MaxInt64)
		s.holds(key, revision, value)
		if watches {
			one.comesTo(revision, value)
		}
		if _, ok := backend.As[backend.Lister](s.b); ok {
			if e := s.all(key, nil)[key]; e.Revision != revision || !bytes.Equal(e.Value, value) {
				s.broken("List %s yielded it as %s, it is %s", show(key), showEntry(e, nil), showEntry(backend.Entry{Revision: revision, Value: value}, nil))
			}
		}
		scramble(value)
	}
	s.mustDelete(key, revision)
	s.holds(key, 0, nil)
}
