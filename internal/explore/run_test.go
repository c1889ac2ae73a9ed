package explore

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/leasetest"
)

// errBroken is none of the backend's sentinels: the outcome is unknown.
var errBroken = errors.New("connection reset")

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// step is one choice of the scheduler. All else follows from the steps.
type step struct {
	kind stepKind
	op   opID // whose; zero for clock and outage
}

type stepKind int

const (
	begins     stepKind = iota // the next operation of the worker is called
	answered                   // its store call is applied and answered
	lost                       // its store call fails before it is applied
	answerLost                 // its write is applied, its caller told of an error
	comesLate                  // its caller is told of an error, the write may land later
	canceled                   // its caller's context is cancelled while the store call is under way
	lands                      // a late write lands
	clock                      // the clock steps over the deadline
	outage                     // time passes until nobody waits for settling any more
)

// run is one execution: it takes the steps it is told, one at a time, in a bubble.
type run struct {
	row     *row
	store   store
	clock   *leasetest.Clock
	workers []*worker
	over    bool // what still runs shall return, no matter how
	broken  error
	pause   sync.Mutex

	used  bounds            // what went wrong so far
	names map[string]string // of random ids: who wrote them first
	trace [][]byte          // of each Manager: all that it saw
}

func newRun(row *row, wrap func(backend.Backend) backend.Backend) *run {
	r := &run{row: row, clock: leasetest.NewClock(t0), names: make(map[string]string)}
	b := wrap(scheduled{r})
	var m *lease.Manager
	for i, program := range row.programs {
		if m == nil || !row.oneManager {
			opts := []lease.Option{lease.WithClock(watched{r, len(r.trace)})}
			if row.retention > 0 {
				opts = append(opts, lease.WithRetention(row.retention))
			}
			var err error
			if m, err = lease.NewManager(b, opts...); err != nil {
				panic(err)
			}
			r.trace = append(r.trace, nil)
		}
		r.workers = append(r.workers, &worker{
			run: r, id: i, manager: len(r.trace) - 1, m: m, program: parse(program, i), answers: make(chan answer),
		})
	}
	for _, w := range r.workers {
		go w.work()
	}
	r.quiesce()
	return r
}

// watched is the clock as one Manager sees it. Its readings are part of what that Manager saw.
type watched struct {
	run     *run
	manager int
}

func (c watched) Now() time.Time {
	c.run.trace[c.manager] = appendInts(c.run.trace[c.manager], -1, c.run.used.clocks)
	return c.run.clock.Now()
}

func (c watched) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return c.run.clock.AfterFunc(d, f)
}

// quiesce returns when every worker waits for the scheduler or is done. The pauses of settling pass meanwhile.
func (r *run) quiesce() {
	for {
		synctest.Wait()
		if !slices.ContainsFunc(r.workers, func(w *worker) bool { return !w.done && w.waiting == nil }) {
			return
		}
		r.afterPause()
		time.Sleep(2 * time.Millisecond)
	}
}

// afterPause orders what the scheduler did before it slept before what a worker does when it wakes up: time does not.
func (r *run) afterPause() {
	r.pause.Lock()
	defer r.pause.Unlock()
}

// end makes the workers return.
func (r *run) end() {
	r.over = true
	for _, w := range r.workers {
		if w.waiting != nil {
			w.reply(answer{revision: whatever})
		}
	}
	r.quiesce()
}

func (w *worker) reply(a answer) {
	w.waiting = nil
	w.answers <- a
}

// enabled are the choices there are now. Where two come to the same, only one is offered.
func (r *run) enabled() []step {
	var all []step
	faulty := r.used.faults < r.row.faults
	settling, working := false, false
	for _, w := range r.workers {
		working = working || !w.done
		c := w.waiting
		if c == nil {
			continue
		}
		op := opID{w.id, w.at}
		if o := w.program[w.at]; c.kind == toBegin {
			if o.verb == "acquire" || r.workers[o.of].leaseID != "" {
				all = append(all, step{begins, op})
			}
			continue
		}
		all = append(all, step{answered, op})
		if faulty {
			all = append(all, step{lost, op})
		}
		if faulty && c.kind == toWrite && r.store.fits(c.write) {
			all = append(all, step{answerLost, op}, step{comesLate, op})
		}
		if r.used.cancels < r.row.cancels && !w.cancelled {
			all = append(all, step{canceled, op})
		}
		settling = settling || c.settling() && !c.ended()
	}
	for i, w := range r.store.late {
		if i == 0 || r.store.late[i-1].op != w.op {
			all = append(all, step{lands, w.op})
		}
	}
	if r.used.clocks < r.row.clocks && working {
		all = append(all, step{kind: clock})
	}
	if r.used.outages < r.row.outages && settling {
		all = append(all, step{kind: outage})
	}
	return all
}

// do takes one step, and returns when all is quiet again.
func (r *run) do(s step) {
	before := len(r.store.history)
	w := r.workers[s.op.worker]
	var a answer
	switch s.kind {
	case lands:
		r.store.land(s.op)
	case clock:
		r.used.clocks++
		r.clock.Advance(clockStep)
	case outage:
		r.used.outages++
		r.afterPause()
		time.Sleep(5 * time.Second) // longer than the Manager's patience
	case canceled:
		r.used.cancels++
		w.cancelled = true
		w.cancel()
		r.saw(w, s.kind, 0)
	case answered:
		if w.waiting.kind == toRead {
			a.entry, a.err = r.store.get()
			a.revision = a.entry.Revision
		} else {
			a.revision, a.err = r.store.apply(w.waiting.write)
		}
	case answerLost:
		_, _ = r.store.apply(w.waiting.write)
	case comesLate:
		r.store.postpone(w.waiting.write)
	}
	if len(r.store.history) > before {
		r.store.forgetHopeless()
		r.note(r.checkWrite())
	}
	switch s.kind {
	case lost, answerLost, comesLate:
		r.used.faults++
		if a.err = errBroken; w.waiting.ended() {
			a.err = w.waiting.ctx.Err()
		}
		r.saw(w, lost, 0) // the three look the same to the Manager
		w.reply(a)
	case begins, answered:
		r.saw(w, s.kind, a.revision)
		w.reply(a)
	}
	r.quiesce()
}

// note keeps the first rule that was broken.
func (r *run) note(err error) {
	if r.broken == nil {
		r.broken = err
	}
}

func (r *run) describe(s step) string {
	switch s.kind {
	case clock:
		return "the clock steps over the deadline"
	case outage:
		return "the store stays away until nobody waits any more"
	}
	name := fmt.Sprintf("m%d %s", s.op.worker+1, r.workers[s.op.worker].program[s.op.at].verb)
	if c := r.workers[s.op.worker].waiting; c != nil && c.kind == toRead && s.kind != lands {
		name += "'s read"
	} else if s.kind != begins && s.kind != canceled {
		name += "'s write"
	}
	return name + [...]string{" begins", " is answered", " is lost", " is applied, its answer lost", " fails, may come late", " is cancelled", " lands late"}[s.kind]
}
