package conformance

import (
	"bytes"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of backend.PrefixWatcher.

// watchPrefix changes some keys below a prefix and others next to it, under two watches.
func watchPrefix(s *subject, t *rapid.T) {
	prefix := s.key("p/")
	within := []string{prefix + "a", prefix + "b", prefix + "b/c", prefix}
	beside := []string{s.key("p"), s.key("p0"), s.key("P/a"), s.key("q/a"), s.key("p.a")}
	revisions, was := map[string]uint64{}, valuesOf{}
	write := func(key string, value []byte) {
		revisions[key] = s.mustSet(key, revisions[key], value)
		was.add(key, revisions[key], value)
	}
	change := func(t *rapid.T) {
		if rapid.IntRange(0, 3).Draw(t, "beside") == 0 {
			write(rapid.SampledFrom(beside).Draw(t, "key"), []byte("another's"))
			return
		}
		key := rapid.SampledFrom(within).Draw(t, "key")
		switch kind := rapid.IntRange(0, 4).Draw(t, "kind"); {
		case revisions[key] != 0 && kind == 0:
			s.mustDelete(key, revisions[key])
			revisions[key] = 0
		case kind == 1:
			if _, ok := s.set(key, wrongRevision(t, revisions[key]), []byte("refused"), 0); ok {
				s.broken("CompareAndSet at another revision than %d succeeded", revisions[key])
			}
		default:
			write(key, append([]byte(key), smallValue().Draw(t, "value")...))
		}
	}
	for range rapid.IntRange(0, 4).Draw(t, "changes before") {
		change(t)
	}
	stood := maps.Clone(revisions)
	one, other := s.watchPrefix(prefix), s.watchPrefix(prefix)
	defer one.end()
	defer other.end()
	one.stood, one.was = stood, &was
	other.stood, other.was = stood, &was
	look := func(w *prefixWatching) {
		for _, key := range within {
			if revisions[key] != stood[key] {
				w.comesTo(key, revisions[key])
			}
		}
	}
	for range rapid.IntRange(1, 6).Draw(t, "changes") {
		if change(t); rapid.Bool().Draw(t, "look") {
			look(one)
		}
	}
	write(prefix+"last", nil)
	one.comesTo(prefix+"last", revisions[prefix+"last"])
	look(one)
	for _, e := range one.last {
		scramble(e.Value) // it belongs to whoever reads this watch
	}
	other.comesTo(prefix+"last", revisions[prefix+"last"])
	look(other)
}

// watchPrefixes writes keys that differ in little, and watches by what one of them begins with.
func watchPrefixes(s *subject, t *rapid.T) {
	all := append(s.awkwardKeys(t), s.parentAndChild(t)...)
	long := strings.Repeat("long", 300)
	for _, tail := range []string{"a/b", "a/", "a", "a0", "a.b", "a/b/c", "A/b", "a=2Fb", "é", "è", long + "/b", long + "/c", long, long[:900]} {
		all = append(all, s.key(tail))
	}
	patterns := []string{s.key("a*"), s.key("a?"), s.key("a%"), s.key("a_"), s.key("a."), s.key("a>")}
	all = append(all, patterns...)
	own := rapid.OneOf(rapid.SampledFrom(all), rapid.SampledFrom(patterns)).Draw(t, "key")
	prefix := own[:rapid.IntRange(0, len(own)).Draw(t, "bytes")] // it may end within a character
	switch i := strings.Index(own, "/"); rapid.IntRange(0, 3).Draw(t, "end") {
	case 0:
		prefix = own[:i+1] // its namespace, or nothing
	case 1:
		prefix = own
	}
	// These are apt to be taken for something else.
	odd := rapid.SampledFrom([]string{"", s.id, s.key("a"), s.key("a/"), s.key("a*"), s.key("\xc3"), s.key(long)}).Draw(t, "odd prefix")
	watches := []*prefixWatching{s.watchPrefix(prefix), s.watchPrefix(odd)}
	for _, one := range watches {
		defer one.end()
	}
	revisions := map[string]uint64{}
	for _, key := range all {
		revisions[key] = s.mustSet(key, revisions[key], []byte(key))
	}
	last := odd + "z"
	switch odd {
	case "":
		last = s.key("z")
	case s.key("\xc3"):
		last = s.key("é")
	}
	for _, key := range []string{own, last} { // what should not have come has come before
		revisions[key] = s.mustSet(key, revisions[key], []byte(key))
	}
	for _, one := range watches {
		for key, revision := range revisions {
			if !strings.HasPrefix(key, one.prefix) {
				continue
			}
			one.comesTo(key, revision)
			if e := one.last[key]; string(e.Value) != key {
				s.broken("the watch of prefix %s sent %s of %s", show(one.prefix), showEntry(e, nil), show(key))
			}
		}
	}
}

// prefixWatchUnderLoad has watches begin and end while several keys are written.
func prefixWatchUnderLoad(s *subject, t *rapid.T) {
	const keys, watches = 3, 3
	prefix := s.key("p/")
	writes := rapid.IntRange(1, 12).Draw(t, "writes")
	from := rapid.IntRange(0, writes-1).Draw(t, "the watches' first write")
	slow := rapid.Bool().Draw(t, "slow readers") // who take nothing until all is written
	var mu sync.Mutex
	finals := map[string]uint64{}
	var begun, writing sync.WaitGroup
	begun.Add(watches)
	writing.Add(keys)
	watched, written := make(chan struct{}), make(chan struct{})
	go func() { begun.Wait(); close(watched) }()
	go func() { writing.Wait(); close(written) }()
	s.together(keys+watches+1, func(i int) {
		switch {
		case i < keys:
			telling := sync.OnceFunc(writing.Done)
			defer telling() // also if it fails
			key := prefix + fmt.Sprint(i)
			var revision uint64
			for n := range writes {
				if n == from {
					s.await(watched) // each watch has at least the last state to tell of
				}
				revision = s.mustSet(key, revision, fmt.Append(nil, n))
				if n%4 == 2 && n < writes-1 {
					s.mustDelete(key, revision)
					revision = 0
				}
			}
			mu.Lock()
			finals[key] = revision
			mu.Unlock()
		case i < keys+watches:
			telling := sync.OnceFunc(begun.Done)
			defer telling()
			one := s.watchPrefix(prefix)
			defer one.end()
			telling()
			if slow {
				s.await(written)
			}
			last := fmt.Append(nil, writes-1)
			for k := range keys {
				for !bytes.Equal(one.last[prefix+fmt.Sprint(k)].Value, last) {
					if _, ok := one.next(); !ok {
						s.broken("the watch of prefix %s closed its channel", show(prefix))
					}
				}
			}
			s.await(written)
			mu.Lock()
			defer mu.Unlock()
			one.comesToAll(finals)
		default: // one that comes and goes
			for n := 0; n < writes && !isClosed(written); n++ {
				time.Sleep(50 * time.Microsecond) // others need the processor, of which there may be one
				s.watchPrefix(prefix).end()
			}
		}
	})
}

// unreadPrefix has watches that nobody reads, while two keys are written often, and then many.
func unreadPrefix(s *subject) {
	const writes, writers = 300, 50
	prefix := s.key("p/")
	var all []*prefixWatching
	for range 3 {
		one := s.watchPrefix(prefix)
		defer one.cancel()
		all = append(all, one)
	}
	revisions := map[string]uint64{}
	for n := range writes {
		for _, key := range []string{prefix + "a", prefix + "b"} {
			revisions[key] = s.mustSet(key, revisions[key], fmt.Append(nil, n))
		}
	}
	all[0].comesToAll(revisions)
	const keys = backend.MaxWaiting + backend.MaxWaiting/4
	s.together(writers, func(i int) {
		for n := i; n < keys; n += writers {
			s.mustSet(prefix+fmt.Sprint(n), 0, nil)
		}
	})
	// The channel ends by itself: more wait than a store may hold.
	if n := all[1].drain("more keys had changed than may wait"); n > backend.MaxWaiting {
		s.broken("the watch of prefix %s held %d states, which nobody read; it may hold %d", show(prefix), n, backend.MaxWaiting)
	}
	for _, one := range all {
		one.end()
	}
	again := s.watchPrefix(prefix)
	defer again.end()
	again.comesTo(prefix+"after", s.mustSet(prefix+"after", 0, nil))
}

// prefixWatchElsewhere takes a store's time until it knows of another process's writes, and so is
// done a few times only.
func prefixWatchElsewhere(s *subject) {
	if _, ok := backend.As[backend.PrefixWatcher](s.second); !ok {
		return
	}
	handles := s.handles()
	prefix := s.key("p/")
	revisions := map[string]uint64{}
	set := func(handle int, tail string) {
		key := prefix + tail
		revisions[key] = handles[handle].mustSet(key, revisions[key], []byte(key))
	}
	remove := func(handle int, tail string) {
		handles[handle].mustDelete(prefix+tail, revisions[prefix+tail])
		revisions[prefix+tail] = 0
	}
	set(0, "stands")
	set(0, "deleted")
	one := handles[1].watchPrefix(prefix)
	defer one.end()
	one.stood = maps.Clone(revisions)
	for range 8 {
		set(0, "theirs")
		set(1, "ours")
		if revisions[prefix+"deleted"] != 0 {
			remove(0, "deleted")
		}
		set(0, "by both")
		set(1, "by both")
		set(0, "made again")
		one.comesToAll(without(revisions, prefix+"stands"))
		remove(0, "made again")
		set(0, "made again")
		remove(1, "by both")
		one.comesToAll(without(revisions, prefix+"stands"))
		for key, revision := range revisions {
			if e := one.last[key]; revision != 0 && key != prefix+"stands" && string(e.Value) != key {
				s.broken("the watch of prefix %s sent %s of %s", show(prefix), showEntry(e, nil), show(key))
			}
		}
	}
}

func without(revisions map[string]uint64, key string) map[string]uint64 {
	rest := maps.Clone(revisions)
	delete(rest, key)
	return rest
}

func prefixWatchEnds(s *subject) {
	prefix := s.key("p/")
	var revision uint64
	round := func() {
		var all []*prefixWatching
		for range 10 {
			all = append(all, s.watchPrefix(prefix))
		}
		revision = s.mustSet(prefix+"k", revision, nil)
		for i, one := range all {
			if i%2 == 0 {
				one.comesTo(prefix+"k", revision) // the others end with a state that nobody took, and are left to themselves
			}
			if one.cancel(); i%2 == 0 {
				one.end()
			}
		}
	}
	round() // what the first watch starts for good, a connection say, is not a leak
	before := runtime.NumGoroutine()
	for falls := true; falls; { // those of the first round may take a while to end
		time.Sleep(10 * time.Millisecond)
		now := runtime.NumGoroutine()
		falls, before = now < before, min(now, before)
	}
	for range 5 {
		round()
	}
	s.leavesNothing(before, 50, "watches of a prefix that ended")
}
