package explore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ailease/lease/backend"
)

// search goes through the schedules of one row, depth first. A run cannot be copied: each branch
// is executed anew from its beginning. Where it comes to a state that was visited before, with no
// less left that may go wrong, whatever follows was, or will be, seen from there.
type search struct {
	row     *row
	wrap    func(backend.Backend) backend.Backend
	visited map[state][]bounds // what had gone wrong by then
	open    []branch
	found   []step // the schedule that broke a rule
	broken  error

	schedules, pruned, ends int
	met                     [kinds]int // how often each kind of step was taken
	ran                     int        // how often a function of Do ran
}

// branch is a path not taken yet.
type branch struct {
	path []step
	from state // before the last step, to notice if a run does not repeat itself
}

// mostSteps is more than any schedule takes, unless an operation asks again and again.
const mostSteps = 250

func sound(b backend.Backend) backend.Backend { return b }

// all visits every state, or stops at the first broken rule, or after mostSchedules.
func (s *search) all(t *testing.T) {
	s.visited = make(map[state][]bounds)
	s.open = []branch{{}}
	for len(s.open) > 0 && s.broken == nil && s.schedules < mostSchedules {
		b := s.open[len(s.open)-1]
		s.open = s.open[:len(s.open)-1]
		var err error
		synctest.Test(t, func(*testing.T) { err = s.follow(b) })
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (s *search) follow(b branch) error {
	r := newRun(s.row, s.wrap)
	defer r.end()
	s.schedules++
	defer func() {
		for k, n := range r.met {
			s.met[k] += n
		}
		s.ran += r.ran
	}()
	for i, next := range b.path {
		r.known = i < len(b.path)-1
		if !r.known && r.state() != b.from {
			return fmt.Errorf("the run did not repeat itself after %d steps", i)
		}
		r.do(next)
	}
	for path := b.path; ; {
		steps := r.enabled()
		if len(steps) == 0 {
			r.note(r.checkEnd())
		}
		if len(path) > mostSteps {
			r.note(broke(comesToAnEnd, "%d steps, and no end", len(path)))
		}
		if r.broken != nil {
			s.found, s.broken = slices.Clone(path), r.broken
			return nil
		}
		now := r.state()
		if slices.ContainsFunc(s.visited[now], func(before bounds) bool { return before.within(r.used) }) {
			s.pruned++
			return nil
		}
		s.visited[now] = append(s.visited[now], r.used)
		if len(steps) == 0 {
			s.ends++
			return nil
		}
		for _, alternative := range slices.Backward(steps[1:]) {
			s.open = append(s.open, branch{append(slices.Clip(slices.Clone(path)), alternative), now})
		}
		path = append(slices.Clip(path), steps[0])
		r.do(steps[0])
	}
}

// try runs the given schedule. It tells which rule is broken, nil for none, and each step in words.
// A step that is not enabled ends the run.
func (s *search) try(t *testing.T, path []step) (words []string, broken error) {
	synctest.Test(t, func(*testing.T) {
		r := newRun(s.row, s.wrap)
		defer r.end()
		for _, next := range path {
			if r.broken != nil || !slices.Contains(r.enabled(), next) {
				break
			}
			words = append(words, r.describe(next))
			r.do(next)
		}
		if r.broken == nil && len(r.enabled()) == 0 {
			r.note(r.checkEnd())
		}
		broken = r.broken
	})
	return words, broken
}

// shorten drops what the violation does not need.
func (s *search) shorten(t *testing.T) {
	rule := s.broken.(*violation).rule
	for size := len(s.found) / 2; size > 0; size-- {
		for i := 0; i+size <= len(s.found); {
			shorter := slices.Delete(slices.Clone(s.found), i, i+size)
			if _, err := s.try(t, shorter); err != nil && err.(*violation).rule == rule {
				s.found, s.broken = shorter, err
			} else {
				i++
			}
		}
	}
}

// report is the schedule that broke a rule, in the form that replay takes.
func (s *search) report(t *testing.T) string {
	s.shorten(t)
	words, _ := s.try(t, s.found)
	return fmt.Sprintf("%v\n  after %d schedules, -explore.replay=%q", s.broken, s.schedules, strings.Join(words, "; "))
}

// replay runs a schedule told in words.
func (s *search) replay(t *testing.T, schedule string) {
	synctest.Test(t, func(*testing.T) {
		r := newRun(s.row, s.wrap)
		defer r.end()
		for text := range strings.SplitSeq(schedule, "; ") {
			steps := r.enabled()
			i := slices.IndexFunc(steps, func(next step) bool { return r.describe(next) == text })
			if i < 0 {
				t.Errorf("%q is no choice here", text)
				return
			}
			r.do(steps[i])
			t.Logf("%-60s %s", text, r.stands())
		}
		if r.broken == nil {
			r.note(r.checkEnd())
		}
		if r.broken != nil {
			t.Error(r.broken)
		}
	})
}

func (r *run) stands() string {
	s := r.store.standing()
	if s == nil {
		return "absent"
	}
	holder := r.store.history[r.store.token(s.rec().LeaseID)-1].op.worker + 1
	return fmt.Sprintf("revision %d: %s, version %d, lease of m%d", s.revision, s.rec().State, s.rec().Version, holder)
}
