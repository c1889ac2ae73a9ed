package explore

import (
	"flag"
	"strings"
	"testing"
	"time"
)

var (
	long     = flag.Bool("explore.long", false, "explore the rows that take minutes too")
	schedule = flag.String("explore.replay", "", "replay this schedule of the rows that -run selects")
)

// bounds are how much may go wrong in one schedule.
type bounds struct {
	faults  int // store calls that fail: lost, applied with the answer lost, or late
	clocks  int // times that the clock steps over the deadline
	outages int // times that the store stays away for longer than the Manager's patience with a write of unknown outcome
	cancels int // times that a caller gives up
}

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
	oneManager bool          // the workers share a Manager and its memory; else each has its own
	retention  time.Duration // 0: longer than any schedule
	long       bool
}

func (r *row) retained() time.Duration {
	if r.retention > 0 {
		return r.retention
	}
	return 7 * 24 * time.Hour
}

// parse reads a program: verbs, each perhaps with what is asked for, "acquire+retry" (RetryFailed) and "acquire+once" (AtMostOnce),
// or with the worker whose lease it is about, "extend@m1"; the worker's own unless told.
func parse(program string, self int) []operation {
	var ops []operation
	for word := range strings.FieldsSeq(program) {
		o := operation{of: self}
		word, o.retryFailed = strings.CutSuffix(word, "+retry")
		word, o.atMostOnce = strings.CutSuffix(word, "+once")
		verb, of, ok := strings.Cut(word, "@m")
		if ok {
			o.of = int(of[0] - '1')
		}
		o.verb = verb
		ops = append(ops, o)
	}
	return ops
}

var rows = []row{
	{name: "an expired lease is taken over", programs: []string{"acquire extend complete", "acquire complete"}, bounds: bounds{faults: 2, clocks: 1}},
	{name: "a failed lease is acquired anew", programs: []string{"acquire fail", "acquire+retry complete"}, bounds: bounds{faults: 2, clocks: 1}},
	{name: "a lease is held at most once", programs: []string{"acquire+once complete", "acquire acquire+retry"}, bounds: bounds{faults: 2, clocks: 1}},
	{name: "the store stays away", programs: []string{"acquire acquire complete", "acquire"}, bounds: bounds{faults: 2, clocks: 1, outages: 1}},
	{name: "the caller gives up", programs: []string{"acquire acquire complete", "acquire"}, bounds: bounds{faults: 1, clocks: 1, cancels: 1}},
	{name: "an end is repeated", programs: []string{"acquire complete complete", "acquire"}, bounds: bounds{faults: 2, outages: 1, cancels: 1}},
	{name: "a lease is forgotten", programs: []string{"acquire complete", "acquire complete"}, bounds: bounds{faults: 2, clocks: 2}, retention: time.Second},
	{name: "two processes share a lease", programs: []string{"acquire extend complete", "extend@m1 fail@m1"}, bounds: bounds{faults: 2}},
	{name: "two goroutines share a manager", programs: []string{"acquire extend complete", "extend@m1 acquire"}, bounds: bounds{faults: 1}, oneManager: true},
	{name: "three managers ask for one lease", programs: []string{"acquire complete", "acquire", "acquire"}, bounds: bounds{faults: 1, clocks: 1}},
	{name: "three managers, three operations each, on a good day", programs: []string{"acquire extend complete", "acquire extend complete", "acquire extend fail"}, bounds: bounds{clocks: 1}},
	{name: "three managers, three operations each", programs: []string{"acquire extend complete", "acquire extend complete", "acquire extend fail"}, bounds: bounds{faults: 1, clocks: 1}, long: true},
	{name: "two managers at length", programs: []string{"acquire extend complete", "acquire extend complete"}, bounds: bounds{faults: 2, clocks: 2}, long: true},
	{name: "the caller gives up, two faults", programs: []string{"acquire acquire complete", "acquire"}, bounds: bounds{faults: 2, clocks: 1, cancels: 1}, long: true},
	{name: "two goroutines share a manager, past its deadline", programs: []string{"acquire extend complete", "extend@m1 acquire"}, bounds: bounds{faults: 1, clocks: 1}, oneManager: true, long: true},
	{name: "three managers, two faults", programs: []string{"acquire", "acquire", "acquire"}, bounds: bounds{faults: 2, clocks: 1}, long: true},
	{name: "three managers at length", programs: []string{"acquire complete", "acquire complete", "acquire extend"}, bounds: bounds{faults: 1, clocks: 1}, long: true},
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
			t.Logf("%s: %d schedules, %d states, %d pruned, %d ends, %d faults; %v", row.name, s.schedules, len(s.visited), s.pruned, s.ends, s.faults, time.Since(began).Round(time.Millisecond))
			if s.broken != nil {
				t.Error(s.report(t))
			}
		})
	}
}
