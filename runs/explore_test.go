package runs

import (
	"cmp"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	long    = flag.Bool("runs.long", false, "explore the rows that take minutes too")
	inWhole = flag.Bool("runs.whole", false, "explore the rows that take seconds too, and each within its whole bounds")
	ablate  = flag.Bool("runs.ablate", false, "run TestAblation, which leaves out one rule of the protocol at a time")
)

// row is a program for each actor, and how much may go wrong.
type row struct {
	name     string
	programs []string
	faults   int
	clocks   int
	usual    int           // how many of both one schedule may have without -runs.whole; 0: all
	turns    int           // how often a step may go to another actor while one has work left; 0: the default
	skew     time.Duration // by which the clocks of starts are ahead of the others
	paused   bool          // there is a pause after a failed attempt
	replaces bool          // a start may take the place of a run that has not ended
	delayed  bool          // no start is without a delay
	whole    bool          // explored with -runs.whole
	long     bool
}

var rows = []row{
	{name: "a start dies", programs: []string{"start", "work", "start"}, faults: 1},
	{name: "a start over a failed run dies", programs: []string{"start cancel start+retry", "work work"}, faults: 1},
	{name: "one start is delayed", programs: []string{"start", "start+delayed"}, clocks: 1},
	{name: "a run is delayed", programs: []string{"start+delayed", "work work+fails"}, faults: 1, clocks: 1, delayed: true},
	{name: "a worker dies", programs: []string{"start", "work", "work"}, faults: 1, clocks: 1},
	{name: "a run kills its worker", programs: []string{"start+single", "work", "work"}, faults: 1, clocks: 1},
	{name: "an attempt fails", programs: []string{"start work+fails", "work work"}, faults: 1},
	{name: "an attempt fails, and the next one waits", programs: []string{"start+paused work+fails", "work work"}, faults: 1, clocks: 1, usual: 1, paused: true},
	{name: "the last attempt fails", programs: []string{"start+single work+fails", "work"}, faults: 1},
	{name: "an attempt is released", programs: []string{"start", "work+releases", "work"}, faults: 1},
	{name: "a run is canceled", programs: []string{"start work", "cancel start+retry work"}, clocks: 1},
	{name: "a run is canceled, and something fails", programs: []string{"start work", "cancel start+retry work"}, faults: 1},
	{name: "a run ends while the next one begins", programs: []string{"start work+breaks", "start+retry"}, turns: 2},
	{name: "a run is replaced", programs: []string{"start work", "start+replace work"}, faults: 1, replaces: true},
	{name: "at most once", programs: []string{"start+once work", "work"}, faults: 1, clocks: 2, usual: 2},
	{name: "by hand in between", programs: []string{"start", "work", "acquire release", "cancel acquire+retry release"}, clocks: 1},
	{name: "by hand before", programs: []string{"acquire release", "start", "work"}, faults: 1, clocks: 1, usual: 1},
	{name: "by hand before, and the clock of the start is ahead", programs: []string{"acquire", "start", "work"}, faults: 1, clocks: 1, skew: 5 * time.Second},
	{name: "two starters, two workers", programs: []string{"start", "start", "work", "work"}, faults: 1, whole: true},
	{name: "two starters, two workers, and all that can happen", programs: []string{"start", "start+retry", "work+fails work", "cancel work"}, faults: 1, clocks: 1, long: true},
	{name: "workers die", programs: []string{"start", "work", "work", "work"}, faults: 2, clocks: 2, long: true},
}

// most is how many faults and steps of the clock a schedule may have.
func (r *row) most() int {
	if r.usual > 0 && !*inWhole {
		return r.usual
	}
	return r.faults + r.clocks
}

// bound is how many turns a schedule may have. Nearly all that can go wrong takes few of them.
func (r *row) bound() int {
	n := cmp.Or(r.turns, 1)
	if *long {
		n++
	}
	return n
}

// search goes through the schedules of one row, depth first. Each branch is executed anew from its
// beginning. Where it comes to a state that was visited before, with no less left that may go
// wrong, whatever follows was, or will be, seen from there.
type search struct {
	row       *row
	visited   map[[16]byte][][2]int // by how many faults and turns
	open      []branch
	schedules int
	begun     int // functions
	met       map[stepKind]int
	broken    error
	schedule  []string
}

// branch is a path not taken yet, and the state before its last step.
type branch struct {
	path []step
	from [16]byte
}

func (s *search) all(t *testing.T) {
	s.visited, s.met, s.open = make(map[[16]byte][][2]int), make(map[stepKind]int), []branch{{}}
	for len(s.open) > 0 && s.broken == nil && s.schedules < mostSchedules {
		next := s.open[len(s.open)-1]
		s.open = s.open[:len(s.open)-1]
		synctest.Test(t, func(*testing.T) { s.follow(next) })
	}
}

func (s *search) follow(b branch) {
	p := newPlay(s.row)
	defer p.close()
	s.schedules++
	defer func() {
		for k, n := range p.met {
			s.met[k] += n
		}
		s.begun += len(p.executions)
		if p.broken != nil {
			s.broken, s.schedule = p.broken, p.told
		}
	}()
	path := b.path
	for i, next := range path {
		if i == len(path)-1 && p.state() != b.from {
			p.note(broke("the explorer", "the schedule did not repeat itself after %d steps", i))
			return
		}
		p.do(next)
	}
	for p.broken == nil {
		steps := p.enabled()
		now := p.state()
		if slices.ContainsFunc(s.visited[now], func(before [2]int) bool { return before[0] <= p.faults && before[1] <= p.turns }) {
			return
		}
		s.visited[now] = append(s.visited[now], [2]int{p.faults, p.turns})
		if len(steps) == 0 {
			p.note(p.recoverAll())
			return
		}
		for _, other := range slices.Backward(steps[1:]) {
			s.open = append(s.open, branch{append(slices.Clone(path), other), now})
		}
		path = append(slices.Clone(path), steps[0])
		p.do(steps[0])
		if len(path) > 200 {
			p.note(broke(found, "%d steps, and no end", len(path)))
		}
	}
}

func TestEveryScheduleOfTheProtocol(t *testing.T) {
	// One goroutine runs at a time: a second processor would wake up in vain. Tests that run beside
	// this one would have to wait for it.
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	for _, r := range rows {
		if r.long && !*long || r.whole && !*inWhole {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			began := time.Now()
			s := &search{row: &r}
			s.all(t)
			t.Logf("%d schedules, %d states, %d functions; %v", s.schedules, len(s.visited), s.begun, time.Since(began).Round(time.Millisecond))
			if s.broken != nil {
				t.Fatalf("%v\n  after %d schedules:\n  %s", s.broken, s.schedules, strings.Join(s.schedule, "\n  "))
			}
			s.checkMet(t)
		})
	}
}

// checkMet fails the test if something that the row is about was not met on the way.
func (s *search) checkMet(t *testing.T) {
	t.Helper()
	if s.schedules >= mostSchedules {
		return // it did not get to the end
	}
	want := []stepKind{goes}
	if s.row.faults > 0 {
		want = append(want, answerLost, dies, diesAfter, diesLate, lands)
	}
	if s.row.clocks > 0 {
		want = append(want, clock)
	}
	for _, k := range want {
		if s.met[k] == 0 {
			t.Errorf("no step was like %q", fmt.Sprint("a1 ", words[k]))
		}
	}
	if s.begun == 0 {
		t.Error("no function ran")
	}
}
