package explore

import (
	"errors"
	"slices"
	"sync"
	"testing/synctest"
	"time"

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
	refused                    // its write is applied, its caller told of a conflict
	underWay                   // its write is refused while its first one, which comes late, is not there
	comesLate                  // its caller is told of an error, the write may land later
	canceled                   // its caller's context is cancelled
	shown                      // the watch by which it waits sees what stands
	lands                      // a late write lands
	clock                      // the clock steps over the deadline
	outage                     // time passes until nobody waits for settling any more
	kinds                      // how many there are
)

// run is one execution: it takes the steps it is told, one at a time, in a bubble.
type run struct {
	row      *row
	store    store
	clock    *leasetest.Clock
	managers []*manager
	workers  []*worker
	over     bool // what still runs shall return, no matter how
	known    bool // the steps were taken before, and broke no rule
	broken   error
	pause    sync.Mutex
	used     bounds // what went wrong so far
	met      [kinds]int
	ran      int // how often a function of Do ran
}

func newRun(row *row, wrap func(backend.Backend) backend.Backend) *run {
	r := &run{row: row, clock: leasetest.NewClock(t0)}
	for i, program := range row.programs {
		if len(r.managers) == 0 || !row.oneManager {
			r.managers = append(r.managers, newManager(r, wrap))
		}
		r.workers = append(r.workers, &worker{
			manager: r.managers[len(r.managers)-1], id: i, program: parse(program, i), answers: make(chan answer),
		})
	}
	for _, w := range r.workers {
		go w.work()
	}
	r.quiesce()
	return r
}

// quiesce returns when nobody goes on without a step. The pauses between tries pass meanwhile.
func (r *run) quiesce() {
	for range 10_000 {
		synctest.Wait()
		if !slices.ContainsFunc(r.workers, func(w *worker) bool { return !w.rested() }) {
			return
		}
		r.afterPause()
		time.Sleep(2 * time.Millisecond)
	}
	panic("a worker does not come to rest")
}

// afterPause orders what the scheduler did before it slept before what a worker does when it wakes
// up: time does not.
func (r *run) afterPause() {
	r.pause.Lock()
	defer r.pause.Unlock()
}

// end makes the workers return.
func (r *run) end() {
	r.over = true
	for _, m := range r.managers {
		if m.polling != nil {
			m.poll(answer{err: backend.ErrClosed})
		}
	}
	for _, w := range r.workers {
		if w.waiting != nil {
			w.reply(answer{err: backend.ErrClosed})
		}
	}
	r.quiesce()
}

func (w *worker) reply(a answer) {
	w.waiting = nil
	w.answers <- a
}

func (m *manager) poll(a answer) {
	answers := m.polling
	m.polling = nil
	answers <- a
}

// may tells whether one more may happen of what has happened used times.
func (r *run) may(used, bound int) bool { return used < bound && r.used.sum() < r.row.most() }

// enabled are the choices there are now. Where two come to the same, only one is offered.
func (r *run) enabled() []step {
	var all []step
	faulty, steps := r.may(r.used.faults, r.row.faults), r.may(r.used.clocks, r.row.clocks)
	settling, working := false, false
	for _, w := range r.workers {
		working = working || !w.done
		op := opID{w.id, w.at}
		c := w.waiting
		if c == nil {
			if !w.done && w.news() {
				all = append(all, step{shown, op})
			}
		} else if c.kind == toBegin {
			switch o := w.op(); {
			case o.verb != "acquire" && o.verb != "do" && r.workers[o.of].leaseID == "":
			case !steps && o.of == w.id && !r.row.oneManager:
				return []step{{begins, op}} // when it begins makes no difference to anything
			default:
				all = append(all, step{begins, op})
			}
			continue
		} else {
			all = append(all, step{answered, op})
			if faulty {
				all = append(all, r.faults(c, op)...)
			}
			settling = settling || c.settling() && !c.ended()
		}
		if r.may(r.used.cancels, r.row.cancels) && !w.done && !w.cancelled {
			all = append(all, step{canceled, op})
		}
	}
	for i, w := range r.store.late {
		if i == 0 || r.store.late[i-1].op != w.op {
			all = append(all, step{lands, w.op})
		}
	}
	if steps && working {
		all = append(all, step{kind: clock})
	}
	if r.may(r.used.outages, r.row.outages) && settling {
		all = append(all, step{kind: outage})
	}
	return all
}

// faults are the ways in which the store call c can fail.
func (r *run) faults(c *call, op opID) []step {
	all := []step{{lost, op}}
	if c.kind == toWrite && r.store.fits(c.write) {
		all = append(all, step{answerLost, op}, step{refused, op}, step{comesLate, op})
		if slices.ContainsFunc(r.store.late, func(w write) bool { return w.rec().Op == c.rec().Op }) {
			all = append(all, step{underWay, op})
		}
	}
	return all
}

// do takes one step, and returns when all is quiet again.
func (r *run) do(s step) {
	r.met[s.kind]++
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
		w.saw(s.kind, 0)
	case shown:
		a.entry, a.err = r.store.get()
		w.shown = a.entry.Revision
		w.saw(s.kind, w.shown)
		w.poll(a)
	case answered:
		if w.waiting.kind == toRead {
			a.entry, a.err = r.store.get()
			a.revision = a.entry.Revision
			w.shown = a.revision
			w.call.reads = append(w.call.reads, a.revision)
			w.call.reading = true
		} else {
			a.revision, a.err = r.store.apply(w.waiting.write)
		}
	case answerLost:
		_, _ = r.store.apply(w.waiting.write)
	case refused:
		w.call.denied, _ = r.store.apply(w.waiting.write)
		a.err = backend.ErrConflict
	case underWay:
		a.err = backend.ErrConflict
	case comesLate:
		r.store.postpone(w.waiting.write)
	}
	if len(r.store.history) > before {
		r.store.forgetHopeless()
		if !r.known {
			r.note(r.checkWrite())
		}
	}
	switch s.kind {
	case lost, answerLost, comesLate:
		r.used.faults++
		if a.err = errBroken; w.waiting.ended() {
			a.err = w.waiting.ctx.Err()
		}
		w.call.lostRead = w.call.lostRead || w.waiting.kind == toRead
		w.saw(lost, 0) // the three look the same to the Manager
		w.reply(a)
	case refused, underWay:
		r.used.faults++
		w.saw(answered, 0) // like a conflict
		w.reply(a)
	case begins, answered:
		w.saw(s.kind, a.revision)
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

// words are how a schedule tells of a step, after the operation.
var words = [kinds]string{
	begins:     " begins",
	answered:   " is answered",
	lost:       " is lost",
	answerLost: " is applied, its answer lost",
	refused:    " is applied, and refused",
	underWay:   " is refused while the first is under way",
	comesLate:  " fails, may come late",
	canceled:   " is cancelled",
	shown:      " sees what stands",
	lands:      " lands late",
	clock:      "the clock steps over the deadline",
	outage:     "the store stays away until nobody waits any more",
}

func (r *run) describe(s step) string {
	if s.kind == clock || s.kind == outage {
		return words[s.kind]
	}
	w := r.workers[s.op.worker]
	name := w.names(s.op.at)
	if c := w.waiting; c != nil && c.kind == toRead && s.kind != lands {
		name += "'s read"
	} else if s.kind != begins && s.kind != canceled && s.kind != shown {
		name += "'s write"
	}
	return name + words[s.kind]
}
