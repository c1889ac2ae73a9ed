package conformance

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// kept is an entry that must be readable for a time.
type kept struct {
	key      string
	revision uint64
	value    []byte
	until    time.Time
}

// keep takes real time, and so runs once, with many keys side by side. What it can see without
// waiting for days is whether an entry goes too early; a store that never drops anything passes.
func keep(s *subject) {
	// Not whole seconds, as the times of leases seldom are; and so long past one that a busy
	// machine looks in between.
	const short = 1400 * time.Millisecond
	var all []kept
	// set writes at the expected revision, which stands at least until then.
	set := func(key string, expected uint64, keep time.Duration, standsUntil time.Time) {
		value := []byte(keep.String())
		begun := time.Now()
		revision, ok := s.set(key, expected, value, keep)
		switch {
		case ok:
		case time.Now().Before(standsUntil):
			s.broken("CompareAndSet %s at its revision was a conflict", show(key))
		default: // the store is so slow that what stood there may be gone
			return
		}
		k := kept{key, revision, value, begun.Add(keep)}
		if keep == 0 || keep > time.Hour {
			k.until = begun.Add(time.Hour)
		}
		all = append(all, k)
	}
	always := time.Now().Add(time.Hour)
	var ending []kept
	for i := range 5 {
		set(s.key(fmt.Sprint("ends", i)), 0, short, always)
		ending = append(ending, all[len(all)-1])
		set(s.key(fmt.Sprint("long", i)), 0, time.Hour, always)
		set(s.key(fmt.Sprint("for ever", i)), 0, 0, always)
		for _, again := range []time.Duration{time.Hour, 0} {
			key := s.key(fmt.Sprint("prolonged to ", again, " ", i))
			begun := time.Now()
			revision, _ := s.set(key, 0, nil, short)
			set(key, revision, again, begun.Add(short))

			key = s.key(fmt.Sprint("deleted, and made anew for ", again, " ", i))
			revision = s.mustKeep(key, 0, nil, short)
			if err := s.tryDelete(s.ctx, key, revision); err == nil {
				set(key, 0, again, always)
			} else if time.Now().Before(begun.Add(short)) {
				s.broken("CompareAndDelete %s at its revision failed: %v", show(key), err)
			}
		}
		key := s.key(fmt.Sprint("shortened", i))
		set(key, s.mustSet(key, 0, nil), short, always)

		// A call that is refused leaves the keep as it was.
		key = s.key(fmt.Sprint("not shortened", i))
		set(key, 0, 0, always)
		for _, wrong := range []uint64{0, all[len(all)-1].revision + 1} {
			if _, ok := s.set(key, wrong, nil, time.Millisecond); ok {
				s.broken("CompareAndSet %s at revision %d succeeded", show(key), wrong)
			}
		}
	}
	for i, long := range longest {
		set(s.key(fmt.Sprint("longest", i)), 0, long, always)
	}
	// Many stores drop entries as others are written, and some take up to a second more to do it.
	meanwhile, revision := s.key("written meanwhile"), uint64(0)
	for begun := time.Now(); time.Since(begun) < short+1300*time.Millisecond; time.Sleep(50 * time.Millisecond) {
		s.stillThere(all)
		for range 4 {
			revision = s.mustKeep(meanwhile, revision, nil, time.Hour)
		}
		if time.Since(begun) > short+600*time.Millisecond && s.areGone(ending) {
			break
		}
	}
	for _, old := range ending {
		if now := s.get(old.key).Revision; now == 0 {
			if _, ok := s.set(old.key, old.revision, nil, 0); ok {
				s.broken("%s is absent, and was written at the revision that it had before", show(old.key))
			}
			s.mustNotDelete(old.key, old.revision, backend.ErrNotFound, "whose keep has ended, and which is absent,")
			if _, ok := backend.As[backend.Lister](s.b); ok {
				if e := s.all(old.key, nil)[old.key]; e.Revision != 0 {
					s.broken("%s is absent, and List shows %s", show(old.key), showEntry(e, nil))
				}
			}
		}
		if revision := s.mustSet(old.key, s.get(old.key).Revision, nil); revision <= old.revision {
			s.broken("%s got revision %d after its keep had ended, and had %d before", show(old.key), revision, old.revision)
		}
	}
}

// areGone tells whether all entries are absent.
func (s *subject) areGone(all []kept) bool {
	for _, k := range all {
		if s.get(k.key).Revision != 0 {
			return false
		}
	}
	return true
}

// stillThere looks up all that must be readable, and lists it.
func (s *subject) stillThere(all []kept) {
	gone := func(k kept, e backend.Entry, how string) {
		if now := time.Now(); now.Before(k.until) && e.Revision != k.revision {
			s.broken("%s was written with keep %s, and %s shows it as %s %v before that is over", show(k.key), k.value, how, showEntry(e, nil), k.until.Sub(now))
		}
	}
	for _, k := range all {
		gone(k, s.get(k.key), "Get")
	}
	if _, ok := backend.As[backend.Lister](s.b); ok {
		found := s.all(s.id, nil)
		for _, k := range all {
			gone(k, found[k.key], "List")
		}
	}
}

// longest are times that end beyond what some clock or number can hold: those of 31 and 32 bits of
// seconds and milliseconds, of the year 2262 in nanoseconds, and what passes for a date.
var longest = []time.Duration{
	31 * 24 * time.Hour, 1 << 31 * time.Millisecond, 1 << 32 * time.Millisecond,
	1 << 31 * time.Second, 1 << 32 * time.Second, 240 * 365 * 24 * time.Hour,
	math.MaxInt64 - 1, math.MaxInt64,
}

// longKeeps sets times that nobody waits for. A store that reckons wrongly drops the entry at once.
func longKeeps(s *subject, t *rapid.T) {
	key := s.key("k")
	keep := rapid.OneOf(
		rapid.SampledFrom(longest),
		rapid.Custom(func(t *rapid.T) time.Duration { return 1 << rapid.IntRange(36, 62).Draw(t, "bit") }),
	).Draw(t, "keep")
	first, second := s.mustKeep(key, 0, []byte("v"), keep), uint64(0)
	s.holds(key, first, []byte("v"))
	if rapid.Bool().Draw(t, "again") {
		second = s.mustKeep(key, first, []byte("w"), keep)
		s.holds(key, second, []byte("w"))
	}
	if _, ok := backend.As[backend.Lister](s.b); ok {
		if e := s.all(key, nil)[key]; e.Revision != max(first, second) || bytes.Equal(e.Value, nil) {
			s.broken("List %s shows %s, it was written with keep %v", show(key), showEntry(e, nil), keep)
		}
	}
}
