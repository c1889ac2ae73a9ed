package conformance

import (
	"errors"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// model lets rapid make up a sequence of calls on few keys, and holds every answer against a map.
func model(s *subject, t *rapid.T) {
	type state struct {
		revision uint64
		value    []byte
		newest   uint64 // of all revisions that the key ever had
	}
	all := s.awkwardKeys(t)
	states := map[string]*state{}
	for _, k := range all {
		states[k] = &state{}
	}
	pick := func(t *rapid.T) (string, *state) {
		k := rapid.SampledFrom(all).Draw(t, "key")
		return k, states[k]
	}
	expected := func(t *rapid.T, st *state) uint64 {
		return rapid.SampledFrom([]uint64{st.revision, st.revision, st.revision, 0, st.newest, st.newest + 1}).Draw(t, "expected")
	}
	t.Repeat(map[string]func(*rapid.T){
		"get": func(t *rapid.T) {
			k, st := pick(t)
			s.holds(k, st.revision, st.value)
		},
		"set": func(t *rapid.T) {
			k, st := pick(t)
			want, v := expected(t, st), smallValue().Draw(t, "value")
			revision, ok := s.set(k, want, v, rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "keep"))
			switch {
			case ok != (want == st.revision):
				s.broken("CompareAndSet %s expected %d: success is %t, the key was at %d", show(k), want, ok, st.revision)
			case ok && revision <= st.newest:
				s.broken("%s got revision %d after %d", show(k), revision, st.newest)
			case ok:
				*st = state{revision, v, revision}
			}
		},
		"delete": func(t *rapid.T) {
			k, st := pick(t)
			want := max(1, expected(t, st))
			err := s.tryDelete(s.ctx, k, want)
			switch {
			case st.revision == 0:
				if !errors.Is(err, backend.ErrNotFound) {
					s.broken("CompareAndDelete of the absent %s returned %v", show(k), err)
				}
			case want != st.revision:
				if !errors.Is(err, backend.ErrConflict) {
					s.broken("CompareAndDelete %s expected %d returned %v, the key was at %d", show(k), want, err, st.revision)
				}
			case err != nil:
				s.broken("CompareAndDelete %s at its revision failed: %v", show(k), err)
			default:
				st.revision, st.value = 0, nil
			}
		},
	})
	for _, k := range all {
		s.holds(k, states[k].revision, states[k].value)
	}
}
