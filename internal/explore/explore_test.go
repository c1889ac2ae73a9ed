package explore

import (
	"flag"
	"strings"
	"testing"
	"time"
)

var (
	long     = flag.Bool("explore.long", false, "explore the rows that take minutes too")
	whole    = flag.Bool("explore.whole", false, "explore the rows that take seconds within their whole bounds")
	ablate   = flag.Bool("explore.ablate", false, "run TestAblation, which leaves out one safety rule at a time")
	schedule = flag.String("explore.replay", "", "replay this schedule of the rows that -run selects")
)

// bounds are how much may go wrong in one schedule.
type bounds struct {
	faults  int // store calls that fail: see the kinds of steps
	clocks  int // times that the clock steps over the deadline
	outages int // times that the store stays away for longer than a write is pursued
	cancels int // times that a caller gives up
}

// sum is how much went wrong, and how often the clock stepped.
func (b bounds) sum() int { return b.faults + b.clocks + b.outages + b.cancels }

// nothing tells whether nothing went wrong: time passes also on a good day.
func (b bounds) nothing() bool { return b.faults+b.outages+b.cancels == 0 }

// within tells whether no more went wrong than in o.
func (b bounds) within(o bounds) bool {
	return b.faults <= o.faults && b.clocks <= o.clocks && b.outages <= o.outages && b.cancels <= o.cancels
}

// row is a program for each worker, and the bounds within which all schedules are explored.
type row struct {
	name     string
	programs []string // see parse
	bounds
	usual      int           // how much of that one schedule may have without -explore.whole; 0: all of it
	oneManager bool          // the workers share a Manager and its memory; else each has its own
	retention  time.Duration // 0: longer than any schedule
	long       bool
}

// most is how much of its bounds one schedule may have.
func (r *row) most() int {
	if r.usual > 0 && !*whole {
		return r.usual
	}
	return r.sum()
}

func (r *row) retained() time.Duration {
	if r.retention > 0 {
		return r.retention
	}
	return 7 * 24 * time.Hour
}

func TestEverySchedule(t *testing.T) {
	for _, row := range rows {
		if row.long && !*long {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := &search{row: &row, wrap: sound}
			if *schedule != "" {
				s.replay(t, *schedule)
				return
			}
			began := time.Now()
			s.all(t)
			t.Logf("%s: %d schedules, %d states, %d pruned, %d ends, %d functions; %v", row.name, s.schedules,
				len(s.visited), s.pruned, s.ends, s.ran, time.Since(began).Round(time.Millisecond))
			if s.broken != nil {
				t.Fatal(s.report(t))
			}
			s.checkMet(t)
		})
	}
}

// checkMet fails the test if something of what the row is about was not met on the way.
func (s *search) checkMet(t *testing.T) {
	t.Helper()
	if s.schedules >= mostSchedules {
		return // it did not get to the end
	}
	want := []stepKind{begins, answered}
	if s.row.faults > 0 {
		want = append(want, lost, answerLost, refused, comesLate, lands)
	}
	if s.row.faults > 1 {
		want = append(want, underWay)
	}
	if s.row.clocks > 0 {
		want = append(want, clock)
	}
	if s.row.outages > 0 {
		want = append(want, outage)
	}
	if s.row.cancels > 0 {
		want = append(want, canceled)
	}
	if strings.Contains(strings.Join(s.row.programs, " "), "do") {
		if len(s.row.programs) > 1 {
			want = append(want, shown)
		}
		if s.ran == 0 {
			t.Error("no function of Do ran")
		}
	}
	for _, k := range want {
		if s.met[k] == 0 {
			t.Errorf("no step was like \"m1 acquire%s\"", words[k])
		}
	}
	if s.ends == 0 {
		t.Error("no schedule came to its end")
	}
}
