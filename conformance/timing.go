package conformance

import (
	"fmt"
	"time"
)

// keep takes real time, and so runs once, with many keys side by side. What it can see without
// waiting for days is whether an entry goes too early; a store that never drops anything passes.
func keep(s *subject) {
	type held struct {
		key      string
		revision uint64
		value    []byte
		until    time.Time
	}
	// Not whole seconds, as the times of leases seldom are; and so long past one that a busy
	// machine looks in between.
	const short = 1400 * time.Millisecond
	var all []held
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
		h := held{key, revision, value, begun.Add(keep)}
		if keep == 0 {
			h.until = begun.Add(time.Hour)
		}
		all = append(all, h)
	}
	always := time.Now().Add(time.Hour)
	var ending []uint64 // the revisions of entries whose keep ends
	for i := range 5 {
		set(s.key(fmt.Sprint("ends", i)), 0, short, always)
		ending = append(ending, all[len(all)-1].revision)
		set(s.key(fmt.Sprint("long", i)), 0, time.Hour, always)
		set(s.key(fmt.Sprint("for ever", i)), 0, 0, always)
		for what, again := range map[string]time.Duration{"prolonged": time.Hour, "made for ever": 0} {
			key := s.key(fmt.Sprint(what, i))
			begun := time.Now()
			revision, _ := s.set(key, 0, nil, short)
			set(key, revision, again, begun.Add(short))
		}
		key := s.key(fmt.Sprint("shortened", i))
		set(key, s.mustSet(key, 0, nil), short, always)
	}
	check := func() {
		for _, h := range all {
			e := s.get(h.key)
			if now := time.Now(); now.Before(h.until) && e.Revision != h.revision {
				s.broken("%s was written with keep %s, and is %s %v before that is over", show(h.key), h.value, showEntry(e, nil), h.until.Sub(now))
			}
		}
	}
	for end := time.Now().Add(2*short + time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		check()
	}
	for i, old := range ending {
		key := s.key(fmt.Sprint("ends", i))
		if revision := s.mustSet(key, s.get(key).Revision, nil); revision <= old {
			s.broken("%s got revision %d after its keep had ended, and had %d before", show(key), revision, old)
		}
	}
}
